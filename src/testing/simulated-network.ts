/**
 * Door 2 between replicas, for simulations: the contract of `network/peer-network.ts` over a network that
 * misbehaves from a seed, in simulated time.
 *
 * The judgement of greetings, the limits, the waits between attempts and the reader of frames are those that
 * ship; connections and what happens to bytes on their way are simulated here. The same seed, the same run:
 * nothing depends on anything but the clock, the seed and the order of calls.
 *
 * Where it is worse than TCP, on purpose, because the contract allows it: within one connection frames are
 * lost, doubled and swapped.
 */

import { hostAndPort } from '../network/peer-line.ts';
import type { PeerAddress, PeerHandler, PeerIdentity } from '../network/peer-network.ts';
import { type PeerOptions, resolvePeerOptions } from '../network/peer-options.ts';
import {
  EPISODE_FAULTS,
  type EpisodeFault,
  type NetworkFault,
  type NetworkFaultMix,
} from './network-faults.ts';
import { SeededRandom } from './seeded-random.ts';
import type { SimulatedClock } from './simulated-clock.ts';
import { Fabric, once, type SimulatedLatency } from './simulated-fabric.ts';
import { SimulatedPeers } from './simulated-peers.ts';

/** Two machines in one rack. */
const LATENCY: SimulatedLatency = { minMs: 0.05, tailMs: 0.1 };
const BYTES_PER_SECOND = 125_000_000;

/** What a slow link carries, in bytes per second, from and to. */
const SLOW_MIN = 10_000;
const SLOW_MAX = 1_000_000;

/** What a simulated network is made of. */
export interface SimulatedNetworkInit {
  readonly clock: SimulatedClock;
  readonly seed: number;
  /** @default 0.05 ms, and 0.1 ms on average on top */
  readonly latency?: SimulatedLatency;
  /** Of every path. @default 125000000 */
  readonly bytesPerSecond?: number;
  /** Called with a line for every frame that arrives and everything that changes. */
  readonly onTrace?: (line: string) => void;
}

/** One replica that is opened. */
export interface SimulatedReplica {
  readonly identity: PeerIdentity;
  /** Where it listens: any host and port that nobody else has at the time. */
  readonly address: PeerAddress;
  readonly peers: readonly PeerAddress[];
  readonly handler: PeerHandler;
  readonly options?: Partial<PeerOptions>;
}

/** A network between simulated replicas, and the hand that breaks it. */
export class SimulatedNetwork {
  readonly #fabric: Fabric;
  /** Ends what is broken now. */
  readonly #ends = new Set<() => void>();
  /** Counts changes of the mix: what an earlier one planned is void. */
  #mixNumber = 0;

  constructor({ clock, seed, latency, bytesPerSecond, onTrace }: SimulatedNetworkInit) {
    this.#fabric = new Fabric({
      clock,
      random: new SeededRandom(seed),
      latency: latency ?? LATENCY,
      bytesPerSecond: bytesPerSecond ?? BYTES_PER_SECOND,
      onTrace: onTrace ?? null,
    });
  }

  /** How often each fault happened so far. */
  get counts(): Readonly<Record<NetworkFault, number>> {
    return this.#fabric.faults.counts;
  }

  open({ identity, address, peers, handler, options }: SimulatedReplica): SimulatedPeers {
    // Hosts of a simulation are only names.
    const resolved = resolvePeerOptions({ port: address.port, insecure: true, ...options });
    const opened = new SimulatedPeers({
      fabric: this.#fabric,
      identity,
      address,
      handler,
      options: resolved,
    });
    opened.setPeers(peers);
    return opened;
  }

  /** Which faults happen from now on; what was begun goes on to its end. */
  setFaults(mix: NetworkFaultMix): void {
    this.#mixNumber++;
    this.#fabric.faults.mix = mix;
    for (const kind of EPISODE_FAULTS) this.#planEpisode(kind, this.#mixNumber);
  }

  /** Nothing is broken any more, and nothing breaks from now on. */
  heal(): void {
    this.setFaults({});
    for (const end of this.#ends) end();
  }

  /** Between replicas of different groups nothing arrives. @returns Ends it. */
  partition(groups: readonly (readonly PeerAddress[])[]): () => void {
    const places = groups.map((group) => group.map((address) => this.#placeOf(address)));
    const ends = places.flatMap((group) =>
      group.flatMap((from) =>
        places
          .filter((other) => other !== group)
          .flatMap((other) => other.map((to) => this.#fabric.cut(from, to, 'partitions'))),
      ),
    );
    return this.#ending(ends);
  }

  /** What `from` sends to `to` does not arrive; the other way it does. @returns Ends it. */
  cutOneWay(from: PeerAddress, to: PeerAddress): () => void {
    return this.#ending([this.#fabric.cut(this.#placeOf(from), this.#placeOf(to), 'oneWayPartitions')]);
  }

  /** Leaves a path so much bandwidth, in bytes per second. @returns Ends it. */
  slow(from: PeerAddress, to: PeerAddress, bytesPerSecond: number): () => void {
    return this.#ending([this.#fabric.slow(this.#placeOf(from), this.#placeOf(to), bytesPerSecond)]);
  }

  /** A path takes nothing for `ms` milliseconds. */
  hold(from: PeerAddress, to: PeerAddress, ms: number): void {
    this.#fabric.hold(this.#placeOf(from), this.#placeOf(to), ms);
  }

  /** From now on, connections to `address` are made to `to`: two replicas can pass for one. */
  lead(address: PeerAddress, to: PeerAddress): void {
    this.#fabric.lead(this.#placeOf(address), this.#placeOf(to));
  }

  #placeOf(address: PeerAddress): number {
    return this.#fabric.placeOf(hostAndPort(address));
  }

  #ending(ends: readonly (() => void)[]): () => void {
    const end = once(() => {
      this.#ends.delete(end);
      for (const each of ends) each();
    });
    this.#ends.add(end);
    return end;
  }

  #planEpisode(kind: EpisodeFault, mixNumber: number): void {
    const { faults, clock } = this.#fabric;
    const untilMs = faults.untilNext(kind);
    if (untilMs === null) return;
    clock.after(untilMs, () => {
      if (mixNumber !== this.#mixNumber) return;
      const lastsMs = faults.episodeMs();
      const end = this.#beginEpisode(kind, lastsMs);
      clock.after(lastsMs, end);
      this.#planEpisode(kind, mixNumber);
    });
  }

  /** Strikes whoever is there. @returns Ends it. */
  #beginEpisode(kind: EpisodeFault, lastsMs: number): () => void {
    const { random, hosts } = this.#fabric;
    const addresses = random.shuffle(hosts.map((host) => (host as SimulatedPeers).address));
    const [one, other] = addresses;
    if (one === undefined || other === undefined) return () => undefined;
    switch (kind) {
      case 'partition': {
        const size = random.between(1, addresses.length - 1);
        return this.partition([addresses.slice(0, size), addresses.slice(size)]);
      }
      case 'one-way-partition':
        return this.cutOneWay(one, other);
      case 'slow-link':
        return this.slow(one, other, random.between(SLOW_MIN, SLOW_MAX));
      case 'congestion':
        this.hold(one, other, lastsMs);
        return () => undefined;
    }
  }
}
