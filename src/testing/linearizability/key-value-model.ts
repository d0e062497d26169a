/**
 * A key-value database as it should be, for histories of the Redis port and the like. Written apart from the
 * real one, on plain strings: a checker that shares code with what it judges shares its mistakes.
 *
 *     GET key               the value, or null          INCR key        the number after it
 *     SET key value         "OK"                        INCRBY key n    the same
 *     DEL key               1 if it was there, or 0     APPEND key text the length after it
 *     CAS key old new       1 if it was `old`, or 0     MULTI [calls]   the answers of all, taken at once
 *
 * A value that is no integer makes INCR and INCRBY answer `{ error: 'not an integer' }`, and nothing changes.
 * In CAS, null stands for a key that is not there.
 */

import { invalidOption } from '../../base/options.ts';
import type { Json } from '../history/operation.ts';
import { objectOf, takeApart, textOf } from './call.ts';
import type { Model, Step } from './model.ts';

/** Keys with their values, and what tells this state from others. */
export interface KeyValueState {
  readonly values: ReadonlyMap<string, string>;
  /**
   * 64 bits that follow from the content: each pair has its own, and they are combined by XOR, so that a
   * write costs the same however many keys there are.
   */
  readonly high: number;
  readonly low: number;
}

const CALLS = { GET: 1, SET: 2, DEL: 1, CAS: 3, INCR: 1, INCRBY: 2, APPEND: 2, MULTI: 1 };
const NOT_AN_INTEGER = Object.freeze({ error: 'not an integer' });

/** The key-value database: see the top of this file for its calls. */
export const keyValueModel: Model<KeyValueState> = Object.freeze({
  name: 'key-value',
  initial: Object.freeze({ values: new Map<string, string>(), high: 0, low: 0 }),
  step: applyCall,
  keyOf: ({ high, low }: KeyValueState) => `${high},${low}`,
  objectsOf: (call: Json) => [...new Set(parts(call).map(objectOf))],
  isRead: (call: Json) => parts(call).every((part) => Array.isArray(part) && part[0] === 'GET'),
  describe: ({ values }: KeyValueState, objects: readonly string[]) =>
    objects.map((key) => `${key} = ${JSON.stringify(values.get(key) ?? null)}`).join(', '),
});

function applyCall(state: KeyValueState, call: Json): Step<KeyValueState> {
  const { name, args } = takeApart('key-value', call, CALLS);
  const key = textOf(args[0]);
  const value = state.values.get(key) ?? null;
  switch (name) {
    case 'GET':
      return { state, answer: value };
    case 'SET':
      return { state: write(state, key, textOf(args[1])), answer: 'OK' };
    case 'DEL':
      return { state: write(state, key, null), answer: value === null ? 0 : 1 };
    case 'CAS':
      return value === args[1]
        ? { state: write(state, key, args[2] === null ? null : textOf(args[2])), answer: 1 }
        : { state, answer: 0 };
    case 'INCR':
      return increment(state, key, 1);
    case 'INCRBY':
      return increment(state, key, Number(args[1]));
    case 'APPEND': {
      const appended = (value ?? '') + textOf(args[1]);
      return { state: write(state, key, appended), answer: appended.length };
    }
    default:
      return transaction(state, call);
  }
}

function increment(state: KeyValueState, key: string, by: number): Step<KeyValueState> {
  const value = state.values.get(key) ?? '0';
  if (!/^-?\d{1,15}$/.test(value)) return { state, answer: NOT_AN_INTEGER };
  const next = Number(value) + by;
  return { state: write(state, key, String(next)), answer: next };
}

/** All calls or none: none of them can fail half-way, so that it is one after the other. */
function transaction(before: KeyValueState, call: Json): Step<KeyValueState> {
  let state = before;
  const answer = parts(call).map((part) => {
    const step = applyCall(state, part);
    state = step.state;
    return step.answer;
  });
  const isSame = state.high === before.high && state.low === before.low;
  return { state: isSame ? before : state, answer };
}

/** The calls of a transaction, or the one call. */
function parts(call: Json): readonly Json[] {
  if (!Array.isArray(call) || call[0] !== 'MULTI') return [call];
  const calls = call[1] as Json;
  const isFlat = Array.isArray(calls) && calls.every((part) => Array.isArray(part) && part[0] !== 'MULTI');
  if (!isFlat) throw invalidOption('MULTI', call, 'a list of calls without a MULTI among them');
  return calls;
}

function write(state: KeyValueState, key: string, value: string | null): KeyValueState {
  const before = state.values.get(key) ?? null;
  if (before === value) return state;
  const values = new Map(state.values);
  if (value === null) values.delete(key);
  else values.set(key, value);
  return {
    values,
    high: state.high ^ digest(key, before, HIGH_SEED) ^ digest(key, value, HIGH_SEED),
    low: state.low ^ digest(key, before, LOW_SEED) ^ digest(key, value, LOW_SEED),
  };
}

const HIGH_SEED = 0x811c9dc5;
const LOW_SEED = 0x9e3779b9;

/** FNV-1a over the pair, mixed; 0 for a key that is not there. */
function digest(key: string, value: string | null, seed: number): number {
  if (value === null) return 0;
  let mixed = seed;
  for (let at = 0; at < key.length; at++) mixed = Math.imul(mixed ^ key.charCodeAt(at), 0x01000193);
  mixed = Math.imul(mixed ^ 0xff, 0x01000193);
  for (let at = 0; at < value.length; at++) mixed = Math.imul(mixed ^ value.charCodeAt(at), 0x01000193);
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
  return mixed ^ (mixed >>> 15);
}
