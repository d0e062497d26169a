/**
 * A snapshot: the state as it was when it was taken, while writes go on. Taking one takes O(1); what it holds
 * beyond the state of today is what was overwritten since. It must be released.
 *
 * It becomes readable when its changes are folded into the tree (`isFolded`), and gets a root when that was
 * asked for and hashed. Both happen in slices of `LiveState.foldSlice`.
 */

import { assert } from '../base/assert.ts';
import { EMPTY_NODE, EMPTY_ROOT, INLINE_VALUE_BYTES_MAX } from '../base/merkle/node.ts';
import type { LiveEntry, LiveIndex } from './live-index.ts';
import type { Pin } from './retained.ts';
import type { TreeHasher } from './tree-hash.ts';
import { NO_NODE, type TreeNodes } from './tree-nodes.ts';
import { recordsFrom } from './tree-records.ts';

/** What the tree knows of a snapshot. */
export interface Held {
  readonly pin: Pin;
  /** The top of its tree, once it is folded. */
  node: number | null;
  isRootWanted: boolean;
}

export interface SnapshotHost {
  readonly nodes: TreeNodes;
  readonly index: LiveIndex;
  readonly hasher: TreeHasher;
  readonly release: () => void;
}

/** A node, or a large value, under its hash. Both are views that hold until the next step. */
export interface NamedNode {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
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
    const { nodes } = this.#host;
    return nodes.isHashed(node) ? Uint8Array.from(nodes.hashOf(node)) : null;
  }

  /** Number of keys, once it is folded. */
  get size(): number {
    const top = this.#top();
    return top === NO_NODE ? 0 : this.#host.nodes.keysOf(top);
  }

  /** Every entry in the order of keys, from the first that is at least `from`. Writes may go on meanwhile. */
  *entries(from: Uint8Array): Generator<LiveEntry, void> {
    const { nodes, index } = this.#host;
    for (const record of recordsFrom(nodes, index, this.#top(), from)) {
      yield { key: index.keyOf(record), value: index.valueOf(record) };
      this.#assertHeld();
    }
  }

  /**
   * Nodes and large values, what is below a node before the node: what was written up to any point is whole.
   * Needs the root.
   * @param isKnown Whether something, with everything below it, need not come.
   */
  *namedNodes(isKnown: (hash: Uint8Array) => boolean): Generator<NamedNode, void> {
    assert(this.root !== null, 'nodes have names once the root is computed');
    const top = this.#top();
    if (top !== NO_NODE) yield* this.#namedBelow(top, isKnown);
    else if (!isKnown(EMPTY_ROOT)) yield { hash: EMPTY_ROOT, bytes: EMPTY_NODE };
  }

  /** Frees what only this snapshot needs. Once. */
  release(): void {
    this.#assertHeld();
    this.#isReleased = true;
    this.#host.release();
  }

  *#namedBelow(node: number, isKnown: (hash: Uint8Array) => boolean): Generator<NamedNode, void> {
    const { nodes, hasher } = this.#host;
    if (isKnown(nodes.hashOf(node))) return;
    const isLeaf = nodes.levelOf(node) === 0;
    for (let at = 0; at < nodes.countOf(node); at++) {
      const item = nodes.itemOf(node, at);
      if (isLeaf) yield* this.#namedValue(item, isKnown);
      else yield* this.#namedBelow(item, isKnown);
    }
    this.#assertHeld();
    yield { hash: nodes.hashOf(node), bytes: hasher.encode(node) };
  }

  *#namedValue(record: number, isKnown: (hash: Uint8Array) => boolean): Generator<NamedNode, void> {
    const { index } = this.#host;
    if (index.valueBytesOf(record) <= INLINE_VALUE_BYTES_MAX || isKnown(index.valueHashOf(record))) return;
    yield { hash: index.valueHashOf(record), bytes: index.valueOf(record) };
    this.#assertHeld();
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
