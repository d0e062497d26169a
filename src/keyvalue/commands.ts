/**
 * The commands of the key-value machine, with the meaning and the error texts of Redis 7.0.
 *
 * Each runs on the state alone, so that replaying the log gives the same keys everywhere. A write that throws
 * leaves nothing behind: the state takes it back.
 */

import { copyOf } from '../base/bytes.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../base/limits.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import type { CommandEntry, KeyPositions } from './command-table.ts';
import { addIntegers, encodeInteger, type Integer, negateInteger, parseInteger } from './integer.ts';
import { notAnInteger, syntaxError, wrongArity } from './refusals.ts';
import { OK, type ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

/** Answers from the state, and costs no log entry. */
export interface ReadCommand<Name extends string = string> extends CommandEntry {
  readonly name: Name;
  readonly kind: 'read';
  run(state: StateReader, request: Request): ReplyValue;
}

/** Changes the state, and is ordered and logged first. */
export interface WriteCommand<Name extends string = string> extends CommandEntry {
  readonly name: Name;
  readonly kind: 'write';
  run(state: StateWriter, request: Request): ReplyValue;
}

export type KeyValueCommand = ReadCommand | WriteCommand;

/** All the values of one reply: a request that names a large value many times must not fill the memory. */
export const REPLY_BYTES_MAX = 64 * 1024 * 1024;

const NO_KEYS: KeyPositions = { first: 0, last: 0, step: 0 };
const ONE_KEY: KeyPositions = { first: 1, last: 1, step: 1 };
const ALL_KEYS: KeyPositions = { first: 1, last: -1, step: 1 };
const KEYS_AND_VALUES: KeyPositions = { first: 1, last: -1, step: 2 };

const OPTION_NX = 1;
const OPTION_XX = 2;
const OPTION_GET = 4;
const OPTION_KEEPTTL = 8;
const OPTION_EXPIRY = 16;

const SET_OPTIONS: readonly { readonly word: string; readonly flag: number; readonly excludes: number }[] = [
  { word: 'nx', flag: OPTION_NX, excludes: OPTION_XX },
  { word: 'xx', flag: OPTION_XX, excludes: OPTION_NX },
  { word: 'get', flag: OPTION_GET, excludes: 0 },
  { word: 'keepttl', flag: OPTION_KEEPTTL, excludes: OPTION_EXPIRY },
  { word: 'ex', flag: OPTION_EXPIRY, excludes: OPTION_KEEPTTL | OPTION_EXPIRY },
  { word: 'px', flag: OPTION_EXPIRY, excludes: OPTION_KEEPTTL | OPTION_EXPIRY },
  { word: 'exat', flag: OPTION_EXPIRY, excludes: OPTION_KEEPTTL | OPTION_EXPIRY },
  { word: 'pxat', flag: OPTION_EXPIRY, excludes: OPTION_KEEPTTL | OPTION_EXPIRY },
];

const COMMANDS = [
  read('get', 2, ONE_KEY, 'Get the value of a key', get),
  read('mget', -2, ALL_KEYS, 'Get the values of all the given keys', getMany),
  read('exists', -2, ALL_KEYS, 'Count how many of the given keys exist', countExisting),
  read('touch', -2, ALL_KEYS, 'Count how many of the given keys exist', countExisting),
  read('strlen', 2, ONE_KEY, 'Get the length of the value of a key', valueLength),
  read('dbsize', 1, NO_KEYS, 'Count the keys', (state) => state.size),
  write('set', -3, ONE_KEY, 'Set the value of a key', set),
  write('setnx', 3, ONE_KEY, 'Set the value of a key that does not exist', setNew),
  write('getset', 3, ONE_KEY, 'Set the value of a key and get its old value', getAndSet),
  write('getdel', 2, ONE_KEY, 'Get the value of a key and delete the key', getAndDelete),
  write('mset', -3, KEYS_AND_VALUES, 'Set several keys to several values', setMany),
  write('append', 3, ONE_KEY, 'Append to the value of a key', append),
  write('del', -2, ALL_KEYS, 'Delete keys', deleteKeys),
  write('unlink', -2, ALL_KEYS, 'Delete keys', deleteKeys),
  write('incr', 2, ONE_KEY, 'Add one to the integer of a key', (state, request) => add(state, request, 1)),
  write('decr', 2, ONE_KEY, 'Take one from the integer of a key', (state, request) =>
    add(state, request, -1),
  ),
  write('incrby', 3, ONE_KEY, 'Add to the integer of a key', increaseBy),
  write('decrby', 3, ONE_KEY, 'Take from the integer of a key', decreaseBy),
] as const;

export const KEY_VALUE_COMMANDS: readonly KeyValueCommand[] = COMMANDS;

type NameOf<Kind> = Extract<(typeof COMMANDS)[number], { readonly kind: Kind }>['name'];

/** Names as users write them; bytes on the wire may have either case. */
export type KeyValueReadName = Uppercase<NameOf<'read'>>;
export type KeyValueWriteName = Uppercase<NameOf<'write'>>;

function read<const Name extends string>(
  name: Name,
  arity: number,
  keys: KeyPositions,
  summary: string,
  run: ReadCommand['run'],
): ReadCommand<Name> {
  return { kind: 'read', name, arity, keys, summary, run };
}

function write<const Name extends string>(
  name: Name,
  arity: number,
  keys: KeyPositions,
  summary: string,
  run: WriteCommand['run'],
): WriteCommand<Name> {
  return { kind: 'write', name, arity, keys, summary, run };
}

function get(state: StateReader, request: Request): ReplyValue {
  return state.get(keyAt(request, 1));
}

function getMany(state: StateReader, request: Request): ReplyValue {
  const values: (Uint8Array | null)[] = [];
  let bytes = 0;
  for (let at = 1; at < request.count; at++) {
    const value = state.get(keyAt(request, at));
    if (value !== null) bytes += value.length;
    if (bytes > REPLY_BYTES_MAX) {
      throw new Rejection(
        `ERR the reply would exceed ${REPLY_BYTES_MAX} bytes: ask for fewer keys at a time`,
      );
    }
    values.push(value);
  }
  return values;
}

function countExisting(state: StateReader, request: Request): ReplyValue {
  let count = 0;
  for (let at = 1; at < request.count; at++) if (state.has(keyAt(request, at))) count++;
  return count;
}

function valueLength(state: StateReader, request: Request): ReplyValue {
  return state.get(keyAt(request, 1))?.length ?? 0;
}

function set(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  if (request.count === 3) {
    state.set(key, request.argument(2));
    return OK;
  }
  const options = setOptions(request);
  const old = (options & OPTION_GET) === 0 ? null : copyOfValue(state.get(key));
  const isRefused = (options & (state.has(key) ? OPTION_NX : OPTION_XX)) !== 0;
  if (!isRefused) state.set(key, request.argument(2));
  if ((options & OPTION_GET) !== 0) return old;
  return isRefused ? null : OK;
}

function setOptions(request: Request): number {
  let options = 0;
  for (let at = 3; at < request.count; at++) {
    const option = SET_OPTIONS.find(({ word }) => request.isWord(at, word));
    if (option === undefined || (options & option.excludes) !== 0) throw syntaxError();
    options |= option.flag;
    if (option.flag === OPTION_EXPIRY && ++at === request.count) throw syntaxError();
  }
  if ((options & OPTION_EXPIRY) !== 0) {
    throw new Rejection('ERR keys do not expire yet: SET takes NX, XX, GET and KEEPTTL');
  }
  return options;
}

function setNew(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  if (state.has(key)) return 0;
  state.set(key, request.argument(2));
  return 1;
}

function getAndSet(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  const old = copyOfValue(state.get(key));
  state.set(key, request.argument(2));
  return old;
}

function getAndDelete(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  const old = copyOfValue(state.get(key));
  if (old !== null) state.delete(key);
  return old;
}

function setMany(state: StateWriter, request: Request): ReplyValue {
  if (request.count % 2 === 0) throw wrongArity('mset');
  for (let at = 1; at < request.count; at += 2) state.set(keyAt(request, at), request.argument(at + 1));
  return OK;
}

function append(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  const added = request.argument(2);
  const old = state.get(key);
  const length = (old?.length ?? 0) + added.length;
  if (length > VALUE_BYTES_MAX) {
    throw new Rejection('ERR string exceeds maximum allowed size (proto-max-bulk-len)');
  }
  state.set(key, old === null ? added : Buffer.concat([old, added]));
  return length;
}

function deleteKeys(state: StateWriter, request: Request): ReplyValue {
  let count = 0;
  for (let at = 1; at < request.count; at++) if (state.delete(keyAt(request, at))) count++;
  return count;
}

function increaseBy(state: StateWriter, request: Request): ReplyValue {
  return add(state, request, integerAt(request, 2));
}

function decreaseBy(state: StateWriter, request: Request): ReplyValue {
  const negated = negateInteger(integerAt(request, 2));
  if (negated === null) throw new Rejection('ERR decrement would overflow');
  return add(state, request, negated);
}

function add(state: StateWriter, request: Request, by: Integer): ReplyValue {
  const key = keyAt(request, 1);
  const value = state.get(key);
  const old = value === null ? 0 : parseInteger(value, 0, value.length);
  if (old === null) throw notAnInteger();
  const sum = addIntegers(old, by);
  if (sum === null) throw new Rejection('ERR increment or decrement would overflow');
  state.set(key, encodeInteger(sum));
  return sum;
}

function integerAt(request: Request, at: number): Integer {
  const bytes = request.argument(at);
  const value = parseInteger(bytes, 0, bytes.length);
  if (value === null) throw notAnInteger();
  return value;
}

function keyAt(request: Request, at: number): Uint8Array {
  if (request.argumentLength(at) > KEY_BYTES_MAX) {
    throw new Rejection(`ERR a key has at most ${KEY_BYTES_MAX} bytes, got ${request.argumentLength(at)}`);
  }
  return request.argument(at);
}

/** A view of the state ends with the next write: what a write answers with must be copied. */
function copyOfValue(value: Uint8Array | null): Uint8Array | null {
  return value === null ? null : copyOf(value);
}
