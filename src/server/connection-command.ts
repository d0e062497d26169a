/** Commands of the server itself: what they are, and what they may know of connection and server. */

import type { KeyValueCommand } from '../keyvalue/command.ts';
import type { CommandEntry, Container, KeyPositions } from '../keyvalue/command-table.ts';
import { unknownSubcommand } from '../keyvalue/refusals.ts';
import type { ReplyValue } from '../keyvalue/reply-value.ts';
import type { Request } from '../keyvalue/request.ts';
import type { ScrubReport } from '../node/scrubber.ts';
import type { StateReader } from '../state/state.ts';
import type { ServerConfig } from './config.ts';
import type { HeldStates } from './held-states.ts';
import type { InfoSections } from './info.ts';
import type { Protocol } from './reply.ts';

export interface ConnectionCommand extends CommandEntry, Container<PortCommand> {
  readonly kind: 'connection';
  /** May answer by a promise; the client's next request waits until it has. */
  readonly isSlow: boolean;
  run(session: Session, request: Request): ReplyValue | Promise<ReplyValue>;
}

/** A command about the transaction of its connection, which takes it itself: client-transaction.ts. */
export interface TransactionCommand extends CommandEntry, Container<PortCommand> {
  readonly kind: 'transaction';
}

/** Everything that a client may send. */
export type PortCommand = KeyValueCommand | ConnectionCommand | TransactionCommand;

/** What a command may know and change of the connection it came by. */
export interface Session {
  readonly id: number;
  readonly remoteAddress: string;
  readonly localAddress: string;
  readonly ageSeconds: number;
  readonly server: ServerView;
  /** Set by CLIENT SETNAME; empty for none. */
  name: string;
  libraryName: string;
  libraryVersion: string;
  protocol: Protocol;
  /** Whether it has said the password, or needs none. */
  isAuthenticated: boolean;
  /** Closes at once; replies not yet sent are lost. */
  drop(): void;
  /** Takes no further requests, and closes once all earlier ones are answered. */
  quit(): void;
}

/** What a command may know of the server. */
export interface ServerView {
  readonly commands: readonly PortCommand[];
  readonly config: ServerConfig;
  /** Whether that is the password; null where none is needed. */
  readonly isPassword: ((word: Uint8Array) => boolean) | null;
  /** The command that a request of a client names, or null. */
  find(request: Request): PortCommand | null;
  /** Wall-clock time in milliseconds since 1970. */
  now(): number;
  readonly sessions: Iterable<Session>;
  /** Null where there is nothing to save. */
  readonly checkpoints: ServedCheckpoints | null;
  /** Null where there is no log. */
  readonly log: ServedLog | null;
  /** Null where there is no past to look at. */
  readonly history: ServedHistory | null;
  /** Null where there is no state to hold. */
  readonly states: HeldStates | null;
  info(): InfoSections;
  /** Begins its counts anew. */
  resetCounts(): void;
}

/** Facts for a client: what is null or an empty list is left out. */
export type ServedFacts = Readonly<Record<string, string | number | readonly string[] | null>>;

/** What SAVE, BGSAVE, LASTSAVE and the commands of checkpoint-commands.ts need of a node. */
export interface ServedCheckpoints {
  /** Whether one is being taken. */
  readonly isTaking: boolean;
  /** When the newest was taken, or the node started when there is none: milliseconds since 1970. */
  readonly lastTakenAt: number;
  /**
   * Takes one of everything answered so far; resolves when it is durable, with what there is to tell of it.
   * Requests share a run.
   */
  take(tag: string | null): Promise<ServedFacts>;
  /** Newest first, each with what keeps it alive. */
  list(): readonly ServedFacts[];
  tags(): readonly ServedFacts[];
  /** Null tags the newest. Resolves with the index that is tagged. */
  tag(name: string, index: number | null): Promise<number>;
  untag(name: string): Promise<boolean>;
  /** Removes what nothing keeps, or only tells what would go. */
  prune(how: 'make' | 'dry-run'): Promise<{
    readonly removed: readonly ServedFacts[];
    readonly bytesFreed: number;
    readonly obstacle: string | null;
  }>;
}

/** What TIDEMARK SYNC, TIDEMARK SCRUB and CONFIG GET appendfsync need of a node. */
export interface ServedLog {
  readonly durability: 'synced' | 'buffered';
  /** Resolves when everything answered so far is durable. */
  sync(): Promise<void>;
  /** Reads everything on the disk again, and says what is damaged. */
  scrub(): Promise<ScrubReport>;
}

/** What TIDEMARK AT and TIDEMARK REWIND need of a node. */
export interface ServedHistory {
  /** Runs a read on the state as it was at a point; what it returns holds no views. */
  at<Result>(point: string, read: (state: StateReader, time: number) => Result): Promise<Result>;
  /** Takes the state back to a point, or only says what would change. */
  rewind(point: string, how: 'make' | 'dry-run'): Promise<ServedFacts>;
}

const NO_KEYS: KeyPositions = { first: 0, last: 0, step: 0 };

export function command(
  name: string,
  arity: number,
  summary: string,
  run: ConnectionCommand['run'],
  group = 'connection',
): ConnectionCommand {
  return { kind: 'connection', name, arity, keys: NO_KEYS, summary, group, isSlow: false, run };
}

export function slowCommand(
  name: string,
  arity: number,
  summary: string,
  run: ConnectionCommand['run'],
): ConnectionCommand {
  return { kind: 'connection', name, arity, keys: NO_KEYS, summary, group: 'server', isSlow: true, run };
}

export function transactionCommand(name: string, arity: number, summary: string): TransactionCommand {
  return { kind: 'transaction', name, arity, keys: NO_KEYS, summary, group: 'transactions' };
}

export function container(
  name: string,
  summary: string,
  subcommands: readonly PortCommand[],
  group = 'connection',
): ConnectionCommand {
  const refuse = (_: Session, request: Request): ReplyValue => {
    throw unknownSubcommand(name, request);
  };
  const help = command(`${name}|help`, 2, 'Print this help', () => helpOf(name, all), group);
  const all = [...subcommands, help];
  return { ...command(name, -2, summary, refuse, group), subcommands: all };
}

/** Status lines, as Redis prints them. */
function helpOf(name: string, subcommands: readonly PortCommand[]): string[] {
  const lines = subcommands.flatMap((one) => [
    one.name.slice(name.length + 1).toUpperCase(),
    `    ${one.summary}.`,
  ]);
  const head = `${name.toUpperCase()} <subcommand> [<arg> ...]. Subcommands are:`;
  return [head, ...lines];
}
