/** Latencies of any number of requests, in a few kilobytes. */

import { createHistogram } from 'node:perf_hooks';

const NS_PER_MS = 1e6;

export interface LatencySummary {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly maxMs: number;
}

export class Latencies {
  readonly #histogram = createHistogram();

  record(ms: number): void {
    this.#histogram.record(Math.max(1, Math.round(ms * NS_PER_MS)));
  }

  get count(): number {
    return this.#histogram.count;
  }

  /** To a microsecond: beyond, the histogram does not know. Zeros while nothing was recorded. */
  summary(): LatencySummary {
    const ms = (ns: number): number => Math.round(ns / 1000) / 1000;
    const at = (percent: number): number => (this.count === 0 ? 0 : ms(this.#histogram.percentile(percent)));
    return {
      p50Ms: at(50),
      p99Ms: at(99),
      p999Ms: at(99.9),
      maxMs: this.count === 0 ? 0 : ms(this.#histogram.max),
    };
  }
}
