/**
 * A leader, from its first entry on. Whatever a leader is given, what follows from it is settled at the end
 * of the step, by `settle`: commits, what commits allow, and what goes out to the peers.
 *
 * Invariants:
 *  - It never overwrites its log: it only appends.
 *  - It commits by counting only what a quorum has durable, and only entries of its own term; what is before
 *    one is committed with it (figure 8 of the paper shows why).
 *  - Its own log counts up to what is durable of it, like that of any other.
 */

import { type Index, nextIndex, toIndex } from '../../base/positions.ts';
import { isQuorumAlive, isRemoved, settleMembership } from './changes.ts';
import type { Core } from './core.ts';
import type { Input } from './effects.ts';
import { Leadership } from './leadership.ts';
import { isVoter, membersOf } from './membership.ts';
import { NOBODY } from './messages.ts';
import { quorumReached } from './quorum.ts';
import { sendHeartbeats, settleReads } from './reads.ts';
import { replicate, tickOffer } from './replication.ts';
import { settleTransfer, tickTransfer } from './transfer.ts';

/** Elected: begins its term with an empty entry, by which all before it can be committed. */
export function lead(core: Core): void {
  const firstIndex = nextIndex(core.log.last);
  core.role = 'leader';
  core.leader = core.id;
  core.lead = new Leadership(firstIndex);
  core.votes.clear();
  core.emit({ kind: 'become', role: 'leader', term: core.term, leader: core.id });
  for (const id of membersOf(core.membership)) if (id !== core.id) core.lead.follow(id, core.log.last);
  core.lead.ticksSinceHeartbeat = core.options.heartbeatTicks; // Its probes are heard first.
  appendEmpty(core);
}

export function propose(core: Core, { request, bytes }: Extract<Input, { kind: 'propose' }>): void {
  const { lead, leader } = core;
  if (lead === null) {
    core.emit({ kind: 'reject', request, reason: 'not-leader', leader });
  } else if (lead.transfer !== null) {
    core.emit({ kind: 'reject', request, reason: 'transferring', leader });
  } else if (core.sizes.bytesAfter(core.committed) >= core.options.uncommittedBytesMax) {
    core.emit({ kind: 'reject', request, reason: 'busy', leader });
  } else {
    core.append({
      runs: [{ first: nextIndex(core.log.last), term: core.term }],
      sizes: [bytes],
      memberships: [],
      truncateAfter: null,
      content: { kind: 'proposal', request },
    });
  }
}

/** What follows from what the leader has learned. One thing may allow another, so it goes round. */
export function settle(core: Core): void {
  const { lead } = core;
  if (lead === null) return;
  let last: Index;
  let committed: Index;
  do {
    ({ last } = core.log);
    ({ committed } = core);
    commit(core, lead);
    settleMembership(core, lead);
    appendReadmissions(core, lead);
  } while (core.log.last !== last || core.committed !== committed);
  settleReads(core, lead);
  settleTransfer(core, lead);
  replicate(core, lead);
  if (isRemoved(core, lead)) leave(core, lead);
}

/** Time passes for a leader. */
export function tickLeader(core: Core, lead: Leadership, ticks: number): void {
  const { electionTicksMin, heartbeatTicks } = core.options;
  // Answers may wait to be read while this process was held up: it is not for that that a peer is silent.
  const counted = Math.min(ticks, heartbeatTicks);
  lead.ticks += ticks;
  for (const progress of lead.peers.values()) {
    progress.silentTicks += counted;
    progress.catchUpTicks += ticks;
    progress.catchUp(core.log.last, electionTicksMin);
    tickOffer(core, progress, counted);
  }
  tickTransfer(core, lead, ticks);
  if (!isQuorumAlive(core, lead, { under: core.membership, evidence: 'presumed' })) {
    stepDown(core);
    return;
  }
  lead.ticksSinceHeartbeat += ticks;
  if (lead.ticksSinceHeartbeat < heartbeatTicks) return;
  sendHeartbeats(core, lead);
  sayReadmissions(core, lead);
}

/** Removed: it says what is committed, and leaves it to whoever has most of the log to stand at once. */
function leave(core: Core, lead: Leadership): void {
  sendHeartbeats(core, lead);
  const voters = [...lead.peers.values()].filter(({ id }) => isVoter(core.membership, id));
  const [first] = voters.sort((one, other) => other.counted - one.counted);
  if (first !== undefined) core.say({ kind: 'timeout-now', to: first.id });
  stepDown(core);
}

/** A quorum is not heard, or goes on without it: whoever is elected next owes this replica no waiting. */
function stepDown(core: Core): void {
  core.becomeFollower(core.term, NOBODY);
}

function commit(core: Core, lead: Leadership): void {
  const reached = quorumReached(core.membership, (id) =>
    id === core.id ? core.durable : (lead.peers.get(id)?.counted ?? 0),
  );
  if (reached > core.committed && core.log.termAt(toIndex(reached)) === core.term)
    core.commitTo(toIndex(reached));
}

/** For each recovering life an entry of its own, appended after that life was heard. */
function appendReadmissions(core: Core, lead: Leadership): void {
  for (const { id, isRecovering } of lead.peers.values()) {
    const incarnation = core.lives.get(id) ?? 0;
    if (!isRecovering || lead.readmissions.get(id)?.incarnation === incarnation) continue;
    lead.readmissions.set(id, { incarnation, index: nextIndex(core.log.last) });
    appendEmpty(core);
  }
}

/** Who has that entry once it is committed may vote again. Said until its answers show that it was heard. */
function sayReadmissions(core: Core, lead: Leadership): void {
  for (const [id, { incarnation, index }] of lead.readmissions) {
    const progress = lead.peers.get(id);
    if (progress?.isRecovering !== true || core.lives.get(id) !== incarnation) continue;
    if (core.committed < index || progress.match < index) continue;
    core.say({ kind: 'readmit', to: id, forIncarnation: incarnation, index });
  }
}

function appendEmpty(core: Core): void {
  const first: Index = nextIndex(core.log.last);
  core.append({
    runs: [{ first, term: core.term }],
    sizes: [0],
    memberships: [],
    truncateAfter: null,
    content: { kind: 'empty' },
  });
}
