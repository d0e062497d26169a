/**
 * The state of a node as it was when it was held, while commands go on: its tree can be read, node by node,
 * by whoever compares it with another (`diffStates`). What it holds beyond the state of today is what was
 * overwritten since. It must be released.
 */

import { copyOf } from '../base/bytes.ts';
import type { TreePosition, TreeReader } from '../base/merkle/diff-states.ts';
import type { Index } from '../base/positions.ts';
import type { EngineSnapshot } from '../engine/engine.ts';
import type { Snapshot } from '../state/snapshot.ts';

/** Which state it is. */
export interface StateFacts {
  /** Of its cluster: the shapes of trees, and so their roots, compare within one only. */
  readonly clusterId: string;
  readonly machine: { readonly name: string; readonly version: number };
  /** Of the last entry in it: index, and time in milliseconds since 1970. */
  readonly index: Index;
  readonly time: number;
}

/** Bytes of one answer, unless one node or value alone has more: some milliseconds of the event loop. */
const ANSWER_BYTES_MAX = 1024 * 1024;

/** A state that a node holds; see `node.hold`. Release it. */
export class HeldState implements TreeReader {
  readonly name: string;
  readonly facts: StateFacts;
  readonly root: Uint8Array;
  readonly keys: number;
  readonly #snapshot: Snapshot;
  #isReleased = false;

  /** Use `node.hold`. */
  constructor({ snapshot, index, time }: EngineSnapshot, facts: Pick<StateFacts, 'clusterId' | 'machine'>) {
    this.name = `the state of entry ${index}`;
    this.facts = { ...facts, index, time };
    this.root = copyOf(snapshot.storedTree.root);
    this.keys = snapshot.size;
    this.#snapshot = snapshot;
  }

  /** Rejects with TIDEMARK_CHECKPOINT_DAMAGED when a part that was not in memory yet cannot be read. */
  async read(wanted: readonly TreePosition[]): Promise<readonly (Uint8Array | null)[]> {
    const answer: (Uint8Array | null)[] = [];
    let bytes = 0;
    for (const position of wanted) {
      const read =
        position.kind === 'node'
          ? this.#snapshot.nodeAt(position.level, position.key)
          : this.#snapshot.valueOf(position.key);
      bytes += read?.length ?? 0;
      answer.push(read);
      if (bytes >= ANSWER_BYTES_MAX) break;
    }
    return answer;
  }

  /** Lets go of it. Idempotent; nothing is read afterwards. */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#snapshot.release();
  }

  [Symbol.dispose](): void {
    this.release();
  }
}
