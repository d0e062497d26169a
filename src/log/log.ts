/**
 * The write-ahead log: entries in, durable in order, out again verified.
 *
 * Entries are collected, written as one batch, and released: from then on they may be acknowledged. When that
 * is, `durability` says (durability.ts); when syncs run, syncer.ts. With `synced` a batch is released once it
 * is durable. That is group commit: while one sync runs, `append` collects; when it ends, everything
 * collected goes out as one write and one sync, so that throughput adapts to the disk by itself. With
 * `buffered` a batch is released once it is written, unless more than the bounds is then not durable.
 *
 * Invariants:
 *  - `onDurable(index)` is called only after a sync that began behind the write of that entry has succeeded.
 *  - A batch is written when the one before it was released, and `syncedTo` of its records is how much of the
 *    segment was durable then.
 *  - A segment is durable to its end before the next one is begun: what is not durable is in the tail.
 *  - The sequence of a segment is in the status before a batch is written into it, so that a missing tail
 *    is noticed.
 *  - A write or sync that failed poisons the log for good: nothing is retried, nothing more is acknowledged
 *    (checklist F1; Rebello et al., USENIX ATC'20).
 */

import { assert } from '../base/assert.ts';
import { NO_BYTES } from '../base/bytes.ts';
import type { Chance } from '../base/chance.ts';
import { TidemarkError } from '../base/errors.ts';
import { Histogram } from '../base/histogram.ts';
import { type Index, nextIndex, type Term } from '../base/positions.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { BatchBuffer } from './batch-buffer.ts';
import type { Durability } from './durability.ts';
import { type LogEvent, SLOW_SYNC_MS } from './log-events.ts';
import { LogFiles, type LogStatus, type SegmentStart } from './log-files.ts';
import type { LogOptions } from './log-options.ts';
import { BODY_BYTES_MAX, type EntryType, type RecordType } from './record.ts';
import { type RecoveryReport, recoverLog } from './recover.ts';
import type { Identity } from './segment.ts';
import type { LogRecord } from './segment-reader.ts';
import { type Spare, Spares } from './spares.ts';
import type { SealedSegment } from './survey.ts';
import { type Amount, type Position, Syncer, type Written } from './syncer.ts';

/** Idle time after which the last batch is proven by a mark, in milliseconds. */
const MARK_IDLE_MS = 250;

export interface LogConfig {
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly identity: Identity;
  readonly status: LogStatus;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly options: Required<LogOptions>;
  readonly durability: Durability;
  /**
   * The state up to here is known, from a checkpoint; 0 when there is none. The log must reach back to the
   * entry after it; it is not read before. A log that ends before it has lost durable entries. When an older
   * checkpoint takes the place of a damaged one, `status.promise.commitIndex` must be at least the index of
   * the newest, or their loss goes unnoticed.
   */
  readonly replayAfter: Index;
  /**
   * Told of the entry at `replayAfter` as the log has it, at least once unless that is 0: what it throws, if
   * the state that is known is of another history, ends the opening.
   */
  readonly onKnown: (entry: Pick<LogRecord, 'term' | 'time'>) => void;
  /**
   * An entry after `replayAfter`, verified. Called by `open` for each, oldest first, before anything on the
   * disk is changed; what it throws ends the opening. The body is valid during the call.
   * @param lastIndex Index of the last entry that will come.
   */
  readonly onReplay: (entry: LogRecord, lastIndex: Index) => void;
  /**
   * Everything up to `index` may be acknowledged. Called synchronously between two batches: what is appended
   * here goes out with the next write at once; work that takes longer belongs into a microtask.
   */
  readonly onReleased: (index: Index) => void;
  /** Everything up to `index` is durable. With `synced` durability it comes before `onReleased`. */
  readonly onDurable: (index: Index) => void;
  /** Entries after `index` were not written and never will be; the log goes on and has forgotten them. */
  readonly onRefused: (afterIndex: Index, error: TidemarkError) => void;
  /** The log is poisoned. Called once. */
  readonly onPoisoned: (error: TidemarkError) => void;
  /** Something happened that nobody has to act on. */
  readonly onEvent?: (event: LogEvent) => void;
}

/** Figures for `INFO` and metrics. */
export interface LogStats {
  syncs: number;
  bytesWritten: number;
  rotations: number;
}

export class Log {
  readonly report: RecoveryReport;
  readonly stats: LogStats = { syncs: 0, bytesWritten: 0, rotations: 0 };
  /** One sync, in milliseconds. */
  readonly syncMs = new Histogram(1000);
  readonly #config: LogConfig;
  readonly #files: LogFiles;
  #collecting = new BatchBuffer();
  #writing = new BatchBuffer();
  readonly #syncer: Syncer;
  #last: Position;
  /** Everything up to here may be acknowledged. */
  #released: Index;
  #run: Promise<void> | null = null;
  #poison: TidemarkError | null = null;
  #isClosing = false;
  /** Truncations and compactions, one after the other; never rejects. */
  #changes: Promise<void> = Promise.resolve();
  /** Truncations asked for and not yet over. */
  #truncations = 0;
  /** Whether the last batch is a mark, which proves the one before it, or there is none. */
  #isProven = true;
  #idle: Timer | null = null;

  private constructor(config: LogConfig, files: LogFiles, report: RecoveryReport) {
    this.#config = config;
    this.#files = files;
    this.report = report;
    const { clock, durability } = config;
    const end = files.written;
    this.#last = end;
    this.#released = end.index;
    const syncerConfig = {
      clock,
      durability,
      sync: () => files.file.syncData(),
      onDurable: (written: Written, amount: Amount, tookMs: number) => this.#synced(written, amount, tookMs),
      onFailure: (error: unknown) => this.poison(error),
    };
    this.#syncer = new Syncer(syncerConfig, end);
  }

  /**
   * Recovers the log of a data directory, replays it and opens it for appending.
   * @throws TidemarkError TIDEMARK_LOG_DAMAGED, TIDEMARK_FOREIGN_FILE, TIDEMARK_FORMAT_NEWER, before anything
   *   is changed; TIDEMARK_DISK_FULL when there is no room for a segment; any error of the file system.
   */
  static async open(config: LogConfig): Promise<Log> {
    const { fs, dataDir, identity, status, chance, clock, options } = config;
    let log: Log | null = null;
    const dir = `${dataDir}/log`;
    const onFailure = (error: unknown): void => log?.poison(error);
    const onEvent = config.onEvent ?? (() => undefined);
    const spares = new Spares({ fs, dir, segmentBytes: options.segmentBytes, clock, onFailure, onEvent });
    const persistSequence = (sequence: number): Promise<void> => status.persistSequence(sequence);
    const { promise } = status;
    const makePromiseDurable = (): Promise<void> => status.makeDurable();
    const { onReplay, onKnown, replayAfter } = config;
    const doors = { fs, chance, clock, spares };
    const where = { dataDir, identity, promise, replayAfter };
    const input = { ...doors, ...where, makePromiseDurable, persistSequence, onKnown, onReplay };
    try {
      const recovered = await recoverLog(input);
      const place = { fs, dir, chance, clock, spares, status, onFailure };
      log = new Log(config, new LogFiles(place, recovered), recovered.report);
    } catch (error) {
      await spares.close();
      throw error;
    }
    await spares.reserveOne();
    return log;
  }

  /** First index the log still holds. */
  get firstIndex(): Index {
    return this.#files.firstIndex;
  }

  /** Bytes of segments after `index` that compactions will give back: all but the newest segment. */
  sealedBytesAfter(index: Index): number {
    return this.#files.sealedBytesAfter(index);
  }

  /** Where its segments begin, oldest first. */
  get segmentStarts(): readonly SegmentStart[] {
    return this.#files.segmentStarts;
  }

  /** Every segment, oldest first, and where what is durable of it ends: what may be verified. */
  get durableSegments(): readonly SealedSegment[] {
    return this.#files.durableSegments;
  }

  /** Index of the last entry appended, durable or not. */
  get lastIndex(): Index {
    return this.#last.index;
  }

  get lastTerm(): Term {
    return this.#last.term;
  }

  /** Time of the last entry appended, in milliseconds since 1970. */
  get lastTime(): number {
    return this.#last.time;
  }

  /** Every entry up to here is durable. */
  get durableIndex(): Index {
    return this.#syncer.durable.index;
  }

  /** Every entry up to here may be acknowledged: it is durable, or no more is at stake than may be. */
  get releasedIndex(): Index {
    return this.#released;
  }

  get durability(): Durability['kind'] {
    return this.#config.durability.kind;
  }

  /** What was written and is not durable yet. With `synced` durability nobody was told of it. */
  get unsynced(): Amount {
    return this.#syncer.unsynced;
  }

  /** Why the log takes no entries now; null when it does. A shortage of space passes by itself. */
  get refusal(): TidemarkError | null {
    return this.#poison ?? this.#files.spares.shortage;
  }

  /**
   * Appends an entry; it is written with the next `flush`, or after the batch in flight. `body` is copied.
   * @param commands How many commands are at stake with it.
   * @throws TidemarkError TIDEMARK_LOG_POISONED; TIDEMARK_DISK_FULL or TIDEMARK_RESOURCES while the reserve
   *   of space is short.
   */
  append(term: Term, time: number, body: Uint8Array, commands = 1, type: EntryType = 'commands'): Index {
    assert(!this.#isClosing, 'nothing is appended to a log that closes');
    assert(this.#truncations === 0, 'nothing is appended while the log is being truncated');
    assert(body.length <= BODY_BYTES_MAX, `a body has at most ${BODY_BYTES_MAX} bytes, got ${body.length}`);
    assert(term >= this.#last.term, `term ${term} follows term ${this.#last.term}`);
    assert(time >= this.#last.time, `time ${time} follows time ${this.#last.time}`);
    if (this.refusal !== null) throw this.refusal;
    this.#last = { index: nextIndex(this.#last.index), term, time };
    this.#collect(type, body, commands);
    return this.#last.index;
  }

  /** Starts writing what was collected, unless a batch is in flight: then it goes with the next. */
  flush(): void {
    if (this.#run !== null || this.#collecting.isEmpty || this.#poison !== null) return;
    this.#idle?.cancel();
    const run = this.#writeBatches().catch((error: unknown) => this.poison(error));
    this.#run = run.finally(() => {
      this.#run = null;
      // What came after the last look, and found a run that was already over.
      if (!this.#collecting.isEmpty) this.flush();
      else this.#rest();
    });
  }

  /**
   * Resolves when every entry appended before the call is durable; one that is refused is not waited for.
   * Rejects with TIDEMARK_LOG_POISONED.
   */
  sync(): Promise<void> {
    this.flush();
    return this.#syncer.whenDurable(this.#last.index);
  }

  /**
   * Reads entries `first` to `last`, both included, verified, oldest first. The body of each is valid until
   * the next is asked for.
   * @throws TidemarkError TIDEMARK_INDEX_NOT_RETAINED outside `firstIndex` to `durableIndex`;
   *   TIDEMARK_LOG_DAMAGED at the first record that does not verify.
   */
  read(first: Index, last: Index = this.durableIndex): AsyncGenerator<LogRecord, void, void> {
    return this.#files.read(first, last, this.durableIndex);
  }

  /**
   * Drops entries up to `index`, oldest first, by whole segments. The status forgets them first; a segment
   * that cannot be removed for want of descriptors goes with the next compaction. Waits for the truncations
   * and compactions asked for before.
   */
  compactTo(index: Index): Promise<void> {
    return this.#afterChanges(async () => {
      assert(index <= this.durableIndex, `only durable entries are compacted, not ${index}`);
      const { firstIndex } = this;
      await this.#files.compactTo(index);
      if (this.firstIndex > firstIndex) this.#tell({ kind: 'log-compacted', firstIndex: this.firstIndex });
    });
  }

  /**
   * Drops entries after `index`; when it resolves they are durably gone. Waits for the batch in flight, and
   * for the truncations and compactions asked for before; nothing is appended until it has resolved. Rejects
   * with TIDEMARK_DISK_FULL or TIDEMARK_RESOURCES when there is no room for the segment that begins there:
   * then nothing has changed, and it may be repeated.
   */
  truncateAfter(index: Index): Promise<void> {
    assert(index <= this.#last.index && index >= this.firstIndex - 1, `cannot truncate after ${index}`);
    this.#truncations++;
    return this.#afterChanges(() => this.#truncateAfter(index)).finally(() => {
      this.#truncations--;
    });
  }

  /** Runs `change` when those before it have ended, well or not: each has its own caller. */
  #afterChanges(change: () => Promise<void>): Promise<void> {
    const run = this.#changes.then(change);
    this.#changes = run.catch(() => undefined);
    return run;
  }

  async #truncateAfter(index: Index): Promise<void> {
    await this.#settle();
    if (this.#poison !== null) throw this.#poison;
    assert(index >= this.firstIndex - 1, `entry ${index} was compacted away before it could be truncated`);
    this.#idle?.cancel();
    const truncation = await this.#guard(this.#files.prepareTruncation(index), 'nothing has changed');
    if (truncation === null) return;
    const end = await this.#guard(this.#files.truncate(truncation), 'unknown');
    this.#last = end;
    this.#released = end.index;
    this.#syncer.restart(end);
    this.#isProven = true;
  }

  /** Waits for everything appended, proves it with a mark, and lets go of the files. */
  async close(): Promise<void> {
    this.#isClosing = true;
    this.#idle?.cancel();
    await this.#changes;
    await this.#settle();
    this.#mark();
    await this.#settle();
    await this.#files.close();
  }

  /** Stops the log for good. The error that everybody gets from now on carries the first cause. */
  poison(cause: unknown): void {
    if (this.#poison !== null) return;
    this.#poison = poisonError(cause, this.durableIndex, this.#released);
    this.#collecting.clear();
    this.#syncer.stop(this.#poison);
    this.#config.onPoisoned(this.#poison);
  }

  /** Waits until everything collected is written, and everything written is durable. */
  async #settle(): Promise<void> {
    while (this.#run !== null || !this.#collecting.isEmpty || this.#syncer.isBehind) {
      this.flush();
      await this.#run;
      await this.#syncer.settle();
    }
  }

  #collect(type: RecordType, body: Uint8Array, commands: number): void {
    const { index, term, time } = this.#last;
    this.#collecting.add(type, index, term, time, body);
    this.#collecting.commands += commands;
  }

  /** The log has nothing to do; if that lasts, it proves its last batch. */
  #rest(): void {
    const isBusy = this.#run !== null || !this.#collecting.isEmpty || this.#syncer.isBehind;
    if (isBusy || this.#isProven || this.#isClosing) return;
    this.#idle?.cancel();
    this.#idle = this.#config.clock.after(MARK_IDLE_MS, () => this.#mark());
  }

  /** Proves the last batch: whoever finds it damaged later knows that it was durable. */
  #mark(): void {
    if (this.#isProven || this.#poison !== null || this.#run !== null) return;
    assert(!this.#syncer.isBehind, 'a mark proves what is durable');
    this.#collect('mark', NO_BYTES, 0);
    this.flush();
  }

  async #writeBatches(): Promise<void> {
    while (!this.#collecting.isEmpty && this.#poison === null) {
      const last = this.#last;
      [this.#collecting, this.#writing] = [this.#writing, this.#collecting];
      try {
        if (!this.#files.hasRoomFor(this.#writing) && !(await this.#rotate())) continue;
        this.#writeOne();
      } catch (error) {
        this.poison(error);
        return;
      } finally {
        this.#writing.clear();
      }
      if (this.#syncer.isOverBounds) await this.#syncer.whenWithinBounds();
      if (this.#poison !== null) return; // Everybody has been told.
      this.#released = last.index;
      this.#config.onReleased(last.index);
    }
  }

  /** One write. When it returns, the end of the process cannot take it back any more. */
  #writeOne(): void {
    const { bytes, end } = this.#files.seal(this.#writing);
    const isMark = end.previousIndex === this.#files.end.previousIndex;
    this.#files.file.writeSync(bytes, this.#files.end.offset);
    this.#files.advance(end);
    this.#isProven = isMark;
    this.stats.bytesWritten += bytes.length;
    this.#syncer.wrote(this.#files.written, { commands: this.#writing.commands, bytes: bytes.length });
  }

  /** Everything up to `written` is durable. */
  #synced({ index, offset }: Written, { bytes }: Amount, tookMs: number): void {
    this.#files.synced(offset);
    this.stats.syncs++;
    this.syncMs.record(tookMs);
    if (tookMs > SLOW_SYNC_MS) this.#tell({ kind: 'slow-sync', tookMs, bytes });
    this.#config.onDurable(index);
    this.#rest();
  }

  /**
   * Begins the next segment, once this one is durable. False when there is no space: then the entries not yet
   * written are refused; and when the log has stopped.
   */
  async #rotate(): Promise<boolean> {
    await this.#syncer.settle();
    if (this.#poison !== null) return false;
    let spare: Spare;
    try {
      spare = await this.#files.takeSpare(this.#writing);
    } catch (error) {
      if (!(error instanceof TidemarkError) || error.remedy !== 'retry') throw error;
      this.#collecting.clear();
      this.#last = this.#syncer.written;
      this.#files.spares.refill();
      this.#syncer.refused();
      this.#config.onRefused(this.#last.index, error);
      return false;
    }
    await this.#files.rotate(spare);
    this.stats.rotations++;
    this.#tell({ kind: 'segment-sealed', lastIndex: this.durableIndex });
    return true;
  }

  #tell(event: LogEvent): void {
    this.#config.onEvent?.(event);
  }

  /** Poisons the log when `step` fails, unless nothing has changed and a repeat may succeed. */
  async #guard<Result>(step: Promise<Result>, failed: 'nothing has changed' | 'unknown'): Promise<Result> {
    try {
      return await step;
    } catch (error) {
      const isPassing = error instanceof TidemarkError && error.remedy === 'retry';
      if (failed === 'nothing has changed' && isPassing) throw error;
      this.poison(error);
      throw this.#poison ?? error;
    }
  }
}

/** @param released What was acknowledged may reach up to here. */
function poisonError(cause: unknown, durable: Index, released: Index): TidemarkError {
  const isLost = released > durable;
  const atStake = isLost
    ? `Entries ${durable + 1} to ${released} were acknowledged and not synced: the last of them may be lost. `
    : '';
  return new TidemarkError(
    'TIDEMARK_LOG_POISONED',
    `the log stopped: ${cause instanceof Error ? cause.message : String(cause)}. ${atStake}What was in ` +
      'flight is unknown until restart; check the disk, then start again',
    {
      remedy: 'repair',
      cause,
      facts: {
        ...(cause instanceof TidemarkError ? cause.facts : {}),
        ...(isLost ? { firstUnsynced: durable + 1, lastAcknowledged: released } : {}),
      },
    },
  );
}
