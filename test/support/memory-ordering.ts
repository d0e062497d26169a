/**
 * An ordering in memory: copies commands into the batch of the turn and applies the batch in a later turn, as
 * the real one does once it is durable. Tests can hold a batch back, bound what waits, and make it refuse.
 */

import { toIndex } from '../../src/base/positions.ts';
import type { Machine } from '../../src/engine/machine.ts';
import { keyValueMachine } from '../../src/keyvalue/machine.ts';
import type { CommandSink, Ordering, ReadSink } from '../../src/ordering/ordering.ts';
import { type CommandState, MapState } from './map-state.ts';

type Waiting =
  | { readonly kind: 'command'; readonly from: number; readonly to: number; readonly sink: CommandSink }
  | { readonly kind: 'read'; readonly sink: ReadSink };

export interface MemoryOrderingOptions {
  readonly machine?: Machine;
  readonly state?: CommandState;
  readonly pendingBytesMax?: number;
  /** When true batches are applied only by `applyBatch`. */
  readonly isManual?: boolean;
}

export class MemoryOrdering implements Ordering {
  readonly state: CommandState;
  /** Thrown by the next `enqueue`s. */
  refusal: Error | null = null;
  commandsApplied = 0;
  batches = 0;

  readonly #machine: Machine;
  readonly #pendingBytesMax: number;
  readonly #isManual: boolean;
  #bytes = Buffer.allocUnsafeSlow(64 * 1024);
  #pendingBytes = 0;
  #waiting: Waiting[] = [];
  #isDue = false;
  #onDrained: (() => void)[] = [];

  constructor(options: MemoryOrderingOptions = {}) {
    this.state = options.state ?? new MapState();
    this.#machine = options.machine ?? keyValueMachine;
    this.#pendingBytesMax = options.pendingBytesMax ?? 16 * 1024 * 1024;
    this.#isManual = options.isManual ?? false;
  }

  get isDrained(): boolean {
    return this.#pendingBytes < this.#pendingBytesMax;
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  enqueue(command: Uint8Array, sink: CommandSink): boolean {
    if (this.refusal !== null) throw this.refusal;
    const from = this.#pendingBytes;
    this.#pendingBytes += command.length;
    if (this.#pendingBytes > this.#bytes.length) this.#grow();
    this.#bytes.set(command, from);
    this.#wait({ kind: 'command', from, to: this.#pendingBytes, sink });
    return this.isDrained;
  }

  enqueueRead(sink: ReadSink): void {
    if (this.#waiting.length === 0) sink.read(this.state);
    else this.#wait({ kind: 'read', sink });
  }

  whenDrained(): Promise<void> {
    if (this.#pendingBytes < this.#pendingBytesMax / 2) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onDrained.push(resolve);
    });
  }

  /** Applies what waits now; what is enqueued meanwhile waits for the next batch. */
  applyBatch(): void {
    const waiting = this.#waiting;
    const bytes = this.#bytes;
    this.#waiting = [];
    this.#isDue = false;
    this.#bytes = Buffer.allocUnsafeSlow(Math.min(bytes.length, 1024 * 1024));
    this.#pendingBytes = 0;
    this.batches++;
    for (const each of waiting) {
      if (each.kind === 'read') each.sink.read(this.state);
      else this.#apply(bytes.subarray(each.from, each.to), each.sink);
    }
    const onDrained = this.#onDrained;
    this.#onDrained = [];
    for (const resolve of onDrained) resolve();
  }

  /** Gives up what waits, as an ordering does whose log has failed. */
  failBatch(error: Error): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#pendingBytes = 0;
    for (const { sink } of waiting) sink.fail(error);
  }

  #apply(command: Uint8Array, sink: CommandSink): void {
    this.commandsApplied++;
    const context = { index: toIndex(this.batches), time: 0 };
    let result: unknown;
    try {
      result = this.#machine.apply(this.state, command, context);
    } catch (error) {
      this.state.rollback();
      sink.fail(error);
      return;
    }
    this.state.commit();
    sink.settle(result);
  }

  #wait(waiting: Waiting): void {
    this.#waiting.push(waiting);
    if (this.#isDue || this.#isManual) return;
    this.#isDue = true;
    setImmediate(() => this.applyBatch());
  }

  #grow(): void {
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#pendingBytes, this.#bytes.length * 2));
    grown.set(this.#bytes);
    this.#bytes = grown;
  }
}
