/** Segment files: making one so that it appears whole or not at all, and reading the header of one. */

import { assert } from '../base/assert.ts';
import { isTidemarkError } from '../base/errors.ts';
import type { Clock } from '../base/time.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { readToEnd } from './read-to-end.ts';
import {
  type DecodedSegmentHeader,
  decodeSegmentHeader,
  encodeSegmentHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './segment.ts';
import type { Spare } from './spares.ts';

/** Pause between attempts while the system is out of descriptors, in milliseconds. */
const PATIENCE_MS = 100;

/** A segment as the log knows it. */
export interface Segment {
  readonly header: SegmentHeader;
  readonly path: string;
}

/**
 * Turns a spare into the segment of `header`, holding `records` from the start. When it resolves, the file is
 * durable under its name, replacing one of the same name: that rename is the commit point of rotation,
 * truncation and recovery.
 *
 * 1. write header and records into the spare; 2. sync it; 3. rename it; 4. sync the directory.
 */
export async function makeSegment(
  place: { readonly fs: FileSystem; readonly dir: string; readonly clock: Clock },
  spare: Spare,
  header: SegmentHeader,
  records: Uint8Array,
): Promise<{ segment: Segment; file: File }> {
  assert(header.provenTo === SEGMENT_HEADER_BYTES + records.length, 'what is copied is what is proven');
  const { fs, dir, clock } = place;
  const path = `${dir}/${segmentName(header)}`;
  const { file } = spare;
  try {
    await file.write(encodeSegmentHeader(header), 0);
    if (records.length > 0) await file.write(records, SEGMENT_HEADER_BYTES);
    await file.sync();
    await fs.rename(spare.path, path);
    await syncDirectoryPatiently(fs, dir, clock);
    return { segment: { header, path }, file };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/**
 * Syncs a directory; waits while the system is out of file descriptors, for then no sync was attempted. Any
 * other failure is final.
 */
async function syncDirectoryPatiently(fs: FileSystem, dir: string, clock: Clock): Promise<void> {
  for (;;) {
    try {
      return await fs.syncDirectory(dir);
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_RESOURCES')) throw error;
      await new Promise<void>((resolve) => clock.after(PATIENCE_MS, resolve));
    }
  }
}

/** Reads and checks the header block of a file that may be anything. */
export async function readSegmentHeader(file: File): Promise<DecodedSegmentHeader> {
  const block = new Uint8Array(SEGMENT_HEADER_BYTES);
  const read = await readToEnd(file, block, 0);
  return decodeSegmentHeader(block.subarray(0, read));
}

/**
 * Removes a segment, its sparse index first: nobody looks for one whose segment is gone. May be repeated.
 * Durable after the directory is synced.
 */
export async function removeSegment(fs: FileSystem, path: string): Promise<void> {
  await removeIfThere(fs, sparseIndexPath(path));
  await removeIfThere(fs, path);
}

export async function removeIfThere(fs: FileSystem, path: string): Promise<void> {
  if ((await fs.stat(path)) !== null) await fs.remove(path);
}

/** Where the sparse index of a segment stands. */
export function sparseIndexPath(segmentPath: string): string {
  return segmentPath.replace(/\.log$/, '.idx');
}

export function isSparseIndexName(name: string): boolean {
  return /^\d+-\d{20}\.idx$/.test(name);
}
