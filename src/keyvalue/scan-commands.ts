/**
 * Commands that go through keys in no order, or in theirs. The order of SCAN, KEYS and RANDOMKEY is that of
 * this process's index, so their answers differ from node to node; none of them writes.
 */

import { bufferOf } from '../base/bytes.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateReader } from '../state/state.ts';
import { integerAt, REPLY_BYTES_MAX } from './arguments.ts';
import { commandsOf, NO_KEYS } from './command.ts';
import { countKeys } from './counts.ts';
import { literalOf, matchesGlob } from './glob.ts';
import { typeName } from './key-commands.ts';
import { PREFIX_KEY, userKeyOf } from './layout.ts';
import { pick, pickPart } from './pick.ts';
import { notAnInteger, replyTooLarge, syntaxError } from './refusals.ts';
import type { ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read } = commandsOf('generic');

export const SCAN_COMMANDS = [
  read('scan', -2, NO_KEYS, 'Go through the keys, a few at a time', scan),
  read('keys', 2, NO_KEYS, 'Find all keys that match a pattern', keys),
  read('randomkey', 1, NO_KEYS, 'Get one of the keys', randomKey),
] as const;

/** `TIDEMARK RANGE`, which is in a container with others. */
export const RANGE_COMMAND = read('tidemark|range', -4, NO_KEYS, 'Get keys in order', keysInRange);

const SCAN_COUNT_DEFAULT = 10;

/** Keys that one SCAN looks at, at most: some milliseconds. */
const SCAN_COUNT_MAX = 100_000;

const RANGE_LIMIT_DEFAULT = 1000;
const RANGE_LIMIT_MAX = 1_000_000;

/** Records taken from the index at once: about those of one shard, which is gone through as a whole. */
const BATCH_RECORDS = 8192;

/** Records among which RANDOMKEY chooses, so that no key is chosen only for the gap before its hash. */
const RANDOM_RECORDS = 64;

/** What SCAN and HSCAN may be told. */
export interface ScanOptions {
  readonly pattern: Uint8Array | null;
  readonly count: number;
  readonly type: string | null;
}

export function scanOptions(request: Request, first: number, what: 'keys' | 'fields'): ScanOptions {
  let pattern: Uint8Array | null = null;
  let count = SCAN_COUNT_DEFAULT;
  let type: string | null = null;
  for (let at = first; at < request.count; at += 2) {
    if (at + 1 === request.count) throw syntaxError();
    if (request.isWord(at, 'match')) pattern = request.argument(at + 1);
    else if (request.isWord(at, 'count')) count = scanCountAt(request, at + 1);
    else if (request.isWord(at, 'type') && what === 'keys') type = request.text(at + 1).toLowerCase();
    else throw syntaxError();
  }
  const isAll = pattern !== null && pattern.length === 1 && pattern[0] === 42;
  return { pattern: isAll ? null : pattern, count: Math.min(count, SCAN_COUNT_MAX), type };
}

function scanCountAt(request: Request, at: number): number {
  const count = integerAt(request, at);
  if (count < 1) throw syntaxError();
  return Number(count);
}

/** A cursor of a client: any unsigned integer of 64 bits. */
export function cursorAt(request: Request, at: number): number {
  const text = request.text(at);
  if (!/^[+-]?\d{1,20}$/.test(text) || BigInt(text) >= 2n ** 64n) throw new Rejection('ERR invalid cursor');
  return Math.abs(Number(text));
}

function scan(state: StateReader, request: Request): ReplyValue {
  const cursor = cursorAt(request, 1);
  const { pattern, count, type } = scanOptions(request, 2, 'keys');
  const { entries, next } = state.scan(cursor, count);
  const found: ReplyValue[] = [];
  for (const { key, value } of entries) {
    if (key[0] !== PREFIX_KEY || (type !== null && typeName(value) !== type)) continue;
    const userKey = userKeyOf(key);
    if (pattern === null || matchesGlob(pattern, userKey)) found.push(userKey);
  }
  return [Buffer.from(String(next)), found];
}

function keys(state: StateReader, request: Request): ReplyValue {
  const pattern = request.argument(1);
  if (literalOf(pattern) !== null) return state.has(request.withLineFeed(1)) ? [pattern] : [];
  const found: ReplyValue[] = [];
  let bytes = 0;
  for (let cursor = 0; ; ) {
    const { entries, next } = state.scan(cursor, BATCH_RECORDS);
    for (const { key } of entries) {
      if (key[0] !== PREFIX_KEY || !matchesGlob(pattern, userKeyOf(key))) continue;
      bytes += key.length;
      if (bytes > REPLY_BYTES_MAX) throw replyTooLarge(REPLY_BYTES_MAX);
      found.push(userKeyOf(key));
    }
    if (next === 0) return found;
    cursor = next;
  }
}

function randomKey(state: StateReader): ReplyValue {
  if (countKeys(state) === 0) return null;
  for (let cursor = state.cursorAt(pickPart()); ; ) {
    const { entries, next } = state.scan(cursor, RANDOM_RECORDS);
    const found = entries.filter(({ key }) => key[0] === PREFIX_KEY);
    if (found.length > 0) return userKeyOf(found[pick(found.length)]!.key);
    cursor = next; // At the end it is 0, which is the beginning.
  }
}

/**
 * TIDEMARK RANGE from to [LIMIT n]: keys from `from` on and below `to`, byte by byte; an empty `to` is no
 * bound.
 */
function keysInRange(state: StateReader, request: Request): ReplyValue {
  const limit = limitOf(request);
  const to = bufferOf(request.argument(3));
  const found: ReplyValue[] = [];
  let bytes = 0;
  for (const { key } of state.orderedEntries(request.withLineFeed(2))) {
    if (found.length === limit || key[0] !== PREFIX_KEY) break;
    const userKey = userKeyOf(key);
    if (to.length > 0 && to.compare(userKey) <= 0) break;
    bytes += userKey.length;
    if (bytes > REPLY_BYTES_MAX) throw replyTooLarge(REPLY_BYTES_MAX);
    found.push(userKey);
  }
  return found;
}

function limitOf(request: Request): number {
  if (request.count === 4) return RANGE_LIMIT_DEFAULT;
  if (request.count !== 6 || !request.isWord(4, 'limit')) throw syntaxError();
  const limit = integerAt(request, 5);
  if (limit < 0) throw notAnInteger();
  return Math.min(Number(limit), RANGE_LIMIT_MAX);
}
