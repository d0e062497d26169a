/**
 * How keys, strings and hashes lie in the state (docs/format.md §8).
 *
 *     key of the state               value
 *     -----------------------------  ---------------------------------------------------------------
 *     00                             counts (counts.ts)
 *     01, slot                       session in a slot of the ring (sessions.ts)
 *     02, id                         session (sessions.ts)
 *     03, …                          procedures (engine/procedure-store.ts)
 *     0a, user key                   type, deadline when it has one, content
 *     0b, hash, field                slot, value: a field of a large hash (large-hash.ts)
 *     0c, hash, slot                 field in a slot of a large hash
 *
 *     type                           content
 *     -----------------------------  ---------------------------------------------------------------
 *     0a  string                     the string
 *     0c  packed hash                fields and values (packed-hash.ts)
 *     0e  large hash                 its number, count and version (large-hash.ts)
 *     +1  has a deadline             behind the type: 8 bytes, milliseconds since 1970, little-endian
 *
 * 0a is a line feed, and in a request frame one stands before every argument. So the key of `SET k v` is its
 * first argument with the byte before it, and the value its second with the byte before it: neither is
 * copied, or put together, before the state copies it.
 *
 * Invariants:
 *  - Every key of the state that begins with 0a is a user key, and nothing else is.
 *  - A deadline is at most DEADLINE_MAX, and later than the time of the entry that set it.
 */

import { assert } from '../base/assert.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../base/limits.ts';

export const PREFIX_COUNTS = 0x00;
export const PREFIX_SESSION_SLOT = 0x01;
export const PREFIX_SESSION = 0x02;
export const PREFIX_KEY = 0x0a;
export const PREFIX_FIELD = 0x0b;
export const PREFIX_FIELD_SLOT = 0x0c;

export const TYPE_STRING = 0x0a;
export const TYPE_PACKED_HASH = 0x0c;
export const TYPE_LARGE_HASH = 0x0e;
const HAS_DEADLINE = 1;

export type RecordType = typeof TYPE_STRING | typeof TYPE_PACKED_HASH | typeof TYPE_LARGE_HASH;

const DEADLINE_BYTES = 8;
/** Type and deadline: what may stand before the content. */
export const HEAD_BYTES_MAX = 1 + DEADLINE_BYTES;

/** In place of a deadline: the key stays. */
export const NO_DEADLINE = 0;

/** The year 287396; later ones are taken for it. */
export const DEADLINE_MAX = Number.MAX_SAFE_INTEGER;

/** Longest key of a user. */
export const USER_KEY_BYTES_MAX = KEY_BYTES_MAX - 1;

/** Longest string. */
export const STRING_BYTES_MAX = VALUE_BYTES_MAX - HEAD_BYTES_MAX;

const TWO_32 = 2 ** 32;

export function typeOf(record: Uint8Array): RecordType {
  const type = record[0]! & ~HAS_DEADLINE;
  assert(
    type === TYPE_STRING || type === TYPE_PACKED_HASH || type === TYPE_LARGE_HASH,
    `a record of a key has a known type, not ${type}`,
  );
  return type;
}

/** When the key expires, in milliseconds since 1970, or NO_DEADLINE. */
export function deadlineOf(record: Uint8Array): number {
  if ((record[0]! & HAS_DEADLINE) === 0) return NO_DEADLINE;
  return readWord(record, 1) + readWord(record, 5) * TWO_32;
}

/** The same of a record that may not be there. */
export function deadlineIn(record: Uint8Array | null): number {
  return record === null ? NO_DEADLINE : deadlineOf(record);
}

/** Where the content of a record begins. */
export function contentStart(record: Uint8Array): number {
  return (record[0]! & HAS_DEADLINE) === 0 ? 1 : HEAD_BYTES_MAX;
}

/** Writes type and deadline to the start of `target`, and returns where the content goes. */
export function writeHead(target: Uint8Array, type: RecordType, deadline: number): number {
  if (deadline === NO_DEADLINE) {
    target[0] = type;
    return 1;
  }
  assert(deadline > 0 && deadline <= DEADLINE_MAX, `a deadline is 1 to 2^53-1, got ${deadline}`);
  target[0] = type | HAS_DEADLINE;
  writeWord(target, 1, deadline % TWO_32);
  writeWord(target, 5, Math.floor(deadline / TWO_32));
  return HEAD_BYTES_MAX;
}

export function isUserKey(stateKey: Uint8Array): boolean {
  return stateKey[0] === PREFIX_KEY;
}

/** The key of the state for a user's key, in memory of its own. */
export function stateKeyOf(userKey: Uint8Array): Uint8Array {
  const key = new Uint8Array(1 + userKey.length);
  key[0] = PREFIX_KEY;
  key.set(userKey, 1);
  return key;
}

/** The user's key in a key of the state that begins with PREFIX_KEY. */
export function userKeyOf(stateKey: Uint8Array): Uint8Array {
  return stateKey.subarray(1);
}

/**
 * Memory for one record at a time, used again: the state copies what it is given. Holds until the next call.
 */
export function scratch(bytes: number): Uint8Array {
  if (bytes > SCRATCH_KEPT_MAX) return new Uint8Array(bytes);
  if (bytes > shared.length) shared = new Uint8Array(Math.max(bytes, shared.length * 2));
  return shared;
}

const SCRATCH_KEPT_MAX = 1024 * 1024;
let shared = new Uint8Array(4096);

/** A record of `type` with this content. Holds until the next `scratch`. */
export function recordOf(type: RecordType, deadline: number, content: Uint8Array): Uint8Array {
  const record = scratch(HEAD_BYTES_MAX + content.length);
  const start = writeHead(record, type, deadline);
  record.set(content, start);
  return record.subarray(0, start + content.length);
}

export function readWord(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

export function writeWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word;
  bytes[at + 1] = word >>> 8;
  bytes[at + 2] = word >>> 16;
  bytes[at + 3] = word >>> 24;
}
