/**
 * The simulated counterpart of `network/peer-line.ts`: attempts, greetings, lanes with bounds and bandwidth,
 * and what becomes of each frame on its way.
 *
 * Lanes empty by themselves as time passes: when a frame is taken it is known when it will have left, so that
 * nothing is planned for it but its arrival.
 */

import { Backoff } from '../base/backoff.ts';
import type { TidemarkError } from '../base/errors.ts';
import type { Timer } from '../base/time.ts';
import { encodeFrame, FRAME_HEADER_BYTES, FrameReader, PAYLOAD_BYTES_MAX } from '../network/peer-frame.ts';
import type { Hello } from '../network/peer-hello.ts';
import type { DropKind, Lane, PeerAddress, RefusalReason } from '../network/peer-network.ts';
import { type ResolvedPeerOptions, retryLimits } from '../network/peer-options.ts';
import { refusedByPeer, refusedError } from '../network/refusals.ts';
import { exponential } from './network-faults.ts';
import { type Fabric, isCut, type Path, type Session, type SimulatedHost } from './simulated-fabric.ts';

/** Means of how late a frame is by each fault, in milliseconds. */
const DELAY_MS = 500;
const REORDER_MS = 20;
const DUPLICATE_MS = 100;

export interface SimulatedLineConfig {
  readonly fabric: Fabric;
  readonly owner: SimulatedHost;
  readonly address: PeerAddress;
  /** Of the address, as people write it. */
  readonly name: string;
  readonly options: ResolvedPeerOptions;
  judge(welcome: Hello): RefusalReason | null;
  onOpen(): void;
  onRoom(): void;
  onLost(reason: string): void;
  onRefused(reason: RefusalReason): void;
}

interface Trouble {
  readonly reason: string;
  readonly failure: TidemarkError | null;
}

export class SimulatedLine {
  readonly #config: SimulatedLineConfig;
  readonly #fabric: Fabric;
  readonly #place: number;
  readonly #backoff: Backoff;
  #urgent = new LaneQueue();
  #bulk = new LaneQueue();
  /** The connection, from when it was accepted. */
  #session: Session | null = null;
  #path: Path;
  #inFlight = 0;
  /** The next attempt, or the deadline of this one. */
  #timer: Timer | null = null;
  #owesRoom = false;
  #isClosed = false;
  isOpen = false;
  trouble: Trouble | null = { reason: 'not connected yet', failure: null };
  since: number;
  roundTripMs: number | null = null;
  framesSent = 0;
  bytesSent = 0;
  connects = 0;
  readonly drops: Record<DropKind, number> = { unreachable: 0, 'no-room': 0, 'connection-lost': 0 };

  constructor(config: SimulatedLineConfig) {
    const { fabric, name, options } = config;
    this.#config = config;
    this.#fabric = fabric;
    this.#place = fabric.placeOf(name);
    this.#path = fabric.path(config.owner.place, this.#place);
    this.#backoff = new Backoff(retryLimits(options), fabric.random);
    this.since = fabric.clock.now();
    this.#timer = fabric.clock.after(0, () => this.#dial());
  }

  get address(): PeerAddress {
    return this.#config.address;
  }

  get room(): number {
    if (!this.isOpen) return 0;
    const { framesMax, bulkBytesMax } = this.#config.options;
    this.#bulk.prune(this.#fabric.clock.monotonic());
    return this.#bulk.count >= framesMax ? 0 : Math.max(0, bulkBytesMax - this.#bulk.bytes);
  }

  send(parts: readonly Uint8Array[], byteCount: number, lane: Lane): boolean {
    const session = this.#session;
    if (!this.isOpen || session === null) {
      this.drops.unreachable++;
      return false;
    }
    const now = this.#fabric.clock.monotonic();
    const queue = lane === 'urgent' ? this.#urgent : this.#bulk;
    queue.prune(now);
    if (!this.#hasRoom(queue, byteCount, lane)) {
      this.drops['no-room']++;
      if (lane === 'bulk') this.#oweRoom(session);
      return false;
    }
    this.framesSent++;
    this.bytesSent += byteCount;
    const leavesAt = queue.add(now, this.#startsAt(now), byteCount, this.#path.bytesPerSecond);
    this.#carry(session, queue, Buffer.concat(parts, byteCount), { lane, leavesAt });
    return true;
  }

  /** The connection breaks. */
  lose(reason: string): void {
    this.#fail({ reason, failure: null });
  }

  /** The session ends because of who accepted it. */
  onGone(host: SimulatedHost, how: 'closed' | 'silent'): void {
    const session = this.#session;
    if (session === null || session.target !== host) return;
    const ms = how === 'closed' ? this.#fabric.latencyMs() : this.#config.options.silenceMsMax;
    this.#fabric.clock.after(ms, () => {
      if (this.#session === session) this.lose(how === 'closed' ? 'the connection was closed' : 'silent');
    });
  }

  /** Nothing comes or goes; when that lasts, it is a silence. */
  onCut(place: number): void {
    const session = this.#session;
    if (session === null || session.target.place !== place) return;
    const { silenceMsMax } = this.#config.options;
    const cutAt = this.#fabric.clock.monotonic();
    const here = this.#config.owner.place;
    this.#fabric.clock.after(silenceMsMax, () => {
      const paths = [this.#fabric.path(here, place), this.#fabric.path(place, here)];
      const isSilent = paths.some((path) => isCut(path) && path.cutSince <= cutAt);
      if (this.#session === session && isSilent) this.lose(`silent for ${silenceMsMax} ms`);
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#end('closed');
  }

  #hasRoom(queue: LaneQueue, byteCount: number, lane: Lane): boolean {
    const { framesMax, bulkBytesMax, urgentBytesMax } = this.#config.options;
    if (queue.count >= framesMax) return false;
    const bytesMax = lane === 'urgent' ? urgentBytesMax : bulkBytesMax;
    return queue.count === 0 || queue.bytes + byteCount <= bytesMax;
  }

  /** When the path takes something that is ready now. */
  #startsAt(now: number): number {
    const { faults } = this.#fabric;
    if (this.#path.isSlow) faults.count('slow-link');
    if (this.#path.heldUntil <= now) return now;
    faults.count('congestion');
    return this.#path.heldUntil;
  }

  #carry(
    session: Session,
    queue: LaneQueue,
    bytes: Uint8Array,
    { lane, leavesAt }: { lane: Lane; leavesAt: number },
  ): void {
    const { faults, clock, random } = this.#fabric;
    if (faults.strikes('reset')) {
      clock.soon(() => {
        if (this.#session === session) this.lose('the connection was reset');
      });
    }
    if (faults.strikes('drop')) return;
    let arrivesAt = leavesAt + this.#fabric.latencyMs();
    if (faults.strikes('delay')) arrivesAt += exponential(random, DELAY_MS);
    if (faults.strikes('reorder')) arrivesAt += exponential(random, REORDER_MS);
    else arrivesAt = queue.arrivesInOrder(arrivesAt);
    const arrive = faults.strikes('garble') ? this.#garbled(bytes, lane) : 'whole';
    this.#arriveAt(arrivesAt, session, () => {
      if (arrive === 'whole') session.target.deliver(session, bytes, lane);
      else this.#breakBy(session, arrive);
    });
    if (!faults.strikes('duplicate')) return;
    this.#arriveAt(arrivesAt + exponential(random, DUPLICATE_MS), session, () => {
      session.target.deliver(session, Uint8Array.from(bytes), lane);
    });
  }

  #arriveAt(at: number, session: Session, arrive: () => void): void {
    const { clock } = this.#fabric;
    this.#inFlight++;
    clock.after(at - clock.monotonic(), () => {
      if (session.isOver) return;
      this.#inFlight--;
      if (!this.#fabric.swallows(session.owner.place, session.target.place)) arrive();
    });
  }

  /** What the reader that ships says of the first piece of a frame in which one bit is wrong. */
  #garbled(bytes: Uint8Array, lane: Lane): RefusalReason {
    const frame = encodeFrame(lane, bytes.subarray(0, PAYLOAD_BYTES_MAX));
    const bit = this.#fabric.random.below(8 * frame.length);
    frame[bit >> 3]! ^= 1 << (bit & 7);
    const reader = new FrameReader(PAYLOAD_BYTES_MAX);
    // A length that became greater leaves the reader waiting, and what comes next is garbled for it.
    return (
      reader.push(frame, () => 'more') ??
      reader.push(new Uint8Array(PAYLOAD_BYTES_MAX), () => 'more') ??
      'silent'
    );
  }

  #breakBy(session: Session, reason: RefusalReason): void {
    session.target.refuseFrame(session, reason);
    const failure = refusedByPeer({ reason, ...this.#who() });
    this.#fail({ reason: `refused: ${reason}`, failure });
  }

  #who(): { address: string; replica: number } {
    return { address: this.#config.name, replica: this.#config.address.replica };
  }

  #dial(): void {
    const { clock } = this.#fabric;
    const { greetingMsMax } = this.#config.options;
    let isOver = false;
    const deadline = clock.after(greetingMsMax, () => {
      this.#fail({ reason: `no answer within ${greetingMsMax} ms`, failure: null });
    });
    this.#timer = {
      cancel() {
        isOver = true;
        deadline.cancel();
      },
    };
    const dialledAt = clock.monotonic();
    clock.after(this.#fabric.latencyMs(), () => {
      if (!isOver) this.#knock(dialledAt, () => isOver);
    });
  }

  /** The attempt reaches the other side, or does not. */
  #knock(dialledAt: number, isOver: () => boolean): void {
    const { fabric, owner, name } = this.#config;
    const target = fabric.hostAt(this.#place);
    const place = target?.place ?? this.#place;
    if (fabric.swallows(owner.place, place)) return;
    const session = target === null ? null : { owner, target, isOver: false };
    const refusal = session?.target.accept(session, owner.helloTo(this.#config.address.replica)) ?? null;
    fabric.clock.after(fabric.latencyMs(), () => {
      if (isOver() || fabric.swallows(place, owner.place)) {
        if (session !== null) session.isOver = true;
      } else if (session === null) {
        this.#fail({ reason: `nobody listens at ${name}`, failure: null });
      } else if (refusal !== null) {
        const failure = refusedByPeer({ reason: refusal, ...this.#who() });
        this.#fail({ reason: `refused: ${refusal}`, failure });
      } else this.#greet(session, dialledAt);
    });
  }

  #greet(session: Session, dialledAt: number): void {
    const { fabric, owner, address } = this.#config;
    if (session.isOver || session.target.isClosed) {
      this.#fail({ reason: 'the connection was closed', failure: null });
      return;
    }
    const welcome = session.target.helloTo(owner.identity.replica);
    const reason = welcome.replica === address.replica ? this.#config.judge(welcome) : 'wrong-replica';
    if (reason !== null) {
      session.isOver = true;
      this.#config.onRefused(reason);
      const failure = refusedError({ reason, ...this.#who() });
      this.#fail({ reason: `refused it: ${reason}`, failure });
      return;
    }
    this.#timer?.cancel();
    this.#backoff.reset();
    this.#session = session;
    this.#path = fabric.path(owner.place, session.target.place);
    this.#urgent = new LaneQueue();
    this.#bulk = new LaneQueue();
    this.isOpen = true;
    this.trouble = null;
    this.since = fabric.clock.now();
    this.roundTripMs = fabric.clock.monotonic() - dialledAt;
    this.connects++;
    fabric.trace(() => `open ${owner.place} ${session.target.place}`);
    if (isCut(this.#path)) this.onCut(session.target.place); // Too late to have been told.
    this.#config.onOpen();
  }

  #fail(trouble: Trouble): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.trouble = trouble;
    this.#end(trouble.reason);
    this.#timer = this.#fabric.clock.after(this.#backoff.nextMs(), () => this.#dial());
  }

  #end(reason: string): void {
    const session = this.#session;
    if (session === null) return;
    this.#session = null;
    session.isOver = true;
    this.isOpen = false;
    this.#owesRoom = false;
    this.drops['connection-lost'] += this.#inFlight;
    this.#inFlight = 0;
    this.since = this.#fabric.clock.now();
    this.#fabric.trace(() => `lost ${session.owner.place} ${session.target.place} ${reason}`);
    this.#config.onLost(reason);
  }

  /** A bulk frame found no room: tells when half of the lane is free. */
  #oweRoom(session: Session): void {
    if (this.#owesRoom) return;
    this.#owesRoom = true;
    const { framesMax, bulkBytesMax } = this.#config.options;
    const at = this.#bulk.leftAt(bulkBytesMax / 2, framesMax - 1);
    this.#fabric.clock.after(Math.max(0, at - this.#fabric.clock.monotonic()), () => {
      if (this.#session !== session || !this.#owesRoom) return;
      this.#owesRoom = false;
      this.#config.onRoom();
    });
  }
}

/** A lane: frames with the times at which they will have left, in order. */
class LaneQueue {
  #leaving: { readonly at: number; readonly byteCount: number }[] = [];
  #first = 0;
  #lastArrivesAt = 0;
  bytes = 0;

  get count(): number {
    return this.#leaving.length - this.#first;
  }

  /** Lets go of what has left by `now`. */
  prune(now: number): void {
    for (let next = this.#leaving[this.#first]; next !== undefined && next.at <= now; ) {
      this.bytes -= next.byteCount;
      next = this.#leaving[++this.#first];
    }
    if (this.#first === this.#leaving.length) this.clear();
  }

  /** @returns When the frame will have left. */
  add(now: number, startsAt: number, byteCount: number, bytesPerSecond: number): number {
    const freeAt = this.#leaving.at(-1)?.at ?? now;
    const at = Math.max(freeAt, startsAt) + (1000 * (byteCount + FRAME_HEADER_BYTES)) / bytesPerSecond;
    this.#leaving.push({ at, byteCount });
    this.bytes += byteCount;
    return at;
  }

  /** When it arrives if it does not overtake what was sent before it. */
  arrivesInOrder(at: number): number {
    this.#lastArrivesAt = Math.max(at, this.#lastArrivesAt);
    return this.#lastArrivesAt;
  }

  /** When at most so many bytes and frames are left. */
  leftAt(bytesMax: number, countMax: number): number {
    let bytesLeft = this.bytes;
    for (let at = this.#first; at < this.#leaving.length; at++) {
      const { at: leavesAt, byteCount } = this.#leaving[at]!;
      bytesLeft -= byteCount;
      if (bytesLeft <= bytesMax && this.#leaving.length - at - 1 <= countMax) return leavesAt;
    }
    return 0;
  }

  clear(): void {
    this.#leaving = [];
    this.#first = 0;
    this.bytes = 0;
  }
}
