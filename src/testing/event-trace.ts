/**
 * What happened in a simulation, event by event: the last of them for people, and a hash of all, by which two
 * runs are the same or not.
 */

import { Sha256 } from '../base/digest.ts';
import type { Focus } from './simulation-report.ts';

/** Events that are kept unless told. */
const KEPT_DEFAULT = 200;

/** Text is hashed in pieces of this many UTF-16 units. */
const PIECE_LENGTH = 64 * 1024;

/** Writes down events in their order. */
export class EventTrace {
  readonly #kept: string[] = [];
  readonly #keptMax: number;
  readonly #untilMs: number;
  readonly #hash = new Sha256();
  #piece = '';
  #count = 0;
  #keptCount = 0;

  /**
   * @param focus What a run is repeated for: events after its time count in the hash and are not kept.
   * @param keptMax How many of the last events are kept.
   */
  constructor(focus: Focus | null = null, keptMax = KEPT_DEFAULT) {
    this.#untilMs = focus?.untilMs ?? Infinity;
    this.#keptMax = keptMax;
  }

  /**
   * One event.
   * @param ms Simulated time.
   * @param who The replica, client or disk it happened to.
   * @param what One line, the same in every run with the seed: no real time, no address of this machine.
   */
  note(ms: number, who: string, what: string): void {
    const line = `${ms.toFixed(3).padStart(12)}  ${who.padEnd(8)}  ${what}`;
    this.#piece += `${line}\n`;
    if (this.#piece.length >= PIECE_LENGTH) this.#hashPiece();
    this.#count++;
    if (ms <= this.#untilMs) this.#kept[this.#keptCount++ % this.#keptMax] = line;
  }

  get count(): number {
    return this.#count;
  }

  /** The last events, oldest first. */
  last(): string[] {
    const oldest = this.#keptCount % this.#keptMax;
    if (this.#keptCount <= this.#keptMax) return [...this.#kept];
    return [...this.#kept.slice(oldest), ...this.#kept.slice(0, oldest)];
  }

  /** Ends the trace; the hash of all events, in hexadecimal. */
  end(): string {
    this.#hashPiece();
    return Buffer.from(this.#hash.digest()).toString('hex');
  }

  #hashPiece(): void {
    this.#hash.update(Buffer.from(this.#piece));
    this.#piece = '';
  }
}
