/**
 * Deadlines of keys, the earliest first: a binary heap, with the bytes of the keys outside of JavaScript's
 * heap. It belongs to one node and is no part of the state: it only tells the node when to propose a command
 * that removes keys.
 *
 * Invariant, of whoever tells it of deadlines: each key that has one is here at least once, with that
 * deadline or an earlier one. It may be here more often, or be gone from the state: who takes a key looks at
 * the state again. When too much of it is such leftovers, it is made anew from the state.
 */

import { assert } from '../base/assert.ts';
import type { DeadlineObserver } from './command.ts';
import { userKeyOf } from './layout.ts';

/** Keys lie one behind the other in chunks of this size; a chunk is given back when all its keys are gone. */
const CHUNK_BYTES = 1024 * 1024;

/** A chunk with no more in use is emptied: a few keys that stay would keep it for ever. */
const SPARSE_BYTES_MAX = CHUNK_BYTES / 4;

const LENGTH_BYTES = 2;

const ENTRIES_INITIAL = 1024;

/** Leftovers that are never worth making it anew for. */
const LEFTOVERS_MIN = 64 * 1024;

export interface DueKey {
  /** Without prefix; its own memory. */
  readonly key: Uint8Array;
  readonly deadline: number;
}

interface Chunk {
  readonly bytes: Uint8Array;
  /** Behind its last key. */
  end: number;
  /** Bytes of keys that are still here, with their lengths. */
  used: number;
}

export class DeadlineTable implements DeadlineObserver {
  #deadlines = new Float64Array(ENTRIES_INITIAL);
  /** For each entry where its key is: chunk × CHUNK_BYTES + offset. */
  #places = new Float64Array(ENTRIES_INITIAL);
  #count = 0;
  readonly #chunks: (Chunk | null)[] = [];
  readonly #freeChunks: number[] = [];
  #current = -1;
  /** Called when the earliest deadline comes earlier. */
  #onEarlier: () => void = () => undefined;

  /** Entries, leftovers included. */
  get count(): number {
    return this.#count;
  }

  /** The earliest deadline; Infinity when there is none. */
  get next(): number {
    return this.#count === 0 ? Infinity : this.#deadlines[0]!;
  }

  get allocatedBytes(): number {
    const chunks = this.#chunks.length - this.#freeChunks.length;
    return chunks * CHUNK_BYTES + this.#deadlines.byteLength + this.#places.byteLength;
  }

  /**
   * Whether more than half of the entries must be leftovers.
   * @param countKeys How many keys there are: asked only when it matters, for it may cost reading the state.
   */
  isMostlyLeftovers(countKeys: () => number): boolean {
    return this.#count > LEFTOVERS_MIN && this.#count > 2 * countKeys() + LEFTOVERS_MIN;
  }

  whenEarlier(run: () => void): void {
    this.#onEarlier = run;
  }

  note(key: Uint8Array, deadline: number): void {
    const isEarlier = deadline < this.next;
    this.add(userKeyOf(key), deadline);
    if (isEarlier) this.#onEarlier();
  }

  /** @param key Without prefix. */
  add(key: Uint8Array, deadline: number): void {
    if (this.#count === this.#deadlines.length) this.#grow();
    const place = this.#store(key);
    let at = this.#count++;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (this.#deadlines[parent]! <= deadline) break;
      this.#move(parent, at);
      at = parent;
    }
    this.#deadlines[at] = deadline;
    this.#places[at] = place;
  }

  /** Takes out the key with the earliest deadline. */
  take(): DueKey {
    assert(this.#count > 0, 'a key is taken while there is one');
    const deadline = this.#deadlines[0]!;
    const key = this.#remove(this.#places[0]!);
    this.#count--;
    this.#sink(this.#deadlines[this.#count]!, this.#places[this.#count]!);
    return { key, deadline };
  }

  clear(): void {
    this.#deadlines = new Float64Array(ENTRIES_INITIAL);
    this.#places = new Float64Array(ENTRIES_INITIAL);
    this.#count = 0;
    this.#chunks.length = 0;
    this.#freeChunks.length = 0;
    this.#current = -1;
  }

  /** Places an entry from the top down, where the first one is missing. */
  #sink(deadline: number, place: number): void {
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#count) break;
      if (child + 1 < this.#count && this.#deadlines[child + 1]! < this.#deadlines[child]!) child++;
      if (this.#deadlines[child]! >= deadline) break;
      this.#move(child, at);
      at = child;
    }
    this.#deadlines[at] = deadline;
    this.#places[at] = place;
  }

  #move(from: number, to: number): void {
    this.#deadlines[to] = this.#deadlines[from]!;
    this.#places[to] = this.#places[from]!;
  }

  #grow(): void {
    const deadlines = new Float64Array(2 * this.#count);
    const places = new Float64Array(2 * this.#count);
    deadlines.set(this.#deadlines);
    places.set(this.#places);
    this.#deadlines = deadlines;
    this.#places = places;
  }

  #store(key: Uint8Array): number {
    const needed = LENGTH_BYTES + key.length;
    let chunk = this.#chunks[this.#current] ?? null;
    if (chunk === null || chunk.end + needed > CHUNK_BYTES) chunk = this.#openChunk();
    const offset = chunk.end;
    chunk.bytes[offset] = key.length;
    chunk.bytes[offset + 1] = key.length >>> 8;
    chunk.bytes.set(key, offset + LENGTH_BYTES);
    chunk.end += needed;
    chunk.used += needed;
    return this.#current * CHUNK_BYTES + offset;
  }

  #openChunk(): Chunk {
    const chunk = { bytes: new Uint8Array(CHUNK_BYTES), end: 0, used: 0 };
    this.#current = this.#freeChunks.pop() ?? this.#chunks.length;
    this.#chunks[this.#current] = chunk;
    this.#emptySparsest();
    return chunk;
  }

  /**
   * Moves what the sparsest chunk still has to the current one, which is empty. Looks at every entry, once
   * for each chunk that is opened.
   */
  #emptySparsest(): void {
    let sparsest = -1;
    let used = SPARSE_BYTES_MAX;
    for (const [number, chunk] of this.#chunks.entries()) {
      if (chunk === null || number === this.#current || chunk.used > used) continue;
      sparsest = number;
      used = chunk.used;
    }
    if (sparsest < 0) return;
    const from = sparsest * CHUNK_BYTES;
    for (let at = 0; at < this.#count; at++) {
      const place = this.#places[at]!;
      if (place >= from && place < from + CHUNK_BYTES) this.#places[at] = this.#store(this.#remove(place));
    }
  }

  #remove(place: number): Uint8Array {
    const number = Math.floor(place / CHUNK_BYTES);
    const offset = place % CHUNK_BYTES;
    const chunk = this.#chunks[number];
    assert(chunk != null, `chunk ${number} has keys`);
    const length = chunk.bytes[offset]! | (chunk.bytes[offset + 1]! << 8);
    const key = Uint8Array.from(chunk.bytes.subarray(offset + LENGTH_BYTES, offset + LENGTH_BYTES + length));
    chunk.used -= LENGTH_BYTES + length;
    if (chunk.used > 0) return key;
    if (number === this.#current) {
      chunk.end = 0;
    } else {
      this.#chunks[number] = null;
      this.#freeChunks.push(number);
    }
    return key;
  }
}
