/**
 * Recovery from an index: a checkpoint holds the state up to there. What stands after it is verified and
 * handed out; whole segments before it are not read, so damage in them does not matter here (`verify` finds
 * it). A log that begins after it, or ends before it, is damaged.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError, type TidemarkError } from '../src/base/errors.ts';
import { toIndex, toTerm } from '../src/base/positions.ts';
import { readLogRange } from '../src/log/read-log.ts';
import { decodeSegmentHeader, SEGMENT_HEADER_BYTES, type SegmentHeader } from '../src/log/segment.ts';
import { type ReaderPosition, SegmentReader } from '../src/log/segment-reader.ts';
import { SparseIndex } from '../src/log/sparse-index.ts';
import { assertUnchanged, type DiskBytes, diskFrom, put, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem } from './support/interposed-file-system.ts';
import { fullStatus } from './support/refusal.ts';
import { DATA_DIR, SEGMENT_BYTES, type StatusFields, settle, TestLog, textsOf } from './support/test-log.ts';

/** One record of the fixture. */
interface Place {
  readonly path: string;
  readonly index: number;
  readonly offset: number;
  readonly isMark: boolean;
  /** What is read here. */
  readonly position: ReaderPosition;
}

interface Fixture {
  readonly disk: DiskBytes;
  readonly status: StatusFields;
  /** Oldest first, each with the header it has. */
  readonly segments: readonly { readonly path: string; readonly header: SegmentHeader }[];
  readonly places: readonly Place[];
  readonly last: number;
}

/**
 * Three segments that follow each other, closed or killed; with `large` ones a sparse index has many points.
 */
async function makeFixture(end: 'closed' | 'killed', size: 'small' | 'large' = 'small'): Promise<Fixture> {
  const segmentBytes = size === 'small' ? SEGMENT_BYTES : 8 * SEGMENT_BYTES;
  const bodyBytes = size === 'small' ? 15_000 : 60_000;
  const fs = new InterposedFileSystem((await TestLog.make()).fs);
  const made = await TestLog.make({ fs, segmentBytes, dataDir: '/made' });
  for (let at = 0; at < (size === 'small' ? 8 : 20); at++) await made.write(100, bodyBytes, 20);
  await settle(() => fs.calls.filter(({ op, path }) => op === 'write' && path.endsWith('.idx')).length >= 2);
  const last = made.log.lastIndex;
  if (end === 'closed') await made.log.close();
  const disk = new Map<string, Uint8Array | null>();
  for (const [path, bytes] of await readDisk(fs, '/made')) disk.set(path.replace('/made', DATA_DIR), bytes);
  const segments = [...disk.keys()]
    .filter((path) => path.endsWith('.log'))
    .map((path) => ({ path, header: headerOf(disk.get(path)!) }));
  return { disk, status: made.status, segments, places: await placesOf(disk, segments), last };
}

function headerOf(bytes: Uint8Array): SegmentHeader {
  const decoded = decodeSegmentHeader(bytes.subarray(0, SEGMENT_HEADER_BYTES));
  if (decoded.kind !== 'header') throw new Error('the segment has a header');
  return decoded.header;
}

async function placesOf(disk: DiskBytes, segments: Fixture['segments']): Promise<Place[]> {
  const places: Place[] = [];
  const fs = await diskFrom(disk);
  for (const { path, header } of segments) {
    const reader = new SegmentReader(await fs.open(path, 'read'), header, disk.get(path)!.length);
    for (;;) {
      const { position } = reader;
      const step = await reader.next();
      if (step.kind !== 'record') break;
      const { index, offset, type } = step.record;
      places.push({ path, index, offset, isMark: type === 'mark', position });
    }
  }
  return places;
}

interface Opened {
  readonly made: TestLog;
  readonly fs: InterposedFileSystem;
}

async function openAfter(
  disk: DiskBytes,
  status: StatusFields,
  replayAfter: number,
  segmentBytes = SEGMENT_BYTES,
): Promise<Opened> {
  const fs = new InterposedFileSystem(await diskFrom(disk));
  const made = new TestLog({ fs, status: { ...status }, segmentBytes });
  made.replayAfter = toIndex(replayAfter);
  await made.open();
  return { made, fs };
}

/** Refused as damage, and nothing was changed. */
async function refusedAfter(
  disk: DiskBytes,
  status: StatusFields,
  replayAfter: number,
): Promise<TidemarkError> {
  const fs = await diskFrom(disk);
  const made = new TestLog({ fs, status: { ...status } });
  made.replayAfter = toIndex(replayAfter);
  const error = await made.open().then(
    () => new Error(`it was opened after ${replayAfter}`),
    (thrown: Error) => thrown,
  );
  ok(isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED'), String(error.stack));
  strictEqual(error.remedy, 'restore');
  await assertUnchanged(fs, DATA_DIR, disk);
  return error;
}

/** Whether any record of a segment was asked for, and not only its header. */
function readsRecords(fs: InterposedFileSystem, path: string): boolean {
  return fs.calls.some((call) => call.op === 'read' && call.path === path && call.offset > 0);
}

for (const end of ['closed', 'killed'] as const) {
  test(`log replay: after every index of a log that was ${end}, exactly the entries after it`, async () => {
    const { disk, status, segments, last } = await makeFixture(end);
    strictEqual(segments.length, 3);
    for (let after = 0; after <= last; after++) {
      const { made, fs } = await openAfter(disk, status, after);
      deepStrictEqual(made.replayed, textsOf(after + 1, last));
      for (const [at, { path }] of segments.slice(0, -1).entries()) {
        const isBefore = segments[at + 1]!.header.firstIndex - 1 <= after;
        strictEqual(readsRecords(fs, path), !isBefore, `after ${after}: ${path}`);
      }
      deepStrictEqual(made.log.report.warnings, []);
      await made.write(30);
      await made.check(1);
      await made.log.close();
      made.replayAfter = toIndex(last);
      await made.open();
      deepStrictEqual(made.replayed, [`entry ${last + 1}`]);
    }
  });
}

test('log replay: in the segment that holds the index, reading starts at its sparse index', async () => {
  const { disk, status, segments, places } = await makeFixture('closed', 'large');
  const [first] = segments;
  const inside = places.filter(({ path }) => path === first!.path);
  for (const { index, offset } of inside.slice(0, -1)) {
    const { made, fs } = await openAfter(disk, status, index, 8 * SEGMENT_BYTES);
    strictEqual(made.replayed[0], `entry ${index + 1}`);
    const reads = fs.calls.filter(
      ({ op, path, offset: at }) => op === 'read' && path === first!.path && at > 0,
    );
    const from = Math.min(...reads.map((call) => call.offset));
    // A point stands at the first batch 128 KiB behind the point before; a batch has 61 KiB.
    ok(offset - from <= 4 * 62_000, `after entry ${index} at ${offset}, reading starts at ${from}`);
    await made.log.close();
  }
});

type Forge = (points: readonly ReaderPosition[]) => readonly ReaderPosition[];

const FORGED: Readonly<Record<string, Forge>> = {
  'is of another place': (points) => points.map((point) => ({ ...point, offset: point.offset + 4096 })),
  'is inside a record': (points) => points.map((point) => ({ ...point, offset: point.offset + 8 })),
  'names another record before': (points) =>
    points.map((point) => ({ ...point, previousCrc: point.previousCrc ^ 1 })),
  'names another entry before': (points) =>
    points.map((point) => ({ ...point, previousIndex: toIndex(point.previousIndex + 1) })),
  'names a later term': (points) => points.map((point) => ({ ...point, previousTerm: toTerm(9) })),
  'is behind the end': (points) => points.map((point) => ({ ...point, offset: 2 ** 24 })),
  'is before the first record': (points) => points.map((point) => ({ ...point, offset: 0 })),
};

for (const [name, forge] of Object.entries(FORGED)) {
  test(`log replay: a point of the sparse index that ${name} is not believed`, async () => {
    const { disk, status, segments, places, last } = await makeFixture('closed', 'large');
    const [{ path, header }] = segments as [Fixture['segments'][number]];
    const inside = places.filter((place) => place.path === path);
    const forged = new SparseIndex();
    for (const point of forge(inside.slice(1).map(({ position }) => position))) forged.offer(point);
    const spoilt = new Map(disk).set(path.replace('.log', '.idx'), forged.encode(header.id));
    for (const { index } of inside) {
      const { made } = await openAfter(spoilt, status, index, 8 * SEGMENT_BYTES);
      deepStrictEqual(made.replayed, textsOf(index + 1, last));
      await made.log.close();
    }
  });
}

test('log replay: damage after the index stops the log, in whole segments before it not', async () => {
  const { disk, status, segments, places, last } = await makeFixture('closed');
  let opened = 0;
  for (const { path, index, offset } of places.filter(({ isMark }) => !isMark)) {
    const bytes = Uint8Array.from(disk.get(path)!);
    bytes[offset + 20]! ^= 1;
    const spoilt = new Map(disk).set(path, bytes);
    const at = segments.findIndex((segment) => segment.path === path);
    for (let after = 0; after <= last; after++) {
      const next = segments[at + 1];
      const isBefore = next !== undefined && next.header.firstIndex - 1 <= after;
      if (isBefore) {
        const { made } = await openAfter(spoilt, status, after);
        deepStrictEqual(made.replayed, textsOf(after + 1, last));
        await made.log.close();
        opened++;
      } else if (index > after) {
        const error = await refusedAfter(spoilt, status, after);
        deepStrictEqual([error.facts['file'], error.facts['firstLost']], [path, index], `after ${after}`);
      }
    }
  }
  ok(opened > 20);
});

test('log replay: a joint that does not fit stops the log only behind the index', async () => {
  const { disk, status, segments, last } = await makeFixture('closed');
  const [first, second, third] = segments;
  // The end of a segment, cut by one batch: its successor says that there was more.
  const bytes = Uint8Array.from(disk.get(first!.path)!);
  bytes.fill(0, second!.header.previousEnd - 4096, second!.header.previousEnd);
  const spoilt = new Map(disk).set(first!.path, bytes);
  const boundary = second!.header.firstIndex - 1;
  for (let after = 0; after < boundary; after++) await refusedAfter(spoilt, status, after);
  for (let after = boundary; after <= last; after++) {
    const { made } = await openAfter(spoilt, status, after);
    deepStrictEqual(made.replayed, textsOf(after + 1, last));
    await made.log.close();
  }
  ok(third!.header.firstIndex > boundary + 1);
});

test('log replay: a missing segment stops the log wherever replay starts', async () => {
  const { disk, status, segments, last } = await makeFixture('closed');
  for (const { path } of segments) {
    const without = new Map([...disk].filter(([name]) => name !== path));
    for (let after = 0; after <= last; after++) await refusedAfter(without, status, after);
  }
});

test('log replay: a log that begins after the index names the missing range', async () => {
  const { disk, status } = await makeFixture('closed');
  const { made, fs } = await openAfter(disk, status, 0);
  await made.log.compactTo(toIndex(6));
  await made.log.close();
  const compacted = await readDisk(fs, DATA_DIR);
  for (let after = 0; after < 6; after++) {
    const error = await refusedAfter(compacted, made.status, after);
    const { firstLost, lastLost, firstIndex } = error.facts;
    deepStrictEqual([firstLost, lastLost, firstIndex], [after + 1, 6, 7]);
    ok(error.message.includes(after === 5 ? 'entry 6 is missing' : `entries ${after + 1} to 6 are missing`));
  }
  const { made: again } = await openAfter(compacted, made.status, 6);
  strictEqual(again.replayed[0], 'entry 7');
});

for (const end of ['closed', 'killed'] as const) {
  test(`log replay: a log that was ${end} and ends before the index has lost durable entries`, async () => {
    const { disk, status, last } = await makeFixture(end);
    for (const more of [1, 2, 1000]) {
      const error = await refusedAfter(disk, status, last + more);
      deepStrictEqual([error.facts['firstLost'], error.facts['lastLost']], [last + 1, last + more]);
    }
    const { made } = await openAfter(disk, status, last);
    deepStrictEqual(made.replayed, []);
  });
}

test('log replay: a torn write that a checkpoint knows of is damage', async () => {
  const { disk, status, places, last } = await makeFixture('killed');
  const { path, offset } = places.at(-1)!;
  const bytes = Uint8Array.from(disk.get(path)!);
  bytes[offset + 20]! ^= 1;
  const torn = new Map(disk).set(path, bytes);
  await refusedAfter(torn, status, last);
  const { made } = await openAfter(torn, status, last - 1);
  deepStrictEqual([made.replayed, made.log.lastIndex], [[], last - 1]);
  strictEqual(made.log.report.warnings.length, 1);
});

for (const end of ['closed', 'killed'] as const) {
  test(`log replay: the range of a log that was ${end} is told before it is opened`, async () => {
    const { disk, status, last } = await makeFixture(end);
    const fs = await diskFrom(disk);
    deepStrictEqual(await readLogRange(fs, DATA_DIR, fullStatus(status)), { firstIndex: 1, lastIndex: last });
    await assertUnchanged(fs, DATA_DIR, disk);
    const { made, fs: opened } = await openAfter(disk, status, last);
    await made.log.compactTo(toIndex(last));
    await made.log.close();
    const range = await readLogRange(opened, DATA_DIR, fullStatus(made.status));
    deepStrictEqual(range, { firstIndex: last + 1, lastIndex: last });
  });
}

test('log replay: without a readable sparse index, reading starts at the segment', async () => {
  const { disk, status, segments, last } = await makeFixture('closed');
  const fs = await diskFrom(disk);
  for (const { path } of segments.slice(0, -1))
    await put(fs, path.replace('.log', '.idx'), Buffer.from('no'));
  const spoilt = await readDisk(fs, DATA_DIR);
  for (let after = 0; after <= last; after++) {
    const { made } = await openAfter(spoilt, status, after);
    deepStrictEqual(made.replayed, textsOf(after + 1, last));
    await made.log.close();
  }
});
