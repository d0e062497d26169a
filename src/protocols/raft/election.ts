/**
 * Elections: who stands, who votes for whom, and when.
 *
 * A replica first asks whether it would be elected (pre-vote), which changes nothing anywhere; only then it
 * begins a term. Whoever heard a leader within the minimum election timeout helps nobody against it, and does
 * not let its own term be raised, unless that leader itself asked for the election.
 *
 * A vote leaves when the status that holds it is durable. A candidate's own counts from then on too.
 *
 * Sources: Ongaro & Ousterhout 2014, leader election and election restriction; Ongaro 2014, preventing
 * disruptions when a server rejoins the cluster (pre-vote), and disruptive servers.
 */

import { nextTerm } from '../../base/positions.ts';
import type { Core } from './core.ts';
import {
  NOBODY,
  type PreVote,
  type PreVoteReply,
  type ReplicaId,
  type Vote,
  type VoteReply,
} from './messages.ts';
import { voteOutcome } from './quorum.ts';

/** What the last vote decided. */
export type Elected = 'elected' | 'not-elected';

/** Time passes for one that does not lead. */
export function tickElection(core: Core, ticks: number): Elected {
  core.sinceLeader += ticks;
  core.elapsed += ticks;
  if (core.elapsed < core.timer.ticks) return 'not-elected';
  if (core.canLead) return standForPreVote(core);
  core.becomeFollower(core.term, NOBODY); // It can only wait, and no longer sends anybody to that leader.
  return 'not-elected';
}

export function onPreVote(core: Core, { from: to, term, lastIndex, lastTerm }: PreVote): void {
  const isGranted =
    core.standing === 'voting' &&
    term > core.term &&
    !core.hearsLeader &&
    core.log.isCoveredBy(lastTerm, lastIndex);
  // A refusal carries this replica's own term: one that is behind would else ask for ever.
  core.say({ kind: 'pre-vote-reply', to, isGranted, ...(isGranted ? { term } : {}) });
}

export function onPreVoteReply(core: Core, { from, term, isGranted }: PreVoteReply): Elected {
  if (core.role !== 'pre-candidate') return 'not-elected';
  if (term !== (isGranted ? nextTerm(core.term) : core.term)) return 'not-elected';
  core.votes.set(from, isGranted);
  return decide(core);
}

/** In this replica's term. */
export function onVote(core: Core, { from, lastIndex, lastTerm }: Vote): void {
  const isGranted =
    core.standing === 'voting' &&
    (core.vote === from || (core.vote === NOBODY && core.leader === NOBODY)) &&
    core.log.isCoveredBy(lastTerm, lastIndex);
  if (isGranted) {
    if (core.vote !== from) core.changeStatus({ vote: from });
    core.restartTimer();
  }
  core.promise({ kind: 'vote-reply', to: from, isGranted });
}

/** In this replica's term. */
export function onVoteReply(core: Core, { from, isGranted }: VoteReply): Elected {
  if (core.role !== 'candidate') return 'not-elected';
  core.votes.set(from, isGranted);
  return decide(core);
}

/** A status became durable: perhaps with the candidate's vote for itself. */
export function onStatusDurable(core: Core): Elected {
  if (core.role !== 'candidate' || core.votes.has(core.id)) return 'not-elected';
  if (!core.isStatusDurable(core.ownVotePersist)) return 'not-elected';
  core.votes.set(core.id, true);
  return decide(core);
}

/** Begins a term. After `transfer` the leader itself asked for it. */
export function standForElection(core: Core, cause: Vote['cause']): Elected {
  core.changeStatus({ term: nextTerm(core.term), vote: core.id });
  core.stand('candidate');
  const after = core.statusNeeded();
  core.ownVotePersist = after ?? 0;
  const { last: lastIndex, lastTerm } = core.log;
  for (const to of otherVoters(core)) core.say({ kind: 'vote', to, lastIndex, lastTerm, cause }, after);
  return 'not-elected';
}

function standForPreVote(core: Core): Elected {
  core.stand('pre-candidate');
  core.votes.set(core.id, true);
  const { last: lastIndex, lastTerm } = core.log;
  const term = nextTerm(core.term);
  for (const to of otherVoters(core)) core.say({ kind: 'pre-vote', to, term, lastIndex, lastTerm });
  return decide(core);
}

function decide(core: Core): Elected {
  const outcome = voteOutcome(core.membership, core.votes);
  if (outcome === 'lost') core.becomeFollower(core.term, NOBODY);
  if (outcome !== 'won') return 'not-elected';
  return core.role === 'pre-candidate' ? standForElection(core, 'timeout') : 'elected';
}

function otherVoters({ membership, id }: Core): ReplicaId[] {
  const voters = new Set([...membership.voters, ...membership.outgoing]);
  return [...voters].filter((voter) => voter !== id);
}
