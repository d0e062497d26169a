/** The file of a sparse index, beside its segment. Whatever is wrong with it costs reading time only. */

import { isTidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import type { FileStat, FileSystem } from '../storage/file-system.ts';
import { removeIfThere, type Segment, sparseIndexPath } from './segment-file.ts';
import { type ReaderPosition, SegmentReader, segmentStart } from './segment-reader.ts';
import { SparseIndex } from './sparse-index.ts';
import type { SealedSegment } from './survey.ts';

/** A segment of 1 GiB has 8,192 points of 40 bytes; what is larger is not ours. */
const POINTS_BYTES_MAX = 1024 * 1024;

export async function writePoints(fs: FileSystem, segment: Segment, points: SparseIndex): Promise<void> {
  await removeIfThere(fs, sparseIndexPath(segment.path));
  const file = await fs.open(sparseIndexPath(segment.path), 'create');
  try {
    await file.write(points.encode(segment.header.id), 0);
  } finally {
    await file.close();
  }
}

/**
 * Where to start reading a sealed segment in order to meet the entry at `index`: the nearest point before it,
 * if the record there verifies and follows what the point says; otherwise the segment's first record.
 */
export async function startBefore(
  fs: FileSystem,
  segment: SealedSegment,
  index: Index,
): Promise<ReaderPosition> {
  // No point is nearer: not even the first one is worth the reads that would prove it.
  if (index <= segment.header.firstIndex) return segmentStart(segment.header);
  const point = (await readPoints(fs, segment))?.before(index) ?? null;
  const isProven = point !== null && (await provesItself(fs, segment, point));
  return isProven ? point : segmentStart(segment.header);
}

/** The sparse index of a sealed segment, or null: then reading starts at the segment's first record. */
export async function readPoints(fs: FileSystem, segment: Segment): Promise<SparseIndex | null> {
  try {
    const stat = await fs.stat(sparseIndexPath(segment.path));
    return stat === null ? null : await decodeFile(fs, segment, stat);
  } catch (error) {
    if (isTidemarkError(error)) return null;
    throw error;
  }
}

/** What is wrong with the sparse index of a sealed segment; null when it is well, or not there. */
export async function sparseIndexFault(fs: FileSystem, segment: Segment): Promise<string | null> {
  try {
    const stat = await fs.stat(sparseIndexPath(segment.path));
    if (stat === null) return null;
    if (stat.kind === 'directory') return 'a directory stands where the sparse index belongs';
    return (await decodeFile(fs, segment, stat)) === null ? 'the sparse index is not what was written' : null;
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_FILE_MISSING')) return null;
    if (isTidemarkError(error, 'TIDEMARK_IO')) return error.message;
    throw error;
  }
}

async function decodeFile(
  fs: FileSystem,
  segment: Segment,
  { bytes: length }: FileStat,
): Promise<SparseIndex | null> {
  if (length > POINTS_BYTES_MAX) return null;
  const file = await fs.open(sparseIndexPath(segment.path), 'read');
  try {
    const bytes = new Uint8Array(length);
    const read = await file.read(bytes, 0);
    return SparseIndex.decode(bytes.subarray(0, read), segment.header.id);
  } finally {
    await file.close();
  }
}

/**
 * A record names the one before it by checksum, so the first one read proves the point it is read from. A
 * read that fails is told: what cannot be read is not taken for a point that is wrong.
 */
async function provesItself(fs: FileSystem, segment: SealedSegment, point: ReaderPosition): Promise<boolean> {
  if (point.offset < segmentStart(segment.header).offset || point.offset >= segment.end) return false;
  const file = await fs.open(segment.path, 'read');
  try {
    const step = await new SegmentReader(file, segment.header, segment.end, point).next();
    return step.kind === 'record';
  } finally {
    await file.close();
  }
}
