/**
 * How a leader brings its log to its peers: batches ahead of their answers, the search for the place where
 * two logs match, entries from disk for whoever is far behind, and a state for whoever is further.
 *
 * The search is two-sided. A follower that lacks `previousIndex` names its last place whose term is not above
 * the leader's there; the leader goes on from its own last place whose term is not above that one. Each round
 * trip thus passes over a run of equal terms, in either log.
 *
 * Sources: Ongaro & Ousterhout 2014, log replication; etcd-io/raft for the search and for optimistic `next`.
 */

import { type Index, nextIndex, previousIndex, toIndex } from '../../base/positions.ts';
import type { Core } from './core.ts';
import type { Leadership } from './leadership.ts';
import type { AppendReject, AppendReply, HeartbeatReply, Message } from './messages.ts';
import type { Progress } from './progress.ts';

type Matched = Pick<AppendReply, 'match' | 'received'>;

/** Another life of a peer than the one that was heard before: what it acknowledged is to be shown again. */
export function noteLife(core: Core, from: number): void {
  core.lead?.peers.get(from)?.beginLife();
}

/** A peer was heard in this term. */
export function noteAlive(progress: Progress, message: Message): void {
  progress.silentTicks = 0;
  progress.isHeard = true;
  if (
    message.kind === 'append-reply' ||
    message.kind === 'append-reject' ||
    message.kind === 'heartbeat-reply'
  )
    progress.isRecovering = message.isRecovering;
}

/** Also of a heartbeat's answer: what it has matched, it has matched. */
export function onMatched(core: Core, progress: Progress, { match, received }: Matched): void {
  if (received > core.log.last) return; // Of a log that this leader does not have: nothing to learn from it.
  progress.acknowledge(match);
  const isInstalled = progress.mode === 'installing' && match >= core.log.compactedTo;
  const isFound = progress.mode === 'probing' && received >= previousIndex(progress.next);
  if (isInstalled || isFound) progress.restartAt('replicating', nextIndex(received));
}

export function onAppendReject(core: Core, progress: Progress, reject: AppendReject): void {
  if (reject.lastIndex < progress.claimed && !reject.isRecovering) {
    contradict(core, progress);
    return;
  }
  if (reject.rejected <= progress.match) return; // Said before what it acknowledged since.
  if (progress.mode === 'installing') return;
  if (progress.mode === 'probing' && reject.rejected !== previousIndex(progress.next)) return;
  progress.restartAt('probing', searchFrom(core, reject));
}

/**
 * Where to go on: behind the last place that may match, or before the log, if that is below what is
 * compacted.
 */
function searchFrom({ log }: Core, { hintIndex, hintTerm }: AppendReject): Index {
  const candidate = log.lastNotAbove(hintIndex, hintTerm);
  const isInLog = candidate <= hintIndex && log.termAt(candidate)! <= hintTerm;
  return isInLog ? nextIndex(candidate) : log.compactedTo;
}

export function onHeartbeatReply(core: Core, progress: Progress, reply: HeartbeatReply): void {
  const { round, received } = reply;
  if (round > progress.ackedRound) progress.ackedRound = round;
  onMatched(core, progress, reply);
  const sent = progress.sentBefore(round);
  if (progress.mode === 'replicating' && sent !== null && sent > received) {
    progress.restartAt('replicating', nextIndex(received)); // Channels keep their order: it got lost.
  }
  if (progress.probeRound !== null && round > progress.probeRound) progress.probeRound = null;
}

export function onLoaded(core: Core, lead: Leadership, load: number, sizes: readonly number[]): void {
  const progress = [...lead.peers.values()].find((each) => each.load === load);
  if (progress === undefined) return; // Of another term, or not needed any more.
  progress.load = 0;
  const last = toIndex(progress.loadFirst + sizes.length - 1);
  if (progress.mode !== 'replicating' || progress.loadFirst !== progress.next || last > core.log.last) return;
  if (sizes.length > 0) {
    sendAppend(core, progress, sizes);
    return;
  }
  // The host has not got it now: it is asked again a heartbeat later.
  progress.restartAt('probing', progress.next);
  progress.probeRound = lead.round;
}

/** Everything that may go out now, to everybody. */
export function replicate(core: Core, lead: Leadership): void {
  for (const progress of lead.peers.values()) replicateTo(core, lead, progress);
}

function replicateTo(core: Core, lead: Leadership, progress: Progress): void {
  const { inflightMessagesMax, inflightBytesMax } = core.options;
  if (progress.mode === 'installing') return;
  if (previousIndex(progress.next) < core.log.compactedTo) {
    offerState(core, progress);
    return;
  }
  if (progress.mode === 'probing') {
    if (progress.probeRound === null) sendProbe(core, lead, progress);
    return;
  }
  while (progress.next <= core.log.last && progress.hasRoom(inflightMessagesMax, inflightBytesMax)) {
    if (progress.next < core.sizes.first) {
      askToLoad(core, lead, progress);
      return;
    }
    sendAppend(core, progress, batchFrom(core, progress.next));
  }
  const isIdle = progress.next > core.log.last && progress.inflightCount === 0;
  if (isIdle && progress.toldCommitted < core.committed) sendAppend(core, progress, []);
}

/** The next entries with it if they are in memory, so that a match costs no further round trip. */
function sendProbe(core: Core, lead: Leadership, progress: Progress): void {
  const { next } = progress;
  const isInMemory = next >= core.sizes.first && next <= core.log.last;
  sendAppend(core, progress, isInMemory ? batchFrom(core, next) : []);
  progress.probeRound = lead.round;
}

function batchFrom(core: Core, first: Index): number[] {
  const { appendEntriesMax: countMax, appendBytesMax: bytesMax } = core.options;
  return core.sizes.cut(first, core.log.last, { countMax, bytesMax });
}

function sendAppend(core: Core, progress: Progress, sizes: readonly number[]): void {
  const { next } = progress;
  const previous = previousIndex(next);
  const last = toIndex(previous + sizes.length);
  core.say({
    kind: 'append',
    to: progress.id,
    previousIndex: previous,
    previousTerm: core.log.termAt(previous)!,
    runs: core.log.runsOf(next, last),
    sizes,
    memberships: core.memberships.between(next, last),
    committed: core.committed,
  });
  progress.toldCommitted = core.committed;
  if (progress.mode !== 'replicating' || sizes.length === 0) return;
  let bytes = 0;
  for (const size of sizes) bytes += size;
  progress.noteSent(last, bytes);
}

/** One load at a time for each peer; the others go on meanwhile. */
function askToLoad(core: Core, lead: Leadership, progress: Progress): void {
  if (progress.load !== 0) return;
  const { appendEntriesMax, appendBytesMax } = core.options;
  const first = progress.next;
  const last = toIndex(Math.min(first + appendEntriesMax - 1, core.log.last));
  progress.load = ++lead.loadCount;
  progress.loadFirst = first;
  core.emit({ kind: 'load', load: progress.load, to: progress.id, first, last, bytesMax: appendBytesMax });
}

/**
 * Without a checkpoint at or after the place that the log was compacted to, there is nothing to offer yet.
 */
function offerState(core: Core, progress: Progress): void {
  const state = core.checkpoint;
  if (state === null || state.index < core.log.compactedTo) return;
  progress.restartAt('probing', progress.next);
  progress.mode = 'installing';
  progress.offered = state;
  progress.offeredTicks = 0;
  core.say({ kind: 'offer-state', to: progress.id, state, membership: core.memberships.at(state.index) });
}

/** Offers get lost, and states get old: whoever has not answered for long is asked again where it is. */
export function tickOffer(core: Core, progress: Progress, ticks: number): void {
  if (progress.mode !== 'installing') return;
  progress.offeredTicks += ticks;
  if (progress.offeredTicks >= core.options.electionTicksMin) progress.restartAt('probing', progress.next);
}

/** It acknowledged what it no longer has: its disk went back in time, and it does not know. */
function contradict(core: Core, progress: Progress): void {
  const { id: to, claimed: acknowledged } = progress;
  core.say({ kind: 'contradict', to, knownIncarnation: core.lives.get(to) ?? 0, acknowledged });
}
