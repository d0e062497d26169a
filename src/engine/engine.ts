/**
 * The engine: applies entries to the state, one command after the other, with backward recovery of each.
 *
 * The same code runs for a live entry and for one replayed from the log; the only difference is whether
 * somebody waits for the outcomes.
 */

import { assert, InvariantViolation } from '../base/assert.ts';
import { defaultShape } from '../base/merkle/shape.ts';
import { type Index, nextIndex, toIndex } from '../base/positions.ts';
import { LiveState } from '../state/live-state.ts';
import type { StateReader } from '../state/state.ts';
import { forEachCommand } from './entry.ts';
import type { Machine } from './machine.ts';

/** Who waits for the outcomes of an entry's commands; `at` counts from 0. */
export interface Outcomes {
  settled(at: number, result: unknown): void;
  failed(at: number, error: unknown): void;
}

/** An entry to apply. */
export interface AppliedEntry {
  readonly index: Index;
  readonly time: number;
  readonly body: Uint8Array;
}

export class Engine {
  readonly #machine: Machine;
  readonly #state: LiveState;
  #appliedIndex: Index = toIndex(0);
  #commandsApplied = 0;

  /** @param hashSeed KEY_HASH_SEED_BYTES random bytes: nobody may choose keys that collide in the index. */
  constructor(machine: Machine, hashSeed: Uint8Array) {
    this.#machine = machine;
    this.#state = new LiveState({ seed: hashSeed, shape: defaultShape(new Uint8Array(16)) });
  }

  get state(): StateReader {
    return this.#state;
  }

  /** Index of the last entry applied. */
  get appliedIndex(): Index {
    return this.#appliedIndex;
  }

  /** Commands run since the start, replayed ones included. */
  get commandsApplied(): number {
    return this.#commandsApplied;
  }

  /** Bytes of memory that the state holds. */
  get stateBytes(): number {
    return this.#state.allocatedBytes;
  }

  /**
   * Applies the next entry.
   * @throws InvariantViolation, or what V8 threw when it ran out of something: the node must stop.
   */
  apply(entry: AppliedEntry, outcomes: Outcomes | null): void {
    const { index, time } = entry;
    assert(index === nextIndex(this.#appliedIndex), `entry ${index} follows ${this.#appliedIndex}`);
    const context = { index, time };
    this.#commandsApplied += forEachCommand(entry.body, (command, at) => {
      this.#state.begin();
      let result: unknown;
      try {
        result = this.#machine.apply(this.#state, command, context);
      } catch (error) {
        this.#state.rollback();
        if (isFatal(error)) throw error;
        outcomes?.failed(at, error);
        return;
      }
      this.#state.commit();
      outcomes?.settled(at, result);
    });
    this.#appliedIndex = index;
  }
}

/**
 * What V8 says when stack, memory or the room in a string, a buffer, a map or a bigint runs out. Where that
 * is depends on the memory and the version of Node. Other RangeErrors, a machine's own among them, are
 * results.
 */
const EXHAUSTED = new RegExp(
  '^(Maximum (call stack|BigInt) size exceeded|(Map|Set) maximum size exceeded|' +
    'Array buffer allocation failed|Invalid (string|typed array) length)',
);

/** Not a result of the command: another replica, or this one tomorrow, might get another outcome. */
function isFatal(error: unknown): boolean {
  if (error instanceof InvariantViolation) return true;
  return error instanceof RangeError && EXHAUSTED.test(error.message);
}
