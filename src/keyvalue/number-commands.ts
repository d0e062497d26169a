/** Commands on strings that are numbers. */

import { bufferOf } from '../base/bytes.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateWriter } from '../state/state.ts';
import { integerAt } from './arguments.ts';
import { commandsOf, ONE_KEY, type WriteRun } from './command.ts';
import { addIntegers, encodeInteger, type Integer, negateInteger, parseInteger } from './integer.ts';
import { keyAt, setString, stringIn } from './key-space.ts';
import { deadlineOf, NO_DEADLINE } from './layout.ts';
import { addLongDoubles, formatLongDouble, type LongDouble, parseLongDouble } from './long-double.ts';
import { notAFloat, notAnInteger } from './refusals.ts';
import type { ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { write } = commandsOf('string');

export const NUMBER_COMMANDS = [
  write('incr', 2, ONE_KEY, 'Add one to the integer of a key', (state, request, run) =>
    add(state, request, run, 1),
  ),
  write('decr', 2, ONE_KEY, 'Take one from the integer of a key', (state, request, run) =>
    add(state, request, run, -1),
  ),
  write('incrby', 3, ONE_KEY, 'Add to the integer of a key', (state, request, run) =>
    add(state, request, run, integerAt(request, 2)),
  ),
  write('decrby', 3, ONE_KEY, 'Take from the integer of a key', decreaseBy),
  write('incrbyfloat', 3, ONE_KEY, 'Add to the number of a key', addFloat),
] as const;

const ZERO: LongDouble = { significand: 0n, exponent: 0 };

function decreaseBy(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const negated = negateInteger(integerAt(request, 2));
  if (negated === null) throw new Rejection('ERR decrement would overflow');
  return add(state, request, run, negated);
}

function add(state: StateWriter, request: Request, run: WriteRun, by: Integer): ReplyValue {
  const key = keyAt(request, 1);
  const record = state.get(key);
  const value = record === null ? null : stringIn(record);
  const old = value === null ? 0 : parseInteger(value, 0, value.length);
  if (old === null) throw notAnInteger();
  const sum = addIntegers(old, by);
  if (sum === null) throw new Rejection('ERR increment or decrement would overflow');
  const deadline = record === null ? NO_DEADLINE : deadlineOf(record);
  setString(state, key, encodeInteger(sum), { deadline, run });
  return sum;
}

function addFloat(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const key = keyAt(request, 1);
  const record = state.get(key);
  const old = record === null ? ZERO : parseLongDouble(latin1(stringIn(record)));
  const by = parseLongDouble(latin1(request.argument(2)));
  if (old === null || by === null) throw notAFloat();
  const sum = encodeSum(old, by);
  setString(state, key, sum, { deadline: record === null ? NO_DEADLINE : deadlineOf(record), run });
  return sum;
}

/** The sum as a string holds it. */
export function encodeSum(left: LongDouble | 'infinite', right: LongDouble | 'infinite'): Uint8Array {
  const sum = left === 'infinite' || right === 'infinite' ? null : addLongDoubles(left, right);
  if (sum === null) throw new Rejection('ERR increment would produce NaN or Infinity');
  return Buffer.from(formatLongDouble(sum), 'latin1');
}

export function latin1(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('latin1');
}
