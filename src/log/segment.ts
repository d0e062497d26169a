/**
 * Segments: the header of a log file, its name, and where it stands in the chain (docs/format.md §2.1).
 *
 * A segment's header names the segment before it, where that one ends, and the checksum of its last record.
 * The end of a segment is thus decided by its successor, never by its own bytes: what an older segment holds
 * beyond that offset (a torn batch, a truncated suffix) is dead without having been overwritten.
 *
 *     offset  0        8         10      12         16         24           32          48       56
 *             +--------+---------+-------+----------+----------+------------+-----------+--------+---
 *             | magic  | version | zero  | timeline | sequence | firstIndex | clusterId | nodeId | …
 *             +--------+---------+-------+----------+----------+------------+-----------+--------+---
 *             56            64   72           80            84            88             96
 *          ---+-------------+----+------------+-------------+-------------+--------------+---
 *             | incarnation | id | previousId | previousEnd | previousCrc | previousTerm | …
 *          ---+-------------+----+------------+-------------+-------------+--------------+---
 *             96             104        108        124   128                4096
 *          ---+--------------+----------+----------+-----+------------------+
 *             | previousTime | provenTo | zero     | crc | zeros            | records …
 *          ---+--------------+----------+----------+-----+------------------+
 *
 * Invariants:
 *  - A file has its final name only after header and copied records are durable (written aside, synced,
 * renamed).
 *  - `sequence` grows with every segment created, so that after a crash in the middle of a truncation the
 *    newest decides.
 *  - Records up to `provenTo` were durable before the file had its name.
 *
 * Pure: no I/O.
 */

import { assert } from '../base/assert.ts';
import { bufferOf, isZero, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { type Index, type Term, type Timeline, toIndex, toTerm, toTimeline } from '../base/positions.ts';
import { BLOCK_BYTES } from './record.ts';

export const SEGMENT_VERSION = 1;

/** Header and its padding: records start here. */
export const SEGMENT_HEADER_BYTES = BLOCK_BYTES;

const MAGIC = Buffer.from('TIDEMLOG', 'latin1');
const CHECKED_BYTES = 124;
const ID_BYTES = 8;

/** Who a file belongs to. A file of another cluster, node or incarnation is refused. */
export interface Identity {
  /** 16 random bytes in hexadecimal, drawn when the cluster was made. */
  readonly clusterId: string;
  /** From 1. */
  readonly nodeId: number;
  /** From 1; grows when a node loses its disk and comes back. */
  readonly incarnation: number;
}

export interface SegmentHeader extends Identity {
  readonly timeline: Timeline;
  /** From 1; the order in which the segments were created. */
  readonly sequence: number;
  /** Index of the first entry that is, or will be, in this segment. */
  readonly firstIndex: Index;
  /** 8 random bytes in hexadecimal. */
  readonly id: string;
  /** Id of the segment before; zeros when there is none. */
  readonly previousId: string;
  /** Where the segment before ends, in bytes; 0 when there is none. */
  readonly previousEnd: number;
  /** headerCrc of the last record before this segment; 0 when there is none. */
  readonly previousCrc: number;
  /** Term of the last entry before this segment. */
  readonly previousTerm: Term;
  /** Time of the last entry before this segment. */
  readonly previousTime: number;
  /** Records up to this offset are proven durable by the existence of the file under its name. */
  readonly provenTo: number;
}

export const NO_SEGMENT = '0'.repeat(2 * ID_BYTES);

export type DecodedSegmentHeader =
  | { readonly kind: 'header'; readonly header: SegmentHeader }
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'invalid'; readonly reason: 'short' | 'magic' | 'checksum' | 'field' };

/** The header block of a segment: SEGMENT_HEADER_BYTES, most of them zero. */
export function encodeSegmentHeader(header: SegmentHeader): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  const view = viewOf(bytes);
  bytes.set(MAGIC, 0);
  view.setUint16(8, SEGMENT_VERSION, true);
  view.setUint32(12, header.timeline, true);
  writeU64(view, 16, header.sequence);
  writeU64(view, 24, header.firstIndex);
  writeHex(bytes, 32, header.clusterId, 16);
  writeU64(view, 48, header.nodeId);
  writeU64(view, 56, header.incarnation);
  writeHex(bytes, 64, header.id, ID_BYTES);
  writeHex(bytes, 72, header.previousId, ID_BYTES);
  view.setUint32(80, header.previousEnd, true);
  view.setUint32(84, header.previousCrc, true);
  writeU64(view, 88, header.previousTerm);
  writeU64(view, 96, header.previousTime);
  view.setUint32(104, header.provenTo, true);
  view.setUint32(CHECKED_BYTES, crc32c(bytes.subarray(0, CHECKED_BYTES)), true);
  return bytes;
}

/** Decodes and checks a header block. Never throws on bad bytes. */
export function decodeSegmentHeader(bytes: Uint8Array): DecodedSegmentHeader {
  if (bytes.length < SEGMENT_HEADER_BYTES) return { kind: 'invalid', reason: 'short' };
  const view = viewOf(bytes);
  if (!bufferOf(bytes).subarray(0, MAGIC.length).equals(MAGIC)) return { kind: 'invalid', reason: 'magic' };
  if (crc32c(bytes.subarray(0, CHECKED_BYTES)) !== view.getUint32(CHECKED_BYTES, true)) {
    return { kind: 'invalid', reason: 'checksum' };
  }
  const version = view.getUint16(8, true);
  if (version > SEGMENT_VERSION) return { kind: 'newer', version };

  const numbers = [16, 24, 48, 56, 88, 96].map((offset) => readU64(view, offset));
  const [sequence, firstIndex, nodeId, incarnation, previousTerm, previousTime] = numbers as number[];
  const timeline = view.getUint32(12, true);
  const hasPadding = view.getUint16(10, true) === 0 && isZero(bytes.subarray(108, CHECKED_BYTES));
  const isPadded = hasPadding && isZero(bytes.subarray(CHECKED_BYTES + 4, SEGMENT_HEADER_BYTES));
  const isSane = version === SEGMENT_VERSION && timeline > 0 && firstIndex !== 0 && sequence !== 0;
  if (numbers.includes(null) || !isSane || !isPadded) return { kind: 'invalid', reason: 'field' };
  return {
    kind: 'header',
    header: {
      timeline: toTimeline(timeline),
      sequence: sequence!,
      firstIndex: toIndex(firstIndex!),
      clusterId: readHex(bytes, 32, 16),
      nodeId: nodeId!,
      incarnation: incarnation!,
      id: readHex(bytes, 64, ID_BYTES),
      previousId: readHex(bytes, 72, ID_BYTES),
      previousEnd: view.getUint32(80, true),
      previousCrc: view.getUint32(84, true),
      previousTerm: toTerm(previousTerm!),
      previousTime: previousTime!,
      provenTo: view.getUint32(104, true),
    },
  };
}

/** What every header checksum of the segment starts from: its id, so that records of other segments fail. */
export function segmentSeed(header: SegmentHeader): number {
  return crc32c(Buffer.from(header.id, 'hex'));
}

/** `1-00000000000000000001.log`: timeline and first index, sorting in that order. */
export function segmentName(header: Pick<SegmentHeader, 'timeline' | 'firstIndex'>): string {
  return `${header.timeline}-${String(header.firstIndex).padStart(20, '0')}.log`;
}

export function isSegmentName(name: string): boolean {
  return /^\d+-\d{20}\.log$/.test(name);
}

function writeHex(bytes: Uint8Array, offset: number, hex: string, length: number): void {
  const decoded = Buffer.from(hex, 'hex');
  assert(decoded.length === length, `an id has ${length} bytes in hexadecimal, got ${hex}`);
  bytes.set(decoded, offset);
}

function readHex(bytes: Uint8Array, offset: number, length: number): string {
  return bufferOf(bytes)
    .subarray(offset, offset + length)
    .toString('hex');
}
