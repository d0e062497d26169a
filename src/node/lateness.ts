/**
 * Lateness: how long the event loop kept due work waiting. A stall (a long command, a collection of garbage,
 * a stopped process) delays every answer, and whatever relies on a timer must know that it was late
 * (checklist L7).
 */

import type { Clock, Timer } from '../base/time.ts';

/** Distance between two looks, in milliseconds. */
const BEAT_MS = 100;

export class Lateness {
  readonly #clock: Clock;
  #timer: Timer | null = null;
  #dueAt = 0;
  #latestMs = 0;
  #maxMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#arm();
  }

  /** How late the last beat was, in milliseconds. */
  get latestMs(): number {
    return this.#latestMs;
  }

  /** How late the latest beat of all was, in milliseconds. */
  get maxMs(): number {
    return this.#maxMs;
  }

  stop(): void {
    this.#timer?.cancel();
  }

  #arm(): void {
    this.#dueAt = this.#clock.monotonic() + BEAT_MS;
    this.#timer = this.#clock.after(BEAT_MS, () => this.#beat());
  }

  #beat(): void {
    this.#latestMs = Math.max(0, this.#clock.monotonic() - this.#dueAt);
    this.#maxMs = Math.max(this.#maxMs, this.#latestMs);
    this.#arm();
  }
}
