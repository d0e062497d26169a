/** One replica's end of a simulated network: the `PeerNetwork` that protocols get. */

import { assert } from '../base/assert.ts';
import {
  Acquaintances,
  type Hello,
  INSTANCE_BYTES,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
} from '../network/peer-hello.ts';
import { hostAndPort } from '../network/peer-line.ts';
import {
  type Lane,
  type PeerAddress,
  type PeerHandler,
  type PeerIdentity,
  type PeerNetwork,
  type PeerStatus,
  type RefusalReason,
  URGENT_FRAME_BYTES_MAX,
} from '../network/peer-network.ts';
import { type ResolvedPeerOptions, requirePeers } from '../network/peer-options.ts';
import { peerStatus, type Received } from '../network/peer-status.ts';
import { Refusals } from '../network/refusals.ts';
import type { Fabric, Session, SimulatedHost } from './simulated-fabric.ts';
import { SimulatedLine } from './simulated-line.ts';

export interface SimulatedPeersInit {
  readonly fabric: Fabric;
  readonly identity: PeerIdentity;
  readonly address: PeerAddress;
  readonly handler: PeerHandler;
  readonly options: ResolvedPeerOptions;
}

/** A replica in a simulated network. */
export class SimulatedPeers implements PeerNetwork, SimulatedHost {
  readonly identity: PeerIdentity;
  /** Where it listens. */
  readonly address: PeerAddress;
  readonly place: number;
  readonly #init: SimulatedPeersInit;
  readonly #instance: string;
  readonly #acquaintances = new Acquaintances();
  readonly #refusals: Refusals;
  readonly #lines = new Map<number, SimulatedLine>();
  readonly #received = new Map<number, Received>();
  /** The session in which each peer sends to us. */
  readonly #guests = new Map<number, Session>();
  #numbers: ReadonlySet<number> = new Set();
  isClosed = false;

  constructor(init: SimulatedPeersInit) {
    const { fabric, identity, address, handler } = init;
    this.#init = init;
    this.identity = identity;
    this.address = address;
    this.place = fabric.placeOf(hostAndPort(address));
    this.#instance = Buffer.from(fabric.random.fill(new Uint8Array(INSTANCE_BYTES))).toString('hex');
    this.#refusals = new Refusals(fabric.clock, (event) => handler.event(event));
    fabric.listen(this);
  }

  send(to: number, parts: readonly Uint8Array[], lane: Lane): boolean {
    let byteCount = 0;
    for (const part of parts) byteCount += part.length;
    const bytesMax = lane === 'urgent' ? URGENT_FRAME_BYTES_MAX : this.#init.options.frameBytesMax;
    assert(byteCount <= bytesMax, `a frame of lane ${lane} has at most ${bytesMax} bytes, got ${byteCount}`);
    return this.#lines.get(to)?.send(parts, byteCount, lane) ?? false;
  }

  room(to: number): number {
    return this.#lines.get(to)?.room ?? 0;
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.isClosed) return;
    requirePeers(peers, this.identity, this.#init.options);
    const wanted = new Map(peers.map((peer) => [peer.replica, peer]));
    this.#numbers = new Set(wanted.keys());
    this.#acquaintances.keepOnly(this.#numbers);
    for (const replica of this.#guests.keys()) if (!wanted.has(replica)) this.#dismiss(replica);
    for (const [replica, line] of this.#lines) {
      const address = wanted.get(replica);
      if (address !== undefined && hostAndPort(address) === hostAndPort(line.address)) continue;
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
    this.#leave('closed');
    return Promise.resolve();
  }

  /** The process is killed, which the others are told; or the machine loses power, which they are not. */
  crash(what: 'process' | 'machine'): void {
    this.#leave(what === 'process' ? 'closed' : 'silent');
  }

  helloTo(replica: number): Hello {
    return {
      ...this.identity,
      protocolMin: PROTOCOL_MIN,
      protocolMax: PROTOCOL_MAX,
      to: replica,
      instance: this.#instance,
    };
  }

  accept(session: Session, hello: Hello): RefusalReason | null {
    const reason = this.#judge(hello);
    if (reason !== null) {
      const { place } = session.owner;
      this.#refusals.add({ reason, address: `simulated:${place}`, replica: hello.replica });
      return reason;
    }
    const before = this.#guests.get(hello.replica);
    if (before !== undefined) before.isOver = true;
    this.#guests.set(hello.replica, session);
    return null;
  }

  deliver(session: Session, bytes: Uint8Array, lane: Lane): void {
    const { replica } = session.owner.identity;
    const received = this.#received.get(replica);
    if (this.isClosed || received === undefined) return;
    received.frames++;
    received.bytes += bytes.length;
    this.#init.fabric.trace(() => `frame ${session.owner.place} ${this.place} ${lane} ${bytes.length}`);
    this.#init.handler.frame(replica, bytes, lane);
  }

  refuseFrame(session: Session, reason: RefusalReason): void {
    const { identity, place } = session.owner;
    this.#refusals.add({ reason, address: `simulated:${place}`, replica: identity.replica });
  }

  onCut(place: number): void {
    for (const line of this.#lines.values()) line.onCut(place);
  }

  onGone(host: SimulatedHost, how: 'closed' | 'silent'): void {
    for (const line of this.#lines.values()) line.onGone(host, how);
  }

  /** The guest is not a peer any more; its line notices. */
  #dismiss(replica: number): void {
    const session = this.#guests.get(replica);
    this.#guests.delete(replica);
    if (session === undefined || session.isOver) return;
    session.owner.onGone(this, 'closed');
  }

  #leave(how: 'closed' | 'silent'): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const line of this.#lines.values()) line.close();
    this.#init.fabric.leave(this, how);
  }

  #judge(hello: Hello): RefusalReason | null {
    const reason = this.#acquaintances.judge(hello, this.identity, this.#numbers);
    const isDouble = reason === 'same-identity' || reason === 'own-identity' || reason === 'older-start';
    if (isDouble) this.#init.fabric.faults.count('same-identity');
    return reason;
  }

  #lineTo(address: PeerAddress): SimulatedLine {
    const { fabric, handler, options } = this.#init;
    const { replica } = address;
    const name = hostAndPort(address);
    return new SimulatedLine({
      fabric,
      owner: this,
      address,
      name,
      options,
      judge: (welcome) => this.#judge(welcome),
      onOpen: () => {
        handler.event({ kind: 'peer-connected', replica, address: name });
        handler.room(replica);
      },
      onRoom: () => handler.room(replica),
      onLost: (reason) => {
        if (!this.isClosed) handler.event({ kind: 'peer-disconnected', replica, address: name, reason });
      },
      onRefused: (reason) => this.#refusals.add({ reason, address: name, replica }),
    });
  }
}
