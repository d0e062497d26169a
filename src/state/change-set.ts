/**
 * A change set: for each key that changed since the last freeze, the record it had before and the one it has
 * now; one of them may be missing, and the one before unknown. Integers and bytes in arrays, no objects.
 *
 * The key is copied here, and the size of its entry noted, while both are in the cache: who folds the set
 * later touches no record.
 *
 * A record's mark (record-table.ts) is its place here while it is the newest of its key, so that writing a
 * key again and again takes one place. The mark proves itself: a record is in a set if and only if the set
 * names it at the record's mark. A key that was deleted and set again takes another place; the two become one
 * when the set is merged.
 */

import { leafEntryBytes } from '../base/merkle/node.ts';
import type { LiveIndex } from './live-index.ts';
import { NO_RECORD, UNKNOWN_RECORD } from './record-table.ts';

/** Places in a set before it is frozen. Sorting so many takes a few milliseconds. */
export const SET_KEYS_MAX = 32 * 1024;

/** The same in bytes of replaced records, which are kept until the set is folded. */
export const SET_BYTES_MAX = 16 * 1024 * 1024;

/** The same in bytes of keys. */
const SET_KEY_BYTES_MAX = 4 * 1024 * 1024;

/** Words of a place: record before, record now, where its key ends, bytes of its entry in a leaf. */
const PLACE_WORDS = 4;
const BASE = 0;
const RECORD = 1;
const KEY_END = 2;
const ENTRY_BYTES = 3;

const PLACES_MIN = 256;
const PLACE_KEY_BYTES_MIN = 16;

export class ChangeSet {
  readonly #index: LiveIndex;
  #places = new Int32Array(PLACE_WORDS * PLACES_MIN);
  #keys = new Uint8Array(PLACE_KEY_BYTES_MIN * PLACES_MIN);
  #count = 0;
  #keyBytes = 0;
  #keptBytes = 0;
  /** Places before this one were looked at by `visitUnknown`; behind it, so many have an unknown base. */
  #visitedTo = 0;
  #unknownCount = 0;

  constructor(index: LiveIndex) {
    this.#index = index;
  }

  /** Places taken: at least the number of keys that changed. */
  get count(): number {
    return this.#count;
  }

  /** Bytes of the records that keys had before. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  get allocatedBytes(): number {
    return this.#places.byteLength + this.#keys.byteLength;
  }

  /** Whether it should be frozen. */
  get isFull(): boolean {
    return (
      this.#count >= SET_KEYS_MAX || this.#keptBytes >= SET_BYTES_MAX || this.#keyBytes >= SET_KEY_BYTES_MAX
    );
  }

  /**
   * Notes one committed write.
   * @param linked The record that the key has now, or NO_RECORD when it was deleted.
   * @param unlinked The one it had, NO_RECORD, or UNKNOWN_RECORD.
   * @param isValueNeeded Whether a snapshot, or a hash under way, may need the value that was replaced.
   * @returns Whether nothing needs `unlinked` any more: it was written after the last freeze.
   */
  note(linked: number, unlinked: number, isValueNeeded: boolean): boolean {
    const place = unlinked > NO_RECORD ? this.#placeOf(unlinked) : -1;
    if (place < 0) {
      if (unlinked > NO_RECORD && !isValueNeeded) this.#index.dropValue(unlinked);
      this.#add(unlinked, linked);
      return false;
    }
    this.#setRecord(place, linked);
    return true;
  }

  /** Keys that were written blindly since `visitUnknown`. */
  get unknownCount(): number {
    return this.#unknownCount;
  }

  /** Every key that was written blindly since the last visit: where it is in `keys`. */
  visitUnknown(visit: (offset: number, length: number) => void): void {
    for (let place = this.#visitedTo; this.#unknownCount > 0; place++) {
      this.#visitedTo = place + 1;
      if (this.baseAt(place) !== UNKNOWN_RECORD) continue;
      const offset = this.keyOffsetAt(place);
      visit(offset, this.keyEndAt(place) - offset);
      this.#unknownCount--;
    }
  }

  /** The record before: NO_RECORD when the key was new, UNKNOWN_RECORD when only the tree can tell. */
  baseAt(place: number): number {
    return this.#places[PLACE_WORDS * place + BASE]!;
  }

  recordAt(place: number): number {
    return this.#places[PLACE_WORDS * place + RECORD]!;
  }

  /** Whether nothing is left of a change: the key was new, and is gone. */
  isVoid(place: number): boolean {
    return (this.baseAt(place) | this.recordAt(place)) === 0;
  }

  /** Bytes that the record takes in a leaf. */
  entryBytesAt(place: number): number {
    return this.#places[PLACE_WORDS * place + ENTRY_BYTES]!;
  }

  /** The bytes in which the keys are. */
  get keys(): Uint8Array {
    return this.#keys;
  }

  keyOffsetAt(place: number): number {
    return place === 0 ? 0 : this.#places[PLACE_WORDS * (place - 1) + KEY_END]!;
  }

  keyEndAt(place: number): number {
    return this.#places[PLACE_WORDS * place + KEY_END]!;
  }

  /** Forgets everything; keeps its memory unless a huge command made it large. */
  clear(): void {
    this.#count = 0;
    this.#keyBytes = 0;
    this.#keptBytes = 0;
    this.#visitedTo = 0;
    this.#unknownCount = 0;
    if (this.#places.length > 2 * PLACE_WORDS * SET_KEYS_MAX) {
      this.#places = new Int32Array(PLACE_WORDS * PLACES_MIN);
    }
    if (this.#keys.length > SET_KEY_BYTES_MAX) this.#keys = new Uint8Array(PLACE_KEY_BYTES_MIN * PLACES_MIN);
  }

  #placeOf(record: number): number {
    const mark = this.#index.markOf(record);
    return mark >= 0 && mark < this.#count && this.recordAt(mark) === record ? mark : -1;
  }

  #add(base: number, record: number): void {
    const place = this.#count;
    const word = PLACE_WORDS * place;
    if (word === this.#places.length) {
      const grown = new Int32Array(2 * this.#places.length);
      grown.set(this.#places);
      this.#places = grown;
    }
    this.#places[word + BASE] = base;
    this.#places[word + KEY_END] = this.#addKey(record === NO_RECORD ? base : record);
    this.#count++;
    this.#setRecord(place, record);
    if (base === UNKNOWN_RECORD) this.#unknownCount++;
    if (base > NO_RECORD) this.#keptBytes += this.#index.contentBytesOf(base);
  }

  #setRecord(place: number, record: number): void {
    const word = PLACE_WORDS * place;
    this.#places[word + RECORD] = record;
    if (record === NO_RECORD) return;
    const keyBytes = this.keyEndAt(place) - this.keyOffsetAt(place);
    this.#places[word + ENTRY_BYTES] = leafEntryBytes(keyBytes, this.#index.valueBytesOf(record));
    this.#index.mark(record, place);
  }

  /** @returns Where it ends. */
  #addKey(record: number): number {
    const offset = this.#keyBytes;
    const end = offset + this.#index.keyBytesOf(record);
    if (end > this.#keys.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#keys.length));
      grown.set(this.#keys.subarray(0, offset));
      this.#keys = grown;
    }
    this.#index.copyKey(record, this.#keys, offset);
    this.#keyBytes = end;
    return end;
  }
}
