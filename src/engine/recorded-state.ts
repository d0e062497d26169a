/**
 * The state as one run of a command or query sees it in development mode: notes what the run writes, and is
 * of no use after it.
 */

import { bufferOf, copyOf } from '../base/bytes.ts';
import { withAllowedGlobals } from '../base/forbidden-globals.ts';
import type { Savepoint, StateEntry, StateScan, StateWriter } from '../state/state.ts';

/** A key in hexadecimal, and what was written there; null when it was deleted. */
type Write = readonly [key: string, value: Uint8Array | null];

export class RecordedState implements StateWriter {
  readonly #state: StateWriter;
  readonly #requireRunning: () => void;
  readonly #written: Write[] = [];

  /** @param requireRunning Throws once the run is over. */
  constructor(state: StateWriter, requireRunning: () => void) {
    this.#state = state;
    this.#requireRunning = requireRunning;
  }

  /** What the run leaves, by key in hexadecimal. */
  get writes(): ReadonlyMap<string, Uint8Array | null> {
    return new Map(this.#written);
  }

  get size(): number {
    return this.#step(() => this.#state.size);
  }

  get(key: Uint8Array): Uint8Array | null {
    return this.#step(() => this.#state.get(key));
  }

  has(key: Uint8Array): boolean {
    return this.#step(() => this.#state.has(key));
  }

  scan(cursor: number, count: number): StateScan {
    return this.#step(() => this.#state.scan(cursor, count));
  }

  cursorAt(part: number): number {
    return this.#step(() => this.#state.cursorAt(part));
  }

  *orderedEntries(from: Uint8Array): Generator<StateEntry, void> {
    const entries = this.#step(() => this.#state.orderedEntries(from)[Symbol.iterator]());
    for (;;) {
      const step = this.#step(() => entries.next());
      if (step.done === true) return;
      yield step.value;
    }
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#step(() => this.#state.set(key, value));
    this.#written.push([bufferOf(key).toString('hex'), copyOf(value)]);
  }

  delete(key: Uint8Array): boolean {
    const isThere = this.#step(() => this.#state.delete(key));
    if (isThere) this.#written.push([bufferOf(key).toString('hex'), null]);
    return isThere;
  }

  /** Behind what the state tells of a savepoint stands how much had been written. */
  savepoint(): Savepoint {
    return [...this.#step(() => this.#state.savepoint()), this.#written.length];
  }

  rollbackTo(savepoint: Savepoint): void {
    this.#step(() => this.#state.rollbackTo(savepoint.slice(0, -1)));
    this.#written.length = savepoint.at(-1)!;
  }

  /** The state is Tidemark's: what it does to read a file is no concern of the machine. */
  #step<Result>(step: () => Result): Result {
    this.#requireRunning();
    return withAllowedGlobals(step);
  }
}
