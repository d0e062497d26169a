/**
 * Batch buffer: the records of the next write, laid out as they will stand on the disk.
 *
 * Reused from batch to batch, so that the hot path allocates nothing. Headers are written last, by `seal`:
 * only then is known which segment the batch goes to and what is durable before it.
 */

import { assert } from '../base/assert.ts';
import { alignUp } from '../base/bytes.ts';
import type { Index, Term, Timeline } from '../base/positions.ts';
import { BLOCK_BYTES, encodeHeader, RECORD_HEADER_BYTES, type RecordType, recordEnd } from './record.ts';
import type { ReaderPosition } from './segment-reader.ts';

const INITIAL_BYTES = 64 * 1024;

/** A buffer above this is given back after use: one huge batch must not hold memory for ever. */
const KEPT_BYTES_MAX = 16 * 1024 * 1024;

interface Draft {
  readonly type: RecordType;
  readonly index: Index;
  readonly term: Term;
  readonly time: number;
  readonly offset: number;
  readonly length: number;
}

export class BatchBuffer {
  /** How many commands its entries hold; counted by its owner. */
  commands = 0;
  #bytes = new Uint8Array(INITIAL_BYTES);
  #size = 0;
  readonly #drafts: Draft[] = [];
  #hasEntries = false;

  get isEmpty(): boolean {
    return this.#drafts.length === 0;
  }

  /** Bytes the batch takes on the disk. */
  get diskBytes(): number {
    return alignUp(this.#size, BLOCK_BYTES);
  }

  /**
   * Bytes that must be free in its segment: those of the batch, and behind entries a block for the mark that
   * proves them, so that no batch has to wait for the next one to be proven.
   */
  get roomBytes(): number {
    return this.diskBytes + (this.#hasEntries ? BLOCK_BYTES : 0);
  }

  /** Copies a body behind the records so far. */
  add(type: RecordType, index: Index, term: Term, time: number, body: Uint8Array): void {
    const offset = this.#size;
    const end = recordEnd(offset, body.length, false);
    this.#reserve(alignUp(end, BLOCK_BYTES));
    this.#bytes.set(body, offset + RECORD_HEADER_BYTES);
    this.#bytes.fill(0, offset + RECORD_HEADER_BYTES + body.length, end);
    this.#drafts.push({ type, index, term, time, offset, length: body.length });
    this.#hasEntries ||= type !== 'mark';
    this.#size = end;
  }

  /**
   * Writes the headers and the padding, for a batch that starts at `start.offset` of its segment, of which
   * the first `syncedTo` bytes are durable.
   * @returns The bytes to write, valid until `clear`, and where the next batch goes.
   */
  seal(
    start: ReaderPosition,
    syncedTo: number,
    timeline: Timeline,
    seed: number,
  ): { bytes: Uint8Array; end: ReaderPosition } {
    assert(start.offset % BLOCK_BYTES === 0, `a batch starts on a block, not at ${start.offset}`);
    assert(syncedTo <= start.offset, `what is durable, ${syncedTo}, was written, up to ${start.offset}`);
    const size = this.diskBytes;
    this.#bytes.fill(0, this.#size, size);
    let previousCrc = start.previousCrc;
    let at = 0;
    // Written out: a spread costs more than the rest of a short record.
    for (const { type, index, term, time, offset, length } of this.#drafts) {
      const isBatchEnd = ++at === this.#drafts.length;
      const fields = {
        type,
        timeline,
        index,
        term,
        time,
        syncedTo,
        previous: previousCrc,
        isBatchEnd,
      };
      previousCrc = encodeHeader(this.#bytes, offset, fields, length, seed);
    }
    const last = this.#drafts.at(-1);
    if (last === undefined) return { bytes: this.#bytes.subarray(0, 0), end: start };
    const end: ReaderPosition = {
      offset: start.offset + size,
      previousCrc,
      previousIndex: last.index,
      previousTerm: last.term,
      previousTime: last.time,
    };
    return { bytes: this.#bytes.subarray(0, size), end };
  }

  clear(): void {
    this.#drafts.length = 0;
    this.commands = 0;
    this.#hasEntries = false;
    this.#size = 0;
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#bytes = new Uint8Array(INITIAL_BYTES);
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(bytes, 2 * this.#bytes.length));
    grown.set(this.#bytes.subarray(0, this.#size));
    this.#bytes = grown;
  }
}
