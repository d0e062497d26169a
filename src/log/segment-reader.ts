/**
 * Reads one segment record by record, verifying everything: checksums, chain, order, padding.
 *
 * Every read of the log goes through here: recovery, replay, replication, backup, `verify`. A record that
 * does not follow from the one before is never handed out.
 */

import { assert } from '../base/assert.ts';
import { isZero } from '../base/bytes.ts';
import { crc32c } from '../base/crc32c.ts';
import { type Index, nextIndex, previousIndex, type Term } from '../base/positions.ts';
import type { File } from '../storage/file-system.ts';
import { readToEnd } from './read-to-end.ts';
import {
  BODY_BYTES_MAX,
  bodyEnd,
  decodeHeader,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  recordEnd,
} from './record.ts';
import { SEGMENT_HEADER_BYTES, type SegmentHeader, segmentSeed } from './segment.ts';

/** Bytes fetched by one read; a longer record fetches its own length. */
const WINDOW_BYTES = 1024 * 1024;

/** One verified record. */
export interface LogRecord extends RecordHeader {
  /** Where the record starts in its segment, in bytes. */
  readonly offset: number;
  /** Where the next one starts. */
  readonly endOffset: number;
  /** A view that holds until the next read. */
  readonly body: Uint8Array;
}

export type ReadStep =
  | { readonly kind: 'record'; readonly record: LogRecord }
  /** Nothing was written at `offset`, or the segment ends there. */
  | { readonly kind: 'end'; readonly offset: number }
  | { readonly kind: 'invalid'; readonly offset: number; readonly reason: InvalidReason };

/**
 * Why a record cannot be trusted.
 * - `short`: the file ends inside it. `magic`, `checksum`, `field`, `body`, `padding`: its bytes are wrong.
 * - `chain`: it is intact, but does not follow the record before it: left over from an earlier life.
 * - `order`: it is intact and follows, but its index, term or time does not: its writer was wrong.
 */
export type InvalidReason = 'short' | 'magic' | 'checksum' | 'field' | 'body' | 'padding' | 'chain' | 'order';

/** Where in a segment a reader stands: what the next record must follow. */
export interface ReaderPosition {
  readonly offset: number;
  /** headerCrc of the record before. */
  readonly previousCrc: number;
  /** Index of the entry before. */
  readonly previousIndex: Index;
  readonly previousTerm: Term;
  readonly previousTime: number;
}

/** The start of a segment, as its header tells it. */
export function segmentStart(header: SegmentHeader): ReaderPosition {
  return {
    offset: SEGMENT_HEADER_BYTES,
    previousCrc: header.previousCrc,
    previousIndex: previousIndex(header.firstIndex),
    previousTerm: header.previousTerm,
    previousTime: header.previousTime,
  };
}

/** What the record after `record` must follow. */
export function positionAfter(record: LogRecord): ReaderPosition {
  return {
    offset: record.endOffset,
    previousCrc: record.headerCrc,
    previousIndex: record.index,
    previousTerm: record.term,
    previousTime: record.time,
  };
}

export class SegmentReader {
  readonly #file: File;
  readonly #header: SegmentHeader;
  readonly #seed: number;
  /** No record may reach beyond this offset; the file's size where the segment has no successor yet. */
  readonly #until: number;
  #position: ReaderPosition;
  #window: Uint8Array = new Uint8Array(0);
  #windowOffset = 0;

  /**
   * @param until Where the segment ends: what its successor says, or the size of the file.
   * @param from Where to start; by default at the first record.
   */
  constructor(file: File, header: SegmentHeader, until: number, from = segmentStart(header)) {
    this.#file = file;
    this.#header = header;
    this.#seed = segmentSeed(header);
    this.#until = until;
    this.#position = from;
  }

  /** What the next record must follow. */
  get position(): ReaderPosition {
    return this.#position;
  }

  /** The next record; after `end` or `invalid` it stays there. */
  async next(): Promise<ReadStep> {
    const { offset } = this.#position;
    if (offset >= this.#until) return { kind: 'end', offset: this.#until };
    let at = this.#atHand(offset, RECORD_HEADER_BYTES);
    if (at === null) at = await this.#fetch(offset, RECORD_HEADER_BYTES);
    const decoded = decodeHeader(this.#window, at, this.#seed);
    if (decoded.kind === 'end') return { kind: 'end', offset };
    if (decoded.kind === 'invalid') return { kind: 'invalid', offset, reason: decoded.reason };

    const { header } = decoded;
    assert(header.length <= BODY_BYTES_MAX, 'the length was checked');
    const endOffset = recordEnd(offset, header.length, header.isBatchEnd);
    if (bodyEnd(offset, header.length) > this.#until) return { kind: 'invalid', offset, reason: 'short' };
    const wanted = Math.min(endOffset, this.#until) - offset;
    at = this.#atHand(offset, wanted) ?? (await this.#fetch(offset, wanted));
    return this.#check(header, offset, endOffset, this.#window.subarray(at, at + wanted));
  }

  #check(header: RecordHeader, offset: number, endOffset: number, bytes: Uint8Array): ReadStep {
    const bodyStop = RECORD_HEADER_BYTES + header.length;
    if (bytes.length < bodyStop) return { kind: 'invalid', offset, reason: 'short' };
    const body = bytes.subarray(RECORD_HEADER_BYTES, bodyStop);
    if (crc32c(body) !== header.bodyCrc) return { kind: 'invalid', offset, reason: 'body' };
    if (!isZero(bytes.subarray(bodyStop))) return { kind: 'invalid', offset, reason: 'padding' };
    const before = this.#position;
    if (header.previous !== before.previousCrc) return { kind: 'invalid', offset, reason: 'chain' };
    if (!this.#isInOrder(header)) return { kind: 'invalid', offset, reason: 'order' };
    const record = { ...header, offset, endOffset, body };
    this.#position = positionAfter(record);
    return { kind: 'record', record };
  }

  #isInOrder(header: RecordHeader): boolean {
    const before = this.#position;
    const expected = header.type === 'mark' ? before.previousIndex : nextIndex(before.previousIndex);
    return (
      header.index === expected &&
      header.timeline === this.#header.timeline &&
      header.term >= before.previousTerm &&
      header.time >= before.previousTime &&
      header.syncedTo <= before.offset
    );
  }

  /** Where in the window `offset` stands, or null when the window does not hold `bytes` from there. */
  #atHand(offset: number, bytes: number): number | null {
    const at = offset - this.#windowOffset;
    return at >= 0 && at + bytes <= this.#window.length ? at : null;
  }

  /** Reads a window that starts at `offset`; it is shorter than `bytes` only where the segment ends. */
  async #fetch(offset: number, bytes: number): Promise<number> {
    const wanted = Math.min(Math.max(bytes, WINDOW_BYTES), this.#until - offset);
    const window = new Uint8Array(wanted);
    this.#window = window.subarray(0, await readToEnd(this.#file, window, offset));
    this.#windowOffset = offset;
    return 0;
  }
}
