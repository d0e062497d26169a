/**
 * A transaction as one command of the log:
 *
 *     tidemark.exec  each|all  watched  (key digest)*  (count argument*)*
 *
 * All flat arguments of one frame. `watched` pairs of key and digest (watch.ts) come first; if any key holds
 * something else by now, nothing runs and the answer is NULL_ARRAY. Then come the commands, each behind the
 * number of its arguments. In `each`, as in Redis, a command that fails is undone alone, and its error is one
 * of the answers; in `all` the first that fails undoes all of them.
 *
 * Commands that are the server's own (PING, CLIENT …) travel along and come back as ServerRequest.
 */

import { bufferOf, copyOf } from '../base/bytes.ts';
import { isTidemarkError } from '../base/errors.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateWriter } from '../state/state.ts';
import { commandsOf, NO_KEYS, type WriteRun } from './command.ts';
import { parseInteger } from './integer.ts';
import { keyAt } from './key-space.ts';
import { ErrorReply, NULL_ARRAY, PairList, type ReplyValue } from './reply-value.ts';
import { encodeRequest, type Request, RequestPart } from './request.ts';
import { digestOfKey } from './watch.ts';

const { write } = commandsOf('transactions');

export const EXECUTE_NAME = 'tidemark.exec';

/** Only ever made by `encodeTransaction`; the port does not know it. */
export const EXECUTE_COMMAND = write(EXECUTE_NAME, -3, NO_KEYS, 'Run a transaction', execute);

export type TransactionMode = 'each' | 'all';

/** A key, without prefix, and its digest when it was watched. */
export interface WatchedKey {
  readonly key: Uint8Array;
  readonly digest: Uint8Array;
}

export function encodeTransaction(
  mode: TransactionMode,
  watched: readonly WatchedKey[],
  commands: readonly (readonly Uint8Array[])[],
): Uint8Array {
  const words: (Uint8Array | string)[] = [EXECUTE_NAME, mode, String(watched.length)];
  for (const { key, digest } of watched) words.push(key, digest);
  for (const command of commands) words.push(String(command.length), ...command);
  return encodeRequest(words);
}

const FIRST_WATCHED = 3;

function execute(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const isAtomic = request.isWord(1, 'all');
  const watched = smallAt(request, 2, request.count);
  const first = FIRST_WATCHED + 2 * watched;
  if (first > request.count) throw malformed();
  for (let at = FIRST_WATCHED; at < first; at += 2) {
    const digest = digestOfKey(state, keyAt(request, at));
    if (!bufferOf(digest).equals(request.argument(at + 1))) return NULL_ARRAY;
  }
  const replies: ReplyValue[] = [];
  for (let at = first; at < request.count; ) {
    const count = smallAt(request, at, request.count - at - 1);
    if (count === 0) throw malformed();
    const part = new RequestPart().take(request, at + 1, count);
    replies.push(isAtomic ? executeOrUndo(state, part, run, replies.length) : executeOne(state, part, run));
    at += 1 + count;
  }
  return replies;
}

/** Runs a command of its own undo: what it throws, but for the end of the node, is its answer. */
export function executeOne(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const savepoint = state.savepoint();
  try {
    return detached(run.execute(state, request));
  } catch (error) {
    if (!(error instanceof Rejection) && !isTidemarkError(error)) throw error;
    state.rollbackTo(savepoint);
    return new ErrorReply(error instanceof Rejection ? error.message : `ERR ${error.code}: ${error.message}`);
  }
}

function executeOrUndo(state: StateWriter, request: Request, run: WriteRun, before: number): ReplyValue {
  try {
    return detached(run.execute(state, request));
  } catch (error) {
    if (!(error instanceof Rejection) && !isTidemarkError(error)) throw error;
    throw new Rejection(
      `EXECABORT Transaction undone because command ${before + 1} failed: ${error.message}`,
    );
  }
}

/** The answer in memory of its own: later commands of the transaction write. */
export function detached(value: ReplyValue): ReplyValue {
  if (value instanceof Uint8Array) return copyOf(value);
  if (value instanceof PairList) return new PairList(value.items.map(detached));
  if (value instanceof Map) {
    const entries = value as ReadonlyMap<ReplyValue, ReplyValue>;
    return new Map([...entries].map(([key, item]) => [detached(key), detached(item)]));
  }
  return Array.isArray(value) ? (value as readonly ReplyValue[]).map(detached) : value;
}

function smallAt(request: Request, at: number, max: number): number {
  const value = parseInteger(request.bytes, request.argumentStart(at), request.argumentLength(at));
  if (typeof value !== 'number' || value < 0 || value > max) throw malformed();
  return value;
}

function malformed(): Rejection {
  return new Rejection('ERR the transaction is not one that this server made');
}
