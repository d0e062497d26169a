/**
 * A cluster of Raft cores in one thread, from one seed: hosts with perfect disks and imperfect luck. Each
 * seed draws its own mix of faults. In the first phase they happen; in the second nothing more goes wrong,
 * and the cluster must elect a leader, bring everybody up to it, and commit what is proposed.
 *
 * Time is in units, of which a tick takes ten or so: each replica's clock has a rate of its own.
 */

import { ok } from 'node:assert';
import { toIndex } from '../../src/base/positions.ts';
import type { Effect, Message, RaftOptions, ReplicaId } from '../../src/protocols/raft/index.ts';
import { hasQuorum } from '../../src/protocols/raft/quorum.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { RaftChecks, votersUpTo } from './raft-checks.ts';
import { emptyDisk, firstDisk, type HostEntry, RaftHost, type World } from './raft-host.ts';

const TICK_UNITS = 20;
const ELECTION_TICKS = 10;
/** Length of a round of the second phase, in election timeouts: time for several elections. */
const CALM_TIMEOUTS = 15;
/** Rounds until the cluster must have settled: flow control of one entry at a time takes its time. */
const CALM_ROUNDS_MAX = 12;
/** Bound of both phases together: a seed that goes on for longer does not come to an end. */
const EVENTS_MAX = 400_000;

/** What a seed lets happen, and how often. Probabilities are per event of their kind. */
interface Mix {
  readonly replicas: number;
  readonly voters: number;
  readonly delayMax: number;
  readonly drop: number;
  readonly duplicate: number;
  /** Of a message that takes ten times as long. */
  readonly straggle: number;
  /** Of a crash before an effect. */
  readonly crash: number;
  /** Of a crash of the leader, at an action. */
  readonly crashLeader: number;
  readonly diskUnitsMax: number;
  readonly slowDisk: number;
  readonly partition: number;
  readonly damage: number;
  readonly change: number;
  readonly transfer: number;
  readonly compact: number;
  readonly drift: number;
  readonly actions: number;
  readonly consistency: 'read-index' | 'lease';
  readonly options: RaftOptions;
}

type SimEvent = { readonly at: number; readonly order: number; readonly run: () => void };

export interface SimResult {
  readonly steps: number;
  readonly commits: number;
  readonly reads: number;
  readonly terms: number;
  readonly faults: Readonly<Record<string, number>>;
}

export class RaftSim implements World {
  readonly hosts = new Map<ReplicaId, RaftHost>();
  readonly checks = new RaftChecks(this.hosts);
  readonly faults: Record<string, number> = {};
  steps = 0;
  trace: string[] | null = null;
  readonly #random: SeededRandom;
  readonly #mix: Mix;
  readonly #rates = new Map<ReplicaId, number>();
  readonly #blocked = new Set<number>();
  #queue = new EventQueue();
  #now = 0;
  #order = 0;
  #request = 0;
  #isCalm = false;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    this.#mix = drawMix(this.#random);
    const { replicas, voters } = this.#mix;
    for (let id = 1; id <= replicas; id++) {
      this.#rates.set(id, 1 + this.#random.below(1000) * (this.#mix.drift / 1000));
      this.#boot(id, id <= voters ? firstDisk(votersUpTo(voters)) : emptyDisk());
      this.#scheduleTick(id);
    }
  }

  run(): SimResult {
    const { actions } = this.#mix;
    for (let at = 0; at < actions; at++) {
      this.#after(this.#random.below(actions * 15), () => this.#act());
    }
    this.#runUntil(actions * 15);
    this.#calmDown();
    let missing: string | null = 'nothing has run';
    for (let round = 0; round < CALM_ROUNDS_MAX && missing !== null; round++) {
      this.#runUntil(this.#now + CALM_TIMEOUTS * ELECTION_TICKS * TICK_UNITS);
      missing = this.#findMissing();
    }
    if (missing !== null && this.#isQuorumLost()) this.#count('quorum lost');
    else ok(missing === null, missing ?? '');
    this.checks.checkLogMatching();
    const { commits, readsAnswered: reads, leaders } = this.checks;
    return { steps: this.steps, commits, reads, terms: leaders.size, faults: this.faults };
  }

  send(message: Message, entries: readonly HostEntry[]): void {
    const { drop, duplicate, straggle, delayMax } = this.#mix;
    if (!this.#isCalm && this.#random.happens(drop)) return this.#count('drop');
    const copies = !this.#isCalm && this.#random.happens(duplicate) ? 2 : 1;
    if (copies === 2) this.#count('duplicate');
    for (let copy = 0; copy < copies; copy++) {
      const isLate = !this.#isCalm && this.#random.happens(straggle);
      if (isLate) this.#count('straggle');
      const delay = 1 + this.#random.below(delayMax) * (isLate ? 20 : 1);
      this.#after(delay, () => this.#deliver(message, entries));
    }
  }

  watch(host: RaftHost, effect: Effect): void {
    this.#note(() => `${host.id} ! ${JSON.stringify(effect)}`);
    this.checks.watch(host, effect);
    if (effect.kind === 'persist-status' || effect.kind === 'append-log')
      this.#scheduleDisk(host, effect.kind);
    else if (effect.kind === 'load')
      this.#after(this.#random.below(40), () => this.#on(host, () => host.load()));
    else if (effect.kind === 'fetch-state') {
      this.#after(this.#random.below(400), () => this.#on(host, () => this.#install(host)));
    } else if (effect.kind === 'contradicted') {
      this.#count(`contradicted ${effect.reason}`);
    }
  }

  crashes(host: RaftHost): boolean {
    if (this.#isCalm || !this.#random.happens(this.#mix.crash)) return false;
    this.#crash(host);
    return true;
  }

  #boot(id: ReplicaId, disk: RaftHost['disk']): void {
    const settings = { seed: this.#random.u32(), options: this.#mix.options };
    const host = new RaftHost(id, disk, this, settings);
    this.hosts.set(id, host);
    this.#note(() => `${id} starts life ${disk.incarnation}, ${disk.standing}, term ${disk.term}`);
  }

  #crash(host: RaftHost): void {
    if (!host.isUp) return;
    this.#count('crash');
    this.#note(() => `${host.id} crashes`);
    host.crash(this.#random.below(host.pending.length + 1));
    this.#after(this.#random.below(this.#random.happens(0.5) ? 60 : 800), () => this.#restart(host));
  }

  #restart(host: RaftHost): void {
    if (this.hosts.get(host.id) !== host || host.isUp) return;
    if (!this.#isCalm && this.#random.happens(this.#mix.damage)) this.#damage(host);
    this.#boot(host.id, host.disk);
  }

  /** Loses the end of the log, or everything; only as long as a quorum of any membership is whole. */
  #damage(host: RaftHost): void {
    const isWhole = (id: ReplicaId): boolean =>
      id !== host.id && this.hosts.get(id)?.disk.standing === 'voting';
    const memberships = [...this.hosts.values()].flatMap(({ entries, disk }) => [
      disk.base.membership,
      ...entries.flatMap(({ membership }) => membership ?? []),
      ...disk.entries.flatMap(({ membership }) => membership ?? []),
    ]);
    if (!memberships.every((membership) => hasQuorum(membership, isWhole))) return;
    const { disk } = host;
    this.checks.damaged.add(host.id);
    disk.standing = 'recovering';
    if (this.#random.happens(0.5)) {
      this.#count('emptied');
      Object.assign(disk, { ...emptyDisk(), incarnation: disk.incarnation, standing: 'recovering' });
    } else {
      this.#count('damaged');
      disk.entries.length = this.#random.below(disk.entries.length + 1);
    }
  }

  #scheduleTick(id: ReplicaId): void {
    const units = Math.max(1, Math.round(TICK_UNITS * this.#rates.get(id)! * 10)) / 10;
    const tick = (): void => {
      this.steps++;
      this.hosts.get(id)!.tick();
      this.#after(units, tick);
    };
    this.#after(this.#random.below(TICK_UNITS), tick);
  }

  #scheduleDisk(host: RaftHost, kind: 'persist-status' | 'append-log'): void {
    const isSlow = !this.#isCalm && this.#random.happens(this.#mix.slowDisk);
    if (isSlow) this.#count('slow disk');
    const delay = 1 + this.#random.below(this.#mix.diskUnitsMax) * (isSlow ? 40 : 1);
    const complete = (): void =>
      this.#on(host, () => {
        if (kind === 'persist-status') host.persistOldest('status');
        else if (host.canPersistLog()) host.persistOldest('log');
        else if (host.pending.some((write) => write.kind === 'log')) this.#after(3, complete);
      });
    this.#after(delay, complete);
  }

  /** Runs on this life of a host, if it is still alive. */
  #on(host: RaftHost, run: () => void): void {
    if (this.hosts.get(host.id) !== host || !host.isUp) return;
    this.steps++;
    run();
  }

  #install(host: RaftHost): void {
    if (host.pending.some(({ kind }) => kind === 'log')) {
      this.#after(20, () => this.#on(host, () => this.#install(host)));
      return;
    }
    if (!this.#isCalm && this.#random.happens(0.1) && host.fetch !== null) {
      this.#count('state failed');
      const { index } = host.fetch.state;
      host.fetch = null;
      host.step({ kind: 'state-failed', index });
      return;
    }
    if (host.fetch !== null) this.#count('state installed');
    host.install();
  }

  #deliver(message: Message, entries: readonly HostEntry[]): void {
    const host = this.hosts.get(message.to);
    if (host === undefined || !host.isUp) return;
    if (this.#blocked.has(message.from * 16 + message.to)) return this.#count('blocked');
    this.#note(() => `${message.to} < ${JSON.stringify(message)}`);
    this.steps++;
    host.receive(message, entries);
  }

  #act(): void {
    if (this.#isCalm) return;
    const { change, transfer, partition, compact, drift, crashLeader } = this.#mix;
    const host = this.#pickHost();
    const request = ++this.#request;
    this.steps++;
    if (this.#random.happens(partition)) this.#repartition();
    if (this.#random.happens(crashLeader)) this.#crash(this.#leaderOr(host));
    if (this.#random.happens(change)) this.#change(this.#leaderOr(host), request);
    else if (this.#random.happens(transfer)) {
      this.#count('transfer');
      this.#leaderOr(host).step({ kind: 'transfer', request, to: this.#pickHost().id });
    } else if (this.#random.happens(compact)) {
      host.compactTo(toIndex(host.base + this.#random.below(host.committed - host.base + 1)));
      if (host.isUp) host.step({ kind: 'evicted', first: toIndex(host.base + 1 + this.#random.below(30)) });
    } else if (this.#random.happens(0.4)) {
      if (!host.isUp) return;
      this.checks.beginRead(request);
      host.step({ kind: 'read', request, consistency: drift > 0.1 ? 'read-index' : this.#mix.consistency });
    } else this.#leaderOr(host).propose(request, request, this.#random.below(200));
  }

  #change(host: RaftHost, request: number): void {
    const { membership } = host.core.inspect();
    const voters = [...membership.voters];
    const learners = [...membership.learners];
    for (let count = this.#random.between(1, 3); count > 0; count--) this.#alter(voters, learners);
    const promoting = learners.filter(() => this.#random.happens(0.5));
    this.#count('change');
    host.step({ kind: 'change-membership', request, change: { voters, learners, promoting } });
  }

  /** Takes one replica out, in as a learner, or from learner to voter. */
  #alter(voters: ReplicaId[], learners: ReplicaId[]): void {
    const { id } = this.#pickHost();
    if (voters.includes(id)) voters.splice(voters.indexOf(id), 1);
    else if (learners.includes(id)) {
      learners.splice(learners.indexOf(id), 1);
      if (this.#random.happens(0.6)) voters.push(id);
    } else learners.push(id);
  }

  #repartition(): void {
    this.#blocked.clear();
    if (this.#random.happens(0.4)) return;
    this.#count('partition');
    const ids = [...this.hosts.keys()];
    const isOneWay = this.#random.happens(0.3);
    const side = new Set(ids.filter(() => this.#random.happens(0.4)));
    for (const from of ids) {
      for (const to of ids) {
        const isCut = isOneWay ? side.has(from) && !side.has(to) : side.has(from) !== side.has(to);
        if (isCut) this.#blocked.add(from * 16 + to);
      }
    }
  }

  #calmDown(): void {
    this.#isCalm = true;
    this.#note(() => 'calm');
    this.#blocked.clear();
    for (const host of this.hosts.values()) if (!host.isUp) this.#restart(host);
    const propose = (): void => {
      const leader = this.#leader();
      leader?.propose(++this.#request, this.#request, 10);
      this.#after(200, propose);
    };
    propose();
  }

  /**
   * Whether more disks were lost than the membership bears. A change may have begun before its leader could
   * know of the last of them; nothing but an operator helps then.
   */
  #isQuorumLost(): boolean {
    const isWhole = (id: ReplicaId): boolean => this.hosts.get(id)?.core.inspect().standing === 'voting';
    const views = [...this.hosts.values()].map(({ core }) => core.inspect()).filter(({ id }) => isWhole(id));
    views.sort((one, other) => other.lastTerm - one.lastTerm || other.last - one.last);
    return views[0] === undefined || !hasQuorum(views[0].membership, isWhole);
  }

  /** What is still missing for the cluster to be well; null if nothing is. */
  #findMissing(): string | null {
    const leader = this.#leader();
    if (leader === undefined) return 'a leader is elected once nothing goes wrong any more';
    const { committed, last, membership } = leader.core.inspect();
    if (committed < last - 3) return `what is proposed is committed: ${committed} of ${last}`;
    if (membership.outgoing.length > 0) return 'a joint membership is left';
    for (const id of [...membership.voters, ...membership.learners]) {
      const seen = this.hosts.get(id)!.core.inspect();
      if (seen.standing !== 'voting') return `replica ${id} is back among the voters`;
      if (seen.committed < committed - 6) return `replica ${id} follows: ${seen.committed} of ${committed}`;
    }
    return null;
  }

  #leader(): RaftHost | undefined {
    const host = this.hosts.get(this.checks.newestLeader);
    return host?.isUp === true && host.core.inspect().role === 'leader' ? host : undefined;
  }

  #leaderOr(host: RaftHost): RaftHost {
    return this.#random.happens(0.9) ? (this.#leader() ?? host) : host;
  }

  #pickHost(): RaftHost {
    return this.hosts.get(this.#random.between(1, this.hosts.size))!;
  }

  #count(fault: string): void {
    this.faults[fault] = (this.faults[fault] ?? 0) + 1;
  }

  #note(line: () => string): void {
    this.trace?.push(`${this.#now} ${line()}`);
  }

  #after(units: number, run: () => void): void {
    this.#queue.push({ at: this.#now + units, order: this.#order++, run });
  }

  #runUntil(end: number): void {
    for (let event = this.#queue.peek(); event !== undefined && event.at <= end; event = this.#queue.peek()) {
      this.#queue.pop();
      this.#now = event.at;
      event.run();
      ok(this.#order < EVENTS_MAX, 'a seed comes to its end');
    }
    this.#now = end;
  }
}

function drawMix(random: SeededRandom): Mix {
  const replicas = random.between(1, 7);
  const electionTicksMin = random.pick([4, ELECTION_TICKS]);
  const often = (most: number): number => (random.happens(0.5) ? (random.below(1000) / 1000) * most : 0);
  return {
    replicas,
    voters: random.between(1, replicas),
    delayMax: random.pick([3, 10, 40]),
    drop: often(0.2),
    duplicate: often(0.2),
    straggle: often(0.1),
    crash: often(0.01),
    crashLeader: often(0.1),
    diskUnitsMax: random.pick([2, 10, 60]),
    slowDisk: often(0.1),
    partition: often(0.05),
    damage: often(0.6),
    change: often(0.15),
    transfer: often(0.06),
    compact: often(0.1),
    drift: random.pick([0, 0.05, 0.1, 0.3]),
    actions: random.between(100, 500),
    consistency: random.pick(['read-index', 'lease']),
    options: {
      electionTicksMin,
      heartbeatTicks: random.between(1, Math.floor(electionTicksMin / 3)),
      appendEntriesMax: random.pick([1, 4, 1024]),
      appendBytesMax: random.pick([1, 300, 100_000]),
      inflightMessagesMax: random.pick([1, 4, 64]),
      inflightBytesMax: random.pick([1, 1000, 1_000_000]),
    },
  };
}

/** A binary heap, by time and then by order. */
class EventQueue {
  readonly #events: SimEvent[] = [];

  peek(): SimEvent | undefined {
    return this.#events[0];
  }

  push(event: SimEvent): void {
    const events = this.#events;
    let at = events.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, events[parent]!)) break;
      events[at] = events[parent]!;
      at = parent;
    }
    events[at] = event;
  }

  pop(): void {
    const events = this.#events;
    const event = events.pop()!;
    if (events.length === 0) return;
    let at = 0;
    for (let child = 1; child < events.length; child = at * 2 + 1) {
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (!isBefore(events[child]!, event)) break;
      events[at] = events[child]!;
      at = child;
    }
    events[at] = event;
  }
}

function isBefore(one: SimEvent, other: SimEvent): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
