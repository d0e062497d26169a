/**
 * The data files of one checkpoint, open: nodes and large values are read from them by place.
 *
 * A read never returns to the event loop. It is served from a *window*, bytes read ahead, when one covers the
 * record, and by a read of its own otherwise. Header and places are held against their checksum here; the
 * node itself against its hash by the caller, who knows it.
 */

import { DIGEST_BYTES } from '../base/digest.ts';
import type { TidemarkError } from '../base/errors.ts';
import type { Place, StoredBytes, StoredFiles } from '../state/stored.ts';
import type { File } from '../storage/file-system.ts';
import type { DataFileInfo } from './checkpoint-info.ts';
import type { ReadingOptions } from './chunk-checks.ts';
import { damagedCheckpoint } from './damage.ts';
import { DATA_HEADER_BYTES } from './data-header.ts';
import {
  decodePlaces,
  decodeRecordHeader,
  isHeadWhole,
  type NodeKind,
  PLACES_MAX,
  RECORD_HEADER_BYTES,
  recordHeadBytes,
  recordSeed,
} from './node-record.ts';

const NO_PLACES: readonly Place[] = Object.freeze([]);

/** Buffers of forgotten windows that are kept for the next ones. */
const SPARE_BUFFERS_MAX = 16;

export interface OpenedFile {
  readonly info: DataFileInfo;
  readonly file: File;
}

/** Bytes of a file that were read ahead: [from, to). */
interface Window {
  readonly from: number;
  readonly to: number;
  readonly bytes: Uint8Array;
}

/** Where a record is looked for. */
interface Bytes {
  readonly bytes: Uint8Array;
  readonly at: number;
  readonly seed: number;
}

interface Source extends OpenedFile {
  readonly seed: number;
  windows: Window[];
}

export class CheckpointFiles implements StoredFiles {
  readonly #sources = new Map<number, Source>();
  /** Named when a place is in no file of the checkpoint. */
  readonly #indexPath: string;
  #scratch = new Uint8Array(64 * 1024);
  #spare: Uint8Array[] = [];
  #bytesRead = 0;
  #closing: Promise<void> | null = null;

  constructor(indexPath: string, opened: readonly OpenedFile[]) {
    this.#indexPath = indexPath;
    for (const { info, file } of opened) {
      this.#sources.set(info.number, { info, file, seed: recordSeed(info.id), windows: [] });
    }
  }

  /** Bytes read so far, ahead or not. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  read(kind: NodeKind, place: Place): StoredBytes {
    const source = this.#sourceOf(place);
    const end = Math.min(
      source.info.bytes,
      place.offset + recordHeadBytes(placesMax(kind, place)) + place.bytes,
    );
    const ahead = windowAt(source, place.offset);
    if (ahead !== null) {
      const found = this.#decode(
        { bytes: ahead.bytes, at: place.offset - ahead.from, seed: source.seed },
        kind,
        place,
      );
      if (found !== null) return found;
    }
    const bytes = this.#readNow(source, place.offset, end);
    const read = this.#decode({ bytes, at: 0, seed: source.seed }, kind, place);
    if (read === null) throw this.damaged(place, 'the record goes beyond the end of the file');
    return read;
  }

  damaged(place: Place, reason: string): TidemarkError {
    const source = this.#sources.get(place.file);
    const file = source?.file.path ?? this.#indexPath;
    return damagedCheckpoint({ file, offset: source === undefined ? 0 : place.offset, reason });
  }

  /** Reads a range ahead, within the file; resolves when a window covers it. */
  async readAhead(number: number, from: number, to: number): Promise<void> {
    const source = this.#sources.get(number);
    if (source === undefined) return;
    const end = Math.min(to, source.info.bytes);
    if (from >= end) return;
    const bytes = this.#takeBuffer(end - from);
    const read = await source.file.read(bytes, from);
    this.#bytesRead += read;
    source.windows.push({ from, to: from + read, bytes: bytes.subarray(0, read) });
  }

  /** Reads all inner nodes ahead, `loadConcurrency` reads at a time: the tree above the leaves is wanted. */
  async readInnerAhead(options: ReadingOptions): Promise<void> {
    const jobs = [...this.#sources.values()].flatMap((source) => this.#planInner(source, options));
    const lane = async (): Promise<void> => {
      for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) await job();
    };
    // All have ended before one that failed is looked at: then nothing reads, and the files may be closed.
    const lanes = await Promise.allSettled(Array.from({ length: options.loadConcurrency }, lane));
    for (const result of lanes) if (result.status === 'rejected') throw result.reason;
  }

  /** Forgets windows of a file that end at or before `offset`. */
  forgetBefore(number: number, offset: number): void {
    const source = this.#sources.get(number);
    if (source === undefined) return;
    for (const { to, bytes } of source.windows) {
      if (to <= offset && this.#spare.length < SPARE_BUFFERS_MAX)
        this.#spare.push(new Uint8Array(bytes.buffer));
    }
    source.windows = source.windows.filter(({ to }) => to > offset);
  }

  /** Forgets the window of a file that begins at `offset`. */
  forgetWindow(number: number, offset: number): void {
    const source = this.#sources.get(number);
    if (source !== undefined) source.windows = source.windows.filter(({ from }) => from !== offset);
  }

  /** Forgets everything read ahead. */
  forgetAll(): void {
    for (const source of this.#sources.values()) source.windows = [];
    this.#spare = [];
  }

  /** Idempotent. Nothing is read afterwards. */
  close(): Promise<void> {
    this.#closing ??= Promise.all([...this.#sources.values()].map(({ file }) => file.close())).then(() => {
      this.forgetAll();
    });
    return this.#closing;
  }

  /** Memory for a window: that of a forgotten one when it is large enough. */
  #takeBuffer(length: number): Uint8Array {
    const spare = this.#spare.pop();
    return spare !== undefined && spare.length >= length ? spare.subarray(0, length) : new Uint8Array(length);
  }

  #planInner(source: Source, { bufferBytes }: ReadingOptions): (() => Promise<void>)[] {
    const { innerOffset, bytes: end } = source.info;
    if (innerOffset >= end) return [];
    const bytes = new Uint8Array(end - innerOffset);
    source.windows.push({ from: innerOffset, to: end, bytes });
    const jobs: (() => Promise<void>)[] = [];
    for (let at = 0; at < bytes.length; at += bufferBytes) {
      const piece = bytes.subarray(at, at + bufferBytes);
      // What does not come stays zero, which no record begins with.
      jobs.push(async () => void (this.#bytesRead += await source.file.read(piece, innerOffset + at)));
    }
    return jobs;
  }

  #sourceOf(place: Place): Source {
    const source = this.#sources.get(place.file);
    if (source === undefined) {
      throw this.damaged(place, `a node is in file ${place.file}, which the checkpoint does not name`);
    }
    const isInside = place.offset >= DATA_HEADER_BYTES && place.offset + place.bytes <= source.info.bytes;
    if (!isInside) throw this.damaged(place, 'a node is outside of the file');
    return source;
  }

  #readNow({ file }: Source, from: number, to: number): Uint8Array {
    const length = to - from;
    if (this.#scratch.length < length) this.#scratch = new Uint8Array(length);
    const target = this.#scratch.subarray(0, length);
    const read = file.readSync(target, from);
    this.#bytesRead += read;
    return target.subarray(0, read);
  }

  /** The record at `at`; null when the bytes end before it does. */
  #decode({ bytes, at, seed }: Bytes, kind: NodeKind, place: Place): StoredBytes | null {
    if (at + RECORD_HEADER_BYTES > bytes.length) return null;
    const header = decodeRecordHeader(bytes, at);
    if (header === null) throw this.damaged(place, 'no record begins here');
    const isWanted = header.kind === kind && header.bytes === place.bytes && header.offset === place.offset;
    if (!isWanted) throw this.damaged(place, 'another record stands here');
    const from = at + recordHeadBytes(header.placeCount);
    const to = from + header.bytes;
    if (to > bytes.length) return null;
    const head = bytes.subarray(at, from);
    if (!isHeadWhole(head, seed)) throw this.damaged(place, 'the checksum of the record does not hold');
    const places = header.placeCount === 0 ? NO_PLACES : decodePlaces(head);
    return { bytes: bytes.subarray(from, to), places };
  }
}

/** Most places that a record of this kind and length can have: each stands for a hash and a number. */
function placesMax(kind: NodeKind, { bytes }: Place): number {
  return kind === 'value' ? 0 : Math.min(PLACES_MAX, Math.ceil(bytes / DIGEST_BYTES));
}

/** The newest window that `offset` is in, or null. */
function windowAt({ windows }: Source, offset: number): Window | null {
  for (let at = windows.length - 1; at >= 0; at--) {
    const window = windows[at]!;
    if (window.from <= offset && offset < window.to) return window;
  }
  return null;
}
