/**
 * How often a node fails, estimated from what was seen: the mean of a Gamma posterior over the rate of a
 * Poisson process, (a + failures) / (b + time), where a and b are what one assumes before anything was seen.
 * What is long past counts less: half of it is forgotten with every half-life.
 *
 * Pure: time is what `served` is told.
 */

import { assert } from '../../base/assert.ts';

/** What was seen so far, with the past forgotten. Both grow and fade together. */
export interface FailureHistory {
  /** Failures, a fraction where they fade. */
  readonly failures: number;
  /** Time served, in milliseconds. */
  readonly servedMs: number;
}

/**
 * What is assumed before anything is known: a failure a day, with the weight of ten minutes only, so that a
 * node which fails every minute is believed after some failures.
 */
const ASSUMED: FailureHistory = { failures: 10 / (24 * 60), servedMs: 10 * 60_000 };

export class FailureRate {
  readonly #halfLifeMs: number;
  #failures: number;
  #servedMs: number;

  /** @param halfLifeMs Time in which half of what was seen is forgotten, in milliseconds: above 0. */
  constructor(halfLifeMs: number, seen: FailureHistory = { failures: 0, servedMs: 0 }) {
    assert(halfLifeMs > 0, `a half-life is above 0, not ${halfLifeMs}`);
    this.#halfLifeMs = halfLifeMs;
    this.#failures = seen.failures;
    this.#servedMs = seen.servedMs;
  }

  get history(): FailureHistory {
    return { failures: this.#failures, servedMs: this.#servedMs };
  }

  /** The node ran for `ms` milliseconds more. */
  served(ms: number): void {
    assert(ms >= 0, `time goes forward, not by ${ms}`);
    const kept = 2 ** (-ms / this.#halfLifeMs);
    this.#failures *= kept;
    this.#servedMs = this.#servedMs * kept + ms;
  }

  /** The node failed now. */
  failed(): void {
    this.#failures++;
  }

  /** Mean time between failures, in milliseconds, by all that is known. */
  get mtbfMs(): number {
    return (ASSUMED.servedMs + this.#servedMs) / (ASSUMED.failures + this.#failures);
  }
}
