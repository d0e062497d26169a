/**
 * The connection that we make to one peer, again and again: what we send to it goes here, and nothing but
 * answers comes back.
 *
 * States: `waiting` for the next attempt, `dialling`, `greeting`, `open`, `closed`. Frames are taken while it
 * is open, and never kept for later: a protocol knows better than we what is worth repeating.
 *
 * Invariants:
 *  - One attempt at a time, the next one after a wait that grows (base/backoff.ts) until a ping was answered.
 *  - Frames of one turn leave in one write, and while the operating system holds a write back, none follows:
 *    what waits, waits in the lanes, where urgent frames pass.
 */

import { assert } from '../base/assert.ts';
import { Backoff } from '../base/backoff.ts';
import { readU64, viewOf, writeU64 } from '../base/bytes.ts';
import type { Chance } from '../base/chance.ts';
import type { TidemarkError } from '../base/errors.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { Connection, ConnectionHandler, Dial, Dialing } from './connection.ts';
import { Outbox, type OutboxLimits } from './outbox.ts';
import { encodeFrame, type Frame, FrameReader } from './peer-frame.ts';
import { decodeHello, decodeRefusal, encodeHello, HELLO_BYTES, type Hello } from './peer-hello.ts';
import type { DropKind, Lane, PeerAddress, RefusalReason } from './peer-network.ts';
import { retryLimits } from './peer-options.ts';
import { refusedByPeer, refusedError } from './refusals.ts';
import { watchSilence } from './silence.ts';

export interface LineConfig extends OutboxLimits {
  readonly address: PeerAddress;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly dial: Dial;
  readonly greetingMsMax: number;
  readonly pingMs: number;
  readonly silenceMsMax: number;
  readonly retryMsMax: number;
  /** What this side says of itself. */
  hello(): Hello;
  /** Judges who answered; null when it is the one that was meant. */
  judge(welcome: Hello, connection: Connection): RefusalReason | null;
  onOpen(): void;
  onRoom(): void;
  /** It was open, and is not any more. */
  onLost(reason: string): void;
  /** The other side was refused by this one. */
  onRefused(reason: RefusalReason, address: string): void;
}

/** Why frames cannot be sent now. */
interface Trouble {
  readonly reason: string;
  readonly failure: TidemarkError | null;
}

/** One attempt, from when the connection stands. */
interface Attempt {
  readonly connection: Connection;
  readonly reader: FrameReader;
  outbox: Outbox;
  heardAt: number;
  isOpen: boolean;
  /** The operating system holds a write back. */
  isBuffering: boolean;
}

export class PeerLine {
  readonly #config: LineConfig;
  readonly #backoff: Backoff;
  #attempt: Attempt | null = null;
  #dialing: Dialing | null = null;
  /** The next attempt, the deadline of this one, or the pings. */
  #timer: Timer | null = null;
  #isClosed = false;
  #isFlushDue = false;
  /** A bulk frame found no room, and nobody was told yet that there is some. */
  #owesRoom = false;
  #trouble: Trouble | null = { reason: 'not connected yet', failure: null };
  since: number;
  roundTripMs: number | null = null;
  framesSent = 0;
  bytesSent = 0;
  connects = 0;
  readonly drops: Record<DropKind, number> = { unreachable: 0, 'no-room': 0, 'connection-lost': 0 };

  constructor(config: LineConfig) {
    this.#config = config;
    this.#backoff = new Backoff(retryLimits(config), config.chance);
    this.since = config.clock.now();
    this.#timer = config.clock.after(0, () => this.#dial());
  }

  get address(): PeerAddress {
    return this.#config.address;
  }

  get isOpen(): boolean {
    return this.#attempt?.isOpen === true;
  }

  /** Null while it is open. */
  get trouble(): Trouble | null {
    return this.#trouble;
  }

  get room(): number {
    return this.#attempt?.isOpen === true ? this.#attempt.outbox.room : 0;
  }

  send(parts: readonly Uint8Array[], byteCount: number, lane: Lane): boolean {
    const attempt = this.#attempt;
    if (attempt === null || !attempt.isOpen) {
      this.drops.unreachable++;
      return false;
    }
    if (!attempt.outbox.push(parts, byteCount, lane)) {
      this.drops['no-room']++;
      if (lane === 'bulk') this.#owesRoom = true;
      return false;
    }
    this.#flushSoon(attempt);
    return true;
  }

  /** Gives it up for good. */
  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#dialing?.cancel();
    this.#attempt?.connection.destroy();
    this.#end('closed');
  }

  #dial(): void {
    const { clock, dial, address, greetingMsMax } = this.#config;
    this.#timer = clock.after(greetingMsMax, () => {
      this.#dialing?.cancel();
      this.#fail({ reason: `no answer within ${greetingMsMax} ms`, failure: null });
    });
    this.#dialing = dial({
      host: address.host,
      port: address.port,
      onConnected: (connection) => this.#greet(connection),
      onFailed: (error, why) => {
        if (why === 'certificate') this.#refuse('certificate', `: ${error.message}`);
        else this.#fail({ reason: error.message, failure: null });
      },
    });
  }

  #greet(connection: Connection): ConnectionHandler {
    const attempt: Attempt = {
      connection,
      reader: new FrameReader(HELLO_BYTES),
      outbox: new Outbox(this.#config),
      heardAt: this.#config.clock.monotonic(),
      isOpen: false,
      isBuffering: false,
    };
    this.#attempt = attempt;
    connection.write(encodeFrame('hello', encodeHello(this.#config.hello())));
    const isOver = (): boolean => this.#attempt !== attempt;
    return {
      data: (chunk) => {
        if (isOver()) return;
        const fault = attempt.reader.push(chunk, (frame) => this.#take(attempt, frame));
        if (fault !== null && !isOver()) this.#refuse(fault);
      },
      flushed: () => {
        if (isOver()) return;
        attempt.isBuffering = false;
        this.#flush(attempt);
      },
      ended: () => connection.destroy(),
      closed: () => {
        if (!isOver()) this.#fail({ reason: 'the connection was closed', failure: null });
      },
    };
  }

  #take(attempt: Attempt, frame: Frame): 'more' | 'stop' {
    attempt.heardAt = this.#config.clock.monotonic();
    const wrong = attempt.isOpen ? this.#answered(attempt, frame) : this.#greeted(attempt, frame);
    if (wrong !== null) this.#refuse(wrong);
    return this.#attempt === attempt ? 'more' : 'stop';
  }

  #greeted(attempt: Attempt, frame: Frame): RefusalReason | null {
    if (frame.kind === 'refusal') return this.#wasRefused(frame);
    const welcome = frame.kind === 'welcome' && !frame.hasMore ? decodeHello(frame.payload) : null;
    if (welcome === null) return 'out-of-turn';
    const wrong = this.#config.judge(welcome, attempt.connection);
    if (wrong !== null) return wrong;
    attempt.isOpen = true;
    this.#trouble = null;
    this.since = this.#config.clock.now();
    this.connects++;
    this.#watch(attempt);
    this.#config.onOpen();
    return null;
  }

  #answered(attempt: Attempt, frame: Frame): RefusalReason | null {
    if (frame.kind === 'refusal') return this.#wasRefused(frame);
    if (frame.payload.length !== 8 || frame.hasMore) return 'out-of-turn';
    const number = readU64(viewOf(frame.payload), 0);
    if (number === null) return 'out-of-turn';
    if (frame.kind === 'taken') {
      if (!attempt.outbox.confirm(number)) return 'out-of-turn';
      this.#flushSoon(attempt);
      return null;
    }
    if (frame.kind !== 'pong') return 'out-of-turn';
    this.roundTripMs = Math.max(0, this.#config.clock.monotonic() - number / 1000);
    this.#backoff.reset();
    return null;
  }

  #wasRefused({ payload }: Frame): RefusalReason | null {
    const reason = decodeRefusal(payload);
    if (reason === null) return 'out-of-turn';
    const { replica } = this.#config.address;
    const failure = refusedByPeer({ reason, replica, address: hostAndPort(this.#config.address) });
    this.#fail({ reason: `refused: ${reason}`, failure });
    return null;
  }

  #refuse(reason: RefusalReason, detail = ''): void {
    const { replica } = this.#config.address;
    const address = hostAndPort(this.#config.address);
    this.#config.onRefused(reason, address);
    this.#fail({
      reason: `refused it: ${reason}${detail}`,
      failure: refusedError({ reason, address, replica }),
    });
  }

  /** Ends the attempt, whatever it has come to, and waits for the next one. */
  #fail(trouble: Trouble): void {
    if (this.#isClosed) return;
    this.#timer?.cancel();
    this.#attempt?.connection.destroy();
    this.#trouble = trouble;
    this.#end(trouble.reason);
    this.#timer = this.#config.clock.after(this.#backoff.nextMs(), () => this.#dial());
  }

  #end(reason: string): void {
    const attempt = this.#attempt;
    this.#attempt = null;
    this.#dialing = null;
    this.#owesRoom = false;
    if (attempt?.isOpen !== true) return;
    this.drops['connection-lost'] += attempt.outbox.frameCount;
    this.since = this.#config.clock.now();
    this.#config.onLost(reason);
  }

  #watch(attempt: Attempt): void {
    const { clock, pingMs, silenceMsMax } = this.#config;
    this.#timer?.cancel();
    const ping = (): void => {
      const sentAt = new Uint8Array(8);
      writeU64(viewOf(sentAt), 0, Math.floor(1000 * clock.monotonic()));
      attempt.outbox.pushControl('ping', sentAt);
      this.#flushSoon(attempt);
    };
    ping();
    this.#timer = watchSilence({
      clock,
      silenceMsMax,
      everyMs: pingMs,
      heardAt: () => attempt.heardAt,
      onLook: ping,
      onSilent: () => this.#fail({ reason: `silent for ${silenceMsMax} ms`, failure: null }),
    });
  }

  #flushSoon(attempt: Attempt): void {
    if (this.#isFlushDue || attempt.isBuffering) return;
    this.#isFlushDue = true;
    this.#config.clock.soon(() => {
      this.#isFlushDue = false;
      if (this.#attempt !== null) this.#flush(this.#attempt);
    });
  }

  #flush(attempt: Attempt): void {
    const { outbox, connection } = attempt;
    if (attempt.isBuffering || !outbox.isReady) return;
    const { pieces, framesEnded, byteCount } = outbox.take();
    assert(pieces.length > 0, 'what is ready is written');
    this.framesSent += framesEnded;
    this.bytesSent += byteCount;
    if (connection.writeAll(pieces)) outbox.reuse();
    else attempt.isBuffering = true;
    if (outbox.isReady) this.#flushSoon(attempt);
    if (!this.#owesRoom || outbox.room < this.#config.bulkBytesMax / 2) return;
    this.#owesRoom = false;
    this.#config.onRoom();
  }
}

/** An address as people write it. */
export function hostAndPort({ host, port }: Pick<PeerAddress, 'host' | 'port'>): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
