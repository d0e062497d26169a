/**
 * Histograms (src/base/histogram.ts). Goal: quantiles and counts are as close as the header promises, for
 * amounts of any size. Method: against a sorted list of the same amounts, from a seed and at every edge.
 */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { Histogram, summarize } from '../src/base/histogram.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const FRACTIONS = [0, 0.01, 0.5, 0.9, 0.99, 0.999, 1];

/** What a list says, to which the histogram is held. */
function quantileOf(sorted: readonly number[], fraction: number): number {
  return sorted[Math.max(0, Math.ceil(fraction * sorted.length) - 1)]!;
}

test('histogram: quantiles are never too small, and at most 1/32 too large', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 50; run++) {
    const histogram = new Histogram(1000);
    const bits = 1 + random.below(31);
    const amounts = Array.from({ length: 1 + random.below(2000) }, () => random.below(2 ** bits) / 1000);
    for (const amount of amounts) histogram.record(amount);
    const sorted = [...amounts].sort((a, b) => a - b);
    for (const [at, found] of histogram.quantiles(FRACTIONS).entries()) {
      const wanted = quantileOf(sorted, FRACTIONS[at]!);
      ok(
        found >= wanted && found <= wanted * (1 + 1 / 32),
        `${FRACTIONS[at]} of ${bits} bits: ${found}, not ${wanted}`,
      );
    }
    strictEqual(histogram.max, sorted.at(-1));
    strictEqual(histogram.count, amounts.length);
  }
});

test('histogram: counts up to a bound lack at most what is within 1/32 of it', (t) => {
  const random = new SeededRandom(seedOf(t));
  const bounds = [0, 0.1, 1, 31, 32, 33, 100, 2500, 1e6, 1e9];
  for (let run = 0; run < 50; run++) {
    const histogram = new Histogram(10);
    const amounts = Array.from({ length: 500 }, () => random.below(2 ** (1 + random.below(30))) / 10);
    for (const amount of amounts) histogram.record(amount);
    for (const [at, count] of histogram.countsUpTo(bounds).entries()) {
      const bound = bounds[at]!;
      const atMost = amounts.filter((amount) => amount <= bound).length;
      const atLeast = amounts.filter((amount) => amount * (1 + 1 / 32) <= bound).length;
      ok(count <= atMost && count >= atLeast, `up to ${bound}: ${count}, not ${atLeast} to ${atMost}`);
    }
  }
});

test('histogram: both ends of every bucket of two doublings are told from their neighbours', () => {
  for (const base of [32, 64, 2 ** 20, 2 ** 30]) {
    const width = base / 32;
    for (let bucket = 0; bucket < 32; bucket++) {
      const histogram = new Histogram();
      const first = base + bucket * width;
      const last = first + width - 1;
      for (const amount of [first - 1, first, last, last + 1]) histogram.record(amount);
      deepStrictEqual(
        histogram.countsUpTo([first - 1, last, last + 2 * width]),
        [1, 3, 4],
        `${first} to ${last}`,
      );
    }
  }
});

test('histogram: without amounts everything is 0', () => {
  const histogram = new Histogram(1000);
  deepStrictEqual(summarize(histogram), { count: 0, p50: 0, p99: 0, p999: 0, max: 0 });
  deepStrictEqual(histogram.countsUpTo([0, 1]), [0, 0]);
});

test('histogram: an amount beyond the last bucket is known by max and sum', () => {
  const histogram = new Histogram(1000);
  const day = 24 * 60 * 60 * 1000;
  histogram.record(day);
  histogram.record(2 * day);
  deepStrictEqual([histogram.max, histogram.sum, histogram.count], [2 * day, 3 * day, 2]);
  deepStrictEqual(histogram.countsUpTo([2 ** 32 / 1000]), [2], 'it counts as the largest there is');
  throws(() => histogram.record(-1), /not negative/);
});

test('histogram: an amount that came several times counts as often', () => {
  const histogram = new Histogram(1000);
  histogram.record(1, 98);
  histogram.record(7, 2);
  const { count, p50, p99, max } = summarize(histogram);
  deepStrictEqual([count, p50, p99, max, histogram.sum], [100, 1.007, 7, 7, 112]);
});
