/**
 * The tree of a sorted content, built in one pass: the definition of the shape as code (docs/format.md
 * §6.1). state/tree-editor.ts edits a tree in memory instead; tests hold the two against each other.
 */

import { assert } from '../assert.ts';
import { copyOf } from '../bytes.ts';
import { sha256 } from '../digest.ts';
import {
  compareBytes,
  EMPTY_NODE,
  EMPTY_ROOT,
  encodeNode,
  INLINE_VALUE_BYTES_MAX,
  type InnerEntry,
  innerEntryBytes,
  type LeafEntry,
  leafEntryBytes,
  type StoredValue,
} from './node.ts';
import { cutRun, KeyScale, levelOfWeight, type TreeShape } from './shape.ts';

/** Takes every node and every large value under its hash. The hash and the bytes are its own. */
export type StoreNode = (hash: Uint8Array, bytes: Uint8Array) => void;

interface Item<Entry> {
  readonly entry: Entry;
  readonly bytes: number;
  readonly weight: number;
}

/** Builds a tree out of entries in the order of their keys. */
export class TreeBuilder {
  readonly #shape: TreeShape;
  readonly #scale: KeyScale;
  readonly #store: StoreNode;
  #leafRun: Item<LeafEntry>[] = [];
  /** The open run of each level above the leaves; `#innerRuns[0]` holds what becomes nodes of level 1. */
  readonly #innerRuns: Item<InnerEntry>[][] = [];
  #lastKey: Uint8Array | null = null;

  constructor(shape: TreeShape, store: StoreNode) {
    this.#shape = shape;
    this.#scale = new KeyScale(shape);
    this.#store = store;
  }

  /** Adds an entry; keys must ascend. Key and value are copied. */
  add(key: Uint8Array, value: Uint8Array): void {
    assert(this.#lastKey === null || compareBytes(this.#lastKey, key) < 0, 'keys are added in order');
    const weight = this.#scale.weigh(key);
    const level = levelOfWeight(this.#shape, weight);
    for (let closed = 0; closed < level; closed++) this.#closeRun(closed);
    this.#lastKey = copyOf(key);
    const entry: LeafEntry = { key: this.#lastKey, value: this.#storeValue(value) };
    this.#leafRun.push({ entry, weight, bytes: leafEntryBytes(key.length, value.length) });
  }

  /** @returns The root. */
  end(): Uint8Array {
    if (this.#lastKey === null) {
      this.#store(EMPTY_ROOT, EMPTY_NODE);
      return EMPTY_ROOT;
    }
    for (let level = 0; ; level++) {
      this.#closeRun(level);
      const nodes = this.#innerRuns[level] ?? [];
      const isTop = this.#innerRuns.length === level + 1;
      if (isTop && nodes.length === 1) return nodes[0]!.entry.hash;
    }
  }

  /** Turns the open run of nodes of `level` into nodes, which join the open run above. */
  #closeRun(level: number): void {
    if (level === 0) {
      const run = this.#leafRun;
      this.#leafRun = [];
      this.#cut(run, 0, (entries) => [encodeNode({ kind: 'leaf', entries }), entries.length]);
    } else {
      const run = this.#innerRuns[level - 1] ?? [];
      // Before its first node a level does not exist, however high the first key is: the root may be below.
      if (run.length === 0) return;
      this.#innerRuns[level - 1] = [];
      this.#cut(run, level, (entries) => [
        encodeNode({ kind: 'inner', level, entries }),
        sumOfCounts(entries),
      ]);
    }
  }

  #cut<Entry extends { readonly key: Uint8Array }>(
    run: readonly Item<Entry>[],
    level: number,
    encode: (entries: readonly Entry[]) => [bytes: Uint8Array, count: number],
  ): void {
    if (run.length === 0) return;
    const { length } = run;
    const bytesOf = (at: number): number => run[at]!.bytes;
    const weightOf = (at: number): number => run[at]!.weight;
    const starts = cutRun({ length, bytesOf, weightOf }, this.#shape.nodeBytesMax);
    for (const [at, start] of starts.entries()) {
      const items = run.slice(start, starts[at + 1]);
      const [bytes, count] = encode(items.map((item) => item.entry));
      const hash = sha256(bytes);
      this.#store(hash, bytes);
      const { entry, weight } = items[0]!;
      const above: InnerEntry = { key: entry.key, count, hash };
      const item = { entry: above, weight, bytes: innerEntryBytes(entry.key.length, count) };
      (this.#innerRuns[level] ??= []).push(item);
    }
  }

  #storeValue(value: Uint8Array): StoredValue {
    const bytes = copyOf(value);
    if (value.length <= INLINE_VALUE_BYTES_MAX) return { kind: 'inline', bytes };
    const hash = sha256(bytes);
    this.#store(hash, bytes);
    return { kind: 'node', hash, length: bytes.length };
  }
}

function sumOfCounts(entries: readonly InnerEntry[]): number {
  return entries.reduce((sum, { count }) => sum + count, 0);
}
