/**
 * A connection that a peer made: it says who it is, and then sends frames to us. Nothing but answers to it
 * travels the other way; what we send to that peer takes the connection that we make (docs/network.md §1).
 *
 * Bounds, because anybody who reaches the port may send anything:
 *  - Until the hello was taken, HELLO_BYTES of payload and `greetingMsMax`.
 *  - After it, one bulk message of at most `frameBytesMax`, in pieces, and `silenceMsMax` between frames: a
 *    sender of single bytes completes none in time.
 *  - ANSWERS_BYTES_MAX of answers that the peer does not read.
 */

import { viewOf, writeU64 } from '../base/bytes.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { Connection, ConnectionHandler } from './connection.ts';
import { encodeFrame, type Frame, FrameReader, PAYLOAD_BYTES_MAX } from './peer-frame.ts';
import { decodeHello, encodeHello, encodeRefusal, HELLO_BYTES, type Hello } from './peer-hello.ts';
import type { Lane, RefusalReason } from './peer-network.ts';
import { watchSilence } from './silence.ts';

/** Pongs and confirmations are of some bytes each. */
const ANSWERS_BYTES_MAX = 256 * 1024;

/** Bulk bytes after which they are confirmed. */
const CONFIRM_BYTES = 128 * 1024;

export interface GuestConfig {
  readonly clock: Clock;
  readonly connection: Connection;
  readonly frameBytesMax: number;
  readonly greetingMsMax: number;
  readonly silenceMsMax: number;
  /** Judges who it says it is; null when it may come in. */
  judge(hello: Hello): RefusalReason | null;
  /** What this side says of itself. */
  welcome(hello: Hello): Hello;
  /** It has come in. */
  onWelcomed(guest: PeerGuest, replica: number): void;
  onFrame(replica: number, bytes: Uint8Array, lane: Lane): void;
  /** Not called for a connection that simply ended. */
  onRefused(reason: RefusalReason, replica: number | null): void;
  /** Called exactly once, last. */
  onClosed(guest: PeerGuest): void;
}

export class PeerGuest implements ConnectionHandler {
  readonly #config: GuestConfig;
  readonly #reader = new FrameReader(HELLO_BYTES);
  #replica: number | null = null;
  /** Who it says it is. */
  #claimed: number | null = null;
  #isOver = false;
  #timer: Timer;
  #heardAt: number;
  /** Pieces of a bulk message that is not whole yet. */
  #pieces: Uint8Array[] = [];
  #piecesBytes = 0;
  #bulkBytes = 0;
  #confirmedBytes = 0;

  constructor(config: GuestConfig) {
    this.#config = config;
    this.#heardAt = config.clock.monotonic();
    this.#timer = config.clock.after(config.greetingMsMax, () => this.refuse('silent'));
  }

  /** Null until it has come in. */
  get replica(): number | null {
    return this.#replica;
  }

  /** Closes the connection, and says why as far as the other side still listens. */
  refuse(reason: RefusalReason): void {
    if (this.#isOver) return;
    this.#config.onRefused(reason, this.#claimed);
    this.#config.connection.write(encodeFrame('refusal', encodeRefusal(reason)));
    this.close();
  }

  /** Sends what waits, the reason above all, and closes; who does not read it is not waited for. */
  close(): void {
    if (this.#isOver) return;
    this.#end();
    this.#config.connection.end();
    this.#timer = this.#config.clock.after(this.#config.greetingMsMax, () =>
      this.#config.connection.destroy(),
    );
  }

  destroy(): void {
    this.#end();
    this.#config.connection.destroy();
  }

  data(chunk: Uint8Array): void {
    if (this.#isOver) return;
    const fault = this.#reader.push(chunk, (frame) => this.#take(frame));
    if (fault !== null) this.refuse(fault);
    else if (!this.#isOver) this.#confirm();
  }

  flushed(): void {}

  ended(): void {
    this.close();
  }

  closed(): void {
    this.#end();
    this.#config.onClosed(this);
  }

  #take(frame: Frame): 'more' | 'stop' {
    this.#heardAt = this.#config.clock.monotonic();
    const wrong = this.#replica === null ? this.#greet(frame) : this.#receive(this.#replica, frame);
    if (wrong !== null) this.refuse(wrong);
    return this.#isOver ? 'stop' : 'more';
  }

  #greet({ kind, payload, hasMore }: Frame): RefusalReason | null {
    const hello = kind === 'hello' && !hasMore ? decodeHello(payload) : null;
    if (hello === null) return 'out-of-turn';
    this.#claimed = hello.replica;
    const wrong = this.#config.judge(hello);
    if (wrong !== null) return wrong;
    this.#replica = hello.replica;
    this.#reader.payloadBytesMax = PAYLOAD_BYTES_MAX;
    this.#timer.cancel();
    this.#watch();
    this.#config.connection.write(encodeFrame('welcome', encodeHello(this.#config.welcome(hello))));
    this.#config.onWelcomed(this, hello.replica);
    return null;
  }

  #receive(replica: number, { kind, payload, hasMore }: Frame): RefusalReason | null {
    switch (kind) {
      case 'urgent':
        if (hasMore) return 'out-of-turn';
        this.#config.onFrame(replica, payload, 'urgent');
        return null;
      case 'bulk':
        return this.#receiveBulk(replica, payload, hasMore);
      case 'ping':
        if (payload.length !== 8 || hasMore) return 'out-of-turn';
        this.#answer(encodeFrame('pong', payload));
        return null;
      default:
        return 'out-of-turn';
    }
  }

  #receiveBulk(replica: number, payload: Uint8Array, hasMore: boolean): RefusalReason | null {
    this.#bulkBytes += payload.length;
    this.#piecesBytes += payload.length;
    if (this.#piecesBytes > this.#config.frameBytesMax) return 'oversized';
    if (hasMore) {
      // Pieces without bytes would pile up below any bound of bytes.
      if (payload.length < PAYLOAD_BYTES_MAX) return 'out-of-turn';
      this.#pieces.push(payload);
      return null;
    }
    const whole = this.#pieces.length === 0 ? payload : Buffer.concat([...this.#pieces, payload]);
    this.#pieces = [];
    this.#piecesBytes = 0;
    this.#config.onFrame(replica, whole, 'bulk');
    return null;
  }

  /** Says how many bulk bytes have come, once per turn and not for every frame. */
  #confirm(): void {
    if (this.#bulkBytes - this.#confirmedBytes < CONFIRM_BYTES) return;
    this.#confirmedBytes = this.#bulkBytes;
    const total = new Uint8Array(8);
    writeU64(viewOf(total), 0, this.#bulkBytes);
    this.#answer(encodeFrame('taken', total));
  }

  #answer(bytes: Uint8Array): void {
    const { connection } = this.#config;
    connection.write(bytes);
    if (connection.bufferedBytes > ANSWERS_BYTES_MAX) this.refuse('silent');
  }

  #watch(): void {
    const { clock, silenceMsMax } = this.#config;
    this.#timer = watchSilence({
      clock,
      silenceMsMax,
      everyMs: silenceMsMax / 4,
      heardAt: () => this.#heardAt,
      onSilent: () => this.refuse('silent'),
    });
  }

  #end(): void {
    this.#isOver = true;
    this.#timer.cancel();
    this.#pieces = [];
  }
}
