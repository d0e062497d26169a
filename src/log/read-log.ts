/**
 * Reads the log of a data directory from outside: for `inspect` and `verify`. Takes no lock and changes
 * nothing, so it also works beside a running node; what that node is writing just then shows as an unfinished
 * write.
 */

import { isTidemarkError } from '../base/errors.ts';
import { type Index, laterOf, toIndex } from '../base/positions.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { follows, replayEntries } from './read-records.ts';
import { promisedIndex } from './recover.ts';
import type { SegmentHeader } from './segment.ts';
import type { Segment } from './segment-file.ts';
import { type LogRecord, type ReadStep, SegmentReader } from './segment-reader.ts';
import type { Status } from './status-content.ts';
import { type SealedSegment, surveyLog } from './survey.ts';
import { examineTail, lastIndexOf, type Tail } from './tail.ts';

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
 * Walks the whole log, verifying every record, and tells `visitor` what it finds: all damage, not the first.
 * @throws TidemarkError where not even the list of segments can be trusted: see `surveyLog`.
 */
export async function readLog(
  fs: FileSystem,
  dataDir: string,
  status: Status,
  visitor: LogVisitor,
): Promise<void> {
  const survey = await surveyLog(fs, `${dataDir}/log`, status, status);
  for (const name of survey.unknown) {
    visitor.finding?.({
      kind: 'warning',
      file: `${dataDir}/log/${name}`,
      offset: null,
      message: 'not a file of Tidemark',
    });
  }
  for (const { path, reason } of survey.unreadable) {
    visitor.finding?.({
      kind: 'warning',
      file: path,
      offset: null,
      message: `not part of the log: ${reason}`,
    });
  }
  for (const [at, segment] of survey.sealed.entries()) {
    await readSegment(fs, segment, survey.sealed[at + 1]?.header ?? survey.tail.header, visitor);
  }
  try {
    const tail = await examineMovingTail(fs, survey.tail);
    const end = tail.suffix.at(-1)?.endOffset ?? tail.proven.offset;
    const lastIndex = await readSegment(fs, { ...survey.tail, end }, null, visitor);
    const known = promisedIndex(status);
    if (lastIndex < known) {
      const message = `the status knows of entry ${known}, but the log ends at ${lastIndex}`;
      visitor.finding?.({ kind: 'damage', file: survey.tail.path, offset: end, message });
    }
    if (tail.torn === null || lastIndex < known) return;
    const { offset, reason } = tail.torn;
    const message = `unfinished write (${reason}); it was never synced, and the next start discards it`;
    visitor.finding?.({ kind: 'torn', file: survey.tail.path, offset, message });
  } catch (error) {
    const offset = tellDamage(error, survey.tail.path, visitor);
    if (offset !== null) await readSegment(fs, { ...survey.tail, end: offset }, null, visitor);
  }
}

/** The entries that a log holds. */
export interface LogRange {
  /** The status promises entries from here on: a checkpoint at `firstIndex` - 1 or later can be used. */
  readonly firstIndex: Index;
  /** Last entry that verifies; `firstIndex` - 1 when there is none. */
  readonly lastIndex: Index;
}

/**
 * Which entries the log holds, for choosing a checkpoint before the log is opened. Reads the headers and the
 * tail; what stands between is not verified.
 * @throws TidemarkError as the opening would: see `surveyLog` and `examineTail`.
 */
export async function readLogRange(fs: FileSystem, dataDir: string, status: Status): Promise<LogRange> {
  const survey = await surveyLog(fs, `${dataDir}/log`, status, status);
  const tail = await examineMovingTail(fs, survey.tail);
  return { firstIndex: status.firstIndex, lastIndex: lastIndexOf(tail) };
}

/** Whether recovery from a checkpoint of entry `after` would find everything that it reads. */
export async function isReplayable(
  fs: FileSystem,
  dataDir: string,
  status: Status,
  after: Index,
): Promise<boolean> {
  try {
    const survey = await surveyLog(fs, `${dataDir}/log`, status, status);
    const tail = await examineMovingTail(fs, survey.tail);
    if (lastIndexOf(tail) < laterOf(promisedIndex(status), after)) return false;
    await replayEntries(fs, survey, tail, after, { known: () => undefined, entry: () => undefined });
    return true;
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED') || isTidemarkError(error, 'TIDEMARK_IO')) return false;
    throw error;
  }
}

/** Passes an error on as a finding; returns the offset it names. */
function tellDamage(error: unknown, file: string, visitor: LogVisitor): number | null {
  const isRead = isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED') || isTidemarkError(error, 'TIDEMARK_IO');
  if (!isRead) throw error;
  const offset = typeof error.facts['offset'] === 'number' ? error.facts['offset'] : null;
  visitor.finding?.({ kind: 'damage', file, offset, message: error.message });
  return offset;
}

/**
 * Reads one segment to its end or its first damage; returns the index of the last entry that verified.
 * @param next Header of the segment after it; null for the tail.
 */
async function readSegment(
  fs: FileSystem,
  segment: SealedSegment,
  next: SegmentHeader | null,
  visitor: LogVisitor,
): Promise<Index> {
  const file = await fs.open(segment.path, 'read');
  let entries = 0;
  try {
    const reader = new SegmentReader(file, segment.header, segment.end);
    for (;;) {
      const step = await nextStep(reader, segment.path, visitor);
      if (step === null) return reader.position.previousIndex;
      if (step.kind === 'record') {
        if (step.record.type !== 'mark') entries++;
        visitor.record?.(step.record, segment.path);
        continue;
      }
      const { header, path, end } = segment;
      const lastIndex = reader.position.previousIndex;
      visitor.segment?.({
        file: path,
        header,
        isSealed: next !== null,
        end,
        firstIndex: header.firstIndex,
        lastIndex,
        entries,
      });
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
  } finally {
    await file.close();
  }
}

/**
 * Examines a tail that its node may be writing. A batch that becomes durable between the reading and the
 * search beyond it looks like damage, once: the next look passes it. Damage stays where it is.
 */
export async function examineMovingTail(fs: FileSystem, segment: Segment): Promise<Tail> {
  let damagedAt: unknown;
  for (;;) {
    try {
      return await examineTail(fs, segment, toIndex(0));
    } catch (error) {
      const offset = isTidemarkError(error) ? error.facts['offset'] : undefined;
      if (offset === undefined || offset === damagedAt) throw error;
      damagedAt = offset;
    }
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
