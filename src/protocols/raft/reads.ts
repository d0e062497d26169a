/**
 * Reads without an entry: at which index a state is fresh enough.
 *
 * A leader answers with what was committed when the read came, once a quorum has shown, by answering a round
 * of heartbeats that began after that, that no later leader had been elected. All reads that come while a
 * round is out share the next one. Before it has committed an entry of its own term it answers nothing: it
 * may not know yet what is committed. A follower asks its leader, one question at a time for all its reads.
 *
 * With a lease the leader does not ask: those that answered its last round help nobody else for a while. That
 * is as good as the clocks: see `leaseTicks`, and `clockDriftMax`.
 *
 * Source: Ongaro 2014, processing read-only queries more efficiently.
 */

import type { Core } from './core.ts';
import type { Input, RequestId } from './effects.ts';
import type { Leadership, ReadOrigin } from './leadership.ts';
import type { ReadIndex, ReadIndexReply } from './messages.ts';
import { NOBODY } from './messages.ts';
import { leaseTicks } from './options.ts';
import { quorumReached } from './quorum.ts';

export function read(core: Core, { request, consistency }: Extract<Input, { kind: 'read' }>): void {
  const { lead } = core;
  if (lead === null) {
    askLeader(core, request);
    return;
  }
  if (consistency === 'lease' && hasLease(core, lead)) {
    core.emit({ kind: 'read-ready', request, index: core.committed });
    return;
  }
  if (lead.waitingReads.length >= core.options.readsMax) core.failRead(request, 'busy');
  else lead.waitingReads.push({ origin: { kind: 'own', request } });
}

/** A follower asks for its reads. */
export function onReadIndex(core: Core, { from, ask, incarnation }: ReadIndex): void {
  const { lead } = core;
  if (lead === null || lead.waitingReads.length >= core.options.readsMax) {
    core.say({ kind: 'read-index-reply', to: from, ask, forIncarnation: incarnation, index: null });
    return;
  }
  lead.waitingReads.push({ origin: { kind: 'peer', from, ask, incarnation } });
}

export function onReadIndexReply(core: Core, { ask, forIncarnation, index }: ReadIndexReply): void {
  const { reads } = core;
  if (forIncarnation !== core.incarnation || ask !== reads.ask || reads.asking === null) return;
  const requests = reads.asking;
  reads.asking = null;
  for (const request of requests) {
    if (index === null) core.failRead(request, 'no-leader');
    else core.emit({ kind: 'read-ready', request, index });
  }
  askNext(core);
}

/** Questions and answers get lost: whoever waited for long is told. */
export function tickFollowerReads(core: Core, ticks: number): void {
  const { reads } = core;
  if (reads.asking === null) return;
  reads.ticks += ticks;
  if (reads.ticks >= core.options.electionTicksMin) core.failFollowerReads('timeout');
}

/** Answers the reads whose round is complete, and begins the next round. */
export function settleReads(core: Core, lead: Leadership): void {
  if (!lead.hasOpenRounds && lead.waitingReads.length === 0) return;
  const answered = roundAnswered(core, lead);
  lead.closeRounds(answered);
  if (core.committed < lead.firstIndex) return;
  if (lead.readRound !== null && lead.readRound.round <= answered) {
    const { reads, index } = lead.readRound;
    lead.readRound = null;
    for (const { origin } of reads) answer(core, origin, index);
  }
  if (lead.readRound !== null || lead.waitingReads.length === 0) return;
  const reads = lead.waitingReads;
  lead.waitingReads = [];
  lead.readRound = { round: sendHeartbeats(core, lead), index: core.committed, reads };
  if (roundAnswered(core, lead) === lead.round) settleReads(core, lead); // Alone it is its own quorum.
}

/** The last round that a quorum answered, itself included. */
function roundAnswered(core: Core, lead: Leadership): number {
  return quorumReached(core.membership, (id) => {
    if (id === core.id) return lead.round;
    const progress = lead.peers.get(id);
    return progress === undefined || progress.isRecovering ? 0 : progress.ackedRound;
  });
}

/** A round of heartbeats. @returns Its number. */
export function sendHeartbeats(core: Core, lead: Leadership): number {
  const round = lead.openRound();
  lead.ticksSinceHeartbeat = 0;
  for (const progress of lead.peers.values()) {
    const committed = progress.match < core.committed ? progress.match : core.committed;
    progress.noteHeartbeat(round);
    core.say({ kind: 'heartbeat', to: progress.id, committed, round });
  }
  return round;
}

function hasLease(core: Core, lead: Leadership): boolean {
  return (
    !lead.hasTransferred &&
    core.committed >= lead.firstIndex &&
    lead.leaseBeganAt !== null &&
    lead.ticks - lead.leaseBeganAt <= leaseTicks(core.options)
  );
}

function answer(core: Core, origin: ReadOrigin, index: Core['committed']): void {
  if (origin.kind === 'own') {
    core.emit({ kind: 'read-ready', request: origin.request, index });
    return;
  }
  const { from: to, ask, incarnation: forIncarnation } = origin;
  core.say({ kind: 'read-index-reply', to, ask, forIncarnation, index });
}

function askLeader(core: Core, request: RequestId): void {
  const { reads } = core;
  const isFull = reads.waiting.length >= core.options.readsMax;
  if (core.leader === NOBODY || isFull) {
    core.failRead(request, isFull ? 'busy' : 'no-leader');
    return;
  }
  reads.waiting.push(request);
  askNext(core);
}

function askNext(core: Core): void {
  const { reads } = core;
  if (reads.asking !== null || reads.waiting.length === 0) return;
  reads.asking = reads.waiting;
  reads.waiting = [];
  reads.ask++;
  reads.ticks = 0;
  core.say({ kind: 'read-index', to: core.leader, ask: reads.ask });
}
