/**
 * The log of a data directory as it is on the disk, for who reads history without opening a node. Takes no
 * lock and changes nothing; what a running node appends later is not seen.
 */

import { type Index, previousIndex } from '../base/positions.ts';
import type { FileSystem } from '../storage/file-system.ts';
import type { SegmentStart } from './log-files.ts';
import { examineMovingTail } from './read-log.ts';
import { readRecords } from './read-records.ts';
import { endsTooEarly, promisedIndex } from './recover.ts';
import type { LogRecord } from './segment-reader.ts';
import { startBefore } from './sparse-index-file.ts';
import type { Status } from './status-content.ts';
import { type Survey, surveyLog } from './survey.ts';
import { lastIndexOf, type Tail } from './tail.ts';

export class StoredLog {
  readonly firstIndex: Index;
  /** The last entry that recovery would keep. */
  readonly durableIndex: Index;
  readonly #promised: Index;
  readonly #fs: FileSystem;
  readonly #survey: Survey;
  readonly #tail: Tail;

  private constructor(fs: FileSystem, status: Status, survey: Survey, tail: Tail) {
    this.#promised = promisedIndex(status);
    this.#fs = fs;
    this.#survey = survey;
    this.#tail = tail;
    this.firstIndex = status.firstIndex;
    this.durableIndex = lastIndexOf(tail);
  }

  /** @throws TidemarkError as the opening would: see `surveyLog` and `examineTail`. */
  static async open(fs: FileSystem, dataDir: string, status: Status): Promise<StoredLog> {
    const survey = await surveyLog(fs, `${dataDir}/log`, status, status);
    return new StoredLog(fs, status, survey, await examineMovingTail(fs, survey.tail));
  }

  /** @throws TidemarkError TIDEMARK_LOG_DAMAGED where it ends before what the status promises. */
  requireWhole(): void {
    if (this.durableIndex < this.#promised) {
      throw endsTooEarly(this.#survey.tail.path, this.durableIndex, this.#promised);
    }
  }

  get segmentStarts(): readonly SegmentStart[] {
    return [...this.#survey.sealed, this.#survey.tail].map(({ header }) => header);
  }

  /**
   * Entries `first` to `last`, both included, verified; marks are left out. The body of each is valid until
   * the next is asked for.
   * @throws TidemarkError TIDEMARK_LOG_DAMAGED; TIDEMARK_FILE_MISSING when the node compacted it away.
   */
  async *read(first: Index, last: Index): AsyncGenerator<LogRecord, void, void> {
    for await (const record of this.#recordsFrom(first)) {
      if (record.index > last) return;
      if (record.index >= first && record.type !== 'mark') yield record;
    }
  }

  async *#recordsFrom(first: Index): AsyncGenerator<LogRecord, void, void> {
    const { sealed, tail } = this.#survey;
    for (const [at, segment] of sealed.entries()) {
      const next = sealed[at + 1]?.header ?? tail.header;
      if (previousIndex(next.firstIndex) < first) continue;
      yield* readRecords(this.#fs, segment, next, await startBefore(this.#fs, segment, first));
    }
    yield* readRecords(this.#fs, { ...tail, end: this.#tail.proven.offset }, null);
    yield* this.#tail.suffix;
  }
}
