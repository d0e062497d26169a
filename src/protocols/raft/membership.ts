/**
 * Who takes part: voters and learners, and while voters change, both sets of them (joint consensus).
 *
 * A membership is used from the moment its entry is in the log, committed or not, and is given up when that
 * entry is truncated. While `outgoing` is not empty, whatever is decided needs a majority of `voters` and a
 * majority of `outgoing`: no point in time has two majorities that do not meet.
 *
 * Source: Ongaro, "Consensus: Bridging Theory and Practice", 2014: cluster membership changes, with
 * arbitrary changes by joint consensus, and catching up new servers in rounds.
 */

import { assert } from '../../base/assert.ts';
import type { Index } from '../../base/positions.ts';
import type { MembershipChange } from './effects.ts';
import type { MembershipEntry, ReplicaId } from './messages.ts';

/** Bound of all replicas of a membership together: a quorum is counted over them for each acknowledgement. */
export const MEMBERS_MAX = 64;

/** All lists ascending and without repetition. */
export interface Membership {
  readonly voters: readonly ReplicaId[];
  /** The voters before, while they change; else empty. */
  readonly outgoing: readonly ReplicaId[];
  /** They get the log and do not count. None of them is in `voters`; one that is a voter no more may be. */
  readonly learners: readonly ReplicaId[];
  /** Of the learners, those that become voters when they have caught up. */
  readonly promoting: readonly ReplicaId[];
}

/** A membership that nothing is changing. */
export function membershipOf(voters: readonly ReplicaId[], learners: readonly ReplicaId[] = []): Membership {
  return { voters: ascending(voters), outgoing: [], learners: ascending(learners), promoting: [] };
}

/** Everybody, ascending. */
export function membersOf({ voters, outgoing, learners }: Membership): ReplicaId[] {
  return ascending([...voters, ...outgoing, ...learners]);
}

export function isVoter({ voters, outgoing }: Membership, id: ReplicaId): boolean {
  return voters.includes(id) || outgoing.includes(id);
}

export function isJoint({ outgoing }: Membership): boolean {
  return outgoing.length > 0;
}

/** Whether the lists can be a membership at all. */
export function isSound({ voters, outgoing, learners, promoting }: Membership): boolean {
  const lists = [voters, outgoing, learners, promoting];
  return (
    voters.length > 0 &&
    new Set(lists.flat()).size <= MEMBERS_MAX &&
    lists.every((list) => list.every((id, at) => Number.isSafeInteger(id) && id > (list[at - 1] ?? 0))) &&
    learners.every((id) => !voters.includes(id)) &&
    promoting.every((id) => learners.includes(id))
  );
}

/** What leads to `change`: a joint membership if voters change, else the membership itself. */
export function towards(now: Membership, change: MembershipChange): Membership {
  assert(!isJoint(now), 'one change at a time');
  const wanted = {
    voters: ascending(change.voters),
    outgoing: [],
    learners: ascending(change.learners),
    promoting: ascending(change.promoting),
  };
  return isSame(now.voters, wanted.voters) ? wanted : { ...wanted, outgoing: now.voters };
}

/** What follows on a joint membership. */
export function leaveJoint(joint: Membership): Membership {
  return { ...joint, outgoing: [] };
}

export function isSameMembership(one: Membership, other: Membership): boolean {
  return (
    isSame(one.voters, other.voters) &&
    isSame(one.outgoing, other.outgoing) &&
    isSame(one.learners, other.learners) &&
    isSame(one.promoting, other.promoting)
  );
}

/**
 * The memberships of a log: those in its entries, and the one in force where it begins.
 *
 * Invariant: indices ascend; the first is the one in force at the place that the log was compacted to.
 */
export class MembershipHistory {
  #entries: MembershipEntry[];

  constructor(base: MembershipEntry, inLog: readonly MembershipEntry[]) {
    this.#entries = [base];
    for (const entry of inLog) this.append(entry);
  }

  /** The one in force: the highest index wins. */
  get latest(): MembershipEntry {
    return this.#entries.at(-1)!;
  }

  /** The one before the latest; the latest itself if there is no other. */
  get before(): MembershipEntry {
    return this.#entries.at(-2) ?? this.latest;
  }

  /** The one in force at `index`. */
  at(index: Index): MembershipEntry {
    return this.#entries.findLast((entry) => entry.index <= index) ?? this.#entries[0]!;
  }

  /** Those in the entries `first` to `last`. */
  between(first: Index, last: Index): MembershipEntry[] {
    if (this.latest.index < first) return [];
    return this.#entries.filter(({ index }) => index >= first && index <= last);
  }

  append(entry: MembershipEntry): void {
    if (entry.index > this.latest.index) this.#entries.push(entry);
  }

  truncateAfter(index: Index): void {
    while (this.#entries.length > 1 && this.latest.index > index) this.#entries.pop();
  }

  compactTo(index: Index): void {
    while ((this.#entries[1]?.index ?? Infinity) <= index) this.#entries.shift();
  }

  resetTo(entry: MembershipEntry): void {
    this.#entries = [entry];
  }
}

function ascending(ids: readonly ReplicaId[]): ReplicaId[] {
  return [...new Set(ids)].sort((one, other) => one - other);
}

function isSame(one: readonly ReplicaId[], other: readonly ReplicaId[]): boolean {
  return one.length === other.length && one.every((id, at) => id === other[at]);
}
