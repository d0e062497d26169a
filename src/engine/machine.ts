/**
 * The contract of a machine: deterministic code that turns commands into results and keeps its state in keys.
 *
 * `machine({...})` in typed-machine.ts builds one from tables, commands and queries; `keyvalue/` is one
 * written directly on bytes. Equal commands in equal order must give equal states everywhere: a machine
 * never reads a clock, draws a random number or does I/O.
 */

import { invalidOption, requireInteger } from '../base/options.ts';
import type { Index } from '../base/positions.ts';
import { isMachineName, MACHINE_NAME_MAX } from '../log/json-fields.ts';
import type { StateReader, StateWriter } from '../state/state.ts';

/** What a command learns from the entry it came in. One object serves a whole entry: do not keep it. */
export interface CommandContext {
  /** Index of the entry. */
  readonly index: Index;
  /** Time the entry was proposed, in milliseconds since 1970; never less than that of an earlier entry. */
  readonly time: number;
}

/**
 * Thrown by a command or query to refuse: all writes of the command are undone and the caller gets this
 * error. `reject` of a machine's context throws one with a code and facts that the machine declares.
 */
export class Rejection extends Error {
  override readonly name = 'Rejection';
  /** The code, of those that the machine declares; null for one that was not declared. */
  readonly code: string | null;
  /** Plain data that goes with the code; undefined when there is none. */
  readonly facts: unknown;

  constructor(message: string, declared: { readonly code: string; readonly facts: unknown } | null = null) {
    super(message);
    this.code = declared?.code ?? null;
    this.facts = declared?.facts;
  }
}

/** What a migration may do with the state. */
export interface MigrationState extends StateWriter {
  /**
   * Every key with its value as they were before the migration, in the order of keys, from the first that is
   * at least `from`. Both are views that hold until the next step; writing meanwhile is allowed.
   */
  orderedEntries(from: Uint8Array): Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;
}

/** A machine on bytes. */
export interface Machine {
  /**
   * Written into the data directory: another machine's data is refused. 1 to 64 UTF-16 units, none of them a
   * control character.
   */
  readonly name: string;

  /** Version of the commands' meaning, from 1. */
  readonly version: number;

  /**
   * Runs one command. Whatever it throws is its result: its writes are undone, and the error goes to the
   * caller. Only an `InvariantViolation`, and running out of stack, memory or the room in a string or a map,
   * stop the node instead: where that happens depends on the machine it runs on.
   * @param command A view that is valid during the call only.
   * @returns The result, handed to the caller; views into state or command are valid until the next command.
   */
  apply(state: StateWriter, command: Uint8Array, context: CommandContext): unknown;

  /**
   * The version before this one, of the same name: it replays the entries from before this one was activated,
   * and may have a `previous` itself. A directory whose active version is in no such chain is refused.
   */
  readonly previous?: Machine;

  /**
   * Turns the state that `previous` left into one of this version, when this version is activated: once, in
   * the entry that activates it, and again whenever that entry is replayed. Deterministic, like `apply`. What
   * it throws keeps the version from being activated, and takes its writes back.
   */
  migrate?(state: MigrationState, context: CommandContext): void;

  /**
   * Puts into the state as it was what a rewind leaves as it is now: sessions of clients, for instance.
   * Without it a rewind takes everything back. Deterministic and synchronous, like `apply`. While a node
   * serves, everybody waits for it: what is left should be small.
   * @param then The state that comes back; what is written to it comes back too.
   */
  keepAtRewind?(then: MigrationState, now: StateReader): void;

  /** How many keys of the state are none that its users count. @default none */
  auxiliaryKeys?(state: StateReader): number;

  /** Makes a result of `apply` safe to keep: copies what is a view. @default as it is */
  detach?(result: unknown): unknown;

  /** A command as people and tools read it (`inspect log`). Must not throw, whatever the bytes. */
  describe(command: Uint8Array): string;
}

/**
 * Throws TIDEMARK_OPTION_INVALID unless name and version can be written into a data directory and
 * into messages.
 */
function requireMachineIdentity({ name, version }: Pick<Machine, 'name' | 'version'>): void {
  if (!isMachineName(name)) {
    throw invalidOption(
      'machine.name',
      name,
      `text of 1 to ${MACHINE_NAME_MAX} characters without control characters`,
    );
  }
  requireInteger('machine.version', version, 1, Number.MAX_SAFE_INTEGER);
}

/**
 * Throws TIDEMARK_OPTION_INVALID unless a machine and all before it have a name and a version that can be
 * written, the same name, and versions that go up.
 */
export function requireMachineChain(newest: Machine): void {
  requireMachineIdentity(newest);
  for (let { name, version, previous } = newest; previous !== undefined; ) {
    requireMachineIdentity(previous);
    const isEarlier = previous.name === name && previous.version < version;
    if (!isEarlier) {
      const wanted = `version 1 to ${version - 1} of the machine ${name}`;
      throw invalidOption('machine.previous', `${previous.name} version ${previous.version}`, wanted);
    }
    ({ name, version, previous } = previous);
  }
  if (newest.migrate !== undefined && newest.previous === undefined) {
    throw invalidOption('machine.migrate', 'a function', 'left out where there is no `previous`');
  }
}

/** One command or query, as the compiler sees it. */
export interface Call {
  readonly arguments: readonly unknown[];
  readonly result: unknown;
  /** What it may refuse with. @default Rejection */
  readonly rejection?: Rejection;
  /** A command as it comes back from the log. @default unknown */
  readonly logged?: unknown;
}

/**
 * A machine that a program calls by name: what `node.submit` and `node.query` need beside `apply`.
 * `Commands` and `Queries` give each name its `Call`.
 */
export interface CallableMachine<Commands, Queries> extends Machine {
  /** Never set; it carries the types. */
  readonly calls?: { readonly commands: Commands; readonly queries: Queries };

  /**
   * The bytes of a command.
   * @throws TidemarkError TIDEMARK_COMMAND_UNKNOWN, TIDEMARK_VALUE_UNENCODABLE.
   */
  encodeCall(name: string, args: readonly unknown[]): Uint8Array;

  /**
   * A command from the log: `logged` of its `Call`, or what else this machine, or one of its earlier
   * versions, has put there. Holds no view into `command`.
   * @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE when the bytes are no command of such a machine.
   */
  decodeCall(command: Uint8Array): unknown;

  /** Answers a query. @throws TidemarkError TIDEMARK_COMMAND_UNKNOWN, and whatever the query throws. */
  query(state: StateReader, name: string, args: readonly unknown[]): unknown;

  /** Of a `query`, too. */
  detach(result: unknown): unknown;
}
