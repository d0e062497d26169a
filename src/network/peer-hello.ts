/**
 * How two replicas make themselves known to each other before anything else is sent (docs/network.md §3): who
 * connects says `hello`, who accepts answers `welcome` with its own, or `refusal` with the reason.
 *
 * Invariants:
 *  - The layout of a hello never changes: every version must be able to say why it does not fit another.
 *  - Of one replica only the latest start seen is taken, and of that start only one instance: a directory
 *    that was put back or copied, started beside the replica it was taken from, is found out.
 *
 * Pure: no I/O, no clock.
 */

import { assert } from '../base/assert.ts';
import { bufferOf, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import type { Chance } from '../base/chance.ts';
import { type PeerIdentity, REFUSAL_REASONS, type RefusalReason } from './peer-network.ts';

/** What this build speaks, from and to. */
const PROTOCOL_MIN = 1;
const PROTOCOL_MAX = 1;

export const HELLO_BYTES = 72;
const INSTANCE_BYTES = 16;

/** What a replica says of itself, and to whom. */
export interface Hello extends PeerIdentity {
  readonly protocolMin: number;
  readonly protocolMax: number;
  /** The replica that it means to speak to. */
  readonly to: number;
  /** Random, of this opening of the network, in hexadecimal. */
  readonly instance: string;
}

/** What a replica of this build says. */
export function helloOf(identity: PeerIdentity, instance: string, to: number): Hello {
  return { ...identity, protocolMin: PROTOCOL_MIN, protocolMax: PROTOCOL_MAX, to, instance };
}

/** Of one opening of a network. */
export function drawInstance(chance: Chance): string {
  return bufferOf(chance.fill(new Uint8Array(INSTANCE_BYTES))).toString('hex');
}

export function encodeHello(hello: Hello): Uint8Array {
  assert(/^[0-9a-f]{32}$/.test(hello.clusterId), `a cluster id is 32 hexadecimal digits`);
  assert(hello.instance.length === 2 * INSTANCE_BYTES, `an instance has ${INSTANCE_BYTES} bytes`);
  const bytes = Buffer.alloc(HELLO_BYTES);
  const view = viewOf(bytes);
  view.setUint16(0, hello.protocolMin, true);
  view.setUint16(2, hello.protocolMax, true);
  view.setUint32(4, hello.timeline, true);
  bytes.write(hello.clusterId, 8, 'hex');
  writeU64(view, 24, hello.replica);
  writeU64(view, 32, hello.to);
  writeU64(view, 40, hello.incarnation);
  writeU64(view, 48, hello.start);
  bytes.write(hello.instance, 56, 'hex');
  return bytes;
}

/** Null when the bytes are no hello. */
export function decodeHello(bytes: Uint8Array): Hello | null {
  if (bytes.length !== HELLO_BYTES) return null;
  const view = viewOf(bytes);
  const hex = (from: number, to: number): string => Buffer.from(bytes.subarray(from, to)).toString('hex');
  const [replica, to, incarnation, start] = [24, 32, 40, 48].map((offset) => readU64(view, offset));
  if (!replica || !to || !incarnation || !start) return null; // All count from 1.
  return {
    protocolMin: view.getUint16(0, true),
    protocolMax: view.getUint16(2, true),
    timeline: view.getUint32(4, true),
    clusterId: hex(8, 24),
    replica,
    to,
    incarnation,
    start,
    instance: hex(56, 72),
  };
}

export function encodeRefusal(reason: RefusalReason): Uint8Array {
  return Uint8Array.of(REFUSAL_REASONS.indexOf(reason));
}

/** Null for a reason that this build does not know. */
export function decodeRefusal(bytes: Uint8Array): RefusalReason | null {
  return (bytes.length === 1 && REFUSAL_REASONS[bytes[0]!]) || null;
}

/** Which replicas are peers. */
export interface KnownPeers {
  has(replica: number): boolean;
}

/** The latest start of every replica that was let in. */
export class Acquaintances {
  readonly #latest = new Map<number, Hello>();

  /** Forgets replicas that are no peers any more. */
  keepOnly(replicas: KnownPeers): void {
    for (const replica of this.#latest.keys()) if (!replicas.has(replica)) this.#latest.delete(replica);
  }

  /** What is wrong with a hello that reached `self`; null when nothing is, and then it is remembered. */
  judge(hello: Hello, self: PeerIdentity, peers: KnownPeers): RefusalReason | null {
    const wrong = mismatchOf(hello, self, peers) ?? this.#ageOf(hello);
    if (wrong === null) this.#latest.set(hello.replica, hello);
    return wrong;
  }

  #ageOf(hello: Hello): RefusalReason | null {
    const latest = this.#latest.get(hello.replica);
    if (latest === undefined) return null;
    const newer = hello.incarnation - latest.incarnation || hello.start - latest.start;
    if (newer < 0) return 'older-start';
    return newer === 0 && hello.instance !== latest.instance ? 'same-identity' : null;
  }
}

/** The order matters: a replica of another cluster has no number here. */
function mismatchOf(hello: Hello, self: PeerIdentity, peers: KnownPeers): RefusalReason | null {
  if (hello.protocolMin > PROTOCOL_MAX) return 'newer-protocol';
  if (hello.protocolMax < PROTOCOL_MIN) return 'older-protocol';
  if (hello.clusterId !== self.clusterId) return 'other-cluster';
  if (hello.timeline !== self.timeline) return 'other-timeline';
  if (hello.replica === self.replica) return 'own-identity';
  if (hello.to !== self.replica) return 'wrong-replica';
  return peers.has(hello.replica) ? null : 'unknown-replica';
}
