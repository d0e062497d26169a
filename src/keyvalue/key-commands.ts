/** Commands on keys, whatever they hold. */

import { bufferOf } from '../base/bytes.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { integerAt } from './arguments.ts';
import {
  ALL_KEYS,
  commandsOf,
  type KeyValueCommand,
  NO_KEYS,
  ONE_KEY,
  TWO_KEYS,
  type WriteRun,
} from './command.ts';
import { countKeys, updateCounts } from './counts.ts';
import { readerOf } from './hash-value.ts';
import { parseInteger } from './integer.ts';
import { dropFields, keyAt, noteDeadline, removeKey, stringIn } from './key-space.ts';
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
import { noSuchKey, syntaxError, unknownSubcommand } from './refusals.ts';
import { OK, type ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read, write } = commandsOf('generic');

/** Records looked at, or removed, before the next are taken from the index. */
const SCAN_RECORDS = 1024;

const OBJECT_KEY = { first: 2, last: 2, step: 1 };

const OBJECT_SUBCOMMANDS: readonly KeyValueCommand[] = [
  read('object|encoding', 3, OBJECT_KEY, 'Tell how a key is stored', encoding),
  read('object|freq', 3, OBJECT_KEY, 'Tell how often a key is used', frequency),
  read('object|idletime', 3, OBJECT_KEY, 'Tell since when a key is not used', (state, request) =>
    present(state, request, 0),
  ),
  read('object|refcount', 3, OBJECT_KEY, 'Tell how many share a value', (state, request) =>
    present(state, request, 1),
  ),
];

export const KEY_COMMANDS = [
  read('exists', -2, ALL_KEYS, 'Count how many of the given keys exist', countExisting),
  read('touch', -2, ALL_KEYS, 'Count how many of the given keys exist', countExisting),
  read('type', 2, ONE_KEY, 'Tell what a key holds', (state, request) =>
    typeName(state.get(keyAt(request, 1))),
  ),
  read('dbsize', 1, NO_KEYS, 'Count the keys', (state) => countKeys(state)),
  {
    ...read('object', -2, NO_KEYS, 'Tell how keys are stored', refuseObject),
    subcommands: OBJECT_SUBCOMMANDS,
  },
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

function encoding(state: StateReader, request: Request): ReplyValue {
  const record = state.get(keyAt(request, 2));
  if (record === null) return null;
  if (typeOf(record) !== TYPE_STRING) {
    return Buffer.from(readerOf(state, record).encoding === 'packed' ? 'listpack' : 'hashtable');
  }
  const value = stringIn(record);
  if (parseInteger(value, 0, value.length) !== null) return Buffer.from('int');
  return Buffer.from(value.length <= EMBEDDED_BYTES_MAX ? 'embstr' : 'raw');
}

/** Up to it Redis keeps a string beside its header. */
const EMBEDDED_BYTES_MAX = 44;

function present(state: StateReader, request: Request, answer: number): ReplyValue {
  return state.has(keyAt(request, 2)) ? answer : null;
}

function frequency(state: StateReader, request: Request): ReplyValue {
  if (!state.has(keyAt(request, 2))) return null;
  throw new Rejection(
    'ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when ' +
      'switching between policies at runtime LRU and LFU data will take some time to adjust.',
  );
}

function refuseObject(_: StateReader, request: Request): ReplyValue {
  throw unknownSubcommand('object', request);
}

function isSame(left: Uint8Array, right: Uint8Array): boolean {
  return bufferOf(left).equals(right);
}
