/**
 * The tail: what a crash may have left at the end of the newest segment, told apart from damage.
 *
 * Let S be the offset up to which the segment proves itself durable: the largest of the header's `provenTo`
 * and the `syncedTo` of every intact record, those beyond a damaged one included.
 *
 *  - Records up to S were durable: damage before S is corruption, never a torn write (checklist C1, C8).
 *  - Records after S are intact but may be in the page cache only: they are the *suffix*, which recovery
 *    copies into a new, synced segment before it counts (B7; Rebello et al., "Can Applications Recover from
 *    fsync Failures?", USENIX ATC'20).
 *  - The first record that is not intact, at or after S, begins a torn write that was never synced: it is
 *    discarded with everything behind it (B1, B2, B3). With `buffered` durability that may be several
 *    batches, some of them whole: what the disk took out of its order is no prefix, and void.
 *
 * An intact record that does not follow the one before is stale when its chain differs (B4), and the work of
 * a wrong writer when its chain fits but its index, term or time does not (C10): the second stops the node.
 *
 * Reads only.
 */

import { bufferOf, isZero } from '../base/bytes.ts';
import { type Index, laterOf } from '../base/positions.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { damagedLog } from './damage.ts';
import { readToEnd } from './read-to-end.ts';
import { decodeHeader, RECORD_ALIGNMENT_BYTES, RECORD_HEADER_BYTES, RECORD_MAGIC } from './record.ts';
import { type SegmentHeader, segmentSeed } from './segment.ts';
import type { Segment } from './segment-file.ts';
import { type LogRecord, type ReaderPosition, SegmentReader, segmentStart } from './segment-reader.ts';

/** Bytes searched at a time for records beyond a damaged one. */
const SEARCH_BYTES = 1024 * 1024;

/**
 * What was written at the end and did not reach the disk whole; with `buffered` durability, several batches.
 */
export interface TornWrite {
  readonly offset: number;
  readonly end: number;
  readonly reason: string;
  /** At least so many entries are in it: as far as headers are left that tell of them. */
  readonly entries: number;
}

export interface Tail {
  /** The end of the proven part: what the next segment follows. */
  readonly proven: ReaderPosition;
  /** Where to start reading in order to meet every proven entry after a given one. */
  readonly start: ReaderPosition;
  /** Entries after the proven part, oldest first, with bodies of their own. */
  readonly suffix: readonly LogRecord[];
  /** Whether anything, even a mark or torn bytes, stands after the proven part. */
  readonly isDirty: boolean;
  /** The torn write, or null: where it starts and where the last non-zero byte found ends. */
  readonly torn: TornWrite | null;
}

/** @param after The entry that `Tail.start` is for. */
export async function examineTail(fs: FileSystem, { header, path }: Segment, after: Index): Promise<Tail> {
  const file = await fs.open(path, 'read');
  try {
    const size = await file.size();
    const reader = new SegmentReader(file, header, size);
    let proven = segmentStart(header);
    let start = proven;
    let unproven: { position: ReaderPosition; record: LogRecord }[] = [];
    for (;;) {
      const position = reader.position;
      const step = await reader.next();
      if (step.kind === 'record') {
        const provenTo = Math.max(header.provenTo, step.record.syncedTo);
        unproven.push({ position, record: step.record });
        const firstUnproven = unproven.findIndex((entry) => entry.record.offset >= provenTo);
        proven = firstUnproven === -1 ? reader.position : unproven[firstUnproven]!.position;
        if (proven.previousIndex <= after) start = proven;
        if (firstUnproven !== 0) unproven = firstUnproven === -1 ? [] : unproven.slice(firstUnproven);
        continue;
      }
      const beyond = await searchBeyond(fs, path, header, step.offset, size);
      const reason = step.kind === 'end' ? 'zeros where a record must be' : step.reason;
      const isProven = Math.max(header.provenTo, beyond.provenTo) > step.offset;
      if (isProven || reason === 'order') throw damagedRecord(path, step.offset, position, beyond, reason);
      const suffix = unproven.map((entry) => entry.record);
      const lastIndex = position.previousIndex;
      return {
        proven,
        start,
        suffix: suffix.filter((record) => record.type !== 'mark'),
        isDirty: suffix.length > 0 || beyond.nonZeroEnd > step.offset,
        torn: tornWrite(step.offset, beyond, reason, lastIndex),
      };
    }
  } finally {
    await file.close();
  }
}

function tornWrite(offset: number, beyond: Beyond, reason: string, lastIndex: Index): TornWrite | null {
  if (beyond.nonZeroEnd <= offset) return null;
  const entries = Math.max(0, (beyond.lastIndex ?? 0) - lastIndex);
  return { offset, end: beyond.nonZeroEnd, reason, entries };
}

/** Index of the last entry of the log whose tail this is. */
export function lastIndexOf({ proven, suffix }: Tail): Index {
  return suffix.at(-1)?.index ?? proven.previousIndex;
}

interface Beyond {
  /** Largest `syncedTo` of the intact headers found. */
  readonly provenTo: number;
  /** Index of the first intact header found; null when there is none. */
  readonly nextIndex: Index | null;
  /** Largest index of the intact headers found, that at the offset itself included; null without one. */
  readonly lastIndex: Index | null;
  /** End of the last block that is not all zero. */
  readonly nonZeroEnd: number;
}

/** Looks for intact record headers from `offset` on: never stops at the first bad or zero length. */
async function searchBeyond(
  fs: FileSystem,
  path: string,
  header: SegmentHeader,
  offset: number,
  size: number,
): Promise<Beyond> {
  const seed = segmentSeed(header);
  const none = null as Index | null;
  const beyond = { provenTo: 0, nextIndex: none, lastIndex: none, nonZeroEnd: offset };
  const file = await fs.open(path, 'read');
  try {
    // Windows overlap by a header, so that none is cut in two.
    const window = new Uint8Array(SEARCH_BYTES + RECORD_HEADER_BYTES);
    for (let start = offset; start < size; start += SEARCH_BYTES) {
      const read = await readToEnd(file, window.subarray(0, Math.min(window.length, size - start)), start);
      const bytes = bufferOf(window).subarray(0, read);
      if (isZero(bytes)) continue;
      beyond.nonZeroEnd = start + lastNonZero(bytes) + 1;
      for (let at = bytes.indexOf(RECORD_MAGIC); at !== -1; at = bytes.indexOf(RECORD_MAGIC, at + 1)) {
        if ((start + at) % RECORD_ALIGNMENT_BYTES !== 0) continue;
        const decoded = decodeHeader(bytes, at, seed);
        if (decoded.kind !== 'header') continue;
        beyond.provenTo = Math.max(beyond.provenTo, decoded.header.syncedTo);
        beyond.lastIndex = laterOf(beyond.lastIndex ?? decoded.header.index, decoded.header.index);
        if (start + at > offset) beyond.nextIndex ??= decoded.header.index;
      }
    }
    return beyond;
  } finally {
    await file.close();
  }
}

function lastNonZero(bytes: Buffer): number {
  let at = bytes.length - 1;
  while (bytes[at] === 0) at--;
  return at;
}

function damagedRecord(
  path: string,
  offset: number,
  position: ReaderPosition,
  beyond: Beyond,
  reason: string,
): Error {
  const firstLost = position.previousIndex + 1;
  const range =
    beyond.nextIndex === null
      ? `entry ${firstLost} and those after it`
      : beyond.nextIndex <= firstLost + 1
        ? `entry ${firstLost}`
        : `entries ${firstLost} to ${beyond.nextIndex - 1}`;
  return damagedLog(
    `${path} is damaged at offset ${offset} (${reason}), in its durable part: ${range} cannot be read`,
    {
      file: path,
      offset,
      reason,
      firstLost,
      ...(beyond.nextIndex ? { nextReadable: beyond.nextIndex } : {}),
    },
  );
}
