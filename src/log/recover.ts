/**
 * Recovery of the log after any end of the process, clean or not (docs/format.md §2.5).
 *
 * Steps; nothing is changed before step 5:
 *  1. Survey: find the segments that are the log (survey.ts). It must reach back to the entry after the
 *     checkpoint that the state is taken from.
 *  2. Examine the tail: proven part, suffix, torn write; damage stops here (tail.ts).
 *  3. Hold the end against what the status and the checkpoint know of: an end before that is damage
 *     (checklist E6, B8).
 *  4. Read every entry after the checkpoint and hand it out, so that damage there stops here (C1;
 *     read-records.ts). What stands before is not read: the checkpoint holds what it did.
 *  5. Make status and names found durable; quarantine unreadable files, remove leftovers.
 *  6. When anything stands after the proven part: make a new segment that follows the proven part and holds
 *     the suffix. The rename of that file is the commit point (B5, B7).
 *  7. Record its sequence in the status, then give back the space behind the ends of the sealed segments.
 *
 * A crash at any point leads to the same end when recovery runs again (B9): before the rename of step 6 the
 * old tail is as it was; after it the old tail's rest is dead, and step 7 only repeats.
 */

import { assert } from '../base/assert.ts';
import type { Chance } from '../base/chance.ts';
import { isTidemarkError } from '../base/errors.ts';
import { type Index, laterOf, nextIndex, previousIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { damagedLog } from './damage.ts';
import { ifThereIsRoom, Quarantine } from './quarantine.ts';
import { replayEntries } from './read-records.ts';
import { encodeHeader, RECORD_HEADER_BYTES, recordEnd } from './record.ts';
import { type Identity, SEGMENT_HEADER_BYTES, type SegmentHeader, segmentSeed } from './segment.ts';
import { makeSegment, removeSegment, type Segment } from './segment-file.ts';
import { type LogRecord, type ReaderPosition, segmentStart } from './segment-reader.ts';
import type { Spares } from './spares.ts';
import { type LogPromise, type SealedSegment, type Survey, surveyLog } from './survey.ts';
import { examineTail, lastIndexOf, type Tail } from './tail.ts';

export interface RecoverInput {
  readonly fs: FileSystem;
  /** The data directory; the log is in `log/` below it. */
  readonly dataDir: string;
  readonly identity: Identity;
  readonly promise: LogPromise & { readonly commitIndex: Index };
  /** See `LogConfig.replayAfter`. */
  readonly replayAfter: Index;
  readonly spares: Spares;
  readonly chance: Chance;
  readonly clock: Clock;
  /** Makes what `promise` was read from durable: the first thing that is changed. */
  readonly makePromiseDurable: () => Promise<void>;
  /** Makes the sequence of the newest segment durable in the status. */
  readonly persistSequence: (sequence: number) => Promise<void>;
  /** See `LogConfig.onKnown`. */
  readonly onKnown: (entry: Pick<LogRecord, 'term' | 'time'>) => void;
  /** Given every entry after `replayAfter`; see `LogConfig.onReplay`. */
  readonly onReplay: (entry: LogRecord, lastIndex: Index) => void;
}

/** What recovery found and did, for people. */
export interface RecoveryReport {
  readonly segments: number;
  readonly firstIndex: Index;
  readonly lastIndex: Index;
  /** Entries after the last proven one that were intact, and were written again. */
  readonly entriesRewritten: number;
  /**
   * Entries after those that were written and are lost, because the disk had not got all of them: at least so
   * many. They were never synced; with `synced` durability nobody was told of them.
   */
  readonly entriesDiscarded: number;
  /** Bytes of a torn write that were discarded; 0 after a clean stop. */
  readonly bytesDiscarded: number;
  /** Things an operator should know; empty after a clean stop. */
  readonly warnings: readonly string[];
}

export interface RecoveredLog {
  readonly sealed: readonly SealedSegment[];
  readonly tail: Segment;
  readonly file: File;
  /** Of the tail's file, in bytes. */
  readonly size: number;
  /** Where the next batch goes, and what it follows. Everything before is durable. */
  readonly end: ReaderPosition;
  readonly report: RecoveryReport;
}

export async function recoverLog(input: RecoverInput): Promise<RecoveredLog> {
  const dir = `${input.dataDir}/log`;
  const { promise, replayAfter } = input;
  if (promise.firstIndex > nextIndex(replayAfter)) throw beginsTooLate(dir, promise.firstIndex, replayAfter);
  const survey = await surveyLog(input.fs, dir, input.identity, promise);
  const tail = await examineTail(input.fs, survey.tail, replayAfter);
  const lastIndex = lastIndexOf(tail);
  const known = laterOf(promisedIndex(promise), replayAfter);
  if (lastIndex < known) throw endsTooEarly(survey.tail.path, lastIndex, known);

  await replayEntries(input.fs, survey, tail, replayAfter, {
    known: (entry) => input.onKnown(entry),
    entry: (entry) => input.onReplay(entry, lastIndex),
  });

  await input.makePromiseDurable();
  // A process that was killed may have left names in the cache only, even that of the tail. They must be
  // durable before anything is removed that they replace, and before the status promises them.
  await input.fs.syncDirectory(dir);
  const warnings = await cleanUp(input, dir, survey);
  await input.spares.adopt(survey.spares, survey.unknown);
  if (tail.torn !== null) {
    const { offset, end, reason, entries } = tail.torn;
    const size = `${end - offset} bytes, at least ${entries} entries: ${reason}`;
    warnings.push(`discarded a torn write at ${survey.tail.path} offset ${offset} (${size})`);
  }
  const report = {
    firstIndex: input.promise.firstIndex,
    lastIndex,
    entriesRewritten: tail.suffix.length,
    entriesDiscarded: tail.torn?.entries ?? 0,
    bytesDiscarded: tail.torn === null ? 0 : tail.torn.end - tail.torn.offset,
    warnings,
  };
  const log = tail.isDirty
    ? await succeedTail(input, dir, survey, tail)
    : await reopenTail(input, survey, tail);
  for (const sealed of log.sealed) await trimLeftover(input.fs, sealed, warnings);
  return { ...log, report: { ...report, segments: log.sealed.length + 1 } };
}

/** Gives back space that a crash kept from being given back. Nothing depends on it. */
async function trimLeftover(fs: FileSystem, { path, end }: SealedSegment, warnings: string[]): Promise<void> {
  try {
    const stat = await fs.stat(path);
    if (stat !== null && stat.bytes > end) await trim(fs, path, end);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    warnings.push(`the space behind ${path} offset ${end} was not given back: ${error.message}`);
  }
}

async function cleanUp(input: RecoverInput, dir: string, survey: Survey): Promise<string[]> {
  const warnings = survey.unknown.map((name) => `${dir}/${name} is not a file of Tidemark's; left alone`);
  const quarantine = new Quarantine(input.fs, input.dataDir);
  for (const { path, reason } of survey.unreadable) {
    const isMoved = await ifThereIsRoom(async () => {
      warnings.push(`moved ${path} to ${await quarantine.moveIn(path, reason)}: ${reason}`);
    });
    if (!isMoved) warnings.push(`${path} is no part of the log, and there is no room to move it: ${reason}`);
  }
  for (const path of survey.leftovers) await removeSegment(input.fs, path);
  if (survey.leftovers.length > 0) await input.fs.syncDirectory(dir);
  return warnings;
}

/** The tail has nothing unproven: it goes on. */
async function reopenTail(
  input: RecoverInput,
  survey: Survey,
  tail: Tail,
): Promise<Omit<RecoveredLog, 'report'>> {
  const { sequence } = survey.tail.header;
  if (sequence > input.promise.segmentSequence) await input.persistSequence(sequence);
  const file = await input.fs.open(survey.tail.path, 'write');
  try {
    return { sealed: survey.sealed, tail: survey.tail, file, size: await file.size(), end: tail.proven };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Makes the segment that follows the proven part of the tail and holds its suffix. */
async function succeedTail(
  input: RecoverInput,
  dir: string,
  survey: Survey,
  tail: Tail,
): Promise<Omit<RecoveredLog, 'report'>> {
  const { fs, chance } = input;
  const old = survey.tail;
  const sequence = Math.max(survey.sequenceMax, input.promise.segmentSequence) + 1;
  const draft = followingHeader(old.header, tail.proven, sequence, chance);
  const { bytes, end } = copyRecords(draft, tail.suffix);
  const header = { ...draft, provenTo: SEGMENT_HEADER_BYTES + bytes.length };
  const spare = await input.spares.take(header.provenTo);
  try {
    await keepTornBytes(input, old, tail);
  } catch (error) {
    await spare.file.close();
    throw error;
  }
  const { segment, file } = await makeSegment({ fs, dir, clock: input.clock }, spare, header, bytes);
  try {
    await input.persistSequence(sequence);
    const isReplaced = segment.path === old.path;
    const sealed = isReplaced ? survey.sealed : [...survey.sealed, { ...old, end: tail.proven.offset }];
    return { sealed, tail: segment, file, size: await file.size(), end };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** Whether the segment after `position` starts where `old` does, and so takes its place and its name. */
export function takesPlaceOf(old: SegmentHeader, position: ReaderPosition): boolean {
  return nextIndex(position.previousIndex) === old.firstIndex;
}

/**
 * The header of a segment that follows `position` of the segment `old`. When that is where `old` starts, the
 * new one takes its place, and its name.
 */
export function followingHeader(
  old: SegmentHeader,
  position: ReaderPosition,
  sequence: number,
  chance: Chance,
): SegmentHeader {
  assert(sequence > old.sequence, `sequence ${sequence} follows ${old.sequence}`);
  const isReplacement = takesPlaceOf(old, position);
  return {
    ...old,
    sequence,
    firstIndex: nextIndex(position.previousIndex),
    id: Buffer.from(chance.fill(new Uint8Array(8))).toString('hex'),
    previousId: isReplacement ? old.previousId : old.id,
    previousEnd: isReplacement ? old.previousEnd : position.offset,
    previousCrc: isReplacement ? old.previousCrc : position.previousCrc,
    previousTerm: position.previousTerm,
    previousTime: position.previousTime,
    provenTo: SEGMENT_HEADER_BYTES,
  };
}

/** The same records as one batch of another segment. */
function copyRecords(
  header: SegmentHeader,
  records: readonly LogRecord[],
): { bytes: Uint8Array; end: ReaderPosition } {
  const seed = segmentSeed(header);
  const ends: number[] = [];
  let size = 0;
  records.forEach((record, at) => {
    size = recordEnd(size, record.length, at === records.length - 1);
    ends.push(size);
  });
  const bytes = new Uint8Array(size);
  let end = segmentStart(header);
  let offset = 0;
  records.forEach((record, at) => {
    bytes.set(record.body, offset + RECORD_HEADER_BYTES);
    const isBatchEnd = at === records.length - 1;
    const fields = { ...record, syncedTo: SEGMENT_HEADER_BYTES, previous: end.previousCrc, isBatchEnd };
    const previousCrc = encodeHeader(bytes, offset, fields, record.length, seed);
    offset = ends[at]!;
    end = {
      offset: SEGMENT_HEADER_BYTES + offset,
      previousCrc,
      previousIndex: record.index,
      previousTerm: record.term,
      previousTime: record.time,
    };
  });
  return { bytes, end };
}

/** Gives back the space behind the end of a sealed segment. Nothing there is part of the log. */
export async function trim(fs: FileSystem, path: string, end: number): Promise<void> {
  const file = await fs.open(path, 'write');
  try {
    await file.truncate(end);
  } finally {
    await file.close();
  }
}

/** Copies torn bytes to the quarantine: they were never synced, but somebody may want to look. */
async function keepTornBytes(input: RecoverInput, old: Segment, tail: Tail): Promise<void> {
  const { torn } = tail;
  if (torn === null) return;
  const name = `${old.path.slice(old.path.lastIndexOf('/') + 1)}-${torn.offset}.torn`;
  const quarantine = new Quarantine(input.fs, input.dataDir);
  const note = { from: old.path, offset: torn.offset, reason: `torn write: ${torn.reason}` };
  await ifThereIsRoom(() => quarantine.keep(name, note, torn.end));
}

/** The last entry that the status knows of: one that was committed, or compacted away. */
export function promisedIndex(promise: RecoverInput['promise']): Index {
  return laterOf(promise.commitIndex, previousIndex(promise.firstIndex));
}

function beginsTooLate(dir: string, firstIndex: Index, replayAfter: Index): Error {
  const firstLost = nextIndex(replayAfter);
  const lastLost = previousIndex(firstIndex);
  const range = firstLost === lastLost ? `entry ${firstLost} is` : `entries ${firstLost} to ${lastLost} are`;
  return damagedLog(
    `${range} missing: the state is known up to entry ${replayAfter}, and the log in ${dir} begins with ` +
      `entry ${firstIndex}`,
    { file: dir, firstLost, lastLost, firstIndex },
  );
}

/** Acknowledged entries are missing at the end. */
export function endsTooEarly(path: string, lastIndex: Index, known: Index): Error {
  return damagedLog(
    `the log ends at entry ${lastIndex} in ${path}, but the status or a checkpoint knows of entry ` +
      `${known}: entries ${lastIndex + 1} to ${known} are missing`,
    { file: path, firstLost: lastIndex + 1, lastLost: known },
  );
}
