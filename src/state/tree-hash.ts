/**
 * Hashes the nodes of a tree that have none yet, children first, in steps: nobody waits for a million keys.
 *
 * A hash is computed once for a node, however many snapshots hold it, and stays with it. So do hashes of
 * large values, which stay with their record; a very large one is hashed in parts.
 */

import { assert } from '../base/assert.ts';
import { Sha256, sha256Into } from '../base/digest.ts';
import { INLINE_VALUE_BYTES_MAX, NodeWriter } from '../base/merkle/node.ts';
import type { LiveIndex } from './live-index.ts';
import type { TreeNodes } from './tree-nodes.ts';

/** A value above this is hashed in parts of so many bytes, each a step of its own: half a millisecond. */
const HASH_STEP_BYTES = 1024 * 1024;

/** Nodes between two steps: 50 to 100 microseconds. */
const NODES_PER_STEP = 24;

export class TreeHasher {
  readonly #nodes: TreeNodes;
  readonly #index: LiveIndex;
  readonly #writer = new NodeWriter();
  #hashed = 0;

  constructor(nodes: TreeNodes, index: LiveIndex) {
    this.#nodes = nodes;
    this.#index = index;
  }

  /** Nodes hashed, ever. */
  get hashed(): number {
    return this.#hashed;
  }

  /** Hashes everything under a node, and the node. Nothing under it may change meanwhile. */
  *hash(top: number): Generator<void, void> {
    const nodes = this.#nodes;
    const path: number[] = [top];
    const nextChild: number[] = [0];
    while (path.length > 0) {
      const depth = path.length - 1;
      const node = path[depth]!;
      const at = nextChild[depth]!;
      if (!nodes.isHashed(node) && nodes.levelOf(node) > 0 && at < nodes.countOf(node)) {
        nextChild[depth] = at + 1;
        const child = nodes.itemOf(node, at);
        if (nodes.isHashed(child)) continue;
        path.push(child);
        nextChild.push(0);
        continue;
      }
      path.pop();
      nextChild.pop();
      if (nodes.isHashed(node)) continue;
      if (nodes.levelOf(node) === 0) yield* this.#hashLargeValues(node);
      const bytes = encodeStateNode(this.#writer, nodes, this.#index, node);
      sha256Into(bytes, nodes.hashOf(node), 0);
      nodes.setHashed(node, bytes.length);
      if (++this.#hashed % NODES_PER_STEP === 0) yield;
    }
  }

  *#hashLargeValues(leaf: number): Generator<void, void> {
    const index = this.#index;
    const count = this.#nodes.countOf(leaf);
    for (let at = 0; at < count; at++) {
      const record = this.#nodes.itemOf(leaf, at);
      const bytes = index.valueBytesOf(record);
      if (bytes <= INLINE_VALUE_BYTES_MAX || index.isValueHashed(record)) continue;
      if (bytes <= HASH_STEP_BYTES) {
        sha256Into(index.valueOf(record), index.valueHashOf(record), 0);
      } else {
        const digest = new Sha256();
        for (let from = 0; from < bytes; from += HASH_STEP_BYTES) {
          // The record may have moved since the last step: its value is looked up again.
          digest.update(index.valueOf(record).subarray(from, from + HASH_STEP_BYTES));
          yield;
        }
        index.valueHashOf(record).set(digest.digest());
      }
      index.setValueHashed(record);
    }
  }
}

/** The bytes of a node whose children, and large values, are hashed: a view into the writer. */
export function encodeStateNode(
  writer: NodeWriter,
  nodes: TreeNodes,
  index: LiveIndex,
  node: number,
): Uint8Array {
  const level = nodes.levelOf(node);
  const count = nodes.countOf(node);
  writer.begin(level);
  if (level > 0) {
    for (let at = 0; at < count; at++) {
      const child = nodes.itemOf(node, at);
      assert(nodes.isHashed(child), 'children are hashed before their parent');
      writer.addChild(nodes.childKey(node, at), nodes.childKeysOf(node, at), nodes.hashOf(child));
    }
    return writer.end();
  }
  assert(!nodes.isCold(node), 'the records of a leaf that is encoded are in memory');
  for (let at = 0; at < count; at++) {
    const record = nodes.itemOf(node, at);
    const bytes = index.valueBytesOf(record);
    if (bytes <= INLINE_VALUE_BYTES_MAX) writer.addInline(index.keyOf(record), index.valueOf(record));
    else writer.addHashed(index.keyOf(record), bytes, index.valueHashOf(record));
  }
  return writer.end();
}
