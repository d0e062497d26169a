/**
 * Names of records: a number that stays the same while the record lives, whatever place it has.
 *
 * The hash table, change sets, tree leaves and snapshots all refer to records; a record that moves in memory
 * (slab-store.ts) changes one word here instead of all of them. Beside its place a record has a *mark*, a
 * number for whoever keeps it (change-set.ts, state-tree.ts).
 *
 *     chunk    [place of record 0, mark of record 0, place of record 1, ...]
 *
 * Free numbers of a chunk are threaded through the places. Grows by whole chunks, so that no write copies
 * what is there; a chunk without records is dropped. Since numbers never change, one record keeps its chunk:
 * after most of a state is deleted, up to RECORD_BYTES for each record that once was there remain.
 */

import { assert } from '../base/assert.ts';

/** In place of a record: there is none. */
export const NO_RECORD = 0;

/**
 * In place of the record that a key had: it was written without looking, while not all of the state was in
 * memory (cold-leaves.ts). The tree knows whether there is one.
 */
export const UNKNOWN_RECORD = -1;

/** What one record takes here. */
export const RECORD_BYTES = 8;

const CHUNK_BITS = 10;
const CHUNK_RECORDS = 1 << CHUNK_BITS;
const CHUNK_MASK = CHUNK_RECORDS - 1;

/** Numbers are positive 32-bit integers. */
const CHUNKS_MAX = 2 ** (31 - CHUNK_BITS);

/** In place of the next free number. */
const END_OF_LIST = -1;

/** Stands where a chunk was dropped. */
const NO_CHUNK = new Int32Array(0);

export class RecordTable {
  readonly #chunks: Int32Array[] = [];
  readonly #usedCounts: number[] = [];
  /** First free number of each chunk, within the chunk. */
  readonly #firstFree: number[] = [];
  /** Chunks with free numbers, the one to take from last, and where each stands in that list. */
  readonly #open: number[] = [];
  readonly #openAt: number[] = [];
  readonly #dropped: number[] = [];
  #chunkCount = 0;
  #count = -1; // Number 0 does not count.

  constructor() {
    // Number 0 is taken for ever: it means none.
    assert(this.add(0) === NO_RECORD, 'the first number is 0');
  }

  get count(): number {
    return this.#count;
  }

  get allocatedBytes(): number {
    return this.#chunkCount * CHUNK_RECORDS * RECORD_BYTES;
  }

  add(place: number): number {
    const chunk = this.#open[this.#open.length - 1] ?? this.#addChunk();
    const at = this.#firstFree[chunk]!;
    const words = this.#chunks[chunk]!;
    this.#firstFree[chunk] = words[2 * at]!;
    words[2 * at] = place;
    words[2 * at + 1] = -1;
    this.#count++;
    if (++this.#usedCounts[chunk]! === CHUNK_RECORDS) this.#open.pop();
    return (chunk << CHUNK_BITS) | at;
  }

  remove(record: number): void {
    const chunk = record >>> CHUNK_BITS;
    const at = record & CHUNK_MASK;
    const words = this.#chunks[chunk]!;
    words[2 * at] = this.#firstFree[chunk]!;
    words[2 * at + 1] = -1;
    this.#firstFree[chunk] = at;
    this.#count--;
    const used = --this.#usedCounts[chunk]!;
    if (used === CHUNK_RECORDS - 1) this.#openAt[chunk] = this.#open.push(chunk) - 1;
    if (used === 0) this.#dropChunk(chunk);
  }

  placeOf(record: number): number {
    return this.#chunks[record >>> CHUNK_BITS]![(record & CHUNK_MASK) << 1]!;
  }

  move(record: number, place: number): void {
    this.#chunks[record >>> CHUNK_BITS]![(record & CHUNK_MASK) << 1] = place;
  }

  markOf(record: number): number {
    return this.#chunks[record >>> CHUNK_BITS]![((record & CHUNK_MASK) << 1) + 1]!;
  }

  mark(record: number, mark: number): void {
    this.#chunks[record >>> CHUNK_BITS]![((record & CHUNK_MASK) << 1) + 1] = mark;
  }

  #addChunk(): number {
    const words = new Int32Array(2 * CHUNK_RECORDS); // Throws when memory runs out: nothing changed yet.
    for (let at = 0; at < CHUNK_RECORDS; at++) words[2 * at] = at + 1;
    words[2 * CHUNK_MASK] = END_OF_LIST;
    const chunk = this.#dropped.pop() ?? this.#chunks.length;
    assert(chunk < CHUNKS_MAX, `there are at most ${CHUNKS_MAX * CHUNK_RECORDS} records`);
    this.#chunks[chunk] = words;
    this.#usedCounts[chunk] = 0;
    this.#firstFree[chunk] = 0;
    this.#openAt[chunk] = this.#open.push(chunk) - 1;
    this.#chunkCount++;
    return chunk;
  }

  #dropChunk(chunk: number): void {
    const last = this.#open.pop();
    assert(last !== undefined, 'a chunk without records is open');
    if (last !== chunk) {
      this.#open[this.#openAt[chunk]!] = last;
      this.#openAt[last] = this.#openAt[chunk]!;
    }
    this.#chunks[chunk] = NO_CHUNK;
    this.#dropped.push(chunk);
    this.#chunkCount--;
  }
}
