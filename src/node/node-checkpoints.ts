/**
 * The checkpoints of a running node: loads in the background what the state was installed from, takes
 * checkpoints on request, gives back the log behind them, and sets a damaged one aside.
 *
 * Requests wait until the whole state is in memory. What is read by then was verified, and no checkpoint is
 * ever made from parts of a damaged one.
 */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { Histogram } from '../base/histogram.ts';
import { requireKnownOptions } from '../base/options.ts';
import { type Index, toIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import { BackgroundLoader } from '../checkpoint/background-loader.ts';
import { type CheckpointInfo, chainBytes } from '../checkpoint/checkpoint-info.ts';
import type { ResolvedCheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import type { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import { Checkpointer, type HeldState } from '../checkpoint/checkpointer.ts';
import { damageOf, isUnreadable } from '../checkpoint/damage.ts';
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { bytesOf } from '../checkpoint/retention.ts';
import {
  resolveSchedule,
  SCHEDULE_DEFAULTS,
  type Schedule,
} from '../checkpoint/schedule/schedule-options.ts';
import {
  type LogPosition,
  Scheduler,
  type ScheduleStats,
  type StartCost,
} from '../checkpoint/schedule/scheduler.ts';
import type { FoundCheckpoint } from '../checkpoint/survey-checkpoints.ts';
import { requireTagName } from '../checkpoint/tags.ts';
import type { WrittenCheckpoint } from '../checkpoint/write-checkpoint.ts';
import type { Engine } from '../engine/engine.ts';
import type { Log } from '../log/log.ts';
import type { StatusFile } from '../log/status.ts';
import { failureOf, type NodeHappening } from './events.ts';
import type { History } from './history.ts';
import { failuresBefore, noteService } from './service-record.ts';

/** A checkpoint, for people and programs. */
export interface CheckpointSummary {
  /** Name of its index file in `checkpoints/`. */
  readonly file: string;
  /** Index of the last entry in it. */
  readonly index: Index;
  /** 64 hexadecimal digits: the root of the state at that index. */
  readonly root: string;
  readonly kind: 'full' | 'incremental';
  readonly keys: number;
  /** When it was taken, in milliseconds since 1970. */
  readonly takenAt: number;
  /** Bytes and nodes that were written for it; an incremental one refers to earlier files for the rest. */
  readonly bytes: number;
  readonly nodes: number;
  /** Bytes and number of all files it needs. */
  readonly bytesNeeded: number;
  readonly files: number;
  /** Time it took to write, in milliseconds, and the longest time that it held the event loop. */
  readonly durationMs: number;
  readonly longestPauseMs: number;
}

/** A checkpoint that is there, and why. */
export interface KeptCheckpoint extends CheckpointSummary {
  readonly tags: readonly string[];
  /** What keeps it alive, for people: `among the newest 3`, `tag before-deploy`; nothing: it goes next. */
  readonly keptBecause: readonly string[];
}

/** A name that keeps a checkpoint alive. */
export interface CheckpointTag {
  readonly name: string;
  /** Of the checkpoint. */
  readonly index: Index;
  /** Milliseconds since 1970. */
  readonly taggedAt: number;
}

/** Options of `Node.prune`. */
export interface PruneOptions {
  /** Only tells what would go. @default false */
  readonly dryRun?: boolean;
}

/** Options of `Node.checkpoint`. */
export interface TakeOptions {
  /** 1 to 64 of `a-z`, `0-9`, `-`, `_` and `.`, the first of them a letter or a digit. */
  readonly tag?: string;
}

/** What a removal of old checkpoints took, or would take. */
export interface PrunedCheckpoints {
  /** Oldest first. */
  readonly removed: readonly CheckpointSummary[];
  /** Bytes of the files that only these needed. */
  readonly bytesFreed: number;
  /** Why nothing is removed at all just now; null when nothing is in the way. */
  readonly obstacle: string | null;
}

export interface NodeCheckpointsConfig {
  readonly engine: Engine;
  /** What it reads of the log must stay. */
  readonly history: Pick<History, 'heldAfter'>;
  readonly log: Log;
  readonly status: StatusFile;
  readonly store: CheckpointStore;
  readonly options: ResolvedCheckpointOptions;
  readonly clock: Clock;
  /** What the state was installed from. */
  readonly checkpoint: OpenCheckpoint | null;
  readonly onProgress: (keysLoaded: number, keysTotal: number) => void;
  /** A part of the state cannot be read: the node must stop. */
  readonly onFatal: (error: unknown) => void;
  readonly onEvent: (happening: NodeHappening) => void;
}

export class NodeCheckpoints {
  /** Time that each took to write, in milliseconds. */
  readonly durationMs = new Histogram(1000);
  readonly #config: NodeCheckpointsConfig;
  readonly #checkpointer: Checkpointer;
  readonly #loader: BackgroundLoader | null;
  readonly #loaded: Promise<void>;
  readonly #startedAt: number;
  #lastFailure: string | null = null;
  /** What stopped the node; null while it runs, or was closed. */
  #stopped: Error | null = null;
  #settingAside: Promise<void> | null = null;
  #scheduler: Scheduler | null = null;
  /** Where the log was when the state was held for the newest checkpoint that was begun. */
  #held: LogPosition = { entries: toIndex(0), bytes: 0, commands: 0 };

  constructor(config: NodeCheckpointsConfig) {
    const { store, status, engine } = config;
    this.#config = config;
    this.#startedAt = config.clock.now();
    this.#checkpointer = new Checkpointer({
      store,
      position: () => ({ timeline: status.current.timeline, index: engine.position.index }),
      hold: () => this.#hold(),
      onCommitted: (written) => this.#committed(written),
      onRemoved: (removed) => this.#noteRemoved(removed),
      onFailed: (error) => {
        this.#noteFailure('checkpoint-failed', error);
        this.#scheduler?.attemptFailed();
      },
      onProblem: (error) => this.#noteFailure('cleanup-failed', error),
    });
    this.#loader = this.#makeLoader();
    this.#loaded = this.#load();
    this.#loaded.catch(() => undefined); // Who waits for it is told.
  }

  /**
   * Resolves when the whole state is in memory; rejects when a part of it cannot be read, or never will be.
   */
  whenLoaded(): Promise<void> {
    return this.#loaded;
  }

  get isTaking(): boolean {
    return this.#checkpointer.isRunning;
  }

  /** The newest one; null when there is none. */
  get last(): CheckpointSummary | null {
    const { base, basePath } = this.#config.store;
    return base === null || basePath === null ? null : summaryOf(base, basePath);
  }

  /** When the newest was taken, or the node started when there is none: milliseconds since 1970. */
  get lastTakenAt(): number {
    return this.#config.store.base?.takenAt ?? this.#startedAt;
  }

  /** Why the last attempt failed; null when it did not. */
  get lastFailure(): string | null {
    return this.#lastFailure;
  }

  /** @param tag Keeps it alive until the tag is taken off. */
  async take(tag: string | null = null): Promise<CheckpointSummary> {
    if (tag !== null) requireTagName(tag);
    const info = await this.#checkpointer.request();
    if (tag !== null) await this.tag(tag, info.index);
    return summaryOf(info, this.#config.store.basePath ?? '');
  }

  /** Takes one that builds upon nothing that is there: damage was found on this disk. */
  async renew(): Promise<CheckpointSummary> {
    this.#config.store.distrustAll();
    return this.take();
  }

  /** Gives back the log up to `index` if it is compacted at all, the newest has that, and nobody reads it. */
  async forgetLog(index: Index): Promise<void> {
    const { options, log, history, store } = this.#config;
    const isWanted = options.compactLogAfterCheckpoint && this.#stopped === null;
    const isHeld = (history.heldAfter ?? index) < index;
    if (isWanted && !isHeld && (store.base?.index ?? 0) >= index) await log.compactTo(index);
  }

  /** Every checkpoint that can be used, newest first, and what keeps each alive. */
  get kept(): readonly KeptCheckpoint[] {
    return this.#config.store.retained().map(({ point: { found, tags }, reasons }) => ({
      ...summaryOf(found.info, found.path),
      tags,
      keptBecause: reasons,
    }));
  }

  /** @throws TidemarkError TIDEMARK_OPTION_INVALID for a bad name, or without a checkpoint of that index. */
  async tag(name: string, index: number): Promise<void> {
    this.#requireRunning();
    await this.#config.store.tag(name, index);
  }

  /** By name. */
  get tags(): readonly CheckpointTag[] {
    return this.#config.store.tags.map(({ name, index, taggedAt }) => ({ name, index, taggedAt }));
  }

  /** Returns whether there was one. */
  async untag(name: string): Promise<boolean> {
    this.#requireRunning();
    return this.#config.store.untag(name);
  }

  /** Removes what nothing keeps, and the log behind it; or only tells what that would be. */
  async prune(how: 'remove' | 'dry-run'): Promise<PrunedCheckpoints> {
    this.#requireRunning();
    const { store } = this.#config;
    if (how === 'dry-run') return prunedOf(store, store.removable);
    const removed = await store.removeOld();
    this.#noteRemoved(removed);
    await this.#compactLog();
    return prunedOf(store, removed);
  }

  /** From here on checkpoints are taken when they are due. */
  startSchedule(start: StartCost): void {
    const { log, store, clock, options, status } = this.#config;
    this.#scheduler = new Scheduler({
      clock,
      schedule: options,
      position: () => this.#positionAt(log.durableIndex),
      take: async () => {
        await this.take().catch(() => undefined); // It was noted.
      },
      newest: store.base?.index ?? toIndex(0),
      start,
      failures: failuresBefore(status),
    });
    noteService(status, this.#scheduler.failures, 'running');
  }

  /** Entries were made durable. */
  advanced(): void {
    this.#scheduler?.advanced();
  }

  get schedule(): ScheduleStats | null {
    return this.#scheduler?.stats ?? null;
  }

  /** Another schedule from now on; what is left out stays as it is. */
  changeSchedule(change: Partial<Schedule>): void {
    const before = this.#scheduler?.schedule ?? this.#config.options;
    const given = Object.entries(change).filter(([, value]) => value !== undefined);
    requireKnownOptions('schedule', change, SCHEDULE_DEFAULTS);
    this.#scheduler?.change(resolveSchedule({ ...before, ...Object.fromEntries(given) }));
  }

  #positionAt(entries: Index): LogPosition {
    const { engine, log } = this.#config;
    return { entries, bytes: log.stats.bytesWritten, commands: engine.commandsApplied };
  }

  async #committed({ info, busyMs }: WrittenCheckpoint): Promise<void> {
    this.#noteTaken(info);
    if (this.#scheduler !== null) {
      this.#scheduler.taken({ held: this.#held, busyMs, durationMs: info.cost.durationMs });
      noteService(this.#config.status, this.#scheduler.failures, 'running');
    }
    await this.#compactLog();
  }

  async #compactLog(): Promise<void> {
    const { options, store, log, history } = this.#config;
    const isWanted = options.compactLogAfterCheckpoint && this.#stopped === null;
    const compactable = store.compactableIndex({
      firstIndex: log.firstIndex,
      sealedBytesAfter: (index) => log.sealedBytesAfter(index),
    });
    if (!isWanted || compactable === null) return;
    await log.compactTo(toIndex(Math.min(compactable, history.heldAfter ?? compactable)));
  }

  /**
   * Ends with one more checkpoint, if that is wanted and the node did not fail. One that cannot be taken is
   * no failure of the close: the log has everything.
   */
  async close(failure: Error | null): Promise<void> {
    const { engine, store, checkpoint, options } = this.#config;
    const isLastWanted = failure === null && options.checkpointOnClose;
    this.#scheduler?.stop();
    this.#loader?.stop();
    checkpoint?.stop();
    const isDue = engine.position.index > (store.base?.index ?? 0);
    if (isLastWanted && isDue && engine.keysToLoad === 0) await this.take().catch(() => undefined);
    await this.#checkpointer.close();
    await store.close();
    await this.#loaded.catch(() => undefined);
    await this.#settingAside;
    await checkpoint?.files.close();
    if (failure === null && this.#scheduler !== null) {
      noteService(this.#config.status, this.#scheduler.failures, 'ended');
    }
  }

  /**
   * The node stopped by itself because of `cause`: nothing more is loaded or taken. If the checkpoint cannot
   * be read, the next start shall use an older one; resolves when that is arranged.
   * @param later What everybody is told who waits, or comes later.
   */
  stop(cause: Error, later: Error): Promise<void> {
    this.#stopped = later;
    this.#scheduler?.stop();
    this.#loader?.stop();
    this.#config.checkpoint?.stop();
    this.#checkpointer.refuse(later);
    if (this.#isOfCheckpoint(cause)) {
      this.#config.onEvent({ kind: 'damage-found', isNeeded: true, ...damageOf(cause) });
      if (this.#hasFallback(cause)) this.#settingAside ??= this.#quarantine(cause);
    }
    return this.#settingAside ?? Promise.resolve();
  }

  /** What the disk does not give is as good as damaged (checklist F5); its other files may be well. */
  #isOfCheckpoint(cause: Error): cause is TidemarkError {
    const isRead = cause === this.#config.engine.readFailure && isUnreadable(cause);
    return isRead || isTidemarkError(cause, 'TIDEMARK_CHECKPOINT_DAMAGED');
  }

  /**
   * Whether a start has a way without the newest checkpoint: the last way back is never moved aside. Another
   * checkpoint that has the damaged file too is none: what two have in common, both need.
   */
  #hasFallback(cause: TidemarkError): boolean {
    const { log, store } = this.#config;
    const { file } = damageOf(cause);
    const isWayBack = (info: CheckpointInfo): boolean =>
      info !== store.base &&
      info.index >= log.firstIndex - 1 &&
      !info.files.some(({ name }) => file.endsWith(`/${name}`));
    return log.firstIndex === 1 || store.checkpoints.some(({ info }) => isWayBack(info));
  }

  async #quarantine(error: TidemarkError): Promise<void> {
    try {
      await this.#config.store.quarantineBase(error.message);
    } catch (failure) {
      // The next start meets the damage again, and says so again.
      this.#noteFailure('cleanup-failed', failure);
    }
  }

  #makeLoader(): BackgroundLoader | null {
    const { checkpoint, engine, clock, options, onProgress } = this.#config;
    if (checkpoint === null) return null;
    const keysTotal = checkpoint.info.keys;
    return new BackgroundLoader({
      state: engine.coldState,
      files: checkpoint.files,
      clock,
      options,
      isBusy: () => engine.isBusy,
      onProgress: () => onProgress(keysTotal - engine.keysToLoad, keysTotal),
    });
  }

  async #load(): Promise<void> {
    const { checkpoint, engine, onFatal } = this.#config;
    try {
      if (checkpoint !== null) await this.#loadAll(checkpoint);
    } catch (error) {
      onFatal(error);
      // While a start activates a version, there is no node yet that would stop this.
      const cause = error instanceof Error ? error : new Error(String(error));
      if (this.#stopped === null) void this.stop(cause, cause);
      throw error;
    }
    if (engine.keysToLoad > 0) throw this.#stopped ?? closedTooEarly();
    this.#checkpointer.start();
  }

  async #loadAll(checkpoint: OpenCheckpoint): Promise<void> {
    const { engine, clock, onEvent } = this.#config;
    const started = clock.monotonic();
    const known = checkpoint.warnings.length;
    await this.#loader?.run();
    await checkpoint.verifyRest();
    for (const damage of checkpoint.warnings.slice(known)) {
      onEvent({ kind: 'damage-found', isNeeded: false, ...damage });
    }
    if (engine.keysToLoad > 0) return;
    await checkpoint.files.close();
    onEvent({ kind: 'loaded', keys: engine.approximateKeys, tookMs: clock.monotonic() - started });
  }

  async #hold(): Promise<HeldState> {
    const { engine, status, log, options, onEvent } = this.#config;
    onEvent({ kind: 'checkpoint-started', index: engine.appliedIndex });
    this.#lastFailure = null; // A new attempt; old ones that it cannot remove count as its failure.
    const stateBytes = engine.liveBytes;
    const held = this.#positionAt(engine.appliedIndex); // The snapshot is of now; its root comes later.
    const { snapshot, index, time } = await engine.snapshot();
    this.#held = held;
    try {
      // A checkpoint holds no entry that the log might lose: its end would be taken for damage.
      await log.sync();
    } catch (error) {
      snapshot.release();
      throw error;
    }
    const { timeline, term, view, machine, membership } = status.current;
    const place = { timeline, index, term, view, time };
    return {
      source: snapshot,
      logBytesAfter: (after) => (options.compactLogAfterCheckpoint ? log.sealedBytesAfter(after) : 0),
      facts: { ...place, machine, members: membership, membersIndex: NO_CHANGE, stateBytes },
      release: () => snapshot.release(),
    };
  }

  #noteTaken(info: CheckpointInfo): void {
    this.durationMs.record(info.cost.durationMs);
    const checkpoint = summaryOf(info, this.#config.store.basePath ?? '');
    this.#config.onEvent({ kind: 'checkpoint-taken', checkpoint });
  }

  #noteRemoved(removed: readonly FoundCheckpoint[]): void {
    if (removed.length === 0) return;
    this.#config.onEvent({ kind: 'checkpoints-removed', indices: removed.map(({ info }) => info.index) });
  }

  #requireRunning(): void {
    if (this.#stopped !== null) throw this.#stopped;
  }

  #noteFailure(kind: 'checkpoint-failed' | 'cleanup-failed', error: unknown): void {
    const failure = failureOf(error);
    this.#lastFailure = failure.message;
    this.#config.onEvent({ kind, ...failure });
  }
}

function closedTooEarly(): TidemarkError {
  const message = 'the node was closed before the whole state was in memory';
  return new TidemarkError('TIDEMARK_NOT_OPEN', message, { remedy: 'fix-call' });
}

/** Members never change while one process orders. */
const NO_CHANGE = toIndex(0);

/** @param removed What a removal took, or would take now. */
export function prunedOf(store: CheckpointStore, removed: readonly FoundCheckpoint[]): PrunedCheckpoints {
  const filesOf = (checkpoints: readonly FoundCheckpoint[]): number =>
    bytesOf(checkpoints.map(({ info }) => info));
  const left = store.checkpoints.filter((found) => !removed.includes(found));
  return {
    removed: removed.map(({ info, path }) => summaryOf(info, path)),
    bytesFreed: filesOf([...left, ...removed]) - filesOf(left),
    obstacle: store.removalObstacle,
  };
}

/** @param path Of its index file. */
export function summaryOf(info: CheckpointInfo, path: string): CheckpointSummary {
  const { index, root, kind, keys, takenAt, files, cost } = info;
  return {
    file: path.slice(path.lastIndexOf('/') + 1),
    index,
    root,
    kind,
    keys,
    takenAt,
    bytes: cost.bytes,
    nodes: cost.nodes,
    bytesNeeded: chainBytes(info),
    files: files.length,
    durationMs: cost.durationMs,
    longestPauseMs: cost.longestPauseMs,
  };
}
