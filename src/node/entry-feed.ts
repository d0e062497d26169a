/**
 * The entries of a node's log, for programs: read from the files, verified, decoded by the machine.
 *
 * An iteration reads a piece of the log into memory and hands it out; no file is open while its consumer
 * works, or while it waits for more. So a slow consumer costs PIECE_BYTES of memory, or one entry, and
 * leaving an iteration leaves nothing behind.
 */

import { untilAborted } from '../base/abort.ts';
import { copyOf } from '../base/bytes.ts';
import { TidemarkError } from '../base/errors.ts';
import { requireInteger, requireKnownOptions, resolveSignal } from '../base/options.ts';
import { type Index, nextIndex, type Term, toIndex } from '../base/positions.ts';
import { decodeActivation } from '../engine/activation.ts';
import { forEachCommand } from '../engine/entry.ts';
import type { CallableMachine } from '../engine/machine.ts';
import { commandIn, decodeProcedureRecord, isProcedureRecord } from '../engine/procedure-record.ts';
import { decodeRewind } from '../engine/rewind-entry.ts';
import { type VersionHistory, versionAfter } from '../engine/versions.ts';
import type { Log } from '../log/log.ts';
import type { LogRecord } from '../log/segment-reader.ts';
import type { ProcessHold } from './process-hold.ts';

/** What is held of the log for one iteration, in bytes, unless one entry alone has more. */
const PIECE_BYTES = 1024 * 1024;

/** What an entry costs beside its body, about. */
const ENTRY_OVERHEAD_BYTES = 256;

/** What `Node.entries` hands out, and until when. */
export interface EntriesOptions {
  /** Index of the first entry, from 1. */
  readonly from: number;
  /** Index of the last entry. @default the newest durable one when `entries` is called; none with `follow` */
  readonly last?: number;
  /** Whether to wait for entries that are not there yet, until the node is closed. @default false */
  readonly follow?: boolean;
  /** Ends the iteration: it throws the signal's reason. */
  readonly signal?: AbortSignal;
}

interface EntryPosition {
  readonly index: Index;
  readonly term: Term;
  /** When it was proposed, in milliseconds since 1970; never less than that of an earlier entry. */
  readonly time: number;
}

/** A command of a machine as it comes back from the log. */
export type LoggedCommand<Commands> = {
  readonly [Name in keyof Commands]: Commands[Name] extends { readonly logged: infer Logged }
    ? Logged
    : unknown;
}[keyof Commands];

/** A record of a procedure. */
export interface LoggedProcedure {
  /** Its place among all commands of the entry, from 1. */
  readonly at: number;
  readonly procedure: string;
  readonly id: string;
  /** What it records. */
  readonly record: 'begin' | 'step' | 'command-step' | 'turn-back' | 'undone' | 'end';
}

/**
 * An entry of the log.
 * - `commands`: commands of the active version of the machine, in their order; those that were rejected, too,
 *   and those that are steps of procedures. What procedures recorded is in `procedures`, when they did.
 * - `earlier-commands`: those of an earlier version, which may have had other names and arguments.
 * - `activation`: from here on another version of the machine is active.
 * - `rewind`: a part of what takes the state back to that of `toIndex`, or of the first `toCommands` of its
 *   commands; it takes effect with the last.
 */
export type LogEntry<Commands> = EntryPosition &
  (
    | {
        readonly kind: 'commands';
        readonly version: number;
        readonly commands: readonly LoggedCommand<Commands>[];
        readonly procedures?: readonly LoggedProcedure[];
      }
    | {
        readonly kind: 'earlier-commands';
        readonly version: number;
        readonly commands: readonly unknown[];
        readonly procedures?: readonly LoggedProcedure[];
      }
    | { readonly kind: 'activation'; readonly fromVersion: number; readonly toVersion: number }
    | {
        readonly kind: 'rewind';
        readonly toIndex: Index;
        readonly toCommands: number | null;
        readonly isLast: boolean;
      }
  );

interface Range {
  readonly first: Index;
  readonly last: number;
  readonly end: 'at-last' | 'when-closed';
}

/** An entry in memory of its own. */
type HeldEntry = Pick<LogRecord, 'index' | 'term' | 'time' | 'type' | 'body'>;

export class EntryFeed {
  readonly #hold: ProcessHold;
  #log: Log | null = null;
  #more: { readonly promise: Promise<void>; readonly resolve: () => void } = waiter();
  /** Why nothing more comes; null while something may. */
  #ended: { readonly failure: Error | null } | null = null;
  readonly #reads = new Set<Promise<unknown>>();

  constructor(hold: ProcessHold) {
    this.#hold = hold;
  }

  /** Starts reading. */
  start(log: Log): void {
    this.#log = log;
  }

  /** Of the log: more entries are durable. */
  onDurable(): void {
    this.#wake();
  }

  /**
   * Ends all iterations; resolves when none reads any more.
   * @param failure What stopped the node, or null when it was closed.
   */
  async stop(failure: Error | null): Promise<void> {
    this.#ended ??= { failure };
    this.#wake();
    await Promise.allSettled(this.#reads);
  }

  /** See `Node.entries`. */
  entries<Commands>(
    { machine, history }: { machine: CallableMachine<Commands, unknown>; history: VersionHistory },
    options: EntriesOptions,
  ): AsyncGenerator<LogEntry<Commands>, void, void> {
    const range = this.#rangeOf(options);
    const held = this.#iterate(range, resolveSignal(options.signal));
    return decoded(held, machine, history);
  }

  #rangeOf(options: EntriesOptions): Range {
    requireKnownOptions('entries', options, { from: 0, last: 0, follow: 0, signal: 0 });
    const { from, last, follow = false } = options;
    requireInteger('from', from, 1, Number.MAX_SAFE_INTEGER);
    if (last !== undefined) requireInteger('last', last, from, Number.MAX_SAFE_INTEGER);
    const newest = follow ? Infinity : this.#openLog().durableIndex;
    return {
      first: toIndex(from),
      last: Math.min(last ?? Infinity, newest),
      end: follow ? 'when-closed' : 'at-last',
    };
  }

  async *#iterate({ first, last, end }: Range, signal: AbortSignal | null): AsyncGenerator<HeldEntry, void> {
    signal?.throwIfAborted();
    let next = first;
    while (next <= last) {
      for (const entry of await this.#readPiece(next, last, signal)) {
        signal?.throwIfAborted();
        if (this.#hasEnded(end)) return;
        yield entry;
        next = nextIndex(entry.index);
      }
      if (next > last || this.#hasEnded(end)) return;
      if (next > this.#openLog().durableIndex) await this.#whenMore(signal);
    }
  }

  /** @throws What stopped the node; TIDEMARK_NOT_OPEN when it was closed before everything was read. */
  #hasEnded(end: Range['end']): boolean {
    if (this.#ended === null) return false;
    if (this.#ended.failure !== null) throw this.#ended.failure;
    if (end === 'at-last') throw closed();
    return true;
  }

  /**
   * The entries from `first` on, none beyond `last` and what is durable; an empty list when none is there.
   */
  #readPiece(first: Index, last: number, signal: AbortSignal | null): Promise<readonly HeldEntry[]> {
    const log = this.#openLog();
    const until = toIndex(Math.min(last, log.durableIndex));
    if (first > until || this.#ended !== null) return Promise.resolve([]);
    const read = pieceOf(log, first, until, signal);
    this.#reads.add(read);
    return read.finally(() => this.#reads.delete(read));
  }

  #whenMore(signal: AbortSignal | null): Promise<void> {
    const { promise } = this.#more;
    return this.#hold.during(signal === null ? promise : untilAborted(signal, () => promise));
  }

  #wake(): void {
    const { resolve } = this.#more;
    this.#more = waiter();
    resolve();
  }

  #openLog(): Log {
    if (this.#log === null) throw closed();
    return this.#log;
  }
}

async function pieceOf(
  log: Log,
  first: Index,
  last: Index,
  signal: AbortSignal | null,
): Promise<HeldEntry[]> {
  const piece: HeldEntry[] = [];
  let bytes = 0;
  for await (const { index, term, time, type, body } of log.read(first, last)) {
    signal?.throwIfAborted();
    piece.push({ index, term, time, type, body: copyOf(body) });
    bytes += body.length + ENTRY_OVERHEAD_BYTES;
    if (bytes >= PIECE_BYTES) break;
  }
  return piece;
}

async function* decoded<Commands>(
  entries: AsyncGenerator<HeldEntry, void>,
  machine: CallableMachine<Commands, unknown>,
  history: VersionHistory,
): AsyncGenerator<LogEntry<Commands>, void, void> {
  for await (const { type, body, ...position } of entries) {
    if (type === 'activation') {
      const { from, to } = decodeActivation(body);
      yield { kind: 'activation', ...position, fromVersion: from, toVersion: to };
      continue;
    }
    if (type === 'rewind') {
      const { target, isLast } = decodeRewind(body);
      yield {
        kind: 'rewind',
        ...position,
        toIndex: target.index,
        toCommands: target.commands || null,
        isLast,
      };
      continue;
    }
    const { commands, records } = decodeCommands(machine, body);
    const procedures = records.length === 0 ? {} : { procedures: records };
    const version = versionAfter(history, position.index);
    const shared = { ...position, version, ...procedures };
    if (version !== machine.version) yield { kind: 'earlier-commands', ...shared, commands };
    else yield { kind: 'commands', ...shared, commands: commands as LoggedCommand<Commands>[] };
  }
}

/** The commands of an entry that take effect as such, and the records of procedures. */
function decodeCommands(
  machine: CallableMachine<unknown, unknown>,
  body: Uint8Array,
): { readonly commands: unknown[]; readonly records: LoggedProcedure[] } {
  const commands: unknown[] = [];
  const records: LoggedProcedure[] = [];
  let at = 0;
  forEachCommand(body, (command) => {
    at++;
    if (!isProcedureRecord(command)) {
      commands.push(machine.decodeCall(command));
      return;
    }
    const record = decodeProcedureRecord(command);
    const { procedure, id, kind } = record;
    records.push({ at, procedure, id, record: kind });
    const inner = commandIn(record);
    if (inner !== null) commands.push(machine.decodeCall(inner));
  });
  return { commands, records };
}

function waiter(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function closed(): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_OPEN', 'the node was closed', { remedy: 'fix-call' });
}
