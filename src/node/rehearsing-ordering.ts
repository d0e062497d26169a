/**
 * The ordering of a node in development mode: every command is tried on the state that it will find, before
 * it is taken. One that is not deterministic is refused, and never gets into the log.
 *
 * So commands go one at a time: each waits until the one before it was applied.
 */

import { copyOf } from '../base/bytes.ts';
import { TidemarkError } from '../base/errors.ts';
import type { Clock } from '../base/time.ts';
import type { Engine } from '../engine/engine.ts';
import type { CommandSink, Ordering, ReadSink } from '../ordering/ordering.ts';

/** Calls that may wait: more than tests make at once, and little memory. */
const WAITING_MAX = 65_536;

type Waiting =
  | { readonly kind: 'command'; readonly command: Uint8Array; readonly sink: CommandSink }
  | { readonly kind: 'read'; readonly sink: ReadSink };

export interface RehearsingConfig {
  readonly ordering: Ordering;
  readonly engine: Engine;
  readonly clock: Clock;
}

export class RehearsingOrdering implements Ordering {
  readonly #config: RehearsingConfig;
  readonly #waiting: Waiting[] = [];
  /** Whether a command was taken and not yet answered. */
  #isBusy = false;
  #isClosed = false;
  #idleWaiters: (() => void)[] = [];

  constructor(config: RehearsingConfig) {
    this.#config = config;
  }

  enqueue(command: Uint8Array, sink: CommandSink): boolean {
    this.#add({ kind: 'command', command: copyOf(command), sink });
    return this.isDrained;
  }

  enqueueRead(sink: ReadSink): void {
    this.#add({ kind: 'read', sink });
  }

  get isDrained(): boolean {
    return this.#waiting.length < WAITING_MAX / 2 && this.#config.ordering.isDrained;
  }

  async whenDrained(): Promise<void> {
    await this.#whenIdle();
    await this.#config.ordering.whenDrained();
  }

  /** Takes nothing more, and waits until everything taken is answered. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#whenIdle();
  }

  async #whenIdle(): Promise<void> {
    if (!this.#isBusy && this.#waiting.length === 0) return;
    await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  #add(waiting: Waiting): void {
    if (this.#isClosed) throw closing();
    if (this.#waiting.length >= WAITING_MAX) throw busy();
    this.#waiting.push(waiting);
    this.#goOnSoon();
  }

  /** Never at once: a sink is told after `enqueue`, and outside of the command that ends just now. */
  #goOnSoon(): void {
    queueMicrotask(() => this.#goOn());
  }

  #goOn(): void {
    while (!this.#isBusy) {
      const next = this.#waiting.shift();
      if (next === undefined) {
        for (const resolve of this.#idleWaiters.splice(0)) resolve();
        return;
      }
      try {
        if (next.kind === 'read') this.#config.ordering.enqueueRead(next.sink);
        else this.#take(next.command, next.sink);
      } catch (error) {
        next.sink.fail(error);
      }
    }
  }

  #take(command: Uint8Array, sink: CommandSink): void {
    const { engine, ordering, clock } = this.#config;
    engine.rehearse(command, clock.now());
    const answered = (): void => {
      this.#isBusy = false;
      this.#goOnSoon();
    };
    ordering.enqueue(command, {
      settle(result) {
        answered();
        sink.settle(result);
      },
      fail(error) {
        answered();
        sink.fail(error);
      },
    });
    this.#isBusy = true;
  }
}

function closing(): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_OPEN', 'the node is closing', { remedy: 'fix-call' });
}

function busy(): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_BUSY',
    `${WAITING_MAX} calls wait, one after the other because of checkDeterminism; wait for drained()`,
    { remedy: 'retry', facts: { waiting: WAITING_MAX } },
  );
}
