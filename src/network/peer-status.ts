/** How a peer looks on a status page, from what its line and its frames have counted. */

import type { TidemarkError } from '../base/errors.ts';
import type { DropKind, PeerStatus } from './peer-network.ts';

/** What a line to a peer knows. */
export interface LineFigures {
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

/** What came from a peer, over all its connections. */
export interface Received {
  frames: number;
  bytes: number;
}

export function peerStatus(
  { replica, address }: Pick<PeerStatus, 'replica' | 'address'>,
  line: LineFigures,
  received: Received,
): PeerStatus {
  return {
    replica,
    address,
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
