/**
 * Reads the log of a data directory from outside: for `inspect` and `verify`. Takes no lock and changes
 * nothing, so it also works beside a running node; what that node is writing just then shows as an unfinished
 * write.
 */

import { isTidemarkError } from '../base/errors.ts';
import { type Index, laterOf, toIndex } from '../base/positions.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { replayEntries } from './read-records.ts';
import { promisedIndex } from './recover.ts';
import type { SegmentHeader } from './segment.ts';
import type { Segment } from './segment-file.ts';
import { readStatus } from './status.ts';
import type { Status } from './status-content.ts';
import { surveyLog } from './survey.ts';
import { examineTail, lastIndexOf, type Tail } from './tail.ts';
import { type LogVisitor, tellDamage, verifySegment } from './verify-segment.ts';

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
    const next = survey.sealed[at + 1]?.header ?? survey.tail.header;
    try {
      await verifySegment(fs, segment, next, visitor);
    } catch (error) {
      const isGone = isTidemarkError(error, 'TIDEMARK_FILE_MISSING');
      if (!isGone || !(await isCompacted(fs, dataDir, next))) throw error;
    }
  }
  try {
    const tail = await examineMovingTail(fs, survey.tail);
    const end = tail.suffix.at(-1)?.endOffset ?? tail.proven.offset;
    const lastIndex = await verifySegment(fs, { ...survey.tail, end }, null, visitor);
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
    if (offset !== null) await verifySegment(fs, { ...survey.tail, end: offset }, null, visitor);
  }
}

/** Whether a node that runs in the directory has compacted the segment before `next` away meanwhile. */
async function isCompacted(fs: FileSystem, dataDir: string, next: SegmentHeader): Promise<boolean> {
  const { status } = await readStatus(fs, dataDir);
  return next.firstIndex <= status.firstIndex;
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
