/** The parts of a rewind that came so far: held until the last one is there, or another entry ends it. */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import type { EnginePosition } from './engine.ts';
import { decodeRewind, REWIND_BYTES_MAX, type RewindTarget, type StateChange } from './rewind-entry.ts';

export class RewindInProgress {
  /** The entry before the first part: whose state it is, until the last part is there. */
  readonly before: EnginePosition;
  readonly #parts: Iterable<StateChange>[] = [];
  #bytes = 0;
  #target: RewindTarget | null = null;
  #isWhole = false;

  constructor(before: EnginePosition) {
    this.before = before;
  }

  /** @param body Valid during the call. */
  add(body: Uint8Array): void {
    const { part, isLast, target, changes } = decodeRewind(copyOf(body));
    assert(part === this.#parts.length + 1, `part ${part} of a rewind follows part ${this.#parts.length}`);
    this.#bytes += body.length;
    assert(this.#bytes <= 2 * REWIND_BYTES_MAX, `a rewind is bounded, and has ${this.#bytes} bytes`);
    this.#parts.push(changes);
    this.#target = target;
    this.#isWhole = isLast;
  }

  get isWhole(): boolean {
    return this.#isWhole;
  }

  get target(): RewindTarget {
    assert(this.#target !== null, 'a rewind has a part');
    return this.#target;
  }

  *changes(): Generator<StateChange, void> {
    for (const part of this.#parts) yield* part;
  }
}
