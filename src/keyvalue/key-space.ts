/** Keys in the state, whatever they hold: what the files of commands share. */

import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import type { WriteRun } from './command.ts';
import { hasLargeHashes } from './counts.ts';
import { dropLargeHash } from './large-hash.ts';
import {
  contentStart,
  deadlineIn,
  NO_DEADLINE,
  recordOf,
  STRING_BYTES_MAX,
  TYPE_LARGE_HASH,
  TYPE_STRING,
  typeOf,
  USER_KEY_BYTES_MAX,
} from './layout.ts';
import { valueTooLong, wrongType } from './refusals.ts';
import type { Request } from './request.ts';

/** The key of the state for the user key at `at`, as a view of the request. */
export function keyAt(request: Request, at: number): Uint8Array {
  if (request.argumentLength(at) > USER_KEY_BYTES_MAX) {
    throw new Rejection(
      `ERR a key has at most ${USER_KEY_BYTES_MAX} bytes, got ${request.argumentLength(at)}`,
    );
  }
  return request.withLineFeed(at);
}

/** The string of a key, as a view of the state; null when there is no such key. */
export function stringOf(state: StateReader, key: Uint8Array): Uint8Array | null {
  const record = state.get(key);
  return record === null ? null : stringIn(record);
}

/** The string in a record. @throws Rejection WRONGTYPE. */
export function stringIn(record: Uint8Array): Uint8Array {
  if (record[0] === TYPE_STRING) return record.subarray(1);
  if (typeOf(record) !== TYPE_STRING) throw wrongType();
  return record.subarray(contentStart(record));
}

/** The deadline of a key; NO_DEADLINE also when there is no such key. */
export function deadlineOfKey(state: StateReader, key: Uint8Array): number {
  return deadlineIn(state.get(key));
}

/** Makes a key the string that the argument at `at` is, for ever. Reads nothing unless it must. */
export function setPlainString(state: StateWriter, key: Uint8Array, request: Request, at: number): void {
  if (request.argumentLength(at) > STRING_BYTES_MAX) throw valueTooLong();
  dropFields(state, key);
  state.set(key, request.withLineFeed(at));
}

/** Makes a key a string. `value` may be a view of what the key holds. */
export function setString(
  state: StateWriter,
  key: Uint8Array,
  value: Uint8Array,
  { deadline, run }: { readonly deadline: number; readonly run: WriteRun },
): void {
  if (value.length > STRING_BYTES_MAX) throw valueTooLong();
  if (deadline !== NO_DEADLINE) noteDeadline(state, key, deadline, run);
  dropFields(state, key);
  state.set(key, recordOf(TYPE_STRING, deadline, value));
}

/** Gives a key that is there another deadline, or none. */
export function setDeadline(state: StateWriter, key: Uint8Array, deadline: number, run: WriteRun): void {
  const record = state.get(key);
  if (record === null) return;
  const content = record.subarray(contentStart(record));
  if (deadline !== NO_DEADLINE) noteDeadline(state, key, deadline, run);
  state.set(key, recordOf(typeOf(record), deadline, content));
}

/**
 * Tells the observer, unless it knows of an earlier deadline of this key: then it looks here when that
 * passes.
 */
export function noteDeadline(state: StateReader, key: Uint8Array, deadline: number, run: WriteRun): void {
  const old = deadlineOfKey(state, key);
  if (old === NO_DEADLINE || deadline < old) run.deadlines.note(key, deadline);
}

/** Removes a key and all it holds. Returns whether it was there. */
export function removeKey(state: StateWriter, key: Uint8Array): boolean {
  dropFields(state, key);
  return state.delete(key);
}

/** Removes the fields of a large hash before its key gets another record, or none. */
export function dropFields(state: StateWriter, key: Uint8Array): void {
  if (!hasLargeHashes(state)) return;
  const record = state.get(key);
  if (record !== null && typeOf(record) === TYPE_LARGE_HASH) dropLargeHash(state, record);
}
