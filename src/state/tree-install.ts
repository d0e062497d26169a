/**
 * Makes a tree in files one in memory: all nodes but what is in the leaves, which become cold
 * (cold-leaves.ts). A million keys have 18,000 nodes above 125,000 leaves.
 *
 * Each node is verified by its hash, then against what its parent says of it: level, first key, count
 * (docs/format.md §6.2). Nothing is believed before, and nothing is allocated on the word of a length.
 *
 * Parts of a cut run are recognised by their first keys: a node whose first key closes no run of its level
 * goes on with the run of the node before it, so both are parts.
 *
 * Levels of keys follow from the shape, mostly, and are not weighed: in a node of level n that holds whole
 * runs, the first key of every child but the first has level n, unless a run below was cut. And none was as
 * long as all children together would fit one node.
 */

import { copyOf } from '../base/bytes.ts';
import { DIGEST_BYTES, isSha256 } from '../base/digest.ts';
import { NodeCursor } from '../base/merkle/cursor.ts';
import { EMPTY_ROOT, equalBytes } from '../base/merkle/node.ts';
import { NODE_BYTES_MAX, NODE_HEADER_BYTES } from '../base/merkle/shape.ts';
import { keyLevelOf, type TreeParts } from './run-builder.ts';
import { isPlace, type Place, type StoredFiles, type StoredTree } from './stored.ts';
import { NO_NODE } from './tree-nodes.ts';

/** Nodes of level 1 between two steps: about half a millisecond. */
const NODES_PER_STEP = 48;

/** Counts of keys are 32-bit words. */
const KEYS_MAX = 2 ** 31 - 1;

/** An entry of a leaf has at least the lengths of its key and its value. */
const LEAF_ENTRY_BYTES_MIN = 2;

/** Made by version 0: before anything that is written later. */
const BORN = 0;

export interface InstalledTree {
  readonly top: number;
  /** All leaves in the order of keys. */
  readonly leaves: Int32Array;
}

/** What is known of a node before it is read. */
interface Wanted {
  readonly level: number;
  readonly hash: Uint8Array;
  readonly place: Place;
  readonly count: number;
  /** Whether its run was not cut: then every run below it begins and ends in it. */
  readonly isWhole: boolean;
  /** Whether nothing is before it: the first key of a tree begins nodes of every level, whatever its own. */
  readonly isFirst: boolean;
  /** Null of the root, which no parent knows. */
  readonly firstKey: { readonly bytes: Uint8Array; readonly level: number } | null;
}

/** A node above leaves, read and verified. */
interface ReadInner {
  readonly bytes: Uint8Array;
  readonly places: readonly Place[];
  readonly wanted: Wanted;
}

export class TreeInstaller {
  readonly #parts: TreeParts;
  readonly #files: StoredFiles;
  #leaves = new Int32Array(1024);
  #leafCount = 0;
  /** The last node of each level so far. */
  readonly #last: number[] = [];
  /** Nodes of level 1 so far. */
  #read = 0;
  readonly #lowest = new NodeCursor();

  constructor(parts: TreeParts, files: StoredFiles) {
    this.#parts = parts;
    this.#files = files;
  }

  /** @throws TidemarkError from the files, for anything that is not what it should be. */
  *install({ root, place, level, keys }: StoredTree): Generator<void, InstalledTree> {
    if (place === null) {
      const isEmpty = equalBytes(root, EMPTY_ROOT) && level === 0 && keys === 0;
      if (!isEmpty) throw this.#files.damaged({ file: 0, offset: 0, bytes: 0 }, 'root');
      return { top: NO_NODE, leaves: new Int32Array(0) };
    }
    const wanted: Wanted = {
      level,
      hash: root,
      place,
      count: keys,
      isWhole: true,
      isFirst: true,
      firstKey: null,
    };
    let top: number;
    if (level === 0) top = this.#addRootLeaf(wanted);
    else if (level === 1) top = this.#addLowest(wanted);
    else top = yield* this.#addInner(wanted);
    return { top, leaves: this.#leaves.slice(0, this.#leafCount) };
  }

  /** A node of level 2 or more, behind everything below it. */
  *#addInner(wanted: Wanted): Generator<void, number> {
    const { level } = wanted;
    const read = this.#readVerified('inner', wanted);
    // Reading the nodes below ends the views.
    const bytes = copyOf(read.bytes);
    const places = [...read.places];
    const cursor = new NodeCursor();
    const init = this.#beginInner(cursor, bytes, places, wanted);
    const levels = this.#levelsOf(cursor, { bytes, places, wanted, firstLevel: init.firstLevel });
    cursor.open(bytes);
    for (let at = 0; cursor.next(); at++) {
      const keyLevel = levels[at]!;
      // It goes on with the run of the one before, or is gone on with by the one behind.
      const isFirst = at === 0 && wanted.isFirst;
      const isAlone = (keyLevel >= level || isFirst) && (levels[at + 1] ?? level) >= level;
      const known = { place: places[at]!, isWhole: isAlone && wanted.isWhole, isFirst };
      const child = childAt(cursor, keyLevel, known);
      const node = level === 2 ? this.#addLowest(child) : yield* this.#addInner(child);
      this.#setChild(init.node, at, node, cursor, keyLevel);
      if (level === 2 && ++this.#read % NODES_PER_STEP === 0) yield;
    }
    this.#endInner(init, wanted, bytes.length);
    return init.node;
  }

  /** A node of level 1, with its leaves: these are not read. */
  #addLowest(wanted: Wanted): number {
    const { bytes, places } = this.#readVerified('inner', wanted);
    const cursor = this.#lowest;
    const init = this.#beginInner(cursor, bytes, places, wanted);
    const mustWeigh = this.#mustWeigh(places, wanted);
    cursor.open(bytes);
    for (let at = 0; cursor.next(); at++) {
      let keyLevel = wanted.level;
      if (at === 0) keyLevel = init.firstLevel;
      else if (mustWeigh) keyLevel = this.#levelOfKey(cursor);
      const leaf = this.#addLeaf(cursor, keyLevel, places[at]!);
      this.#setChild(init.node, at, leaf, cursor, keyLevel);
    }
    this.#endInner(init, wanted, bytes.length);
    return init.node;
  }

  /** Levels of the first keys of the children. */
  #levelsOf(
    cursor: NodeCursor,
    { bytes, places, wanted, firstLevel }: ReadInner & { readonly firstLevel: number },
  ): readonly number[] {
    const mustWeigh = this.#mustWeigh(places, wanted);
    const levels: number[] = [];
    cursor.open(bytes);
    while (cursor.next()) {
      if (levels.length === 0) levels.push(firstLevel);
      else levels.push(mustWeigh ? this.#levelOfKey(cursor) : wanted.level);
    }
    return levels;
  }

  /** Whether a run below may have been cut. */
  #mustWeigh(places: readonly Place[], { isWhole }: Wanted): boolean {
    let bytes = 0;
    for (const place of places) bytes += place.bytes;
    return !isWhole || bytes > this.#parts.shape.nodeBytesMax;
  }

  /** Verifies the content of a node, and makes one that has no children yet. */
  #beginInner(
    cursor: NodeCursor,
    bytes: Uint8Array,
    places: readonly Place[],
    wanted: Wanted,
  ): { readonly node: number; readonly firstLevel: number } {
    const { level, place } = wanted;
    const { count, keyBytes } = this.#verifyInner(cursor, bytes, wanted);
    if (places.length !== count) throw this.#files.damaged(place, 'places');
    const firstLevel = this.#firstLevel(cursor, bytes, wanted);
    const init = { level, firstLevel, isCut: false, born: BORN };
    return { node: this.#parts.nodes.addInner(init, count, keyBytes), firstLevel };
  }

  #setChild(parent: number, at: number, node: number, cursor: NodeCursor, keyLevel: number): void {
    const { bytes: keySource, keyOffset, keyBytes, number: count } = cursor;
    this.#parts.nodes.setChild(parent, at, { node, count, keySource, keyOffset, keyBytes, keyLevel });
  }

  #endInner(
    { node, firstLevel }: { readonly node: number; readonly firstLevel: number },
    { level, hash, place }: Wanted,
    bytes: number,
  ): void {
    const { nodes } = this.#parts;
    nodes.hashOf(node).set(hash);
    nodes.setHashed(node, bytes);
    nodes.setPlace(node, place.file, place.offset);
    this.#join(level, node, firstLevel);
  }

  #readVerified(kind: 'leaf' | 'inner', { hash, place }: Wanted): ReturnType<StoredFiles['read']> {
    if (!isPlace(place)) throw this.#files.damaged(place, 'place');
    if (place.bytes <= NODE_HEADER_BYTES || place.bytes > NODE_BYTES_MAX)
      throw this.#files.damaged(place, 'size');
    const read = this.#files.read(kind, place);
    if (read.bytes.length !== place.bytes || !isSha256(read.bytes, hash))
      throw this.#files.damaged(place, 'hash');
    return read;
  }

  /** @returns The number of its children, and the bytes of their keys. */
  #verifyInner(
    cursor: NodeCursor,
    bytes: Uint8Array,
    wanted: Wanted,
  ): { readonly count: number; readonly keyBytes: number } {
    const { place } = wanted;
    let count = 0;
    let keyBytes = 0;
    let keys = 0;
    cursor.open(bytes);
    if (cursor.level !== wanted.level) throw this.#files.damaged(place, 'level');
    for (; cursor.next(); count++) {
      if (count === 0 && !isFirstKey(cursor, wanted)) throw this.#files.damaged(place, 'first key');
      keyBytes += cursor.keyBytes;
      keys += cursor.number;
    }
    if (cursor.failure !== null) throw this.#files.damaged(place, cursor.failure);
    if (keys !== wanted.count || keys > KEYS_MAX) throw this.#files.damaged(place, 'count');
    return { count, keyBytes };
  }

  #addLeaf(cursor: NodeCursor, firstLevel: number, place: Place): number {
    const { nodes, index } = this.#parts;
    const { bytes, keyOffset, keyBytes, number: count, dataOffset } = cursor;
    if (!isPlace(place)) throw this.#files.damaged(place, 'place');
    const isPossible = place.bytes <= NODE_BYTES_MAX && count * LEAF_ENTRY_BYTES_MIN < place.bytes;
    if (!isPossible) throw this.#files.damaged(place, 'size');
    const fingerprint = index.fingerprintOf(bytes, keyOffset, keyBytes);
    const known = { count, fingerprint, place, hashSource: bytes, hashOffset: dataOffset };
    const node = nodes.addColdLeaf({ level: 0, firstLevel, isCut: false, born: BORN }, known);
    if (this.#leafCount === this.#leaves.length) {
      const grown = new Int32Array(2 * this.#leafCount);
      grown.set(this.#leaves);
      this.#leaves = grown;
    }
    this.#leaves[this.#leafCount++] = node;
    this.#join(0, node, firstLevel);
    return node;
  }

  /** A root that is a leaf has no parent to tell its first key: it is read. */
  #addRootLeaf(wanted: Wanted): number {
    const { nodes, index } = this.#parts;
    const { bytes } = this.#readVerified('leaf', wanted);
    const { place, count, hash } = wanted;
    const cursor = new NodeCursor();
    cursor.open(bytes);
    if (cursor.level !== 0) throw this.#files.damaged(place, 'level');
    if (!cursor.next()) throw this.#files.damaged(place, cursor.failure ?? 'empty');
    if (count * LEAF_ENTRY_BYTES_MIN >= bytes.length) throw this.#files.damaged(place, 'count');
    const firstLevel = this.#levelOfKey(cursor);
    const fingerprint = index.fingerprintOf(bytes, cursor.keyOffset, cursor.keyBytes);
    const known = { count, fingerprint, place, hashSource: hash, hashOffset: 0 };
    const node = nodes.addColdLeaf({ level: 0, firstLevel, isCut: false, born: BORN }, known);
    this.#leaves[this.#leafCount++] = node;
    return node;
  }

  #firstLevel(cursor: NodeCursor, bytes: Uint8Array, { firstKey }: Wanted): number {
    if (firstKey !== null) return firstKey.level;
    cursor.open(bytes);
    cursor.next();
    return this.#levelOfKey(cursor);
  }

  #levelOfKey({ bytes, keyOffset, keyBytes }: NodeCursor): number {
    return keyLevelOf(this.#parts, bytes.subarray(keyOffset, keyOffset + keyBytes));
  }

  /** A node follows the last one of its level. */
  #join(level: number, node: number, firstLevel: number): void {
    const { nodes } = this.#parts;
    const before = this.#last[level];
    this.#last[level] = node;
    if (before === undefined || firstLevel > level) return;
    nodes.setCut(before);
    nodes.setCut(node);
  }
}

/** The child of the entry at which a cursor stands. */
function childAt(
  cursor: NodeCursor,
  keyLevel: number,
  known: Pick<Wanted, 'place' | 'isWhole' | 'isFirst'>,
): Wanted {
  const { bytes, keyOffset, keyBytes, dataOffset } = cursor;
  return {
    level: cursor.level - 1,
    hash: bytes.subarray(dataOffset, dataOffset + DIGEST_BYTES),
    ...known,
    count: cursor.number,
    firstKey: { bytes: bytes.subarray(keyOffset, keyOffset + keyBytes), level: keyLevel },
  };
}

function isFirstKey({ bytes, keyOffset, keyBytes }: NodeCursor, { firstKey }: Wanted): boolean {
  return firstKey === null || equalBytes(bytes.subarray(keyOffset, keyOffset + keyBytes), firstKey.bytes);
}
