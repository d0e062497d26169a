/** Checkpoint files in memory, in a format of their own: what a tree is stored in, and installed from. */

import { TidemarkError } from '../../src/base/errors.ts';
import type { Snapshot } from '../../src/state/snapshot.ts';
import {
  PLACE_ALIGN_BYTES,
  type Place,
  type StoredBytes,
  type StoredFiles,
  type Unstored,
} from '../../src/state/stored.ts';

const KINDS = ['leaf', 'inner', 'value'] as const;

/** Kind, number of places, then of each place its file, its offset and its bytes; then the bytes. */
const RECORD_HEADER_BYTES = 8;
const PLACE_BYTES = 12;

export class MemoryFiles implements StoredFiles {
  readonly #files = new Map<number, Buffer>();
  readonly #sizes = new Map<number, number>();
  /** Files that a checkpoint was finished in. */
  readonly kept = new Set<number>();
  reads = 0;
  /** Bytes that mean nothing. */
  paddingBytes = 0;
  #scratch = new Uint8Array(64);

  /** Files by number, to be damaged. */
  get files(): ReadonlyMap<number, Uint8Array> {
    return new Map([...this.#files].map(([file, bytes]) => [file, bytes.subarray(0, this.#sizes.get(file))]));
  }

  /** A file that nobody had. */
  newFile(): number {
    const file = this.#files.size + 1;
    this.#files.set(file, Buffer.alloc(1024));
    this.#sizes.set(file, 0);
    return file;
  }

  append(file: number, { kind, places, bytes }: Unstored): number {
    const offset = this.#sizes.get(file)!;
    const length = RECORD_HEADER_BYTES + places.length * PLACE_BYTES + bytes.length;
    const end = Math.ceil((offset + length) / PLACE_ALIGN_BYTES) * PLACE_ALIGN_BYTES;
    this.paddingBytes += end - offset - length;
    const target = this.#grown(file, end);
    target.writeUInt32LE(KINDS.indexOf(kind), offset);
    target.writeUInt32LE(places.length, offset + 4);
    let at = offset + RECORD_HEADER_BYTES;
    for (const place of places) {
      target.writeUInt32LE(place.file, at);
      target.writeUInt32LE(place.offset / PLACE_ALIGN_BYTES, at + 4);
      target.writeUInt32LE(place.bytes, at + 8);
      at += PLACE_BYTES;
    }
    target.set(bytes, at);
    this.#sizes.set(file, end);
    return offset;
  }

  /** Stores what no kept file has, in a new file. @returns How many nodes and values that were. */
  store(snapshot: Snapshot, isKept: (file: number) => boolean): number {
    const file = this.newFile();
    let count = 0;
    for (const unstored of snapshot.unstored(isKept)) {
      unstored.storedAt(file, this.append(file, unstored));
      count++;
    }
    return count;
  }

  read(kind: Unstored['kind'], place: Place): StoredBytes {
    this.reads++;
    const bytes = this.#files.get(place.file);
    if (bytes === undefined) throw this.damaged(place, 'no file');
    const end = this.#sizes.get(place.file)!;
    if (place.offset + RECORD_HEADER_BYTES > end) throw this.damaged(place, 'end');
    if (bytes.readUInt32LE(place.offset) !== KINDS.indexOf(kind)) throw this.damaged(place, 'kind');
    const count = bytes.readUInt32LE(place.offset + 4);
    const from = place.offset + RECORD_HEADER_BYTES + count * PLACE_BYTES;
    if (from + place.bytes > end) throw this.damaged(place, 'end');
    const places = Array.from({ length: count }, (_, at) => {
      const offset = place.offset + RECORD_HEADER_BYTES + at * PLACE_BYTES;
      return {
        file: bytes.readUInt32LE(offset),
        offset: bytes.readUInt32LE(offset + 4) * PLACE_ALIGN_BYTES,
        bytes: bytes.readUInt32LE(offset + 8),
      };
    });
    // The same buffer for every read: who keeps a view too long reads something else.
    if (this.#scratch.length < place.bytes) this.#scratch = new Uint8Array(2 * place.bytes);
    bytes.copy(this.#scratch, 0, from, from + place.bytes);
    return { bytes: this.#scratch.subarray(0, place.bytes), places };
  }

  damaged({ file, offset }: Place, reason: string): TidemarkError {
    return new TidemarkError('TIDEMARK_IO', `file ${file} is damaged at ${offset}: ${reason}`, {
      remedy: 'restore',
      facts: { file, offset, reason },
    });
  }

  #grown(file: number, size: number): Buffer {
    const bytes = this.#files.get(file)!;
    if (size <= bytes.length) return bytes;
    const grown = Buffer.alloc(2 * size);
    bytes.copy(grown);
    this.#files.set(file, grown);
    return grown;
  }
}
