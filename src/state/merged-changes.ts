/**
 * Several change sets as one, in the order of keys: a key that changed in more than one has one change, from
 * what it was before the first to what it is after the last.
 *
 * It goes through the sets step by step and holds a few changes at a time, with their keys side by side.
 */

import { NO_BYTES } from '../base/bytes.ts';
import type { ChangeSet } from './change-set.ts';
import type { SortedPlaces } from './sorted-places.ts';

/** Changes held at a time, and the bytes of keys beyond which no further one is taken. */
export const MERGED_MAX = 128;
const MERGED_KEY_BYTES_MAX = 64 * 1024;

/** One sorted set, and how far it has come. */
interface Source {
  readonly set: ChangeSet;
  readonly order: Int32Array;
  /** Later sets have higher ages. */
  readonly age: number;
  at: number;
  place: number;
}

export class MergedChanges {
  /** Of each change held: the record before, the one now, and the bytes it takes in a leaf. */
  readonly bases: Int32Array = new Int32Array(MERGED_MAX);
  readonly records: Int32Array = new Int32Array(MERGED_MAX);
  readonly entryBytes: Int32Array = new Int32Array(MERGED_MAX);
  readonly keyOffsets: Int32Array = new Int32Array(MERGED_MAX);
  readonly keyLengths: Int32Array = new Int32Array(MERGED_MAX);
  #keys = new Uint8Array(MERGED_KEY_BYTES_MAX);
  #keyBytes = 0;
  #count = 0;
  /** A heap: the source with the smallest key, and of equal keys the oldest, first. */
  readonly #heap: Source[] = [];

  readonly #keep: 'net' | 'all';

  /**
   * @param runs Sorted parts of sets, the oldest first.
   * @param keep `net` leaves out keys that were new and are gone again; for a tree that may have seen some of
   *   the sets it must be `all`.
   * @param from The first key.
   */
  constructor(runs: readonly SortedPlaces[], keep: 'net' | 'all', from: Uint8Array = NO_BYTES) {
    this.#keep = keep;
    for (const [age, run] of runs.entries()) {
      const { set, order } = run;
      const at = run.firstFrom(from);
      if (at < order.length) this.#heap.push({ set, order, age, at, place: order[at]! });
    }
    for (let at = (this.#heap.length >>> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  get count(): number {
    return this.#count;
  }

  get keys(): Uint8Array {
    return this.#keys;
  }

  /** Takes the next changes; returns whether there are any. The ones before are gone. */
  next(): boolean {
    this.#count = 0;
    this.#keyBytes = 0;
    while (this.#count < MERGED_MAX && this.#keyBytes < MERGED_KEY_BYTES_MAX && this.#heap.length > 0) {
      this.#takeKey();
    }
    return this.#count > 0;
  }

  /** All changes of the smallest key, as one. */
  #takeKey(): void {
    const first = this.#heap[0]!;
    const { set, place } = first;
    const offset = set.keyOffsetAt(place);
    const length = set.keyEndAt(place) - offset;
    const target = this.#keyBytes;
    this.#copyKey(set.keys, offset, length);
    let base = set.baseAt(place);
    let record = set.recordAt(place);
    let entryBytes = set.entryBytesAt(place);
    let isVoid = set.isVoid(place);
    this.#advance(first);
    for (
      let next = this.#heap[0];
      next !== undefined && this.#hasKey(next, target, length);
      next = this.#heap[0]
    ) {
      if (!next.set.isVoid(next.place)) {
        if (isVoid) base = next.set.baseAt(next.place);
        isVoid = false;
        record = next.set.recordAt(next.place);
        entryBytes = next.set.entryBytesAt(next.place);
      }
      this.#advance(next);
    }
    if ((base | record) === 0 && this.#keep === 'net') return;
    const at = this.#count++;
    this.bases[at] = base;
    this.records[at] = record;
    this.entryBytes[at] = entryBytes;
    this.keyOffsets[at] = target;
    this.keyLengths[at] = length;
    this.#keyBytes += length;
  }

  /** To the end of the keys, where it stays if the change does. */
  #copyKey(keys: Uint8Array, offset: number, length: number): void {
    const end = this.#keyBytes + length;
    if (end > this.#keys.length) {
      const grown = new Uint8Array(2 * end);
      grown.set(this.#keys);
      this.#keys = grown;
    }
    for (let at = 0; at < length; at++) this.#keys[this.#keyBytes + at] = keys[offset + at]!;
  }

  #hasKey({ set, place }: Source, offset: number, length: number): boolean {
    const from = set.keyOffsetAt(place);
    if (set.keyEndAt(place) - from !== length) return false;
    const { keys } = set;
    for (let at = length - 1; at >= 0; at--) if (keys[from + at] !== this.#keys[offset + at]) return false;
    return true;
  }

  /** Moves the first source of the heap on. */
  #advance(source: Source): void {
    source.at++;
    if (source.at < source.order.length) {
      source.place = source.order[source.at]!;
    } else {
      const last = this.#heap.pop();
      if (last === undefined || last === source) return;
      this.#heap[0] = last;
    }
    this.#sink(0);
  }

  #sink(from: number): void {
    const heap = this.#heap;
    const source = heap[from]!;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, source)) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = source;
  }
}

function isBefore(one: Source, other: Source): boolean {
  const { keys } = one.set;
  const otherKeys = other.set.keys;
  const offset = one.set.keyOffsetAt(one.place);
  const otherOffset = other.set.keyOffsetAt(other.place);
  const length = one.set.keyEndAt(one.place) - offset;
  const otherLength = other.set.keyEndAt(other.place) - otherOffset;
  const shared = length < otherLength ? length : otherLength;
  for (let at = 0; at < shared; at++) {
    const order = keys[offset + at]! - otherKeys[otherOffset + at]!;
    if (order !== 0) return order < 0;
  }
  return length === otherLength ? one.age < other.age : length < otherLength;
}
