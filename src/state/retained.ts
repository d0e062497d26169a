/**
 * What only snapshots need: records and nodes that the newest tree no longer holds.
 *
 * Every record and node in the tree knows the version that made it, and is retired by a later one. A snapshot
 * of version v needs what was made by v or before and retired after v. What is retired goes to the newest
 * snapshot that needs it; when that is released, to the next older one that does, or back to the free memory.
 */

import { assert } from '../base/assert.ts';
import type { LiveIndex } from './live-index.ts';
import type { TreeNodes } from './tree-nodes.ts';

/** A version that somebody reads. */
export interface Pin {
  readonly version: number;
  /** What it keeps alive. */
  readonly nodes: number[];
  readonly records: number[];
}

/** Nodes and records looked at in one step of `reclaim`. */
const RECLAIM_MAX = 512;

export class Retained {
  readonly #nodes: TreeNodes;
  readonly #index: LiveIndex;
  /** Ascending by version; several may have the same. */
  readonly #pins: Pin[] = [];
  /** Released ones that still keep something. */
  readonly #released: Pin[] = [];
  /** Newest pin of a version before the one being folded. */
  #newestBefore: Pin | null = null;
  #folding = 0;

  constructor(nodes: TreeNodes, index: LiveIndex) {
    this.#nodes = nodes;
    this.#index = index;
  }

  get pinCount(): number {
    return this.#pins.length;
  }

  /** Whether `reclaim` has work. */
  get isReclaiming(): boolean {
    return this.#released.length > 0;
  }

  /** Pins of versions that are still to be folded come into play when a later version is. */
  beginFold(version: number): void {
    this.#folding = version;
    this.#newestBefore = this.#findNewestBefore(version);
  }

  /** @param version That of the newest frozen set, or of the tree. */
  pin(version: number): Pin {
    const newest = this.#pins[this.#pins.length - 1];
    assert(newest === undefined || newest.version <= version, 'only the newest version is pinned');
    const pin: Pin = { version, nodes: [], records: [] };
    this.#pins.push(pin);
    this.#newestBefore = this.#findNewestBefore(this.#folding);
    return pin;
  }

  release(pin: Pin): void {
    const at = this.#pins.indexOf(pin);
    assert(at >= 0, 'a snapshot is released once');
    this.#pins.splice(at, 1);
    this.#released.push(pin);
    this.#newestBefore = this.#findNewestBefore(this.#folding);
  }

  isShared(born: number): boolean {
    return this.#newestBefore !== null && born <= this.#newestBefore.version;
  }

  /** A node left the tree that is being folded. */
  retireNode(node: number): void {
    const pin = this.#newestBefore;
    assert(!this.#nodes.isCold(node), 'a leaf leaves the tree with its records');
    if (pin !== null && this.#nodes.bornOf(node) <= pin.version) pin.nodes.push(node);
    else this.#nodes.free(node);
  }

  retireRecord(record: number): void {
    const pin = this.#newestBefore;
    if (pin !== null && this.#index.markOf(record) <= pin.version) pin.records.push(record);
    else this.#index.free(record);
  }

  /** Finds new keepers for some of what released snapshots kept, or frees it. Bounded work. */
  reclaim(): void {
    const released = this.#released[this.#released.length - 1];
    if (released === undefined) return;
    const heir = this.#findNewestBefore(released.version + 1);
    for (let left = RECLAIM_MAX; left > 0; left--) {
      const node = released.nodes.pop();
      if (node === undefined) break;
      if (heir !== null && this.#nodes.bornOf(node) <= heir.version) heir.nodes.push(node);
      else this.#nodes.free(node);
    }
    for (let left = RECLAIM_MAX; left > 0; left--) {
      const record = released.records.pop();
      if (record === undefined) break;
      if (heir !== null && this.#index.markOf(record) <= heir.version) heir.records.push(record);
      else this.#index.free(record);
    }
    if (released.nodes.length === 0 && released.records.length === 0) {
      this.#released.splice(this.#released.indexOf(released), 1);
    }
  }

  #findNewestBefore(version: number): Pin | null {
    return this.#pins.findLast((pin) => pin.version < version) ?? null;
  }
}
