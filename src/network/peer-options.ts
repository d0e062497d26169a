/** Options of the network between replicas, and which addresses may be used without TLS. */

import type { BackoffLimits } from '../base/backoff.ts';
import { TidemarkError } from '../base/errors.ts';
import { invalidOption, requireInteger, requireKnownOptions } from '../base/options.ts';
import { type PeerAddress, type PeerIdentity, URGENT_FRAME_BYTES_MAX } from './peer-network.ts';

/** Mutual TLS: what both sides show and hold each other to. PEM. */
export interface PeerTls {
  /** Authorities whose certificates count. */
  readonly ca: string;
  /** The certificate of this replica; it names it, as {@link PeerAddress.certificateName} says. */
  readonly cert: string;
  readonly key: string;
}

/** Where a replica listens for its peers, and the limits. */
export interface PeerOptions {
  /** Address to listen on. @default '127.0.0.1' */
  readonly host?: string;
  /** 0 lets the operating system choose. */
  readonly port: number;
  /** Needed for any address that is not of this machine alone, unless `insecure` is set. */
  readonly tls?: PeerTls;
  /** The name in this replica's own certificate. @default `URI:tidemark:CLUSTER:REPLICA` */
  readonly certificateName?: string;
  /**
   * Peers beyond this machine without TLS: whoever reaches the port can pass for a replica. @default false
   */
  readonly insecure?: boolean;
  /** Largest bulk frame, in bytes: 64 KiB to 1 GiB. @default 67174400 */
  readonly frameBytesMax?: number;
  /** Bulk frames that wait for one peer, in bytes; a longer one is taken alone. @default 67108864 */
  readonly bulkBytesMax?: number;
  /** Urgent frames that wait for one peer, in bytes. @default 1048576 */
  readonly urgentBytesMax?: number;
  /** Frames that wait for one peer in one lane. @default 65536 */
  readonly framesMax?: number;
  /** Bulk bytes on their way to one peer; an urgent frame waits behind no more. @default 1048576 */
  readonly windowBytes?: number;
  /** How often a peer is asked whether it is there, in milliseconds. @default 1000 */
  readonly pingMs?: number;
  /** Silence after which a connection is given up, in milliseconds; at least two pings. @default 5000 */
  readonly silenceMsMax?: number;
  /** Longest time to connect and greet, in milliseconds. @default 5000 */
  readonly greetingMsMax?: number;
  /** Longest wait before a peer is tried again, in milliseconds. @default 3000 */
  readonly retryMsMax?: number;
}

/** What {@link PeerOptions} are when they are left out. */
export const PEER_DEFAULTS = Object.freeze({
  host: '127.0.0.1',
  insecure: false,
  // The longest record of a log, and what a protocol puts before it.
  frameBytesMax: 64 * 1024 * 1024 + 64 * 1024,
  bulkBytesMax: 64 * 1024 * 1024,
  urgentBytesMax: 1024 * 1024,
  framesMax: 65_536,
  windowBytes: 1024 * 1024,
  pingMs: 1_000,
  silenceMsMax: 5_000,
  greetingMsMax: 5_000,
  retryMsMax: 3_000,
});

/** Options with nothing left out. */
export type ResolvedPeerOptions = Required<Omit<PeerOptions, 'tls' | 'certificateName'>> & {
  readonly tls: PeerTls | null;
  readonly certificateName: string | null;
};

const KNOWN = { ...PEER_DEFAULTS, port: 0, tls: null, certificateName: null };
const MINUTES_MS = 600_000;

/** Bound of the first wait before another attempt. */
const RETRY_FIRST_MS = 50;

/** Fills in defaults and rejects what cannot work. */
export function resolvePeerOptions(options: PeerOptions): ResolvedPeerOptions {
  requireKnownOptions('the network between replicas', options, KNOWN);
  const resolved = { ...PEER_DEFAULTS, tls: null, certificateName: null, ...options };
  requireInteger('port', resolved.port, 0, 65_535);
  requireInteger('frameBytesMax', resolved.frameBytesMax, URGENT_FRAME_BYTES_MAX, 1024 ** 3);
  requireInteger('bulkBytesMax', resolved.bulkBytesMax, 1, 1024 ** 3);
  requireInteger('urgentBytesMax', resolved.urgentBytesMax, URGENT_FRAME_BYTES_MAX, 1024 ** 3);
  requireInteger('framesMax', resolved.framesMax, 1, 2 ** 24);
  requireInteger('windowBytes', resolved.windowBytes, 256 * 1024, 1024 ** 3);
  requireInteger('pingMs', resolved.pingMs, 1, MINUTES_MS);
  requireInteger('silenceMsMax', resolved.silenceMsMax, 2 * resolved.pingMs, MINUTES_MS);
  requireInteger('greetingMsMax', resolved.greetingMsMax, 1, MINUTES_MS);
  requireInteger('retryMsMax', resolved.retryMsMax, 1, MINUTES_MS);
  requireAllowed('listen on', resolved.host, resolved);
  return Object.freeze(resolved);
}

/** The waits between attempts to connect. */
export function retryLimits({ retryMsMax }: Pick<ResolvedPeerOptions, 'retryMsMax'>): BackoffLimits {
  return { firstMs: Math.min(RETRY_FIRST_MS, retryMsMax), mostMs: retryMsMax };
}

/** Throws TIDEMARK_OPTION_INVALID unless these can be the peers of `self`. */
export function requirePeers(
  peers: readonly PeerAddress[],
  self: PeerIdentity,
  options: Pick<ResolvedPeerOptions, 'tls' | 'insecure'>,
): void {
  const numbers = new Set<number>();
  for (const { replica, host, port } of peers) {
    requireInteger('replica', replica, 1, Number.MAX_SAFE_INTEGER);
    requireInteger('port', port, 1, 65_535);
    if (replica === self.replica) throw invalidOption('replica', replica, 'another than this replica');
    if (numbers.has(replica)) throw invalidOption('replica', replica, 'the number of one peer only');
    numbers.add(replica);
    requireAllowed('connect to', host, options);
  }
}

function requireAllowed(
  what: string,
  host: string,
  { tls, insecure }: Pick<ResolvedPeerOptions, 'tls' | 'insecure'>,
): void {
  if (tls !== null || insecure || isLoopback(host)) return;
  throw new TidemarkError(
    'TIDEMARK_OPTION_INVALID',
    `replicas ${what} ${host} with TLS only, because whoever reaches the port could pass for one of them; ` +
      'give tls with ca, cert and key, use an address of this machine such as 127.0.0.1, or set ' +
      'insecure if nobody else reaches that network',
    { remedy: 'fix-call', facts: { option: 'tls', host } },
  );
}

/** Whether only this machine reaches the address. A name but `localhost` may lead anywhere. */
function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}
