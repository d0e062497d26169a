/**
 * One run of a procedure, from where its records are to its end.
 *
 * Invariants:
 *  - A step is over when its record is durable, and the next begins after that. What was done and not
 *    recorded is done again, by the same key.
 *  - Once a run has turned back it only takes back, from the step in doubt down, whatever happens to the
 *    process. A run that goes backward turns back too when its process has ended in the middle.
 *  - It does nothing while it is stuck, and stays until it is retried or abandoned.
 */

import { InvariantViolation } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import { isTidemarkError } from '../base/errors.ts';
import type { Clock, Timer } from '../base/time.ts';
import { idTaken } from '../engine/apply-procedure.ts';
import { decodeValue } from '../engine/codec.ts';
import { failureOf, messageOf, tangible } from '../engine/failure.ts';
import { Rejection } from '../engine/machine.ts';
import {
  encodeBounded,
  type Outcome,
  type RunId,
  type RunPosition,
  type RunRecord,
  type StepOutcome,
} from '../engine/procedure-record.ts';
import type { RunHead, StoredRun, StoredStep, TurnedBack } from '../engine/procedure-store.ts';
import { attemptOnce } from './attempt.ts';
import { type AskedStep, changed, type Ending, Execution } from './execution.ts';
import { resultOf, stuckError, unknownVersion } from './outcome.ts';
import type { AnyProcedure, EffectCall } from './procedure.ts';
import { delayAfter, type RetryPolicy, resolveRetry } from './retry-policy.ts';

/** An unfinished run, as `node.procedures` lists it. */
export interface UnfinishedProcedure {
  readonly procedure: string;
  readonly id: string;
  readonly version: number;
  /** Which way it goes now: `backward` while it takes steps back. */
  readonly direction: 'forward' | 'backward';
  /** `waiting`: for the next attempt. `stuck`: until it is retried, abandoned, or the node opened again. */
  readonly status: 'running' | 'waiting' | 'stuck';
  /** The step that it is at, from 1; null before the first and between two. */
  readonly step: { readonly number: number; readonly name: string } | null;
  /** Attempts at that step, since this process has come to it. */
  readonly attempts: number;
  readonly lastError: string | null;
  /** When it was begun, in milliseconds since 1970. */
  readonly begunAt: number;
}

export interface RunConfig {
  readonly clock: Clock;
  /** The version that began it; null when the program has none such. */
  readonly procedure: AnyProcedure | null;
  readonly stored: StoredRun;
  /** Whether another process, or this one before a rewind, began it. */
  readonly isResumed: boolean;
  /** How many ended runs are remembered. */
  readonly kept: number;
  /** Resolves with the answer of the engine, once the record is durable. */
  readonly record: (record: RunPosition & RunRecord) => Promise<unknown>;
  readonly encodeCommand: (call: readonly [name: string, ...unknown[]]) => Uint8Array;
  /** It is over, or was taken back. */
  readonly onEnded: (run: ProcedureRun) => void;
  readonly onStuck: (run: ProcedureRun, error: unknown) => void;
  readonly onUndone: (run: ProcedureRun) => void;
  readonly onFatal: (error: unknown) => void;
}

/** Somebody who waits for the result. */
export interface Waiter {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Of a function that only shows its steps, and came to one that has no record. */
function inDoubt(): Error {
  return new Error('the process ended before the procedure did');
}

export class ProcedureRun {
  readonly #config: RunConfig;
  readonly #steps: StoredStep[];
  #turnedBack: TurnedBack | null;
  readonly #dropped = new AbortController();
  readonly #waiters: Waiter[] = [];
  #status: UnfinishedProcedure['status'] = 'running';
  #step: UnfinishedProcedure['step'] = null;
  #attempts = 0;
  #failure: unknown = null;
  /** What said that it is gone: an effect may meet such an error of another node. */
  #gone: unknown = null;
  #wake: () => void = () => undefined;

  constructor(config: RunConfig) {
    this.#config = config;
    this.#steps = [...config.stored.steps];
    this.#turnedBack = config.stored.turnedBack;
  }

  get runId(): RunId {
    const { procedure, id, head } = this.#config.stored;
    return { procedure, id, begun: head.begun };
  }

  get isStuck(): boolean {
    return this.#status === 'stuck';
  }

  get begunAt(): number {
    return this.#head.begunAt;
  }

  /** What it waits for, for people. */
  describe(): UnfinishedProcedure {
    const { procedure, id } = this.runId;
    const { version, begunAt } = this.#head;
    const failure = this.#failure;
    return {
      procedure,
      id,
      version,
      direction: this.#turnedBack === null ? 'forward' : 'backward',
      status: this.#status,
      step: this.#step,
      attempts: this.#attempts,
      lastError: failure === null ? null : messageOf(failure),
      begunAt,
    };
  }

  /** Goes on from its records to its end, or until it is stuck. */
  start(): void {
    if (this.#dropped.signal.aborted) return;
    this.#status = 'running';
    this.#go().catch((thrown: unknown) => {
      const error = tangible(thrown);
      if (this.#dropped.signal.aborted) return;
      if (error instanceof InvariantViolation) this.#config.onFatal(error);
      else if (this.#gone !== null) this.#leave(this.#gone);
      else this.#getStuck(error);
    });
  }

  /** Waits for its end, or until it is stuck. */
  wait(argument: Uint8Array): Promise<unknown> {
    if (!bufferOf(this.#head.argument).equals(argument)) return Promise.reject(idTaken(this.runId));
    if (this.#status === 'stuck') return Promise.reject(stuckError(this.runId, this.#failure));
    return new Promise((resolve, reject) => this.#waiters.push({ resolve, reject }));
  }

  /** Takes over those who waited for the run before a rewind. */
  adopt(waiters: readonly Waiter[]): void {
    this.#waiters.push(...waiters);
  }

  /** Does nothing any more, and hands out who waits. What it was doing is done again by who goes on. */
  drop(): Waiter[] {
    this.#halt();
    return this.#waiters.splice(0);
  }

  /** Tries again at once. */
  retry(): void {
    if (this.#dropped.signal.aborted) return;
    if (this.#status === 'waiting') this.#wake();
    if (this.#status === 'stuck') this.start();
  }

  /** Ends it where it is. Who waits stays: its own end may have come first. */
  async abandon(): Promise<void> {
    this.#halt();
    const failure = failureOf(this.#failure ?? new Error('abandoned while it was running'));
    const outcome = { kind: 'abandoned', failure } as const;
    await this.#write({ kind: 'end', outcome, kept: this.#config.kept });
    this.#settle(outcome);
  }

  get #head(): RunHead {
    return this.#config.stored.head;
  }

  async #go(): Promise<void> {
    const { procedure, stored, isResumed } = this.#config;
    if (procedure === null) throw unknownVersion(this.runId, this.#head.version);
    const showsOnly = this.#turnedBack !== null || (isResumed && this.#head.recovery === 'backward');
    const perform = showsOnly
      ? () => Promise.reject(inDoubt())
      : (number: number, asked: AskedStep) => this.#perform(number, asked);
    const execution = new Execution({ procedure, run: stored, steps: this.#steps, perform });
    const ending = await execution.run();
    this.#dropped.signal.throwIfAborted();
    this.#requireSame(execution, ending);
    if (ending.kind !== 'stopped') this.#step = null;
    if (this.#turnedBack !== null) await this.#takeBack(execution);
    else await this.#conclude(execution, ending);
  }

  /** @throws TidemarkError TIDEMARK_PROCEDURE_CHANGED unless the function asked for what was recorded. */
  #requireSame({ asked }: Execution, ending: Ending): void {
    if (ending.kind === 'changed') throw ending.error;
    const needed = Math.max(this.#steps.length, this.#turnedBack?.next ?? 0);
    if (asked.length >= needed) return;
    const next = this.#steps[asked.length]?.name ?? 'another';
    const how = `step ${asked.length + 1} was ${next}, and now it ends behind step ${asked.length}`;
    throw changed(this.#config.stored, how);
  }

  /** The function has ended: so does the run, or it turns back, or is stuck. */
  async #conclude(execution: Execution, ending: Ending): Promise<void> {
    if (ending.kind === 'returned') {
      return await this.#end({ kind: 'done', result: ending.result });
    }
    const { error } = ending;
    if (this.#head.recovery === 'forward') {
      if (ending.kind !== 'threw' || !(error instanceof Rejection)) throw error;
      return await this.#end({ kind: 'refused', failure: failureOf(error) });
    }
    // With the step in doubt, if there is one.
    const turnedBack = { next: execution.asked.length, failure: failureOf(error) };
    await this.#record({ kind: 'turn-back', from: turnedBack.next, failure: turnedBack.failure });
    this.#turnedBack = turnedBack;
    await this.#takeBack(execution);
  }

  async #takeBack({ asked }: Execution): Promise<void> {
    const { failure } = this.#turnedBack!;
    for (let number = this.#turnedBack!.next; number >= 1; number--) {
      await this.#undo(number, asked[number - 1]!);
    }
    await this.#end({ kind: 'undone', failure });
    this.#config.onUndone(this);
  }

  async #end(outcome: Outcome): Promise<void> {
    await this.#record({ kind: 'end', outcome, kept: this.#config.kept });
    this.#settle(outcome);
  }

  #settle(outcome: Outcome): void {
    for (const { resolve } of this.#waiters.splice(0)) resolve(resultOf(this.runId, outcome));
    this.#config.onEnded(this);
  }

  async #perform(number: number, asked: AskedStep): Promise<StepOutcome> {
    const { name } = asked;
    this.#step = { number, name };
    this.#attempts = 1;
    const outcome =
      asked.kind === 'effect' ? await this.#effect(number, asked) : await this.#command(asked.call);
    this.#steps.push({ kind: asked.kind, name, outcome });
    this.#step = null;
    return outcome;
  }

  async #effect(number: number, asked: AskedStep & { readonly kind: 'effect' }): Promise<StepOutcome> {
    const { name, effect, options } = asked;
    let value: unknown;
    let outcome: StepOutcome | null = null;
    await this.#retrying(options.retry, async (call) => {
      try {
        value = await this.#attempt(number, name, effect, call);
      } catch (thrown) {
        const error = tangible(thrown);
        if (!(error instanceof Rejection)) throw error;
        outcome = { kind: 'refused', failure: failureOf(error) };
      }
    });
    outcome ??= { kind: 'done', result: encodeBounded(value, 'the result of a step') };
    await this.#record({ kind: 'step', name, outcome });
    return outcome;
  }

  async #command(call: readonly [name: string, ...unknown[]]): Promise<StepOutcome> {
    const command = this.#config.encodeCommand(call);
    return (await this.#record({ kind: 'command-step', name: call[0], command })) as StepOutcome;
  }

  /** Takes a step back that has taken effect, or may have. A command without a record has not. */
  async #undo(number: number, asked: AskedStep): Promise<void> {
    const outcome = this.#steps[number - 1]?.outcome ?? null;
    if (outcome?.kind === 'refused') return;
    const result = outcome === null ? undefined : decodeValue(outcome.result);
    this.#step = { number, name: asked.name };
    if (asked.kind === 'effect') {
      const { undo, retry } = asked.options;
      if (undo === undefined) return;
      const effect = (call: EffectCall): unknown => undo(result, call);
      await this.#retrying(retry, (call) => this.#attempt(number, asked.name, effect, call));
      await this.#record({ kind: 'undone', number, command: null });
    } else {
      const { undo } = asked;
      if (undo === undefined || outcome === null) return;
      await this.#retrying({}, async () => {
        const command = this.#config.encodeCommand(undo(result));
        await this.#record({ kind: 'undone', number, command });
      });
    }
    this.#turnedBack = { ...this.#turnedBack!, next: number - 1 };
  }

  /** Tries until it succeeds. @throws What the last attempt came to. */
  async #retrying(
    options: Partial<RetryPolicy> | undefined,
    run: (call: { readonly attempt: number; readonly timeoutMs: number }) => Promise<unknown>,
  ): Promise<void> {
    const policy = resolveRetry(options ?? {}, this.#config.procedure!.retry);
    for (let attempt = 1; ; attempt++) {
      this.#attempts = attempt;
      try {
        await run({ attempt, timeoutMs: policy.timeoutMs });
        this.#failure = null;
        return;
      } catch (thrown) {
        this.#dropped.signal.throwIfAborted();
        const error = tangible(thrown);
        if (this.#gone !== null || attempt === policy.attempts) throw error;
        this.#failure = error;
        await this.#pause(delayAfter(policy, attempt));
      }
    }
  }

  #attempt(
    number: number,
    name: string,
    effect: (call: EffectCall) => unknown,
    call: { readonly attempt: number; readonly timeoutMs: number },
  ): Promise<unknown> {
    const { procedure, id } = this.runId;
    const key = `${procedure}/${id}/${number}/${name}`;
    const dropped = this.#dropped.signal;
    return attemptOnce(effect, { clock: this.#config.clock, key, ...call, dropped });
  }

  async #pause(ms: number): Promise<void> {
    let timer: Timer | null = null;
    this.#status = 'waiting';
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = this.#config.clock.after(ms, resolve);
    });
    (timer as Timer | null)?.cancel();
    this.#status = 'running';
    this.#dropped.signal.throwIfAborted();
  }

  /** Resolves once the record is durable. One that was dropped records nothing. */
  #record(record: RunRecord): Promise<unknown> {
    this.#dropped.signal.throwIfAborted();
    return this.#write(record);
  }

  async #write(record: RunRecord): Promise<unknown> {
    const next = this.#turnedBack?.next ?? null;
    try {
      return await this.#config.record({ ...this.runId, steps: this.#steps.length, next, ...record });
    } catch (error) {
      if (isTidemarkError(error, 'TIDEMARK_PROCEDURE_GONE')) this.#gone = error;
      throw error;
    }
  }

  #getStuck(error: unknown): void {
    this.#status = 'stuck';
    this.#failure = error;
    for (const { reject } of this.#waiters.splice(0)) reject(stuckError(this.runId, error));
    this.#config.onStuck(this, error);
  }

  #halt(): void {
    this.#dropped.abort(new Error('the node was closed, the state taken back, or the run abandoned'));
    this.#wake();
  }

  /** It is not there any more. */
  #leave(error: unknown): void {
    for (const { reject } of this.drop()) reject(error);
    this.#config.onEnded(this);
  }
}
