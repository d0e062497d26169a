/**
 * What happens to a node, for programs and operators: told as it happens to everybody who reads, and to
 * nobody else. Without readers an event costs one comparison.
 *
 * Invariants:
 *  - The node never waits for a reader. One that is slow loses the oldest events, and is told how many.
 *  - `stopped` is the last event; every reader ends behind it.
 */

import { type ErrorCode, TidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { LogEvent } from '../log/log-events.ts';
import type { ProcedureEvent } from '../procedures/procedure-runner.ts';
import type { CheckpointSummary } from './node-checkpoints.ts';
import { ProcessHold } from './process-hold.ts';
import type { ScrubFinding } from './scrub-record.ts';
import type { ScrubReport } from './scrubber.ts';

/** Events that wait for one reader: at most a few a second are told, and a reader rarely sleeps minutes. */
export const EVENTS_WAITING_MAX = 1024;

/** What went wrong: `code` as in docs/errors.md, null when it was the program. */
export interface EventFailure {
  readonly code: ErrorCode | null;
  readonly message: string;
}

/** The checkpoint that the state was read from is damaged. */
export interface DamageFound {
  readonly kind: 'damage-found';
  /** Whether the node stops, because it needs what is damaged; else nothing is lost. */
  readonly isNeeded: boolean;
  readonly file: string;
  /** Where in the file, in bytes. */
  readonly offset: number;
  readonly reason: string;
}

/** What happened; {@link NodeEvent} says when, too. */
export type NodeHappening =
  | LogEvent
  | ProcedureEvent
  /** After a start from a checkpoint: everything is in memory, and checkpoints are taken from here on. */
  | { readonly kind: 'loaded'; readonly keys: number; readonly tookMs: number }
  /** A checkpoint of the state up to `index` is being written; commands go on. */
  | { readonly kind: 'checkpoint-started'; readonly index: Index }
  /** It is durable and was read back. */
  | { readonly kind: 'checkpoint-taken'; readonly checkpoint: CheckpointSummary }
  /** Nothing keeps these any more: the entries they were of, oldest first. */
  | { readonly kind: 'checkpoints-removed'; readonly indices: readonly Index[] }
  /**
   * `checkpoint-failed`: it was given up; older checkpoints and the log are as they were. `cleanup-failed`:
   * it was taken, but older ones could not be removed or the log not be compacted, which a later one will.
   */
  | ({ readonly kind: 'checkpoint-failed' | 'cleanup-failed' } & EventFailure)
  | DamageFound
  /**
   * `scrub-finding`: something on the disk is not what was written. `scrub-outcome`: it was written again, or
   * is not needed any more. Each is told once.
   */
  | { readonly kind: 'scrub-finding' | 'scrub-outcome'; readonly finding: ScrubFinding }
  /** Everything was read and verified. */
  | { readonly kind: 'scrub-finished'; readonly report: ScrubReport }
  /** The event loop kept due work waiting for `lateMs` milliseconds, the longest of the last second. */
  | { readonly kind: 'late'; readonly lateMs: number }
  /** Nothing more is taken: `close` was called, or the disk or the program failed. */
  | { readonly kind: 'stopping'; readonly failure: EventFailure | null }
  /** The last event. */
  | { readonly kind: 'stopped'; readonly failure: EventFailure | null }
  /** This reader was slow: the `count` events before the next one are lost. */
  | { readonly kind: 'missed'; readonly count: number };

/** Discriminated by `kind`. */
export type NodeEvent = NodeHappening & {
  /** When, in milliseconds since 1970. */
  readonly at: number;
};

/** What `node.events` takes. */
export interface EventsOptions {
  /** Ends the reading: it throws the signal's reason. */
  readonly signal?: AbortSignal;
}

export class NodeEvents {
  readonly #clock: Clock;
  readonly #hold: ProcessHold;
  readonly #readers = new Set<EventReader>();
  #isOver = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#hold = new ProcessHold(clock);
  }

  readonly emit = (happening: NodeHappening): void => {
    if (this.#readers.size === 0) return;
    const event: NodeEvent = { ...happening, at: this.#clock.now() };
    for (const reader of this.#readers) reader.push(event);
  };

  /** Tells that the node has stopped. Idempotent. */
  end(failure: Error | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.emit({ kind: 'stopped', failure: failure && failureOf(failure) });
    for (const reader of this.#readers) reader.end();
    this.#readers.clear();
  }

  /** Events from now on. */
  read({ signal }: EventsOptions): AsyncIterableIterator<NodeEvent> {
    signal?.throwIfAborted();
    const reader = new EventReader({
      now: () => this.#clock.now(),
      hold: this.#hold,
      signal: signal ?? null,
      onClosed: () => this.#readers.delete(reader),
    });
    if (this.#isOver) reader.end();
    else this.#readers.add(reader);
    return reader;
  }
}

export function failureOf(error: unknown): EventFailure {
  const message = error instanceof Error ? error.message : String(error);
  return { code: error instanceof TidemarkError ? error.code : null, message };
}

interface ReaderConfig {
  readonly now: () => number;
  /** Who waits for an event stays. */
  readonly hold: ProcessHold;
  readonly signal: AbortSignal | null;
  /** The reader wants no more. */
  readonly onClosed: () => void;
}

interface Waiter {
  readonly resolve: (result: IteratorResult<NodeEvent, undefined>) => void;
  readonly reject: (error: unknown) => void;
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** One iteration. Asking for several events at once is allowed, as async iterators do. */
class EventReader implements AsyncIterableIterator<NodeEvent, undefined> {
  readonly #config: ReaderConfig;
  #queue: NodeEvent[] = [];
  #missed = 0;
  #waiters: Waiter[] = [];
  #isOver = false;
  /** What the next who asks is told, once. */
  #aborted: { readonly reason: unknown } | null = null;

  constructor(config: ReaderConfig) {
    this.#config = config;
    config.signal?.addEventListener('abort', this.#abort);
  }

  push(event: NodeEvent): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: event });
      return;
    }
    this.#queue.push(event);
    if (this.#queue.length <= EVENTS_WAITING_MAX) return;
    this.#queue.shift();
    this.#missed++;
  }

  /** No event follows those that wait. */
  end(): void {
    this.#isOver = true;
    this.#config.signal?.removeEventListener('abort', this.#abort);
    for (const { resolve } of this.#waiters.splice(0)) resolve(DONE);
  }

  next(): Promise<IteratorResult<NodeEvent, undefined>> {
    if (this.#aborted !== null) {
      const { reason } = this.#aborted;
      this.#aborted = null;
      return Promise.reject(reason);
    }
    const value = this.#take();
    if (value !== null) return Promise.resolve({ done: false, value });
    if (this.#isOver) return Promise.resolve(DONE);
    return this.#config.hold.during(
      new Promise((resolve, reject) => this.#waiters.push({ resolve, reject })),
    );
  }

  /** Called by a loop that is left. */
  return(): Promise<IteratorResult<NodeEvent, undefined>> {
    this.#close();
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #take(): NodeEvent | null {
    if (this.#missed === 0) return this.#queue.shift() ?? null;
    const count = this.#missed;
    this.#missed = 0;
    return { kind: 'missed', count, at: this.#config.now() };
  }

  readonly #abort = (): void => {
    const reason: unknown = this.#config.signal?.reason;
    const waiters = this.#waiters.splice(0);
    if (waiters.length === 0) this.#aborted = { reason };
    for (const { reject } of waiters) reject(reason);
    this.#close();
  };

  #close(): void {
    this.#queue = [];
    this.#missed = 0;
    this.end();
    this.#config.onClosed();
  }
}
