/** The records of a tree in memory, in the order of their keys. Cold leaves are warmed on the way. */

import type { ColdLeaves } from './cold-leaves.ts';
import type { LiveIndex } from './live-index.ts';
import { NO_RECORD } from './record-table.ts';
import { NO_NODE, type TreeNodes } from './tree-nodes.ts';

export interface ReadableTree {
  readonly nodes: TreeNodes;
  readonly index: LiveIndex;
  readonly cold: ColdLeaves;
}

/** From the first key that is at least `from`. The tree must not change meanwhile. */
export function* recordsFrom(
  { nodes, index, cold }: ReadableTree,
  top: number,
  from: Uint8Array,
): Generator<number, void> {
  const pending: number[] = top === NO_NODE ? [] : [top];
  let isBefore = true;
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const count = nodes.countOf(node);
    if (nodes.levelOf(node) > 0) {
      const first = isBefore ? childFor(nodes, node, from, 0, from.length) : 0;
      for (let at = count - 1; at >= first; at--) pending.push(nodes.itemOf(node, at));
      continue;
    }
    cold.warm(node);
    for (let at = 0; at < count; at++) {
      const record = nodes.itemOf(node, at);
      if (isBefore && index.compareKey(record, from, 0, from.length) < 0) continue;
      isBefore = false;
      yield record;
    }
  }
}

/** The leaf in which a key, the `length` bytes of `bytes` from `offset` on, is or would be. */
export function leafFor(
  nodes: TreeNodes,
  top: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  let node = top;
  while (nodes.levelOf(node) > 0) node = nodes.itemOf(node, childFor(nodes, node, bytes, offset, length));
  return node;
}

/** The node of a level in which a key is or would be; the top itself when it is not above that level. */
export function nodeFor(nodes: TreeNodes, top: number, key: Uint8Array, level: number): number {
  let node = top;
  while (nodes.levelOf(node) > level) node = nodes.itemOf(node, childFor(nodes, node, key, 0, key.length));
  return node;
}

/** The record of a key in a leaf that is warm, or NO_RECORD. */
export function recordIn(
  { nodes, index }: ReadableTree,
  leaf: number,
  bytes: Uint8Array,
  offset: number,
  length: number,
): number {
  let lower = 0;
  let upper = nodes.countOf(leaf);
  while (lower < upper) {
    const middle = (lower + upper) >>> 1;
    const record = nodes.itemOf(leaf, middle);
    const order = index.compareKey(record, bytes, offset, length);
    if (order === 0) return record;
    if (order < 0) lower = middle + 1;
    else upper = middle;
  }
  return NO_RECORD;
}

/** The child below which a key is, or would be. */
function childFor(nodes: TreeNodes, node: number, key: Uint8Array, offset: number, length: number): number {
  let lower = 0;
  let upper = nodes.countOf(node);
  while (lower + 1 < upper) {
    const middle = (lower + upper) >>> 1;
    if (nodes.compareChildKey(node, middle, key, offset, length) <= 0) lower = middle;
    else upper = middle;
  }
  return lower;
}
