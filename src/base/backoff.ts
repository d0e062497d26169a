/**
 * How long to wait before something is tried again: a bound that doubles with every failure, and a wait drawn
 * anywhere below it. The draw is what keeps many that failed together from coming back together.
 *
 * Source: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015: full jitter.
 */

import { assert } from './assert.ts';
import { viewOf } from './bytes.ts';
import type { Chance } from './chance.ts';

export interface BackoffLimits {
  /** Bound of the first wait, in milliseconds. */
  readonly firstMs: number;
  /** Where the bound stops growing, in milliseconds. */
  readonly mostMs: number;
}

export class Backoff {
  readonly #limits: BackoffLimits;
  readonly #chance: Chance;
  readonly #drawn = new Uint8Array(4);
  #boundMs: number;

  constructor(limits: BackoffLimits, chance: Chance) {
    const { firstMs, mostMs } = limits;
    assert(firstMs > 0 && firstMs <= mostMs, `a wait grows from above 0, got ${firstMs} to ${mostMs} ms`);
    this.#limits = limits;
    this.#chance = chance;
    this.#boundMs = firstMs;
  }

  /** The next wait, in whole milliseconds from 0; each call counts as one more failure. */
  nextMs(): number {
    const fraction = viewOf(this.#chance.fill(this.#drawn)).getUint32(0, true) / 2 ** 32;
    const waitMs = Math.floor(fraction * this.#boundMs);
    this.#boundMs = Math.min(this.#limits.mostMs, 2 * this.#boundMs);
    return waitMs;
  }

  /** It succeeded: the next failure is the first again. */
  reset(): void {
    this.#boundMs = this.#limits.firstMs;
  }
}
