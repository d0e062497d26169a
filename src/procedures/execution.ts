/**
 * One execution of a procedure's function: what was recorded is given again without being done, and what was
 * not is handed to the host.
 *
 * Invariants:
 *  - One step at a time: the n-th that is asked for is step n, whatever the function does in between.
 *  - An execution ends once. A function that asks for a step afterwards is told so, and nothing is done.
 *  - It does not end while a step is being done: what comes next knows what has been recorded.
 */

import { TidemarkError } from '../base/errors.ts';
import { invalidOption, requireKnownOptions } from '../base/options.ts';
import { decodeValue } from '../engine/codec.ts';
import { errorOf, tangible } from '../engine/failure.ts';
import { encodeBounded, type StepOutcome } from '../engine/procedure-record.ts';
import { STEPS_MAX, type StoredRun, type StoredStep } from '../engine/procedure-store.ts';
import type {
  AnyProcedure,
  CommandCall,
  CommandStepOptions,
  EffectCall,
  Step,
  StepOptions,
} from './procedure.ts';

/** Longest name of a step, in UTF-16 units. */
const STEP_NAME_MAX = 256;

/** A step as the function asks for it. */
export type AskedStep =
  | {
      readonly kind: 'effect';
      readonly name: string;
      readonly effect: (call: EffectCall) => unknown;
      readonly options: StepOptions<unknown>;
    }
  | {
      readonly kind: 'command';
      readonly name: string;
      readonly call: readonly [name: string, ...unknown[]];
      readonly undo: ((result: unknown) => CommandCall<unknown>) | undefined;
    };

/**
 * How the function ended. `stopped`: it came to a step that cannot be taken, or misused its steps; `changed`:
 * it asked for another than was recorded.
 */
export type Ending =
  | { readonly kind: 'returned'; readonly result: Uint8Array }
  | { readonly kind: 'threw' | 'stopped' | 'changed'; readonly error: unknown };

export interface ExecutionConfig {
  readonly procedure: AnyProcedure;
  readonly run: Pick<StoredRun, 'procedure' | 'id' | 'head'>;
  /** What was recorded. The host adds what it performs. */
  readonly steps: readonly StoredStep[];
  /** Does a step that was not recorded, and records it. What it throws stops the execution. */
  readonly perform: (number: number, asked: AskedStep) => Promise<StepOutcome>;
}

export class Execution {
  readonly #config: ExecutionConfig;
  readonly #asked: AskedStep[] = [];
  readonly #ended: Promise<Ending>;
  #onEnded: (ending: Ending) => void = () => undefined;
  #ending: Ending | null = null;
  #isBusy = false;

  constructor(config: ExecutionConfig) {
    this.#config = config;
    this.#ended = new Promise((resolve) => {
      this.#onEnded = resolve;
    });
  }

  /** The steps it has come to, in their order. */
  get asked(): readonly AskedStep[] {
    return this.#asked;
  }

  /** Executes the function, once. */
  run(): Promise<Ending> {
    const { procedure, run } = this.#config;
    const argument = decodeValue(run.head.argument);
    const started = (async () => procedure.run(this.#step() as never, argument as never))();
    const returned = started.then((value) => encodeBounded(value, 'the result of a procedure'));
    returned.then(
      (result) => this.#end(this.#isBusy ? this.#leftBehind() : { kind: 'returned', result }),
      (thrown: unknown) =>
        this.#end(this.#isBusy ? this.#leftBehind() : { kind: 'threw', error: tangible(thrown) }),
    );
    return this.#ended;
  }

  #step(): Step<unknown> {
    const { id, head } = this.#config.run;
    const take = (
      name: string,
      effect: (call: EffectCall) => unknown,
      options: StepOptions<never> = {},
    ): Promise<unknown> =>
      this.#ask({ kind: 'effect', name, effect, options: options as StepOptions<unknown> });
    const submit = (
      call: readonly [name: string, ...unknown[]],
      options: CommandStepOptions<unknown, never> = {},
    ): Promise<unknown> => {
      const undo = options.undo as ((result: unknown) => CommandCall<unknown>) | undefined;
      return this.#ask({ kind: 'command', name: call[0], call, undo });
    };
    return Object.assign(take, { submit, id, begunAt: head.begunAt }) as Step<unknown>;
  }

  #ask(asked: AskedStep): Promise<unknown> {
    const given = this.#take(asked);
    given.catch(() => undefined); // Who does not wait for a step is told in another way.
    return given;
  }

  async #take(asked: AskedStep): Promise<unknown> {
    if (this.#ending !== null) throw this.#misused(`asks for step ${asked.name} after its end`);
    if (this.#isBusy) throw this.#stop(this.#misused(`asks for step ${asked.name} during another`));
    if (this.#asked.length === STEPS_MAX)
      throw this.#stop(this.#misused(`takes more than ${STEPS_MAX} steps`));
    try {
      requireStep(asked);
    } catch (error) {
      throw this.#stop(error);
    }
    this.#asked.push(asked);
    const number = this.#asked.length;
    const recorded = this.#config.steps[number - 1];
    const outcome =
      recorded === undefined ? await this.#perform(number, asked) : this.#replay(number, asked, recorded);
    if (outcome.kind === 'refused') throw errorOf(outcome.failure);
    return decodeValue(outcome.result);
  }

  #replay(number: number, asked: AskedStep, recorded: StoredStep): StepOutcome {
    if (recorded.kind === asked.kind && recorded.name === asked.name) return recorded.outcome;
    const { run } = this.#config;
    const how = `step ${number} was ${inWords(recorded)}, and now it asks for ${inWords(asked)}`;
    throw this.#stop(changed(run, how), 'changed');
  }

  async #perform(number: number, asked: AskedStep): Promise<StepOutcome> {
    this.#isBusy = true;
    try {
      return await this.#config.perform(number, asked);
    } catch (error) {
      throw this.#stop(error);
    } finally {
      this.#isBusy = false;
      if (this.#ending !== null) this.#onEnded(this.#ending);
    }
  }

  #stop<Failure>(error: Failure, kind: 'stopped' | 'changed' = 'stopped'): Failure {
    this.#end({ kind, error });
    return error;
  }

  #end(ending: Ending): void {
    this.#ending ??= ending;
    if (!this.#isBusy) this.#onEnded(this.#ending);
  }

  #leftBehind(): Ending {
    return { kind: 'stopped', error: this.#misused('ended while one of its steps was being done') };
  }

  #misused(how: string): TidemarkError {
    const { procedure, id } = this.#config.run;
    return new TidemarkError(
      'TIDEMARK_PROCEDURE_MISUSED',
      `the procedure ${procedure} ${how} (run ${id}); it awaits each step before the next, and its last one`,
      { remedy: 'fix-call', facts: { procedure, id } },
    );
  }
}

/** A name has no slash: the parts of a key can be told from each other, and no two steps have the same. */
function requireStep(asked: AskedStep): void {
  const { kind, name } = asked;
  const undo = kind === 'effect' ? asked.options.undo : asked.undo;
  if (undo !== undefined && typeof undo !== 'function') throw invalidOption('undo', undo, 'a function');
  if (kind === 'command') {
    if (!Array.isArray(asked.call)) throw invalidOption('call', asked.call, 'a list of name and arguments');
    return;
  }
  requireKnownOptions('step', asked.options, { undo: 0, retry: 0 });
  const isName =
    typeof name === 'string' &&
    name !== '' &&
    name.length <= STEP_NAME_MAX &&
    name.isWellFormed() &&
    !/[\p{Cc}/]/u.test(name);
  const wanted = `text of 1 to ${STEP_NAME_MAX} characters without slashes and control characters`;
  if (!isName) throw invalidOption('name', name, wanted);
  if (typeof asked.effect !== 'function') throw invalidOption('effect', asked.effect, 'a function');
}

/** The function is not the one that was recorded, or does not do the same every time. */
export function changed({ procedure, id, head }: ExecutionConfig['run'], how: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_CHANGED',
    `run ${id} of the procedure ${procedure} was recorded by version ${head.version} as it no longer goes: ` +
      `${how}. Nothing was done. Give the changed procedure a new version, with the one before as its ` +
      '`previous`, and do what differs from run to run in steps',
    { remedy: 'fix-call', facts: { procedure, id, version: head.version } },
  );
}

function inWords({ kind, name }: Pick<StoredStep, 'kind' | 'name'>): string {
  return kind === 'effect' ? name : `the command ${name}`;
}
