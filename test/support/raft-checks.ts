/**
 * What must hold of a cluster, whatever happens to it: the five properties of figure 3 of the Raft paper,
 * what commits rest on, and fresh reads. Watches every effect of every replica.
 */

import { ok } from 'node:assert';
import {
  type Effect,
  type Membership,
  membershipOf,
  type ReplicaId,
} from '../../src/protocols/raft/index.ts';
import { hasQuorum } from '../../src/protocols/raft/quorum.ts';
import type { HostEntry, RaftHost } from './raft-host.ts';

interface Committed {
  readonly term: number;
  readonly value: number;
}

export class RaftChecks {
  readonly leaders = new Map<number, ReplicaId>();
  /** By index; what any replica ever took for committed. */
  readonly committed: Committed[] = [
    { term: 0, value: 0 },
    { term: 0, value: 0 },
  ];
  commits = 0;
  readsAnswered = 0;
  readsFailed = 0;
  /** Replicas that lost some of their disk: what they acknowledged may be gone. */
  readonly damaged = new Set<ReplicaId>();
  readonly #hosts: ReadonlyMap<ReplicaId, RaftHost>;
  /** By replica: what it had last announced, in the order of its effects. */
  readonly #inForce = new Map<ReplicaId, Membership>();
  /** What was committed when a read began, by request. */
  #newestTerm = 0;
  readonly #reads = new Map<number, number>();

  constructor(hosts: ReadonlyMap<ReplicaId, RaftHost>) {
    this.#hosts = hosts;
  }

  get committedTo(): number {
    return this.committed.length - 1;
  }

  /** Whoever was elected last; 0 for nobody. */
  get newestLeader(): ReplicaId {
    return this.leaders.get(this.#newestTerm) ?? 0;
  }

  beginRead(request: number): void {
    this.#reads.set(request, this.committedTo);
  }

  watch(host: RaftHost, effect: Effect): void {
    switch (effect.kind) {
      case 'become':
        if (effect.role === 'leader') this.#onLeader(host, effect.term);
        break;
      case 'use-membership':
        this.#inForce.set(host.id, effect.membership);
        break;
      case 'commit':
        this.#onCommit(host, effect.index);
        break;
      case 'read-ready':
        this.#onRead(effect.request, effect.index);
        break;
      case 'read-failed':
        this.readsFailed++;
        this.#reads.delete(effect.request);
        break;
      case 'violation':
        ok(false, `replica ${host.id} sees a violation: ${JSON.stringify(effect.violation)}`);
        break;
      case 'contradicted':
        ok(
          this.damaged.has(host.id) || effect.reason === 'later-life',
          `replica ${host.id} is contradicted without reason: ${effect.reason} ${effect.value}`,
        );
        break;
      default:
    }
  }

  /** Logs that have an entry in common, by index and term, are equal up to it. */
  checkLogMatching(): void {
    const hosts = [...this.#hosts.values()];
    for (const one of hosts) {
      for (const other of hosts) {
        if (one.id < other.id) checkMatching(one, other);
      }
    }
  }

  #onLeader(host: RaftHost, term: number): void {
    const known = this.leaders.get(term);
    ok(
      known === undefined || known === host.id,
      `election safety: ${known} and ${host.id} lead term ${term}`,
    );
    this.leaders.set(term, host.id);
    if (term > this.#newestTerm) this.#newestTerm = term;
    for (let index = host.base + 1; index <= this.committedTo; index++) {
      const entry = host.entryAt(index);
      const want = this.committed[index]!;
      ok(
        entry !== undefined && entry.term === want.term && entry.value === want.value,
        `leader completeness: ${host.id} leads term ${term} without the committed ${index}`,
      );
    }
  }

  #onCommit(host: RaftHost, to: number): void {
    for (let index = Math.max(host.committed, host.base) + 1; index <= to; index++) {
      const entry = host.entryAt(index);
      ok(entry !== undefined, `replica ${host.id} commits ${index}, which its log does not have`);
      const known = this.committed[index];
      if (known === undefined) {
        this.#checkDurable(host, index, entry);
        this.committed[index] = { term: entry.term, value: entry.value };
        this.commits++;
      } else {
        ok(
          known.term === entry.term && known.value === entry.value,
          `state machine safety: ${index} is ${entry.term}/${entry.value} at ${host.id}, not ${shown(known)}`,
        );
      }
    }
  }

  /** Commits rest on the disks of a quorum, of the membership that decides about them. */
  #checkDurable(host: RaftHost, index: number, entry: HostEntry): void {
    const has = (id: ReplicaId): boolean => {
      const other = this.#hosts.get(id);
      if (other === undefined) return false;
      if (this.damaged.has(id) || index <= other.disk.compactedTo) return true;
      return other.durableAt(index)?.term === entry.term;
    };
    const membership = this.#inForce.get(host.id)!;
    ok(hasQuorum(membership, has), `${index} is committed by ${host.id}, but not durable on a quorum`);
  }

  #onRead(request: number, index: number): void {
    const began = this.#reads.get(request);
    if (began === undefined) return;
    this.#reads.delete(request);
    this.readsAnswered++;
    ok(index >= began, `a read that began when ${began} was committed was answered at ${index}`);
  }
}

function checkMatching(one: RaftHost, other: RaftHost): void {
  const first = Math.max(one.base, other.base) + 1;
  let isEqual: 'unknown' | 'equal' = 'unknown';
  for (let index = Math.min(one.last, other.last); index >= first; index--) {
    const [mine, theirs] = [one.entryAt(index)!, other.entryAt(index)!];
    if (mine.term === theirs.term) isEqual = 'equal';
    ok(
      isEqual === 'unknown' || (mine.term === theirs.term && mine.value === theirs.value),
      `log matching: ${one.id} and ${other.id} differ at ${index} below an equal entry`,
    );
  }
}

function shown({ term, value }: Committed): string {
  return `${term}/${value}`;
}

/** The replicas 1 to `count` vote. */
export function votersUpTo(count: number): Membership {
  return membershipOf(Array.from({ length: count }, (_, at) => at + 1));
}
