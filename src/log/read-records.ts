/**
 * Reading records in bulk: one segment to its end, or the whole log oldest first. Everything is verified, and
 * so is the joint between two segments: what a segment ends with is what its successor says it follows.
 */

import { type Index, nextIndex, previousIndex } from '../base/positions.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { damagedLog } from './damage.ts';
import type { SegmentHeader } from './segment.ts';
import type { Segment } from './segment-file.ts';
import { type LogRecord, type ReaderPosition, SegmentReader, segmentStart } from './segment-reader.ts';
import { startBefore } from './sparse-index-file.ts';
import type { SealedSegment, Survey } from './survey.ts';
import type { Tail } from './tail.ts';

/**
 * The records of one segment, marks included, from `start` to its end. The body of each is valid until the
 * next is asked for.
 * @param next Header of the segment that follows; null when `segment.end` is not a joint.
 * @throws TidemarkError TIDEMARK_LOG_DAMAGED at the first record that does not verify.
 */
export async function* readRecords(
  fs: FileSystem,
  segment: SealedSegment,
  next: SegmentHeader | null,
  start: ReaderPosition = segmentStart(segment.header),
): AsyncGenerator<LogRecord, void, void> {
  const file = await fs.open(segment.path, 'read');
  try {
    const reader = new SegmentReader(file, segment.header, segment.end, start);
    for (;;) {
      const step = await reader.next();
      if (step.kind === 'record') {
        yield step.record;
        continue;
      }
      const reason = step.kind === 'end' ? 'zeros where a record must be' : step.reason;
      const isWhole = step.kind === 'end' && step.offset === segment.end;
      if (!isWhole) throw damagedSegment(segment, step.offset, reader.position, next, reason);
      if (next !== null && !follows(next, reader.position)) throw wrongJoint(segment, reader.position, next);
      return;
    }
  } finally {
    await file.close();
  }
}

/** Who is told what a replay reads. */
export interface ReplayVisitor {
  /** The entry that the replay comes after: the state that is known must be of this history. */
  known(entry: Pick<LogRecord, 'term' | 'time'>): void;
  entry(entry: LogRecord): void;
}

/**
 * Hands out every entry of a surveyed log after `replayAfter`, oldest first; marks are left out. Segments
 * that end at or before it are not read; in the one that goes beyond it, reading starts as near as can be
 * proven.
 * @throws TidemarkError TIDEMARK_LOG_DAMAGED.
 */
export async function replayEntries(
  fs: FileSystem,
  survey: Survey,
  tail: Tail,
  replayAfter: Index,
  visit: ReplayVisitor,
): Promise<void> {
  const offer = (record: LogRecord): void => {
    if (record.type === 'mark') return;
    if (record.index > replayAfter) visit.entry(record);
    else if (record.index === replayAfter) visit.known(record);
  };
  const begin = ({ previousIndex: index, previousTerm: term, previousTime: time }: ReaderPosition): void => {
    if (index === replayAfter && index > 0) visit.known({ term, time });
  };
  for (const [at, segment] of survey.sealed.entries()) {
    const next = survey.sealed[at + 1]?.header ?? survey.tail.header;
    if (previousIndex(next.firstIndex) <= replayAfter) continue;
    const start = await startBefore(fs, segment, nextIndex(replayAfter));
    begin(start);
    for await (const record of readRecords(fs, segment, next, start)) offer(record);
  }
  const proven = { ...survey.tail, end: tail.proven.offset };
  begin(tail.start);
  for await (const record of readRecords(fs, proven, null, tail.start)) offer(record);
  for (const record of tail.suffix) offer(record);
}

/** Whether the records before `header` are those that end at `position`. */
export function follows(header: SegmentHeader, position: ReaderPosition): boolean {
  return (
    header.firstIndex === position.previousIndex + 1 &&
    header.previousEnd === position.offset &&
    header.previousCrc === position.previousCrc &&
    header.previousTerm === position.previousTerm &&
    header.previousTime === position.previousTime
  );
}

export function damagedSegment(
  segment: Segment,
  offset: number,
  before: ReaderPosition,
  next: SegmentHeader | null,
  reason: string,
): Error {
  const firstLost = before.previousIndex + 1;
  const lastLost = next === null ? firstLost : Math.max(firstLost, next.firstIndex - 1);
  const range = lastLost === firstLost ? `entry ${firstLost}` : `entry ${firstLost}, and up to ${lastLost},`;
  return damagedLog(`${segment.path} is damaged at offset ${offset} (${reason}): ${range} cannot be read`, {
    file: segment.path,
    offset,
    reason,
    firstLost,
    lastLost,
  });
}

function wrongJoint(segment: Segment, end: ReaderPosition, next: SegmentHeader): Error {
  return damagedLog(
    `${segment.path} ends at offset ${end.offset} with entry ${end.previousIndex}, but the segment that ` +
      `begins with entry ${next.firstIndex} says that it follows another record`,
    { file: segment.path, offset: end.offset, reason: 'joint', firstLost: end.previousIndex + 1 },
  );
}
