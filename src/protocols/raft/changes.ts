/**
 * Changes of the membership, by the leader: one at a time, and none before an entry of its own term is
 * committed (an earlier leader's change may else be undone by one that overlaps with none of its majorities).
 *
 * Voters change by joint consensus: an entry with both sets, and once that is committed, another one with the
 * new set alone. A replica becomes a voter only after it has caught up as a learner, so that a change does
 * not stop the others; and only if of those who then decide a majority is alive.
 *
 * Sources: Ongaro & Ousterhout 2014, cluster membership changes; Ongaro 2014, the same, with catching up in
 * rounds; Ongaro, "bug in single-server membership changes", raft-dev, 2015.
 */

import { nextIndex } from '../../base/positions.ts';
import type { Core } from './core.ts';
import type { Input, RejectReason, RequestId } from './effects.ts';
import type { Leadership } from './leadership.ts';
import {
  isJoint,
  isSameMembership,
  isSound,
  isVoter,
  leaveJoint,
  type Membership,
  membersOf,
  towards,
} from './membership.ts';
import type { ReplicaId } from './messages.ts';
import { hasQuorum } from './quorum.ts';

export function changeMembership(core: Core, input: Extract<Input, { kind: 'change-membership' }>): void {
  const { request, change } = input;
  const { lead, leader } = core;
  const reason = lead === null ? 'not-leader' : refusal(core, lead, change);
  if (reason === null) appendMembership(core, towards(core.membership, change), request);
  else core.emit({ kind: 'reject', request, reason, leader });
}

/** What follows by itself: out of a joint membership, and learners into the next one. */
export function settleMembership(core: Core, lead: Leadership): void {
  followMembers(core, lead);
  if (!isSettled(core, lead)) return;
  const { membership } = core;
  if (isJoint(membership)) appendMembership(core, leaveJoint(membership), null);
  else promoteOne(core, lead, membership);
  followMembers(core, lead);
}

/** Whether it leads others without being one of them, and they can go on alone. */
export function isRemoved(core: Core, lead: Leadership): boolean {
  return isSettled(core, lead) && !isJoint(core.membership) && !isVoter(core.membership, core.id);
}

/**
 * Whether whoever decides under `membership` is alive. A new leader presumes so of everybody at first; for a
 * change it must have heard them: who was lost meanwhile would leave the others without a quorum.
 */
export function isQuorumAlive(
  core: Core,
  lead: Leadership,
  alive: { readonly under: Membership; readonly evidence: 'heard' | 'presumed' },
): boolean {
  return hasQuorum(alive.under, (id) => {
    const progress = lead.peers.get(id);
    if (progress === undefined) return id === core.id;
    const isKnown = progress.isHeard || alive.evidence === 'presumed';
    return isKnown && !progress.isRecovering && progress.silentTicks < core.options.electionTicksMin;
  });
}

/** No change is under way, and this leader knows what is committed. */
function isSettled(core: Core, lead: Leadership): boolean {
  return core.committed >= lead.firstIndex && core.committed >= core.memberships.latest.index;
}

function refusal(
  core: Core,
  lead: Leadership,
  change: Extract<Input, { kind: 'change-membership' }>['change'],
): RejectReason | null {
  if (lead.transfer !== null) return 'transferring';
  if (!isSettled(core, lead) || isJoint(core.membership)) return 'not-ready';
  const next = towards(core.membership, change);
  const lists = [change.voters, change.learners, change.promoting];
  if (!isSound(next) || lists.some((list) => new Set(list).size !== list.length)) return 'invalid';
  if (isSameMembership(next, core.membership)) return 'unchanged';
  const fresh = next.voters.filter((id) => !core.membership.voters.includes(id));
  if (!fresh.every((id) => lead.peers.get(id)?.isCaughtUp === true)) return 'not-caught-up';
  return isQuorumAlive(core, lead, { under: next, evidence: 'heard' }) ? null : 'quorum-lost';
}

/** One at a time: each is a change of its own. */
function promoteOne(core: Core, lead: Leadership, membership: Membership): void {
  const isReady = (id: ReplicaId): boolean => {
    const progress = lead.peers.get(id);
    return progress?.isCaughtUp === true && !progress.isRecovering;
  };
  const promoted = lead.transfer === null ? membership.promoting.find(isReady) : undefined;
  if (promoted === undefined) return;
  const without = (ids: readonly ReplicaId[]): ReplicaId[] => ids.filter((id) => id !== promoted);
  const next = towards(membership, {
    voters: [...membership.voters, promoted],
    learners: without(membership.learners),
    promoting: without(membership.promoting),
  });
  if (isQuorumAlive(core, lead, { under: next, evidence: 'heard' })) appendMembership(core, next, null);
}

function appendMembership(core: Core, membership: Membership, request: RequestId | null): void {
  const index = nextIndex(core.log.last);
  core.append({
    runs: [{ first: index, term: core.term }],
    sizes: [0],
    memberships: [{ index, membership }],
    truncateAfter: null,
    content: { kind: 'membership', membership, request },
  });
}

/** Those of the membership before are followed until the one in force is committed: they shall hear of it. */
function followMembers(core: Core, lead: Leadership): void {
  const { latest, before } = core.memberships;
  const isOpen = latest.index > core.committed;
  if (lead.followed === latest && lead.isFollowedOpen === isOpen) return;
  lead.followed = latest;
  lead.isFollowedOpen = isOpen;
  const followed = new Set(membersOf(latest.membership));
  if (isOpen) for (const id of membersOf(before.membership)) followed.add(id);
  followed.delete(core.id);
  for (const id of followed) lead.follow(id, core.log.last);
  for (const [id, progress] of lead.peers) {
    if (followed.has(id)) continue;
    // The last that it hears: what it acknowledged of its own removal is committed.
    const committed = progress.match < core.committed ? progress.match : core.committed;
    core.say({ kind: 'heartbeat', to: id, committed, round: lead.round });
    lead.peers.delete(id);
  }
}
