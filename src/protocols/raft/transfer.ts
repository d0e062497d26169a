/**
 * Leadership transfer: the leader takes no more proposals, brings the target up to its own log, and tells it
 * to stand at once. If no other leader has shown up by a deadline, it goes on itself.
 *
 * Source: Ongaro 2014, leadership transfer extension.
 */

import type { Core } from './core.ts';
import type { Input } from './effects.ts';
import type { Leadership } from './leadership.ts';
import { isVoter } from './membership.ts';

export function beginTransfer(core: Core, { request, to }: Extract<Input, { kind: 'transfer' }>): void {
  const { lead, leader } = core;
  const isPossible =
    isVoter(core.membership, to) && to !== core.id && lead?.peers.get(to)?.isRecovering === false;
  if (lead === null) core.emit({ kind: 'reject', request, reason: 'not-leader', leader });
  else if (lead.transfer !== null) core.emit({ kind: 'reject', request, reason: 'transferring', leader });
  else if (!isPossible) core.emit({ kind: 'reject', request, reason: 'not-a-voter', leader });
  else lead.transfer = { request, to, ticksLeft: core.options.electionTicksMin, isSent: false };
}

/** Tells the target to stand as soon as it has everything. */
export function settleTransfer(core: Core, lead: Leadership): void {
  const { transfer } = lead;
  if (transfer === null || transfer.isSent) return;
  if (lead.peers.get(transfer.to)?.match !== core.log.last) return;
  transfer.isSent = true;
  lead.hasTransferred = true;
  core.say({ kind: 'timeout-now', to: transfer.to });
}

export function tickTransfer(core: Core, lead: Leadership, ticks: number): void {
  const { transfer } = lead;
  if (transfer === null) return;
  transfer.ticksLeft -= ticks;
  if (transfer.ticksLeft > 0 && isVoter(core.membership, transfer.to)) return;
  lead.transfer = null;
  core.emit({ kind: 'transfer-ended', request: transfer.request, to: transfer.to, outcome: 'aborted' });
}
