/**
 * Tree nodes in memory, outside the JavaScript heap like records: a million keys have 140,000 nodes, and a
 * collector that has to trace them stalls the loop.
 *
 * A node is a block of 32-bit words in a slab. Leaves hold the numbers of records, not keys or values; nodes
 * above hold a copy of the first key below each child, so that a search touches one block a level.
 *
 *     word     0      1     2     3      4     5     6      7     15
 *              +------+-----+-----+------+-----+-----+------+-----+----------------------------------------
 *              | count| info| born| bytes| keys| file| place| hash| items
 *              +------+-----+-----+------+-----+-----+------+-----+----------------------------------------
 *     leaf                                                          records
 *     inner                                                         children, ends of keys, keys below,
 *                                                                   bytes of keys
 *
 * - `info`: level, level of the first key, flags. `born`: the version that made it (state-tree.ts).
 * - `bytes`: encoded bytes of the entries. Exact once the node is hashed; before, of a leaf, a bound from
 *   above.
 * - `file`, `place`: where it is stored (stored.ts), in units of PLACE_ALIGN_BYTES; file 0: nowhere that is
 *   known. They hold as long as the hash does: both are dropped before the content changes.
 * - `ends of keys`: where each key ends in the bytes of keys; with the level of the key in the highest byte.
 * - `keys`: keys below. The hash counts only with the flag.
 *
 * A *cold* leaf has all of this but its records, which are only in its file; in place of the first one it has
 * a fingerprint of the first key (cold-leaves.ts). Whoever reads items warms it first.
 *
 * Nodes never move: only the tree knows where they are. Their slabs are not compacted.
 */

import { assert } from '../base/assert.ts';
import { DIGEST_BYTES } from '../base/digest.ts';
import { NODE_HEADER_BYTES } from '../base/merkle/shape.ts';
import type { Slab } from './slab.ts';
import { SlabStore } from './slab-store.ts';
import { PLACE_ALIGN_BYTES, type Place } from './stored.ts';

/** In place of a node: the empty tree, or none. */
export const NO_NODE = 0;

/** In place of the number of a file: not stored. */
export const NO_FILE = 0;

const COUNT = 0;
const INFO = 1;
const BORN = 2;
const BYTES = 3;
const KEYS = 4;
const FILE = 5;
const PLACE = 6;
const HASH = 7;
export const ITEMS: number = HASH + DIGEST_BYTES / 4;

const LEVEL_MASK = 0xff;
const FIRST_LEVEL_SHIFT = 8;
const IS_HASHED = 1 << 16;
/** A part of a run that was cut: whatever changes in the run, it is cut anew. */
const IS_CUT = 1 << 17;
/** A leaf whose records are not in memory yet. */
const IS_COLD = 1 << 18;

/** Of the word that holds where a key ends; the highest byte is the level of the key. */
const END_MASK = 0xff_ffff;
const KEY_LEVEL_SHIFT = 24;

export interface NewNode {
  readonly level: number;
  /** Level of its first key. */
  readonly firstLevel: number;
  readonly isCut: boolean;
  readonly born: number;
}

/** A block, opened: what hot loops read directly. `at` is the index of its first word. */
export interface OpenNode {
  slab: Slab;
  words: Int32Array;
  at: number;
}

export class TreeNodes {
  readonly #store = new SlabStore();

  get allocatedBytes(): number {
    return this.#store.allocatedBytes;
  }

  slabOf(node: number): Slab {
    return this.#store.slabOf(node);
  }

  /** Index of its first word in the slab. */
  wordOf(node: number): number {
    return this.#store.offsetOf(node) >>> 2;
  }

  addLeaf(init: NewNode, records: Int32Array, from: number, to: number, bytes: number): number {
    const node = this.#allocate(init, to - from, (ITEMS + to - from) * 4);
    const { words } = this.slabOf(node);
    const at = this.wordOf(node);
    words[at + BYTES] = bytes;
    words[at + KEYS] = to - from;
    for (let item = from; item < to; item++) words[at + ITEMS + item - from] = records[item]!;
    return node;
  }

  /** A leaf that is in a file. */
  addColdLeaf(init: NewNode, { count, fingerprint, place, hashSource, hashOffset }: ColdInit): number {
    const node = this.#allocate(init, count, (ITEMS + count) * 4);
    const { words, bytes } = this.slabOf(node);
    const at = this.wordOf(node);
    words[at + INFO]! |= IS_COLD;
    words[at + KEYS] = count;
    words[at + ITEMS] = fingerprint;
    const hash = (at + HASH) * 4;
    for (let byte = 0; byte < DIGEST_BYTES; byte++) bytes[hash + byte] = hashSource[hashOffset + byte]!;
    this.setHashed(node, place.bytes);
    this.setPlace(node, place.file, place.offset);
    return node;
  }

  /** A node above leaves; the caller fills in its children with `setChild`, in order. */
  addInner(init: NewNode, count: number, keyBytes: number): number {
    const node = this.#allocate(init, count, (ITEMS + 3 * count) * 4 + keyBytes);
    this.slabOf(node).words[this.wordOf(node) + KEYS] = 0;
    return node;
  }

  setChild(node: number, at: number, child: ChildInit): void {
    const slab = this.slabOf(node);
    const { words } = slab;
    const word = this.wordOf(node);
    const count = words[word]!;
    const keyFrom = at === 0 ? 0 : words[word + ITEMS + count + at - 1]! & END_MASK;
    words[word + ITEMS + at] = child.node;
    words[word + ITEMS + count + at] = (keyFrom + child.keyBytes) | (child.keyLevel << KEY_LEVEL_SHIFT);
    words[word + ITEMS + 2 * count + at] = child.count;
    words[word + KEYS]! += child.count;
    const target = (word + ITEMS + 3 * count) * 4 + keyFrom;
    const source = child.keySource;
    for (let byte = 0; byte < child.keyBytes; byte++)
      slab.bytes[target + byte] = source[child.keyOffset + byte]!;
  }

  /** A copy to change: of another version, and without a hash. */
  clone(node: number, born: number): number {
    const source = this.slabOf(node);
    const from = this.wordOf(node);
    const length = this.#wordsOf(source, from);
    const copy = this.#store.allocate(length * 4);
    const target = this.slabOf(copy);
    const to = this.wordOf(copy);
    for (let word = 0; word < length; word++) target.words[to + word] = source.words[from + word]!;
    target.words[to + BORN] = born;
    this.dropHash(copy);
    return copy;
  }

  free(node: number): void {
    this.#store.free(node);
  }

  countOf(node: number): number {
    return this.slabOf(node).words[this.wordOf(node) + COUNT]!;
  }

  levelOf(node: number): number {
    return this.slabOf(node).words[this.wordOf(node) + INFO]! & LEVEL_MASK;
  }

  firstLevelOf(node: number): number {
    return (this.slabOf(node).words[this.wordOf(node) + INFO]! >>> FIRST_LEVEL_SHIFT) & LEVEL_MASK;
  }

  isCut(node: number): boolean {
    return (this.slabOf(node).words[this.wordOf(node) + INFO]! & IS_CUT) !== 0;
  }

  bornOf(node: number): number {
    return this.slabOf(node).words[this.wordOf(node) + BORN]!;
  }

  /** Keys in and below it. */
  keysOf(node: number): number {
    return this.slabOf(node).words[this.wordOf(node) + KEYS]!;
  }

  bytesOf(node: number): number {
    return this.slabOf(node).words[this.wordOf(node) + BYTES]!;
  }

  setBytes(node: number, bytes: number): void {
    this.slabOf(node).words[this.wordOf(node) + BYTES] = bytes;
  }

  itemOf(node: number, at: number): number {
    return this.slabOf(node).words[this.wordOf(node) + ITEMS + at]!;
  }

  setItem(node: number, at: number, item: number): void {
    this.slabOf(node).words[this.wordOf(node) + ITEMS + at] = item;
  }

  /** Keys below a child. */
  childKeysOf(node: number, at: number): number {
    const word = this.wordOf(node);
    const { words } = this.slabOf(node);
    return words[word + ITEMS + 2 * words[word]! + at]!;
  }

  /** Level of the first key below a child. */
  childLevelOf(node: number, at: number): number {
    const word = this.wordOf(node);
    const { words } = this.slabOf(node);
    return words[word + ITEMS + words[word]! + at]! >>> KEY_LEVEL_SHIFT;
  }

  /** Where the first key below a child begins, in the bytes of the slab. */
  childKeyOffset(node: number, at: number): number {
    const word = this.wordOf(node);
    const { words } = this.slabOf(node);
    const count = words[word]!;
    return (word + ITEMS + 3 * count) * 4 + (at === 0 ? 0 : words[word + ITEMS + count + at - 1]! & END_MASK);
  }

  childKeyBytes(node: number, at: number): number {
    const word = this.wordOf(node);
    const { words } = this.slabOf(node);
    const count = words[word]!;
    const from = at === 0 ? 0 : words[word + ITEMS + count + at - 1]! & END_MASK;
    return (words[word + ITEMS + count + at]! & END_MASK) - from;
  }

  /** The first key below a child, as a view. */
  childKey(node: number, at: number): Uint8Array {
    const offset = this.childKeyOffset(node, at);
    return this.slabOf(node).bytes.subarray(offset, offset + this.childKeyBytes(node, at));
  }

  /** The order of the first key below a child and of the `length` bytes of `bytes` from `offset` on. */
  compareChildKey(node: number, at: number, bytes: Uint8Array, offset: number, length: number): number {
    const word = this.wordOf(node);
    const slab = this.slabOf(node);
    const { words } = slab;
    const count = words[word]!;
    const from = at === 0 ? 0 : words[word + ITEMS + count + at - 1]! & END_MASK;
    const keyBytes = (words[word + ITEMS + count + at]! & END_MASK) - from;
    const keyOffset = (word + ITEMS + 3 * count) * 4 + from;
    const shared = keyBytes < length ? keyBytes : length;
    for (let byte = 0; byte < shared; byte++) {
      const order = slab.bytes[keyOffset + byte]! - bytes[offset + byte]!;
      if (order !== 0) return order;
    }
    return keyBytes - length;
  }

  isHashed(node: number): boolean {
    return (this.slabOf(node).words[this.wordOf(node) + INFO]! & IS_HASHED) !== 0;
  }

  /** The place of its hash. */
  hashOf(node: number): Uint8Array {
    const offset = (this.wordOf(node) + HASH) * 4;
    return this.slabOf(node).bytes.subarray(offset, offset + DIGEST_BYTES);
  }

  /** @param bytes Of the whole node, encoded. */
  setHashed(node: number, bytes: number): void {
    const { words } = this.slabOf(node);
    const at = this.wordOf(node);
    words[at + INFO]! |= IS_HASHED;
    words[at + BYTES] = bytes - NODE_HEADER_BYTES;
  }

  /** Its content is about to change. */
  dropHash(node: number): void {
    const { words } = this.slabOf(node);
    const at = this.wordOf(node);
    words[at + INFO]! &= ~IS_HASHED;
    words[at + FILE] = NO_FILE;
  }

  /** Encoded bytes of a node that is hashed. */
  encodedBytesOf(node: number): number {
    return this.bytesOf(node) + NODE_HEADER_BYTES;
  }

  /** Where it is stored, or NO_FILE. */
  fileOf(node: number): number {
    return this.slabOf(node).words[this.wordOf(node) + FILE]!;
  }

  placeOf(node: number): Place {
    const { words } = this.slabOf(node);
    const at = this.wordOf(node);
    const file = words[at + FILE]!;
    assert(file !== NO_FILE, 'a node that is stored has a place');
    const bytes = words[at + BYTES]! + NODE_HEADER_BYTES;
    return { file, offset: words[at + PLACE]! * PLACE_ALIGN_BYTES, bytes };
  }

  setPlace(node: number, file: number, offset: number): void {
    assert(this.isHashed(node), 'only a node whose content is settled is stored');
    const { words } = this.slabOf(node);
    const at = this.wordOf(node);
    words[at + FILE] = file;
    words[at + PLACE] = offset / PLACE_ALIGN_BYTES;
  }

  isCold(node: number): boolean {
    return (this.slabOf(node).words[this.wordOf(node) + INFO]! & IS_COLD) !== 0;
  }

  /** Its records are all in. */
  setWarm(node: number): void {
    this.slabOf(node).words[this.wordOf(node) + INFO]! &= ~IS_COLD;
  }

  /** It turns out to be a part of a cut run. */
  setCut(node: number): void {
    this.slabOf(node).words[this.wordOf(node) + INFO]! |= IS_CUT;
  }

  #allocate({ level, firstLevel, isCut, born }: NewNode, count: number, bytes: number): number {
    const node = this.#store.allocate(bytes);
    const { words } = this.slabOf(node);
    const at = this.wordOf(node);
    words[at + COUNT] = count;
    words[at + INFO] = level | (firstLevel << FIRST_LEVEL_SHIFT) | (isCut ? IS_CUT : 0);
    words[at + BORN] = born;
    words[at + BYTES] = 0;
    words[at + FILE] = NO_FILE;
    return node;
  }

  #wordsOf({ words }: Slab, at: number): number {
    const count = words[at + COUNT]!;
    if ((words[at + INFO]! & LEVEL_MASK) === 0) return ITEMS + count;
    const keyBytes = words[at + ITEMS + 2 * count - 1]! & END_MASK;
    return ITEMS + 3 * count + ((keyBytes + 3) >>> 2);
  }
}

/** What a parent knows of a leaf. */
export interface ColdInit {
  readonly count: number;
  /** Of its first key. */
  readonly fingerprint: number;
  readonly place: Place;
  readonly hashSource: Uint8Array;
  readonly hashOffset: number;
}

export interface ChildInit {
  readonly node: number;
  /** Keys below it. */
  readonly count: number;
  /** Its first key: a place in other memory, and its level. */
  readonly keySource: Uint8Array;
  readonly keyOffset: number;
  readonly keyBytes: number;
  readonly keyLevel: number;
}
