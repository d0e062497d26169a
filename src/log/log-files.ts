/**
 * The files of an open log: the tail that is written, the sealed segments behind it, and the changes to that
 * list. Each change has one commit point, the rename inside `makeSegment` or the status.
 */

import { assert, InvariantViolation } from '../base/assert.ts';
import { NO_BYTES } from '../base/bytes.ts';
import type { Chance } from '../base/chance.ts';
import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { type Index, nextIndex, previousIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import type { BatchBuffer } from './batch-buffer.ts';
import { ifThereIsRoom } from './quarantine.ts';
import { readRecords } from './read-records.ts';
import { RecentPlaces } from './recent-places.ts';
import { followingHeader, type RecoveredLog, takesPlaceOf, trim } from './recover.ts';
import { SEGMENT_HEADER_BYTES, segmentSeed } from './segment.ts';
import { makeSegment, removeIfThere, removeSegment, type Segment, sparseIndexPath } from './segment-file.ts';
import { type LogRecord, positionAfter, type ReaderPosition, segmentStart } from './segment-reader.ts';
import type { Spare, Spares } from './spares.ts';
import { SparseIndex } from './sparse-index.ts';
import { readPoints, writePoints } from './sparse-index-file.ts';
import type { LogPromise, SealedSegment } from './survey.ts';
import type { Written } from './syncer.ts';

/** The part of the status that the log keeps true. */
export interface LogStatus {
  readonly promise: LogPromise & { readonly commitIndex: Index };
  /** Makes what the promise was read from durable. Called once, before recovery changes anything. */
  makeDurable(): Promise<void>;
  /** Resolves when the status says so durably. */
  persistSequence(sequence: number): Promise<void>;
  persistFirstIndex(firstIndex: Index): Promise<void>;
}

/** A truncation that can be carried out. */
export interface Truncation {
  /** The segment that `position` is in, and its place in the list. */
  readonly target: Segment;
  readonly at: number;
  readonly position: ReaderPosition;
  readonly spare: Spare;
}

/** Where a segment begins, for who looks for an entry by its time. */
export interface SegmentStart {
  readonly firstIndex: Index;
  /** Of the entry before it. */
  readonly previousTime: number;
}

export interface LogFilesConfig {
  readonly fs: FileSystem;
  readonly dir: string;
  readonly chance: Chance;
  readonly clock: Clock;
  readonly spares: Spares;
  readonly status: LogStatus;
  /** Something is wrong that is no error of the file system. */
  readonly onFailure: (error: unknown) => void;
}

export class LogFiles {
  readonly spares: Spares;
  readonly #config: LogFilesConfig;
  /** Oldest first. */
  #sealed: SealedSegment[];
  #tail: Segment;
  #file: File;
  #size: number;
  #seed: number;
  #end: ReaderPosition;
  /** Everything before this offset of the tail is durable. */
  #syncedTo: number;
  #points = new SparseIndex();
  #recent = new RecentPlaces();
  #firstIndex: Index;
  /** Compacted segments whose files are still there, oldest first. */
  #gone: Segment[] = [];
  /** Work on files that nobody reads or writes for the log, one after the other; never rejects. */
  #tidying: Promise<void> = Promise.resolve();

  constructor(config: LogFilesConfig, recovered: RecoveredLog) {
    this.#config = config;
    this.spares = config.spares;
    this.#sealed = [...recovered.sealed];
    this.#tail = recovered.tail;
    this.#file = recovered.file;
    this.#size = recovered.size;
    this.#seed = segmentSeed(recovered.tail.header);
    this.#end = recovered.end;
    this.#syncedTo = recovered.end.offset;
    this.#firstIndex = config.status.promise.firstIndex;
  }

  get firstIndex(): Index {
    return this.#firstIndex;
  }

  get segmentStarts(): readonly SegmentStart[] {
    return [...this.#sealed, this.#tail].map(({ header }) => header);
  }

  /** Every segment, oldest first, and where what is durable of it ends. */
  get durableSegments(): readonly SealedSegment[] {
    return [...this.#sealed, { ...this.#tail, end: this.#syncedTo }];
  }

  /** Bytes of the sealed segments that hold nothing but entries after `index`. */
  sealedBytesAfter(index: Index): number {
    const later = this.#sealed.filter(({ header }) => header.firstIndex > index);
    return later.reduce((sum, { end }) => sum + end, 0);
  }

  /** Where the next batch goes; everything before is written. */
  get end(): ReaderPosition {
    return this.#end;
  }

  get written(): Written {
    return writtenTo(this.#end);
  }

  /** The tail. */
  get file(): File {
    return this.#file;
  }

  hasRoomFor(batch: BatchBuffer): boolean {
    return this.#end.offset + batch.roomBytes <= this.#size;
  }

  seal(batch: BatchBuffer): { bytes: Uint8Array; end: ReaderPosition } {
    return batch.seal(this.#end, this.#syncedTo, this.#tail.header.timeline, this.#seed);
  }

  /** A batch is written. */
  advance(end: ReaderPosition): void {
    this.#points.offer(this.#end);
    this.#recent.add(this.#end);
    this.#end = end;
  }

  /** Everything before `offset` of the tail is durable. */
  synced(offset: number): void {
    assert(offset >= this.#syncedTo && offset <= this.#end.offset, `${offset} was written, and not durable`);
    this.#syncedTo = offset;
  }

  takeSpare(batch: BatchBuffer): Promise<Spare> {
    return this.spares.takeForRotation(SEGMENT_HEADER_BYTES + batch.roomBytes);
  }

  /** Seals the tail, of which everything is durable, and begins the segment after it in `spare`. */
  async rotate(spare: Spare): Promise<void> {
    const sealed = { ...this.#tail, end: this.#end.offset };
    const points = this.#points;
    // A tail with nothing in it is replaced, not followed.
    const isReplaced = takesPlaceOf(this.#tail.header, this.#end);
    const listed = (): SealedSegment[] => (isReplaced ? this.#sealed : [...this.#sealed, sealed]);
    await this.#begin(spare, this.#tail, this.#end, listed);
    if (!isReplaced) void this.#afterTidying(() => this.#tidy(sealed, points));
  }

  /** Runs `work` when what came before it has ended, well or not. */
  #afterTidying(work: () => Promise<void>): Promise<void> {
    const run = this.#tidying.then(work);
    this.#tidying = run.catch(() => undefined); // Whoever asked for the work has its error.
    return run;
  }

  /**
   * Gives back the space behind a sealed segment and writes its sparse index. Both only save space and time,
   * so a file that cannot be touched now, or is gone by compaction, is left as it is.
   */
  async #tidy(sealed: SealedSegment, points: SparseIndex): Promise<void> {
    try {
      if (!this.#sealed.includes(sealed)) return;
      await trim(this.#config.fs, sealed.path, sealed.end);
      await writePoints(this.#config.fs, sealed, points);
    } catch (error) {
      if (!isTidemarkError(error)) this.#config.onFailure(error);
    }
  }

  /**
   * Forgets entries up to `index`: 1. the status says so (the commit point); 2. segments that hold nothing
   * else are removed, oldest first, so that a crash leaves a log without a gap (checklist A4).
   */
  async compactTo(index: Index): Promise<void> {
    if (index >= this.#firstIndex) {
      await this.#config.status.persistFirstIndex(nextIndex(index));
      this.#firstIndex = nextIndex(index);
      const successors = [...this.#sealed.slice(1), this.#tail];
      const kept = successors.findIndex(({ header }) => header.firstIndex > nextIndex(index));
      this.#gone.push(...this.#sealed.splice(0, kept === -1 ? this.#sealed.length : kept));
    }
    if (this.#gone.length > 0) await this.#afterTidying(() => this.#removeGone());
  }

  /** What cannot be removed for want of descriptors is removed by the next compaction, or the next start. */
  async #removeGone(): Promise<void> {
    await ifThereIsRoom(async () => {
      for (let oldest = this.#gone[0]; oldest !== undefined; oldest = this.#gone[0]) {
        await removeSegment(this.#config.fs, oldest.path);
        this.#gone.shift();
      }
      await this.#config.fs.syncDirectory(this.#config.dir);
    });
  }

  /**
   * Finds the place behind the entry at `index`, and takes a spare for what will stand there. Nothing has
   * changed when it fails. Null when nothing stands behind it.
   */
  async prepareTruncation(index: Index): Promise<Truncation | null> {
    if (index >= this.#end.previousIndex) return null;
    await this.#tidying;
    const all: Segment[] = [...this.#sealed, this.#tail];
    const at = all.findLastIndex((segment) => segment.header.firstIndex <= nextIndex(index));
    assert(at >= 0, `entry ${index} precedes the log`);
    const target = all[at]!;
    const position = await this.#findEnd(target, index);
    return { target, at, position, spare: await this.spares.take(SEGMENT_HEADER_BYTES) };
  }

  /**
   * Forgets the entries behind a place: 1. a new segment begins there (the commit point); 2. the segments it
   * makes void are removed, newest first.
   */
  async truncate({ target, at, position, spare }: Truncation): Promise<Written> {
    const all: Segment[] = [...this.#sealed, this.#tail];
    const isReplaced = takesPlaceOf(target.header, position);
    const before = this.#sealed.slice(0, at);
    const sealed = isReplaced ? before : [...before, { ...target, end: position.offset }];
    await this.#begin(spare, target, position, () => sealed);
    const gone = all.slice(at + 1).filter((segment) => segment.path !== this.#tail.path);
    // What cannot be removed for want of descriptors is void all the same; the next start removes it.
    await ifThereIsRoom(async () => {
      for (const segment of gone.reverse()) await removeSegment(this.#config.fs, segment.path);
      await this.#config.fs.syncDirectory(this.#config.dir);
      if (!isReplaced) await trim(this.#config.fs, target.path, position.offset);
      await removeIfThere(this.#config.fs, sparseIndexPath(target.path));
    });
    return this.written;
  }

  async *read(first: Index, last: Index, durable: Index): AsyncGenerator<LogRecord, void, void> {
    if (first < this.#firstIndex || last > durable) throw notRetained(first, last, this.#firstIndex, durable);
    // A snapshot of the list: what is compacted or truncated away meanwhile is noticed, not skipped.
    const segments = [...this.#sealed, { ...this.#tail, end: this.#end.offset }];
    const tailPlaces = [this.#recent, this.#points];
    for (const [at, segment] of segments.entries()) {
      const next = segments[at + 1]?.header ?? null;
      if (next !== null && next.firstIndex <= first) continue;
      if (segment.header.firstIndex > last) return;
      const places = next === null ? tailPlaces : [await readPoints(this.#config.fs, segment)];
      const found = places.map((place) => place?.before(first)).find((position) => position != null);
      const start = found ?? segmentStart(segment.header);
      try {
        for await (const record of readRecords(this.#config.fs, segment, next, start)) {
          if (record.index > last) return;
          if (record.index >= first && record.type !== 'mark') yield record;
        }
      } catch (error) {
        if (!isTidemarkError(error) || this.#holds(segment)) throw error;
        throw notRetained(first, last, this.#firstIndex, this.#end.previousIndex);
      }
    }
  }

  /** Whether all of a segment, as it was when a read began, is still part of the log. */
  #holds({ header, end }: SealedSegment): boolean {
    if (header.id === this.#tail.header.id) return end <= this.#end.offset;
    return this.#sealed.some((sealed) => sealed.header.id === header.id && end <= sealed.end);
  }

  async close(): Promise<void> {
    await this.#tidying;
    try {
      await this.spares.close();
    } finally {
      await this.#file.close();
    }
  }

  /**
   * Makes the segment that follows `position` of `old` the tail, and tells the status before it is used. Its
   * header proves everything before it, so nothing is written and not durable. The list of segments changes
   * at one stroke: a reader sees it before or after.
   * @param sealed The list of sealed segments then. A compaction may have made it shorter meanwhile.
   */
  async #begin(
    spare: Spare,
    old: Segment,
    position: ReaderPosition,
    sealed: () => readonly SealedSegment[],
  ): Promise<void> {
    const { chance, status } = this.#config;
    const { offset } = this.#end;
    assert(this.#syncedTo === offset, `the tail is durable up to ${this.#syncedTo}, and ends at ${offset}`);
    const sequence = this.#tail.header.sequence + 1;
    const header = followingHeader(old.header, position, sequence, chance);
    const { segment, file } = await makeSegment(this.#config, spare, header, NO_BYTES);
    let size: number;
    try {
      size = await file.size();
      await status.persistSequence(sequence);
      await this.#file.close();
    } catch (error) {
      await file.close();
      throw error;
    }
    this.#sealed = [...sealed()];
    this.#tail = segment;
    this.#file = file;
    this.#size = size;
    this.#seed = segmentSeed(header);
    this.#end = segmentStart(header);
    this.#syncedTo = this.#end.offset;
    this.#points = new SparseIndex();
    this.#recent = new RecentPlaces();
    this.spares.refill();
  }

  /** Where the entry after `index` would stand in `segment`. */
  async #findEnd(segment: Segment, index: Index): Promise<ReaderPosition> {
    if (previousIndex(segment.header.firstIndex) === index) return segmentStart(segment.header);
    const sealed = this.#sealed.find((candidate) => candidate.header.id === segment.header.id);
    const whole = { ...segment, end: sealed?.end ?? this.#end.offset };
    for await (const record of readRecords(this.#config.fs, whole, null)) {
      if (record.index === index) return positionAfter(record);
    }
    throw unreachableEntry(segment, index);
  }
}

function writtenTo({ offset, previousIndex, previousTerm, previousTime }: ReaderPosition): Written {
  return { offset, index: previousIndex, term: previousTerm, time: previousTime };
}

function unreachableEntry(segment: Segment, index: Index): Error {
  return new InvariantViolation(`entry ${index} is in ${segment.path}, which verified to its end`);
}

function notRetained(first: Index, last: Index, firstIndex: Index, durable: Index): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_INDEX_NOT_RETAINED',
    `entries ${first} to ${last} were asked for; the log holds ${firstIndex} to ${durable}`,
    { remedy: 'fix-call', facts: { first, last, firstIndex, durableIndex: durable } },
  );
}
