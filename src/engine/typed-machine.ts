/**
 * `machine({...})`: a machine from tables, errors, commands and queries, with every name, argument, result
 * and error inferred.
 */

import { TidemarkError } from '../base/errors.ts';
import { invalidOption } from '../base/options.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { type DecodedCall, decodeCall, describeCall, encodeCall } from './call.ts';
import {
  type CallableMachine,
  type CommandContext,
  type Machine,
  Rejection,
  requireMachineChain,
} from './machine.ts';
import { contextMaker, type MachineContext, type QueryContext } from './machine-context.ts';
import {
  type DeclaredRejection,
  type PlainRejection,
  type RefusalDefinitions,
  type RejectionOf,
  rejectWith,
} from './refusal.ts';
import {
  keepTable,
  type MigratedTable,
  openMigratedTable,
  openQueryTable,
  openTable,
  type QueryTable,
  requireTableName,
  type Table,
  type TableDefinition,
} from './table.ts';

/** Tables by name. `any`-free: the value type travels in the definition. */
export type TableDefinitions = Readonly<Record<string, TableDefinition<unknown>>>;

type TablesOf<Definitions> = {
  readonly [Name in keyof Definitions]: Definitions[Name] extends TableDefinition<infer Value>
    ? Table<Value>
    : never;
};

type QueryTablesOf<Definitions> = {
  readonly [Name in keyof Definitions]: Definitions[Name] extends TableDefinition<infer Value>
    ? QueryTable<Value>
    : never;
};

type MigratedTablesOf<Definitions> = {
  readonly [Name in keyof Definitions]: Definitions[Name] extends TableDefinition<infer Value>
    ? MigratedTable<Value>
    : never;
};

/** A machine made by `machine({...})`. */
export interface TypedMachine<Definitions, Commands, Queries, Errors = NoErrors>
  extends CallableMachine<Commands, Queries> {
  readonly tables: Definitions;

  /** Whether `error` is what this machine declares under `code`; then its facts have their type. */
  isRejection<Code extends keyof Errors & string>(
    error: unknown,
    code: Code,
  ): error is DeclaredRejection<Errors, Code>;

  decodeCall(command: Uint8Array): DecodedCall;

  /** As `apply`, of a command that was decoded. */
  applyCall(state: StateWriter, call: DecodedCall, context: CommandContext): unknown;
}

/** What the compiler makes of `errors` that are not there. */
type NoErrors = Readonly<Record<never, never>>;

/**
 * A command: gets the tables, the caller's argument, and a context with the entry's index and time and with
 * `reject`; its result goes back.
 */
export type CommandFunction<Definitions, Errors> = (
  tables: TablesOf<Definitions>,
  argument: never,
  context: MachineContext<Errors>,
) => unknown;

/** A query: the same without writing and without an entry. */
export type QueryFunction<Definitions, Errors> = (
  tables: QueryTablesOf<Definitions>,
  argument: never,
  context: QueryContext<Errors>,
) => unknown;

/**
 * `Functions` without those that return a promise: they are refused at run time too, but the compiler should
 * say so first.
 */
export type SynchronousFunctions<Functions> = {
  readonly [Name in keyof Functions]: Functions[Name] extends (...parameters: never[]) => infer Result
    ? IsPromise<Result> extends true
      ? (...parameters: never[]) => 'commands and queries are synchronous: pass what they need as argument'
      : Functions[Name]
    : never;
};

/** Whether a value of the type is, or may be, a promise. `any` and `unknown` pass: they say nothing. */
type IsPromise<Result> = 0 extends 1 & Result
  ? false
  : [Extract<Result, PromiseLike<unknown>>] extends [never]
    ? false
    : true;

/** A machine of an earlier version, as the one after it needs it. */
export type PreviousMachine<Definitions> = Machine & { readonly tables: Definitions };

/** What {@link machine} makes a machine of. */
export interface MachineDefinition<Definitions, Commands, Queries, Before, Errors = NoErrors> {
  /**
   * Written into the data directory; data of a machine of another name is refused. 1 to 64 characters, none
   * of them a control character. @default 'machine'
   */
  readonly name?: string;
  /** Version of what the commands mean, from 1; above that of `previous`. @default 1 */
  readonly version?: number;
  /**
   * The machine of the version before, which replays the entries from before this one was activated. Keep it
   * for as long as a log or a backup may hold such entries.
   */
  readonly previous?: PreviousMachine<Before>;
  /**
   * Turns what `previous` left into what this version expects: gets the tables of this version, and those of
   * the version before, which it may read, iterate and change. A table that both have under one name is one
   * table. Runs once, in the entry that activates this version; deterministic and synchronous, like a
   * command.
   */
  readonly migrate?: (
    tables: TablesOf<Definitions>,
    before: MigratedTablesOf<Before>,
    context: CommandContext,
  ) => void;
  readonly tables: Definitions;
  /** Errors by code, each made by `refusal<Facts>()`: what `reject` of a context takes. @default none */
  readonly errors?: Errors;
  /**
   * Names of tables that a rewind leaves as they are: what must not happen twice, or be forgotten, whatever
   * the rest goes back to. Everybody waits while they are copied: keep them small. @default none
   */
  readonly keptAtRewind?: readonly (keyof Definitions & string)[];
  readonly commands: Commands & SynchronousFunctions<Commands>;
  readonly queries?: Queries & SynchronousFunctions<Queries>;
}

/**
 * The call that each of a record of functions makes: its argument without the tables and the context. A
 * record without names is what the compiler makes of `queries` that are not there: it has no calls.
 */
export type CallsOf<Functions, Errors> = string extends keyof Functions
  ? Readonly<Record<never, never>>
  : {
      readonly [Name in keyof Functions]: Functions[Name] extends (
        ...parameters: infer Parameters
      ) => infer Result
        ? {
            readonly arguments: ArgumentOf<Parameters>;
            readonly result: Result;
            readonly rejection: RejectionOf<Errors> | PlainRejection;
            readonly logged: { readonly name: Name; readonly argument: ArgumentOf<Parameters>[0] };
          }
        : never;
    };

/** `[]` where the function takes no argument, `[argument]` where it takes one. */
type ArgumentOf<Parameters extends readonly unknown[]> = Parameters extends readonly [
  unknown,
  infer Argument,
  ...unknown[],
]
  ? [argument: Argument]
  : Parameters extends readonly [unknown, (infer Argument)?, ...unknown[]]
    ? unknown extends Argument
      ? []
      : [argument?: Argument]
    : [];

/**
 * Makes a machine. Commands must be deterministic: no clock, no chance, no I/O; time comes from the context.
 * `open({ checkDeterminism: true })` finds out.
 * @throws TidemarkError TIDEMARK_OPTION_INVALID for a bad name, version, previous machine or table name.
 */
export function machine<
  const Definitions extends TableDefinitions,
  Commands extends Record<string, CommandFunction<Definitions, Errors>>,
  Queries extends Record<string, QueryFunction<Definitions, Errors>>,
  Before extends TableDefinitions = Readonly<Record<never, never>>,
  Errors extends RefusalDefinitions = NoErrors,
>(
  definition: MachineDefinition<Definitions, Commands, Queries, Before, Errors>,
): TypedMachine<Definitions, CallsOf<Commands, Errors>, CallsOf<Queries, Errors>, Errors> {
  const { previous, migrate, name = previous?.name ?? 'machine', version = 1, tables, commands } = definition;
  const tableNames = Object.keys(tables);
  for (const tableName of tableNames) requireTableName(tableName);
  const { keptAtRewind = [] } = definition;
  for (const kept of keptAtRewind) requireTableOf(tables, kept);
  const { applyCall, query } = runnersOf(name, definition);
  const made: TypedMachine<Definitions, CallsOf<Commands, Errors>, CallsOf<Queries, Errors>, Errors> = {
    name,
    version,
    tables,
    ...(previous === undefined ? {} : { previous }),
    ...(migrate === undefined ? {} : { migrate: migrationOf({ version, tableNames, previous, migrate }) }),
    ...(keptAtRewind.length === 0 ? {} : { keepAtRewind: keeperOf(keptAtRewind) }),
    apply: (state, command, context) => applyCall(state, decodeCall(command), context),
    applyCall,
    describe: (command) => describeCall(command) ?? `${command.length} bytes that are no call`,
    encodeCall(called, args) {
      if (own(commands, called) === undefined) throw unknownCall(name, 'command', called);
      return encodeCall(called, args);
    },
    decodeCall,
    query,
    detach: (result) => result,
    isRejection: <Code extends keyof Errors & string>(
      error: unknown,
      code: Code,
    ): error is DeclaredRejection<Errors, Code> => error instanceof Rejection && error.code === code,
  };
  requireMachineChain(made);
  return made;
}

/** What runs the commands and queries of a definition. */
function runnersOf<Definitions, Commands extends object, Queries extends object, Before, Errors>(
  name: string,
  definition: MachineDefinition<Definitions, Commands, Queries, Before, Errors>,
): Pick<TypedMachine<Definitions, unknown, unknown>, 'applyCall' | 'query'> {
  const commands = definition.commands as Readonly<Record<string, CommandFunction<Definitions, Errors>>>;
  const queries = (definition.queries ?? {}) as Readonly<Record<string, QueryFunction<Definitions, Errors>>>;
  const tableNames = Object.keys(definition.tables as TableDefinitions);
  const tablesOf = oncePerState(
    (state: StateWriter) => tablesIn(state, tableNames, openTable) as TablesOf<Definitions>,
  );
  const readTablesOf = oncePerState(
    (state: StateReader) => tablesIn(state, tableNames, openQueryTable) as QueryTablesOf<Definitions>,
  );
  const reject = rejectWith(name, (definition.errors ?? {}) as Errors & RefusalDefinitions);
  const contextOf = contextMaker<Errors>(reject);
  const queryContext: QueryContext<Errors> = Object.freeze({ reject });
  return {
    applyCall(state, { name: called, argument }, context) {
      const run = own(commands, called);
      if (run === undefined)
        throw lostCommand({ name, version: definition.version ?? 1 }, called, context.index);
      return synchronous(run(tablesOf(state), argument as never, contextOf(context)), called);
    },
    query(state, called, args) {
      const run = own(queries, called);
      if (run === undefined) throw unknownCall(name, 'query', called);
      return synchronous(run(readTablesOf(state), args[0] as never, queryContext), called);
    },
  };
}

/**
 * A command in the log that the machine does not have: what is submitted was held against it, so another
 * program wrote it. No result of the command: the state would silently become another.
 */
function lostCommand(
  { name, version }: { readonly name: string; readonly version: number },
  command: string,
  index: number,
): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_VERSION_MISSING',
    `entry ${index} has the command ${command}, which version ${version} of the machine ${name} in this ` +
      'program does not have. Nothing was changed. What was logged must be replayed as it was: give the ' +
      'machine that lacks it a new version, with the one before as its `previous`',
    { remedy: 'fix-call', facts: { machine: name, version, command, index } },
  );
}

interface Migrating<Definitions, Before> {
  readonly version: number;
  readonly tableNames: readonly string[];
  readonly previous: PreviousMachine<Before> | undefined;
  readonly migrate: NonNullable<MachineDefinition<Definitions, unknown, unknown, Before>['migrate']>;
}

/** The migration on bytes: opens the tables of both versions. */
function migrationOf<Definitions, Before extends TableDefinitions>({
  version,
  tableNames,
  previous,
  migrate,
}: Migrating<Definitions, Before>): NonNullable<Machine['migrate']> {
  return (state, context) => {
    const tables = tablesIn(state, tableNames, openTable) as TablesOf<Definitions>;
    const namesBefore = Object.keys(previous?.tables ?? {});
    const before = tablesIn(state, namesBefore, openMigratedTable) as MigratedTablesOf<Before>;
    synchronous(migrate(tables, before, context), `the migration to version ${version}`);
  };
}

/**
 * Makes the tables of a state once, not for every command. They hold no data, only the state they read from,
 * and are frozen, so that no command can leave anything in them for the next.
 */
function oncePerState<State extends StateReader, Tables extends object>(
  make: (state: State) => Tables,
): (state: State) => Tables {
  const made = new WeakMap<State, Tables>();
  return (state) => {
    const known = made.get(state);
    if (known !== undefined) return known;
    const tables = make(state);
    made.set(state, tables);
    return tables;
  };
}

function tablesIn<State extends StateReader, OneTable>(
  state: State,
  names: readonly string[],
  openOne: (state: State, name: string) => OneTable,
): Readonly<Record<string, OneTable>> {
  return Object.freeze(Object.fromEntries(names.map((name) => [name, Object.freeze(openOne(state, name))])));
}

/** Only the definition's own functions: `constructor` is no command. */
function own<Functions extends object>(
  functions: Functions,
  name: string,
): Functions[keyof Functions] | undefined {
  return Object.hasOwn(functions, name) ? functions[name as keyof Functions] : undefined;
}

/**
 * A promise's outcome would come after the command is over: neither its writes nor its result could count.
 */
function synchronous(result: unknown, called: string): unknown {
  if (!isThenable(result)) return result;
  // Its failure, most likely a write that came too late, tells nothing more.
  Promise.resolve(result).catch(() => undefined);
  throw new TidemarkError(
    'TIDEMARK_COMMAND_ASYNC',
    `${called} returned a promise; commands and queries are synchronous: pass what they need as argument`,
    { remedy: 'fix-call', facts: { called } },
  );
}

/** As `await` sees it: queries of libraries, and promises of another realm, are no `Promise` of ours. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  if ((typeof value !== 'object' && typeof value !== 'function') || value === null) return false;
  return 'then' in value && typeof value.then === 'function';
}

/** What a rewind leaves as it is, on bytes. */
function keeperOf(tables: readonly string[]): NonNullable<Machine['keepAtRewind']> {
  return (then, now) => {
    for (const kept of tables) keepTable(kept, then, now);
  };
}

function requireTableOf(tables: object, name: unknown): void {
  if (typeof name === 'string' && Object.hasOwn(tables, name)) return;
  throw invalidOption('keptAtRewind', name, `names of tables: ${Object.keys(tables).join(', ')}`);
}

function unknownCall(machineName: string, kind: 'command' | 'query', called: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_COMMAND_UNKNOWN',
    `the machine ${machineName} has no ${kind} ${called}`,
    {
      remedy: 'fix-call',
      facts: { machine: machineName, called },
    },
  );
}
