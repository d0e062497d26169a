/**
 * `procedure(name, options, run)`: an operation of several steps with effects outside of the node, which a
 * crash does not leave half-done.
 *
 * The function is run again after a crash, from its beginning: steps that were recorded give what they gave,
 * without being done, so that it comes to where it was. Hence what it does between its steps must be the same
 * every time, and everything that is not, or that has an effect, belongs into a step.
 */

import { invalidOption, requireInteger, requireKnownOptions } from '../base/options.ts';
import type { Call, CallableMachine } from '../engine/machine.ts';
import type { Recovery } from '../engine/procedure-record.ts';
import type { KeyValueCommands } from '../keyvalue/callable.ts';
import { RETRY_DEFAULTS, type RetryPolicy, resolveRetry } from './retry-policy.ts';

/** What an effect, or its undoing, is told. */
export interface EffectCall {
  /**
   * Names the step, and is the same at every attempt, after every crash: `checkout/order-17/2/charge`. What
   * is done must take effect once by it, however often it is asked for.
   */
  readonly key: string;
  /** From 1, since the process has come to this step. */
  readonly attempt: number;
  /** Aborted when the attempt has taken too long, or the node is closed. */
  readonly signal: AbortSignal;
}

/** A command of the machine: `['ship', { order: 17 }]`. */
export type CommandCall<Commands> = {
  readonly [Name in keyof Commands & string]: readonly [name: Name, ...ArgumentsOf<Commands[Name]>];
}[keyof Commands & string];

type ArgumentsOf<Command> = Command extends Call ? Command['arguments'] : never;
type ResultOf<Command> = Command extends Call ? Awaited<Command['result']> : never;

/** Options of a step with an effect. */
export interface StepOptions<Result> {
  /**
   * Takes the effect back. `result` is undefined when nobody knows whether it has happened: a crash or an
   * error came in between. So it works by the key, finds nothing to take back too, and keeps an effect with
   * that key from happening later.
   */
  readonly undo?: (result: Result | undefined, call: EffectCall) => unknown;
  /** @default that of the procedure */
  readonly retry?: Partial<RetryPolicy>;
}

/** Options of a step that is a command. */
export interface CommandStepOptions<Commands, Result> {
  /** The command that takes it back, once, together with the record of that. */
  readonly undo?: (result: Result) => CommandCall<Commands>;
}

/** How a procedure does something that happens once. One step at a time. */
export interface Step<Commands> {
  /**
   * Does `effect`, and gives its result once that is recorded: up to 64 KiB of what a table can hold. An
   * error is tried again; a `Rejection` is a result, and is thrown, now and whenever the function runs again.
   */
  <Result>(
    name: string,
    effect: (call: EffectCall) => Result | PromiseLike<Result>,
    options?: StepOptions<Result>,
  ): Promise<Result>;

  /**
   * Submits a command of the machine, which takes effect once, together with its record. What the machine
   * refuses it with is thrown.
   */
  submit<Name extends keyof Commands & string>(
    call: readonly [name: Name, ...ArgumentsOf<Commands[Name]>],
    options?: CommandStepOptions<Commands, ResultOf<Commands[Name]>>,
  ): Promise<ResultOf<Commands[Name]>>;

  /** The id that it was called with. */
  readonly id: string;
  /** When it was begun, in milliseconds since 1970: the same at every run. */
  readonly begunAt: number;
}

/** Options of {@link procedure}. */
export interface ProcedureOptions<Commands> {
  /**
   * What becomes of it when a step fails for good, or its process has ended in the middle. `forward`: it goes
   * on behind its last finished step, and comes to its end some day. `backward`: the steps it had taken are
   * taken back, the last one first.
   */
  readonly recovery: Recovery;
  /** Version of its steps, from 1; above that of `previous`. @default 1 */
  readonly version?: number;
  /** The version before, for the runs that it began. */
  readonly previous?: AnyProcedure;
  /** The machine whose commands it submits. @default the key-value machine */
  readonly machine?: CallableMachine<Commands, unknown>;
  /** How often a step is tried, and how long that may take. */
  readonly retry?: Partial<RetryPolicy>;
}

/** What the function of a procedure looks like: it gets its steps, and what it was called with. */
export type ProcedureFunction<Commands, Argument, Result> = (
  step: Step<Commands>,
  argument: Argument,
) => Promise<Result>;

/** A procedure, for `open({ procedures })` and `node.run`. */
export interface Procedure<Argument, Result> {
  readonly name: string;
  readonly version: number;
  readonly recovery: Recovery;
  readonly previous: AnyProcedure | null;
  readonly retry: RetryPolicy;
  /** Null for the key-value machine. */
  readonly machine: CallableMachine<unknown, unknown> | null;
  /** Its step is that of its machine. */
  readonly run: (step: never, argument: Argument) => Promise<Result>;
}

/** One whose types are not known any more. */
export type AnyProcedure = Procedure<never, unknown>;

/**
 * Makes a procedure.
 * @param name 1 to 64 letters, digits and underscores, the first of them no digit.
 * @throws TidemarkError TIDEMARK_OPTION_INVALID.
 */
export function procedure<Argument, Result, Commands = KeyValueCommands>(
  name: string,
  options: ProcedureOptions<Commands>,
  run: ProcedureFunction<Commands, Argument, Result>,
): Procedure<Argument, Result> {
  requireKnownOptions('procedure', options, {
    recovery: 0,
    version: 0,
    previous: 0,
    machine: 0,
    retry: 0,
  });
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name)) throw invalidOption('name', name, 'a short identifier');
  const { recovery, version = 1, previous = null, machine = null } = options;
  if (recovery !== 'forward' && recovery !== 'backward') {
    throw invalidOption('recovery', recovery, "'forward' or 'backward'");
  }
  requireInteger('version', version, 1, Number.MAX_SAFE_INTEGER);
  if (previous !== null && (previous.name !== name || previous.version >= version)) {
    const wanted = `version 1 to ${version - 1} of the procedure ${name}`;
    throw invalidOption('previous', `${previous.name} version ${previous.version}`, wanted);
  }
  return Object.freeze({
    name,
    version,
    recovery,
    previous,
    retry: resolveRetry(options.retry ?? {}, RETRY_DEFAULTS),
    machine,
    run,
  });
}

/** The procedure in that version; null when there is none. */
export function versionOf(newest: AnyProcedure, version: number): AnyProcedure | null {
  for (let found: AnyProcedure | null = newest; found !== null; found = found.previous) {
    if (found.version === version) return found;
  }
  return null;
}
