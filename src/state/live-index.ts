/**
 * The live index: every key with its value, outside the JavaScript heap.
 *
 * A key and its value live together as one record in a slab; a sharded hash table of integers finds it. There
 * is no JavaScript object for a record, so that the collector has nothing to do with ten million of them.
 *
 *     record    +------------+--------------+--------+-----------+-------------+------+------+--------+
 *               | key length | value length | number | key bytes | value bytes | hash | file | offset |
 *               +------------+--------------+--------+-----------+-------------+------+------+--------+
 *     offset    0            4              8        12
 *
 * Hash, file and offset are those of a large value, which is a node of its own in files (stored.ts); others
 * do not have the three. File 0: not stored yet. The offset is in units of PLACE_ALIGN_BYTES.
 *
 * A record never changes once written: an overwrite writes another one and `link`s it in place of the first.
 * That makes an undo free (live-state.ts): it keeps the replaced record until the command ends; and a
 * snapshot cheap (state-tree.ts): it keeps the replaced records it needs. Their numbers survive a move.
 *
 * Invariant: a record that is not linked is known to exactly one keeper, who links or frees it.
 *
 * Pure: no I/O, no clock.
 */

import { assert } from '../base/assert.ts';
import { DIGEST_BYTES } from '../base/digest.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../base/limits.ts';
import { INLINE_VALUE_BYTES_MAX } from '../base/merkle/node.ts';
import { type HashShard, NO_SLOT } from './hash-shard.ts';
import { HashTable } from './hash-table.ts';
import { type KeyHash, seededKeyHash } from './key-hash.ts';
import { NO_RECORD, RecordTable } from './record-table.ts';
import { RECLAIM_SLOTS, SlabStore } from './slab-store.ts';
import { PLACE_ALIGN_BYTES, type Place } from './stored.ts';

export interface LiveIndexOptions {
  /** KEY_HASH_SEED_BYTES unpredictable bytes, drawn anew for each index. */
  readonly seed: Uint8Array;
  /** Instead of the seeded hash: tests make keys collide with it. */
  readonly hash?: KeyHash;
}

/** Both are views that hold until the next write of any key. */
export interface LiveEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** The number of a record. NO_RECORD is none. */
export type RecordReference = number;

const HEADER_BYTES = 12;

/** In the word of a value's length: the hash behind the value is there. */
const IS_VALUE_HASHED = 1 << 30;
const LENGTH_MASK = IS_VALUE_HASHED - 1;

/** Behind a large value: its hash, and two words for its place. */
const LARGE_VALUE_TAIL_BYTES = DIGEST_BYTES + 8;

/** Of a value that is worth giving back before its record is. */
const DROPPED_BYTES_MIN = 64;

const TWO_32 = 2 ** 32;

/** Hashed for the tag of cursors, so that it tells no more of the seed than any key. */
const SCAN_TAG_TEXT = Buffer.from('scan');

/** Above this a native copy is faster than a loop. */
const COPY_LOOP_BYTES_MAX = 48;

export class LiveIndex {
  readonly #hash: KeyHash;
  #table = new HashTable();
  #store = new SlabStore();
  #records = new RecordTable();
  #size = 0;
  #liveBytes = 0;
  /** Of the records being linked; and whether the table had nothing where its key would be first. */
  readonly #hashes: number[] = [];
  readonly #isHomeFree: boolean[] = [];
  /** Places whose records moved to smaller ones: one of them must not be such a smaller one at once. */
  readonly #dropped: number[] = [];
  /** Changes of the table and moves of records: an iteration must not see any. */
  #changes = 0;

  /** Tells cursors of this index from those of others: 1 to 2^20. */
  readonly #scanTag: number;

  constructor({ seed, hash }: LiveIndexOptions) {
    this.#hash = hash ?? seededKeyHash(seed);
    this.#scanTag = 1 + (this.#hash(SCAN_TAG_TEXT, 0, SCAN_TAG_TEXT.length) >>> 12);
  }

  /** Number of keys. */
  get size(): number {
    return this.#size;
  }

  /** Number of records, linked or not. */
  get recordCount(): number {
    return this.#records.count;
  }

  /** Bytes of all keys and values. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  /** Bytes of memory for records and hash table, used or not. */
  get allocatedBytes(): number {
    return this.#table.allocatedBytes + this.#store.allocatedBytes + this.#records.allocatedBytes;
  }

  /** Work done beyond the writes themselves, ever. The difference over one write bounds its stall. */
  get maintenance(): { readonly slotsMoved: number; readonly recordsMoved: number } {
    return { slotsMoved: this.#table.slotsMoved, recordsMoved: this.#store.recordsMoved };
  }

  /** The value, as a view that holds until the next write of any key; null when there is no such key. */
  get(key: Uint8Array): Uint8Array | null {
    const record = this.find(key);
    return record === NO_RECORD ? null : this.valueOf(record);
  }

  has(key: Uint8Array): boolean {
    return this.find(key) !== NO_RECORD;
  }

  /** Key and value are copied; they may be views into this index. */
  set(key: Uint8Array, value: Uint8Array): void {
    const replaced = this.link(this.store(key, value));
    if (replaced !== NO_RECORD) this.free(replaced);
    this.compact(1);
  }

  /** Returns whether the key was there. */
  delete(key: Uint8Array): boolean {
    const record = this.unlink(key);
    if (record === NO_RECORD) return false;
    this.free(record);
    this.compact(1);
    return true;
  }

  clear(): void {
    this.#table = new HashTable();
    this.#store = new SlabStore();
    this.#records = new RecordTable();
    this.#size = 0;
    this.#liveBytes = 0;
    this.#changes++;
  }

  /** As StateReader says. The order is that of the hashes, which no growth changes. */
  scan(cursor: number, count: number): { readonly entries: LiveEntry[]; readonly next: number } {
    const { records, nextHash } = this.#table.recordsFrom(this.#hashOfCursor(cursor), Math.max(count, 1));
    const entries = records.map((record) => ({ key: this.keyOf(record), value: this.valueOf(record) }));
    return { entries, next: nextHash === null ? 0 : this.#scanTag * TWO_32 + nextHash };
  }

  cursorAt(part: number): number {
    return this.#scanTag * TWO_32 + Math.min(Math.floor(part * TWO_32), TWO_32 - 1);
  }

  /** A cursor of another index, or of none, stands for the beginning. */
  #hashOfCursor(cursor: number): number {
    return Math.floor(cursor / TWO_32) === this.#scanTag ? cursor % TWO_32 : 0;
  }

  /** Every key with its value, in no particular order. The index must not change meanwhile. */
  *entries(): Generator<LiveEntry> {
    const changes = this.#changes;
    for (const record of this.#table.records()) {
      yield { key: this.keyOf(record), value: this.valueOf(record) };
      assert(changes === this.#changes, 'the live index does not change while it is iterated');
    }
  }

  keyOf(record: RecordReference): Uint8Array {
    const place = this.#records.placeOf(record);
    const slab = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    const keyOffset = offset + HEADER_BYTES;
    return slab.bytes.subarray(keyOffset, keyOffset + slab.words[offset >>> 2]!);
  }

  valueOf(record: RecordReference): Uint8Array {
    const place = this.#records.placeOf(record);
    const slab = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    const valueOffset = offset + HEADER_BYTES + slab.words[offset >>> 2]!;
    return slab.bytes.subarray(valueOffset, valueOffset + (slab.words[(offset >>> 2) + 1]! & LENGTH_MASK));
  }

  keyBytesOf(record: RecordReference): number {
    const place = this.#records.placeOf(record);
    return this.#store.slabOf(place).words[this.#store.offsetOf(place) >>> 2]!;
  }

  valueBytesOf(record: RecordReference): number {
    const place = this.#records.placeOf(record);
    return this.#store.slabOf(place).words[(this.#store.offsetOf(place) >>> 2) + 1]! & LENGTH_MASK;
  }

  /** Copies the key of a record to `target` at `at`. */
  copyKey(record: RecordReference, target: Uint8Array, at: number): void {
    const place = this.#records.placeOf(record);
    const slab = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    const keyBytes = slab.words[offset >>> 2]!;
    const keyOffset = offset + HEADER_BYTES;
    if (keyBytes > COPY_LOOP_BYTES_MAX) {
      target.set(slab.bytes.subarray(keyOffset, keyOffset + keyBytes), at);
    } else {
      for (let byte = 0; byte < keyBytes; byte++) target[at + byte] = slab.bytes[keyOffset + byte]!;
    }
  }

  /** The order of the key of a record and the `length` bytes of `bytes` from `offset` on. */
  compareKey(record: RecordReference, bytes: Uint8Array, offset: number, length: number): number {
    const place = this.#records.placeOf(record);
    const slab = this.#store.slabOf(place);
    const recordOffset = this.#store.offsetOf(place);
    const keyBytes = slab.words[recordOffset >>> 2]!;
    const keyOffset = recordOffset + HEADER_BYTES;
    const shared = keyBytes < length ? keyBytes : length;
    for (let at = 0; at < shared; at++) {
      const order = slab.bytes[keyOffset + at]! - bytes[offset + at]!;
      if (order !== 0) return order;
    }
    return keyBytes - length;
  }

  /**
   * The place for the hash of a large value (`hasValueHash`), and whether it is there already. The caller
   * computes it at most once and calls `setValueHashed`; it moves along with the record.
   */
  valueHashOf(record: RecordReference): Uint8Array {
    const place = this.#records.placeOf(record);
    const slab = this.#store.slabOf(place);
    const word = this.#store.offsetOf(place) >>> 2;
    const valueBytes = slab.words[word + 1]! & LENGTH_MASK;
    const hashOffset = word * 4 + HEADER_BYTES + slab.words[word]! + valueBytes;
    return slab.bytes.subarray(hashOffset, hashOffset + DIGEST_BYTES);
  }

  isValueHashed(record: RecordReference): boolean {
    const place = this.#records.placeOf(record);
    const word = this.#store.offsetOf(place) >>> 2;
    return (this.#store.slabOf(place).words[word + 1]! & IS_VALUE_HASHED) !== 0;
  }

  setValueHashed(record: RecordReference): void {
    const place = this.#records.placeOf(record);
    const word = this.#store.offsetOf(place) >>> 2;
    this.#store.slabOf(place).words[word + 1]! |= IS_VALUE_HASHED;
  }

  /** The file in which a large value is stored, or 0. */
  valueFileOf(record: RecordReference): number {
    return this.#valuePlaceView(record).getUint32(0, true);
  }

  valuePlaceOf(record: RecordReference): Place {
    const view = this.#valuePlaceView(record);
    const file = view.getUint32(0, true);
    assert(file !== 0, 'a large value that is stored has a place');
    const offset = view.getUint32(4, true) * PLACE_ALIGN_BYTES;
    return { file, offset, bytes: this.valueBytesOf(record) };
  }

  setValuePlace(record: RecordReference, file: number, offset: number): void {
    const view = this.#valuePlaceView(record);
    view.setUint32(0, file, true);
    view.setUint32(4, offset / PLACE_ALIGN_BYTES, true);
  }

  /** The number that its keeper left on a record. */
  markOf(record: RecordReference): number {
    return this.#records.markOf(record);
  }

  mark(record: RecordReference, mark: number): void {
    this.#records.mark(record, mark);
  }

  /** The linked record of a key, or NO_RECORD. */
  find(key: Uint8Array): RecordReference {
    const hash = this.#hash(key, 0, key.length);
    const shard = this.#table.shardOf(hash);
    const slot = this.#slotOf(shard, hash, key, 0, key.length);
    return slot === NO_SLOT ? NO_RECORD : shard.recordAt(slot);
  }

  /** Copies key and value into a record that is not linked: nothing finds it yet. */
  store(key: Uint8Array, value: Uint8Array): RecordReference {
    const record = this.#allocate(key.length, value.length);
    const place = this.#records.placeOf(record);
    const { bytes } = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place) + HEADER_BYTES;
    // TypedArray.set takes 20 ns for 16 bytes and 25 ns for 256; a loop in JavaScript takes 29 and 234.
    bytes.set(key, offset);
    bytes.set(value, offset + key.length);
    return record;
  }

  /** `store` for a key and a value that stand in the same bytes, without a view of the key. */
  storeFrom(
    source: Uint8Array,
    at: { keyOffset: number; keyBytes: number; dataOffset: number; number: number },
  ): RecordReference {
    const { keyOffset, keyBytes, dataOffset, number: valueBytes } = at;
    const record = this.#allocate(keyBytes, valueBytes);
    const place = this.#records.placeOf(record);
    const { bytes } = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place) + HEADER_BYTES;
    for (let byte = 0; byte < keyBytes; byte++) bytes[offset + byte] = source[keyOffset + byte]!;
    bytes.set(source.subarray(dataOffset, dataOffset + valueBytes), offset + keyBytes);
    return record;
  }

  #allocate(keyBytes: number, valueBytes: number): RecordReference {
    assert(keyBytes <= KEY_BYTES_MAX, `a key has at most ${KEY_BYTES_MAX} bytes, got ${keyBytes}`);
    assert(valueBytes <= VALUE_BYTES_MAX, `a value has at most ${VALUE_BYTES_MAX} bytes, got ${valueBytes}`);
    const isLarge = valueBytes > INLINE_VALUE_BYTES_MAX;
    const tailBytes = isLarge ? LARGE_VALUE_TAIL_BYTES : 0;
    const place = this.#store.allocate(HEADER_BYTES + keyBytes + valueBytes + tailBytes);
    const { words } = this.#store.slabOf(place);
    const word = this.#store.offsetOf(place) >>> 2;
    words[word] = keyBytes;
    words[word + 1] = valueBytes;
    const record = this.#records.add(place);
    words[word + 2] = record;
    if (isLarge) this.setValuePlace(record, 0, 0);
    return record;
  }

  /**
   * Makes a stored record the one of its key.
   * @returns The record it replaces, no longer linked and now the caller's, or NO_RECORD.
   */
  link(record: RecordReference): RecordReference {
    const place = this.#records.placeOf(record);
    const { bytes, words } = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    const keyBytes = words[offset >>> 2]!;
    const hash = this.#hash(bytes, offset + HEADER_BYTES, keyBytes);
    const shard = this.#table.shardOf(hash);
    const slot = this.#slotOf(shard, hash, bytes, offset + HEADER_BYTES, keyBytes);
    this.#changes++;
    this.#liveBytes += this.contentBytesOf(record);
    if (slot === NO_SLOT) {
      this.#table.insert(hash, record);
      this.#size++;
      return NO_RECORD;
    }
    const replaced = shard.recordAt(slot);
    shard.replaceAt(slot, record);
    this.#liveBytes -= this.contentBytesOf(replaced);
    return replaced;
  }

  /**
   * Makes stored records, of different keys, those of their keys, unless a key has one.
   * @param known Takes the records of such keys: they stay the caller's.
   */
  linkNew(records: readonly number[], known: number[]): void {
    const hashes = this.#hashes;
    // Slots are all over the memory: asked for together, they come together, in a third of the time.
    for (let at = 0; at < records.length; at++) hashes[at] = this.#hashOf(records[at]!);
    for (let at = 0; at < records.length; at++) {
      this.#isHomeFree[at] = this.#table.shardOf(hashes[at]!).isHomeFree(hashes[at]!);
    }
    for (let at = 0; at < records.length; at++) {
      const isNew = this.#isHomeFree[at]! || !this.#hasKeyOf(records[at]!, hashes[at]!);
      if (isNew) this.#linkNew(records[at]!, hashes[at]!);
      else known.push(records[at]!);
    }
  }

  #linkNew(record: RecordReference, hash: number): void {
    this.#changes++;
    this.#liveBytes += this.contentBytesOf(record);
    this.#table.insert(hash, record);
    this.#size++;
  }

  #hasKeyOf(record: RecordReference, hash: number): boolean {
    const place = this.#records.placeOf(record);
    const { bytes, words } = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    const keyOffset = offset + HEADER_BYTES;
    return this.#slotOf(this.#table.shardOf(hash), hash, bytes, keyOffset, words[offset >>> 2]!) !== NO_SLOT;
  }

  #hashOf(record: RecordReference): number {
    const place = this.#records.placeOf(record);
    const { bytes, words } = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    return this.#hash(bytes, offset + HEADER_BYTES, words[offset >>> 2]!);
  }

  /** Makes room for so many keys, in steps: growing to them would take longer. */
  *reserve(keys: number): Generator<void, void> {
    yield* this.#table.reserve(keys);
  }

  /** A hash of a key: who does not know the seed cannot tell which keys share it. It must not leave here. */
  fingerprintOf(bytes: Uint8Array, offset: number, length: number): number {
    return this.#hash(bytes, offset, length);
  }

  /**
   * Takes a key out of the table.
   * @returns Its record, no longer linked and now the caller's, or NO_RECORD when there is no such key.
   */
  unlink(key: Uint8Array): RecordReference {
    const hash = this.#hash(key, 0, key.length);
    const shard = this.#table.shardOf(hash);
    const slot = this.#slotOf(shard, hash, key, 0, key.length);
    if (slot === NO_SLOT) return NO_RECORD;
    const record = shard.recordAt(slot);
    this.#changes++;
    this.#table.removeAt(shard, slot);
    this.#size--;
    this.#liveBytes -= this.contentBytesOf(record);
    return record;
  }

  /** Gives the memory of a record that is not linked back. */
  free(record: RecordReference): void {
    this.#store.free(this.#records.placeOf(record));
    this.#records.remove(record);
  }

  /**
   * Gives back what the value of a record takes that is not linked, if that is most of it: its key and its
   * number stay. Nobody may read the value any more, but for views: they hold until `freeDropped`.
   */
  dropValue(record: RecordReference): void {
    const place = this.#records.placeOf(record);
    const slab = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    const keyBytes = slab.words[offset >>> 2]!;
    // Half the size at least, so that the smaller slot is of another class than the one that becomes free.
    if ((slab.words[(offset >>> 2) + 1]! & LENGTH_MASK) <= HEADER_BYTES + keyBytes + DROPPED_BYTES_MIN)
      return;
    const kept = this.#store.allocate(HEADER_BYTES + keyBytes);
    const target = this.#store.slabOf(kept);
    const word = this.#store.offsetOf(kept) >>> 2;
    target.words[word] = keyBytes;
    target.words[word + 1] = 0;
    target.words[word + 2] = record;
    this.copyKey(record, target.bytes, word * 4 + HEADER_BYTES);
    this.#records.move(record, kept);
    this.#dropped.push(place);
  }

  /** Ends what `dropValue` began; views of those values hold until the next `store`. */
  freeDropped(): void {
    for (let at = 0; at < this.#dropped.length; at++) this.#store.free(this.#dropped[at]!);
    this.#dropped.length = 0;
  }

  /** Reclaims memory in proportion to `writes`. It moves records. */
  compact(writes: number): void {
    this.#store.compact(writes * RECLAIM_SLOTS, this.#relocate);
  }

  #valuePlaceView(record: RecordReference): DataView {
    const hash = this.valueHashOf(record);
    return new DataView(hash.buffer, hash.byteOffset + DIGEST_BYTES, 8);
  }

  readonly #relocate = (_source: number, target: number): void => {
    const { words } = this.#store.slabOf(target);
    this.#records.move(words[(this.#store.offsetOf(target) >>> 2) + 2]!, target);
    this.#changes++;
  };

  #slotOf(shard: HashShard, hash: number, bytes: Uint8Array, offset: number, length: number): number {
    let slot = shard.seek(hash, hash);
    while (slot !== NO_SLOT && !this.#hasKey(shard.recordAt(slot), bytes, offset, length)) {
      slot = shard.seek(hash, slot + 1);
    }
    return slot;
  }

  /** Whether the key of a record is the `length` bytes of `bytes` from `offset` on. */
  #hasKey(record: RecordReference, bytes: Uint8Array, offset: number, length: number): boolean {
    const place = this.#records.placeOf(record);
    const slab = this.#store.slabOf(place);
    const recordOffset = this.#store.offsetOf(place);
    if (slab.words[recordOffset >>> 2] !== length) return false;
    const keyOffset = recordOffset + HEADER_BYTES;
    for (let at = 0; at < length; at++) {
      if (slab.bytes[keyOffset + at] !== bytes[offset + at]) return false;
    }
    return true;
  }

  /** Bytes of key and value. */
  contentBytesOf(record: RecordReference): number {
    const place = this.#records.placeOf(record);
    const { words } = this.#store.slabOf(place);
    const offset = this.#store.offsetOf(place);
    return words[offset >>> 2]! + (words[(offset >>> 2) + 1]! & LENGTH_MASK);
  }
}
