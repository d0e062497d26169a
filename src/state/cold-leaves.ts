/**
 * Leaves that are in a file and not in memory yet: what makes a state usable before it is read.
 *
 * `warm` reads a leaf, verifies it, stores its records, and links those whose key the index does not have. A
 * key that is there already was written *blindly*, without looking at what it had: then the record of the
 * leaf is *shadowed*, known to the leaf alone, until the fold of that write takes it out.
 *
 * Invariants:
 *  - A cold leaf is in the newest folded tree: who takes one out of it, or changes it, warms it first. So it
 *    leaves with all its records, and no leaf becomes cold but by an installation.
 *  - A key that is neither in the index nor in a cold leaf is absent. A key of a cold leaf that is in the
 *    index was written blindly, and that write is still to be folded. None was deleted: a delete warms.
 *  - A leaf is warmed whole or not at all: what fails on the way leaves nothing behind.
 */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import { DIGEST_BYTES, isSha256 } from '../base/digest.ts';
import { NodeCursor } from '../base/merkle/cursor.ts';
import { INLINE_VALUE_BYTES_MAX } from '../base/merkle/node.ts';
import type { LiveIndex } from './live-index.ts';
import { isPlace, type Place, type StoredFiles } from './stored.ts';
import type { TreeNodes } from './tree-nodes.ts';

/** A cold leaf, for whoever loads the state in the background. */
export interface ColdLeaf {
  /** Its number: holds until the state is cleared, even when the leaf is gone. */
  readonly node: number;
  readonly place: Place;
}

export class ColdLeaves {
  readonly #nodes: TreeNodes;
  readonly #index: LiveIndex;
  readonly #cursor = new NodeCursor();
  #files: StoredFiles | null = null;
  /** All that were installed, in the order of keys. */
  #installed: Int32Array = new Int32Array(0);
  #count = 0;
  #keys = 0;
  #failure: unknown = null;
  /** Records of the leaf being read, not linked yet. */
  readonly #stored: number[] = [];
  /** Records stored for keys that had another one, since whoever minds emptied the list. */
  readonly shadowed: number[] = [];

  constructor(nodes: TreeNodes, index: LiveIndex) {
    this.#nodes = nodes;
    this.#index = index;
  }

  /** How many are still cold. */
  get count(): number {
    return this.#count;
  }

  /** What kept the first leaf that could not be read from being read; null when all could. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Keys in them. */
  get keys(): number {
    return this.#keys;
  }

  /** @param leaves All leaves of the tree, cold, in the order of keys. */
  install(files: StoredFiles, leaves: Int32Array, keys: number): void {
    assert(this.#count === 0, 'a tree is installed into an empty state');
    this.#files = files;
    this.#installed = leaves;
    this.#count = leaves.length;
    this.#keys = keys;
  }

  /** In the order of keys. Leaves may be warmed, and the tree may change, between two steps. */
  *leaves(): Generator<ColdLeaf, void> {
    // A number is given to another node only after its leaf was warmed, and no other becomes cold.
    for (const node of this.#installed) {
      if (this.#nodes.isCold(node)) yield { node, place: this.#nodes.placeOf(node) };
    }
  }

  /**
   * Reads a leaf if it is cold.
   * @throws TidemarkError from the files. Nothing changed then.
   */
  warm(node: number): void {
    const nodes = this.#nodes;
    if (!nodes.isCold(node)) return;
    const stored = this.#stored;
    this.#storeAll(node);
    for (let at = 0; at < stored.length; at++) nodes.setItem(node, at, stored[at]!);
    this.#index.linkNew(stored, this.shadowed);
    nodes.setWarm(node);
    this.#keys -= stored.length;
    stored.length = 0;
    this.#count--;
    if (this.#count === 0) this.#installed = new Int32Array(0);
  }

  /** Stores the records of a leaf, or throws and stores none. */
  #storeAll(node: number): void {
    let isWhole = false;
    try {
      this.#readLeaf(node);
      isWhole = true;
    } catch (error) {
      this.#failure ??= error;
      throw error;
    } finally {
      if (!isWhole) {
        for (const record of this.#stored) this.#index.free(record);
        this.#stored.length = 0;
      }
    }
  }

  #readLeaf(node: number): void {
    const nodes = this.#nodes;
    const files = this.#openFiles();
    const place = nodes.placeOf(node);
    const read = files.read('leaf', place);
    if (read.bytes.length !== place.bytes || !isSha256(read.bytes, nodes.hashOf(node)))
      throw files.damaged(place, 'hash');
    // Reading a value ends the view of the leaf.
    const hasLarge = read.places.length > 0;
    const bytes = hasLarge ? copyOf(read.bytes) : read.bytes;
    const places = hasLarge ? [...read.places] : read.places;
    const cursor = this.#cursor;
    cursor.open(bytes);
    if (cursor.level !== 0) throw files.damaged(place, 'level');
    const fingerprint = nodes.itemOf(node, 0);
    let largeCount = 0;
    for (let isFirst = true; cursor.next(); isFirst = false) {
      const { keyOffset, keyBytes, dataOffset, number: valueBytes } = cursor;
      if (isFirst && this.#index.fingerprintOf(bytes, keyOffset, keyBytes) !== fingerprint)
        throw files.damaged(place, 'first key');
      if (valueBytes <= INLINE_VALUE_BYTES_MAX) {
        this.#stored.push(this.#index.storeFrom(bytes, cursor));
        continue;
      }
      const key = bytes.subarray(keyOffset, keyOffset + keyBytes);
      const valuePlace = places[largeCount++];
      if (valuePlace === undefined) throw files.damaged(place, 'places');
      const hash = bytes.subarray(dataOffset, dataOffset + DIGEST_BYTES);
      this.#stored.push(this.#readLargeValue(key, { hash, bytes: valueBytes, place: valuePlace }));
    }
    if (cursor.failure !== null) throw files.damaged(place, cursor.failure);
    if (this.#stored.length !== nodes.countOf(node)) throw files.damaged(place, 'count');
    if (largeCount !== places.length) throw files.damaged(place, 'places');
  }

  #readLargeValue(key: Uint8Array, { hash, bytes, place }: LargeValue): number {
    const files = this.#openFiles();
    if (!isPlace(place) || place.bytes !== bytes) throw files.damaged(place, 'place');
    const read = files.read('value', place);
    if (read.bytes.length !== bytes || !isSha256(read.bytes, hash)) throw files.damaged(place, 'hash');
    const record = this.#index.store(key, read.bytes);
    this.#index.valueHashOf(record).set(hash);
    this.#index.setValueHashed(record);
    this.#index.setValuePlace(record, place.file, place.offset);
    return record;
  }

  #openFiles(): StoredFiles {
    assert(this.#files !== null, 'a cold leaf is in a file');
    return this.#files;
  }
}

/** What a leaf says of a value that stands elsewhere. */
interface LargeValue {
  readonly hash: Uint8Array;
  readonly bytes: number;
  readonly place: Place;
}
