/** What a command of the key-value machine is, and how the files of commands declare theirs. */

import type { StateReader, StateWriter } from '../state/state.ts';
import type { CommandEntry, Container, KeyPositions } from './command-table.ts';
import type { ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

/** What a command knows besides state and request. */
export interface ReadRun {
  /**
   * Milliseconds since 1970: of the entry, in a command that is in the log; else of the node's clock. A read
   * may use it in its answer, as TTL does, never to decide whether a key is there.
   */
  readonly time: number;
}

export interface WriteRun extends ReadRun {
  readonly deadlines: DeadlineObserver;
  /** Runs a command inside of another one. What it throws is its result. */
  execute(state: StateWriter, request: Request): ReplyValue;
  /** Whether a client's command writes: then its answer is the same on every node. */
  isWrite(request: Request): boolean;
}

/**
 * Learns of deadlines as commands set them, so that the node can propose to remove what expires. No part of
 * the state: it may forget, and it is told of commands that are undone later.
 */
export interface DeadlineObserver {
  /** @param key With its prefix; a view that holds during the call only. */
  note(key: Uint8Array, deadline: number): void;
}

/** Answers from the state, and costs no log entry. */
export interface ReadCommand<Name extends string = string> extends CommandEntry, Container<KeyValueCommand> {
  readonly name: Name;
  readonly kind: 'read';
  run(state: StateReader, request: Request, run: ReadRun): ReplyValue;
}

/** Changes the state, and is ordered and logged first. */
export interface WriteCommand<Name extends string = string> extends CommandEntry, Container<KeyValueCommand> {
  readonly name: Name;
  readonly kind: 'write';
  run(state: StateWriter, request: Request, run: WriteRun): ReplyValue;
}

export type KeyValueCommand = ReadCommand | WriteCommand;

export const NO_KEYS: KeyPositions = { first: 0, last: 0, step: 0 };
export const ONE_KEY: KeyPositions = { first: 1, last: 1, step: 1 };
export const TWO_KEYS: KeyPositions = { first: 1, last: 2, step: 1 };
export const ALL_KEYS: KeyPositions = { first: 1, last: -1, step: 1 };
export const KEYS_AND_VALUES: KeyPositions = { first: 1, last: -1, step: 2 };

/** The two ways to declare a command of a group. */
export function commandsOf(group: string) {
  const read = <const Name extends string>(
    name: Name,
    arity: number,
    keys: KeyPositions,
    summary: string,
    run: ReadCommand['run'],
  ): ReadCommand<Name> => ({ kind: 'read', name, arity, keys, summary, group, run });
  const write = <const Name extends string>(
    name: Name,
    arity: number,
    keys: KeyPositions,
    summary: string,
    run: WriteCommand['run'],
  ): WriteCommand<Name> => ({ kind: 'write', name, arity, keys, summary, group, run });
  return { read, write };
}
