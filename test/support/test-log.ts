/**
 * A log on its own, with small segments, a status in memory, a clock that stands still and chance from a
 * seed: the same calls give the same bytes.
 */

import { deepStrictEqual, strictEqual } from 'node:assert';
import type { TidemarkError } from '../../src/base/errors.ts';
import { type Index, previousIndex, toIndex, toTerm } from '../../src/base/positions.ts';
import { createLog, FIRST_SEQUENCE } from '../../src/log/create-log.ts';
import { type Durability, SYNCED } from '../../src/log/durability.ts';
import { Log } from '../../src/log/log.ts';
import type { LogStatus } from '../../src/log/log-files.ts';
import type { LogRecord } from '../../src/log/segment-reader.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { diskFrom, readDisk } from './disk-bytes.ts';

export const SEGMENT_BYTES = 64 * 1024;
export const DATA_DIR = '/data';
export const LOG_DIR = `${DATA_DIR}/log`;
/** Longer than a log waits before it proves its last batch. */
export const IDLE_MS = 1000;

export const IDENTITY = { clusterId: '00112233445566778899aabbccddeeff', nodeId: 1, incarnation: 1 };

/** Of checkpoints: nothing is kept for its age, neither checkpoints nor the log. */
export const NEWEST_ONLY = { checkpointAgeMs: 0, logAgeMs: 0 } as const;

/** What the status would hold. */
export interface StatusFields {
  firstIndex: Index;
  segmentSequence: number;
  commitIndex: Index;
}

/** As checkpoints see a log of which nothing was given back yet, and that takes no room. */
export const WHOLE_LOG = { firstIndex: toIndex(1), sealedBytesAfter: () => 0 } as const;

export function newStatus(): StatusFields {
  return { firstIndex: toIndex(1), segmentSequence: FIRST_SEQUENCE, commitIndex: toIndex(0) };
}

/** No two logs of a test draw the same segment ids, for the second may go on where the first was killed. */
let seedsUsed = 0;

export interface TestLogOptions {
  readonly fs?: FileSystem;
  readonly dataDir?: string;
  readonly seed?: number;
  readonly status?: StatusFields;
  readonly segmentBytes?: number;
  readonly durability?: Durability;
}

export class TestLog {
  fs: FileSystem;
  readonly dataDir: string;
  readonly clock = new ManualClock();
  readonly chance: SeededRandom;
  readonly segmentBytes: number;
  readonly durability: Durability;
  readonly status: StatusFields;
  /** In the order in which they came. */
  readonly released: Index[] = [];
  readonly durable: Index[] = [];
  readonly refused: { readonly afterIndex: Index; readonly error: TidemarkError }[] = [];
  readonly poisoned: TidemarkError[] = [];
  onReleased: (index: Index) => void = () => undefined;
  /** Called before the status changes; what it throws keeps it from changing. */
  beforeStatus: () => void = () => undefined;
  /** What `open` replays after; null for all that the status promises. */
  replayAfter: Index | null = null;
  /** What the last open replayed: bodies as text. */
  replayed: string[] = [];
  #log: Log | null = null;

  constructor(options: TestLogOptions = {}) {
    this.fs = options.fs ?? new MemoryFileSystem();
    this.dataDir = options.dataDir ?? DATA_DIR;
    this.chance = new SeededRandom(options.seed ?? ++seedsUsed);
    this.status = options.status ?? newStatus();
    this.segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    this.durability = options.durability ?? SYNCED;
  }

  /** A new log, open. */
  static async make(options: TestLogOptions = {}): Promise<TestLog> {
    const test = new TestLog(options);
    const { fs, dataDir, clock, chance, segmentBytes } = test;
    await fs.makeDirectory(dataDir);
    await createLog({ fs, dataDir, identity: IDENTITY, clock, chance, segmentBytes });
    await test.open();
    return test;
  }

  get log(): Log {
    if (this.#log === null) throw new Error('the log was not opened');
    return this.#log;
  }

  /** Kills the process: what was written is there, and a new one opens it. In memory only. */
  async restart(): Promise<Log> {
    this.fs = await diskFrom(await readDisk(this.fs, this.dataDir));
    return this.open();
  }

  /** Opens what is there; an open log was closed before. */
  async open(): Promise<Log> {
    this.replayed = [];
    this.#log = await Log.open({
      ...this.#doors(),
      dataDir: this.dataDir,
      identity: IDENTITY,
      status: this.#status(),
      options: { segmentBytes: this.segmentBytes },
      replayAfter: this.replayAfter ?? previousIndex(this.status.firstIndex),
      onKnown: () => undefined,
      onReplay: (record) => this.replayed.push(textOf(record)),
      durability: this.durability,
      onReleased: (index) => {
        this.released.push(index);
        this.onReleased(index);
      },
      onDurable: (index) => void this.durable.push(index),
      onRefused: (afterIndex, error) => this.refused.push({ afterIndex, error }),
      onPoisoned: (error) => this.poisoned.push(error),
    });
    return this.#log;
  }

  /** Appends one entry for each size, without a flush. */
  append(...sizes: readonly number[]): Index {
    for (const bytes of sizes) {
      const index = this.log.lastIndex + 1;
      this.log.append(toTerm(0), this.clock.now() + index, bodyOf(index, bytes));
    }
    return this.log.lastIndex;
  }

  /** Waits until everything appended is durable. */
  async flush(): Promise<void> {
    this.log.flush();
    await settle(() => this.log.durableIndex === this.log.lastIndex || this.poisoned.length > 0);
  }

  /** One batch: one write, one sync. */
  async write(...sizes: readonly number[]): Promise<void> {
    this.append(...sizes);
    await this.flush();
  }

  /** The log has been idle for long enough to prove its last batch. */
  async idle(): Promise<void> {
    const { syncs } = this.log.stats;
    this.clock.advance(IDLE_MS);
    await settle(() => this.log.stats.syncs > syncs);
  }

  /** Every entry from `first` to the last durable one is there, as it was appended. */
  async check(first = Number(this.log.firstIndex), last = Number(this.log.durableIndex)): Promise<void> {
    const found: string[] = [];
    for await (const record of this.log.read(toIndex(first), toIndex(last))) found.push(textOf(record));
    deepStrictEqual(found, textsOf(first, last));
  }

  /** The last open replayed exactly the entries from 1 to `last`. */
  checkReplayed(last: number): void {
    strictEqual(this.log.lastIndex, last);
    deepStrictEqual(this.replayed, textsOf(1, last));
  }

  /** Names in the log's directory that match. */
  async names(pattern: RegExp): Promise<string[]> {
    return (await this.fs.list(`${this.dataDir}/log`)).filter((name) => pattern.test(name));
  }

  /** Paths of the segments, oldest first. */
  async segments(): Promise<string[]> {
    return (await this.names(/\.log$/)).map((name) => `${this.dataDir}/log/${name}`);
  }

  #doors() {
    const { fs, clock, chance } = this;
    return { fs, clock, chance };
  }

  #status(): LogStatus {
    const { status } = this;
    return {
      promise: { ...status },
      makeDurable: () => Promise.resolve(),
      persistSequence: async (sequence) => {
        this.beforeStatus();
        status.segmentSequence = sequence;
      },
      persistFirstIndex: async (firstIndex) => {
        this.beforeStatus();
        status.firstIndex = firstIndex;
      },
    };
  }
}

/** `entry 12 ` and then bytes that differ from entry to entry; at least as long as that text. */
export function bodyOf(index: number, bytes: number): Uint8Array {
  const text = Buffer.from(`entry ${index} `);
  if (filler.length < bytes + 1024) filler = new SeededRandom(1).fill(Buffer.alloc(2 * bytes + 1024));
  const from = (index * 7) % 1024;
  return Buffer.concat([text, filler.subarray(from, from + Math.max(0, bytes - text.length))]);
}

/** Made once: to draw it anew for every entry takes longer than all else in these tests. */
let filler = new SeededRandom(1).fill(Buffer.alloc(256 * 1024));

/** What identifies a body made by `bodyOf`, once all of it was compared. */
function textOf(record: LogRecord): string {
  const expected = bodyOf(record.index, record.length);
  const isAsWritten = Buffer.compare(expected, record.body) === 0;
  return isAsWritten ? `entry ${record.index}` : `entry ${record.index} is WRONG`;
}

export function textsOf(first: number, last: number): string[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, at) => `entry ${first + at}`);
}

/** Lets the event loop turn until `isDone`. */
export async function settle(isDone: () => boolean): Promise<void> {
  for (let turns = 0; !isDone(); turns++) {
    if (turns > 100_000) throw new Error('what was waited for did not come');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
