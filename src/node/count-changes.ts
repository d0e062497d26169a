/** Counts what turns one state into another. */

import type { EngineSnapshot } from '../engine/engine.ts';
import { changeBytes } from '../engine/rewind-entry.ts';
import type { TreeChange } from '../state/compare-trees.ts';

/** Keys that come, change and go, those that the machine keeps for itself included. */
export interface ChangeCounts {
  readonly keysAdded: number;
  readonly keysChanged: number;
  readonly keysDeleted: number;
}

export class ChangeTally {
  /** Bytes that the changes take in the log. */
  bytes = 0;
  #keysAdded = 0;
  #keysChanged = 0;
  #keysDeleted = 0;

  add({ key, source, target }: TreeChange): void {
    if (source === null) this.#keysAdded++;
    else if (target === null) this.#keysDeleted++;
    else this.#keysChanged++;
    this.bytes += changeBytes({ key, value: target });
  }

  get counts(): ChangeCounts {
    return { keysAdded: this.#keysAdded, keysChanged: this.#keysChanged, keysDeleted: this.#keysDeleted };
  }
}

/** In steps; both snapshots have their roots. */
export function* countChanges(source: EngineSnapshot, target: EngineSnapshot): Generator<void, ChangeTally> {
  const tally = new ChangeTally();
  for (const change of source.snapshot.changesTo(target.snapshot)) {
    if (change === null) yield;
    else tally.add(change);
  }
  return tally;
}
