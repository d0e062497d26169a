/**
 * What a follower does with what its leader says: it makes its log equal to the leader's, and acknowledges
 * what is durable.
 *
 * An acknowledgement leaves when the log persist that it rests on has been reported, so that one says all
 * that a sync made durable; and never before the status with its term is.
 *
 * Source: Ongaro & Ousterhout 2014, figure 2, AppendEntries RPC.
 */

import { type Index, nextIndex, previousIndex, toIndex } from '../../base/positions.ts';
import type { Core } from './core.ts';
import { isSound } from './membership.ts';
import type { Append, Heartbeat, OfferState, Readmit, TermRun } from './messages.ts';

export function onAppend(core: Core, message: Append): void {
  const { previousIndex: previous, previousTerm } = message;
  const known = core.log.termAt(previous);
  if (previous > core.log.last || (known !== null && known !== previousTerm)) {
    rejectAppend(core, message);
    return;
  }
  if (message.sizes.length > 0 && !receive(core, message)) return;
  const last = toIndex(previous + message.sizes.length);
  if (last > core.verified) core.verified = last;
  core.commitTo(message.committed < core.verified ? message.committed : core.verified);
  if (core.durable >= last) acknowledge(core); // Else when it is.
}

export function acknowledge(core: Core): void {
  core.promise({ kind: 'append-reply', to: core.leader, ...matched(core), isRecovering: isRecovering(core) });
}

/** What equals the leader's log: durable, and in memory. */
function matched({ durable, verified }: Core): { readonly match: Index; readonly received: Index } {
  return { match: durable < verified ? durable : verified, received: verified };
}

export function onHeartbeat(core: Core, { committed, round }: Heartbeat): void {
  // A leader says no more than this replica acknowledged: with a shorter log, it lost some of it.
  if (committed > core.log.last) core.contradict('committed', committed);
  core.commitTo(committed < core.verified ? committed : core.verified);
  const to = core.leader;
  core.promise({ kind: 'heartbeat-reply', to, round, ...matched(core), isRecovering: isRecovering(core) });
}

export function onOfferState(core: Core, { from, state, membership }: OfferState): void {
  if (state.index <= core.committed) {
    // It has that much: what it has of the leader's log, it can say.
    acknowledge(core);
    return;
  }
  if (!isSound(membership.membership)) return;
  if (core.fetching !== null && core.fetching.index >= state.index) return;
  core.fetching = state;
  core.emit({ kind: 'fetch-state', from, state, membership });
}

/**
 * Back among the voters: an entry that was appended after this life began to ask is committed without it, so
 * that no candidate can win any more by a vote of an earlier life. A vote in this term may have been given;
 * another one is ruled out by counting it as the leader's.
 */
export function onReadmit(core: Core, { from, forIncarnation, index }: Readmit): void {
  if (core.standing !== 'recovering' || forIncarnation !== core.incarnation) return;
  if (index > core.durable || index > core.verified) return;
  core.changeStatus({ standing: 'voting', vote: from });
}

/** What follows on an append that does not fit: see replication.ts. */
function rejectAppend(core: Core, { previousIndex: rejected, previousTerm }: Append): void {
  const hintIndex = core.log.lastNotAbove(rejected, previousTerm);
  core.promise({
    kind: 'append-reject',
    to: core.leader,
    rejected,
    hintIndex,
    hintTerm: core.log.termAt(hintIndex)!,
    lastIndex: core.log.last,
    isRecovering: isRecovering(core),
  });
}

/** Takes what it does not have yet. @returns False when the leader contradicts what is committed. */
function receive(core: Core, message: Append): boolean {
  const last = toIndex(message.previousIndex + message.sizes.length);
  const first = firstDifference(core, message.runs, last);
  if (first > last) return true;
  if (first <= core.committed) {
    core.emit({
      kind: 'violation',
      violation: { kind: 'committed-contradicted', index: first, from: message.from },
    });
    core.condition = 'stopped';
    return false;
  }
  core.append({
    runs: runsFrom(message.runs, first),
    sizes: message.sizes.slice(first - message.previousIndex - 1),
    memberships: message.memberships.filter(({ index }) => index >= first),
    truncateAfter: first <= core.log.last ? previousIndex(first) : null,
    content: { kind: 'received' },
  });
  return true;
}

/** The first entry of a message that this log lacks, or has with another term. */
function firstDifference(core: Core, runs: readonly TermRun[], last: Index): Index {
  for (const [at, { first, term }] of runs.entries()) {
    const runLast = at + 1 < runs.length ? previousIndex(runs[at + 1]!.first) : last;
    // Equal at its last entry is equal at all before it.
    if (runLast <= core.log.compactedTo || core.log.termAt(runLast) === term) continue;
    let index = first > core.log.compactedTo ? first : nextIndex(core.log.compactedTo);
    while (core.log.termAt(index) === term) index = nextIndex(index);
    return index;
  }
  return nextIndex(last);
}

function runsFrom(runs: readonly TermRun[], first: Index): TermRun[] {
  return runs
    .filter((_, at) => (runs[at + 1]?.first ?? Infinity) > first)
    .map((run) => (run.first < first ? { first, term: run.term } : run));
}

function isRecovering(core: Core): boolean {
  return core.standing === 'recovering';
}
