/**
 * What a checkpoint has to write of a tree: the nodes and large values that no kept file holds, in steps
 * between which writes and folds go on.
 *
 * First leaves in the order of keys, each behind its large values; then the nodes above, children first. So
 * what a start reads before it can serve stands together, and everything that a record refers to is written
 * before it.
 *
 * Invariant: a node that is stored in a kept file has everything below it in kept files. The keeper of the
 * files answers for it; here a subtree is skipped as soon as its top is stored in one.
 *
 * Nodes and records of a snapshot stay, but records move in memory, and so do the buffers of others: whatever
 * is handed out is copied unless it cannot move.
 */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import { INLINE_VALUE_BYTES_MAX, NodeWriter } from '../base/merkle/node.ts';
import { SLOT_BYTES_MAX } from './slot-class.ts';
import type { Place, Unstored } from './stored.ts';
import { encodeStateNode } from './tree-hash.ts';
import { NO_FILE, NO_NODE } from './tree-nodes.ts';
import type { ReadableTree } from './tree-records.ts';

/** Whether the files of a checkpoint to come include one. */
export type IsKept = (file: number) => boolean;

/** How much there is to write. */
export interface UnstoredSize {
  readonly leaves: number;
  readonly inner: number;
  /** Large values; those of leaves that are not in memory yet are not known, and not counted. */
  readonly values: number;
  /** Of nodes and values, encoded. */
  readonly bytes: number;
}

/** Nodes counted in one step: well below a millisecond. */
const NODES_PER_STEP = 256;

/** Every node and value under `top`, which is hashed. The consumer stores each before it asks on. */
export function* unstoredBelow(tree: ReadableTree, top: number, isKept: IsKept): Generator<Unstored, void> {
  if (top === NO_NODE) return;
  const writer = new NodeWriter();
  for (const leaf of unstoredLeaves(tree, top, isKept)) {
    tree.cold.warm(leaf);
    yield* unstoredValues(tree, leaf, isKept);
    yield asUnstored(tree, writer, leaf, largeValuesOf(tree, leaf));
  }
  for (const node of unstoredInner(tree, top, isKept)) {
    yield asUnstored(tree, writer, node, placesOfChildren(tree, node));
  }
}

/** Counts what `unstoredBelow` would yield; in steps. */
export function* measureBelow(
  tree: ReadableTree,
  top: number,
  isKept: IsKept,
): Generator<void, UnstoredSize> {
  const { nodes, index } = tree;
  const size = { leaves: 0, inner: 0, values: 0, bytes: 0 };
  if (top === NO_NODE) return size;
  for (const leaf of unstoredLeaves(tree, top, isKept)) {
    size.leaves++;
    size.bytes += nodes.encodedBytesOf(leaf);
    for (const record of nodes.isCold(leaf) ? [] : largeRecordsOf(tree, leaf)) {
      if (isIn(index.valueFileOf(record), isKept)) continue;
      size.values++;
      size.bytes += index.valueBytesOf(record);
    }
    if (size.leaves % NODES_PER_STEP === 0) yield;
  }
  for (const node of unstoredInner(tree, top, isKept)) {
    size.inner++;
    size.bytes += nodes.encodedBytesOf(node);
    if (size.inner % NODES_PER_STEP === 0) yield;
  }
  return size;
}

/** In the order of keys. Every node on the way is unstored too, so the way between two is short. */
function* unstoredLeaves({ nodes }: ReadableTree, top: number, isKept: IsKept): Generator<number, void> {
  const pending: number[] = [top];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (isIn(nodes.fileOf(node), isKept)) continue;
    if (nodes.levelOf(node) === 0) yield node;
    else for (let at = nodes.countOf(node) - 1; at >= 0; at--) pending.push(nodes.itemOf(node, at));
  }
}

/** Children before their parents. */
function* unstoredInner({ nodes }: ReadableTree, top: number, isKept: IsKept): Generator<number, void> {
  const path: number[] = [];
  const nextChild: number[] = [];
  const enter = (node: number): void => {
    if (nodes.levelOf(node) === 0 || isIn(nodes.fileOf(node), isKept)) return;
    path.push(node);
    nextChild.push(0);
  };
  enter(top);
  while (path.length > 0) {
    const depth = path.length - 1;
    const node = path[depth]!;
    const at = nextChild[depth]!++;
    // The lowest of them have only leaves below, and these are done.
    if (nodes.levelOf(node) > 1 && at < nodes.countOf(node)) {
      enter(nodes.itemOf(node, at));
      continue;
    }
    path.pop();
    nextChild.pop();
    yield node;
  }
}

function* unstoredValues(tree: ReadableTree, leaf: number, isKept: IsKept): Generator<Unstored, void> {
  const { index } = tree;
  for (const record of largeRecordsOf(tree, leaf)) {
    if (isIn(index.valueFileOf(record), isKept)) continue;
    const value = index.valueOf(record);
    yield {
      kind: 'value',
      hash: copyOf(index.valueHashOf(record)),
      // A larger one has memory of its own, which is never moved.
      bytes: value.length > SLOT_BYTES_MAX ? value : copyOf(value),
      places: [],
      storedAt: (file, offset) => index.setValuePlace(record, file, offset),
    };
  }
}

function asUnstored(
  { nodes, index }: ReadableTree,
  writer: NodeWriter,
  node: number,
  places: readonly Place[],
): Unstored {
  assert(nodes.isHashed(node), 'nodes are stored under their hashes');
  return {
    kind: nodes.levelOf(node) === 0 ? 'leaf' : 'inner',
    hash: nodes.hashOf(node),
    bytes: encodeStateNode(writer, nodes, index, node),
    places,
    storedAt: (file, offset) => nodes.setPlace(node, file, offset),
  };
}

function largeRecordsOf({ nodes, index }: ReadableTree, leaf: number): number[] {
  const records: number[] = [];
  const count = nodes.countOf(leaf);
  for (let at = 0; at < count; at++) {
    const record = nodes.itemOf(leaf, at);
    if (index.valueBytesOf(record) > INLINE_VALUE_BYTES_MAX) records.push(record);
  }
  return records;
}

function largeValuesOf(tree: ReadableTree, leaf: number): Place[] {
  return largeRecordsOf(tree, leaf).map((record) => tree.index.valuePlaceOf(record));
}

function placesOfChildren({ nodes }: ReadableTree, node: number): Place[] {
  return Array.from({ length: nodes.countOf(node) }, (_, at) => nodes.placeOf(nodes.itemOf(node, at)));
}

function isIn(file: number, isKept: IsKept): boolean {
  return file !== NO_FILE && isKept(file);
}
