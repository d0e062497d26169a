/**
 * What lies between simulated replicas: where each one listens, and how a path from one to another is at the
 * moment. The lines (simulated-line.ts) ask it; the faults (network-faults.ts) change it.
 */

import { assert } from '../base/assert.ts';
import type { Hello } from '../network/peer-hello.ts';
import type { Lane, PeerIdentity, RefusalReason } from '../network/peer-network.ts';
import { exponential, NetworkFaults } from './network-faults.ts';
import type { SeededRandom } from './seeded-random.ts';
import type { SimulatedClock } from './simulated-clock.ts';

/** Places in one network; more would not fit the keys of paths. */
const PLACES_MAX = 4096;

/** How long a frame is on its way, beside what bandwidth takes. */
export interface SimulatedLatency {
  /** In milliseconds. */
  readonly minMs: number;
  /** Mean of what comes on top, in milliseconds; a long tail. */
  readonly tailMs: number;
}

/** A replica that listens. */
export interface SimulatedHost {
  readonly identity: PeerIdentity;
  readonly place: number;
  readonly isClosed: boolean;
  /** Judges a hello; null when the session may begin. */
  accept(session: Session, hello: Hello): RefusalReason | null;
  helloTo(replica: number): Hello;
  deliver(session: Session, bytes: Uint8Array, lane: Lane): void;
  /** A frame came that is none. */
  refuseFrame(session: Session, reason: RefusalReason): void;
  /** The path to or from `place` was cut: who cannot be heard any more is lost after a while. */
  onCut(place: number): void;
  /** Whoever is there can no longer be reached from here, for a reason that shows at once or by silence. */
  onGone(host: SimulatedHost, how: 'closed' | 'silent'): void;
}

/** One connection, from a line to who accepted it. */
export interface Session {
  readonly owner: SimulatedHost;
  readonly target: SimulatedHost;
  isOver: boolean;
}

/** From one place to another. */
export interface Path {
  /** How many partitions of each kind swallow what goes here. */
  partitions: number;
  oneWayPartitions: number;
  /** Since when anything is swallowed, in monotonic milliseconds. */
  cutSince: number;
  /** What it carries now. */
  bytesPerSecond: number;
  isSlow: boolean;
  /** Until when it takes nothing. */
  heldUntil: number;
}

export interface FabricInit {
  readonly clock: SimulatedClock;
  readonly random: SeededRandom;
  readonly latency: SimulatedLatency;
  readonly bytesPerSecond: number;
  readonly onTrace: ((line: string) => void) | null;
}

export class Fabric {
  readonly clock: SimulatedClock;
  readonly random: SeededRandom;
  readonly faults: NetworkFaults;
  readonly #init: FabricInit;
  readonly #places = new Map<string, number>();
  readonly #paths = new Map<number, Path>();
  readonly #listening = new Map<number, SimulatedHost>();
  /** Where the address of a place leads, if not there. */
  readonly #leads = new Map<number, number>();

  constructor(init: FabricInit) {
    this.#init = init;
    this.clock = init.clock;
    this.random = init.random;
    this.faults = new NetworkFaults(init.random);
  }

  /** The number of an address. */
  placeOf(address: string): number {
    const known = this.#places.get(address);
    if (known !== undefined) return known;
    const place = this.#places.size;
    assert(place < PLACES_MAX, `a simulated network has at most ${PLACES_MAX} places`);
    this.#places.set(address, place);
    return place;
  }

  get hosts(): readonly SimulatedHost[] {
    return [...this.#listening.values()];
  }

  /** Who answers at a place, or null. */
  hostAt(place: number): SimulatedHost | null {
    return this.#listening.get(this.#leads.get(place) ?? place) ?? null;
  }

  listen(host: SimulatedHost): void {
    assert(!this.#listening.has(host.place), 'one replica listens at one address');
    this.#listening.set(host.place, host);
  }

  /** It is gone; the others notice by what `how` says. */
  leave(host: SimulatedHost, how: 'closed' | 'silent'): void {
    this.#listening.delete(host.place);
    for (const other of this.#listening.values()) other.onGone(host, how);
  }

  /** From now on, connections to `place` are made to `to` instead. */
  lead(place: number, to: number): void {
    this.#leads.set(place, to);
  }

  path(from: number, to: number): Path {
    const key = from * PLACES_MAX + to;
    const known = this.#paths.get(key);
    if (known !== undefined) return known;
    const path: Path = {
      partitions: 0,
      oneWayPartitions: 0,
      cutSince: 0,
      bytesPerSecond: this.#init.bytesPerSecond,
      isSlow: false,
      heldUntil: 0,
    };
    this.#paths.set(key, path);
    return path;
  }

  /** Whether what goes from one place to another is swallowed; counts that it was. */
  swallows(from: number, to: number): boolean {
    const path = this.path(from, to);
    if (!isCut(path)) return false;
    this.faults.count(path.partitions > 0 ? 'partition' : 'one-way-partition');
    return true;
  }

  /** Begins to swallow. @returns Ends it; idempotent. */
  cut(from: number, to: number, kind: 'partitions' | 'oneWayPartitions'): () => void {
    const path = this.path(from, to);
    if (!isCut(path)) path.cutSince = this.clock.monotonic();
    path[kind]++;
    this.trace(() => `cut ${from} ${to}`);
    this.#listening.get(from)?.onCut(to);
    this.#listening.get(to)?.onCut(from);
    return once(() => {
      path[kind]--;
      this.trace(() => `mend ${from} ${to}`);
    });
  }

  /** Carries less. @returns Ends it; idempotent. */
  slow(from: number, to: number, bytesPerSecond: number): () => void {
    const path = this.path(from, to);
    path.bytesPerSecond = bytesPerSecond;
    path.isSlow = true;
    return once(() => {
      path.bytesPerSecond = this.#init.bytesPerSecond;
      path.isSlow = false;
    });
  }

  /** Takes nothing for a while. */
  hold(from: number, to: number, ms: number): void {
    const path = this.path(from, to);
    path.heldUntil = Math.max(path.heldUntil, this.clock.monotonic() + ms);
  }

  latencyMs(): number {
    const { minMs, tailMs } = this.#init.latency;
    return minMs + exponential(this.random, tailMs);
  }

  trace(line: () => string): void {
    this.#init.onTrace?.(`${this.clock.monotonic().toFixed(3)} ${line()}`);
  }
}

export function isCut(path: Path): boolean {
  return path.partitions > 0 || path.oneWayPartitions > 0;
}

export function once(run: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    run();
  };
}
