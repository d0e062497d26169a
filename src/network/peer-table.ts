/**
 * The peers of a replica: a line to each, and what came from it. The same for lines that connect in fact and
 * for those of a simulation.
 *
 * Invariant: there is a line to every peer that was set last, and to nobody else; it is a new one when the
 * address is another.
 */

import { assert } from '../base/assert.ts';
import type { TidemarkError } from '../base/errors.ts';
import { hostAndPort } from './peer-line.ts';
import {
  type DropKind,
  type Lane,
  type PeerAddress,
  type PeerIdentity,
  type PeerStatus,
  URGENT_FRAME_BYTES_MAX,
} from './peer-network.ts';
import { type ResolvedPeerOptions, requirePeers } from './peer-options.ts';

/** What a line to a peer knows. */
interface LineFigures {
  readonly isOpen: boolean;
  readonly since: number;
  /** Null while it is open. */
  readonly trouble: { readonly reason: string; readonly failure: TidemarkError | null } | null;
  readonly roundTripMs: number | null;
  readonly framesSent: number;
  readonly bytesSent: number;
  readonly connects: number;
  readonly drops: Readonly<Record<DropKind, number>>;
}

/** A line to a peer, as it is used. */
export interface Line extends LineFigures {
  readonly address: PeerAddress;
  /** Bytes that may be sent in lane `bulk`. */
  readonly room: number;
  send(parts: readonly Uint8Array[], byteCount: number, lane: Lane): boolean;
  close(): void;
}

/** What came from a peer, over all its connections. */
interface Received {
  frames: number;
  bytes: number;
}

export interface PeerTableConfig<OneLine extends Line> {
  readonly identity: PeerIdentity;
  readonly options: ResolvedPeerOptions;
  readonly lineTo: (address: PeerAddress) => OneLine;
}

export class PeerTable<OneLine extends Line> {
  readonly #config: PeerTableConfig<OneLine>;
  readonly #lines = new Map<number, OneLine>();
  readonly #received = new Map<number, Received>();

  constructor(config: PeerTableConfig<OneLine>) {
    this.#config = config;
  }

  /** Whether a replica is a peer. */
  has(replica: number): boolean {
    return this.#lines.has(replica);
  }

  get lines(): Iterable<OneLine> {
    return this.#lines.values();
  }

  addressOf(replica: number): PeerAddress | undefined {
    return this.#lines.get(replica)?.address;
  }

  /** @throws TidemarkError TIDEMARK_OPTION_INVALID; then nothing changed. */
  set(peers: readonly PeerAddress[]): void {
    const { identity, options, lineTo } = this.#config;
    requirePeers(peers, identity, options);
    const wanted = new Map(peers.map((peer) => [peer.replica, peer]));
    for (const [replica, line] of this.#lines) {
      const address = wanted.get(replica);
      if (address !== undefined && isSameAddress(address, line.address)) continue;
      line.close();
      this.#lines.delete(replica);
      if (address === undefined) this.#received.delete(replica);
    }
    for (const [replica, address] of wanted) {
      if (this.#lines.has(replica)) continue;
      this.#lines.set(replica, lineTo(address));
      if (!this.#received.has(replica)) this.#received.set(replica, { frames: 0, bytes: 0 });
    }
  }

  /** See `PeerNetwork.send`. */
  send(to: number, parts: readonly Uint8Array[], lane: Lane): boolean {
    let byteCount = 0;
    for (const part of parts) byteCount += part.length;
    const bytesMax = lane === 'urgent' ? URGENT_FRAME_BYTES_MAX : this.#config.options.frameBytesMax;
    assert(byteCount <= bytesMax, `a frame of lane ${lane} has at most ${bytesMax} bytes, got ${byteCount}`);
    return this.#lines.get(to)?.send(parts, byteCount, lane) ?? false;
  }

  /** See `PeerNetwork.room`. */
  room(to: number): number {
    return this.#lines.get(to)?.room ?? 0;
  }

  /** Counts a frame. Returns whether it came from a peer. */
  countFrame(from: number, bytes: number): boolean {
    const received = this.#received.get(from);
    if (received === undefined) return false;
    received.frames++;
    received.bytes += bytes;
    return true;
  }

  /** By their numbers. */
  statuses(): PeerStatus[] {
    return [...this.#lines]
      .sort(([one], [other]) => one - other)
      .map(([replica, line]) => statusOf(replica, line, this.#received.get(replica)!));
  }

  /** Gives all lines up for good. */
  close(): void {
    for (const line of this.#lines.values()) line.close();
  }
}

function statusOf(replica: number, line: Line, received: Received): PeerStatus {
  return {
    replica,
    address: hostAndPort(line.address),
    isReachable: line.isOpen,
    since: line.since,
    reason: line.trouble?.reason ?? null,
    failure: line.trouble?.failure ?? null,
    roundTripMs: line.roundTripMs,
    framesSent: line.framesSent,
    bytesSent: line.bytesSent,
    framesReceived: received.frames,
    bytesReceived: received.bytes,
    connects: line.connects,
    drops: { ...line.drops },
  };
}

function isSameAddress(one: PeerAddress, other: PeerAddress): boolean {
  return one.host === other.host && one.port === other.port && one.certificateName === other.certificateName;
}
