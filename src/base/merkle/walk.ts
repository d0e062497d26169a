/** Walks over one tree: a key, the content in order. */

import { unreachable } from '../assert.ts';
import { compareBytes, equalBytes, type LeafEntry, type StoredValue, type TreeNode } from './node.ts';
import {
  type Broken,
  childReference,
  findEntry,
  type NodeReference,
  type NodeSource,
  readNode,
  rootReference,
} from './read.ts';

/** What a tree has under a key. */
export type Lookup =
  | { readonly kind: 'present'; readonly value: StoredValue }
  | { readonly kind: 'absent' }
  | Broken;

/** Looks a key up; reads and verifies the nodes on its path. */
export function getEntry(source: NodeSource, root: Uint8Array, key: Uint8Array): Lookup {
  let reference = rootReference(root);
  for (;;) {
    const node = readNode(source, reference);
    if (node.kind === 'broken') return node;
    const step = stepTowards(node, key);
    if (step.kind !== 'down') return step;
    reference = step.child;
  }
}

export type Step =
  | { readonly kind: 'down'; readonly child: NodeReference }
  | { readonly kind: 'present'; readonly value: StoredValue }
  | { readonly kind: 'absent' };

/** Where a search for a key goes from a node, or what it finds there. */
export function stepTowards(node: TreeNode, key: Uint8Array): Step {
  const at = findEntry(node.entries, key);
  if (at < 0) return { kind: 'absent' };
  switch (node.kind) {
    case 'inner':
      return { kind: 'down', child: childReference(node, node.entries[at]!) };
    case 'leaf': {
      const entry = node.entries[at]!;
      return equalBytes(entry.key, key) ? { kind: 'present', value: entry.value } : { kind: 'absent' };
    }
    default:
      return unreachable(node);
  }
}

/** A step of {@link walkEntries}. */
export type WalkedEntry = ({ readonly kind: 'entry' } & LeafEntry) | Broken;

/** Every entry in the order of keys, from the first key that is at least `from`. Ends after `broken`. */
export function* walkEntries(
  source: NodeSource,
  root: Uint8Array,
  from: Uint8Array,
): Generator<WalkedEntry, void> {
  const pending: NodeReference[] = [rootReference(root)];
  for (let reference = pending.pop(); reference !== undefined; reference = pending.pop()) {
    const node = readNode(source, reference);
    if (node.kind === 'broken') {
      yield node;
      return;
    }
    if (node.kind === 'inner') {
      const first = Math.max(0, findEntry(node.entries, from));
      for (let at = node.entries.length - 1; at >= first; at--) {
        pending.push(childReference(node, node.entries[at]!));
      }
    } else {
      for (const entry of node.entries) {
        if (compareBytes(entry.key, from) >= 0) yield { kind: 'entry', ...entry };
      }
    }
  }
}
