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
import { Acquaintances, drawInstance, type Hello, helloOf } from './peer-hello.ts';
import { hostAndPort, PeerLine } from './peer-line.ts';
import {
  type Lane,
  type PeerAddress,
  type PeerHandler,
  type PeerIdentity,
  type PeerNetwork,
  type PeerStatus,
  type RefusalReason,
} from './peer-network.ts';
import {
  type PeerOptions,
  type ResolvedPeerOptions,
  requirePeers,
  resolvePeerOptions,
} from './peer-options.ts';
import { PeerTable } from './peer-table.ts';
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
  readonly #table: PeerTable<PeerLine>;
  /** Connections that have not said who they are, oldest first; and those that have, by replica. */
  readonly #greeting = new Set<PeerGuest>();
  readonly #guests = new Map<number, PeerGuest>();
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
    this.#instance = drawInstance(chance);
    this.#table = new PeerTable({ identity, options, lineTo: (address) => this.#lineTo(address) });
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
    return this.#table.send(to, parts, lane);
  }

  room(to: number): number {
    return this.#table.room(to);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.#isClosed) return;
    this.#table.set(peers);
    this.#acquaintances.keepOnly(this.#table);
    for (const [replica, guest] of this.#guests) if (!this.#table.has(replica)) guest.destroy();
  }

  peers(): PeerStatus[] {
    return this.#table.statuses();
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
    this.#table.close();
    for (const guest of [...this.#greeting, ...this.#guests.values()]) guest.destroy();
    await closed;
  }

  #helloTo(replica: number): Hello {
    return helloOf(this.identity, this.#instance, replica);
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
      judge: (hello) => this.#judge(hello, connection, this.#table.addressOf(hello.replica)),
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
    if (this.#isClosed || !this.#table.countFrame(from, bytes.length)) return;
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
    return this.#acquaintances.judge(hello, this.identity, this.#table);
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
