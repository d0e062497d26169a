/** Commands on parts of strings: ranges, and what two have in common. */

import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { integerAt, numberAt, rangeOf } from './arguments.ts';
import { commandsOf, ONE_KEY, TWO_KEYS, type WriteRun } from './command.ts';
import { deadlineOfKey, keyAt, setString, stringOf } from './key-space.ts';
import { STRING_BYTES_MAX } from './layout.ts';
import { longestCommon, type Match } from './longest-common.ts';
import { notAnInteger, syntaxError, valueTooLong } from './refusals.ts';
import type { ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read, write } = commandsOf('string');

export const STRING_PART_COMMANDS = [
  read('getrange', 4, ONE_KEY, 'Get a part of the value of a key', range),
  read('substr', 4, ONE_KEY, 'Get a part of the value of a key', range),
  read('lcs', -3, TWO_KEYS, 'Find the longest common subsequence of two values', commonPart),
  write('setrange', 4, ONE_KEY, 'Overwrite a part of the value of a key', setRange),
] as const;

/** Cells of the table that LCS fills: 4 bytes each, and some 3 ns. */
const CELLS_MAX = 16 * 1024 * 1024;

function range(state: StateReader, request: Request): ReplyValue {
  const first = numberAt(request, 2);
  const last = numberAt(request, 3);
  const value = stringOf(state, keyAt(request, 1)) ?? new Uint8Array(0);
  const { from, to } = rangeOf(first, last, value.length);
  return value.subarray(from, to);
}

function setRange(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const offset = numberAt(request, 2);
  if (offset < 0) throw new Rejection('ERR offset is out of range');
  const key = keyAt(request, 1);
  const part = request.argument(3);
  const old = stringOf(state, key);
  if (part.length === 0) return old?.length ?? 0;
  if (offset + part.length > STRING_BYTES_MAX) throw valueTooLong();
  const value = new Uint8Array(Math.max(old?.length ?? 0, offset + part.length));
  if (old !== null) value.set(old);
  value.set(part, offset);
  setString(state, key, value, { deadline: deadlineOfKey(state, key), run });
  return value.length;
}

interface CommonOptions {
  isLengthWanted: boolean;
  areMatchesWanted: boolean;
  isMatchLengthWanted: boolean;
  matchLengthMin: number;
}

function commonPart(state: StateReader, request: Request): ReplyValue {
  const left = stringFor(state, request, 1);
  const right = stringFor(state, request, 2);
  const options = commonOptions(request);
  if (options.isLengthWanted && options.areMatchesWanted) {
    throw new Rejection('ERR If you want both the length and indexes, please just use IDX.');
  }
  if ((left.length + 1) * (right.length + 1) > CELLS_MAX) {
    throw new Rejection('ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len');
  }
  const { common, matches } = longestCommon(left, right);
  if (options.areMatchesWanted) {
    return new Map<ReplyValue, ReplyValue>([
      [Buffer.from('matches'), matchesOf(matches, options)],
      [Buffer.from('len'), common.length],
    ]);
  }
  return options.isLengthWanted ? common.length : common;
}

function stringFor(state: StateReader, request: Request, at: number): Uint8Array {
  try {
    return stringOf(state, keyAt(request, at)) ?? new Uint8Array(0);
  } catch (error) {
    if (!(error instanceof Rejection) || !error.message.startsWith('WRONGTYPE')) throw error;
    throw new Rejection('ERR The specified keys must contain string values');
  }
}

function commonOptions(request: Request): CommonOptions {
  const options = {
    isLengthWanted: false,
    areMatchesWanted: false,
    isMatchLengthWanted: false,
    matchLengthMin: 0,
  };
  for (let at = 3; at < request.count; at++) {
    if (request.isWord(at, 'idx')) options.areMatchesWanted = true;
    else if (request.isWord(at, 'len')) options.isLengthWanted = true;
    else if (request.isWord(at, 'withmatchlen')) options.isMatchLengthWanted = true;
    else if (request.isWord(at, 'minmatchlen') && at + 1 < request.count) {
      const least = integerAt(request, ++at);
      if (typeof least !== 'number') throw notAnInteger();
      options.matchLengthMin = Math.max(least, 0);
    } else throw syntaxError();
  }
  return options;
}

function matchesOf(matches: readonly Match[], options: CommonOptions): ReplyValue {
  return matches
    .filter(({ length }) => length >= options.matchLengthMin)
    .map(({ left, right, length }) => {
      const ranges: ReplyValue[] = [
        [left, left + length - 1],
        [right, right + length - 1],
      ];
      return options.isMatchLengthWanted ? [...ranges, length] : ranges;
    });
}
