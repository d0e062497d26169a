/**
 * Runs the procedures of a node: begins them, goes on with those that a crash or a rewind left, and knows
 * which are not finished. What they have done is in the log and the state; here is only who does it.
 */

import { bufferOf } from '../base/bytes.ts';
import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { invalidOption, requireKnownOptions } from '../base/options.ts';
import type { Clock } from '../base/time.ts';
import { type Begun, gone } from '../engine/apply-procedure.ts';
import type { CallableMachine } from '../engine/machine.ts';
import {
  type BeginRecord,
  encodeBounded,
  encodeProcedureRecord,
  type Outcome,
  type ProcedureId,
  type ProcedureRecord,
} from '../engine/procedure-record.ts';
import { readUnfinished, type StoredRun } from '../engine/procedure-store.ts';
import type { Ordering } from '../ordering/ordering.ts';
import type { StateReader } from '../state/state.ts';
import { resultOf } from './outcome.ts';
import { type AnyProcedure, type Procedure, versionOf } from './procedure.ts';
import { ProcedureRun, type UnfinishedProcedure, type Waiter } from './procedure-run.ts';

/** Longest id, in bytes. */
const ID_BYTES_MAX = 256;

/** Between two attempts at a record that the log has no room for. */
const RECORD_RETRY_MS = 100;

/**
 * Of the runs that were left so many are under way at a time: all at once would keep the node from everything
 * else, and fall upon whoever is outside.
 */
const RESUMED_AT_ONCE = 256;

/** Options of `node.run`. */
export interface RunOptions {
  /**
   * Names the operation for ever: the same id again gives the same result, and not a second run. 1 to 256
   * bytes, no control characters.
   */
  readonly id: string;
}

/** How the procedures of a node are doing: those that are not finished. */
export interface ProcedureStats {
  readonly unfinished: number;
  /** Of these, how many wait to be retried or abandoned. */
  readonly stuck: number;
  /** When the oldest was begun, in milliseconds since 1970; 0 when there is none. */
  readonly oldestBegunAt: number;
}

/** What a node's procedures tell: of those that went another way than their function. */
export type ProcedureEvent = {
  /** `procedure-stuck`: it waits to be retried or abandoned. `procedure-undone`: it was taken back. */
  readonly kind: 'procedure-stuck' | 'procedure-undone';
  readonly procedure: string;
  readonly id: string;
  /** The step that it is stuck at; null at none. */
  readonly step: string | null;
  readonly message: string | null;
};

export interface ProcedureRunnerConfig {
  readonly procedures: readonly AnyProcedure[];
  /** How many ended runs are remembered. */
  readonly kept: number;
  readonly machine: CallableMachine<unknown, unknown>;
  readonly ordering: Ordering;
  /** Resolves when everything that was answered is durable. */
  readonly whenDurable: () => Promise<void>;
  readonly clock: Clock;
  readonly onEvent: (event: ProcedureEvent) => void;
  readonly onFatal: (error: unknown) => void;
}

export class ProcedureRunner {
  readonly #config: ProcedureRunnerConfig;
  readonly #procedures: ReadonlyMap<string, AnyProcedure>;
  readonly #runs = new Map<string, ProcedureRun>();
  /** Runs that were left, and are not begun yet. */
  #left: ProcedureRun[] = [];
  /** What was begun of those, and has neither ended nor got stuck. */
  readonly #underWay = new Set<ProcedureRun>();
  #isStartingLeft = false;
  /** On their way: whether a run that is found meanwhile is new, only their answers tell. */
  readonly #beginning = new Set<BeginRecord>();
  /** Runs that were left to those that are on their way. */
  readonly #passedOver = new Set<string>();
  /** Why nothing is run any more; null while it is. */
  #stopped: Error | null = null;

  constructor(config: ProcedureRunnerConfig) {
    this.#config = config;
    this.#procedures = new Map(config.procedures.map((procedure) => [procedure.name, procedure]));
  }

  /**
   * Goes on with what is not finished.
   * @param loaded When the whole state is in memory: what is not finished is found then.
   */
  start(loaded: Promise<void>): void {
    loaded.then(
      () => this.#resume(new Map()),
      () => undefined, // The node stops, and tells why.
    );
  }

  /** See `Node.run`. */
  async run<Argument, Result>(
    procedure: Procedure<Argument, Result>,
    argument: Argument,
    options: RunOptions,
  ): Promise<Result> {
    requireKnownOptions('the third parameter of run', options, { id: 0 });
    const { name, version, recovery } = procedure;
    const run = { procedure: name, id: requireId(options.id) };
    if (this.#procedures.get(name) !== (procedure as unknown)) throw notOpened(name);
    const bytes = encodeBounded(argument, `the argument of ${name}`);
    const known = this.#runs.get(keyOf(run));
    if (known !== undefined) return (await known.wait(bytes)) as Result;
    const begin = { kind: 'begin', ...run, version, recovery, argument: bytes } as const;
    const found = await this.#begin(begin);
    return (await (found instanceof ProcedureRun ? found.wait(bytes) : resultOf(run, found))) as Result;
  }

  /** The run of that id, which goes on, or how it ended. */
  async #begin(record: BeginRecord): Promise<ProcedureRun | Outcome> {
    this.#beginning.add(record);
    try {
      const begun = (await this.#submit(record)) as Begun;
      if (begun.kind === 'finished') return begun.outcome;
      return this.#take(begun.run, begun.isNew ? 'begun' : 'resumed');
    } catch (error) {
      this.#beginning.delete(record);
      if (this.#passedOver.delete(keyOf(record))) this.#resume(new Map());
      throw error;
    } finally {
      this.#beginning.delete(record);
      this.#passedOver.delete(keyOf(record));
    }
  }

  /** Every run that is not finished. */
  list(): UnfinishedProcedure[] {
    return [...this.#runs.values()].map((run) => run.describe());
  }

  get stats(): ProcedureStats {
    let [stuck, oldestBegunAt] = [0, 0];
    for (const run of this.#runs.values()) {
      if (run.isStuck) stuck++;
      if (oldestBegunAt === 0 || run.begunAt < oldestBegunAt) oldestBegunAt = run.begunAt;
    }
    return { unfinished: this.#runs.size, stuck, oldestBegunAt };
  }

  /** @throws TidemarkError TIDEMARK_PROCEDURE_GONE. */
  retry(run: ProcedureId): void {
    this.#find(run).retry();
  }

  /** @throws TidemarkError TIDEMARK_PROCEDURE_GONE, and what keeps a record from being written. */
  async abandon(run: ProcedureId): Promise<void> {
    const found = this.#find(run);
    try {
      await found.abandon();
    } finally {
      this.#left = this.#left.filter((run) => run !== found);
      this.#madeWay(found);
    }
  }

  /** The state became another one: what is not finished there goes on, and nothing else. */
  stateReplaced(): void {
    const waiting = new Map<string, Waiter[]>();
    for (const [key, run] of this.#runs) waiting.set(key, run.drop());
    this.#forgetRuns();
    this.#resume(waiting);
  }

  /**
   * Runs nothing any more. What is being done is not waited for: the next start does it again, by the same
   * key.
   * @param error What those who wait are told.
   */
  stop(error: Error): void {
    if (this.#stopped !== null) return;
    this.#stopped = error;
    for (const run of this.#runs.values()) for (const { reject } of run.drop()) reject(error);
    this.#forgetRuns();
  }

  #forgetRuns(): void {
    this.#runs.clear();
    this.#left = [];
    this.#underWay.clear();
  }

  #find(run: ProcedureId): ProcedureRun {
    const found = this.#runs.get(keyOf(run));
    if (found === undefined) throw gone(run);
    return found;
  }

  /** @param waiting Who waited for the runs before the state was replaced. */
  #resume(waiting: ReadonlyMap<string, readonly Waiter[]>): void {
    // Only of a node that has stopped: it tells why, and nothing is run.
    const giveUp = (error: unknown): void => {
      for (const waiters of waiting.values()) for (const { reject } of waiters) reject(error);
    };
    const read = (state: StateReader): void => {
      const beginning = new Set([...this.#beginning].map(keyOf));
      for (const stored of readUnfinished(state)) {
        if (beginning.has(keyOf(stored))) this.#passedOver.add(keyOf(stored));
        else this.#take(stored, 'resumed');
      }
      for (const [key, waiters] of waiting) this.#handOver(key, waiters);
    };
    try {
      this.#config.ordering.enqueueRead({ read, fail: giveUp });
    } catch (error) {
      giveUp(error);
    }
  }

  #handOver(key: string, waiters: readonly Waiter[]): void {
    const run = this.#runs.get(key);
    if (run !== undefined) return run.adopt(waiters);
    const [procedure = '', id = ''] = key.split('\0');
    for (const { reject } of waiters) reject(gone({ procedure, id }));
  }

  /** The run of these records: one that is known, or a new one, which starts once they are durable. */
  #take(stored: StoredRun, how: 'begun' | 'resumed'): ProcedureRun {
    const key = keyOf(stored);
    const known = this.#runs.get(key);
    if (known !== undefined) return known;
    const newest = this.#procedures.get(stored.procedure);
    const { clock, kept, machine, onFatal } = this.#config;
    const run = new ProcedureRun({
      clock,
      procedure: newest === undefined ? null : versionOf(newest, stored.head.version),
      stored,
      isResumed: how === 'resumed',
      kept,
      record: async (record) => {
        const answer = await this.#submit(record);
        await this.#config.whenDurable();
        return answer;
      },
      encodeCommand: ([name, ...args]) => machine.encodeCall(name, args),
      onEnded: () => {
        if (this.#runs.get(key) === run) this.#runs.delete(key);
        this.#madeWay(run);
      },
      onStuck: (_, error) => {
        this.#tell('procedure-stuck', run, error);
        this.#madeWay(run);
      },
      onUndone: () => this.#tell('procedure-undone', run, null),
      onFatal,
    });
    if (this.#stopped !== null) throw this.#stopped;
    this.#runs.set(key, run);
    if (how === 'begun') this.#startAll([run]);
    else if (this.#left.push(run) === 1) this.#startLeftSoon();
    return run;
  }

  /** Room for another one of those that were left. */
  #madeWay(run: ProcedureRun): void {
    if (this.#underWay.delete(run) && this.#left.length > 0) this.#startLeftSoon();
  }

  #startLeftSoon(): void {
    if (this.#isStartingLeft) return;
    this.#isStartingLeft = true;
    this.#config.clock.after(0, () => {
      this.#isStartingLeft = false;
      const runs = this.#left.splice(0, RESUMED_AT_ONCE - this.#underWay.size);
      for (const run of runs) this.#underWay.add(run);
      this.#startAll(runs);
    });
  }

  #startAll(runs: readonly ProcedureRun[]): void {
    this.#config.whenDurable().then(
      () => runs.forEach((run) => run.start()),
      () => undefined, // The node stops, and tells why.
    );
  }

  #tell(kind: ProcedureEvent['kind'], run: ProcedureRun, error: unknown): void {
    const { procedure, id, step, lastError } = run.describe();
    const message = error === null ? null : lastError;
    this.#config.onEvent({ kind, procedure, id, step: step?.name ?? null, message });
  }

  /** Waits for room: nothing else can be done meanwhile. */
  async #submit(record: ProcedureRecord): Promise<unknown> {
    const command = encodeProcedureRecord(record);
    for (;;) {
      if (this.#stopped !== null) throw this.#stopped;
      try {
        return await this.#enqueue(command);
      } catch (error) {
        if (record.kind === 'begin' || !isShortage(error)) throw error;
      }
      await new Promise<void>((resolve) => this.#config.clock.after(RECORD_RETRY_MS, resolve));
    }
  }

  #enqueue(command: Uint8Array): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#config.ordering.enqueue(command, { settle: resolve, fail: reject });
    });
  }
}

/** The log had no room: nothing was written. */
function isShortage(error: unknown): boolean {
  return isTidemarkError(error) && error.remedy === 'retry';
}

function keyOf({ procedure, id }: ProcedureId): string {
  return `${procedure}\0${id}`;
}

function requireId(id: unknown): string {
  const isId =
    typeof id === 'string' &&
    id.isWellFormed() &&
    !/\p{Cc}/u.test(id) &&
    id !== '' &&
    bufferOf(Buffer.from(id)).length <= ID_BYTES_MAX;
  if (isId) return id;
  throw invalidOption('id', id, `text of 1 to ${ID_BYTES_MAX} bytes without control characters`);
}

function notOpened(procedure: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_UNKNOWN',
    `the node was opened without this procedure ${procedure}: pass it to open({ procedures: [ … ] })`,
    { remedy: 'fix-call', facts: { procedure } },
  );
}
