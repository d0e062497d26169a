/** Commands on strings as a whole, and on many of them. */

import { copyOf } from '../base/bytes.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { deadlineAt, REPLY_BYTES_MAX, type TimeUnit } from './arguments.ts';
import { ALL_KEYS, commandsOf, KEYS_AND_VALUES, ONE_KEY, type WriteRun } from './command.ts';
import {
  deadlineOfKey,
  keyAt,
  removeKey,
  setDeadline,
  setPlainString,
  setString,
  stringIn,
  stringOf,
} from './key-space.ts';
import { deadlineOf, NO_DEADLINE, TYPE_STRING, typeOf } from './layout.ts';
import { invalidExpiry, replyTooLarge, syntaxError, wrongArity } from './refusals.ts';
import { OK, type ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read, write } = commandsOf('string');

export const STRING_COMMANDS = [
  read('get', 2, ONE_KEY, 'Get the value of a key', (state, request) => stringOf(state, keyAt(request, 1))),
  read('mget', -2, ALL_KEYS, 'Get the values of all the given keys', getMany),
  read('strlen', 2, ONE_KEY, 'Get the length of the value of a key', valueLength),
  write('set', -3, ONE_KEY, 'Set the value of a key', set),
  write('setnx', 3, ONE_KEY, 'Set the value of a key that does not exist', setNew),
  write('setex', 4, ONE_KEY, 'Set value and time to live of a key in seconds', (state, request, run) =>
    setExpiring(state, request, run, { unit: 's', command: 'setex' }),
  ),
  write('psetex', 4, ONE_KEY, 'Set value and time to live of a key in milliseconds', (state, request, run) =>
    setExpiring(state, request, run, { unit: 'ms', command: 'psetex' }),
  ),
  write('getset', 3, ONE_KEY, 'Set the value of a key and get its old value', getAndSet),
  write('getdel', 2, ONE_KEY, 'Get the value of a key and delete the key', getAndDelete),
  write('getex', -2, ONE_KEY, 'Get the value of a key and set when it expires', getAndExpire),
  write('mset', -3, KEYS_AND_VALUES, 'Set several keys to several values', setMany),
  write('msetnx', -3, KEYS_AND_VALUES, 'Set several keys when none of them exists', setManyNew),
  write('append', 3, ONE_KEY, 'Append to the value of a key', append),
] as const;

/** What SET and GETEX may be told of the deadline. */
interface ExpiryOption {
  readonly word: string;
  readonly unit: TimeUnit;
  readonly isRelative: boolean;
}

const EXPIRY_OPTIONS: readonly ExpiryOption[] = [
  { word: 'ex', unit: 's', isRelative: true },
  { word: 'px', unit: 'ms', isRelative: true },
  { word: 'exat', unit: 's', isRelative: false },
  { word: 'pxat', unit: 'ms', isRelative: false },
];

/** The options of SET and GETEX. The deadline is read last: as in Redis, a syntax error comes first. */
interface StringOptions {
  condition: 'nx' | 'xx' | null;
  isOldWanted: boolean;
  deadline: ExpiryOption | 'keep' | 'drop' | null;
  deadlineAt: number;
}

function getMany(state: StateReader, request: Request): ReplyValue {
  const values: (Uint8Array | null)[] = [];
  let bytes = 0;
  for (let at = 1; at < request.count; at++) {
    const record = state.get(keyAt(request, at));
    const value = record === null || typeOf(record) !== TYPE_STRING ? null : stringIn(record);
    if (value !== null) bytes += value.length;
    if (bytes > REPLY_BYTES_MAX) throw replyTooLarge(REPLY_BYTES_MAX);
    values.push(value);
  }
  return values;
}

function valueLength(state: StateReader, request: Request): ReplyValue {
  return stringOf(state, keyAt(request, 1))?.length ?? 0;
}

function set(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const key = keyAt(request, 1);
  if (request.count === 3) {
    setPlainString(state, key, request, 2);
    return OK;
  }
  const options = optionsOf(request, 3, 'set');
  const expiry = options.deadline;
  let deadline =
    expiry === null || typeof expiry === 'string' ? NO_DEADLINE : newDeadline(request, run, options, 'set');
  const old = options.isOldWanted ? copyOfValue(stringOf(state, key)) : null;
  if (options.condition !== null && state.has(key) !== (options.condition === 'xx')) {
    return options.isOldWanted ? old : null;
  }
  if (expiry === 'keep') deadline = deadlineOfKey(state, key);
  if (expiry !== null && expiry !== 'keep' && deadline <= run.time) removeKey(state, key);
  else setString(state, key, request.argument(2), { deadline, run });
  return options.isOldWanted ? old : OK;
}

function optionsOf(request: Request, first: number, command: 'set' | 'getex'): StringOptions {
  const options: StringOptions = { condition: null, isOldWanted: false, deadline: null, deadlineAt: 0 };
  for (let at = first; at < request.count; at++) {
    const expiry = EXPIRY_OPTIONS.find(({ word }) => request.isWord(at, word));
    if (expiry !== undefined) {
      if (options.deadline !== null || ++at === request.count) throw syntaxError();
      options.deadline = expiry;
      options.deadlineAt = at;
    } else if (
      command === 'getex' ? !takeGetOption(options, request, at) : !takeSetOption(options, request, at)
    ) {
      throw syntaxError();
    }
  }
  return options;
}

function takeSetOption(options: StringOptions, request: Request, at: number): boolean {
  if (request.isWord(at, 'nx') && options.condition !== 'xx') options.condition = 'nx';
  else if (request.isWord(at, 'xx') && options.condition !== 'nx') options.condition = 'xx';
  else if (request.isWord(at, 'get')) options.isOldWanted = true;
  else if (request.isWord(at, 'keepttl') && (options.deadline === null || options.deadline === 'keep'))
    options.deadline = 'keep';
  else return false;
  return true;
}

function takeGetOption(options: StringOptions, request: Request, at: number): boolean {
  if (!request.isWord(at, 'persist') || (options.deadline !== null && options.deadline !== 'drop'))
    return false;
  options.deadline = 'drop';
  return true;
}

/** The deadline that the options give; a time to live of nothing is refused. */
function newDeadline(request: Request, run: WriteRun, options: StringOptions, command: string): number {
  const { unit, isRelative } = options.deadline as ExpiryOption;
  const at = options.deadlineAt;
  if (deadlineAt(request, at, { unit, base: 0, command }) <= 0) throw invalidExpiry(command);
  return deadlineAt(request, at, { unit, base: isRelative ? run.time : 0, command });
}

function setNew(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  if (state.has(key)) return 0;
  setPlainString(state, key, request, 2);
  return 1;
}

function setExpiring(
  state: StateWriter,
  request: Request,
  run: WriteRun,
  { unit, command }: { readonly unit: TimeUnit; readonly command: string },
): ReplyValue {
  const key = keyAt(request, 1);
  if (deadlineAt(request, 2, { unit, base: 0, command }) <= 0) throw invalidExpiry(command);
  const deadline = deadlineAt(request, 2, { unit, base: run.time, command });
  setString(state, key, request.argument(3), { deadline, run });
  return OK;
}

function getAndSet(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  const old = copyOfValue(stringOf(state, key));
  setPlainString(state, key, request, 2);
  return old;
}

function getAndDelete(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  const old = copyOfValue(stringOf(state, key));
  if (old !== null) state.delete(key);
  return old;
}

function getAndExpire(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const key = keyAt(request, 1);
  const options = optionsOf(request, 2, 'getex');
  const value = copyOfValue(stringOf(state, key));
  const expiry = options.deadline;
  if (value === null || expiry === null || expiry === 'keep') return value;
  if (expiry === 'drop') {
    if (deadlineOfKey(state, key) !== NO_DEADLINE) setDeadline(state, key, NO_DEADLINE, run);
    return value;
  }
  const deadline = newDeadline(request, run, options, 'getex');
  if (deadline <= run.time) removeKey(state, key);
  else setDeadline(state, key, deadline, run);
  return value;
}

function setMany(state: StateWriter, request: Request): ReplyValue {
  if (request.count % 2 === 0) throw wrongArity('mset');
  for (let at = 1; at < request.count; at += 2) setPlainString(state, keyAt(request, at), request, at + 1);
  return OK;
}

function setManyNew(state: StateWriter, request: Request): ReplyValue {
  if (request.count % 2 === 0) throw wrongArity('msetnx');
  for (let at = 1; at < request.count; at += 2) if (state.has(keyAt(request, at))) return 0;
  for (let at = 1; at < request.count; at += 2) setPlainString(state, keyAt(request, at), request, at + 1);
  return 1;
}

function append(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const key = keyAt(request, 1);
  const record = state.get(key);
  if (record === null) {
    setPlainString(state, key, request, 2);
    return request.argumentLength(2);
  }
  const value = Buffer.concat([stringIn(record), request.argument(2)]);
  setString(state, key, value, { deadline: deadlineOf(record), run });
  return value.length;
}

/** A view of the state ends with the next write: what a write answers with must be copied. */
function copyOfValue(value: Uint8Array | null): Uint8Array | null {
  return value === null ? null : copyOf(value);
}
