/**
 * Sorts the places of a change set by key.
 *
 * It compares numbers, not keys: four bytes of each key behind what all have in common, with the place below
 * them, sorted as 64-bit integers by the engine's own sort. What ties is sorted by the next four bytes. So
 * the common prefix of a table's keys costs nothing. Places of equal keys keep their order: that of time.
 */

import { assert } from '../base/assert.ts';
import { compareBytes } from '../base/merkle/node.ts';
import type { ChangeSet } from './change-set.ts';

/** Ranges up to this are sorted by inserting. */
const INSERTION_MAX = 12;

const WORD_BYTES = 4;

/** Sorting fewer than this is no step of its own. */
const STEP_MIN = 256;

/** Places `[from, to)` of a set, by key. */
export class SortedPlaces {
  readonly set: ChangeSet;
  readonly order: Int32Array;
  /** What is left to do; null once it is sorted. */
  #steps: Generator<void, void> | null;

  constructor(set: ChangeSet, from: number, to: number) {
    this.set = set;
    this.order = new Int32Array(to - from);
    for (let at = 0; at < this.order.length; at++) this.order[at] = from + at;
    this.#steps = this.#sort();
  }

  /** Takes the steps that nobody took yet. A step sorts all of it once by four bytes. */
  *sort(): Generator<void, void> {
    while (this.#steps !== null) {
      if (this.#steps.next().done === true) this.#steps = null;
      else yield;
    }
  }

  /** Where in the order the first key is that is at least `from`; once it is sorted. */
  firstFrom(from: Uint8Array): number {
    assert(this.#steps === null, 'places are sorted before one is looked for');
    let lower = 0;
    let upper = this.order.length;
    while (lower < upper) {
      const middle = (lower + upper) >>> 1;
      if (compareBytes(this.#keyAt(this.order[middle]!), from) < 0) lower = middle + 1;
      else upper = middle;
    }
    return lower;
  }

  #keyAt(place: number): Uint8Array {
    return this.set.keys.subarray(this.set.keyOffsetAt(place), this.set.keyEndAt(place));
  }

  *#sort(): Generator<void, void> {
    const longs = new BigUint64Array(this.order.length);
    const words = new Uint32Array(longs.buffer);
    const pending: Range[] = [{ from: 0, to: this.order.length, depth: 0 }];
    for (let range = pending.pop(); range !== undefined; range = pending.pop()) {
      const { from, to } = range;
      if (to - from <= INSERTION_MAX) {
        this.#insertionSort(range);
        continue;
      }
      const at = this.#commonTo(range);
      for (let item = from; item < to; item++) {
        words[2 * item] = this.order[item]!;
        words[2 * item + 1] = this.#wordAt(this.order[item]!, at);
      }
      if (to - from >= STEP_MIN) yield;
      longs.subarray(from, to).sort();
      if (to - from >= STEP_MIN) yield;
      this.#takeOver(range, at, words, pending);
    }
  }

  /** Takes the order by one word over, and collects what ties in it. */
  #takeOver({ from, to }: Range, at: number, words: Uint32Array, pending: Range[]): void {
    for (let item = from; item < to; ) {
      const word = words[2 * item + 1]!;
      let end = item;
      let hasEnded = false;
      for (; end < to && words[2 * end + 1] === word; end++) {
        const place = words[2 * end]!;
        this.order[end] = place;
        if (this.#bytesFrom(place, at) < WORD_BYTES) hasEnded = true;
      }
      if (end - item > 1 && hasEnded) item += this.#endedFirst({ from: item, to: end, depth: at });
      if (end - item > 1) pending.push({ from: item, to: end, depth: at + WORD_BYTES });
      item = end;
    }
  }

  /**
   * Of keys that tie in a word some have ended, and were padded with zeros; in the others these zeros are. So
   * the shorter comes first, and those that end at the same byte are one key.
   * @returns How many have ended.
   */
  #endedFirst({ from, to, depth }: Range): number {
    const places = this.order.slice(from, to);
    let target = from;
    let ended = 0;
    for (let bytes = 0; bytes <= WORD_BYTES; bytes++) {
      ended = target - from;
      for (const place of places) {
        if (Math.min(this.#bytesFrom(place, depth), WORD_BYTES) === bytes) this.order[target++] = place;
      }
    }
    return ended;
  }

  /** Bytes that a key has from a position on, which is in it or at its end. */
  #bytesFrom(place: number, at: number): number {
    return this.set.keyEndAt(place) - this.set.keyOffsetAt(place) - at;
  }

  /** How far all keys of a range agree, which they do up to its depth. */
  #commonTo({ from, to, depth }: Range): number {
    const { keys } = this.set;
    const offset = this.set.keyOffsetAt(this.order[from]!);
    let common = this.set.keyEndAt(this.order[from]!) - offset;
    for (let item = from + 1; item < to && common > depth; item++) {
      const other = this.set.keyOffsetAt(this.order[item]!);
      common = Math.min(common, this.set.keyEndAt(this.order[item]!) - other);
      let at = depth;
      while (at < common && keys[offset + at] === keys[other + at]) at++;
      common = at;
    }
    return common;
  }

  #wordAt(place: number, depth: number): number {
    const { keys } = this.set;
    const at = this.set.keyOffsetAt(place) + depth;
    const end = this.set.keyEndAt(place);
    let word = 0;
    if (at < end) word = keys[at]! << 24;
    if (at + 1 < end) word |= keys[at + 1]! << 16;
    if (at + 2 < end) word |= keys[at + 2]! << 8;
    if (at + 3 < end) word |= keys[at + 3]!;
    return word;
  }

  #insertionSort({ from, to, depth }: Range): void {
    const { order } = this;
    for (let sorted = from + 1; sorted < to; sorted++) {
      const place = order[sorted]!;
      let at = sorted;
      for (; at > from; at--) {
        const before = order[at - 1]!;
        const compared = this.#compare(before, place, depth);
        if (compared < 0 || (compared === 0 && before < place)) break;
        order[at] = before;
      }
      order[at] = place;
    }
  }

  #compare(one: number, other: number, depth: number): number {
    const { keys } = this.set;
    const oneOffset = this.set.keyOffsetAt(one);
    const otherOffset = this.set.keyOffsetAt(other);
    const oneLength = this.set.keyEndAt(one) - oneOffset;
    const otherLength = this.set.keyEndAt(other) - otherOffset;
    const shared = Math.min(oneLength, otherLength);
    for (let at = depth; at < shared; at++) {
      const order = keys[oneOffset + at]! - keys[otherOffset + at]!;
      if (order !== 0) return order;
    }
    return oneLength - otherLength;
  }
}

/** Positions in the order, and how many bytes all keys of it have in common at least. */
interface Range {
  readonly from: number;
  readonly to: number;
  readonly depth: number;
}
