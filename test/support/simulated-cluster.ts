/** Replicas in a simulated network that talk all the time, and hold what they hear against what was said. */

import { ok, strictEqual } from 'node:assert';
import { createHash } from 'node:crypto';
import type { PeerAddress, PeerEvent, PeerIdentity } from '../../src/network/peer-network.ts';
import type { PeerOptions } from '../../src/network/peer-options.ts';
import type { NetworkFaultMix } from '../../src/testing/network-faults.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { SimulatedClock } from '../../src/testing/simulated-clock.ts';
import { SimulatedNetwork, type SimulatedNetworkInit } from '../../src/testing/simulated-network.ts';
import type { SimulatedPeers } from '../../src/testing/simulated-peers.ts';

export const CLUSTER = 'abcd'.repeat(8);

export interface Heard {
  readonly at: number;
  readonly from: number;
  readonly to: number;
  readonly number: number;
  readonly byteCount: number;
}

/** Every frame carries who sent it to whom, its number, and bytes that follow from these. */
export class SimulatedCluster {
  readonly clock = new SimulatedClock();
  readonly network: SimulatedNetwork;
  readonly random: SeededRandom;
  readonly members: SimulatedPeers[] = [];
  readonly addresses: PeerAddress[];
  readonly heard: Heard[] = [];
  readonly events: { readonly at: number; readonly replica: number; readonly event: PeerEvent }[] = [];
  readonly #options: Partial<PeerOptions>;
  #number = 0;

  constructor(
    seed: number,
    {
      size = 3,
      options = {},
      ...init
    }: { size?: number; options?: Partial<PeerOptions> } & Partial<SimulatedNetworkInit> = {},
  ) {
    this.random = new SeededRandom(seed);
    this.network = new SimulatedNetwork({ clock: this.clock, seed: this.random.u32(), ...init });
    this.#options = options;
    this.addresses = Array.from({ length: size }, (_, at) => ({
      replica: at + 1,
      host: `replica${at + 1}`,
      port: 7400,
    }));
    for (const { replica } of this.addresses) this.start(replica, 1);
  }

  start(replica: number, start: number, address = this.addresses[replica - 1]!): SimulatedPeers {
    const identity: PeerIdentity = { clusterId: CLUSTER, replica, incarnation: 1, start, timeline: 1 };
    const member = this.network.open({
      identity,
      address,
      peers: this.addresses.filter((other) => other.replica !== replica),
      handler: {
        frame: (from, bytes) => this.#hear(from, replica, bytes),
        room: () => undefined,
        event: (event) => this.events.push({ at: this.clock.now(), replica, event }),
      },
      options: this.#options,
    });
    this.members[replica - 1] = member;
    return member;
  }

  /** Advances until all reach all. */
  connect(): void {
    for (let round = 0; round < 1_000; round++) {
      if (this.isConnected) return;
      this.clock.advance(100);
    }
    ok(false, 'replicas reach each other in 100 seconds without faults');
  }

  get isConnected(): boolean {
    return this.members.every((member) => member.peers().every(({ isReachable }) => isReachable));
  }

  say(from: number, to: number, byteCount = 32, lane: 'urgent' | 'bulk' = 'bulk'): boolean {
    return this.members[from - 1]!.send(to, [frameOf(from, to, this.#number++, byteCount)], lane);
  }

  /** Everybody says something to somebody every few milliseconds, for so long. */
  chatter(ms: number, everyMs = 2): void {
    for (let passed = 0; passed < ms; passed += everyMs) {
      for (const { replica } of this.addresses) {
        const to = this.random.between(1, this.addresses.length);
        const byteCount = this.random.happens(0.05)
          ? this.random.below(200_000)
          : this.random.between(24, 500);
        if (to !== replica)
          this.say(replica, to, Math.max(24, byteCount), byteCount < 300 ? 'urgent' : 'bulk');
      }
      this.clock.advance(everyMs);
    }
  }

  #hear(from: number, to: number, bytes: Uint8Array): void {
    const number = Buffer.from(bytes).readUInt32LE(8);
    strictEqual(Buffer.compare(bytes, frameOf(from, to, number, bytes.length)), 0);
    this.heard.push({ at: this.clock.monotonic(), from, to, number, byteCount: bytes.length });
  }
}

/** What a run says of itself, in one number. */
export function runHash(seed: number, mix: NetworkFaultMix): string {
  const hash = createHash('sha256');
  const cluster = new SimulatedCluster(seed, { size: 4, onTrace: (line) => hash.update(`${line}\n`) });
  cluster.network.setFaults(mix);
  cluster.chatter(5_000);
  return hash.update(JSON.stringify(cluster.network.counts)).digest('hex');
}

function frameOf(from: number, to: number, number: number, byteCount: number): Uint8Array {
  const frame = Buffer.alloc(Math.max(12, byteCount), (from * 31 + to * 7 + number) & 255);
  frame.writeUInt32LE(from, 0);
  frame.writeUInt32LE(to, 4);
  frame.writeUInt32LE(number, 8);
  return frame;
}
