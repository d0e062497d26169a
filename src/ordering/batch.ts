/** A batch: the commands of one entry, who waits for them, and the reads that stand between them. */

import { assert } from '../base/assert.ts';
import type { Outcomes } from '../engine/engine.ts';
import { EntryBuilder } from '../engine/entry.ts';
import type { StateReader } from '../state/state.ts';
import type { CommandSink, ReadSink } from './ordering.ts';

/** A batch with a larger buffer is not kept for reuse. */
const KEPT_BYTES_MAX = 4 * 1024 * 1024;

export class Batch implements Outcomes {
  /** When its first command was taken, by the clock that never goes back; set by its owner. */
  takenAt = 0;
  readonly #commands = new EntryBuilder();
  readonly #sinks: CommandSink[] = [];
  readonly #reads: ReadSink[] = [];
  /** For each read, how many commands stand before it. */
  readonly #readsAfter: number[] = [];
  #state: StateReader | null = null;
  #settled = 0;
  #readsDone = 0;

  get isEmpty(): boolean {
    return this.#sinks.length === 0 && this.#reads.length === 0;
  }

  get commandCount(): number {
    return this.#sinks.length;
  }

  get bytes(): number {
    return this.#commands.size;
  }

  get isKept(): boolean {
    return this.#commands.capacity <= KEPT_BYTES_MAX;
  }

  add(command: Uint8Array, sink: CommandSink): void {
    this.#commands.add(command);
    this.#sinks.push(sink);
  }

  addRead(sink: ReadSink): void {
    this.#reads.push(sink);
    this.#readsAfter.push(this.#sinks.length);
  }

  body(): Uint8Array {
    return this.#commands.body();
  }

  /** Makes ready for the outcomes; runs the reads that stand before the first command. */
  begin(state: StateReader): void {
    this.#state = state;
    this.#runReads();
  }

  settled(at: number, result: unknown): void {
    assert(at === this.#settled, `outcome ${at} comes after ${this.#settled} others`);
    this.#settled++;
    this.#sinks[at]!.settle(result);
    this.#runReads();
  }

  failed(at: number, error: unknown): void {
    assert(at === this.#settled, `outcome ${at} comes after ${this.#settled} others`);
    this.#settled++;
    this.#sinks[at]!.fail(error);
    this.#runReads();
  }

  /** The commands were never written: fails each in its place, and answers the reads between them. */
  refuse(state: StateReader, error: unknown): void {
    this.begin(state);
    while (this.#settled < this.#sinks.length) this.failed(this.#settled, error);
  }

  /** Tells everybody who still waits that nothing will come; then throws what a sink threw first. */
  failRest(error: unknown): void {
    const thrown: unknown[] = [];
    const waiting = [...this.#sinks.slice(this.#settled), ...this.#reads.slice(this.#readsDone)];
    this.#settled = this.#sinks.length;
    this.#readsDone = this.#reads.length;
    for (const sink of waiting) {
      try {
        sink.fail(error);
      } catch (failure) {
        thrown.push(failure);
      }
    }
    if (thrown.length > 0) throw thrown[0];
  }

  clear(): void {
    this.#commands.clear();
    this.#sinks.length = 0;
    this.#reads.length = 0;
    this.#readsAfter.length = 0;
    this.#state = null;
    this.#settled = 0;
    this.#readsDone = 0;
  }

  #runReads(): void {
    while (this.#readsDone < this.#reads.length && this.#readsAfter[this.#readsDone]! <= this.#settled) {
      assert(this.#state !== null, 'a batch runs after begin');
      this.#reads[this.#readsDone++]!.read(this.#state);
    }
  }
}
