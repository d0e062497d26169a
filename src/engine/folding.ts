/**
 * When the tree is brought on: in slices between turns of the event loop, so that no command waits long.
 *
 *     what waits                                   slices
 *     -------------------------------------------  ---------------------------------------------------------
 *     the backlog is full, writers wait            of 4 ms, one a turn
 *     somebody waits for a root, or the backlog    of 1 ms; under load with pauses that leave them a quarter
 *       is three quarters full                       of the time, and more as the backlog fills up
 *     less, and something was begun                as before, until that has ended
 *     less                                         when nothing was applied for a while, and everything is in
 *                                                    memory
 *
 * A burst is taken in first and folded later: what waits is bounded (state-tree.ts), and writers are slowed
 * down as the bound comes near.
 */

import { TidemarkError } from '../base/errors.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { LiveState } from '../state/live-state.ts';
import type { Snapshot } from '../state/snapshot.ts';

const SLICE_MS = 1;
const URGENT_SLICE_MS = 4;

/** Between slices under load; less as the backlog fills up, and none before it is full. */
const PAUSE_MS = 3;

/** Without an entry for so long, there is time to fold. */
const IDLE_MS = 50;

/** Backlog from which on folding does not wait for idle time. */
const DUE_FROM = 0.75;

/** Backlog below which writers go on: soon, since they wait. */
const ROOM_BELOW = 0.95;

interface RootWaiter {
  readonly snapshot: Snapshot;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export interface FoldingConfig {
  readonly state: LiveState;
  readonly clock: Clock;
  /** The tree is wrong: the node must stop. */
  readonly onFatal: (error: unknown) => void;
  /** The backlog, once full, has room again. */
  readonly onCaughtUp: () => void;
}

export class Folding {
  readonly #config: FoldingConfig;
  #timer: Timer | null = null;
  #isSoon = false;
  #hasEntries = false;
  #isBehind = false;
  #isStopped = false;
  /** By the monotonic clock. */
  #lastEntryAt = Number.NEGATIVE_INFINITY;
  #rootWaiters: RootWaiter[] = [];

  constructor(config: FoldingConfig) {
    this.#config = config;
  }

  /** Whether entries came lately: then work in the background takes breaks. */
  get isBusy(): boolean {
    return this.#config.clock.monotonic() - this.#lastEntryAt < IDLE_MS;
  }

  /** Whether writers should wait. */
  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** An entry was applied. */
  entryApplied(): void {
    this.#hasEntries = true;
    this.#lastEntryAt = this.#config.clock.monotonic();
    this.#isBehind ||= this.#config.state.backlog >= 1;
    if (this.#isBehind) this.#runSoon();
    else if (this.#timer === null && !this.#isSoon) this.#schedule();
  }

  /** Makes room in the backlog at once: while nobody is served yet. */
  catchUp(): void {
    const { state, clock } = this.#config;
    while (state.backlog >= 1) state.foldSlice(URGENT_SLICE_MS, clock);
  }

  /** The same in steps of a millisecond, for an engine that others are served beside. */
  *catchUpSteps(): Generator<void, void> {
    const { state, clock } = this.#config;
    yield;
    while (state.backlog >= 1) {
      state.foldSlice(SLICE_MS, clock);
      yield;
    }
  }

  /** Computes the root of a snapshot in such steps. */
  *hashSteps(snapshot: Snapshot): Generator<void, void> {
    const { state, clock } = this.#config;
    snapshot.requestRoot();
    while (snapshot.root === null) {
      state.foldSlice(SLICE_MS, clock);
      yield;
    }
  }

  /** Has the root of a snapshot computed; resolves when it is there. The snapshot stays the caller's. */
  hash(snapshot: Snapshot): Promise<void> {
    if (this.#isStopped) return Promise.reject(stopped());
    snapshot.requestRoot();
    return new Promise((resolve, reject) => {
      this.#rootWaiters.push({ snapshot, resolve, reject });
      this.#runSoon();
    });
  }

  /** Nothing is folded any more, and no root comes. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
    this.#timer = null;
    for (const { reject } of this.#rootWaiters.splice(0)) reject(stopped());
  }

  /** Whether to begin something although entries come. */
  get #isDue(): boolean {
    return this.#isBehind || this.#config.state.backlog >= DUE_FROM || this.#rootWaiters.length > 0;
  }

  #schedule(): void {
    const { state } = this.#config;
    if (this.#isStopped || !state.hasFoldWork) return;
    const isDue = this.#isDue || state.treeProgress.isWorking;
    const pauseMs = Math.round(PAUSE_MS * Math.min(1, (1 - state.backlog) / (1 - DUE_FROM)));
    if (isDue && (!this.#hasEntries || pauseMs < 1)) this.#runSoon();
    else this.#runAfter(isDue ? pauseMs : IDLE_MS);
  }

  #runSoon(): void {
    if (this.#isSoon || this.#isStopped) return;
    this.#isSoon = true;
    this.#timer?.cancel();
    this.#timer = null;
    this.#config.clock.soon(() => {
      this.#isSoon = false;
      this.#slice();
    });
  }

  #runAfter(ms: number): void {
    this.#timer = this.#config.clock.after(ms, () => {
      this.#timer = null;
      const isIdleWait = ms === IDLE_MS;
      if (isIdleWait && (this.#hasEntries || !this.#config.state.isLoaded)) {
        this.#hasEntries = false;
        this.#schedule();
      } else {
        this.#slice();
      }
    });
  }

  #slice(): void {
    if (this.#isStopped) return;
    const { state, clock, onFatal, onCaughtUp } = this.#config;
    const scope = this.#hasEntries && !this.#isDue ? 'begun' : 'all';
    this.#hasEntries = false;
    try {
      state.foldSlice(this.#isBehind ? URGENT_SLICE_MS : SLICE_MS, clock, scope);
    } catch (error) {
      this.stop();
      onFatal(error);
      return;
    }
    this.#answerRoots();
    if (this.#isBehind && state.backlog < ROOM_BELOW) {
      this.#isBehind = false;
      onCaughtUp();
    }
    if (this.#isBehind) this.#runSoon();
    else this.#schedule();
  }

  #answerRoots(): void {
    this.#rootWaiters = this.#rootWaiters.filter(({ snapshot, resolve }) => {
      if (snapshot.root === null) return true;
      resolve();
      return false;
    });
  }
}

function stopped(): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_OPEN', 'the node stopped before the root was computed', {
    remedy: 'fix-call',
  });
}
