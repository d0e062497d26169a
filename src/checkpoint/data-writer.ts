/**
 * Writes the nodes of a checkpoint into a new `.data` file: copied into a few buffers that are used again and
 * again, several writes in flight, at offsets that never overlap.
 *
 * Synced every few MiB: otherwise a sync of the log would have to wait behind all that is dirty. After a
 * write or sync that failed nothing is written any more, and nothing is tried again: the file is to be
 * removed.
 */

import { assert } from '../base/assert.ts';
import { alignUp } from '../base/bytes.ts';
import { PLACE_ALIGN_BYTES, type Unstored } from '../state/stored.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { FILE_BYTES_MAX } from './checkpoint-info.ts';
import { ChunkSums } from './chunk-checks.ts';
import { type DataHeader, encodeDataHeader } from './data-header.ts';
import { encodeRecordHead, RECORD_HEAD_BYTES_MAX, recordBytes, recordSeed } from './node-record.ts';

/** Written between two syncs. */
const SYNC_BYTES = 8 * 1024 * 1024;

export interface DataWriterOptions {
  /** Writes in flight. */
  readonly loadConcurrency: number;
  readonly bufferBytes: number;
}

/** A buffer on its way into the file. */
interface FilledBuffer {
  readonly bytes: Uint8Array;
  readonly offset: number;
}

export class DataWriter {
  readonly #file: File;
  readonly #options: DataWriterOptions;
  readonly #seed: number;
  readonly #sums = new ChunkSums();
  readonly #head = new Uint8Array(RECORD_HEAD_BYTES_MAX);
  readonly #free: Uint8Array[] = [];

  /** The buffer being filled, how far, and where it will stand in the file. */
  #buffer: Uint8Array;
  #filled = 0;
  #bufferOffset = 0;

  readonly #queue: FilledBuffer[] = [];
  /** The writing that goes on; never rejects. */
  #draining: Promise<void> | null = null;
  #failure: { readonly error: unknown } | null = null;
  #unsyncedBytes = 0;
  #waiting: (() => void)[] = [];

  private constructor(file: File, header: DataHeader, options: DataWriterOptions) {
    this.#file = file;
    this.#options = options;
    this.#seed = recordSeed(header.id);
    this.#buffer = new Uint8Array(options.bufferBytes);
    this.#copy(encodeDataHeader(header));
  }

  static async create(
    at: { readonly fs: FileSystem; readonly path: string },
    header: DataHeader,
    options: DataWriterOptions,
  ): Promise<DataWriter> {
    return new DataWriter(await at.fs.open(at.path, 'create'), header, options);
  }

  /** Where the next record will be. */
  get offset(): number {
    return this.#bufferOffset + this.#filled;
  }

  /** Whether so much waits to be written that `room` should be awaited before the next record. */
  get isFull(): boolean {
    return this.#failure !== null || this.#queue.length >= this.#options.loadConcurrency;
  }

  /** Resolves when there is room; rejects when writing has failed. */
  async room(): Promise<void> {
    while (this.#failure === null && this.isFull) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    this.#throwFailure();
  }

  /** Copies a record behind the last one; returns its offset. */
  append(node: Pick<Unstored, 'kind' | 'bytes' | 'places'>): number {
    const { offset } = this;
    const length = recordBytes(node.places.length, node.bytes.length);
    assert(offset + length <= FILE_BYTES_MAX, `a data file has at most ${FILE_BYTES_MAX} bytes`);
    const headBytes = encodeRecordHead(this.#head, node, { offset, seed: this.#seed });
    this.#copy(this.#head.subarray(0, headBytes));
    this.#copy(node.bytes);
    this.#pad();
    return offset;
  }

  /** Ends the file; durable when it resolves. Returns its size and checksums. */
  async end(): Promise<{ readonly bytes: number; readonly chunks: string }> {
    const bytes = this.offset;
    this.#handOver();
    await this.#draining;
    this.#throwFailure();
    await this.#file.sync();
    return { bytes, chunks: this.#sums.end() };
  }

  /** Closes the file, whatever has become of it. */
  async close(): Promise<void> {
    await this.#draining;
    await this.#file.close();
  }

  #pad(): void {
    const padding = alignUp(this.offset, PLACE_ALIGN_BYTES) - this.offset;
    if (padding > 0) this.#copy(NO_PADDING.subarray(0, padding));
  }

  #copy(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + this.#buffer.length - this.#filled);
      this.#buffer.set(bytes.subarray(at, end), this.#filled);
      this.#filled += end - at;
      at = end;
      if (this.#filled === this.#buffer.length) this.#handOver();
    }
  }

  /** Gives the filled part of the buffer to the writing, and goes on with another. */
  #handOver(): void {
    if (this.#filled === 0) return;
    const bytes = this.#buffer.subarray(0, this.#filled);
    this.#sums.add(bytes);
    this.#queue.push({ bytes, offset: this.#bufferOffset });
    this.#bufferOffset += this.#filled;
    this.#filled = 0;
    this.#buffer = this.#free.pop() ?? new Uint8Array(this.#options.bufferBytes);
    this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    try {
      while (this.#queue.length > 0) await this.#writeSome();
    } catch (error) {
      this.#failure = { error };
      this.#queue.length = 0;
    }
    this.#draining = null;
    this.#wake();
  }

  async #writeSome(): Promise<void> {
    const some = this.#queue.splice(0, this.#options.loadConcurrency);
    this.#wake();
    const writes = some.map(({ bytes, offset }) => this.#file.write(bytes, offset));
    // All are waited for before one that failed is looked at: a buffer in flight is nobody else's.
    const results = await Promise.allSettled(writes);
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    for (const { bytes } of some) {
      this.#unsyncedBytes += bytes.length;
      if (this.#free.length <= this.#options.loadConcurrency) this.#free.push(new Uint8Array(bytes.buffer));
    }
    if (this.#unsyncedBytes < SYNC_BYTES) return;
    this.#unsyncedBytes = 0;
    await this.#file.syncData();
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #throwFailure(): void {
    if (this.#failure !== null) throw this.#failure.error;
  }
}

const NO_PADDING = new Uint8Array(PLACE_ALIGN_BYTES);
