/**
 * Development mode: a machine that is watched while it runs. It does what the machine does, twice from the
 * same state, and throws TIDEMARK_NOT_DETERMINISTIC when the two differ in result, error or writes; when a
 * global is used that gives another value each time; or when an argument is changed. Tables and context are
 * of no use after their run.
 *
 * Two equal runs prove nothing, but most mistakes show: a clock, chance, a variable that outlives the
 * command.
 */

import { unreachable } from '../base/assert.ts';
import { copyOfValue, isAlike, shown } from '../base/compare.ts';
import { type ErrorFacts, TidemarkError } from '../base/errors.ts';
import { type ForbiddenUse, withForbiddenGlobals } from '../base/forbidden-globals.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { type DecodedCall, decodeCall } from './call.ts';
import { decodeValue } from './codec.ts';
import type { CallableMachine, CommandContext, Machine } from './machine.ts';
import { RecordedState } from './recorded-state.ts';
import { tableKeyOf } from './table.ts';
import type { TypedMachine } from './typed-machine.ts';

/** Length of a command of an unknown machine as errors name it, in UTF-16 units. */
const LABEL_MAX = 80;

/** What runs, as errors name it. */
interface Subject {
  readonly kind: 'command' | 'query' | 'migration';
  readonly called: string;
}

/** What a run came to. */
type Outcome =
  | { readonly kind: 'done'; readonly result: unknown; readonly copy: unknown }
  | { readonly kind: 'failed'; readonly error: unknown };

interface Run {
  readonly outcome: Outcome;
  readonly writes: ReadonlyMap<string, Uint8Array | null>;
}

/** The machine under watch, with all its versions. */
export function checkedMachine<Commands, Queries>(
  machine: CallableMachine<Commands, Queries>,
): CallableMachine<Commands, Queries> {
  return {
    ...checkedVersion(machine),
    encodeCall: (name, args) => machine.encodeCall(name, args),
    decodeCall: (command) => machine.decodeCall(command),
    query: (state, name, args) => checkedQuery(machine, state, name, args),
    detach: (result) => machine.detach(result),
  };
}

function checkedVersion(machine: Machine): Machine {
  const { name, version, previous } = machine;
  const migrate = machine.migrate?.bind(machine);
  const keepAtRewind = machine.keepAtRewind?.bind(machine);
  return {
    name,
    version,
    ...(previous === undefined ? {} : { previous: checkedVersion(previous) }),
    ...(migrate === undefined ? {} : { migrate: checkedMigration(version, migrate) }),
    apply: (state, command, context) => checkedCommand(machine, state, command, context),
    ...(keepAtRewind === undefined ? {} : { keepAtRewind }),
    auxiliaryKeys: (state) => machine.auxiliaryKeys?.(state) ?? 0,
    detach: (result) => (machine.detach === undefined ? result : machine.detach(result)),
    describe: (command) => machine.describe(command),
  };
}

function checkedMigration(
  version: number,
  migrate: NonNullable<Machine['migrate']>,
): NonNullable<Machine['migrate']> {
  const subject: Subject = { kind: 'migration', called: `to version ${version}` };
  return (state, context) => {
    runTwice(subject, state, context, (recorded, own) => migrate(recorded, own));
  };
}

function checkedCommand(
  machine: Machine,
  state: StateWriter,
  command: Uint8Array,
  context: CommandContext,
): unknown {
  if (!isTyped(machine)) {
    const subject: Subject = { kind: 'command', called: machine.describe(command).slice(0, LABEL_MAX) };
    return runTwice(subject, state, context, (recorded, own) => machine.apply(recorded, command, own));
  }
  const { name } = decodeCall(command);
  const subject: Subject = { kind: 'command', called: name };
  return runTwice(subject, state, context, (recorded, own) => {
    const call = decodeCall(command);
    try {
      return machine.applyCall(recorded, call, own);
    } finally {
      requireUnchanged(subject, decodeCall(command), call);
    }
  });
}

function isTyped(machine: Machine): machine is TypedMachine<unknown, unknown, unknown> {
  return 'applyCall' in machine;
}

function checkedQuery(
  machine: CallableMachine<unknown, unknown>,
  state: StateReader,
  name: string,
  args: readonly unknown[],
): unknown {
  const subject: Subject = { kind: 'query', called: name };
  // Nothing writes in a query: whoever tries has no method for it.
  const { outcome } = runOnce(subject, state as StateWriter, null, (recorded) =>
    machine.query(recorded, name, args),
  );
  return valueOf(outcome);
}

/** Runs from the same state twice; what the second run wrote stays. */
function runTwice(
  subject: Subject,
  state: StateWriter,
  context: CommandContext,
  run: (state: RecordedState, context: CommandContext) => unknown,
): unknown {
  const savepoint = state.savepoint();
  const first = runOnce(subject, state, context, run);
  state.rollbackTo(savepoint);
  const second = runOnce(subject, state, context, run);
  const difference = differenceOf(first, second);
  if (difference !== null) throw different(subject, difference, context);
  return valueOf(second.outcome);
}

function valueOf(outcome: Outcome): unknown {
  if (outcome.kind === 'failed') throw outcome.error;
  return outcome.result;
}

/** @throws What the machine must not do, even if it caught the error itself. */
function runOnce<Context extends CommandContext | null>(
  subject: Subject,
  state: StateWriter,
  context: Context,
  run: (state: RecordedState, context: Context) => unknown,
): Run {
  let isOver = false;
  let forbidden: TidemarkError | null = null;
  const require = (what: string) => (): void => {
    if (isOver) throw usedAfter(subject, what);
  };
  const recorded = new RecordedState(state, require('a table'));
  const own = context === null ? context : contextWhile(context, require('the context'));
  let outcome: Outcome;
  try {
    const forbid = (use: ForbiddenUse): never => {
      forbidden ??= forbiddenUse(subject, use);
      throw forbidden;
    };
    const result = withForbiddenGlobals(forbid, () => run(recorded, own as Context));
    outcome = { kind: 'done', result, copy: copyOfValue(result) };
  } catch (error) {
    outcome = { kind: 'failed', error };
  } finally {
    isOver = true;
  }
  if (forbidden !== null) throw forbidden;
  return { outcome, writes: recorded.writes };
}

/** The context, as long as its run goes on. */
function contextWhile(context: CommandContext, requireRunning: () => void): CommandContext {
  return {
    get index() {
      requireRunning();
      return context.index;
    },
    get time() {
      requireRunning();
      return context.time;
    },
  };
}

/** How two runs differ, in words; null when they do not. What a run that failed wrote is undone anyway. */
function differenceOf(first: Run, second: Run): string | null {
  const [one, other] = [first.outcome, second.outcome];
  const areAlike =
    one.kind === 'done'
      ? other.kind === 'done' && isAlike(one.copy, other.copy)
      : other.kind === 'failed' && isAlike(one.error, other.error);
  if (!areAlike) return `one run ${inWords(one)} and the other ${inWords(other)}`;
  if (one.kind === 'failed') return null;
  const keys = new Set([...first.writes.keys(), ...second.writes.keys()]);
  for (const key of keys) {
    const [left, right] = [first.writes.get(key), second.writes.get(key)];
    if (isAlike(left, right)) continue;
    return `at ${placeInWords(key)} one run ${writeInWords(left)} and the other ${writeInWords(right)}`;
  }
  return null;
}

function inWords(outcome: Outcome): string {
  return outcome.kind === 'done' ? `returned ${shown(outcome.copy)}` : `threw ${shown(outcome.error)}`;
}

function writeInWords(value: Uint8Array | null | undefined): string {
  if (value === undefined) return 'wrote nothing';
  return value === null ? 'deleted it' : `wrote ${shown(decodedOr(value))}`;
}

function placeInWords(hexKey: string): string {
  const stored = Buffer.from(hexKey, 'hex');
  const found = tableKeyOf(stored);
  return found === null ? `the key ${shown(stored)}` : `the key ${shown(found.key)} of table ${found.table}`;
}

/** A machine on bytes writes what it likes. */
function decodedOr(value: Uint8Array): unknown {
  try {
    return decodeValue(value);
  } catch {
    return value;
  }
}

function requireUnchanged(subject: Subject, before: DecodedCall, after: DecodedCall): void {
  if (isAlike(before.argument, after.argument)) return;
  throw notDeterministic(
    subject,
    `changed its argument, from ${shown(before.argument)} to ${shown(after.argument)}. The log keeps what ` +
      'the caller gave; copy it before you change it',
  );
}

function different(subject: Subject, difference: string, { index }: CommandContext): TidemarkError {
  return notDeterministic(
    subject,
    `was run twice from the same state: ${difference}. Usual causes are a clock, chance, input or output, ` +
      'and a variable outside of the tables that one run leaves behind for the next',
    { index },
  );
}

function forbiddenUse(subject: Subject, { name, instead }: ForbiddenUse): TidemarkError {
  const reason = instead === 'outside' ? 'which reaches out of it' : 'which differs from run to run';
  return notDeterministic(subject, `uses ${name}, ${reason}: ${insteadOf(subject, instead)}`, { used: name });
}

function insteadOf({ kind }: Subject, instead: ForbiddenUse['instead']): string {
  const isEntry = kind !== 'query';
  switch (instead) {
    case 'time':
      return isEntry ? 'take `context.time`, or pass it as an argument' : 'pass the time as an argument';
    case 'chance':
      return isEntry
        ? 'draw before and pass it as an argument, or make it from `context.index`'
        : 'draw before and pass it as an argument';
    case 'outside':
      return 'do it before and pass what it brings as an argument, or do it with the result';
    default:
      return unreachable(instead);
  }
}

function notDeterministic({ kind, called }: Subject, what: string, facts: ErrorFacts = {}): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_DETERMINISTIC', `the ${kind} ${called} ${what}`, {
    remedy: 'fix-call',
    facts: { called, ...facts },
  });
}

function usedAfter({ kind, called }: Subject, what: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_COMMAND_ENDED',
    `${what} of the ${kind} ${called} was used after it had ended: what is read or written then is in no ` +
      'entry. Keep values, not tables or the context, and have everything done when it returns',
    { remedy: 'fix-call', facts: { called } },
  );
}
