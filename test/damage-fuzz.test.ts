/**
 * One fault anywhere in a data directory: in every byte, in every sector, as a disk may have it (checklist
 * C1 to C9, D6, E1, G1 to G3). Opening then gives exactly the state that was acknowledged; or, where the
 * fault hit the last batch and nothing had proven it yet, the state without that batch; or an error, with
 * nothing changed. Never a wrong answer. `verify` says the same without changing anything.
 *
 * Once with a log that has everything, and once with several checkpoints and the log since the oldest. Then
 * a start may also use an older checkpoint than the newest, and says so; and what it does not need, it does
 * not read: `verify` does.
 *
 * Sampled from a seed; SOAK=1 tries all of it.
 */

import { ok, strictEqual } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { isTidemarkError, type TidemarkError } from '../src/base/errors.ts';
import { verifyCheckpoints } from '../src/checkpoint/verify-checkpoints.ts';
import { readLog } from '../src/log/read-log.ts';
import { readStatus } from '../src/log/status.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { assertUnchanged, type DiskBytes, diskFrom, readDisk } from './support/disk-bytes.ts';
import { seedOf } from './support/seed.ts';
import { DATA_DIR, IDLE_MS, LOG_DIR, NEWEST_ONLY, SEGMENT_BYTES, settle } from './support/test-log.ts';

const IS_SOAK = process.env['SOAK'] === '1';
const SAMPLED_BYTES = 120;
const SAMPLED_SECTORS = 120;
const SECTOR_BYTES = 512;
const KEYS = Array.from({ length: 12 }, (_, at) => `key-${at}`);

/** What the directory holds beside its log. */
type Content = 'log-only' | 'checkpoints';

/** How the process ended, and so what proves the last batch. */
type Ending = 'closed' | 'idle' | 'killed';

interface Range {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

interface Subject {
  readonly content: Content;
  readonly disk: DiskBytes;
  /** The same disk at an earlier time: what a lost write leaves. */
  readonly earlier: DiskBytes;
  /** Index of the newest checkpoint, if there is any. */
  readonly newest: number | undefined;
  readonly whole: string;
  readonly withoutLastBatch: string;
  /** Where the last batch stands; null when something proves it. */
  readonly unproven: Range | null;
}

/** A fault, and the bytes it touches. */
interface Fault {
  readonly name: string;
  readonly touched: readonly Range[];
  readonly disk: DiskBytes;
}

function openOn(fs: FileSystem, content: Content, clock = new ManualClock(), seed = 1) {
  return open({
    dir: DATA_DIR,
    log: { segmentBytes: SEGMENT_BYTES },
    checkpoint: { ...NEWEST_ONLY, checkpointOnClose: content === 'checkpoints' },
    doors: { fs, clock, chance: new SeededRandom(seed) },
  });
}

type OpenNode = Awaited<ReturnType<typeof openOn>>;

async function stateOf(node: OpenNode): Promise<string> {
  const values = (await node.query('MGET', ...KEYS)) as (Uint8Array | null)[];
  const texts = values.map((value) => (value === null ? '-' : Buffer.from(value).toString('latin1')));
  return `${String(await node.query('DBSIZE'))} ${texts.join('|')}`;
}

/** Some hundred commands in batches of a few, over several segments. */
async function makeSubject(content: Content, ending: Ending, seed: number): Promise<Subject> {
  const random = new SeededRandom(seed);
  const fs = new MemoryFileSystem();
  const clock = new ManualClock();
  let node = await openOn(fs, content, clock, seed);
  let earlier: DiskBytes = new Map();
  for (let batch = 0; batch < 45; batch++) {
    await submitBatch(node, random);
    clock.advance(1);
    if (batch === 20) {
      await node.close();
      node = await openOn(fs, content, clock, seed + 1);
    }
    if (content === 'checkpoints' && batch % 12 === 11) await node.checkpoint();
    if (batch === 30) earlier = await readDisk(fs, DATA_DIR);
  }
  let withoutLastBatch = '';
  let unproven: Range | null = null;
  while (unproven === null) {
    withoutLastBatch = await stateOf(node);
    const before = await readDisk(fs, DATA_DIR);
    await submitBatch(node, random);
    unproven = writtenBetween(before, await readDisk(fs, DATA_DIR));
  }
  const whole = await stateOf(node);
  if (ending === 'closed') await node.close();
  if (ending === 'idle') {
    const { syncs } = node.stats().log;
    clock.advance(IDLE_MS);
    await settle(() => node.stats().log.syncs > syncs);
    let turns = 0;
    await settle(() => ++turns > 100); // The status takes some turns more.
  }
  const disk = await readDisk(fs, DATA_DIR);
  const newest = node.stats().checkpoints.last?.index;
  const facts = { content, disk, earlier, newest, whole, withoutLastBatch };
  return { ...facts, unproven: ending === 'killed' ? unproven : null };
}

async function submitBatch(node: OpenNode, random: SeededRandom): Promise<void> {
  const answers: Promise<unknown>[] = [];
  for (let at = random.between(1, 12); at > 0; at--) {
    const key = random.pick(KEYS);
    const bytes = random.fill(new Uint8Array(random.pick([1, 20, 300, 2000])));
    if (random.happens(0.1)) answers.push(node.submit('DEL', key));
    else answers.push(node.submit('SET', key, bytes));
  }
  answers.push(node.submit('SET', 'count', random.u32()));
  await Promise.all(answers);
}

/** The blocks of the log in which two disks differ: what one batch wrote. Null when it began a segment. */
function writtenBetween(before: DiskBytes, after: DiskBytes): Range | null {
  const segments = [...after.keys()].filter((path) => path.endsWith('.log'));
  if (segments.some((path) => !before.has(path))) return null;
  for (const [path, bytes] of after) {
    const old = before.get(path);
    if (!path.endsWith('.log') || bytes === null || old == null) continue;
    const first = bytes.findIndex((byte, at) => byte !== old[at]);
    if (first === -1) continue;
    const last = bytes.findLastIndex((byte, at) => byte !== old[at]);
    return { path, from: Math.floor(first / 4096) * 4096, to: Math.ceil((last + 1) / 4096) * 4096 };
  }
  return null;
}

const BYTE_FAULTS: Readonly<Record<string, (byte: number, random: SeededRandom) => number>> = {
  'a flipped bit': (byte, random) => byte ^ (1 << random.below(8)),
  zero: () => 0,
  '0xff': () => 255,
  'a random byte': (_byte, random) => random.below(256),
};

function withByte(
  disk: DiskBytes,
  path: string,
  offset: number,
  name: string,
  random: SeededRandom,
): Fault | null {
  const bytes = Uint8Array.from(disk.get(path)!);
  const before = bytes[offset]!;
  bytes[offset] = BYTE_FAULTS[name]!(before, random);
  if (bytes[offset] === before) return null;
  const touched = [{ path, from: offset, to: offset + 1 }];
  return { name: `${name} at ${path}:${offset}`, touched, disk: new Map(disk).set(path, bytes) };
}

interface Sector {
  readonly path: string;
  readonly at: number;
}

const SECTOR_FAULTS = ['zero', 'stale', 'swapped', 'duplicated'] as const;

function withSector(
  { disk, earlier }: Subject,
  kind: (typeof SECTOR_FAULTS)[number],
  sector: Sector,
  other: Sector,
): Fault | null {
  const changed = new Map(disk);
  const sectorOf = ({ path, at }: Sector, from: DiskBytes): Uint8Array =>
    from.get(path)?.slice(at, at + SECTOR_BYTES) ?? new Uint8Array(0);
  const put = ({ path, at }: Sector, content: Uint8Array): void => {
    const bytes = Uint8Array.from(changed.get(path)!);
    const length = Math.min(SECTOR_BYTES, bytes.length - at);
    bytes.fill(0, at, at + length).set(content.subarray(0, length), at);
    changed.set(path, bytes);
  };
  const old = sectorOf(sector, disk);
  const touched = [sector];
  if (kind === 'zero') put(sector, new Uint8Array(0));
  else if (kind === 'stale') put(sector, sectorOf(sector, earlier));
  else put(sector, sectorOf(other, disk));
  if (kind === 'swapped') {
    put(other, old);
    touched.push(other);
  }
  const hasChanged = touched.some((place) => {
    return Buffer.compare(sectorOf(place, changed), sectorOf(place, disk)) !== 0;
  });
  if (!hasChanged) return null;
  return {
    name: `${kind} sector at ${sector.path}:${sector.at}, the other at ${other.path}:${other.at}`,
    touched: touched.map(({ path, at }) => ({ path, from: at, to: at + SECTOR_BYTES })),
    disk: changed,
  };
}

/** Files that may be hit: all but the lock. Spares are zeros, and stand for themselves once. */
function targets(disk: DiskBytes): string[] {
  const spares = [...disk.keys()].filter((path) => path.includes('/spare-'));
  return [...disk]
    .filter(([path, bytes]) => bytes !== null && bytes.length > 0 && !path.endsWith('/lock'))
    .map(([path]) => path)
    .filter((path) => !spares.slice(1).includes(path));
}

function pickOffset(bytes: Uint8Array, random: SeededRandom): number {
  const offset = random.below(bytes.length);
  if (random.happens(0.3)) return offset;
  const next = bytes.findIndex((byte, at) => at >= offset && byte !== 0);
  return next === -1 ? offset : next; // Most of a log is padding: rather hit what holds something.
}

function* byteFaults({ disk }: Subject, random: SeededRandom): Generator<Fault | null> {
  const paths = targets(disk);
  const names = Object.keys(BYTE_FAULTS);
  if (!IS_SOAK) {
    for (let run = 0; run < SAMPLED_BYTES; run++) {
      const path = random.pick(paths);
      yield withByte(disk, path, pickOffset(disk.get(path)!, random), random.pick(names), random);
    }
    return;
  }
  for (const path of paths) {
    for (let offset = 0; offset < disk.get(path)!.length; offset++) {
      for (const name of names) yield withByte(disk, path, offset, name, random);
    }
  }
}

function* sectorFaults(subject: Subject, random: SeededRandom): Generator<Fault | null> {
  const { disk, unproven } = subject;
  const sectors = targets(disk).flatMap((path) => {
    const count = Math.ceil(disk.get(path)!.length / SECTOR_BYTES);
    return Array.from({ length: count }, (_, at) => ({ path, at: at * SECTOR_BYTES }));
  });
  const isUsed = ({ path, at }: Sector): boolean =>
    disk
      .get(path)!
      .subarray(at, at + SECTOR_BYTES)
      .some((byte) => byte !== 0);
  const used = sectors.filter(isUsed);
  const last = used.filter(({ path, at }) => path === unproven?.path && at >= unproven.from);
  for (let run = 0; !IS_SOAK && run < SAMPLED_SECTORS; run++) {
    const pool = last.length > 0 && random.happens(0.2) ? last : random.happens(0.8) ? used : sectors;
    yield withSector(subject, random.pick(SECTOR_FAULTS), random.pick(pool), random.pick(used));
  }
  for (const sector of IS_SOAK ? sectors : []) {
    for (const kind of SECTOR_FAULTS) {
      const others = kind === 'swapped' || kind === 'duplicated' ? 8 : 1;
      for (let at = 0; at < others; at++) yield withSector(subject, kind, sector, random.pick(used));
    }
  }
}

type Outcome = 'whole' | 'by an older checkpoint' | 'without the last batch' | 'refused';

async function judge(fault: Fault, subject: Subject): Promise<Outcome> {
  const fs = await diskFrom(fault.disk);
  const { isWhole, newest } = await verifyAll(fs);
  await assertUnchanged(fs, DATA_DIR, fault.disk);
  let node: OpenNode;
  try {
    node = await openOn(fs, subject.content, new ManualClock(), 99);
  } catch (error) {
    ok(isTidemarkError(error), `${String(error)}\n${(error as Error).stack}`);
    await assertUnchanged(fs, DATA_DIR, fault.disk);
    ok(!isWhole, `verify finds nothing, and opening says ${error.message}`);
    return 'refused';
  }
  if (subject.content === 'log-only') ok(isWhole, 'verify finds damage, and opening finds none');
  const { checkpoint, warnings } = node.recovery;
  strictEqual(checkpoint?.index ?? null, newest, 'verify and opening agree on the newest that is whole');
  const isOlder = checkpoint?.index !== subject.newest;
  const isWarned = warnings.some((warning) => /checkpoint file .* is damaged/.test(warning));
  ok(isWarned || !isOlder, 'opening says so when it uses an older checkpoint');
  ok(!isWarned || !isWhole, 'what opening warns of, verify finds');
  const state = await stateOf(node);
  if (state === subject.whole) return isOlder ? 'by an older checkpoint' : 'whole';
  strictEqual(state, subject.withoutLastBatch, 'no other state than these two');
  const { unproven } = subject;
  const isHit = fault.touched.some(({ path, from, to }) => {
    return path === unproven?.path && from < unproven.to && to > unproven.from;
  });
  ok(isHit, 'an acknowledged batch is dropped only when it was hit, and nothing proved it yet');
  return 'without the last batch';
}

/** What `tidemark verify` says: exit code 0, or one that says that something is wrong. */
async function verifyAll(fs: FileSystem): Promise<{ isWhole: boolean; newest: number | null }> {
  let isWhole = true;
  let newest: number | null = null;
  try {
    const { status } = await readStatus(fs, DATA_DIR);
    for await (const verdict of verifyCheckpoints(
      { fs, clock: new ManualClock() },
      DATA_DIR,
      status.clusterId,
    )) {
      if (verdict.kind === 'damaged' || verdict.warnings.length > 0) isWhole = false;
      if (verdict.kind === 'whole') newest ??= verdict.found.info.index;
    }
    await readLog(fs, DATA_DIR, status, {
      finding: ({ kind }) => {
        if (kind === 'damage') isWhole = false;
      },
    });
  } catch (error) {
    ok(isTidemarkError(error), String(error));
    return { isWhole: wasRefused(error), newest };
  }
  return { isWhole, newest };
}

function wasRefused(error: TidemarkError): false {
  ok(error.remedy === 'restore' || error.remedy === 'repair' || error.remedy === 'fix-call', error.message);
  return false;
}

for (const content of ['log-only', 'checkpoints'] as const) {
  for (const ending of ['closed', 'idle', 'killed'] as const) {
    for (const grain of ['byte', 'sector'] as const) {
      const what = content === 'checkpoints' ? 'directory with checkpoints' : 'directory';
      test(`fuzz: one damaged ${grain} in a ${what} that was ${ending}: never a wrong answer`, async (t) => {
        const seed = seedOf(t);
        await fuzz(t, await makeSubject(content, ending, seed), grain, seed);
      });
    }
  }
}

/** The newest three are kept, and a full one beside them when they share a file. */
function isKeptCount(count: number): boolean {
  return count === 3 || count === 4;
}

async function fuzz(t: TestContext, subject: Subject, grain: 'byte' | 'sector', seed: number): Promise<void> {
  const paths = targets(subject.disk);
  const segments = paths.filter((path) => path.startsWith(LOG_DIR) && path.endsWith('.log'));
  const indexes = paths.filter((path) => path.includes('/checkpoints/') && path.endsWith('.idx'));
  ok(segments.length >= (subject.content === 'log-only' ? 4 : 2));
  ok(subject.content === 'log-only' ? indexes.length === 0 : isKeptCount(indexes.length));
  const random = new SeededRandom(seed);
  const counts = new Map<Outcome, number>();
  const faults = grain === 'byte' ? byteFaults(subject, random) : sectorFaults(subject, random);
  for (const fault of faults) {
    if (fault === null) continue; // It changed nothing.
    const outcome = await judge(fault, subject).catch((error: unknown) => {
      throw new Error(`SEED=${seed}: ${fault.name}: ${(error as Error).message}`, { cause: error });
    });
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  t.diagnostic([...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', '));
  const mustFallBack = subject.content === 'checkpoints' && grain === 'byte';
  if (mustFallBack) ok((counts.get('by an older checkpoint') ?? 0) > 0);
}
