/**
 * Sizes of the entries whose bodies the host has in memory: what batches are cut by.
 *
 * Invariant: the sizes are of the entries `first` to the last one of the log, without a gap. What is before
 * `first` is fed to a peer from the disk.
 */

import { assert } from '../../base/assert.ts';
import { type Index, nextIndex, toIndex } from '../../base/positions.ts';

/** Sizes kept, whatever the host keeps: 8 MiB of numbers, far more entries than a peer has in flight. */
const SIZES_MAX = 1024 * 1024;

/** Dropped sizes that are cut off at once, so that cutting is cheap for each. */
const DROPPED_MAX = 4096;

export class EntrySizes {
  #first: Index;
  /** Bytes of all entries up to each one, counted from when the core began: sums need no loop. */
  #ends: number[] = [];
  /** At the front of `#ends`, no longer counted. */
  #dropped = 0;
  /** Bytes up to the entry before `first`. */
  #bytesBefore = 0;

  constructor(last: Index, tail: readonly number[]) {
    assert(tail.length <= last, `a tail of ${tail.length} entries is part of a log of ${last}`);
    this.#first = toIndex(last - tail.length + 1);
    this.append(tail);
  }

  get first(): Index {
    return this.#first;
  }

  append(sizes: readonly number[]): void {
    let end = this.#ends.length > this.#dropped ? this.#ends.at(-1)! : this.#bytesBefore;
    for (const size of sizes) this.#ends.push((end += size));
    const count = this.#ends.length - this.#dropped;
    if (count > SIZES_MAX) this.evictBefore(toIndex(this.#first + count - SIZES_MAX));
  }

  /** The sizes from `first` on: up to `last`, to `countMax` and to `bytesMax`, but one in any case. */
  cut(first: Index, last: Index, limits: { readonly countMax: number; readonly bytesMax: number }): number[] {
    assert(first >= this.#first, `sizes are known from ${this.#first} on, not at ${first}`);
    const sizes: number[] = [];
    const before = this.#endAt(first - 1);
    let end = before;
    for (let index: number = first; index <= last && sizes.length < limits.countMax; index++) {
      const next = this.#endAt(index);
      if (sizes.length > 0 && next - before > limits.bytesMax) break;
      sizes.push(next - end);
      end = next;
    }
    return sizes;
  }

  /** Bytes of the entries after `index`, as far as they are known. */
  bytesAfter(index: Index): number {
    const total = this.#ends.length > this.#dropped ? this.#ends.at(-1)! : this.#bytesBefore;
    return total - this.#endAt(Math.max(index, this.#first - 1));
  }

  evictBefore(first: Index): void {
    const count = Math.min(first - this.#first, this.#ends.length - this.#dropped);
    if (count <= 0) return;
    this.#bytesBefore = this.#endAt(this.#first + count - 1);
    this.#dropped += count;
    this.#first = toIndex(this.#first + count);
    if (this.#dropped <= DROPPED_MAX) return;
    this.#ends.splice(0, this.#dropped);
    this.#dropped = 0;
  }

  truncateAfter(index: Index): void {
    const count = index + 1 - this.#first;
    if (count < 0) this.resetTo(index);
    else this.#ends.length = Math.min(this.#ends.length, count + this.#dropped);
  }

  resetTo(index: Index): void {
    this.#first = nextIndex(index);
    this.#ends = [];
    this.#dropped = 0;
  }

  #endAt(index: number): number {
    return index < this.#first ? this.#bytesBefore : this.#ends[index - this.#first + this.#dropped]!;
  }
}
