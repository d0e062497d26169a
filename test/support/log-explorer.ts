/**
 * The log alone as a subject of crash exploration: append, several records in one write, rotation,
 * `truncateAfter` and other entries under the same indices, `compactTo`, marks, close and reopen, over the
 * real status file. Each start replays after an index that a checkpoint may have: one that was committed.
 *
 * The buffered log is another subject: its entries are released before they are durable.
 *
 * Invariants, after any crash:
 *  - What was durable, after a kill also what was released, and no truncation begun since has dropped, is
 * there with its bytes, term and time.
 *  - The log is a prefix of what was appended. An entry whose truncation had resolved is not in it: others
 *    stand under its index, or none (checklist B4, B6).
 *  - It starts where the last compaction, done or begun, left it, and has no gap (A4).
 *  - It takes entries at once, and a second recovery finds the same (B9).
 *  - `verify` calls nothing of it damaged.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { setImmediate as turn } from 'node:timers/promises';
import { toIndex, toTerm } from '../../src/base/positions.ts';
import { buffered, type Durability, resolveDurability, SYNCED } from '../../src/log/durability.ts';
import { Log } from '../../src/log/log.ts';
import type { LogStatus } from '../../src/log/log-files.ts';
import { readLog } from '../../src/log/read-log.ts';
import { readStatus, STATUS_NAME, type StatusFile } from '../../src/log/status.ts';
import { openDataDirectory } from '../../src/node/data-directory.ts';
import type { FileLock, FileSystem } from '../../src/storage/file-system.ts';
import type { LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { CrashSubject, Workload } from './crash-explorer.ts';

const DIR = 'data';
const SEGMENT_BYTES = 64 * 1024;

/** Time after which the log proves its last batch, in milliseconds. */
const MARK_IDLE_MS = 250;

interface KnownEntry {
  readonly term: number;
  readonly time: number;
  readonly body: Uint8Array;
}

/** Small bounds, so that batches are not durable together, and a bound is met now and then. */
const BUFFERED = resolveDurability(buffered({ intervalMs: 1000, commandsMax: 12, bytesMax: SEGMENT_BYTES }));

/** What the outside world knows of a log. */
export interface KnownLog {
  /** How its next run releases entries. */
  readonly durability: Durability;
  /** Everything appended and not dropped by a truncation that resolved; entry 1 first. */
  readonly entries: KnownEntry[];
  /** Entries up to here must be there. */
  durable: number;
  /** After a kill, entries up to here must be there. */
  released: number;
  /** Where the truncation that is under way cuts, or null. */
  truncating: number | null;
  /** Entries up to here are gone, or may be. */
  compactedDone: number;
  compactedBegun: number;
  /** Entries up to here are never truncated. */
  committed: number;
}

/** An open log, with its status and its lock. */
export class OpenLog {
  readonly log: Log;
  readonly status: StatusFile;
  readonly clock: ManualClock;
  readonly #lock: FileLock;
  readonly #events: LogEvents;

  private constructor(log: Log, status: StatusFile, clock: ManualClock, lock: FileLock, events: LogEvents) {
    this.log = log;
    this.status = status;
    this.clock = clock;
    this.#lock = lock;
    this.#events = events;
  }

  static async open(fs: FileSystem, seed: number, { durability, ...told }: OpenInput): Promise<OpenLog> {
    const clock = new ManualClock();
    const events = new LogEvents(told);
    const replayed: number[] = [];
    const doors = { fs, clock, chance: new SeededRandom(seed) };
    const { status, lock } = await openDataDirectory({
      ...doors,
      dir: DIR,
      machine: { name: 'log', version: 1 },
      segmentBytes: SEGMENT_BYTES,
      onStatusFailure: (error) => events.fail(error),
    });
    const { firstIndex, commitIndex } = status.current;
    const oldest = firstIndex - 1;
    const replayAfter = new SeededRandom(seed).between(oldest, Math.max(oldest, commitIndex));
    const log = await Log.open({
      ...doors,
      dataDir: DIR,
      identity: status.current,
      status: logStatus(status),
      options: { segmentBytes: SEGMENT_BYTES },
      replayAfter: toIndex(replayAfter),
      durability,
      onReleased: (index) => events.released(index),
      onDurable: (index) => events.durable(index),
      onRefused: (_after, error) => events.fail(error),
      onKnown: () => undefined,
      onReplay: ({ index }) => void replayed.push(index),
      onPoisoned: (error) => events.fail(error),
    });
    const wanted = Array.from({ length: log.lastIndex - replayAfter }, (_, at) => replayAfter + 1 + at);
    deepStrictEqual(replayed, wanted, `every entry after ${replayAfter} is replayed once, in order`);
    return new OpenLog(log, status, clock, lock, events);
  }

  /** Resolves when everything appended may be acknowledged. */
  whenReleased(): Promise<void> {
    return this.#events.until(() => this.log.releasedIndex === this.log.lastIndex);
  }

  /** Resolves when everything appended is durable. */
  whenDurable(): Promise<void> {
    this.log.sync().catch(() => undefined); // What becomes of it is told anyway.
    return this.#events.until(() => this.log.durableIndex === this.log.lastIndex);
  }

  /** Appends one entry, and waits for it. */
  append(known: KnownLog, bytes: number): Promise<void> {
    const body = new Uint8Array(bytes).fill(known.entries.length);
    appendOne(this, known, { term: this.log.lastTerm + 1, time: this.clock.now(), body });
    this.log.flush();
    return this.whenDurable();
  }

  async close(): Promise<void> {
    await this.log.close();
    await this.status.close();
    await this.#lock.release();
    if (this.#events.failure !== null) throw this.#events.failure;
  }
}

/** What may be relied on, told to a test. */
interface Told {
  readonly onReleased: (index: number) => void;
  readonly onDurable: (index: number) => void;
}

interface OpenInput extends Told {
  readonly durability: Durability;
}

class LogEvents {
  failure: Error | null = null;
  readonly #told: Told;
  #waiters: { isDone: () => boolean; resolve: () => void; reject: (error: Error) => void }[] = [];

  constructor(told: Told) {
    this.#told = told;
  }

  released(index: number): void {
    this.#told.onReleased(index);
    this.#wake();
  }

  durable(index: number): void {
    this.#told.onDurable(index);
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiters) if (waiter.isDone()) waiter.resolve();
    this.#waiters = this.#waiters.filter((waiter) => !waiter.isDone());
  }

  fail(error: Error): void {
    this.failure ??= error;
    for (const waiter of this.#waiters.splice(0)) waiter.reject(this.failure);
  }

  until(isDone: () => boolean): Promise<void> {
    if (isDone()) return Promise.resolve();
    if (this.failure !== null) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => this.#waiters.push({ isDone, resolve, reject }));
  }
}

/** As `open` wires it (src/node/open.ts). */
export function logStatus(status: StatusFile): LogStatus {
  return {
    promise: status.current,
    makeDurable: () => status.makeDurable(),
    persistSequence(sequence) {
      status.update({ segmentSequence: sequence });
      return status.whenPersisted();
    },
    persistFirstIndex(first) {
      status.update({ firstIndex: first });
      return status.whenPersisted();
    },
  };
}

/** Opens the log of a lossy disk, and keeps `known` up to what is released and becomes durable. */
export function openKnown(files: LossyFileSystem, seed: number, known: KnownLog): Promise<OpenLog> {
  return OpenLog.open(files, seed, {
    durability: known.durability,
    onReleased: (index) => (known.released = Math.min(index, known.truncating ?? index)),
    onDurable: (index) => (known.durable = Math.min(index, known.truncating ?? index)),
  });
}

async function run(files: LossyFileSystem, workload: Workload, known: KnownLog): Promise<void> {
  const random = new SeededRandom(workload.seed);
  let open = await openKnown(files, workload.seed, known);
  for (let step = 0; step < workload.steps; step++) {
    if (random.happens(0.12)) {
      await open.close();
      known.durable = known.entries.length;
      known.released = known.durable;
      // Another seed: ids of segments are never drawn twice.
      open = await openKnown(files, workload.seed + 1 + step, known);
      await verify(open.log, known);
    } else {
      await takeStep(open, known, random);
    }
  }
  await open.close();
}

async function takeStep(open: OpenLog, known: KnownLog, random: SeededRandom): Promise<void> {
  const kind = random.below(100);
  if (kind < 55) await append(open, known, random);
  else if (kind < 75) await truncate(open, known, random);
  else if (kind < 85) await compact(open, known, random);
  else if (kind < 93) await commit(open, known, random);
  else {
    open.clock.advance(MARK_IDLE_MS);
    if (random.happens(0.5)) await turn();
  }
}

/** Several entries, in one write or in a few. Mostly waits for them. */
async function append(open: OpenLog, known: KnownLog, random: SeededRandom): Promise<void> {
  const { log, clock } = open;
  const count = random.between(1, 5);
  for (let at = 0; at < count; at++) {
    const length = random.happens(0.02) ? 70_000 : random.pick([0, 10, 700, 5000, 9000, 20_000]);
    const body = random.fill(new Uint8Array(length));
    if (random.happens(0.2)) clock.advance(random.between(1, 20));
    appendOne(open, known, { term: Math.max(log.lastTerm, 1), time: clock.now(), body });
    if (random.happens(0.3)) log.flush();
    if (random.happens(0.2)) await turn();
  }
  log.flush();
  const dice = random.below(10);
  if (known.durability.kind === 'synced' ? dice < 8 : dice < 1) await open.whenDurable();
  else if (dice < 6) await open.whenReleased();
  else if (dice < 8) clock.advance(known.durability.intervalMs);
  const { commandsMax, bytesMax } = known.durability;
  const { commands, bytes } = log.unsynced;
  const isReleased = log.releasedIndex === log.lastIndex;
  if (isReleased) ok(commands <= commandsMax && bytes <= bytesMax, `${commands} and ${bytes} B at stake`);
}

function appendOne({ log }: OpenLog, known: KnownLog, entry: KnownEntry): void {
  const time = Math.max(entry.time, log.lastTime);
  const index = log.append(toTerm(entry.term), time, entry.body);
  known.entries.push({ ...entry, time });
  strictEqual(index, known.entries.length);
}

/** Appends entries until the log has begun `segments` segments more; waits for all of them. */
export async function fillSegments(open: OpenLog, known: KnownLog, segments: number): Promise<void> {
  const { log, clock } = open;
  const wanted = log.stats.rotations + segments;
  while (log.stats.rotations < wanted) {
    const body = new Uint8Array(9000).fill(known.entries.length);
    appendOne(open, known, { term: Math.max(log.lastTerm, 1), time: clock.now(), body });
    log.flush();
    await open.whenReleased();
  }
  await open.whenDurable();
}

/** Truncates, and keeps `known` up to what may be gone, and what is. */
export async function truncateKnown({ log }: OpenLog, known: KnownLog, after: number): Promise<void> {
  known.truncating = after;
  known.durable = Math.min(known.durable, after);
  known.released = Math.min(known.released, after);
  await log.truncateAfter(toIndex(after));
  known.truncating = null;
  known.entries.length = after;
  known.durable = after;
  known.released = after;
  strictEqual(log.lastIndex, after);
}

/** Compacts, and keeps `known` up to it. */
export async function compactKnown({ log }: OpenLog, known: KnownLog, upTo: number): Promise<void> {
  known.committed = Math.max(known.committed, upTo);
  known.compactedBegun = upTo;
  await log.compactTo(toIndex(upTo));
  known.compactedDone = upTo;
  strictEqual(log.firstIndex, upTo + 1);
}

/** Drops entries not committed; mostly puts one of a higher term in their place, as a leader does. */
async function truncate(open: OpenLog, known: KnownLog, random: SeededRandom): Promise<void> {
  const lower = Math.max(known.committed, known.compactedBegun);
  const isShort = random.happens(0.5);
  const last = known.entries.length;
  const after = random.between(isShort ? Math.max(lower, last - 4) : lower, last);
  const term = Math.max(open.log.lastTerm, 1) + 1;
  await truncateKnown(open, known, after);
  if (random.happens(0.2)) return;
  appendOne(open, known, { term, time: open.clock.now(), body: random.fill(new Uint8Array(900)) });
  open.log.flush();
  if (random.happens(0.5)) await open.whenDurable();
}

async function compact(open: OpenLog, known: KnownLog, random: SeededRandom): Promise<void> {
  const upTo = random.between(Math.min(known.compactedBegun, open.log.durableIndex), open.log.durableIndex);
  if (upTo <= known.compactedDone) return;
  await compactKnown(open, known, upTo);
}

/** The status hears of it, and recovery refuses a log that ends before. */
async function commit(open: OpenLog, known: KnownLog, random: SeededRandom): Promise<void> {
  if (open.log.durableIndex < known.committed) return;
  known.committed = random.between(known.committed, open.log.durableIndex);
  open.status.update({ commitIndex: toIndex(known.committed) });
  if (random.happens(0.7)) await open.status.whenPersisted();
}

/** Holds a recovered log against what is known of it. */
async function verify(log: Log, known: KnownLog): Promise<void> {
  const { firstIndex, lastIndex, durableIndex } = log;
  ok(firstIndex > known.compactedDone, `compacted to ${known.compactedDone}, and starts at ${firstIndex}`);
  ok(firstIndex <= known.compactedBegun + 1, `compacted to ${known.compactedBegun}, starts at ${firstIndex}`);
  ok(lastIndex >= known.durable, `${known.durable} was durable, and ${lastIndex} is the last there`);
  ok(lastIndex <= known.entries.length, `${known.entries.length} were appended, and ${lastIndex} is there`);
  strictEqual(durableIndex, lastIndex);
  if (firstIndex > lastIndex) return;
  let expected = firstIndex as number;
  for await (const { index, term, time, body } of log.read(firstIndex)) {
    strictEqual(index, expected);
    const entry = known.entries[expected - 1]!;
    deepStrictEqual(
      { term, time },
      { term: entry.term, time: entry.time },
      `term and time of entry ${index}`,
    );
    ok(Buffer.compare(body, entry.body) === 0, `entry ${index} holds what was appended`);
    expected++;
  }
  strictEqual(expected, lastIndex + 1);
}

/** What was read may be relied on: the log is what was found, and all of it durable. */
function settle(log: Log, known: KnownLog): void {
  known.entries.length = log.lastIndex;
  known.durable = log.lastIndex;
  known.released = log.lastIndex;
  known.truncating = null;
  known.compactedBegun = log.firstIndex - 1;
  known.compactedDone = log.firstIndex - 1;
}

/** What `verify` says of a directory before it is recovered. */
async function findNoDamage(files: LossyFileSystem): Promise<void> {
  if ((await files.stat(`${DIR}/${STATUS_NAME}`)) === null) return;
  const { status } = await readStatus(files, DIR);
  await readLog(files, DIR, status, {
    finding: (finding) => ok(finding.kind !== 'damage', `verify found ${JSON.stringify(finding)}`),
  });
}

async function check(files: LossyFileSystem, before: KnownLog, seed: number): Promise<void> {
  const known = copyKnown(before);
  if (seed % 8 === 0) await findNoDamage(files);
  const open = await openKnown(files, seed, known);
  await verify(open.log, known);
  settle(open.log, known);
  const body = new SeededRandom(seed).fill(new Uint8Array(300));
  appendOne(open, known, { term: open.log.lastTerm + 1, time: open.clock.now(), body });
  open.log.flush();
  await open.whenDurable();
  await open.close();
  const again = await openKnown(files, seed + 1, known);
  strictEqual(again.log.firstIndex, open.log.firstIndex);
  strictEqual(again.log.lastIndex, open.log.lastIndex);
  await verify(again.log, known);
  strictEqual(again.log.report.entriesRewritten, 0, 'a clean stop leaves nothing unproven');
  await again.close();
}

function copyKnown(known: KnownLog): KnownLog {
  return { ...known, entries: [...known.entries] };
}

export const logSubject = subjectOf('log', SYNCED);

export const bufferedLogSubject = subjectOf('buffered log', BUFFERED);

function subjectOf(name: string, durability: Durability): CrashSubject<KnownLog> {
  return {
    name,
    steps: { first: 6, last: 24 },
    newKnown: () => ({
      durability,
      entries: [],
      durable: 0,
      released: 0,
      truncating: null,
      compactedDone: 0,
      compactedBegun: 0,
      committed: 0,
    }),
    copyKnown,
    run,
    async restart(files, seed) {
      const nobody = { onReleased: () => undefined, onDurable: () => undefined };
      const open = await OpenLog.open(files, seed, { durability, ...nobody });
      await open.close();
    },
    check,
    async goOn(files, known, random) {
      const { released } = known;
      const open = await openKnown(files, random.u32(), known);
      await verify(open.log, known);
      ok(open.log.lastIndex >= released, `${released} was released; a kill leaves ${open.log.lastIndex}`);
      settle(open.log, known);
      const steps = random.between(0, 4);
      for (let step = 0; step < steps; step++) await takeStep(open, known, random);
    },
  };
}
