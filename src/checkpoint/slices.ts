/**
 * Work in slices between turns of the event loop, so that nobody who is served feels it: about a millisecond
 * at a time, and a share of the time while the node is busy.
 *
 * The work is a generator. What it yields says when it goes on: a promise, when that resolves; anything else,
 * when a slice's time is not over yet at once, otherwise after a turn.
 */

import type { Clock } from '../base/time.ts';

/** Length of a slice while others want the event loop, and while nobody does. */
const BUSY_SLICE_MS = 1;
const IDLE_SLICE_MS = 2;

/** Share of the time of a busy node that work takes unless told otherwise. */
const WORK_SHARE = 0.3;

export type SlicedWork<Result> = Generator<Promise<void> | undefined, Result, void>;

export interface SlicesConfig {
  readonly clock: Clock;
  /** Whether somebody is being served. */
  readonly isBusy: () => boolean;
  /** Share of the time that the work may take while the node is busy, above 0 and up to 1. @default 0.3 */
  readonly workShare?: number;
}

export class Slices {
  readonly #config: SlicesConfig;
  #count = 0;
  #longestMs = 0;
  #busyMs = 0;
  #owedMs = 0;
  #begun: number;

  constructor(config: SlicesConfig) {
    this.#config = config;
    this.#begun = config.clock.monotonic();
  }

  /** How often the event loop was held. */
  get count(): number {
    return this.#count;
  }

  /** Longest time that it was held, in milliseconds. */
  get longestMs(): number {
    return this.#longestMs;
  }

  /** Time that it was held in all, in milliseconds. */
  get busyMs(): number {
    return this.#busyMs;
  }

  /** For work that waits by itself: whether the slice that began with the last `rest` is over. */
  get isOver(): boolean {
    return this.#config.clock.monotonic() - this.#begun >= this.#budgetMs;
  }

  /** Ends such a slice, and gives the event loop back; the next one begins when it resolves. */
  async rest(): Promise<void> {
    this.#account(this.#config.clock.monotonic() - this.#begun);
    await this.#rest();
    this.#begun = this.#config.clock.monotonic();
  }

  /** Does all of the work; what it throws, or what a promise of it rejects with, comes out here. */
  async run<Result>(work: SlicedWork<Result>): Promise<Result> {
    for (;;) {
      const step = this.#slice(work);
      if (step.done === true) return step.value;
      if (step.value !== undefined) await step.value;
      await this.#rest();
    }
  }

  /** Steps until the slice is over, or the work is, or it waits for something. */
  #slice<Result>(work: SlicedWork<Result>): IteratorResult<Promise<void> | undefined, Result> {
    const { clock } = this.#config;
    const start = clock.monotonic();
    const end = start + this.#budgetMs;
    try {
      for (;;) {
        const step = work.next();
        if (step.done === true || step.value !== undefined || clock.monotonic() >= end) return step;
      }
    } finally {
      this.#account(clock.monotonic() - start);
    }
  }

  get #budgetMs(): number {
    return this.#config.isBusy() ? BUSY_SLICE_MS : IDLE_SLICE_MS;
  }

  #account(tookMs: number): void {
    this.#count++;
    this.#busyMs += tookMs;
    this.#longestMs = Math.max(this.#longestMs, tookMs);
    const share = this.#config.workShare ?? WORK_SHARE;
    this.#owedMs += (tookMs * (1 - share)) / share;
  }

  /**
   * Gives the event loop back, for as long as is owed when the node is busy. Somebody waits for the work: the
   * process must not end meanwhile.
   */
  async #rest(): Promise<void> {
    const { clock, isBusy } = this.#config;
    if (!isBusy()) this.#owedMs = 0;
    const owedMs = Math.ceil(this.#owedMs);
    if (owedMs >= 1) {
      this.#owedMs = 0;
      await new Promise<void>((resolve) => clock.after(owedMs, resolve, 'keep-alive'));
    } else {
      // Also after a wait: what it waited for may have been there already.
      await new Promise<void>((resolve) => clock.soon(resolve));
    }
  }
}

/** Work that never waits for anything but its turn. */
export function* steps<Result>(work: Generator<void, Result, void>): SlicedWork<Result> {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
    yield undefined;
  }
}
