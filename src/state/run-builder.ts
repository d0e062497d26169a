/**
 * Puts a tree together from left to right: records, and whole subtrees where nothing changed. The same rules
 * as base/merkle/build.ts (docs/format.md §6.1), over nodes in memory.
 *
 * Each level has an open run. A key of level n closes the open runs of all levels below n: each becomes a
 * node, or several when it is too large, and these join the run above. A subtree may be taken as it is when
 * its first key closes every run below its own level, and what follows it will do the same.
 */

import { assert } from '../base/assert.ts';
import { innerEntryBytes, LEVEL_MAX, leafEntryBytes } from '../base/merkle/node.ts';
import {
  cutRun,
  type KeyScale,
  levelOfWeight,
  NODE_HEADER_BYTES,
  type TreeShape,
} from '../base/merkle/shape.ts';
import { type ChildInit, NO_NODE } from './tree-nodes.ts';
import type { ReadableTree } from './tree-records.ts';

export interface TreeParts extends ReadableTree {
  readonly shape: TreeShape;
  readonly scale: KeyScale;
}

export class RunBuilder {
  readonly #parts: TreeParts;
  /** Version of the nodes it makes. */
  readonly #born: number;

  /** The open run of leaves' entries. */
  #records = new Int32Array(64);
  #recordCount = 0;
  /** At least the encoded bytes of its entries. */
  #bytesBound = 0;
  /** Level of its first key. */
  #firstLevel = 0;
  /** The same of the old leaf that is being taken apart; and while the run has none of its records yet. */
  #leafBytes = 0;
  #leafBytesToAdd = 0;

  /** The open run of each level above; number 0 holds what becomes nodes of level 1. */
  readonly #runs: ChildInit[][] = [];

  constructor(parts: TreeParts, born: number) {
    this.#parts = parts;
    this.#born = born;
  }

  get isEmpty(): boolean {
    return this.#recordCount === 0 && this.#runs.length === 0;
  }

  /** The records that come next are from a leaf whose entries have at most so many bytes. */
  beginLeaf(entryBytes: number): void {
    this.#leafBytes = entryBytes;
    this.#leafBytesToAdd = entryBytes;
  }

  endLeaf(): void {
    this.#leafBytes = 0;
    this.#leafBytesToAdd = 0;
  }

  /**
   * A record of the leaf.
   * @param keyLevel Level of its key.
   */
  addRecord(record: number, keyLevel: number): void {
    this.#add(record, keyLevel);
    this.#bytesBound += this.#leafBytesToAdd;
    this.#leafBytesToAdd = 0;
  }

  /** A record that is in no leaf yet. */
  addNewRecord(record: number, keyLevel: number, entryBytes: number): void {
    this.#add(record, keyLevel);
    this.#bytesBound += entryBytes;
  }

  /** A whole subtree whose top is of `level`. */
  addNode(level: number, child: ChildInit): void {
    this.#closeRunsBelow(child.keyLevel);
    assert(this.#recordCount === 0, 'no run below a subtree is open');
    this.#runAbove(level).push(child);
  }

  /** @returns The root. */
  end(): number {
    for (let level = 0; ; level++) {
      this.#closeRun(level);
      const nodes = this.#runs[level] ?? [];
      if (this.#runs.length > level + 1) continue;
      if (nodes.length === 0) return NO_NODE;
      if (nodes.length === 1) return nodes[0]!.node;
    }
  }

  #add(record: number, keyLevel: number): void {
    this.#closeRunsBelow(keyLevel);
    if (this.#recordCount === 0) this.#firstLevel = keyLevel;
    if (this.#recordCount === this.#records.length) this.#growRecords();
    this.#records[this.#recordCount++] = record;
  }

  #closeRunsBelow(keyLevel: number): void {
    for (let level = 0; level < keyLevel; level++) {
      if (level > this.#runs.length) return;
      this.#closeRun(level);
    }
  }

  #closeRun(level: number): void {
    if (level === 0) this.#closeLeafRun();
    else this.#closeInnerRun(level);
  }

  #closeLeafRun(): void {
    const { nodes, shape } = this.#parts;
    const count = this.#recordCount;
    let bound = this.#bytesBound;
    this.#recordCount = 0;
    this.#bytesBound = 0;
    this.#leafBytesToAdd = this.#leafBytes;
    if (count === 0) return;
    let starts = [0];
    if (bound + NODE_HEADER_BYTES > shape.nodeBytesMax) {
      bound = 0;
      for (let at = 0; at < count; at++) bound += this.#entryBytesOf(this.#records[at]!);
      starts = this.#cutLeafRun(count);
    }
    const isCut = starts.length > 1;
    for (const [at, from] of starts.entries()) {
      const firstLevel = at === 0 ? this.#firstLevel : 0;
      const to = starts[at + 1] ?? count;
      const init = { level: 0, firstLevel, isCut, born: this.#born };
      const node = nodes.addLeaf(init, this.#records, from, to, bound);
      this.#runAbove(0).push(this.#leafAsChild(node, this.#records[from]!, to - from, firstLevel));
    }
  }

  #leafAsChild(node: number, firstRecord: number, count: number, keyLevel: number): ChildInit {
    // A view into the record: neither moves before the tree is complete.
    const keySource = this.#parts.index.keyOf(firstRecord);
    return { node, count, keySource, keyOffset: 0, keyBytes: keySource.length, keyLevel };
  }

  #cutLeafRun(length: number): number[] {
    const { index, scale, shape } = this.#parts;
    const bytesOf = (at: number): number => this.#entryBytesOf(this.#records[at]!);
    const weightOf = (at: number): number => scale.weigh(index.keyOf(this.#records[at]!));
    return cutRun({ length, bytesOf, weightOf }, shape.nodeBytesMax);
  }

  #closeInnerRun(level: number): void {
    const { nodes, shape } = this.#parts;
    const run = this.#runs[level - 1] ?? [];
    if (run.length === 0) return;
    this.#runs[level - 1] = [];
    let bytes = NODE_HEADER_BYTES;
    for (const { keyBytes, count } of run) bytes += innerEntryBytes(keyBytes, count);
    const starts = bytes > shape.nodeBytesMax ? this.#cutInnerRun(run) : [0];
    const isCut = starts.length > 1;
    for (const [at, from] of starts.entries()) {
      const to = starts[at + 1] ?? run.length;
      let keyBytes = 0;
      for (let child = from; child < to; child++) keyBytes += run[child]!.keyBytes;
      const first = run[from]!;
      const init = { level, firstLevel: first.keyLevel, isCut, born: this.#born };
      const node = nodes.addInner(init, to - from, keyBytes);
      for (let child = from; child < to; child++) nodes.setChild(node, child - from, run[child]!);
      this.#runAbove(level).push({ ...first, node, count: nodes.keysOf(node) });
    }
  }

  #cutInnerRun(run: readonly ChildInit[]): number[] {
    const { scale, shape } = this.#parts;
    const bytesOf = (at: number): number => innerEntryBytes(run[at]!.keyBytes, run[at]!.count);
    const weightOf = (at: number): number => {
      const { keySource, keyOffset, keyBytes } = run[at]!;
      return scale.weigh(keySource.subarray(keyOffset, keyOffset + keyBytes));
    };
    return cutRun({ length: run.length, bytesOf, weightOf }, shape.nodeBytesMax);
  }

  /** The open run that nodes of `level` join. */
  #runAbove(level: number): ChildInit[] {
    assert(level < LEVEL_MAX, `a tree has at most ${LEVEL_MAX} levels`);
    while (this.#runs.length <= level) this.#runs.push([]);
    return this.#runs[level]!;
  }

  #entryBytesOf(record: number): number {
    const { index } = this.#parts;
    return leafEntryBytes(index.keyBytesOf(record), index.valueBytesOf(record));
  }

  #growRecords(): void {
    const grown = new Int32Array(2 * this.#records.length);
    grown.set(this.#records);
    this.#records = grown;
  }
}

/** Level of a key: decides which nodes it begins. */
export function keyLevelOf({ shape, scale }: TreeParts, key: Uint8Array): number {
  return levelOfWeight(shape, scale.weigh(key));
}
