/**
 * Majorities, of one set of voters or of both while voters change.
 *
 * Invariant: two quorums of one membership meet, and so do a quorum of a joint membership and one of either
 * set that it joins. Everything that Raft promises rests on this.
 */

import type { Membership } from './membership.ts';
import type { ReplicaId } from './messages.ts';

/** Whether those for whom `has` holds decide. */
export function hasQuorum(membership: Membership, has: (id: ReplicaId) => boolean): boolean {
  return hasMajority(membership.voters, has) && hasMajority(membership.outgoing, has);
}

/** The highest value that a quorum has reached. */
export function quorumReached(membership: Membership, reachedBy: (id: ReplicaId) => number): number {
  const reached = majorityReached(membership.voters, reachedBy);
  if (membership.outgoing.length === 0) return reached;
  return Math.min(reached, majorityReached(membership.outgoing, reachedBy));
}

/** `lost`: whoever has not spoken yet cannot turn it any more. */
export function voteOutcome(
  membership: Membership,
  votes: ReadonlyMap<ReplicaId, boolean>,
): 'won' | 'lost' | 'open' {
  if (hasQuorum(membership, (id) => votes.get(id) === true)) return 'won';
  return hasQuorum(membership, (id) => votes.get(id) !== false) ? 'open' : 'lost';
}

function hasMajority(voters: readonly ReplicaId[], has: (id: ReplicaId) => boolean): boolean {
  if (voters.length === 0) return true;
  let count = 0;
  for (const id of voters) if (has(id)) count++;
  return count * 2 > voters.length;
}

function majorityReached(voters: readonly ReplicaId[], reachedBy: (id: ReplicaId) => number): number {
  const reached = voters.map(reachedBy).sort((one, other) => other - one);
  return reached[Math.floor(voters.length / 2)]!;
}
