/**
 * When checkpoints are taken: one at a time, on request. Requests that come while one runs share the next.
 *
 * Held at first, and whenever a state is being installed: requests then wait.
 */

import { assert } from '../base/assert.ts';
import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import type { Index, Timeline } from '../base/positions.ts';
import type { CheckpointInfo } from './checkpoint-info.ts';
import type { CheckpointStore } from './checkpoint-store.ts';
import type { FoundCheckpoint } from './survey-checkpoints.ts';
import type { CheckpointFacts, TreeSource, WrittenCheckpoint } from './write-checkpoint.ts';

/** A state held as it is at one index, with its root computed. */
export interface HeldState {
  readonly source: TreeSource;
  readonly facts: CheckpointFacts;
  /** Bytes of log after an index that a compaction would give back. */
  readonly logBytesAfter: (index: Index) => number;
  /** Lets go of it. Called once. */
  release(): void;
}

export interface CheckpointerConfig {
  readonly store: CheckpointStore;
  /** Where the state is now. */
  readonly position: () => { readonly timeline: Timeline; readonly index: Index };
  /** Holds the state as it is now, and has its root computed. */
  readonly hold: () => Promise<HeldState>;
  /** A checkpoint is durable, and older ones are removed. */
  readonly onCommitted: (written: WrittenCheckpoint) => Promise<void>;
  /** Older ones are gone. */
  readonly onRemoved: (removed: readonly FoundCheckpoint[]) => void;
  /** An attempt failed: everything is as it was. Told once, whoever asked for it. */
  readonly onFailed: (error: unknown) => void;
  /**
   * Older checkpoints could not be removed, or the log not be compacted: what is left goes with a later one,
   * or with the first one after a restart.
   */
  readonly onProblem: (error: unknown) => void;
}

interface Waiter {
  readonly resolve: (info: CheckpointInfo) => void;
  readonly reject: (error: unknown) => void;
}

export class Checkpointer {
  readonly #config: CheckpointerConfig;
  #waiting: Waiter[] = [];
  #running: Promise<void> | null = null;
  #holds = 1;
  /** What requests are refused with; null while they are taken. */
  #refusal: Error | null = null;

  /** Held: `start` it once recovery has ended. */
  constructor(config: CheckpointerConfig) {
    this.#config = config;
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Takes a checkpoint of the state as it is now or later; the newest one when nothing has changed since. */
  request(): Promise<CheckpointInfo> {
    if (this.#refusal !== null) return Promise.reject(this.#refusal);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#runNext();
    });
  }

  /** Requests wait from now on; resolves when none runs any more. Undone by `start`. */
  async stop(): Promise<void> {
    this.#holds++;
    await this.#running;
  }

  start(): void {
    assert(this.#holds > 0, 'what was stopped is started');
    this.#holds--;
    this.#runNext();
  }

  /** Refuses those that wait, and all that come. One that runs goes on to its end. */
  refuse(error: Error): void {
    this.#refusal ??= error;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#refusal);
  }

  /** Refuses those that wait, and lets the one that runs end. */
  async close(): Promise<void> {
    this.refuse(notOpen());
    await this.#running;
  }

  #runNext(): void {
    if (this.#running !== null || this.#holds > 0 || this.#waiting.length === 0) return;
    const waiters = this.#waiting;
    this.#waiting = [];
    this.#running = this.#run(waiters).finally(() => {
      this.#running = null;
      this.#runNext();
    });
  }

  async #run(waiters: readonly Waiter[]): Promise<void> {
    try {
      const info = await this.#take();
      for (const { resolve } of waiters) resolve(info);
    } catch (error) {
      this.#config.onFailed(error);
      for (const { reject } of waiters) reject(error);
    }
  }

  async #take(): Promise<CheckpointInfo> {
    const { store, position, hold } = this.#config;
    const { timeline, index } = position();
    const { base } = store;
    if (base !== null && store.isBaseTrusted && base.timeline === timeline && base.index === index)
      return base;
    const held = await hold();
    let written: WrittenCheckpoint;
    try {
      written = await store.take(held.source, held.facts, held.logBytesAfter);
    } finally {
      held.release();
    }
    await this.#committed(written);
    return written.info;
  }

  async #committed(written: WrittenCheckpoint): Promise<void> {
    const { store, onCommitted, onRemoved, onProblem } = this.#config;
    const note = (error: unknown): void => {
      if (!isTidemarkError(error)) throw error;
      onProblem(error);
    };
    // It is durable: what fails from here on is nothing that who asked for it would have to know.
    await store.removeOld().then(onRemoved).catch(note);
    await onCommitted(written).catch(note);
  }
}

function notOpen(): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_OPEN', 'the node is closed: no checkpoint was taken', {
    remedy: 'fix-call',
  });
}
