/**
 * The difference of two trees: two walks in step that leave out what has equal hashes. Boundaries are decided
 * by keys, so that equal stretches are equal nodes: for d differences it reads O(d log N) nodes.
 *
 * Each walk stands before a subtree not yet read, or before an entry. Of two that begin with different keys
 * the one with the smaller key moves; of two that begin with the same key the higher one is read.
 */

import { assert } from '../assert.ts';
import { compareBytes, EMPTY_ROOT, equalBytes, type LeafEntry, type StoredValue } from './node.ts';
import {
  type Broken,
  childReference,
  type NodeReference,
  type NodeSource,
  readNode,
  rootReference,
} from './read.ts';

/** One key that `target` has and `source` has not, or otherwise, or that has another value there. */
export type Difference =
  | { readonly kind: 'added'; readonly key: Uint8Array; readonly target: StoredValue }
  | { readonly kind: 'deleted'; readonly key: Uint8Array; readonly source: StoredValue }
  | {
      readonly kind: 'changed';
      readonly key: Uint8Array;
      readonly source: StoredValue;
      readonly target: StoredValue;
    }
  | Broken;

/** A tree and where its nodes are. */
export interface StoredTree {
  readonly nodes: NodeSource;
  readonly root: Uint8Array;
}

/** What turns the tree `source` into the tree `target`, in the order of keys. Ends after `broken`. */
export function* difference(source: StoredTree, target: StoredTree): Generator<Difference, void> {
  if (equalBytes(source.root, target.root)) return;
  const left = new Cursor(source);
  const right = new Cursor(target);
  let broken = left.begin() ?? right.begin();
  while (broken === null) {
    const order = compareHeads(left.head, right.head);
    if (order === null) return;
    const [one, other] = [left.head, right.head];
    if (order < 0) {
      if (one?.kind === 'entry') yield { kind: 'deleted', key: one.key, source: one.value };
      broken = left.step();
    } else if (order > 0) {
      if (other?.kind === 'entry') yield { kind: 'added', key: other.key, target: other.value };
      broken = right.step();
    } else {
      assert(one !== null && other !== null, 'equal heads are there');
      if (one.kind === 'entry' && other.kind === 'entry' && !equalValues(one.value, other.value)) {
        yield { kind: 'changed', key: one.key, source: one.value, target: other.value };
      }
      broken = stepBoth(left, right);
    }
  }
  yield broken;
}

type Head =
  | ({ readonly kind: 'entry' } & LeafEntry)
  | {
      readonly kind: 'subtree';
      readonly key: Uint8Array;
      readonly level: number;
      readonly reference: NodeReference;
    };

class Cursor {
  readonly #nodes: NodeSource;
  readonly #root: Uint8Array;
  /** What comes next, the nearest last. */
  readonly #pending: Head[] = [];

  constructor({ nodes, root }: StoredTree) {
    this.#nodes = nodes;
    this.#root = root;
  }

  /** What it stands before; null at the end. */
  get head(): Head | null {
    return this.#pending[this.#pending.length - 1] ?? null;
  }

  /** Reads the root. */
  begin(): Broken | null {
    return equalBytes(this.#root, EMPTY_ROOT) ? null : this.#read(rootReference(this.#root));
  }

  /** Goes past an entry, or into a subtree. */
  step(): Broken | null {
    const head = this.#pending.pop();
    return head?.kind === 'subtree' ? this.#read(head.reference) : null;
  }

  /** Goes past an entry or a whole subtree. */
  skip(): void {
    this.#pending.pop();
  }

  #read(reference: NodeReference): Broken | null {
    const node = readNode(this.#nodes, reference);
    if (node.kind === 'broken') return node;
    if (node.kind === 'leaf') {
      for (const entry of node.entries.toReversed()) this.#pending.push({ kind: 'entry', ...entry });
    } else {
      for (const entry of node.entries.toReversed()) {
        const child = childReference(node, entry);
        this.#pending.push({ kind: 'subtree', key: entry.key, level: node.level - 1, reference: child });
      }
    }
    return null;
  }
}

/** The order of the keys that two heads begin with; null when both are at their end. */
function compareHeads(one: Head | null, other: Head | null): number | null {
  if (one === null) return other === null ? null : 1;
  return other === null ? -1 : compareBytes(one.key, other.key);
}

/** Both heads begin with the same key. */
function stepBoth(left: Cursor, right: Cursor): Broken | null {
  const [one, other] = [left.head, right.head];
  const levels = levelOf(one) - levelOf(other);
  if (levels > 0) return left.step();
  if (levels < 0) return right.step();
  if (one?.kind === 'subtree' && other?.kind === 'subtree') {
    if (!equalBytes(one.reference.hash, other.reference.hash)) return left.step() ?? right.step();
  }
  left.skip();
  right.skip();
  return null;
}

function levelOf(head: Head | null): number {
  return head?.kind === 'subtree' ? head.level : -1;
}

function equalValues(one: StoredValue, other: StoredValue): boolean {
  if (one.kind === 'inline') return other.kind === 'inline' && equalBytes(one.bytes, other.bytes);
  return other.kind === 'node' && one.length === other.length && equalBytes(one.hash, other.hash);
}
