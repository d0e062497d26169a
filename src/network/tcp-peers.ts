/**
 * Door 2 between replicas over TCP, or TLS: one line to every peer, and the guests that come from them. See
 * docs/network.md.
 *
 * Invariants:
 *  - Of each peer at most one guest has come in: a newer connection replaces the older, which its maker has
 *    given up.
 *  - At most GREETINGS_MAX connections have not said who they are; the oldest is given up for one more. So
 *    connections that say nothing cannot keep peers out, who say it at once.
 */

import { assert } from '../base/assert.ts';
import type { Chance } from '../base/chance.ts';
import { invalidOption } from '../base/options.ts';
import type { Clock } from '../base/time.ts';
import type { Connection, ConnectionHandler, Dial, Listener } from './connection.ts';
import { PeerGuest } from './peer-guest.ts';
import { Acquaintances, type Hello, INSTANCE_BYTES, PROTOCOL_MAX, PROTOCOL_MIN } from './peer-hello.ts';
import { hostAndPort, PeerLine } from './peer-line.ts';
import {
  type Lane,
  type PeerAddress,
  type PeerHandler,
  type PeerIdentity,
  type PeerNetwork,
  type PeerStatus,
  type RefusalReason,
  URGENT_FRAME_BYTES_MAX,
} from './peer-network.ts';
import {
  type PeerOptions,
  type ResolvedPeerOptions,
  requirePeers,
  resolvePeerOptions,
} from './peer-options.ts';
import { peerStatus, type Received } from './peer-status.ts';
import { Refusals } from './refusals.ts';
import { dialTcp, listenTcp } from './tcp.ts';
import { dialTls, listenTls, namesInCertificate, requireCredentials } from './tls.ts';

/** Peers come one by one and say who they are within a round trip. */
const GREETINGS_MAX = 256;

/** What a network between replicas is opened with. */
export interface PeersInit {
  readonly identity: PeerIdentity;
  readonly peers: readonly PeerAddress[];
  readonly options: PeerOptions;
  readonly handler: PeerHandler;
  readonly clock: Clock;
  readonly chance: Chance;
}

/** The network in fact: it listens somewhere. */
export interface ListeningPeerNetwork extends PeerNetwork {
  /** The port in fact, when 0 was asked for. */
  readonly port: number;
}

/**
 * Listens, and begins to connect to the peers.
 * Rejects with TIDEMARK_OPTION_INVALID, or TIDEMARK_ADDRESS_UNAVAILABLE.
 */
export async function openPeers(init: PeersInit): Promise<ListeningPeerNetwork> {
  const options = resolvePeerOptions(init.options);
  if (options.tls !== null) requireOwnCertificate(init.identity, options);
  requirePeers(init.peers, init.identity, options);
  const network = new TcpPeers(init, options);
  await network.listen();
  network.setPeers(init.peers);
  return network;
}

class TcpPeers implements ListeningPeerNetwork {
  readonly identity: PeerIdentity;
  readonly #handler: PeerHandler;
  readonly #clock: Clock;
  readonly #chance: Chance;
  readonly #options: ResolvedPeerOptions;
  readonly #dial: Dial;
  readonly #instance: string;
  readonly #acquaintances = new Acquaintances();
  readonly #refusals: Refusals;
  readonly #lines = new Map<number, PeerLine>();
  readonly #received = new Map<number, Received>();
  /** Connections that have not said who they are, oldest first; and those that have, by replica. */
  readonly #greeting = new Set<PeerGuest>();
  readonly #guests = new Map<number, PeerGuest>();
  #numbers: ReadonlySet<number> = new Set();
  #listener: Listener | null = null;
  #isClosed = false;
  #closed: Promise<void> | null = null;

  constructor({ identity, handler, clock, chance }: PeersInit, options: ResolvedPeerOptions) {
    this.identity = identity;
    this.#handler = handler;
    this.#clock = clock;
    this.#chance = chance;
    this.#options = options;
    this.#dial = options.tls === null ? dialTcp : dialTls(options.tls);
    this.#instance = Buffer.from(chance.fill(new Uint8Array(INSTANCE_BYTES))).toString('hex');
    this.#refusals = new Refusals(clock, (event) => this.#handler.event(event));
  }

  async listen(): Promise<void> {
    const { host, port, tls, greetingMsMax } = this.#options;
    const onConnection = (connection: Connection): ConnectionHandler => this.#accept(connection);
    this.#listener = await (tls === null
      ? listenTcp({ host, port, onConnection })
      : listenTls({
          host,
          port,
          onConnection,
          credentials: tls,
          handshakeMsMax: greetingMsMax,
          onHandshakeFailed: (address) =>
            this.#refusals.add({ reason: 'certificate', address, replica: null }),
        }));
  }

  get port(): number {
    assert(this.#listener !== null, 'an open network listens');
    return this.#listener.port;
  }

  send(to: number, parts: readonly Uint8Array[], lane: Lane): boolean {
    let byteCount = 0;
    for (const part of parts) byteCount += part.length;
    const bytesMax = lane === 'urgent' ? URGENT_FRAME_BYTES_MAX : this.#options.frameBytesMax;
    assert(byteCount <= bytesMax, `a frame of lane ${lane} has at most ${bytesMax} bytes, got ${byteCount}`);
    return this.#lines.get(to)?.send(parts, byteCount, lane) ?? false;
  }

  room(to: number): number {
    return this.#lines.get(to)?.room ?? 0;
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.#isClosed) return;
    requirePeers(peers, this.identity, this.#options);
    const wanted = new Map(peers.map((peer) => [peer.replica, peer]));
    this.#numbers = new Set(wanted.keys());
    this.#acquaintances.keepOnly(this.#numbers);
    for (const [replica, guest] of this.#guests) if (!wanted.has(replica)) guest.destroy();
    for (const [replica, line] of this.#lines) {
      const address = wanted.get(replica);
      if (address !== undefined && isSameAddress(address, line.address)) continue;
      line.close();
      this.#lines.delete(replica);
      if (address === undefined) this.#received.delete(replica);
    }
    for (const [replica, address] of wanted) {
      if (this.#lines.has(replica)) continue;
      this.#lines.set(replica, this.#lineTo(address));
      if (!this.#received.has(replica)) this.#received.set(replica, { frames: 0, bytes: 0 });
    }
  }

  peers(): PeerStatus[] {
    return [...this.#lines]
      .sort(([one], [other]) => one - other)
      .map(([replica, line]) =>
        peerStatus(
          { replica, address: hostAndPort(line.address) },
          line,
          this.#received.get(replica) ?? { frames: 0, bytes: 0 },
        ),
      );
  }

  refusals(): Readonly<Record<RefusalReason, number>> {
    return this.#refusals.counts();
  }

  close(): Promise<void> {
    this.#isClosed = true;
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const closed = this.#listener?.close();
    for (const line of this.#lines.values()) line.close();
    for (const guest of [...this.#greeting, ...this.#guests.values()]) guest.destroy();
    await closed;
  }

  #helloTo(replica: number): Hello {
    return {
      ...this.identity,
      protocolMin: PROTOCOL_MIN,
      protocolMax: PROTOCOL_MAX,
      to: replica,
      instance: this.#instance,
    };
  }

  #lineTo(address: PeerAddress): PeerLine {
    const { replica } = address;
    const name = hostAndPort(address);
    return new PeerLine({
      ...this.#options,
      address,
      clock: this.#clock,
      chance: this.#chance,
      dial: this.#dial,
      hello: () => this.#helloTo(replica),
      judge: (welcome, connection) =>
        welcome.replica === replica ? this.#judge(welcome, connection, address) : 'wrong-replica',
      onOpen: () => {
        this.#tell(() => this.#handler.event({ kind: 'peer-connected', replica, address: name }));
        this.#tell(() => this.#handler.room(replica));
      },
      onRoom: () => this.#tell(() => this.#handler.room(replica)),
      onLost: (reason) =>
        this.#tell(() => this.#handler.event({ kind: 'peer-disconnected', replica, address: name, reason })),
      onRefused: (reason, other) => this.#tell(() => this.#refusals.add({ reason, address: other, replica })),
    });
  }

  #accept(connection: Connection): ConnectionHandler {
    const guest = new PeerGuest({
      ...this.#options,
      clock: this.#clock,
      connection,
      judge: (hello) => this.#judge(hello, connection, this.#lines.get(hello.replica)?.address),
      welcome: (hello) => this.#helloTo(hello.replica),
      onWelcomed: (welcomed, replica) => {
        this.#greeting.delete(welcomed);
        this.#guests.get(replica)?.destroy();
        this.#guests.set(replica, welcomed);
      },
      onFrame: (from, bytes, lane) => this.#take(from, bytes, lane),
      onRefused: (reason, replica) =>
        this.#tell(() => this.#refusals.add({ reason, address: connection.remoteAddress, replica })),
      onClosed: (closed) => this.#forget(closed),
    });
    this.#greeting.add(guest);
    if (this.#greeting.size > GREETINGS_MAX) {
      const [oldest] = this.#greeting;
      this.#greeting.delete(oldest!);
      oldest!.refuse('too-many');
      oldest!.destroy();
    }
    return guest;
  }

  #take(from: number, bytes: Uint8Array, lane: Lane): void {
    const received = this.#received.get(from);
    if (received === undefined || this.#isClosed) return;
    received.frames++;
    received.bytes += bytes.length;
    this.#handler.frame(from, bytes, lane);
  }

  #forget(guest: PeerGuest): void {
    this.#greeting.delete(guest);
    const { replica } = guest;
    if (replica !== null && this.#guests.get(replica) === guest) this.#guests.delete(replica);
  }

  #judge(hello: Hello, { certificateNames }: Connection, address?: PeerAddress): RefusalReason | null {
    if (certificateNames !== null && hello.clusterId === this.identity.clusterId) {
      const name = address?.certificateName ?? defaultName(hello);
      if (!certificateNames.includes(name)) return 'certificate';
    }
    return this.#acquaintances.judge(hello, this.identity, this.#numbers);
  }

  /** Nothing is told once it is closed. */
  #tell(tell: () => void): void {
    if (!this.#isClosed) tell();
  }
}

function requireOwnCertificate(identity: PeerIdentity, { tls, certificateName }: ResolvedPeerOptions): void {
  assert(tls !== null, 'there is a certificate');
  requireCredentials(tls);
  const name = certificateName ?? defaultName(identity);
  const names = namesInCertificate(tls.cert);
  if (!names.includes(name)) throw invalidOption('tls.cert', names.join(', '), `a certificate of ${name}`);
}

function defaultName({ clusterId, replica }: Pick<PeerIdentity, 'clusterId' | 'replica'>): string {
  return `URI:tidemark:${clusterId}:${replica}`;
}

function isSameAddress(one: PeerAddress, other: PeerAddress): boolean {
  return one.host === other.host && one.port === other.port && one.certificateName === other.certificateName;
}
