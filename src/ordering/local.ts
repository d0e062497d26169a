/**
 * Ordering by this process alone: an entry is the commands of one turn of the event loop, or of the time that
 * a sync took.
 *
 * The way of a batch: collecting → appended to the log → released by it → applied and answered. With `synced`
 * durability released means durable: while one entry syncs the next collects; when the sync ends, the next
 * write starts first and the finished entry is applied under it. State shows released entries only, so that
 * no reader sees what was promised to nobody.
 *
 * Everything that waits, and the event that resumes it:
 *
 *     who waits                            resumed by   which
 *     -----------------------------------  -----------  ----------------------------------------------------
 *     commands collected, none in flight   turn         appends them and flushes
 *     commands collected behind a batch    released     appends them; the log's next write takes them along
 *       that is in flight                  applied      schedules a turn, when nothing is in flight any more
 *     a batch in flight                    released     applies it in a microtask, answers its commands
 *                                          refused      fails its commands, answers its reads, in its turn
 *     a read behind commands               applied      runs when the last command before it was answered
 *     `whenDrained`                        applied,     resolves when less than half of the bound is left,
 *                                          caught up    and the tree of the state is not behind
 *     `pause`                              applied      resolves when nothing is in flight any more
 *     what is taken while it is paused     resumed      as a turn; reads go on alone when there are only they
 *     `close`                              applied      goes on when nothing is left
 *     all of them                          stopped      commands and reads fail, `whenDrained` rejects,
 *                                                       `close` goes on
 *
 * Turn: `#turn`, soon after the first command. Released, refused: `onReleased` and `onRefused`, called by the
 * log. Applied: the end of `#apply`. Resumed: `resume`. Caught up: told by the engine. Stopped: `stop`,
 * called by the node.
 */

import { assert } from '../base/assert.ts';
import { TidemarkError } from '../base/errors.ts';
import { type Index, toTerm } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { Engine } from '../engine/engine.ts';
import type { Log } from '../log/log.ts';
import { Batch } from './batch.ts';
import { BatchFigures } from './batch-figures.ts';
import type { LocalOptions } from './local-options.ts';
import type { CommandSink, Ordering, ReadSink } from './ordering.ts';

/** Commands of one entry, in bytes: cut here so that an entry stays far below the record limit. */
const ENTRY_BYTES_MAX = 4 * 1024 * 1024;

const TERM = toTerm(0);

/** The log as this ordering uses it; its callbacks are the `on…` methods below. */
export type LocalLog = Pick<Log, 'append' | 'flush' | 'lastIndex' | 'lastTime' | 'releasedIndex' | 'refusal'>;

export interface LocalConfig {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly options: Required<LocalOptions>;
  /** The node must stop: the machine, or Tidemark, is wrong, or a part of the state cannot be read. */
  readonly onFatal: (error: unknown) => void;
}

/** A batch that was handed to the log. */
interface InFlight {
  readonly batch: Batch;
  /** Of its entry; of a refused one, that of the last entry before it. */
  readonly index: Index;
  readonly time: number;
  /** Why it was not written; null for an entry. It is answered in its turn all the same. */
  readonly refusal: TidemarkError | null;
}

export class LocalOrdering implements Ordering {
  readonly figures = new BatchFigures();
  readonly #config: LocalConfig;
  #log: LocalLog | null = null;
  #collecting = new Batch();
  /** Batches that filled up in this turn, in order. */
  #full: Batch[] = [];
  #inFlight: InFlight[] = [];
  readonly #spareBatches: Batch[] = [];
  #pendingBytes = 0;
  #isTurnScheduled = false;
  #isApplying = false;
  #stopped: TidemarkError | null = null;
  #drainWaiters: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  #idleWaiters: (() => void)[] = [];
  /** Somebody else appends entries, and changes the state. */
  #isPaused = false;
  #pauseWaiter: { resolve: () => void; reject: (error: unknown) => void } | null = null;

  constructor(config: LocalConfig) {
    this.#config = config;
    config.engine.whenCaughtUp(() => this.#tellDrained());
  }

  /** Starts taking commands. */
  start(log: LocalLog): void {
    this.#log = log;
  }

  enqueue(command: Uint8Array, sink: CommandSink): boolean {
    const { engine, clock, options } = this.#config;
    if (this.#stopped !== null) throw this.#stopped;
    const log = this.#openLog();
    if (log.refusal !== null) throw log.refusal;
    if (command.length > options.commandBytesMax) throw tooLarge(command.length, options.commandBytesMax);
    if (this.#pendingBytes >= 2 * options.pendingBytesMax) throw busy(this.#pendingBytes);
    if (engine.isFarBehind) throw behind(engine.changesPending);
    if (this.#collecting.bytes + command.length > ENTRY_BYTES_MAX && this.#collecting.commandCount > 0) {
      this.#full.push(this.#collecting);
      this.#collecting = this.#freshBatch();
    }
    if (this.#collecting.commandCount === 0) this.#collecting.takenAt = clock.monotonic();
    this.#collecting.add(command, sink);
    this.#pendingBytes += command.length;
    this.#scheduleTurn();
    return this.isDrained;
  }

  enqueueRead(sink: ReadSink): void {
    if (this.#stopped !== null) throw this.#stopped;
    const isIdle = this.#inFlight.length === 0 && this.#full.length === 0 && this.#collecting.isEmpty;
    if (!isIdle || this.#isApplying || this.#isPaused) {
      this.#collecting.addRead(sink);
      return;
    }
    sink.read(this.#config.engine.state);
    this.#stopIfUnreadable();
  }

  get isDrained(): boolean {
    const { engine, options } = this.#config;
    return this.#pendingBytes < options.pendingBytesMax && !engine.isBehind;
  }

  whenDrained(): Promise<void> {
    if (this.#stopped !== null) return Promise.reject(this.#stopped);
    if (this.#isWellDrained) return Promise.resolve();
    return new Promise((resolve, reject) => this.#drainWaiters.push({ resolve, reject }));
  }

  /**
   * Keeps what comes from now on until `resume`; resolves when everything before is answered. Then nothing
   * reads or changes the state, and nothing is appended. Rejects when the node stops first.
   */
  pause(): Promise<void> {
    assert(!this.#isPaused, 'an ordering is paused once');
    if (this.#stopped !== null) return Promise.reject(this.#stopped);
    this.#isPaused = true;
    if (this.#inFlight.length === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#pauseWaiter = { resolve, reject };
    });
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#full.length > 0 || this.#collecting.commandCount > 0) this.#scheduleTurn();
    else this.#orStop(() => this.#runLoneReads());
    this.#tellIdle();
  }

  /** Takes nothing more, and waits until everything taken is answered. */
  async close(): Promise<void> {
    this.#stopped ??= new TidemarkError('TIDEMARK_NOT_OPEN', 'the node is closing', { remedy: 'fix-call' });
    this.#turn();
    if (!this.#isIdle) await new Promise<void>((resolve) => this.#idleWaiters.push(resolve));
  }

  /**
   * Of the log: entries up to `index` may be acknowledged. The next write starts before they are applied.
   * Before the start nothing of this ordering is in the log; it proves then what was there, or a new
   * version's entry.
   */
  onReleased(index: Index): void {
    if (this.#log === null) return;
    this.#appendCollected();
    this.#applySoon(index);
  }

  /** Of the log: entries after `afterIndex` will never be written. */
  onRefused(afterIndex: Index, error: TidemarkError): void {
    this.#inFlight = this.#inFlight.map((entry) =>
      entry.index > afterIndex ? { ...entry, index: afterIndex, refusal: error } : entry,
    );
    this.#applySoon(afterIndex);
  }

  /**
   * Of the log, or of an apply that must not go on: nothing more is taken or applied.
   * @param error For what was not yet handed to the log, and for what comes later: it was never taken.
   * @param inFlight For what was: only a restart tells whether it took effect.
   * @throws What a sink threw, after everybody has been told.
   */
  stop(error: TidemarkError, inFlight: TidemarkError): void {
    this.#stopped = error;
    const unknown = this.#inFlight.map((entry) => entry.batch);
    const refused = [...this.#full, this.#collecting];
    this.#inFlight = [];
    this.#full = [];
    this.#collecting = new Batch();
    const thrown: unknown[] = [];
    for (const [at, batch] of [...unknown, ...refused].entries()) {
      try {
        batch.failRest(at < unknown.length ? inFlight : error);
      } catch (failure) {
        thrown.push(failure);
      }
    }
    this.#pendingBytes = 0;
    for (const waiter of this.#drainWaiters.splice(0)) waiter.reject(error);
    this.#pauseWaiter?.reject(error);
    this.#pauseWaiter = null;
    this.#tellIdle();
    if (thrown.length > 0) throw thrown[0];
  }

  get #isIdle(): boolean {
    return this.#inFlight.length === 0 && this.#full.length === 0 && this.#collecting.isEmpty;
  }

  /** Lets every socket that has input be read before the entry is cut. */
  #scheduleTurn(): void {
    if (this.#isTurnScheduled || this.#inFlight.length > 0) return;
    this.#isTurnScheduled = true;
    this.#config.clock.soon(() => this.#turn());
  }

  #turn(): void {
    this.#isTurnScheduled = false;
    if (this.#inFlight.length > 0) return; // onReleased takes what was collected.
    this.#orStop(() => {
      this.#appendCollected();
      this.#openLog().flush();
    });
  }

  #applySoon(released: Index): void {
    queueMicrotask(() => this.#orStop(() => this.#apply(released)));
  }

  /** Whatever a machine, a sink or this file throws stops the node: nobody else would hear of it. */
  #orStop(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#isApplying = false;
      this.#config.onFatal(error);
    }
  }

  #appendCollected(): void {
    if (this.#isPaused) return;
    const log = this.#openLog();
    while (this.#full.length > 0 || this.#collecting.commandCount > 0) {
      let batch = this.#full.shift();
      if (batch === undefined) {
        batch = this.#collecting;
        this.#collecting = this.#freshBatch();
      }
      const time = Math.max(log.lastTime, this.#config.clock.now());
      try {
        const index = log.append(TERM, time, batch.body(), batch.commandCount);
        this.#inFlight.push({ batch, index, time, refusal: null });
      } catch (error) {
        if (!(error instanceof TidemarkError)) throw error;
        // Behind what is in flight: answers come in the order of the commands, refusals too.
        this.#inFlight.push({ batch, index: log.lastIndex, time, refusal: error });
        this.#applySoon(log.releasedIndex);
      }
    }
  }

  #apply(released: Index): void {
    const { engine } = this.#config;
    this.#isApplying = true;
    while (this.#inFlight.length > 0 && this.#inFlight[0]!.index <= released) {
      const { batch, index, time, refusal } = this.#inFlight[0]!;
      if (refusal === null) {
        this.#applyBatch(batch, index, time);
      } else {
        batch.refuse(engine.state, refusal);
      }
      this.#inFlight.shift();
      this.#finish(batch);
    }
    this.#isApplying = false;
    this.#stopIfUnreadable();
    if (this.#inFlight.length === 0) {
      this.#pauseWaiter?.resolve();
      this.#pauseWaiter = null;
    }
    // An answer may have brought new commands while this entry still counted as in flight.
    if (this.#collecting.commandCount > 0) this.#scheduleTurn();
    else this.#runLoneReads();
    this.#tellIdle();
  }

  #applyBatch(batch: Batch, index: Index, time: number): void {
    const { engine, clock } = this.#config;
    const { commandMs, batchCommands, batchBytes, applyMs } = this.figures;
    const begunAt = clock.monotonic();
    batch.begin(engine.state);
    engine.apply({ index, time, body: batch.body() }, batch);
    const endedAt = clock.monotonic();
    applyMs.record(endedAt - begunAt);
    commandMs.record(endedAt - batch.takenAt, batch.commandCount);
    batchCommands.record(batch.commandCount);
    batchBytes.record(batch.bytes);
  }

  /**
   * A part of the state that a read could not read stops the node, whatever became of the error: no command
   * gets past it. Not before whoever asked has the answer.
   */
  #stopIfUnreadable(): void {
    const { engine, onFatal } = this.#config;
    if (engine.readFailure !== null) queueMicrotask(() => onFatal(engine.readFailure));
  }

  #tellIdle(): void {
    if (this.#isIdle) for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /** Reads that waited for commands, with no command behind them to go out with. */
  #runLoneReads(): void {
    if (this.#inFlight.length > 0 || this.#full.length > 0 || this.#collecting.commandCount > 0) return;
    if (this.#collecting.isEmpty || this.#isPaused) return;
    const batch = this.#collecting;
    this.#collecting = this.#freshBatch();
    batch.begin(this.#config.engine.state);
    this.#finish(batch);
  }

  /** Every command of the batch was answered. */
  #finish(batch: Batch): void {
    this.#pendingBytes -= batch.bytes - ENTRY_OVERHEAD - batch.commandCount * ENTRY_OVERHEAD;
    assert(this.#pendingBytes >= 0, `pending bytes are counted in and out, now ${this.#pendingBytes}`);
    batch.clear();
    if (batch.isKept && this.#spareBatches.length < 2) this.#spareBatches.push(batch);
    this.#tellDrained();
  }

  get #isWellDrained(): boolean {
    const { engine, options } = this.#config;
    return this.#pendingBytes < options.pendingBytesMax / 2 && !engine.isBehind;
  }

  #tellDrained(): void {
    if (!this.#isWellDrained) return;
    for (const waiter of this.#drainWaiters.splice(0)) waiter.resolve();
  }

  #freshBatch(): Batch {
    return this.#spareBatches.pop() ?? new Batch();
  }

  #openLog(): LocalLog {
    assert(this.#log !== null, 'start comes first');
    return this.#log;
  }
}

/** Bytes of an entry's count, and of the length of each command. */
const ENTRY_OVERHEAD = 4;

function tooLarge(bytes: number, bytesMax: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_COMMAND_TOO_LARGE',
    `a command of ${bytes} bytes exceeds commandBytesMax, ${bytesMax} bytes`,
    { remedy: 'fix-call', facts: { bytes, bytesMax } },
  );
}

function behind(changesPending: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_BUSY',
    `${changesPending} changes wait for the tree of the state; wait for drained() and try again`,
    { remedy: 'retry', facts: { changesPending } },
  );
}

function busy(pendingBytes: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_BUSY',
    `${pendingBytes} bytes of commands wait for the disk; wait for drained() and try again`,
    { remedy: 'retry', facts: { pendingBytes } },
  );
}
