/** Commands on hashes. */

import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { integerAt, REPLY_BYTES_MAX } from './arguments.ts';
import { commandsOf, ONE_KEY } from './command.ts';
import { matchesGlob } from './glob.ts';
import { HashEditor, type HashEntry, type HashReader, readHash } from './hash-value.ts';
import { addIntegers, encodeInteger, INTEGER_MAX, INTEGER_MIN, parseInteger } from './integer.ts';
import { keyAt } from './key-space.ts';
import { parseLongDouble } from './long-double.ts';
import { encodeSum, latin1 } from './number-commands.ts';
import { pick } from './pick.ts';
import { notAFloat, replyTooLarge, syntaxError, wrongArity } from './refusals.ts';
import { OK, PairList, type ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';
import { cursorAt, scanOptions } from './scan-commands.ts';

const { read, write } = commandsOf('hash');

export const HASH_COMMANDS = [
  read('hget', 3, ONE_KEY, 'Get a field of a hash', (state, request) =>
    valueOf(hashAt(state, request), request, 2),
  ),
  read('hmget', -3, ONE_KEY, 'Get several fields of a hash', getMany),
  read('hgetall', 2, ONE_KEY, 'Get all fields and values of a hash', getAll),
  read('hkeys', 2, ONE_KEY, 'Get all fields of a hash', (state, request) =>
    listOf(hashAt(state, request), ({ field }) => field),
  ),
  read('hvals', 2, ONE_KEY, 'Get all values of a hash', (state, request) =>
    listOf(hashAt(state, request), ({ value }) => value),
  ),
  read('hexists', 3, ONE_KEY, 'Tell whether a hash has a field', (state, request) =>
    valueOf(hashAt(state, request), request, 2) === null ? 0 : 1,
  ),
  read(
    'hlen',
    2,
    ONE_KEY,
    'Count the fields of a hash',
    (state, request) => hashAt(state, request)?.count ?? 0,
  ),
  read(
    'hstrlen',
    3,
    ONE_KEY,
    'Get the length of a field of a hash',
    (state, request) => valueOf(hashAt(state, request), request, 2)?.length ?? 0,
  ),
  read('hrandfield', -2, ONE_KEY, 'Get some of the fields of a hash', randomFields),
  read('hscan', -3, ONE_KEY, 'Go through the fields of a hash, a few at a time', scanFields),
  write('hset', -4, ONE_KEY, 'Set fields of a hash', (state, request) => setFields(state, request, 'hset')),
  write('hmset', -4, ONE_KEY, 'Set fields of a hash', (state, request) => {
    setFields(state, request, 'hmset');
    return OK;
  }),
  write('hsetnx', 4, ONE_KEY, 'Set a field that a hash does not have', setNewField),
  write('hdel', -3, ONE_KEY, 'Delete fields of a hash', deleteFields),
  write('hincrby', 4, ONE_KEY, 'Add to the integer of a field', addToField),
  write('hincrbyfloat', 4, ONE_KEY, 'Add to the number of a field', addFloatToField),
] as const;

/** Fields that one HSCAN looks at, at most. */
const SCAN_FIELDS_MAX = 100_000;

/** Fields that one HRANDFIELD may ask for with repetitions: the answer grows with the number alone. */
const RANDOM_FIELDS_MAX = 1_000_000;

function hashAt(state: StateReader, request: Request): HashReader | null {
  return readHash(state, keyAt(request, 1));
}

function valueOf(hash: HashReader | null, request: Request, at: number): Uint8Array | null {
  return hash === null ? null : hash.get(request.argument(at));
}

function getMany(state: StateReader, request: Request): ReplyValue {
  const hash = hashAt(state, request);
  const size = new ReplySize();
  const values: (Uint8Array | null)[] = [];
  for (let at = 2; at < request.count; at++) values.push(size.counted(valueOf(hash, request, at)));
  return values;
}

function getAll(state: StateReader, request: Request): ReplyValue {
  const found = new Map<ReplyValue, ReplyValue>();
  const size = new ReplySize();
  forEachEntry(hashAt(state, request), ({ field, value }) => {
    found.set(size.counted(field), size.counted(value));
  });
  return found;
}

function listOf(hash: HashReader | null, part: (entry: HashEntry) => Uint8Array): ReplyValue {
  const found: ReplyValue[] = [];
  const size = new ReplySize();
  forEachEntry(hash, (entry) => found.push(size.counted(part(entry))));
  return found;
}

function forEachEntry(hash: HashReader | null, visit: (entry: HashEntry) => void): void {
  for (let slot = 0; slot < (hash?.count ?? 0); slot++) visit(hash!.entry(slot));
}

function setFields(state: StateWriter, request: Request, command: string): number {
  if (request.count % 2 !== 0) throw wrongArity(command);
  const hash = new HashEditor(state, keyAt(request, 1));
  let added = 0;
  for (let at = 2; at < request.count; at += 2) {
    if (hash.set(request.argument(at), request.argument(at + 1))) added++;
  }
  hash.save();
  return added;
}

function setNewField(state: StateWriter, request: Request): ReplyValue {
  const hash = new HashEditor(state, keyAt(request, 1));
  if (hash.get(request.argument(2)) !== null) return 0;
  hash.set(request.argument(2), request.argument(3));
  hash.save();
  return 1;
}

function deleteFields(state: StateWriter, request: Request): ReplyValue {
  const key = keyAt(request, 1);
  if (!state.has(key)) return 0;
  const hash = new HashEditor(state, key);
  let count = 0;
  for (let at = 2; at < request.count; at++) if (hash.delete(request.argument(at))) count++;
  if (count > 0) hash.save();
  return count;
}

function addToField(state: StateWriter, request: Request): ReplyValue {
  const by = integerAt(request, 3);
  const hash = new HashEditor(state, keyAt(request, 1));
  const value = hash.get(request.argument(2));
  const old = value === null ? 0 : parseInteger(value, 0, value.length);
  if (old === null) throw new Rejection('ERR hash value is not an integer');
  const sum = addIntegers(old, by);
  if (sum === null) throw new Rejection('ERR increment or decrement would overflow');
  hash.set(request.argument(2), encodeInteger(sum));
  hash.save();
  return sum;
}

function addFloatToField(state: StateWriter, request: Request): ReplyValue {
  const by = parseLongDouble(latin1(request.argument(3)));
  if (by === null) throw notAFloat();
  if (by === 'infinite') throw new Rejection('ERR value is NaN or Infinity');
  const hash = new HashEditor(state, keyAt(request, 1));
  const value = hash.get(request.argument(2));
  const old = parseLongDouble(value === null ? '0' : latin1(value));
  if (old === null) throw new Rejection('ERR hash value is not a float');
  const sum = encodeSum(old, by);
  hash.set(request.argument(2), sum);
  hash.save();
  return sum;
}

/**
 * From the last slot down, because a removed field's slot is filled from the end: a field that moves then
 * moves to where the scan has yet to come, or was returned already. The cursor is the number of slots left.
 */
function scanFields(state: StateReader, request: Request): ReplyValue {
  const cursor = cursorAt(request, 2);
  const { pattern, count } = scanOptions(request, 3, 'fields');
  const hash = hashAt(state, request);
  const found: ReplyValue[] = [];
  if (hash === null) return [Buffer.from('0'), found];
  const first = cursor === 0 ? hash.count : Math.min(cursor, hash.count);
  const left = hash.encoding === 'packed' ? 0 : Math.max(first - Math.min(count, SCAN_FIELDS_MAX), 0);
  for (let slot = first - 1; slot >= left; slot--) {
    const { field, value } = hash.entry(slot);
    if (pattern === null || matchesGlob(pattern, field)) found.push(field, value);
  }
  return [Buffer.from(String(left)), found];
}

function randomFields(state: StateReader, request: Request): ReplyValue {
  if (request.count === 2) {
    const hash = hashAt(state, request);
    return hash === null ? null : hash.entry(pick(hash.count)).field;
  }
  const wanted = randomCountAt(request);
  const areValuesWanted = request.count === 4;
  const hash = hashAt(state, request);
  if (hash === null) return [];
  const size = new ReplySize();
  const items: ReplyValue[] = [];
  for (const slot of wanted < 0 ? repeatedSlots(-wanted, hash.count) : distinctSlots(wanted, hash.count)) {
    const { field, value } = hash.entry(slot);
    items.push(size.counted(field));
    if (areValuesWanted) items.push(size.counted(value));
  }
  return areValuesWanted ? new PairList(items) : items;
}

function randomCountAt(request: Request): number {
  const count = integerAt(request, 2);
  if (count === INTEGER_MIN) {
    throw new Rejection(`ERR value is out of range, value must between ${-INTEGER_MAX} and ${INTEGER_MAX}`);
  }
  if (request.count > 4 || (request.count === 4 && !request.isWord(3, 'withvalues'))) throw syntaxError();
  const half = INTEGER_MAX / 2n;
  if (request.count === 4 && (count < -half || count > half))
    throw new Rejection('ERR value is out of range');
  return Number(count);
}

function repeatedSlots(wanted: number, count: number): number[] {
  if (wanted > RANDOM_FIELDS_MAX) {
    throw new Rejection(`ERR HRANDFIELD gives at most ${RANDOM_FIELDS_MAX} fields with repetitions`);
  }
  return Array.from({ length: wanted }, () => pick(count));
}

/** The first of a shuffle (Fisher and Yates), of which only the places that moved are kept. */
function distinctSlots(wanted: number, count: number): number[] {
  const moved = new Map<number, number>();
  return Array.from({ length: Math.min(wanted, count) }, (_, at) => {
    const other = at + pick(count - at);
    const chosen = moved.get(other) ?? other;
    moved.set(other, moved.get(at) ?? at);
    return chosen;
  });
}

/** Bytes of one reply, counted as it grows. */
class ReplySize {
  #bytes = 0;

  counted<Value extends Uint8Array | null>(value: Value): Value {
    this.#bytes += value?.length ?? 0;
    if (this.#bytes > REPLY_BYTES_MAX) throw replyTooLarge(REPLY_BYTES_MAX);
    return value;
  }
}
