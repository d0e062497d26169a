/** Door 3 for tests: a clock that stands still until a test moves it. */

import type { Clock, Timer } from '../base/time.ts';

interface Waiting {
  readonly at: number;
  readonly run: () => void;
}

/** A clock that stands still until it is moved. */
export class ManualClock implements Clock {
  #now: number;
  #waiting: Waiting[] = [];

  /** @param now Wall-clock time to begin with, in milliseconds since 1970. */
  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): Timer {
    const waiting = { at: this.#now + ms, run };
    this.#waiting.push(waiting);
    return {
      cancel: () => {
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
      },
    };
  }

  soon(run: () => void): void {
    queueMicrotask(run);
  }

  /** Lets `ms` milliseconds pass, and runs what is due, in order. */
  advance(ms: number): void {
    this.#now += ms;
    const due = this.#waiting.filter((waiting) => waiting.at <= this.#now).sort((a, b) => a.at - b.at);
    this.#waiting = this.#waiting.filter((waiting) => waiting.at > this.#now);
    for (const { run } of due) run();
  }
}
