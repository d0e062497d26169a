/** A clock that a test moves, and whose wall-clock time jumps: back and forth, by years. */

import type { Clock, Timer } from '../../src/base/time.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';

export class JumpingClock implements Clock {
  readonly #steady = new ManualClock();
  #ahead = 0;

  now(): number {
    return this.#steady.now() + this.#ahead;
  }

  monotonic(): number {
    return this.#steady.monotonic();
  }

  after(ms: number, run: () => void): Timer {
    return this.#steady.after(ms, run);
  }

  soon(run: () => void): void {
    this.#steady.soon(run);
  }

  advance(ms: number): void {
    this.#steady.advance(ms);
  }

  /** From now on the wall clock is wrong by so much, in milliseconds. */
  setAhead(ms: number): void {
    this.#ahead = ms;
  }
}
