/**
 * Reads one segment and holds everything in it against its checksums: header, records, their chain, the joint
 * to the segment after it, and the sparse index beside it. For `inspect`, `verify` and the scrub of a node.
 * Damage is told, not thrown; nothing is changed.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { follows } from './read-records.ts';
import { encodeSegmentHeader, type SegmentHeader } from './segment.ts';
import { readSegmentHeader, sparseIndexPath } from './segment-file.ts';
import { type LogRecord, type ReadStep, SegmentReader } from './segment-reader.ts';
import { sparseIndexFault } from './sparse-index-file.ts';
import type { SealedSegment } from './survey.ts';

/** Something that is wrong with the log, or that recovery will discard. */
export interface LogFinding {
  /** `damage`: acknowledged entries cannot be read. `torn`: an unfinished write, which recovery discards. */
  readonly kind: 'damage' | 'torn' | 'warning';
  readonly file: string;
  /** In bytes from the start of the file; null when it concerns the whole file. */
  readonly offset: number | null;
  readonly message: string;
}

export interface SegmentSummary {
  readonly file: string;
  readonly header: SegmentHeader;
  readonly isSealed: boolean;
  /** Where its records end, in bytes. */
  readonly end: number;
  readonly firstIndex: Index;
  /** Index of its last entry that verifies; below `firstIndex` when there is none. */
  readonly lastIndex: Index;
  readonly entries: number;
}

export interface LogVisitor {
  segment?(summary: SegmentSummary): void;
  /** The body is valid during the call. */
  record?(record: LogRecord, file: string): void;
  finding?(finding: LogFinding): void;
}

/**
 * Reads one segment to its end or its first damage; returns the index of the last entry that verified.
 * @param next Header of the segment after it; null for the tail, of which everything before `end` is read.
 */
export async function verifySegment(
  fs: FileSystem,
  segment: SealedSegment,
  next: SegmentHeader | null,
  visitor: LogVisitor,
): Promise<Index> {
  if (next !== null) await verifySparseIndex(fs, segment, visitor);
  const file = await fs.open(segment.path, 'read');
  try {
    await verifyHeader(file, segment, visitor);
    return await verifyRecords(file, segment, next, visitor);
  } finally {
    await file.close();
  }
}

/** Writes the header of a segment again, as it is known; durable when it resolves. */
export async function mendHeader(fs: FileSystem, { path, header }: SealedSegment): Promise<void> {
  const file = await fs.open(path, 'write');
  try {
    await file.write(encodeSegmentHeader(header), 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Passes an error on as a finding; returns the offset it names. */
export function tellDamage(error: unknown, file: string, visitor: LogVisitor): number | null {
  const isRead = isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED') || isTidemarkError(error, 'TIDEMARK_IO');
  if (!isRead) throw error;
  const offset = typeof error.facts['offset'] === 'number' ? error.facts['offset'] : null;
  visitor.finding?.({ kind: 'damage', file, offset, message: error.message });
  return offset;
}

/** It was read before, or is known: here it is read again. */
async function verifyHeader(file: File, { path, header }: SealedSegment, visitor: LogVisitor): Promise<void> {
  const damaged = (reason: string): void =>
    visitor.finding?.({ kind: 'damage', file: path, offset: 0, message: `segment header: ${reason}` });
  try {
    const found = await readSegmentHeader(file);
    const isSame =
      found.kind === 'header' &&
      Buffer.compare(encodeSegmentHeader(found.header), encodeSegmentHeader(header)) === 0;
    if (!isSame) damaged(found.kind === 'invalid' ? found.reason : 'it is that of another segment');
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_IO')) throw error;
    damaged(error.message);
  }
}

async function verifyRecords(
  file: File,
  segment: SealedSegment,
  next: SegmentHeader | null,
  visitor: LogVisitor,
): Promise<Index> {
  const { header, path, end } = segment;
  const reader = new SegmentReader(file, header, end);
  let entries = 0;
  for (;;) {
    const step = await nextStep(reader, path, visitor);
    if (step === null) return reader.position.previousIndex;
    if (step.kind === 'record') {
      if (step.record.type !== 'mark') entries++;
      visitor.record?.(step.record, path);
      continue;
    }
    const lastIndex = reader.position.previousIndex;
    const { firstIndex } = header;
    visitor.segment?.({ file: path, header, isSealed: next !== null, end, firstIndex, lastIndex, entries });
    if (step.kind !== 'end' || step.offset < end) {
      const reason = step.kind === 'end' ? 'zeros where a record must be' : step.reason;
      const message = `entry ${lastIndex + 1} cannot be read (${reason}), inside the durable part`;
      visitor.finding?.({ kind: 'damage', file: path, offset: step.offset, message });
    } else if (next !== null && !follows(next, reader.position)) {
      const message = `the segment after it, from entry ${next.firstIndex}, follows another record`;
      visitor.finding?.({ kind: 'damage', file: path, offset: end, message });
    }
    return lastIndex;
  }
}

/** The next step, or null where the disk gives back an error instead of bytes. */
async function nextStep(reader: SegmentReader, path: string, visitor: LogVisitor): Promise<ReadStep | null> {
  try {
    return await reader.next();
  } catch (error) {
    tellDamage(error, path, visitor);
    return null;
  }
}

async function verifySparseIndex(fs: FileSystem, segment: SealedSegment, visitor: LogVisitor): Promise<void> {
  const reason = await sparseIndexFault(fs, segment);
  if (reason === null) return;
  const message = `${reason}: reading from the middle of its segment takes longer, and nothing is lost`;
  visitor.finding?.({ kind: 'warning', file: sparseIndexPath(segment.path), offset: null, message });
}
