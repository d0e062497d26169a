/**
 * Walks the whole tree of a checkpoint in its files, in order of keys, and verifies every node and value by
 * its hash. For `verify`, and to find out whether damaged bytes are in anything that the checkpoint needs.
 */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import type { TreeNode } from '../base/merkle/node.ts';
import {
  childReference,
  countOf,
  levelOf,
  type NodeReference,
  rootReference,
  verifyNode,
  verifyValue,
} from '../base/merkle/read.ts';
import type { Place, StoredFiles, StoredTree } from '../state/stored.ts';

/** Takes an entry; key and value are views that hold until it returns. */
export type VisitEntry = (key: Uint8Array, value: Uint8Array) => void;

export interface Walked {
  readonly nodes: number;
  readonly values: number;
  readonly bytes: number;
}

interface Pending {
  readonly reference: NodeReference;
  readonly place: Place;
}

/**
 * Step by step; a step reads one node, with its large values.
 * @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED at the first node that is not what the tree says.
 */
export function* walkStored(
  tree: StoredTree,
  files: StoredFiles,
  visit: VisitEntry = () => undefined,
): Generator<undefined, Walked, void> {
  const counts = { nodes: 0, values: 0, bytes: 0 };
  if (tree.place === null) return counts;
  const pending: Pending[] = [{ reference: rootReference(tree.root), place: tree.place }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { reference, place } = next;
    const level = reference.expected?.level ?? tree.level;
    const stored = files.read(level === 0 ? 'leaf' : 'inner', place);
    // A copy: the next read may overwrite it, and references keep keys of it.
    const node = verifyNode(reference, copyOf(stored.bytes));
    if (node.kind === 'broken')
      throw files.damaged(place, `the node is not what the tree says: ${node.reason}`);
    if (reference.expected === null && (levelOf(node) !== tree.level || countOf(node) !== tree.keys)) {
      throw files.damaged(place, 'the root has another level or number of keys than the checkpoint says');
    }
    counts.nodes++;
    counts.bytes += place.bytes;
    if (stored.places.length !== placesOf(node))
      throw files.damaged(place, 'places are missing, or too many');
    if (node.kind === 'inner') {
      for (let at = node.entries.length - 1; at >= 0; at--) {
        pending.push({ reference: childReference(node, node.entries[at]!), place: stored.places[at]! });
      }
    } else {
      const values = visitLeaf({ node, places: stored.places, files, visit });
      counts.values += values.count;
      counts.bytes += values.bytes;
    }
    yield;
  }
  return counts;
}

/** How many places a node has. */
function placesOf(node: TreeNode): number {
  if (node.kind === 'inner') return node.entries.length;
  return node.entries.reduce((sum, { value }) => sum + (value.kind === 'node' ? 1 : 0), 0);
}

function visitLeaf(leaf: {
  readonly node: TreeNode;
  readonly places: readonly Place[];
  readonly files: StoredFiles;
  readonly visit: VisitEntry;
}): { count: number; bytes: number } {
  const { node, places, files, visit } = leaf;
  assert(node.kind === 'leaf', 'entries are in leaves');
  const read = { count: 0, bytes: 0 };
  for (const { key, value } of node.entries) {
    if (value.kind === 'inline') {
      visit(key, value.bytes);
      continue;
    }
    const place = places[read.count++]!;
    const found = verifyValue(value, files.read('value', place).bytes);
    if (found.kind === 'broken')
      throw files.damaged(place, `the value is not what its leaf says: ${found.reason}`);
    read.bytes += place.bytes;
    visit(key, found.bytes);
  }
  return read;
}
