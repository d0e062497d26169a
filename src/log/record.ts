/**
 * Record framing: how one record becomes bytes in a segment, and back (docs/format.md §2.2).
 *
 *     offset  0        4      5       6      8        12         16      24     32     40         44
 *             +--------+------+-------+------+--------+----------+-------+------+------+----------+---
 *             | magic  | type | flags | zero | length | timeline | index | term | time | syncedTo | …
 *             +--------+------+-------+------+--------+----------+-------+------+------+----------+---
 *             44         48        52          56
 *          ---+----------+---------+-----------+---------------+---------------------+
 *             | previous | bodyCrc | headerCrc | body (length) | zeros to 8, or 4096 |
 *          ---+----------+---------+-----------+---------------+---------------------+
 *
 * All integers are little-endian. `headerCrc` is CRC32C over the segment's random id and bytes 0 to 51, so
 * that bytes of another segment, or bytes that a user put into a value, never pass for a record of this one.
 *
 * Invariants:
 *  - `previous` is the headerCrc of the record before, across segments: a record proves its whole past.
 *  - Everything before byte `syncedTo` of the segment was durable when the record was written. A record
 *    beyond a damaged one therefore tells whether the damage can come from a crash (log/recover.ts).
 *  - One write to the disk is one batch. It starts on a block of its own, so that a write in flight never
 *    touches a block with durable bytes, and its last record has the flag `batchEnd`.
 *  - Padding is zero, and is checked.
 *
 * Pure: no I/O, no clock. Sources: LevelDB log_format.md; Alagappan et al., "Protocol-Aware Recovery",
 * FAST'18.
 */

import { assert } from '../base/assert.ts';
import { alignUp, isZero, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { type Index, type Term, type Timeline, toIndex, toTerm, toTimeline } from '../base/positions.ts';

export const RECORD_HEADER_BYTES = 56;

/** Batches start on multiples of this: the largest sector that disks in use write as one. */
export const BLOCK_BYTES = 4096;

/** Records inside a batch start on multiples of this. */
export const RECORD_ALIGNMENT_BYTES = 8;

/** Longest body. A length field above it is damage, so no reader allocates on faith. */
export const BODY_BYTES_MAX = 64 * 1024 * 1024;

/** "TMR1" in the order of the file. */
export const RECORD_MAGIC = Buffer.from('TMR1', 'latin1');
const RECORD_MAGIC_U32 = viewOf(RECORD_MAGIC).getUint32(0, true);

const FLAG_BATCH_END = 1;

/**
 * What a record holds. The numbers are on disk.
 * - `commands`: an entry, a batch of commands.
 * - `activation`: an entry, from which on another version of the machine applies what comes.
 * - `rewind`: an entry, a part of what turns the state back into an earlier one.
 * - `mark`: nothing; it proves that everything before it is durable. It takes the index of the entry before.
 */
const RECORD_TYPES = { commands: 1, mark: 2, activation: 3, rewind: 4 } as const;

export type RecordType = keyof typeof RECORD_TYPES;

/** What has an index of its own. */
export type EntryType = Exclude<RecordType, 'mark'>;

const TYPE_NAMES: Readonly<Record<number, RecordType>> = {
  1: 'commands',
  2: 'mark',
  3: 'activation',
  4: 'rewind',
};

/** The fields of a record that its writer chooses. */
export interface RecordFields {
  readonly type: RecordType;
  readonly timeline: Timeline;
  readonly index: Index;
  /** Raft's term or PBFT's view; 0 when one process orders. */
  readonly term: Term;
  /** Time of the proposal, in milliseconds since 1970. */
  readonly time: number;
  /** Bytes from the start of the segment that were durable when this was written. */
  readonly syncedTo: number;
  /** headerCrc of the record before. */
  readonly previous: number;
  readonly isBatchEnd: boolean;
}

export interface RecordHeader extends RecordFields {
  /** Length of the body in bytes. */
  readonly length: number;
  readonly bodyCrc: number;
  readonly headerCrc: number;
}

export type DecodedHeader =
  | { readonly kind: 'header'; readonly header: RecordHeader }
  /** Zeros where a header would be: nothing was written here. */
  | { readonly kind: 'end' }
  | { readonly kind: 'invalid'; readonly reason: 'short' | 'magic' | 'checksum' | 'field' };

/**
 * Writes the header at `offset` of `target`; the body already stands behind it.
 * @param seed The segment's seed: see `segmentSeed`.
 * @returns headerCrc, which the next record names as `previous`.
 */
export function encodeHeader(
  target: Uint8Array,
  offset: number,
  fields: RecordFields,
  length: number,
  seed: number,
): number {
  assert(length <= BODY_BYTES_MAX, `a body has at most ${BODY_BYTES_MAX} bytes, got ${length}`);
  assert(offset + RECORD_HEADER_BYTES + length <= target.length, 'the record fits its buffer');
  const body = target.subarray(offset + RECORD_HEADER_BYTES, offset + RECORD_HEADER_BYTES + length);
  const header = target.subarray(offset, offset + RECORD_HEADER_BYTES);
  const view = viewOf(header);
  view.setUint32(0, RECORD_MAGIC_U32, true);
  view.setUint8(4, RECORD_TYPES[fields.type]);
  view.setUint8(5, fields.isBatchEnd ? FLAG_BATCH_END : 0);
  view.setUint16(6, 0, true);
  view.setUint32(8, length, true);
  view.setUint32(12, fields.timeline, true);
  writeU64(view, 16, fields.index);
  writeU64(view, 24, fields.term);
  writeU64(view, 32, fields.time);
  view.setUint32(40, fields.syncedTo, true);
  view.setUint32(44, fields.previous, true);
  view.setUint32(48, crc32c(body), true);
  const headerCrc = crc32c(header.subarray(0, 52), seed);
  view.setUint32(52, headerCrc, true);
  return headerCrc;
}

/**
 * Decodes and checks the header at `offset`. Never throws on bad bytes: each way they can be wrong is a
 * value.
 */
export function decodeHeader(bytes: Uint8Array, offset: number, seed: number): DecodedHeader {
  assert(offset >= 0 && offset <= bytes.length, `offset ${offset} outside ${bytes.length} bytes`);
  if (bytes.length - offset < RECORD_HEADER_BYTES) return { kind: 'invalid', reason: 'short' };
  const header = bytes.subarray(offset, offset + RECORD_HEADER_BYTES);
  const view = viewOf(header);
  const magic = view.getUint32(0, true);
  if (magic !== RECORD_MAGIC_U32) {
    return magic === 0 && isZero(header) ? { kind: 'end' } : { kind: 'invalid', reason: 'magic' };
  }
  const headerCrc = view.getUint32(52, true);
  if (crc32c(header.subarray(0, 52), seed) !== headerCrc) return { kind: 'invalid', reason: 'checksum' };

  const type = TYPE_NAMES[view.getUint8(4)];
  const flags = view.getUint8(5);
  const length = view.getUint32(8, true);
  const timeline = view.getUint32(12, true);
  const index = readU64(view, 16);
  const term = readU64(view, 24);
  const time = readU64(view, 32);
  const isSane =
    type !== undefined &&
    flags <= FLAG_BATCH_END &&
    view.getUint16(6, true) === 0 &&
    length <= BODY_BYTES_MAX;
  if (!isSane || timeline === 0 || index === null || term === null || time === null) {
    return { kind: 'invalid', reason: 'field' };
  }
  return {
    kind: 'header',
    header: {
      type,
      timeline: toTimeline(timeline),
      index: toIndex(index),
      term: toTerm(term),
      time,
      syncedTo: view.getUint32(40, true),
      previous: view.getUint32(44, true),
      isBatchEnd: flags === FLAG_BATCH_END,
      length,
      bodyCrc: view.getUint32(48, true),
      headerCrc,
    },
  };
}

/** Where the bytes of a record that starts at `offset` end, padding not counted. */
export function bodyEnd(offset: number, length: number): number {
  return offset + RECORD_HEADER_BYTES + length;
}

/** Where the record after it starts. */
export function recordEnd(offset: number, length: number, isBatchEnd: boolean): number {
  return alignUp(bodyEnd(offset, length), isBatchEnd ? BLOCK_BYTES : RECORD_ALIGNMENT_BYTES);
}
