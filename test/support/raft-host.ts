/**
 * A host for one Raft core, with arrays for its disk and its log. It does what the core asks, and nothing
 * else; when what it asked for becomes durable, and what becomes of what it says, the test decides.
 *
 * A crash takes what was not durable, but for as many of the pending writes as the test lets through.
 */

import { ok } from 'node:assert';
import { type Index, type Term, toIndex, toTerm } from '../../src/base/positions.ts';
import {
  type Append,
  type Effect,
  type Input,
  type Membership,
  type MembershipEntry,
  type Message,
  membershipOf,
  Raft,
  type RaftOptions,
  type ReplicaId,
  type Standing,
  type StatePoint,
} from '../../src/protocols/raft/index.ts';

/** One entry as a host stores it. `value` stands for its body; 0 in entries that the core made. */
export interface HostEntry {
  readonly term: Term;
  readonly value: number;
  readonly bytes: number;
  readonly membership: Membership | null;
}

/** What survives a crash. */
export interface HostDisk {
  incarnation: number;
  term: Term;
  vote: ReplicaId;
  standing: Standing;
  committed: Index;
  compactedTo: Index;
  compactedTerm: Term;
  /** In force at `compactedTo`. */
  base: MembershipEntry;
  entries: HostEntry[];
  checkpoint: StatePoint | null;
}

type PendingWrite =
  | { readonly kind: 'status'; readonly persist: number; readonly write: () => void }
  | { readonly kind: 'log'; readonly persist: number; readonly write: () => void };

/** What a host does towards the world. */
export interface World {
  /** `entries` are the bodies of an append. */
  send(message: Message, entries: readonly HostEntry[]): void;
  /** Each effect, before the host carries it out. */
  watch(host: RaftHost, effect: Effect): void;
  /** Whether the host dies here, with the effect not carried out. */
  crashes(host: RaftHost): boolean;
}

/** Of a first member of a cluster: its log begins with the membership, the same entry everywhere. */
export function firstDisk(membership: Membership): HostDisk {
  const entry = { term: toTerm(0), value: 0, bytes: 0, membership };
  return { ...emptyDisk(), committed: toIndex(1), entries: [entry] };
}

/** Of a replica that joins later, or lost everything: it learns the membership from the log. */
export function emptyDisk(): HostDisk {
  const membership = membershipOf([]);
  return {
    incarnation: 0,
    term: toTerm(0),
    vote: 0,
    standing: 'voting',
    committed: toIndex(0),
    compactedTo: toIndex(0),
    compactedTerm: toTerm(0),
    base: { index: toIndex(0), membership },
    entries: [],
    checkpoint: null,
  };
}

export class RaftHost {
  readonly id: ReplicaId;
  readonly disk: HostDisk;
  core: Raft;
  isUp = true;
  /** The log as the core has it, from `base` on. */
  entries: HostEntry[];
  base: Index;
  committed: Index;
  pending: PendingWrite[] = [];
  loads: Extract<Effect, { kind: 'load' }>[] = [];
  fetch: Extract<Effect, { kind: 'fetch-state' }> | null = null;
  /** Values of proposals that the core has not answered. */
  readonly values = new Map<number, number>();
  #held: { readonly after: number; readonly message: Message; readonly entries: readonly HostEntry[] }[] = [];
  #statusDurable = 0;
  #received: { readonly message: Append; readonly entries: readonly HostEntry[] } | null = null;
  #loaded: { readonly first: Index; readonly entries: readonly HostEntry[] } | null = null;
  readonly #world: World;

  constructor(
    id: ReplicaId,
    disk: HostDisk,
    world: World,
    settings: { seed: number; options?: RaftOptions },
  ) {
    this.id = id;
    this.disk = disk;
    this.#world = world;
    disk.incarnation++;
    this.entries = [...disk.entries];
    this.base = disk.compactedTo;
    this.core = new Raft({
      id,
      incarnation: disk.incarnation,
      seed: settings.seed,
      term: disk.term,
      vote: disk.vote,
      committed: disk.committed,
      log: shapeOf(disk),
      tailSizes: disk.entries.map(({ bytes }) => bytes),
      membership: disk.base,
      memberships: membershipsIn(disk.entries, disk.compactedTo),
      standing: disk.standing,
      checkpoint: disk.checkpoint,
      ...(settings.options === undefined ? {} : { options: settings.options }),
    });
    this.committed = this.core.inspect().committed; // Less than the disk says, if the log is shorter.
    this.#carryOut(this.core.start());
  }

  get last(): Index {
    return toIndex(this.base + this.entries.length);
  }

  entryAt(index: number): HostEntry | undefined {
    return this.entries[index - this.base - 1];
  }

  durableAt(index: number): HostEntry | undefined {
    return this.disk.entries[index - this.disk.compactedTo - 1];
  }

  step(input: Input): void {
    if (this.isUp) this.#carryOut(this.core.step(input));
  }

  tick(count = 1): void {
    if (this.isUp) this.#carryOut(this.core.tick(count));
  }

  propose(request: number, value: number, bytes: number): void {
    this.values.set(request, value);
    this.step({ kind: 'propose', request, bytes });
  }

  receive(message: Message, entries: readonly HostEntry[]): void {
    this.#received = message.kind === 'append' ? { message, entries } : null;
    this.step({ kind: 'message', message });
    this.#received = null;
  }

  /**
   * The oldest write of a kind becomes durable; a log write not before the statuses that were asked first.
   */
  persistOldest(kind: 'status' | 'log'): void {
    const at = this.pending.findIndex((write) => write.kind === kind);
    const [write] = this.pending.splice(at, at < 0 ? 0 : 1);
    if (write === undefined) return;
    write.write();
    if (kind === 'status') this.#statusDurable = write.persist;
    this.step({ kind: kind === 'status' ? 'status-persisted' : 'log-persisted', persist: write.persist });
    this.#sendHeld();
  }

  canPersistLog(): boolean {
    return this.pending[0]?.kind === 'log';
  }

  load(): void {
    const load = this.loads.shift();
    if (load === undefined) return;
    const from = load.first - this.base - 1;
    const entries = from < 0 ? [] : this.entries.slice(from, load.last - this.base);
    this.#loaded = { first: load.first, entries };
    this.step({ kind: 'loaded', load: load.load, sizes: entries.map(({ bytes }) => bytes) });
    this.#loaded = null;
  }

  /** Compacts the log, with a checkpoint at `index`. */
  compactTo(index: Index): void {
    const entry = this.entryAt(index);
    if (entry === undefined || this.durableAt(index) === undefined || !this.isUp) return;
    if (this.pending.some(({ kind }) => kind === 'log')) return;
    const state = { index, term: entry.term, root: String(index) };
    const membership = this.membershipAt(index);
    this.disk.checkpoint = state;
    this.step({ kind: 'checkpoint', state });
    this.#cutTo(index, entry.term, membership);
    if (this.disk.committed < index) this.disk.committed = index;
    this.step({ kind: 'compacted', index });
  }

  /** The state that was asked for is there: whole, durable, at once. */
  install(): void {
    const { fetch } = this;
    if (fetch === null || !this.isUp || this.pending.some(({ kind }) => kind === 'log')) return;
    this.fetch = null;
    const { state, membership } = fetch;
    if (state.index <= this.committed) return;
    if (this.entryAt(state.index)?.term !== state.term) {
      this.entries = [];
      this.base = state.index;
      Object.assign(this.disk, { entries: [], compactedTo: state.index, compactedTerm: state.term });
      this.disk.base = membership;
    }
    this.disk.checkpoint = state;
    this.disk.committed = state.index;
    this.step({ kind: 'state-installed', state, membership });
  }

  /** @param writesThrough How many of the pending writes reached the disk all the same. */
  crash(writesThrough: number): void {
    this.isUp = false;
    for (const { write } of this.pending.slice(0, writesThrough)) write();
    this.pending = [];
    this.#held = [];
  }

  membershipAt(index: Index): MembershipEntry {
    const inLog = membershipsIn(this.entries, this.base).filter((entry) => entry.index <= index);
    return inLog.at(-1) ?? this.disk.base;
  }

  #carryOut(effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (!this.isUp || this.#world.crashes(this)) return;
      this.#world.watch(this, effect);
      this.#carryOutOne(effect);
    }
  }

  #carryOutOne(effect: Effect): void {
    switch (effect.kind) {
      case 'persist-status':
        this.#persistStatus(effect);
        break;
      case 'append-log':
        this.#appendLog(effect);
        break;
      case 'send':
        this.#send(effect.message, effect.after);
        break;
      case 'load':
        this.loads.push(effect);
        break;
      case 'commit':
        this.committed = effect.index;
        break;
      case 'fetch-state':
        this.fetch = effect;
        break;
      case 'reject':
        this.values.delete(effect.request);
        break;
      default: // For the test alone.
    }
  }

  #persistStatus({ persist, term, vote, standing }: Extract<Effect, { kind: 'persist-status' }>): void {
    const write = (): void => {
      const { disk } = this;
      const durable = toIndex(disk.compactedTo + disk.entries.length);
      const committed = this.committed < durable ? this.committed : durable;
      if (committed > disk.committed) disk.committed = committed;
      Object.assign(disk, { term, vote, standing });
    };
    this.pending.push({ kind: 'status', persist, write });
  }

  #appendLog({
    persist,
    truncateAfter,
    first,
    last,
    content,
    runs,
  }: Extract<Effect, { kind: 'append-log' }>): void {
    if (truncateAfter !== null) this.entries.length = truncateAfter - this.base;
    if (content.kind === 'received') {
      const { message, entries } = this.#received!;
      this.entries.push(...entries.slice(first - message.previousIndex - 1));
    } else {
      const value = content.kind === 'proposal' ? this.values.get(content.request)! : 0;
      const membership = content.kind === 'membership' ? content.membership : null;
      const bytes = content.kind === 'proposal' ? value % 200 : 0;
      this.entries.push({ term: runs[0]!.term, value, bytes, membership });
      if (content.kind === 'proposal') this.values.delete(content.request);
    }
    ok(this.last === last, `an append brings the log to ${last}, not ${this.last}`);
    const added = this.entries.slice(first - this.base - 1);
    const write = (): void => {
      const { disk } = this;
      if (truncateAfter !== null) disk.entries.length = truncateAfter - disk.compactedTo;
      ok(disk.compactedTo + disk.entries.length + 1 === first, 'writes of a log follow each other');
      disk.entries.push(...added);
    };
    this.pending.push({ kind: 'log', persist, write });
  }

  #send(message: Message, after: number | null): void {
    const entries = message.kind === 'append' ? this.#bodiesOf(message) : [];
    if (after !== null && after > this.#statusDurable) this.#held.push({ after, message, entries });
    else this.#world.send(message, entries);
  }

  #bodiesOf({ previousIndex, sizes }: Append): readonly HostEntry[] {
    if (this.#loaded !== null && this.#loaded.first === previousIndex + 1 && sizes.length > 0) {
      return this.#loaded.entries;
    }
    const entries = this.entries.slice(previousIndex - this.base, previousIndex - this.base + sizes.length);
    ok(entries.length === sizes.length, `the host has the ${sizes.length} entries after ${previousIndex}`);
    return entries;
  }

  #sendHeld(): void {
    const ready = this.#held.filter(({ after }) => after <= this.#statusDurable);
    this.#held = this.#held.filter(({ after }) => after > this.#statusDurable);
    for (const { message, entries } of ready) if (this.isUp) this.#world.send(message, entries);
  }

  #cutTo(index: Index, term: Term, membership: MembershipEntry): void {
    this.entries = this.entries.slice(index - this.base);
    this.base = index;
    const { disk } = this;
    disk.entries = disk.entries.slice(index - disk.compactedTo);
    Object.assign(disk, { compactedTo: index, compactedTerm: term, base: membership });
  }
}

function shapeOf({ compactedTo, compactedTerm, entries }: HostDisk): {
  compactedTo: Index;
  compactedTerm: Term;
  runs: { first: Index; term: Term }[];
  last: Index;
} {
  const runs: { first: Index; term: Term }[] = [];
  for (const [at, { term }] of entries.entries()) {
    if (runs.at(-1)?.term !== term) runs.push({ first: toIndex(compactedTo + at + 1), term });
  }
  return { compactedTo, compactedTerm, runs, last: toIndex(compactedTo + entries.length) };
}

function membershipsIn(entries: readonly HostEntry[], base: Index): MembershipEntry[] {
  return entries.flatMap(({ membership }, at) =>
    membership === null ? [] : [{ index: toIndex(base + at + 1), membership }],
  );
}
