/**
 * Walks the whole tree of a checkpoint in its files, in order of keys, and verifies every node and value by
 * its hash. For `verify`, and to find out whether damaged bytes are in anything that the checkpoint needs.
 */

import { copyOf } from '../base/bytes.ts';
import type { InnerNode, LeafNode, TreeNode } from '../base/merkle/node.ts';
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
import type { NodeKind } from './node-record.ts';

/** Takes an entry; key and value are views that hold until it returns. */
export type VisitEntry = (key: Uint8Array, value: Uint8Array) => void;

export interface Walked {
  readonly nodes: number;
  readonly values: number;
  readonly bytes: number;
}

/** How a long walk is done in parts, and without waiting for the disk in the middle of a step. */
export interface WalkOptions {
  /** Where to go on: a path that `onLeaf` was given. @default from the root */
  readonly from?: readonly number[];
  /**
   * The walk has come to a leaf: the numbers of its ancestors among their siblings, and its own, from the
   * root down. All before it is verified.
   */
  readonly onLeaf?: (path: readonly number[]) => void;
  /** Whether an inner node, and all below it, was verified at this place before. */
  readonly isKnown?: (reference: NodeReference, place: Place) => boolean;
  /** An inner node was verified; once the walk has ended, so is all below it. */
  readonly onInner?: (reference: NodeReference, place: Place) => void;
  /** Begins to read what is needed next, and resolves when it is there; null when it is there already. */
  readonly readAhead?: (kind: NodeKind, place: Place) => Promise<void> | null;
}

interface Pending {
  readonly reference: NodeReference;
  readonly place: Place;
  readonly parent: Pending | null;
  /** Its number among the children of `parent`. */
  readonly at: number;
  /** How many nodes are above it. */
  readonly depth: number;
  /** Whether the walk goes on from below it. */
  readonly isOnPath: boolean;
}

/**
 * Step by step; a step reads one node, or one large value.
 * @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED at the first node that is not what the tree says.
 */
export function* walkStored(
  tree: StoredTree,
  files: StoredFiles,
  visit: VisitEntry = () => undefined,
  options: WalkOptions = {},
): Generator<Promise<void> | undefined, Walked, void> {
  const counts = { nodes: 0, values: 0, bytes: 0 };
  if (tree.place === null) return counts;
  const isOnPath = options.from !== undefined && options.from.length > 0;
  const root = { reference: rootReference(tree.root), place: tree.place, parent: null, at: 0, depth: 0 };
  const pending: Pending[] = [{ ...root, isOnPath }];
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { reference, place } = next;
    const level = reference.expected?.level ?? tree.level;
    const kind = level === 0 ? 'leaf' : 'inner';
    if (kind === 'leaf') options.onLeaf?.(pathOf(next));
    else if (options.isKnown?.(reference, place) === true) continue;
    yield options.readAhead?.(kind, place) ?? undefined;
    const stored = files.read(kind, place);
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
      options.onInner?.(reference, place);
      pushChildren(pending, next, { node, places: stored.places }, options.from ?? []);
    } else {
      const values = yield* visitLeaf({ node, places: stored.places, files, visit, options });
      counts.values += values.count;
      counts.bytes += values.bytes;
    }
  }
  return counts;
}

/** The first child on top; those before the path that the walk goes on from are left out. */
function pushChildren(
  pending: Pending[],
  parent: Pending,
  { node, places }: { readonly node: InnerNode; readonly places: readonly Place[] },
  from: readonly number[],
): void {
  const depth = parent.depth + 1;
  const first = parent.isOnPath ? (from[parent.depth] ?? 0) : 0;
  for (let at = node.entries.length - 1; at >= first; at--) {
    const reference = childReference(node, node.entries[at]!);
    const isOnPath = parent.isOnPath && at === first && depth < from.length;
    pending.push({ reference, place: places[at]!, parent, at, depth, isOnPath });
  }
}

function pathOf(node: Pending): number[] {
  const path: number[] = [];
  for (let one: Pending | null = node; one?.parent != null; one = one.parent) path.push(one.at);
  return path.reverse();
}

/** How many places a node has. */
function placesOf(node: TreeNode): number {
  if (node.kind === 'inner') return node.entries.length;
  return node.entries.reduce((sum, { value }) => sum + (value.kind === 'node' ? 1 : 0), 0);
}

function* visitLeaf(leaf: {
  readonly node: LeafNode;
  readonly places: readonly Place[];
  readonly files: StoredFiles;
  readonly visit: VisitEntry;
  readonly options: WalkOptions;
}): Generator<Promise<void> | undefined, { count: number; bytes: number }, void> {
  const { node, places, files, visit, options } = leaf;
  const read = { count: 0, bytes: 0 };
  for (const { key, value } of node.entries) {
    if (value.kind === 'inline') {
      visit(key, value.bytes);
      continue;
    }
    const place = places[read.count++]!;
    yield options.readAhead?.('value', place) ?? undefined;
    const found = verifyValue(value, files.read('value', place).bytes);
    if (found.kind === 'broken')
      throw files.damaged(place, `the value is not what its leaf says: ${found.reason}`);
    read.bytes += place.bytes;
    visit(key, found.bytes);
  }
  return read;
}
