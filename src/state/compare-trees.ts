/**
 * The difference of two trees in memory, each with its hashes computed: two walks in step that leave out what
 * has equal hashes, as `difference` does with trees of anybody's nodes (base/merkle/difference.ts). Leaves
 * that are only in files are read where they differ, and nowhere else.
 *
 * Each walk stands before a subtree, or before a record. Of two that begin with different keys the one with
 * the smaller key moves; of two that begin with the same key the higher one is gone into.
 */

import { assert } from '../base/assert.ts';
import { compareBytes, equalBytes } from '../base/merkle/node.ts';
import { NO_NODE } from './tree-nodes.ts';
import type { ReadableTree } from './tree-records.ts';

/** Subtrees and records gone past between two steps: about a tenth of a millisecond. */
const MOVES_PER_STEP = 128;

/** A tree of which all hashes are computed, and which nobody changes or frees meanwhile. */
export interface HashedTree {
  readonly tree: ReadableTree;
  readonly top: number;
}

/** What turns one tree into another, at one key. Views hold until the next one is asked for. */
export interface TreeChange {
  readonly key: Uint8Array;
  /** Null when the key is not in it. */
  readonly source: Uint8Array | null;
  readonly target: Uint8Array | null;
}

/** What turns `source` into `target`, in the order of keys; null between two steps. */
export function* compareTrees(source: HashedTree, target: HashedTree): Generator<TreeChange | null, void> {
  const left = new TreeWalk(source);
  const right = new TreeWalk(target);
  for (let moves = 1; ; moves++) {
    if (moves % MOVES_PER_STEP === 0) yield null;
    const order = compareHeads(left, right);
    if (order === null) return;
    if (order < 0) {
      if (left.isAtRecord) yield { key: left.key, source: left.value, target: null };
      left.step();
    } else if (order > 0) {
      if (right.isAtRecord) yield { key: right.key, source: null, target: right.value };
      right.step();
    } else if (left.isAtRecord && right.isAtRecord) {
      if (!equalBytes(left.value, right.value)) {
        yield { key: left.key, source: left.value, target: right.value };
      }
      left.skip();
      right.skip();
    } else {
      stepBoth(left, right);
    }
  }
}

/** The order of the keys that two walks stand before; null when both are at their end. */
function compareHeads(left: TreeWalk, right: TreeWalk): number | null {
  if (left.isAtEnd) return right.isAtEnd ? null : 1;
  return right.isAtEnd ? -1 : compareBytes(left.key, right.key);
}

/** Both stand before the same key, and not both before a record. */
function stepBoth(left: TreeWalk, right: TreeWalk): void {
  if (left.level > right.level) left.step();
  else if (left.level < right.level) right.step();
  else if (equalBytes(left.hash, right.hash)) {
    left.skip();
    right.skip();
  } else {
    left.step();
    right.step();
  }
}

/** Of what a walk stands before: a child of an inner node, or an item of a leaf. */
interface Level {
  readonly node: number;
  at: number;
}

/** Records may move in memory between two steps: their numbers are kept, not views of them. */
class TreeWalk {
  readonly #tree: ReadableTree;
  /** The way from the top to what it stands before; empty at the end. */
  readonly #path: Level[] = [];

  constructor({ tree, top }: HashedTree) {
    this.#tree = tree;
    if (top !== NO_NODE) this.#enter(top);
  }

  get isAtEnd(): boolean {
    return this.#path.length === 0;
  }

  get isAtRecord(): boolean {
    return this.level < 0;
  }

  /** Of the subtree that it stands before; below 0 before a record. */
  get level(): number {
    return this.#tree.nodes.levelOf(this.#top.node) - 1;
  }

  get key(): Uint8Array {
    const { node, at } = this.#top;
    const { nodes, index } = this.#tree;
    return this.isAtRecord ? index.keyOf(nodes.itemOf(node, at)) : nodes.childKey(node, at);
  }

  get value(): Uint8Array {
    return this.#tree.index.valueOf(this.#item);
  }

  get hash(): Uint8Array {
    const { nodes } = this.#tree;
    assert(nodes.isHashed(this.#item), 'trees are compared once they are hashed');
    return nodes.hashOf(this.#item);
  }

  /** Goes past a record, or into a subtree. */
  step(): void {
    if (this.isAtRecord) this.skip();
    else this.#enter(this.#item);
  }

  /** Goes past a record, or a whole subtree. */
  skip(): void {
    for (let top = this.#path.at(-1); top !== undefined; top = this.#path.at(-1)) {
      top.at++;
      if (top.at < this.#tree.nodes.countOf(top.node)) return;
      this.#path.pop();
    }
  }

  get #top(): Level {
    const top = this.#path.at(-1);
    assert(top !== undefined, 'a walk is not at its end');
    return top;
  }

  get #item(): number {
    const { node, at } = this.#top;
    return this.#tree.nodes.itemOf(node, at);
  }

  #enter(node: number): void {
    const { nodes, cold } = this.#tree;
    if (nodes.levelOf(node) === 0) cold.warm(node);
    this.#path.push({ node, at: 0 });
  }
}
