/**
 * The memory of a search: which configurations it has been in. A configuration is a set of operations that
 * are ordered already, and the state after them; what can follow depends on nothing else (Lowe 2017).
 *
 * Of operations that were answered the set is kept as 96 bits, the XOR of random bits of each, so that a
 * configuration takes the same space whatever the length of the history. Two sets with the same bits would
 * make the search leave one out; among ten million configurations the odds are below 10^-14. It could only
 * find fault where there is none, never pass what is wrong.
 *
 * Operations whose outcome is unknown may be ordered or left out. Hence one configuration covers another that
 * differs in these alone and has used more of them: whatever the other can do, it can do too. Without this a
 * history with twenty such writes would have a million configurations at every place.
 */

import { SeededRandom } from '../seeded-random.ts';

const WORDS = 5;
const CAPACITY_INITIAL = 1024;
const LOAD_MAX = 0.6;

/** The random bits of each operation. */
export class OperationBits {
  readonly words: Int32Array;

  constructor(count: number) {
    const random = new SeededRandom(1);
    this.words = Int32Array.from({ length: 3 * count }, () => random.u32() | 0);
  }
}

/** A set of operations as 96 bits. Adding one and taking it away are the same. */
export class OperationSet {
  readonly #bits: OperationBits;
  first = 0;
  second = 0;
  third = 0;

  constructor(bits: OperationBits) {
    this.#bits = bits;
  }

  toggle(operation: number): void {
    const { words } = this.#bits;
    this.first ^= words[3 * operation]!;
    this.second ^= words[3 * operation + 1]!;
    this.third ^= words[3 * operation + 2]!;
  }
}

/**
 * Configurations that were seen: an open hash table, and a list of what was used of operations without an
 * outcome.
 */
export class Configurations {
  #table = new Int32Array(CAPACITY_INITIAL * WORDS);
  #capacity = CAPACITY_INITIAL;
  #placesTaken = 0;
  /**
   * Sets of operations without an outcome, a bit each; each with the place of the next for the same
   * configuration.
   */
  readonly #used: bigint[] = [0n];
  readonly #nextUsed: number[] = [0];

  /**
   * Whether none that was seen covers it.
   * @param answered The operations with an answer that are ordered.
   * @param state Number of the state, from 1: an empty place has 0.
   * @param used The operations without an outcome that are ordered, a bit each.
   */
  add(answered: OperationSet, state: number, used: bigint): boolean {
    if (this.#placesTaken >= this.#capacity * LOAD_MAX) this.#grow();
    const at = this.#find(answered, state);
    const table = this.#table;
    for (let seen = table[at + 4]!; seen !== 0; seen = this.#nextUsed[seen]!) {
      const set = this.#used[seen]!;
      if ((set & used) === set) return false;
    }
    if (table[at + 3] === 0) {
      table[at] = answered.first;
      table[at + 1] = answered.second;
      table[at + 2] = answered.third;
      table[at + 3] = state;
      this.#placesTaken++;
    }
    this.#used.push(used);
    this.#nextUsed.push(table[at + 4]!);
    table[at + 4] = this.#used.length - 1;
    return true;
  }

  /** Where the configuration is in the table, or where it belongs. */
  #find({ first, second, third }: OperationSet, state: number): number {
    const table = this.#table;
    for (let place = this.#placeOf(first, state); ; place = (place + 1) & (this.#capacity - 1)) {
      const at = place * WORDS;
      if (table[at + 3] === 0) return at;
      const isSame = table[at] === first && table[at + 1] === second && table[at + 2] === third;
      if (isSame && table[at + 3] === state) return at;
    }
  }

  #placeOf(first: number, state: number): number {
    const mixed = Math.imul(first ^ Math.imul(state, 0x9e3779b1), 0x21f0aaad);
    return (mixed ^ (mixed >>> 15)) & (this.#capacity - 1);
  }

  #grow(): void {
    const before = this.#table;
    this.#capacity *= 2;
    this.#table = new Int32Array(this.#capacity * WORDS);
    for (let at = 0; at < before.length; at += WORDS) {
      const state = before[at + 3]!;
      if (state === 0) continue;
      let place = this.#placeOf(before[at]!, state);
      while (this.#table[place * WORDS + 3] !== 0) place = (place + 1) & (this.#capacity - 1);
      this.#table.set(before.subarray(at, at + WORDS), place * WORDS);
    }
  }
}
