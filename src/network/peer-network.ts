/**
 * What replicas and processes see of each other: frames of bytes to a peer by its number. `tcp-peers.ts` is
 * the real one; `testing/simulated-network.ts` misbehaves from a seed.
 *
 * What is promised, and what is not:
 *  - A frame arrives whole and as it was sent, from the peer that is named, or not at all.
 *  - It may be lost, late, twice or out of order. Whoever needs more repeats and counts, as protocols do.
 *  - Nothing waits for ever: what a peer does not take is dropped at a bound, and counted.
 *  - An urgent frame never waits behind more than a bounded number of bulk bytes.
 *  - Nothing is called within `send`: what follows from it comes in a later turn.
 */

import type { TidemarkError } from '../base/errors.ts';

/**
 * How a frame travels.
 * - `urgent`: votes, heartbeats, acknowledgements; at most URGENT_FRAME_BYTES_MAX each.
 * - `bulk`: entries, parts of a state; cut into pieces, so that urgent ones pass between.
 */
export type Lane = 'urgent' | 'bulk';

/** Largest urgent frame, in bytes: it is never cut. */
export const URGENT_FRAME_BYTES_MAX = 64 * 1024;

/** Who a replica is, and of which start: told to every peer before anything else. */
export interface PeerIdentity {
  /** 32 lower-case hexadecimal digits, drawn when the cluster was made. */
  readonly clusterId: string;
  /** Number of the replica in its cluster, from 1. */
  readonly replica: number;
  /** How often it began anew without its disk, from 1. */
  readonly incarnation: number;
  /** Durable, and greater with every start of an incarnation, from 1. */
  readonly start: number;
  /** Fork of history, from 1. */
  readonly timeline: number;
}

/** Where a peer is. */
export interface PeerAddress {
  readonly replica: number;
  readonly host: string;
  readonly port: number;
  /**
   * Which name its certificate must have, as `DNS:node1.example.org` or `URI:…`.
   * @default `URI:tidemark:CLUSTER:REPLICA`
   */
  readonly certificateName?: string;
}

/** What becomes of frames that are not sent. */
export const DROP_KINDS = [
  /** The peer could not be reached when it was handed over. */
  'unreachable',
  /** The lane had no room. */
  'no-room',
  /** It waited, or was on its way, when the connection broke. Those on their way may have arrived. */
  'connection-lost',
] as const;

/** One of {@link DROP_KINDS}. */
export type DropKind = (typeof DROP_KINDS)[number];

/** What went between this replica and one peer, since the peer was set. */
export interface PeerCounters {
  readonly framesSent: number;
  readonly bytesSent: number;
  readonly framesReceived: number;
  readonly bytesReceived: number;
  /** How often it became reachable. */
  readonly connects: number;
  /** Frames that were not sent, by what happened. */
  readonly drops: Readonly<Record<DropKind, number>>;
}

/** A peer as a status page shows it. */
export interface PeerStatus extends PeerCounters {
  readonly replica: number;
  /** `host:port`. */
  readonly address: string;
  /** Whether frames can be sent to it now. */
  readonly isReachable: boolean;
  /** Since when it is as it is, in milliseconds since 1970. */
  readonly since: number;
  /** Why it is not reachable; null when it is. */
  readonly reason: string | null;
  /** Set when somebody must act before it becomes reachable. */
  readonly failure: TidemarkError | null;
  /** Of the last ping, in milliseconds; null before the first. */
  readonly roundTripMs: number | null;
}

/** Why a connection was not, or is no longer, taken for one of a peer. */
export const REFUSAL_REASONS = [
  'garbled',
  'oversized',
  'out-of-turn',
  'newer-protocol',
  'older-protocol',
  'other-cluster',
  'other-timeline',
  'wrong-replica',
  'unknown-replica',
  'own-identity',
  'older-start',
  'same-identity',
  'certificate',
  'silent',
  'too-many',
] as const;

/** One of {@link REFUSAL_REASONS}, each explained in docs/network.md. */
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

/** What happened between replicas, for operators. */
export type PeerEvent =
  | { readonly kind: 'peer-connected'; readonly replica: number; readonly address: string }
  | {
      readonly kind: 'peer-disconnected';
      readonly replica: number;
      readonly address: string;
      readonly reason: string;
    }
  | {
      readonly kind: 'peer-refused';
      readonly refusal: RefusalReason;
      /** Of the other side. */
      readonly address: string;
      /** Who it was, or claimed to be; null when it did not come to that. */
      readonly replica: number | null;
      /** How many of the same kind were not told since the last one that was. */
      readonly untold: number;
      readonly error: TidemarkError;
    };

/** What the owner of a network is told. */
export interface PeerHandler {
  /**
   * A frame arrived. The memory is the handler's to keep, and not to write to; that of a small frame is part
   * of a larger read, so copy what is kept for long.
   */
  frame(from: number, bytes: Uint8Array, lane: Lane): void;
  /** Bulk frames may be sent again, after one was dropped for want of room; or the peer became reachable. */
  room(to: number): void;
  event(event: PeerEvent): void;
}

/** Door 2 between replicas. See the rules above. */
export interface PeerNetwork {
  readonly identity: PeerIdentity;

  /**
   * Sends the bytes of `parts`, joined, as one frame.
   * The memory of the parts is the network's from now on: nobody writes to it again.
   * @returns False when the frame was dropped at once: counted with the peer, unless there is none of that
   * number.
   */
  send(to: number, parts: readonly Uint8Array[], lane: Lane): boolean;

  /** Bytes of bulk frames that `send` takes now; 0 when the peer is not reachable. */
  room(to: number): number;

  /**
   * Who the peers are from now on. Who stays at its address keeps its connection. Throws
   * TIDEMARK_OPTION_INVALID, and changes nothing, when an address is none or may not be used.
   */
  setPeers(peers: readonly PeerAddress[]): void;

  /** Every peer, by number. */
  peers(): PeerStatus[];

  /** Connections refused since the start, by reason; those that never occurred are 0. */
  refusals(): Readonly<Record<RefusalReason, number>>;

  /** Nothing is sent or told from now on. Resolves when every connection is closed. Idempotent. */
  close(): Promise<void>;
}
