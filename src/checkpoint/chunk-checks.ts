/**
 * Chunk checksums of data files: computed while a file is written, held against it when it is read.
 *
 * Several reads are in flight: each lane reads one chunk, a buffer at a time, and takes the next.
 */

import { crc32c } from '../base/crc32c.ts';
import { type ErrorCode, isTidemarkError } from '../base/errors.ts';
import { readToEnd } from '../log/read-to-end.ts';
import type { File } from '../storage/file-system.ts';
import { CHUNK_BYTES, chunkCount, type DataFileInfo } from './checkpoint-info.ts';

/** Checksums of what is written, in order. */
export class ChunkSums {
  #crc = 0;
  /** Bytes in the open chunk. */
  #filled = 0;
  #sums = '';

  add(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + CHUNK_BYTES - this.#filled);
      this.#crc = crc32c(bytes.subarray(at, end), this.#crc);
      this.#filled += end - at;
      at = end;
      if (this.#filled === CHUNK_BYTES) this.#seal();
    }
  }

  /** All of them, 8 hexadecimal digits each. Ends it. */
  end(): string {
    if (this.#filled > 0) this.#seal();
    return this.#sums;
  }

  #seal(): void {
    this.#sums += this.#crc.toString(16).padStart(8, '0');
    this.#crc = 0;
    this.#filled = 0;
  }
}

export interface ChunkJob {
  readonly file: File;
  readonly info: DataFileInfo;
  /** Number of the chunk in its file. */
  readonly chunk: number;
}

export interface FailedChunk extends ChunkJob {
  /** Where the chunk begins, in bytes. */
  readonly offset: number;
  readonly reason: string;
}

export interface ReadingOptions {
  readonly loadConcurrency: number;
  readonly bufferBytes: number;
}

/** Every chunk of a file. */
export function* chunksOf(file: File, info: DataFileInfo): Generator<ChunkJob, void> {
  for (let chunk = 0; chunk < chunkCount(info.bytes); chunk++) yield { file, info, chunk };
}

/** Bytes of a chunk. */
export function chunkBytes({ info, chunk }: ChunkJob): number {
  return Math.min(CHUNK_BYTES, info.bytes - chunk * CHUNK_BYTES);
}

/**
 * Reads chunks and holds them against their checksums. What cannot be read has failed (checklist F5, F6).
 * @returns Those that failed, by no order.
 */
export async function verifyChunks(
  jobs: Iterator<ChunkJob>,
  options: ReadingOptions,
): Promise<FailedChunk[]> {
  const failed: FailedChunk[] = [];
  const lane = async (): Promise<void> => {
    const buffer = new Uint8Array(Math.min(options.bufferBytes, CHUNK_BYTES));
    for (let next = jobs.next(); next.done !== true; next = jobs.next()) {
      const reason = await verifyChunk(next.value, buffer);
      if (reason !== null) failed.push({ ...next.value, offset: next.value.chunk * CHUNK_BYTES, reason });
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: options.loadConcurrency }, lane));
  for (const result of lanes) if (result.status === 'rejected') throw result.reason;
  return failed;
}

/** What is wrong with a chunk, or null. */
async function verifyChunk(job: ChunkJob, buffer: Uint8Array): Promise<string | null> {
  const { file, info, chunk } = job;
  const start = chunk * CHUNK_BYTES;
  const end = start + chunkBytes(job);
  let crc = 0;
  for (let at = start; at < end; at += buffer.length) {
    const piece = buffer.subarray(0, Math.min(buffer.length, end - at));
    const read = await readOrReason(file, piece, at);
    if (typeof read === 'string') return read;
    if (read < piece.length) return `the file ends at ${at + read}`;
    crc = crc32c(piece, crc);
  }
  const wanted = Number.parseInt(info.chunks.slice(8 * chunk, 8 * chunk + 8), 16);
  return crc === wanted ? null : `the checksum of the bytes ${start} to ${end} does not hold`;
}

/** Errors of reading that say something about the file, and not about this process. */
const UNREADABLE: ErrorCode = 'TIDEMARK_IO';

async function readOrReason(file: File, target: Uint8Array, offset: number): Promise<number | string> {
  try {
    return await readToEnd(file, target, offset);
  } catch (error) {
    if (isTidemarkError(error, UNREADABLE)) return error.message;
    throw error;
  }
}
