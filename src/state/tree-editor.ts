/**
 * Edits the tree in memory: sorted changes in, the root of the changed tree out.
 *
 * Updates first: a new value of a known key changes no boundary, so its leaf gets another record and the
 * nodes above lose their hash; no key is hashed. Then what moves boundaries: inserts, deletes, and changes in
 * runs that are cut. For these the nodes on the way are taken apart and put together again (run-builder.ts);
 * what nothing touched is taken over whole.
 *
 * Copy on write: a node that a snapshot may still need (`isShared`) is copied before it is changed, and given
 * to the keeper. Any other is changed in place.
 *
 * A cold leaf that nothing touched is taken over like any other; one that is changed, or merged with what is
 * beside it, is warmed (cold-leaves.ts).
 *
 * Invariant: before and after an edit the tree has the shape that its keys decide. In between, memory of
 * nodes taken apart is not used again, since keys are read from it.
 */

import { assert } from '../base/assert.ts';
import { NODE_HEADER_BYTES } from '../base/merkle/shape.ts';
import { MERGED_MAX, type MergedChanges } from './merged-changes.ts';
import { NO_RECORD } from './record-table.ts';
import { keyLevelOf, RunBuilder, type TreeParts } from './run-builder.ts';
import { ITEMS, NO_NODE } from './tree-nodes.ts';

/** Who decides what becomes of nodes that the tree no longer holds. */
export interface TreeKeeper {
  /** Whether something made by version `born` may be needed by a snapshot. */
  isShared(born: number): boolean;
  /** Keeps or frees a node of an older tree. */
  retireNode(node: number): void;
}

/** In place of the level of what follows a node, when it is deleted: then nothing ends before it. */
const NOTHING_ENDS = -1;

/** In place of the level of what follows a node, at the end of the tree: everything ends there. */
const ALL_ENDS = 0xff;

/** Records `[from, to)` of a leaf, and how many changes are left for it. */
interface RestOfLeaf {
  readonly words: Int32Array;
  readonly items: number;
  readonly from: number;
  readonly to: number;
  readonly changes: number;
}

/** Positions of changes, ascending: a range of them is `[from, to)`. */
interface Editing {
  readonly changes: MergedChanges;
  readonly positions: Int32Array;
  readonly builder: RunBuilder;
}

export class TreeEditor {
  readonly #parts: TreeParts;
  readonly #keeper: TreeKeeper;
  #version = 0;
  /** Set by an update that changed something. */
  #isTouched = false;
  /** Positions of changes, ascending. */
  readonly #updates = new Int32Array(MERGED_MAX);
  readonly #structural = new Int32Array(MERGED_MAX);
  #structuralCount = 0;
  /** Nodes taken apart by this edit. */
  readonly #dissolved: number[] = [];

  constructor(parts: TreeParts, keeper: TreeKeeper) {
    this.#parts = parts;
    this.#keeper = keeper;
  }

  /**
   * Applies the changes that are held, with bases that are known. New nodes are of `version`.
   * @returns The new root.
   */
  edit(root: number, changes: MergedChanges, version: number): number {
    this.#version = version;
    const updateCount = this.#divide(changes);
    let edited = root;
    if (updateCount > 0) edited = this.#update(root, changes, 0, updateCount);
    if (this.#structuralCount > 0) edited = this.#rebuild(edited, changes);
    return edited;
  }

  /** Positions of updates go to `#updates`, those of all other changes to `#structural`. */
  #divide(changes: MergedChanges): number {
    this.#structuralCount = 0;
    let count = 0;
    for (let at = 0; at < changes.count; at++) {
      const base = changes.bases[at]!;
      const record = changes.records[at]!;
      // Written blindly, deleted again, and it was not there before.
      if (base === NO_RECORD && record === NO_RECORD) continue;
      if (base !== NO_RECORD && record !== NO_RECORD) this.#updates[count++] = at;
      else this.#structural[this.#structuralCount++] = at;
    }
    return count;
  }

  // ---- Updates.

  /** @returns The node, or its copy; `#isTouched` tells whether anything in it changed. */
  #update(node: number, changes: MergedChanges, from: number, to: number): number {
    const { nodes } = this.#parts;
    const positions = this.#updates;
    if (nodes.levelOf(node) === 0) return this.#updateLeaf(node, changes, from, to);
    let target = node;
    let isTouched = false;
    const count = nodes.countOf(node);
    for (let first = from, child = 0; first < to; ) {
      child = this.#childFor(target, child, count, changes, positions[first]!);
      let end = first + 1;
      while (end < to && (child === count - 1 || this.#isBelow(changes, positions[end]!, target, child + 1)))
        end++;
      const before = nodes.itemOf(target, child);
      const after = this.#update(before, changes, first, end);
      if (this.#isTouched) {
        if (!isTouched) target = this.#own(target);
        isTouched = true;
        if (after !== before) nodes.setItem(target, child, after);
      }
      first = end;
    }
    this.#isTouched = isTouched;
    return target;
  }

  #updateLeaf(node: number, changes: MergedChanges, from: number, to: number): number {
    const { nodes, shape, cold } = this.#parts;
    cold.warm(node);
    const positions = this.#updates;
    let bytes = nodes.bytesOf(node);
    for (let at = from; at < to; at++) bytes += changes.entryBytes[positions[at]!]!;
    this.#isTouched = false;
    const isTooLarge = bytes + NODE_HEADER_BYTES > shape.nodeBytesMax;
    if (nodes.isCut(node) || isTooLarge) {
      for (let at = from; at < to; at++) this.#addStructural(positions[at]!);
      return node;
    }
    const target = this.#own(node);
    nodes.setBytes(target, bytes);
    const { words } = nodes.slabOf(target);
    const items = nodes.wordOf(target) + ITEMS;
    const itemsEnd = items + nodes.countOf(target);
    let item = items;
    for (let at = from; at < to; at++) {
      const base = changes.bases[positions[at]!]!;
      while (item < itemsEnd && words[item] !== base) item++;
      assert(item < itemsEnd, `record ${base} is in the leaf of its key`);
      words[item] = changes.records[positions[at]!]!;
    }
    this.#isTouched = true;
    return target;
  }

  /** Takes a change along into the second part, in its place. */
  #addStructural(position: number): void {
    let at = this.#structuralCount++;
    for (; at > 0 && this.#structural[at - 1]! > position; at--)
      this.#structural[at] = this.#structural[at - 1]!;
    this.#structural[at] = position;
  }

  /** A node to change: itself, or a copy when a snapshot may need it. Its hash no longer counts. */
  #own(node: number): number {
    const { nodes } = this.#parts;
    if (!this.#keeper.isShared(nodes.bornOf(node))) {
      nodes.dropHash(node);
      return node;
    }
    const copy = nodes.clone(node, this.#version);
    this.#keeper.retireNode(node);
    return copy;
  }

  /** The child, from `first` on, whose keys include that of a change. */
  #childFor(node: number, first: number, count: number, changes: MergedChanges, position: number): number {
    let lower = first;
    let upper = count;
    while (lower + 1 < upper) {
      const middle = (lower + upper) >>> 1;
      if (this.#isBelow(changes, position, node, middle)) upper = middle;
      else lower = middle;
    }
    return lower;
  }

  /** Whether the key of a change is less than the first key of a child. */
  #isBelow(changes: MergedChanges, position: number, node: number, child: number): boolean {
    return this.#compareTo(changes, position, node, child) > 0;
  }

  /** The order of the first key of a child and of the key of a change. */
  #compareTo(changes: MergedChanges, position: number, node: number, child: number): number {
    const { keys, keyOffsets, keyLengths } = changes;
    return this.#parts.nodes.compareChildKey(node, child, keys, keyOffsets[position]!, keyLengths[position]!);
  }

  // ---- Inserts, deletes, and what is in cut runs.

  #rebuild(root: number, changes: MergedChanges): number {
    const { nodes } = this.#parts;
    const builder = new RunBuilder(this.#parts, this.#version);
    const positions = this.#structural;
    const editing: Editing = { changes, positions, builder };
    if (root === NO_NODE) this.#addAll(editing, this.#structuralCount);
    else this.#takeApart(editing, root, ALL_ENDS, 0, this.#structuralCount);
    let edited = builder.end();
    // Deletes may leave a top with one child: the root is the lowest node that has all keys below it.
    while (edited !== NO_NODE && nodes.levelOf(edited) > 0 && nodes.countOf(edited) === 1) {
      this.#dissolved.push(edited);
      edited = nodes.itemOf(edited, 0);
    }
    for (const node of this.#dissolved) this.#keeper.retireNode(node);
    this.#dissolved.length = 0;
    return edited;
  }

  /** @param nextLevel Level of the key that follows the node, ALL_ENDS at the end, or NOTHING_ENDS. */
  #takeApart(editing: Editing, node: number, nextLevel: number, from: number, to: number): void {
    const { nodes } = this.#parts;
    this.#dissolved.push(node);
    const level = nodes.levelOf(node);
    if (level === 0) {
      this.#mergeLeaf(editing, node, from, to);
      return;
    }
    const count = nodes.countOf(node);
    let first = from;
    for (let child = 0; child < count; child++) {
      let end = first;
      let next = nextLevel;
      if (child === count - 1) {
        end = to;
      } else {
        let order = 1;
        while (end < to) {
          order = this.#compareTo(editing.changes, editing.positions[end]!, node, child + 1);
          if (order <= 0) break;
          end++;
        }
        next = nodes.childLevelOf(node, child + 1);
        if (order === 0 && editing.changes.records[editing.positions[end]!] === NO_RECORD)
          next = NOTHING_ENDS;
      }
      this.#takeChild(editing, node, child, next, first, end);
      first = end;
    }
  }

  #takeChild(
    editing: Editing,
    parent: number,
    at: number,
    nextLevel: number,
    from: number,
    to: number,
  ): void {
    const { nodes } = this.#parts;
    const node = nodes.itemOf(parent, at);
    const level = nodes.levelOf(parent) - 1;
    const keyLevel = nodes.childLevelOf(parent, at);
    const beginsHere = keyLevel > level || editing.builder.isEmpty;
    if (from < to || !beginsHere || nextLevel <= level) {
      this.#takeApart(editing, node, nextLevel, from, to);
      return;
    }
    editing.builder.addNode(level, {
      node,
      count: nodes.childKeysOf(parent, at),
      keySource: nodes.slabOf(parent).bytes,
      keyOffset: nodes.childKeyOffset(parent, at),
      keyBytes: nodes.childKeyBytes(parent, at),
      keyLevel,
    });
  }

  /** Gives the records of a leaf, and the changes between them, to the builder in the order of keys. */
  #mergeLeaf({ changes, positions, builder }: Editing, leaf: number, from: number, to: number): void {
    const { nodes, cold } = this.#parts;
    cold.warm(leaf);
    const { words } = nodes.slabOf(leaf);
    const items = nodes.wordOf(leaf) + ITEMS;
    const count = nodes.countOf(leaf);
    const firstLevel = nodes.firstLevelOf(leaf);
    let taken = 0;
    const takeUpTo = (end: number): void => {
      for (; taken < end; taken++) builder.addRecord(words[items + taken]!, taken === 0 ? firstLevel : 0);
    };
    builder.beginLeaf(nodes.bytesOf(leaf));
    for (let at = from; at < to; at++) {
      const position = positions[at]!;
      const base = changes.bases[position]!;
      const record = changes.records[position]!;
      if (base === NO_RECORD) {
        takeUpTo(
          this.#placeOf(changes, position, { words, items, from: taken, to: count, changes: to - at }),
        );
        builder.addNewRecord(record, this.#levelOf(changes, position), changes.entryBytes[position]!);
        continue;
      }
      let place = taken;
      while (place < count && words[items + place] !== base) place++;
      assert(place < count, `record ${base} is in the leaf of its key`);
      takeUpTo(place);
      if (record !== NO_RECORD) {
        const level = place === 0 ? firstLevel : 0;
        builder.addNewRecord(record, level, changes.entryBytes[position]!);
      }
      taken++;
    }
    takeUpTo(count);
    builder.endLeaf();
  }

  /**
   * Where a new key goes among the records of a leaf that are left. Every look at one is likely a cache miss:
   * it looks first where the key is if what is left of the changes is spread evenly.
   */
  #placeOf({ keys, keyOffsets, keyLengths }: MergedChanges, position: number, leaf: RestOfLeaf): number {
    const { index } = this.#parts;
    const offset = keyOffsets[position]!;
    const length = keyLengths[position]!;
    let lower = leaf.from;
    let upper = leaf.to;
    let step = Math.floor((upper - lower) / (leaf.changes + 1));
    while (lower + step < upper) {
      const middle = lower + step;
      if (index.compareKey(leaf.words[leaf.items + middle]!, keys, offset, length) >= 0) {
        upper = middle;
        break;
      }
      lower = middle + 1;
      step = 2 * step + 1;
    }
    while (lower < upper) {
      const middle = (lower + upper) >>> 1;
      if (index.compareKey(leaf.words[leaf.items + middle]!, keys, offset, length) < 0) lower = middle + 1;
      else upper = middle;
    }
    return lower;
  }

  /** The content of a tree that was empty. */
  #addAll({ changes, positions, builder }: Editing, count: number): void {
    for (let at = 0; at < count; at++) {
      const position = positions[at]!;
      const record = changes.records[position]!;
      if (record !== NO_RECORD)
        builder.addNewRecord(record, this.#levelOf(changes, position), changes.entryBytes[position]!);
    }
  }

  #levelOf({ keys, keyOffsets, keyLengths }: MergedChanges, position: number): number {
    const offset = keyOffsets[position]!;
    return keyLevelOf(this.#parts, keys.subarray(offset, offset + keyLengths[position]!));
  }
}
