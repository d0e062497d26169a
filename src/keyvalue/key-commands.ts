/** Commands on keys, whatever they hold. */

import { bufferOf } from '../base/bytes.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { integerAt } from './arguments.ts';
import { ALL_KEYS, commandsOf, NO_KEYS, ONE_KEY, TWO_KEYS, type WriteRun } from './command.ts';
import { countKeys, updateCounts } from './counts.ts';
import { dropFields, keyAt, noteDeadline, removeKey } from './key-space.ts';
import { copyLargeHash } from './large-hash.ts';
import {
  deadlineOf,
  NO_DEADLINE,
  PREFIX_FIELD,
  PREFIX_FIELD_SLOT,
  PREFIX_KEY,
  TYPE_LARGE_HASH,
  TYPE_STRING,
  typeOf,
} from './layout.ts';
import { noSuchKey, syntaxError } from './refusals.ts';
import { OK, type ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read, write } = commandsOf('generic');

/** Records looked at, or removed, before the next are taken from the index. */
const SCAN_RECORDS = 8192;

export const KEY_COMMANDS = [
  read('exists', -2, ALL_KEYS, 'Count how many of the given keys exist', countExisting),
  read('touch', -2, ALL_KEYS, 'Count how many of the given keys exist', countExisting),
  read('type', 2, ONE_KEY, 'Tell what a key holds', (state, request) =>
    typeName(state.get(keyAt(request, 1))),
  ),
  read('dbsize', 1, NO_KEYS, 'Count the keys', (state) => countKeys(state)),
  write('del', -2, ALL_KEYS, 'Delete keys', deleteKeys),
  write('unlink', -2, ALL_KEYS, 'Delete keys', deleteKeys),
  write('rename', 3, TWO_KEYS, 'Give a key another name', (state, request, run) => {
    rename(state, request, run);
    return OK;
  }),
  write('renamenx', 3, TWO_KEYS, 'Give a key a name that does not exist', renameNew),
  write('copy', -3, TWO_KEYS, 'Copy what a key holds to another', copy),
  write('flushall', -1, NO_KEYS, 'Delete all keys', flush),
  write('flushdb', -1, NO_KEYS, 'Delete all keys', flush),
] as const;

export function typeName(record: Uint8Array | null): 'none' | 'string' | 'hash' {
  if (record === null) return 'none';
  return typeOf(record) === TYPE_STRING ? 'string' : 'hash';
}

function countExisting(state: StateReader, request: Request): ReplyValue {
  let count = 0;
  for (let at = 1; at < request.count; at++) if (state.has(keyAt(request, at))) count++;
  return count;
}

function deleteKeys(state: StateWriter, request: Request): ReplyValue {
  let count = 0;
  for (let at = 1; at < request.count; at++) if (removeKey(state, keyAt(request, at))) count++;
  return count;
}

/** Returns false, having done nothing, when both are one key. */
function rename(state: StateWriter, request: Request, run: WriteRun): boolean {
  const source = keyAt(request, 1);
  const target = keyAt(request, 2);
  const record = state.get(source);
  if (record === null) throw noSuchKey();
  if (isSame(source, target)) return false;
  const kept = Uint8Array.from(record);
  dropFields(state, target);
  const deadline = deadlineOf(kept);
  if (deadline !== NO_DEADLINE) noteDeadline(state, target, deadline, run);
  state.delete(source);
  state.set(target, kept);
  return true;
}

function renameNew(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const target = keyAt(request, 2);
  if (!state.has(keyAt(request, 1))) throw noSuchKey();
  if (state.has(target)) return 0;
  return rename(state, request, run) ? 1 : 0;
}

function copy(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  let isReplacing = false;
  for (let at = 3; at < request.count; at++) {
    if (request.isWord(at, 'replace')) isReplacing = true;
    else if (request.isWord(at, 'db') && at + 1 < request.count) requireDatabase(request, ++at);
    else throw syntaxError();
  }
  const source = keyAt(request, 1);
  const target = keyAt(request, 2);
  if (isSame(source, target)) throw new Rejection('ERR source and destination objects are the same');
  const record = state.get(source);
  if (record === null || (!isReplacing && state.has(target))) return 0;
  const kept = Uint8Array.from(record);
  const deadline = deadlineOf(kept);
  if (deadline !== NO_DEADLINE) noteDeadline(state, target, deadline, run);
  dropFields(state, target);
  state.set(target, typeOf(kept) === TYPE_LARGE_HASH ? copyLargeHash(state, kept) : kept);
  return 1;
}

function requireDatabase(request: Request, at: number): void {
  if (integerAt(request, at) !== 0) throw new Rejection('ERR DB index is out of range');
}

/**
 * One command, however many keys there are: about a second for a million. Sessions stay, so that no retry
 * runs again.
 */
function flush(state: StateWriter, request: Request): ReplyValue {
  const isPlain = request.count === 1;
  if (!isPlain && !(request.count === 2 && (request.isWord(1, 'sync') || request.isWord(1, 'async')))) {
    throw syntaxError();
  }
  let fieldRecords = 0;
  for (let cursor = 0; ; ) {
    const { entries, next } = state.scan(cursor, SCAN_RECORDS);
    // A view ends with the next write.
    const keys = entries.map(({ key }) => Uint8Array.from(key));
    for (const key of keys) {
      const isOfHash = key[0] === PREFIX_FIELD || key[0] === PREFIX_FIELD_SLOT;
      if (!isOfHash && key[0] !== PREFIX_KEY) continue;
      if (state.delete(key) && isOfHash) fieldRecords++;
    }
    if (next === 0) break;
    cursor = next;
  }
  if (fieldRecords > 0) {
    updateCounts(state, (counts) => {
      counts.auxiliary -= fieldRecords;
      counts.largeHashes = 0;
    });
  }
  return OK;
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return bufferOf(left).equals(right);
}
