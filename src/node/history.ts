/**
 * The past of a running node: points are found, and states of them opened, while it serves.
 *
 * What a state of the past is made from must not vanish meanwhile: log behind its checkpoint is held while it
 * is replayed, the checkpoint for as long as the state is open.
 */

import { type Index, previousIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { ResolvedCheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import type { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import type { FoundCheckpoint } from '../checkpoint/survey-checkpoints.ts';
import type { Engine } from '../engine/engine.ts';
import { findPoint, type KeptHistory, lastWholeIndex, oldestReplayable } from '../engine/kept-points.ts';
import { type PointInput, toPoint } from '../engine/point.ts';
import type { Log } from '../log/log.ts';
import type { StatusFile } from '../log/status.ts';
import { notOpen, openPast, type PastInput, type PastState, tooManyViews } from './past-state.ts';

/** States of the past that may be open at once: each takes memory of its own. */
export const VIEWS_MAX = 8;

export interface HistoryConfig {
  readonly log: Log;
  readonly status: StatusFile;
  readonly store: CheckpointStore;
  readonly options: ResolvedCheckpointOptions;
  readonly clock: Clock;
  readonly isBusy: () => boolean;
  /** An engine without state, whose machine answers as at that time. */
  readonly makeEngine: (time: number, ...rest: Parameters<PastInput['makeEngine']>) => Engine;
  readonly indexOfTag: KeptHistory['indexOfTag'];
}

/** While a state of the past is brought back. */
export interface OpenPastOptions {
  /** Ends the work while it goes on, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** Told now and then: entries replayed, of so many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}

export class History {
  readonly #config: HistoryConfig;
  /** Entries after these are being replayed: the log goes back to each. */
  readonly #held = new Set<{ readonly after: Index }>();
  readonly #open = new Set<PastState>();
  /** Those open, and those being opened. */
  #views = 0;
  #isClosed = false;

  constructor(config: HistoryConfig) {
    this.#config = config;
  }

  /** Entries after this one must stay in the log; null when nobody reads them. */
  get heldAfter(): Index | null {
    return [...this.#held].reduce<Index | null>(
      (least, { after }) => (least === null || after < least ? after : least),
      null,
    );
  }

  /**
   * @throws TidemarkError TIDEMARK_POINT_INVALID, TIDEMARK_POINT_NOT_KEPT, TIDEMARK_CHECKPOINT_DAMAGED,
   *   TIDEMARK_LOG_DAMAGED, TIDEMARK_VERSION_MISSING; TIDEMARK_BUSY when VIEWS_MAX are open.
   */
  async open(
    input: PointInput,
    verifies: PastInput['verifies'],
    options: OpenPastOptions = {},
  ): Promise<PastState> {
    const { clock, store } = this.#config;
    options.signal?.throwIfAborted();
    if (this.#isClosed) throw notOpen();
    if (this.#views >= VIEWS_MAX) throw tooManyViews(VIEWS_MAX);
    this.#views++;
    const held = new Map<FoundCheckpoint, () => void>();
    const release = (): void => {
      this.#views--;
      for (const one of held.values()) one();
    };
    const hold = { after: this.#oldestIndex() };
    this.#held.add(hold);
    try {
      await this.#config.log.sync(); // What was acknowledged before is part of the past.
      for (const found of store.checkpoints) held.set(found, store.hold(found)); // Each may be the nearest.
      const point = await findPoint(this.#kept([...held.keys()]), toPoint(input, clock.now()), clock.now());
      const checkpoints = [...held.keys()].filter(({ info }) => info.index <= lastWholeIndex(point));
      const opened = await openPast({ ...this.#input(checkpoints, point.time, options), verifies }, point);
      letGo(held, ({ info }) => info.index === opened.checkpoint);
      if (!this.#isClosed) return this.#track(opened, release);
      await opened.close();
      throw notOpen();
    } catch (error) {
      release();
      throw error;
    } finally {
      this.#held.delete(hold);
    }
  }

  /** Lets go of what was held when the state is closed: by who opened it, or with the node. */
  #track(opened: PastState, release: () => void): PastState {
    const past: PastState = {
      ...opened,
      close: () => (this.#open.delete(past) ? opened.close().finally(release) : Promise.resolve()),
    };
    this.#open.add(past);
    return past;
  }

  /** Opens nothing more; what is being opened is given up. */
  stop(): void {
    this.#isClosed = true;
  }

  /** The same, and closes what is open. */
  async close(): Promise<void> {
    this.stop();
    for (const past of this.#open) await past.close();
  }

  /** Nothing before is read, wherever the point turns out to be. */
  #oldestIndex(): Index {
    return (
      oldestReplayable(this.#kept(this.#config.store.checkpoints))?.index ??
      previousIndex(this.#config.log.firstIndex)
    );
  }

  #kept(checkpoints: readonly FoundCheckpoint[]): KeptHistory {
    const { log, indexOfTag } = this.#config;
    return { log, checkpoints: checkpoints.map(({ info }) => info), indexOfTag };
  }

  #input(
    checkpoints: readonly FoundCheckpoint[],
    time: number,
    { signal, onProgress }: OpenPastOptions,
  ): Omit<PastInput, 'verifies'> {
    const { store, status, log, options, clock, isBusy, makeEngine } = this.#config;
    const { machine, earlierVersions } = status.current;
    return {
      options,
      clock,
      isBusy,
      log,
      checkpoints,
      openCheckpoint: (found) => store.open(found),
      history: { active: machine.version, earlier: earlierVersions },
      makeEngine: (...rest) => makeEngine(time, ...rest),
      isEnded: () => this.#isClosed,
      signal: signal ?? null,
      onProgress: onProgress ?? (() => undefined),
    };
  }
}

/** Of all but those that are still read. */
function letGo(held: Map<FoundCheckpoint, () => void>, isRead: (found: FoundCheckpoint) => boolean): void {
  for (const [found, release] of held) {
    if (isRead(found)) continue;
    release();
    held.delete(found);
  }
}
