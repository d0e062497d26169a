/**
 * A snapshot: the state as it was when it was taken, while writes go on. Taking one takes O(1); what it holds
 * beyond the state of today is what was overwritten since. It must be released.
 *
 * It becomes readable when its changes are folded into the tree (`isFolded`), and gets a root when that was
 * asked for and hashed. Both happen in slices of `LiveState.foldSlice`.
 */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import { EMPTY_NODE, EMPTY_ROOT, NodeWriter } from '../base/merkle/node.ts';
import { compareTrees, type TreeChange } from './compare-trees.ts';
import type { LiveEntry } from './live-index.ts';
import { NO_RECORD } from './record-table.ts';
import type { Pin } from './retained.ts';
import type { StoredTree, Unstored } from './stored.ts';
import { encodeStateNode } from './tree-hash.ts';
import { NO_FILE, NO_NODE } from './tree-nodes.ts';
import { leafFor, nodeFor, type ReadableTree, recordIn, recordsFrom } from './tree-records.ts';
import { type IsKept, measureBelow, type UnstoredSize, unstoredBelow } from './unstored.ts';

/** What the tree knows of a snapshot. */
export interface Held {
  readonly pin: Pin;
  /** The top of its tree, once it is folded. */
  node: number | null;
  isRootWanted: boolean;
}

export interface SnapshotHost {
  readonly tree: ReadableTree;
  readonly release: () => void;
}

export class Snapshot {
  readonly #held: Held;
  readonly #host: SnapshotHost;
  #isReleased = false;

  /** Use `LiveState.snapshot`. */
  constructor(held: Held, host: SnapshotHost) {
    this.#held = held;
    this.#host = host;
  }

  /** Whether all its changes are in the tree. */
  get isFolded(): boolean {
    return this.#held.node !== null;
  }

  /** Has the root computed. */
  requestRoot(): void {
    this.#assertHeld();
    this.#held.isRootWanted = true;
  }

  /** The root; null until it was asked for and computed. */
  get root(): Uint8Array | null {
    this.#assertHeld();
    const { node } = this.#held;
    if (node === null) return null;
    if (node === NO_NODE) return EMPTY_ROOT;
    const { nodes } = this.#host.tree;
    return nodes.isHashed(node) ? Uint8Array.from(nodes.hashOf(node)) : null;
  }

  /** Number of keys, once it is folded. */
  get size(): number {
    const top = this.#top();
    return top === NO_NODE ? 0 : this.#host.tree.nodes.keysOf(top);
  }

  /** Every entry in the order of keys, from the first that is at least `from`. Writes may go on meanwhile. */
  *entries(from: Uint8Array): Generator<LiveEntry, void> {
    const { tree } = this.#host;
    const { index } = tree;
    for (const record of recordsFrom(tree, this.#top(), from)) {
      yield { key: index.keyOf(record), value: index.valueOf(record) };
      this.#assertHeld();
    }
  }

  /**
   * What turns it into `target`, a snapshot of any state of the same shape, in the order of keys; null
   * between two steps. Both need their roots; writes may go on meanwhile.
   */
  *changesTo(target: Snapshot): Generator<TreeChange | null, void> {
    const isHashed = this.root !== null && target.root !== null;
    assert(isHashed, 'snapshots are compared once their roots are computed');
    const source = { tree: this.#host.tree, top: this.#top() };
    for (const change of compareTrees(source, { tree: target.#host.tree, top: target.#top() })) {
      yield change;
      this.#assertHeld();
      target.#assertHeld();
    }
  }

  /**
   * The node of a level in which a key is or would be, encoded, in memory of its own; of a level above the
   * top the top. Needs the root.
   */
  nodeAt(level: number, key: Uint8Array): Uint8Array {
    assert(this.root !== null, 'nodes have names once the root is computed');
    const top = this.#top();
    if (top === NO_NODE) return EMPTY_NODE;
    const { nodes, index, cold } = this.#host.tree;
    const node = nodeFor(nodes, top, key, level);
    if (nodes.levelOf(node) === 0) cold.warm(node);
    return copyOf(encodeStateNode(new NodeWriter(), nodes, index, node));
  }

  /** The value of a key, in memory of its own; null when it has none. */
  valueOf(key: Uint8Array): Uint8Array | null {
    const top = this.#top();
    if (top === NO_NODE) return null;
    const { tree } = this.#host;
    const leaf = leafFor(tree.nodes, top, key, 0, key.length);
    tree.cold.warm(leaf);
    const record = recordIn(tree, leaf, key, 0, key.length);
    return record === NO_RECORD ? null : copyOf(tree.index.valueOf(record));
  }

  /** Its tree, and where that is once all of it is stored. Needs the root. */
  get storedTree(): StoredTree {
    const { root } = this;
    assert(root !== null, 'a tree is told of once its root is computed');
    const top = this.#top();
    if (top === NO_NODE) return { root, place: null, level: 0, keys: 0 };
    const { nodes } = this.#host.tree;
    const place = nodes.fileOf(top) === NO_FILE ? null : nodes.placeOf(top);
    return { root, place, level: nodes.levelOf(top), keys: nodes.keysOf(top) };
  }

  /**
   * What of its tree is in no kept file, each behind what it refers to; the empty tree has nothing to store.
   * Needs the root. The consumer stores each, and calls its `storedAt`, before it asks for the next; in
   * between, writes and folds may go on.
   *
   * When the files of a checkpoint are not kept in the end, what was stored in them counts as not stored
   * again. Numbers of files are therefore never used twice.
   */
  *unstored(isKept: IsKept): Generator<Unstored, void> {
    assert(this.root !== null, 'nodes have names once the root is computed');
    for (const unstored of unstoredBelow(this.#host.tree, this.#top(), isKept)) {
      yield unstored;
      this.#assertHeld();
    }
  }

  /** How much `unstored` would yield; in steps. Needs the root. */
  *measureUnstored(isKept: IsKept): Generator<void, UnstoredSize> {
    assert(this.root !== null, 'nodes have names once the root is computed');
    const steps = measureBelow(this.#host.tree, this.#top(), isKept);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      yield;
      this.#assertHeld();
    }
  }

  /** Frees what only this snapshot needs. Once. */
  release(): void {
    this.#assertHeld();
    this.#isReleased = true;
    this.#host.release();
  }

  #top(): number {
    this.#assertHeld();
    const { node } = this.#held;
    assert(node !== null, 'a snapshot is read once it is folded');
    return node;
  }

  #assertHeld(): void {
    assert(!this.#isReleased, 'a released snapshot is not used');
  }
}
