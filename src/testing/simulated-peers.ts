/** One replica's end of a simulated network: the `PeerNetwork` that protocols get. */

import { Acquaintances, drawInstance, type Hello, helloOf } from '../network/peer-hello.ts';
import { hostAndPort } from '../network/peer-line.ts';
import {
  type Lane,
  type PeerAddress,
  type PeerHandler,
  type PeerIdentity,
  type PeerNetwork,
  type PeerStatus,
  type RefusalReason,
} from '../network/peer-network.ts';
import type { ResolvedPeerOptions } from '../network/peer-options.ts';
import { PeerTable } from '../network/peer-table.ts';
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
  readonly #table: PeerTable<SimulatedLine>;
  /** The session in which each peer sends to us. */
  readonly #guests = new Map<number, Session>();
  isClosed = false;

  constructor(init: SimulatedPeersInit) {
    const { fabric, identity, address, handler } = init;
    this.#init = init;
    this.identity = identity;
    this.address = address;
    this.place = fabric.placeOf(hostAndPort(address));
    this.#instance = drawInstance(fabric.random);
    this.#table = new PeerTable({ ...init, lineTo: (to) => this.#lineTo(to) });
    this.#refusals = new Refusals(fabric.clock, (event) => handler.event(event));
    fabric.listen(this);
  }

  send(to: number, parts: readonly Uint8Array[], lane: Lane): boolean {
    return this.#table.send(to, parts, lane);
  }

  room(to: number): number {
    return this.#table.room(to);
  }

  setPeers(peers: readonly PeerAddress[]): void {
    if (this.isClosed) return;
    this.#table.set(peers);
    this.#acquaintances.keepOnly(this.#table);
    for (const replica of this.#guests.keys()) if (!this.#table.has(replica)) this.#dismiss(replica);
  }

  peers(): PeerStatus[] {
    return this.#table.statuses();
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
    return helloOf(this.identity, this.#instance, replica);
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
    if (this.isClosed || !this.#table.countFrame(replica, bytes.length)) return;
    this.#init.fabric.trace(() => `frame ${session.owner.place} ${this.place} ${lane} ${bytes.length}`);
    this.#init.handler.frame(replica, bytes, lane);
  }

  refuseFrame(session: Session, reason: RefusalReason): void {
    const { identity, place } = session.owner;
    this.#refusals.add({ reason, address: `simulated:${place}`, replica: identity.replica });
  }

  onCut(place: number): void {
    for (const line of this.#table.lines) line.onCut(place);
  }

  onGone(host: SimulatedHost, how: 'closed' | 'silent'): void {
    for (const line of this.#table.lines) line.onGone(host, how);
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
    this.#table.close();
    this.#init.fabric.leave(this, how);
  }

  #judge(hello: Hello): RefusalReason | null {
    const reason = this.#acquaintances.judge(hello, this.identity, this.#table);
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
