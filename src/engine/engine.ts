/**
 * The engine: applies entries to the state, one command after the other, with backward recovery of each.
 *
 * The same code runs for a live entry and for one replayed from the log; the only difference is whether
 * somebody waits for the outcomes.
 */

import { assert, InvariantViolation } from '../base/assert.ts';
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
    this.#state = new LiveState({ seed: hashSeed });
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
   * @throws InvariantViolation, or a RangeError that a command threw: the node must stop.
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
 * Not a result of the command: another replica, or this one tomorrow, might get another outcome.
 *
 * Every RangeError counts. It is what JavaScript throws when stack, memory or the room in a string, an
 * array or a map runs out, and where that is depends on the memory and the version of Node; which of them
 * it is, only the message tells, and that too depends on the version.
 */
function isFatal(error: unknown): boolean {
  return error instanceof InvariantViolation || error instanceof RangeError;
}
