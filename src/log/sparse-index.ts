/**
 * Sparse index: places inside a segment from which reading can start (docs/format.md §3).
 *
 * It stands beside a sealed segment as `.idx`, and is never trusted beyond its checksum and the record it
 * points to. It is written once, after the segment was sealed; when it is missing or wrong, reading starts at
 * the segment's first record. Losing it costs time only.
 *
 *     offset  0        4         8            16      20                  20 + 40 n
 *             +--------+---------+------------+-------+-------------------+-----+
 *             | magic  | version | segment id | count | n points of 40 B  | crc |
 *             +--------+---------+------------+-------+-------------------+-----+
 *
 * A point is a ReaderPosition: offset u64, previousIndex u64, previousTerm u64, previousTime u64,
 * previousCrc u32, zero u32. The CRC32C covers everything before it.
 */

import { bufferOf, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { type Index, toIndex, toTerm } from '../base/positions.ts';
import type { ReaderPosition } from './segment-reader.ts';

/** Distance between points, in bytes of segment. */
const STEP_BYTES = 128 * 1024;

const MAGIC = 0x58494d54; // "TMIX"
const VERSION = 1;
const HEADER_BYTES = 20;
const POINT_BYTES = 40;

export class SparseIndex {
  readonly #points: ReaderPosition[] = [];

  /** Offers a place between two batches; kept when it is far enough from the last one kept. */
  offer(position: ReaderPosition): void {
    const last = this.#points.at(-1);
    if (last === undefined || position.offset >= last.offset + STEP_BYTES) this.#points.push(position);
  }

  /** The last place from which a reader meets the entry at `index`; null when none is known. */
  before(index: Index): ReaderPosition | null {
    let low = 0;
    let high = this.#points.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#points[middle]!.previousIndex < index) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? null : this.#points[low - 1]!;
  }

  encode(segmentId: string): Uint8Array {
    const bytes = new Uint8Array(HEADER_BYTES + this.#points.length * POINT_BYTES + 4);
    const view = viewOf(bytes);
    view.setUint32(0, MAGIC, true);
    view.setUint32(4, VERSION, true);
    bytes.set(Buffer.from(segmentId, 'hex'), 8);
    view.setUint32(16, this.#points.length, true);
    this.#points.forEach((point, at) => {
      const offset = HEADER_BYTES + at * POINT_BYTES;
      writeU64(view, offset, point.offset);
      writeU64(view, offset + 8, point.previousIndex);
      writeU64(view, offset + 16, point.previousTerm);
      writeU64(view, offset + 24, point.previousTime);
      view.setUint32(offset + 32, point.previousCrc, true);
    });
    view.setUint32(bytes.length - 4, crc32c(bytes.subarray(0, bytes.length - 4)), true);
    return bytes;
  }

  /** The index in `bytes`, or null when it is damaged, of another segment or of another version. */
  static decode(bytes: Uint8Array, segmentId: string): SparseIndex | null {
    if (bytes.length < HEADER_BYTES + 4) return null;
    const view = viewOf(bytes);
    const count = view.getUint32(16, true);
    if (bytes.length !== HEADER_BYTES + count * POINT_BYTES + 4) return null;
    if (crc32c(bytes.subarray(0, bytes.length - 4)) !== view.getUint32(bytes.length - 4, true)) return null;
    if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== VERSION) return null;
    if (bufferOf(bytes).subarray(8, 16).toString('hex') !== segmentId) return null;
    const index = new SparseIndex();
    for (let at = 0; at < count; at++) {
      const point = decodePoint(view, HEADER_BYTES + at * POINT_BYTES);
      if (point === null) return null;
      index.#points.push(point);
    }
    return index;
  }
}

function decodePoint(view: DataView, offset: number): ReaderPosition | null {
  const [start, before, term, time] = [0, 8, 16, 24].map((field) => readU64(view, offset + field));
  if (start == null || before == null || term == null || time == null) return null;
  return {
    offset: start,
    previousIndex: toIndex(before),
    previousTerm: toTerm(term),
    previousTime: time,
    previousCrc: view.getUint32(offset + 32, true),
  };
}
