/**
 * Lateness: how long the event loop kept due work waiting. A stall (a long command, a collection of garbage,
 * a stopped process) delays every answer, and whatever relies on a timer must know that it was late
 * (checklist L7).
 */

import { Histogram } from '../base/histogram.ts';
import type { Clock, Timer } from '../base/time.ts';

/** Distance between two looks, in milliseconds. */
const BEAT_MS = 100;

/** A beat that is later than this is told of, in milliseconds: no usual work takes so long. */
const LATE_MS = 250;

/** At most one is told in this time, in milliseconds. */
const TELL_MS = 1000;

export class Lateness {
  /** Of each beat, in milliseconds. */
  readonly beats = new Histogram(1000);
  readonly #clock: Clock;
  readonly #onLate: (lateMs: number) => void;
  #timer: Timer | null = null;
  #dueAt = 0;
  /** The latest beat that was not told of yet; 0 when none was too late. */
  #untoldMs = 0;
  #toldAt = Number.NEGATIVE_INFINITY;

  constructor(clock: Clock, onLate: (lateMs: number) => void) {
    this.#clock = clock;
    this.#onLate = onLate;
    this.#arm();
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#dueAt = this.#clock.monotonic() + BEAT_MS;
    this.#timer = this.#clock.after(BEAT_MS, () => this.#beat());
  }

  #beat(): void {
    const now = this.#clock.monotonic();
    const lateMs = Math.max(0, now - this.#dueAt);
    this.beats.record(lateMs);
    if (lateMs > LATE_MS) this.#untoldMs = Math.max(this.#untoldMs, lateMs);
    if (this.#untoldMs > 0 && now - this.#toldAt >= TELL_MS) {
      this.#onLate(this.#untoldMs);
      this.#untoldMs = 0;
      this.#toldAt = now;
    }
    this.#arm();
  }
}
