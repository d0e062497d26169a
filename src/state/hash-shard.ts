/**
 * One shard of the hash table: open addressing with linear probing in one typed array.
 *
 *     slots    [hash of slot 0, record of slot 0, hash of slot 1, record of slot 1, ...]
 *
 * Both are signed 32-bit integers. The whole hash is kept, so that growing never reads a record, and a probe
 * reads one only when 32 bits agree. Records are opaque here; only NO_RECORD has a meaning: an empty slot.
 *
 * Invariants:
 *  - At least one slot is empty, so that every probe ends.
 *  - Between the home slot of an entry (the low bits of its hash) and its slot there is no empty one.
 *    Removing moves later entries back instead of leaving tombstones: probes do not get longer with time.
 */

import { assert } from '../base/assert.ts';
import { NO_RECORD } from './record-table.ts';

/** In place of a slot: there is none. */
export const NO_SLOT = -1;

/** Share of slots in use above which a shard must grow: linear probing then looks at 6 slots for a miss. */
export const LOAD_MAX = 0.7;

const HIGHEST_BIT = 0x80000000 | 0;

export class HashShard {
  /** Highest bits of the hash that all entries of this shard share; see hash-table.ts. */
  readonly depth: number;
  #slots: Int32Array;
  #mask: number;
  #count = 0;

  constructor(slotCount: number, depth: number) {
    this.depth = depth;
    this.#slots = new Int32Array(2 * slotCount);
    this.#mask = slotCount - 1;
  }

  get count(): number {
    return this.#count;
  }

  get slotCount(): number {
    return this.#mask + 1;
  }

  get allocatedBytes(): number {
    return this.#slots.byteLength;
  }

  /** Whether one more entry needs room to be made first. */
  get isFull(): boolean {
    return this.#count + 1 > this.slotCount * LOAD_MAX;
  }

  /** The next slot with this hash at or after slot `from`, or NO_SLOT. To start, `from` is the hash. */
  seek(hash: number, from: number): number {
    const slots = this.#slots;
    const mask = this.#mask;
    for (let slot = from & mask; slots[2 * slot + 1] !== NO_RECORD; slot = (slot + 1) & mask) {
      if (slots[2 * slot] === hash) return slot;
    }
    return NO_SLOT;
  }

  /** Whether nothing is where an entry with this hash would be looked for first: then there is none. */
  isHomeFree(hash: number): boolean {
    return this.#slots[2 * (hash & this.#mask) + 1] === NO_RECORD;
  }

  /** The slot of a record that is in this shard. */
  slotOf(hash: number, record: number): number {
    let slot = this.seek(hash, hash);
    while (slot !== NO_SLOT && this.recordAt(slot) !== record) slot = this.seek(hash, slot + 1);
    assert(slot !== NO_SLOT, `record ${record} is in the shard of its hash`);
    return slot;
  }

  recordAt(slot: number): number {
    return this.#slots[2 * slot + 1]!;
  }

  replaceAt(slot: number, record: number): void {
    this.#slots[2 * slot + 1] = record;
  }

  /** Adds an entry. The caller has made room (`isFull`) and knows that the key is not there. */
  insert(hash: number, record: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let slot = hash & mask;
    while (slots[2 * slot + 1] !== NO_RECORD) slot = (slot + 1) & mask;
    slots[2 * slot] = hash;
    slots[2 * slot + 1] = record;
    this.#count++;
  }

  removeAt(slot: number): void {
    const slots = this.#slots;
    const mask = this.#mask;
    let hole = slot;
    for (let next = (hole + 1) & mask; slots[2 * next + 1] !== NO_RECORD; next = (next + 1) & mask) {
      const home = slots[2 * next]! & mask;
      // An entry may move back to the hole only if its home is not behind the hole.
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      slots[2 * hole] = slots[2 * next]!;
      slots[2 * hole + 1] = slots[2 * next + 1]!;
      hole = next;
    }
    slots[2 * hole + 1] = NO_RECORD;
    this.#count--;
  }

  /** Moves all entries into `slotCount` slots, a power of two. */
  resize(slotCount: number): void {
    const resized = new HashShard(slotCount, this.depth);
    this.#forEach((hash, record) => resized.insert(hash, record));
    this.#slots = resized.#slots;
    this.#mask = resized.#mask;
  }

  /** Two shards of the same size, one level deeper: `[next bit of the hash is 0, next bit is 1]`. */
  split(): readonly [HashShard, HashShard] {
    const zero = new HashShard(this.slotCount, this.depth + 1);
    const one = new HashShard(this.slotCount, this.depth + 1);
    const bit = 1 << (31 - this.depth);
    this.#forEach((hash, record) => ((hash & bit) === 0 ? zero : one).insert(hash, record));
    return [zero, one];
  }

  *records(): Generator<number> {
    for (let slot = 0; slot < this.slotCount; slot++) {
      const record = this.recordAt(slot);
      if (record !== NO_RECORD) yield record;
    }
  }

  /** Appends the records whose hash, as an unsigned integer, is in [from, to), in no order. */
  collect(from: number, to: number, records: number[]): void {
    const slots = this.#slots;
    // With the highest bit turned over, unsigned integers have the order of signed ones, which are faster.
    const first = (from | 0) ^ HIGHEST_BIT;
    const last = ((to - 1) | 0) ^ HIGHEST_BIT;
    for (let at = 0; at < slots.length; at += 2) {
      if (slots[at + 1] === NO_RECORD) continue;
      const hash = slots[at]! ^ HIGHEST_BIT;
      if (hash >= first && hash <= last) records.push(slots[at + 1]!);
    }
  }

  #forEach(visit: (hash: number, record: number) => void): void {
    const slots = this.#slots;
    for (let at = 0; at < slots.length; at += 2) {
      if (slots[at + 1] !== NO_RECORD) visit(slots[at]!, slots[at + 1]!);
    }
  }
}
