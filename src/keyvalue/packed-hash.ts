/**
 * A small hash, whole in the record of its key: fields in the order in which they came.
 *
 *     content   +-------+--------------+-------+--------------+-------+---
 *               | count | field length | field | value length | value | …
 *               +-------+--------------+-------+--------------+-------+---
 *     bytes       1       2                      2
 *
 * Rewriting it takes less than the two records that a field of a large hash has, as long as it is small: see
 * PACKED_BYTES_MAX. Integers are little-endian.
 */

import { bufferOf } from '../base/bytes.ts';
import { contentStart, HEAD_BYTES_MAX, scratch, TYPE_PACKED_HASH, writeHead } from './layout.ts';

/** Fields of a packed hash: the count has one byte, and finding one looks at all. */
export const PACKED_FIELDS_MAX = 64;

/** Fields, values and lengths. With its head the record fits a leaf of the tree (docs/format.md §6.2). */
export const PACKED_BYTES_MAX = 1000;

const LENGTH_BYTES = 2;
const COUNT_BYTES = 1;

/** Where a field and its value stand in a record. */
export interface PackedEntry {
  /** Of the field's length. */
  readonly start: number;
  readonly fieldStart: number;
  readonly fieldEnd: number;
  readonly valueStart: number;
  /** Of the value, and of the entry. */
  readonly end: number;
}

export function packedCount(record: Uint8Array): number {
  return record[contentStart(record)]!;
}

/** The entry of a field, or null. */
export function findPacked(record: Uint8Array, field: Uint8Array): PackedEntry | null {
  for (const entry of packedEntries(record)) {
    if (isFieldAt(record, entry, field)) return entry;
  }
  return null;
}

export function packedEntries(record: Uint8Array): PackedEntry[] {
  const entries: PackedEntry[] = [];
  for (let at = contentStart(record) + COUNT_BYTES; at < record.length; ) {
    const fieldStart = at + LENGTH_BYTES;
    const fieldEnd = fieldStart + readLength(record, at);
    const valueStart = fieldEnd + LENGTH_BYTES;
    const end = valueStart + readLength(record, fieldEnd);
    entries.push({ start: at, fieldStart, fieldEnd, valueStart, end });
    at = end;
  }
  return entries;
}

/** A hash without fields, for its first. */
export function emptyPacked(deadline: number): Uint8Array {
  const record = new Uint8Array(HEAD_BYTES_MAX + COUNT_BYTES);
  const start = writeHead(record, TYPE_PACKED_HASH, deadline);
  return record.subarray(0, start + COUNT_BYTES);
}

/**
 * The record with one field set, where `entry` is what it has of it; null when it would be too large. In
 * `scratch`; `record` must not be.
 */
export function withField(
  record: Uint8Array,
  entry: PackedEntry | null,
  field: Uint8Array,
  value: Uint8Array,
): Uint8Array | null {
  const content = contentStart(record);
  const count = record[content]! + (entry === null ? 1 : 0);
  const kept = record.length - (entry === null ? 0 : entry.end - entry.start);
  const entryBytes = 2 * LENGTH_BYTES + field.length + value.length;
  if (count > PACKED_FIELDS_MAX || kept + entryBytes > PACKED_BYTES_MAX) return null;
  const made = scratch(kept + entryBytes);
  const before = entry === null ? record.length : entry.start;
  made.set(record.subarray(0, before), 0);
  made[content] = count;
  let at = writePart(made, before, field);
  at = writePart(made, at, value);
  if (entry !== null) made.set(record.subarray(entry.end), at);
  return made.subarray(0, kept + entryBytes);
}

/** The record without a field that it has. In `scratch`. */
export function withoutField(record: Uint8Array, entry: PackedEntry): Uint8Array {
  const bytes = record.length - (entry.end - entry.start);
  const made = scratch(bytes);
  made.set(record.subarray(0, entry.start), 0);
  made.set(record.subarray(entry.end), entry.start);
  made[contentStart(record)]!--;
  return made.subarray(0, bytes);
}

export function fieldOfPacked(record: Uint8Array, entry: PackedEntry): Uint8Array {
  return record.subarray(entry.fieldStart, entry.fieldEnd);
}

export function valueOfPacked(record: Uint8Array, entry: PackedEntry): Uint8Array {
  return record.subarray(entry.valueStart, entry.end);
}

function isFieldAt(record: Uint8Array, entry: PackedEntry, field: Uint8Array): boolean {
  if (entry.fieldEnd - entry.fieldStart !== field.length) return false;
  return bufferOf(record).compare(field, 0, field.length, entry.fieldStart, entry.fieldEnd) === 0;
}

function writePart(target: Uint8Array, at: number, part: Uint8Array): number {
  target[at] = part.length;
  target[at + 1] = part.length >>> 8;
  target.set(part, at + LENGTH_BYTES);
  return at + LENGTH_BYTES + part.length;
}

function readLength(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}
