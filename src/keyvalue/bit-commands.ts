/** Commands on the bits of strings. Bit 0 is the highest of the first byte. */

import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { integerAt, numberAt, rangeOf } from './arguments.ts';
import { commandsOf, ONE_KEY, type WriteRun } from './command.ts';
import { parseInteger } from './integer.ts';
import { deadlineOfKey, keyAt, removeKey, setString, stringOf } from './key-space.ts';
import { NO_DEADLINE, STRING_BYTES_MAX } from './layout.ts';
import { syntaxError } from './refusals.ts';
import type { ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read, write } = commandsOf('bitmap');

export const BIT_COMMANDS = [
  read('getbit', 3, ONE_KEY, 'Get a bit of the value of a key', getBit),
  read('bitcount', -2, ONE_KEY, 'Count the set bits of the value of a key', countBits),
  read('bitpos', -3, ONE_KEY, 'Find the first bit of a kind in the value of a key', findBit),
  write('setbit', 4, ONE_KEY, 'Set a bit of the value of a key', setBit),
  write('bitop', -4, { first: 2, last: -1, step: 1 }, 'Combine the bits of values', combine),
] as const;

const BITS = 8;
const BIT_OUT_OF_RANGE = 'ERR bit is not an integer or out of range';

/** Set bits of each byte. */
const POPULATION = Uint8Array.from({ length: 256 }, (_, byte) => {
  let count = 0;
  for (let rest = byte; rest > 0; rest >>= 1) count += rest & 1;
  return count;
});

const EMPTY = new Uint8Array(0);

function getBit(state: StateReader, request: Request): ReplyValue {
  const offset = bitOffsetAt(request, 2);
  return bitIn(stringOf(state, keyAt(request, 1)) ?? EMPTY, offset);
}

function setBit(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const offset = bitOffsetAt(request, 2);
  const bit = parseInteger(request.bytes, request.argumentStart(3), request.argumentLength(3));
  if (bit !== 0 && bit !== 1) throw new Rejection(BIT_OUT_OF_RANGE);
  const key = keyAt(request, 1);
  const old = stringOf(state, key);
  const at = Math.floor(offset / BITS);
  const value = new Uint8Array(Math.max(old?.length ?? 0, at + 1));
  if (old !== null) value.set(old);
  const before = bitIn(value, offset);
  if (before === bit && old !== null && value.length === old.length) return before;
  const mask = 0x80 >> (offset % BITS);
  value[at] = bit === 1 ? value[at]! | mask : value[at]! & ~mask;
  setString(state, key, value, { deadline: deadlineOfKey(state, key), run });
  return before;
}

function countBits(state: StateReader, request: Request): ReplyValue {
  const value = stringOf(state, keyAt(request, 1));
  if (value === null) return 0;
  if (request.count === 3 || request.count > 5) throw syntaxError();
  if (request.count === 2) return populationOf(value, 0, value.length);
  const first = numberAt(request, 2);
  const last = numberAt(request, 3);
  // As in Redis, which looks at the unit only when the range is not empty already.
  if (first < 0 && last < 0 && first > last) return 0;
  if (unitAt(request, 4) === 'byte') {
    const { from, to } = rangeOf(first, last, value.length);
    return populationOf(value, from, to);
  }
  const { from, to } = rangeOf(first, last, value.length * BITS);
  return bitsSetIn(value, from, to);
}

function findBit(state: StateReader, request: Request): ReplyValue {
  const bit = integerAt(request, 2);
  if (bit !== 0 && bit !== 1) throw new Rejection('ERR The bit argument must be 1 or 0.');
  const value = stringOf(state, keyAt(request, 1));
  if (value === null) return bit === 1 ? -1 : 0;
  if (request.count > 6) throw syntaxError();
  const first = request.count > 3 ? numberAt(request, 3) : 0;
  const scale = request.count > 5 && unitAt(request, 5) === 'bit' ? 1 : BITS;
  const isEndGiven = request.count > 4;
  const last = isEndGiven ? numberAt(request, 4) : Number.MAX_SAFE_INTEGER;
  const length = (value.length * BITS) / scale;
  const from = (first < 0 ? Math.max(first + length, 0) : first) * scale;
  // An empty string has no last bit, whatever is asked for.
  const to = (Math.min(last < 0 ? Math.max(last + length, 0) : last, length - 1) + 1) * scale;
  if (from >= to) return -1;
  const found = firstBit(value, { from, to }, bit);
  if (found !== null) return found;
  // Behind a string of ones, where no end is given, there are zeros.
  return bit === 1 || isEndGiven ? -1 : value.length * BITS;
}

function combine(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const operation = (['and', 'or', 'xor', 'not'] as const).find((word) => request.isWord(1, word));
  if (operation === undefined) throw syntaxError();
  if (operation === 'not' && request.count !== 4) {
    throw new Rejection('ERR BITOP NOT must be called with a single source key.');
  }
  const target = keyAt(request, 2);
  const values = Array.from(
    { length: request.count - 3 },
    (_, at) => stringOf(state, keyAt(request, at + 3)) ?? EMPTY,
  );
  const result = new Uint8Array(Math.max(...values.map(({ length }) => length)));
  for (let at = 0; at < result.length; at++) {
    let byte = values[0]![at] ?? 0;
    if (operation === 'not') byte = ~byte;
    for (let other = 1; other < values.length; other++) {
      const next = values[other]![at] ?? 0;
      if (operation === 'and') byte &= next;
      else if (operation === 'or') byte |= next;
      else byte ^= next;
    }
    result[at] = byte;
  }
  if (result.length === 0) removeKey(state, target);
  else setString(state, target, result, { deadline: NO_DEADLINE, run });
  return result.length;
}

function bitOffsetAt(request: Request, at: number): number {
  const offset = parseInteger(request.bytes, request.argumentStart(at), request.argumentLength(at));
  if (offset === null || offset < 0 || offset >= STRING_BYTES_MAX * BITS) {
    throw new Rejection('ERR bit offset is not an integer or out of range');
  }
  return Number(offset);
}

function unitAt(request: Request, at: number): 'bit' | 'byte' {
  if (at >= request.count || request.isWord(at, 'byte')) return 'byte';
  if (request.isWord(at, 'bit')) return 'bit';
  throw syntaxError();
}

function bitIn(value: Uint8Array, offset: number): 0 | 1 {
  const byte = value[Math.floor(offset / BITS)] ?? 0;
  return (byte & (0x80 >> (offset % BITS))) === 0 ? 0 : 1;
}

function populationOf(value: Uint8Array, from: number, to: number): number {
  let count = 0;
  for (let at = from; at < to; at++) count += POPULATION[value[at]!]!;
  return count;
}

/** Set bits of [from, to), in bits: whole bytes at once. */
function bitsSetIn(value: Uint8Array, from: number, to: number): number {
  let count = 0;
  let at = from;
  for (; at < to && at % BITS !== 0; at++) count += bitIn(value, at);
  const wholeTo = Math.max(at, to - (to % BITS));
  count += populationOf(value, at / BITS, wholeTo / BITS);
  for (at = wholeTo; at < to; at++) count += bitIn(value, at);
  return count;
}

/** The first such bit of [from, to), in bits; null when there is none. */
function firstBit(value: Uint8Array, { from, to }: { from: number; to: number }, bit: 0 | 1): number | null {
  const other = bit === 1 ? 0x00 : 0xff;
  for (let at = from; at < to; at++) {
    if (at % BITS === 0) while (at + BITS <= to && value[at / BITS] === other) at += BITS;
    if (at < to && bitIn(value, at) === bit) return at;
  }
  return null;
}
