/**
 * Whether bytes can be a record of the state (docs/format.md §8), looked at by itself. What records say of
 * each other, as the head of a large hash of its fields, is up to who makes them.
 */

import { readU64, viewOf } from '../base/bytes.ts';
import {
  contentStart,
  deadlineOf,
  HEAD_BYTES_MAX,
  NO_DEADLINE,
  PREFIX_COUNTS,
  PREFIX_FIELD,
  PREFIX_FIELD_SLOT,
  PREFIX_KEY,
  PREFIX_SESSION,
  PREFIX_SESSION_SLOT,
  TYPE_LARGE_HASH,
  TYPE_PACKED_HASH,
  TYPE_STRING,
} from './layout.ts';
import { PACKED_FIELDS_MAX } from './packed-hash.ts';

const U64_BYTES = 8;
const COUNTS_BYTES = 4 * U64_BYTES;
const SESSION_HEAD_BYTES = 3 * U64_BYTES;
const SESSION_SLOT_KEY_BYTES = 5;
const LARGE_HEAD_BYTES = 3 * U64_BYTES;
const FIELD_KEY_BYTES_MIN = 9;
const SLOT_KEY_BYTES = 13;
const SLOT_BYTES = 4;
const HAS_DEADLINE = 1;

/** @param key Of the state, with its prefix. */
export function isRecord(key: Uint8Array, value: Uint8Array): boolean {
  switch (key[0]) {
    case PREFIX_COUNTS:
      return key.length === 1 && value.length === COUNTS_BYTES && hasNumbers(value, 4);
    case PREFIX_SESSION_SLOT:
      return key.length === SESSION_SLOT_KEY_BYTES;
    case PREFIX_SESSION:
      return value.length > SESSION_HEAD_BYTES && hasNumbers(value, 3);
    case PREFIX_KEY:
      return isUserRecord(value);
    case PREFIX_FIELD:
      return key.length >= FIELD_KEY_BYTES_MIN && value.length >= SLOT_BYTES;
    case PREFIX_FIELD_SLOT:
      return key.length === SLOT_KEY_BYTES;
    default:
      return false;
  }
}

/** Whether a record of a user's key is the head of a large hash. */
export function isLargeHead(value: Uint8Array): boolean {
  return (value[0]! & ~HAS_DEADLINE) === TYPE_LARGE_HASH;
}

function isUserRecord(value: Uint8Array): boolean {
  const type = (value[0] ?? 0) & ~HAS_DEADLINE;
  const isKnown = type === TYPE_STRING || type === TYPE_PACKED_HASH || type === TYPE_LARGE_HASH;
  if (!isKnown) return false;
  if ((value[0]! & HAS_DEADLINE) !== 0) {
    if (value.length < HEAD_BYTES_MAX) return false;
    const deadline = deadlineOf(value);
    if (deadline === NO_DEADLINE || !Number.isSafeInteger(deadline)) return false;
  }
  const content = value.subarray(contentStart(value));
  if (type === TYPE_PACKED_HASH) return isPacked(content);
  return type === TYPE_STRING || isHeadContent(content);
}

/** Number, count and version; one without fields is none. */
function isHeadContent(content: Uint8Array): boolean {
  if (content.length !== LARGE_HEAD_BYTES || !hasNumbers(content, 3)) return false;
  return readU64(viewOf(content), U64_BYTES) !== 0;
}

/** Count, then for each field two strings with their lengths. */
function isPacked(content: Uint8Array): boolean {
  const count = content[0] ?? 0;
  if (count === 0 || count > PACKED_FIELDS_MAX) return false;
  let at = 1;
  for (let string = 0; string < 2 * count; string++) {
    if (at + 2 > content.length) return false;
    at += 2 + (content[at]! | (content[at + 1]! << 8));
  }
  return at === content.length;
}

function hasNumbers(bytes: Uint8Array, count: number): boolean {
  const view = viewOf(bytes);
  for (let at = 0; at < count; at++) if (readU64(view, at * U64_BYTES) === null) return false;
  return true;
}
