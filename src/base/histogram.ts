/**
 * A histogram of amounts (times, bytes, counts): how many there were of which size, in constant memory.
 *
 * Amounts are counted in whole steps, rounded up. The first 32 sizes have a bucket each; from there on every
 * doubling has 32 buckets of equal width. So a bucket is at most 1/32 of its amounts wide, and what is read
 * from it is at most that much too large, and never too small.
 *
 *     steps    0 … 31     32 … 63    64 … 127    …    2³¹ … 2³²−1
 *     width       1          1          2        …        2²⁶
 *
 * Pure, and cheap enough for every batch: `record` allocates nothing.
 */

import { assert } from './assert.ts';

/** Buckets of one doubling, as a power of two. */
const SUB_BITS = 5;
const SUB_BUCKETS = 2 ** SUB_BITS;
const BUCKET_COUNT = (32 - SUB_BITS + 1) * SUB_BUCKETS;

/** Larger amounts count as this many steps; `max` and `sum` know them all the same. */
const STEPS_MAX = 2 ** 32 - 1;

/** A histogram for reading. All amounts are in the unit that its owner names. */
export interface Distribution {
  readonly count: number;
  readonly sum: number;
  /** The largest amount, exactly; 0 when there was none. */
  readonly max: number;

  /**
   * The smallest amounts of which `fractions` of all amounts are not larger, at most 1/32 too large; 0 when
   * there was none.
   * @param fractions From 0 to 1, ascending.
   */
  quantiles(fractions: readonly number[]): number[];

  /**
   * How many amounts were at most as large as each of `bounds`. One within 1/32 of a bound may be missing.
   * @param bounds Ascending.
   */
  countsUpTo(bounds: readonly number[]): number[];
}

/** What people want to know of a distribution, in its unit. The quantiles are at most 1/32 too large. */
export interface DistributionSummary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

export function summarize(distribution: Distribution): DistributionSummary {
  const [p50 = 0, p99 = 0, p999 = 0] = distribution.quantiles([0.5, 0.99, 0.999]);
  return { count: distribution.count, p50, p99, p999, max: distribution.max };
}

export class Histogram implements Distribution {
  readonly #counts = new Float64Array(BUCKET_COUNT);
  readonly #stepsPerUnit: number;
  #count = 0;
  #sum = 0;
  #max = 0;

  /** @param stepsPerUnit 1000: a thousandth of the unit is told from the next. */
  constructor(stepsPerUnit = 1) {
    this.#stepsPerUnit = stepsPerUnit;
  }

  get count(): number {
    return this.#count;
  }

  get sum(): number {
    return this.#sum;
  }

  get max(): number {
    return this.#max;
  }

  /** Counts `amount`, as if it had come `times` times. */
  record(amount: number, times = 1): void {
    assert(amount >= 0, 'an amount is not negative');
    this.#counts[bucketOf(Math.min(Math.ceil(amount * this.#stepsPerUnit), STEPS_MAX))]! += times;
    this.#count += times;
    this.#sum += amount * times;
    if (amount > this.#max) this.#max = amount;
  }

  quantiles(fractions: readonly number[]): number[] {
    let at = 0;
    let seen = this.#counts[0]!;
    return fractions.map((fraction) => {
      const wanted = Math.max(1, Math.ceil(fraction * this.#count));
      while (seen < wanted && at < BUCKET_COUNT - 1) seen += this.#counts[++at]!;
      return Math.min(lastOf(at) / this.#stepsPerUnit, this.#max);
    });
  }

  countsUpTo(bounds: readonly number[]): number[] {
    let at = 0;
    let seen = 0;
    return bounds.map((bound) => {
      while (at < BUCKET_COUNT && lastOf(at) / this.#stepsPerUnit <= bound) seen += this.#counts[at++]!;
      return seen;
    });
  }
}

/** @param steps A whole number up to STEPS_MAX. */
function bucketOf(steps: number): number {
  if (steps < SUB_BUCKETS) return steps;
  const shift = 31 - Math.clz32(steps) - SUB_BITS;
  return (shift + 1) * SUB_BUCKETS + ((steps >>> shift) & (SUB_BUCKETS - 1));
}

/** The largest number of steps in a bucket. */
function lastOf(bucket: number): number {
  if (bucket < SUB_BUCKETS) return bucket;
  const shift = (bucket >>> SUB_BITS) - 1;
  const place = SUB_BUCKETS + (bucket & (SUB_BUCKETS - 1));
  return (place + 1) * 2 ** shift - 1;
}
