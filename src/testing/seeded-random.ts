/**
 * Random numbers from a seed, for tests and the simulator: the same seed, the same run.
 *
 * Source: sfc32 (Chris Doty-Humphrey, PractRand), seeded by splitmix32.
 */

import type { Chance } from '../base/chance.ts';

/** Random numbers from a seed: the same seed, the same numbers. */
export class SeededRandom implements Chance {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed Any integer; only its lower 32 bits count. */
  constructor(seed: number) {
    let state = seed | 0;
    const next = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = state ^ (state >>> 16);
      mixed = Math.imul(mixed, 0x21f0aaad);
      mixed ^= mixed >>> 15;
      mixed = Math.imul(mixed, 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.#a = next();
    this.#b = next();
    this.#c = next();
    for (let round = 0; round < 12; round++) this.u32();
  }

  /** An integer from 0 to 2^32-1. */
  u32(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum >>> 0;
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return Math.floor((this.u32() / 2 ** 32) * bound);
  }

  /** An integer in [first, last]. */
  between(first: number, last: number): number {
    return first + this.below(last - first + 1);
  }

  /** True with the given probability from 0 to 1. */
  happens(probability: number): boolean {
    return this.u32() / 2 ** 32 < probability;
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }

  shuffle<Item>(items: Item[]): Item[] {
    for (let at = items.length - 1; at > 0; at--) {
      const other = this.below(at + 1);
      [items[at], items[other]] = [items[other]!, items[at]!];
    }
    return items;
  }

  fill<Bytes extends Uint8Array>(target: Bytes): Bytes {
    for (let at = 0; at < target.length; at++) target[at] = this.below(256);
    return target;
  }
}
