/**
 * The difference of two trees, in rounds: each names the nodes that it wants of both sides, all at a time,
 * and leaves out what has equal hashes. Boundaries are decided by keys, so that equal stretches are equal
 * nodes: for d differences it reads O(d log N) nodes, in as many rounds as the higher tree has levels. Trees
 * of other shapes are compared too; then nothing is equal before the leaves are read.
 *
 * Sans-IO: `begin` a round, `deliver` everything it wants, `take` what is decided. Each side is a row of
 * subtrees not yet read and of entries, in the order of keys. A round walks both rows in step and drops what
 * is equal, a subtree or an entry; it wants the highest subtrees of what is left. What stands before the
 * first subtree of either row is decided.
 *
 * Bounds: a round looks at WINDOW_ITEMS items and wants ROUND_NODES_MAX nodes of a side, the nearest first.
 * So of trees that have nothing in common it keeps a window for each level, not the trees. What a peer makes
 * up is finite: levels go down, keys ascend within the bounds of the parent, and counts add up.
 */

import { assert } from '../assert.ts';
import { NO_BYTES } from '../bytes.ts';
import {
  compareBytes,
  EMPTY_ROOT,
  equalBytes,
  LEVEL_MAX,
  type LeafEntry,
  type StoredValue,
  type TreeNode,
} from './node.ts';
import {
  type Broken,
  childReference,
  type NodeReference,
  type NodeSource,
  rootReference,
  verifyNode,
} from './read.ts';

/** One key that `target` has and `source` has not, or otherwise, or that has another value there. */
export type DecidedDifference =
  | { readonly kind: 'added'; readonly key: Uint8Array; readonly target: StoredValue }
  | { readonly kind: 'deleted'; readonly key: Uint8Array; readonly source: StoredValue }
  | {
      readonly kind: 'changed';
      readonly key: Uint8Array;
      readonly source: StoredValue;
      readonly target: StoredValue;
    };

/** What a walk over two trees comes upon next; `broken` is its end. */
export type Difference = DecidedDifference | Broken;

/** A tree and where its nodes are. */
export interface StoredTree {
  readonly nodes: NodeSource;
  readonly root: Uint8Array;
}

/** A node, by its hash and by its place in the tree: on the way to `key`, at `level`. */
export interface WantedNode {
  readonly kind: 'node';
  readonly hash: Uint8Array;
  /** Of the root, ROOT_LEVEL: how high it is is not known yet. */
  readonly level: number;
  /** The first key below it; of the root, the empty one. */
  readonly key: Uint8Array;
}

/** In place of the level of a root: above every level there is. */
export const ROOT_LEVEL: number = LEVEL_MAX + 1;

/** Which of two states that are compared: what there was, or what it shall become. */
export type Side = 'source' | 'target';

/** What a round wants. Of one side there may be nothing; a round that wants nothing is none. */
export type WantedNodes = Readonly<Record<Side, readonly WantedNode[]>>;

/** Keys to compare: [from, to). */
export interface KeyRange {
  readonly from: Uint8Array;
  /** Null for no end. */
  readonly to: Uint8Array | null;
}

const ALL_KEYS: KeyRange = { from: NO_BYTES, to: null };

/** Items of both rows that one round looks at. */
const WINDOW_ITEMS = 4096;

/** Nodes of one side in one round: some 200 KiB of inner nodes. */
export const ROUND_NODES_MAX = 512;

/** What turns the tree `source` into the tree `target`, in the order of keys. Ends after `broken`. */
export function* difference(source: StoredTree, target: StoredTree): Generator<Difference, void> {
  const walk = new TreeDifference(source.root, target.root);
  const nodes = { source: source.nodes, target: target.nodes };
  for (;;) {
    const wanted = walk.begin();
    yield* walk.take();
    if (wanted === null) return;
    for (const side of ['source', 'target'] as const) {
      for (const node of wanted[side]) {
        const broken = walk.deliver(side, node, nodes[side].read(node.hash));
        if (broken === null) continue;
        yield broken;
        return;
      }
    }
  }
}

/** What turns the tree under one root into that under another. */
export class TreeDifference {
  readonly #range: KeyRange;
  readonly #rows: Readonly<Record<Side, Row>>;
  #found: DecidedDifference[] = [];
  #keysPassed = 0;

  constructor(sourceRoot: Uint8Array, targetRoot: Uint8Array, range: KeyRange = ALL_KEYS) {
    this.#range = range;
    this.#rows = { source: new Row(range), target: new Row(range) };
    if (equalBytes(sourceRoot, targetRoot)) return;
    this.#rows.source.begin(sourceRoot);
    this.#rows.target.begin(targetRoot);
  }

  /** Keys of both sides that are behind it, equal ones included; of what is in the range. */
  get keysPassed(): number {
    return this.#keysPassed;
  }

  /**
   * Goes as far as it can, and names what it wants then: all of it must be delivered before the next round.
   * @returns Null at the end.
   */
  begin(): WantedNodes | null {
    const { source, target } = this.#rows;
    source.putBack();
    target.putBack();
    while (source.keptCount + target.keptCount < WINDOW_ITEMS) {
      const order = compareHeads(source.head, target.head);
      if (order === null) break;
      if (order < 0) this.#passOne('source');
      else if (order > 0) this.#passOne('target');
      else this.#passBoth();
    }
    const level = Math.max(source.highestKept, target.highestKept);
    if (level < 0) return null;
    return { source: source.want(level), target: target.want(level) };
  }

  /**
   * Takes a node that was wanted.
   * @param bytes Null when it is not there.
   * @returns What is wrong with it, or null. After that the walk cannot go on.
   */
  deliver(side: Side, { hash, key, level }: WantedNode, bytes: Uint8Array | null): Broken | null {
    if (bytes === null) return { kind: 'broken', hash, reason: 'missing' };
    return this.#rows[side].expand(key, level, bytes);
  }

  /** What was decided since it was last asked, in the order of keys. */
  take(): readonly DecidedDifference[] {
    const found = this.#found;
    this.#found = [];
    return found;
  }

  /** The next key is on one side only, as far as is known. */
  #passOne(side: Side): void {
    const row = this.#rows[side];
    const item = row.takeHead();
    if (item.kind === 'subtree' || !this.#isDecided) row.keep(item);
    else if (side === 'source') this.#decide({ kind: 'deleted', key: item.key, source: item.value });
    else this.#decide({ kind: 'added', key: item.key, target: item.value });
  }

  /** Both sides come to the same key. */
  #passBoth(): void {
    const [one, other] = [this.#rows.source.takeHead(), this.#rows.target.takeHead()];
    if (isSame(one, other)) {
      this.#keysPassed += countOf(one) + countOf(other);
    } else if (one.kind === 'entry' && other.kind === 'entry' && this.#isDecided) {
      this.#decide({ kind: 'changed', key: one.key, source: one.value, target: other.value });
    } else {
      this.#rows.source.keep(one);
      this.#rows.target.keep(other);
    }
  }

  /** Whether nothing in front could still hold the next key. */
  get #isDecided(): boolean {
    return this.#rows.source.highestKept < 0 && this.#rows.target.highestKept < 0;
  }

  #decide(found: DecidedDifference): void {
    this.#keysPassed += found.kind === 'changed' ? 2 : 1;
    const { from, to } = this.#range;
    if (compareBytes(found.key, from) < 0 || (to !== null && compareBytes(found.key, to) >= 0)) return;
    this.#found.push(found);
  }
}

type Item =
  | ({ readonly kind: 'entry' } & LeafEntry)
  | {
      readonly kind: 'subtree';
      readonly key: Uint8Array;
      readonly level: number;
      readonly reference: NodeReference;
      /** Where the next subtree begins; null at the end. */
      readonly end: Uint8Array | null;
    };

type Subtree = Extract<Item, { readonly kind: 'subtree' }>;

/** One side. */
class Row {
  readonly #range: KeyRange;
  /** What comes next, the nearest last. */
  readonly #pending: Item[] = [];
  /** What this round came past and could not decide, the nearest first; and what it has become. */
  #kept: Item[] = [];
  readonly #expanded = new Map<Item, readonly Item[]>();
  #wanted: Subtree[] = [];
  #highestKept = -1;

  constructor(range: KeyRange) {
    this.#range = range;
  }

  begin(root: Uint8Array): void {
    if (equalBytes(root, EMPTY_ROOT)) return;
    const reference = rootReference(root);
    this.#pending.push({ kind: 'subtree', key: NO_BYTES, level: ROOT_LEVEL, reference, end: null });
  }

  /** What it stands before; null at the end. */
  get head(): Item | null {
    return this.#pending[this.#pending.length - 1] ?? null;
  }

  get keptCount(): number {
    return this.#kept.length;
  }

  /** Level of the highest subtree that was kept; -1 for none. */
  get highestKept(): number {
    return this.#highestKept;
  }

  takeHead(): Item {
    const head = this.#pending.pop();
    assert(head !== undefined, 'a row that is not at its end has a head');
    return head;
  }

  keep(item: Item): void {
    this.#kept.push(item);
    if (item.kind === 'subtree') this.#highestKept = Math.max(this.#highestKept, item.level);
  }

  /** The nearest of the subtrees that were kept at a level. */
  want(level: number): WantedNode[] {
    for (const item of this.#kept) {
      if (item.kind !== 'subtree' || item.level !== level) continue;
      this.#wanted.push(item);
      if (this.#wanted.length === ROUND_NODES_MAX) break;
    }
    return this.#wanted.map(({ key, reference }) => ({ kind: 'node', hash: reference.hash, level, key }));
  }

  expand(key: Uint8Array, level: number, bytes: Uint8Array): Broken | null {
    const at = this.#wanted.findIndex((wanted) => wanted.level === level && equalBytes(wanted.key, key));
    const subtree = this.#wanted[at];
    assert(subtree !== undefined, 'only what was wanted is delivered, and once');
    const node = verifyNode(subtree.reference, bytes);
    if (node.kind === 'broken') return node;
    const last = node.entries[node.entries.length - 1];
    const isWithin = last === undefined || subtree.end === null || compareBytes(last.key, subtree.end) < 0;
    if (!isWithin) return { kind: 'broken', hash: subtree.reference.hash, reason: 'last key' };
    this.#wanted.splice(at, 1);
    this.#expanded.set(subtree, this.#itemsOf(node, subtree.end));
    return null;
  }

  /** Before the next round: everything that was kept, in its place again. */
  putBack(): void {
    assert(this.#wanted.length === 0, 'everything that a round wants is delivered before the next one');
    for (let at = this.#kept.length - 1; at >= 0; at--) {
      const item = this.#kept[at]!;
      const children = this.#expanded.get(item) ?? [item];
      for (let child = children.length - 1; child >= 0; child--) this.#pending.push(children[child]!);
    }
    this.#kept = [];
    this.#expanded.clear();
    this.#highestKept = -1;
  }

  /** What a node holds, without subtrees that are out of the range. */
  #itemsOf(node: TreeNode, end: Uint8Array | null): readonly Item[] {
    if (node.kind === 'leaf') return node.entries.map((entry) => ({ kind: 'entry', ...entry }));
    const items: Item[] = [];
    const { from, to } = this.#range;
    for (const [at, entry] of node.entries.entries()) {
      const childEnd = node.entries[at + 1]?.key ?? end;
      if (childEnd !== null && compareBytes(childEnd, from) <= 0) continue;
      if (to !== null && compareBytes(entry.key, to) >= 0) break;
      const reference = childReference(node, entry);
      items.push({ kind: 'subtree', key: entry.key, level: node.level - 1, reference, end: childEnd });
    }
    return items;
  }
}

/** The order of the keys that two heads begin with; null when both are at their end. */
function compareHeads(one: Item | null, other: Item | null): number | null {
  if (one === null) return other === null ? null : 1;
  return other === null ? -1 : compareBytes(one.key, other.key);
}

/** Whether two items that begin with one key have equal content. */
function isSame(one: Item, other: Item): boolean {
  if (one.kind === 'entry') return other.kind === 'entry' && equalValues(one.value, other.value);
  return other.kind === 'subtree' && equalBytes(one.reference.hash, other.reference.hash);
}

function countOf(item: Item): number {
  return item.kind === 'entry' ? 1 : (item.reference.expected?.count ?? 0);
}

function equalValues(one: StoredValue, other: StoredValue): boolean {
  if (one.kind === 'inline') return other.kind === 'inline' && equalBytes(one.bytes, other.bytes);
  return other.kind === 'node' && one.length === other.length && equalBytes(one.hash, other.hash);
}
