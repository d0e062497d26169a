/**
 * The log as its users see it (src/log/log.ts): append, group commit, rotation, reading, compaction,
 * truncation, opening again. On a disk that does as it is told; what a bad one does is in the `log-*` tests.
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex, toTerm } from '../src/base/positions.ts';
import { BODY_BYTES_MAX } from '../src/log/record.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { NodeFileSystem } from '../src/storage/node-file-system.ts';
import { damage, put, readFile } from './support/disk-bytes.ts';
import { InterposedFileSystem } from './support/interposed-file-system.ts';
import { seedOf } from './support/seed.ts';
import { bodyOf, LOG_DIR, SEGMENT_BYTES, settle, TestLog } from './support/test-log.ts';

const code = (wanted: string) => (error: unknown) => isTidemarkError(error) && error.code === wanted;

/** A log whose disk calls are counted. */
async function recorded(): Promise<{ fs: InterposedFileSystem; test: TestLog }> {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const made = await TestLog.make({ fs });
  await settle(() => fs.changes().filter((call) => call.startsWith('sync spare')).length >= 3);
  return { fs, test: made };
}

/** Three sealed segments and a tail; entries of one block each, and larger ones. */
async function severalSegments(fs = new MemoryFileSystem()): Promise<TestLog> {
  const made = await TestLog.make({ fs });
  for (let round = 0; round < 4; round++) {
    await made.write(100, 200, 300);
    await made.write(40_000);
    await made.write(9_000, 10);
  }
  strictEqual((await made.segments()).length, 4);
  return made;
}

test('log: entries become durable in order, and are read back as they were', async () => {
  const made = await TestLog.make();
  await made.write(3);
  await made.write(0, 5000, 17);
  await made.write(4096);
  deepStrictEqual(made.durable, [1, 4, 5]);
  deepStrictEqual([made.log.firstIndex, made.log.lastIndex, made.log.durableIndex], [1, 5, 5]);
  await made.check();
  const records = [];
  for await (const { index, term, time, timeline } of made.log.read(toIndex(4))) {
    records.push({ index, term, time, timeline });
  }
  const now = made.clock.now();
  deepStrictEqual(records, [
    { index: 4, term: 0, time: now + 4, timeline: 1 },
    { index: 5, term: 0, time: now + 5, timeline: 1 },
  ]);
});

test('log: what is appended is not durable, and not readable, before a sync has succeeded', async () => {
  const { fs, test: made } = await recorded();
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  fs.whenReady = (call) => (call.op === 'sync-data' ? held : null);
  made.append(10);
  made.log.flush();
  deepStrictEqual([made.log.lastIndex, made.log.durableIndex, made.durable.length], [1, 0, 0]);
  await rejects(made.check(1, 1), code('TIDEMARK_INDEX_NOT_RETAINED'));
  release();
  await settle(() => made.durable.length > 0);
  await made.check(1, 1);
});

test('log: group commit: what is appended during a sync goes out as one write and one sync', async () => {
  const { fs, test: made } = await recorded();
  let release = (): void => undefined;
  fs.whenReady = (call) =>
    call.op === 'sync-data'
      ? new Promise((resolve) => {
          release = resolve;
        })
      : null;
  const before = fs.changes().length;
  made.append(10);
  made.log.flush();
  for (let at = 0; at < 50; at++) {
    made.append(10);
    made.log.flush();
  }
  release();
  await settle(() => made.durable.length === 1);
  release();
  await settle(() => made.durable.length === 2);
  const name = '1-00000000000000000001.log';
  const changes = fs.changes().slice(before);
  deepStrictEqual(
    changes.filter((change) => change.includes(name)),
    [`write ${name} 4096+4096`, `sync-data ${name}`, `write ${name} 8192+4096`, `sync-data ${name}`],
  );
  deepStrictEqual(made.durable, [1, 51]);
  await made.check();
});

test('log: entries appended by onReleased go out with the next write, without a flush', async () => {
  const made = await TestLog.make();
  made.onReleased = (index) => {
    if (index === 1) made.append(10, 10);
  };
  await made.write(10);
  await settle(() => made.log.durableIndex === 3);
  deepStrictEqual(made.durable, [1, 3]);
  await made.check();
});

test('log: rotation comes where a batch and the mark after it no longer fit', async () => {
  const { fs, test: made } = await recorded();
  await made.write(SEGMENT_BYTES - 4096 - 4096 - 56); // One block is left for the mark.
  strictEqual((await made.segments()).length, 1);
  const before = fs.changes().length;
  await made.write(10);
  deepStrictEqual(await made.names(/\.log$/), ['1-00000000000000000001.log', '1-00000000000000000002.log']);
  const steps = fs
    .changes()
    .slice(before)
    .map((call) => call.replace(/spare-\d/, 'spare'));
  deepStrictEqual(steps.slice(0, 4), [
    'write spare 0+4096',
    'sync spare',
    'rename spare',
    'sync-directory log',
  ]);
  strictEqual(made.status.segmentSequence, 2, 'the status names the segment');
  deepStrictEqual(made.log.stats.rotations, 1);
  await made.check();
});

test('log: a sealed segment gives back its space and gets a sparse index', async () => {
  const made = await severalSegments();
  await made.log.close();
  const [first] = await made.segments();
  ok((await readFile(made.fs, first!)).length < SEGMENT_BYTES);
  deepStrictEqual(
    await made.names(/\.idx$/),
    (await made.names(/\.log$/)).slice(0, 3).map((name) => name.replace('log', 'idx')),
  );
});

test('log: a batch larger than a segment gets one of its own size, with room for its mark', async () => {
  const made = await TestLog.make();
  await made.write(10);
  await made.write(3 * SEGMENT_BYTES, 100, 2 * SEGMENT_BYTES);
  await made.write(10);
  await made.check();
  await made.write(5 * SEGMENT_BYTES);
  const syncs = made.log.stats.syncs;
  await made.idle();
  strictEqual(made.log.stats.syncs, syncs + 1, 'a mark');
  await made.restart();
  strictEqual(made.log.report.entriesRewritten, 0);
  made.checkReplayed(6);
});

test('log: reading from any index to any index', async () => {
  const made = await severalSegments();
  const last = made.log.lastIndex;
  for (let first = 1; first <= last; first++) {
    await made.check(first, last);
    await made.check(first, Math.min(last, first + 1));
  }
  await made.check(last + 1, last);
  for (const [first, end] of [
    [0, 1],
    [1, last + 1],
    [last + 2, last + 2],
  ]) {
    await rejects(made.check(first, end), code('TIDEMARK_INDEX_NOT_RETAINED'));
  }
});

test('log: reading starts at a point of the sparse index, in sealed segments and in the tail', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const made = await TestLog.make({ fs, segmentBytes: 16 * SEGMENT_BYTES });
  for (let at = 0; at < 35; at++) await made.write(50_000);
  strictEqual((await made.segments()).length, 2);
  await settle(() => fs.calls.some(({ op, path }) => op === 'write' && path.endsWith('.idx')));
  for (const index of [1, 5, 12, 18, 30]) {
    const before = fs.calls.length;
    await made.check(index, index);
    const reads = fs.calls.slice(before).filter(({ op, path }) => op === 'read' && path.endsWith('.log'));
    // An entry takes 53,248 bytes; a point stands at the first batch 128 KiB behind the point before.
    const offset = ((index - 1) % 19) * 53_248 + 4096;
    ok(offset - reads[0]!.offset <= 3 * 53_248, `entry ${index}: ${reads[0]!.offset} is near ${offset}`);
    strictEqual(reads.length, 1);
  }
});

for (const { name, spoil } of [
  { name: 'missing', spoil: async (made: TestLog, path: string) => made.fs.remove(path) },
  {
    name: 'damaged',
    spoil: async (made: TestLog, path: string) =>
      damage(made.fs, path, (bytes) => {
        bytes[30]! ^= 1;
      }),
  },
  {
    name: 'of another segment',
    spoil: async (made: TestLog, path: string) => {
      const other = (await made.names(/\.idx$/))
        .map((idx) => `${LOG_DIR}/${idx}`)
        .find((idx) => idx !== path);
      await put(made.fs, path, await readFile(made.fs, other!));
    },
  },
  { name: 'empty', spoil: async (made: TestLog, path: string) => put(made.fs, path, new Uint8Array(0)) },
  { name: 'huge', spoil: async (made: TestLog, path: string) => put(made.fs, path, new Uint8Array(2 ** 21)) },
  {
    name: 'a directory',
    spoil: async (made: TestLog, path: string) => {
      await made.fs.remove(path);
      await made.fs.makeDirectory(path);
    },
  },
]) {
  test(`log: a sparse index that is ${name} costs time only`, async () => {
    const made = await severalSegments();
    await made.log.close();
    await made.open();
    const names = await made.names(/\.idx$/);
    ok(names.length > 1);
    await spoil(made, `${LOG_DIR}/${names[0]}`);
    for (const first of [1, 2, 5, 9]) await made.check(first);
  });
}

test('log: compaction drops whole segments, oldest first, and the status forgets them first', async () => {
  const made = await severalSegments();
  const [, second] = await made.names(/\.log$/);
  const boundary = Number(/-(\d+)/.exec(second!)![1]);
  await made.log.compactTo(toIndex(boundary - 2));
  strictEqual((await made.segments()).length, 4, 'the first segment holds an entry that is still wanted');
  await made.log.compactTo(toIndex(boundary - 1));
  strictEqual((await made.segments()).length, 3);
  deepStrictEqual([made.status.firstIndex, made.log.firstIndex], [boundary, boundary]);
  await rejects(made.check(boundary - 1), code('TIDEMARK_INDEX_NOT_RETAINED'));
  await made.check(boundary);
  await made.log.compactTo(toIndex(3)); // Long gone: nothing happens.
  strictEqual(made.log.firstIndex, boundary);
  await made.log.close();
  await made.open();
  strictEqual(made.replayed[0], `entry ${boundary}`);
  await made.check(boundary);
});

test('log: everything durable can be compacted, and the log goes on', async () => {
  const made = await severalSegments();
  const last = made.log.lastIndex;
  await made.log.compactTo(last);
  await made.log.close();
  await made.open();
  deepStrictEqual(made.replayed, []);
  deepStrictEqual([made.log.firstIndex, made.log.lastIndex], [last + 1, last]);
  await made.write(10, 10);
  await made.check(last + 1);
});

test('log: truncation after every index, in every segment and inside a batch', async () => {
  const length = (await severalSegments()).log.lastIndex;
  for (let index = 0; index <= length; index++) {
    const made = await severalSegments();
    await made.log.truncateAfter(toIndex(index));
    deepStrictEqual([made.log.lastIndex, made.log.durableIndex], [index, index]);
    await made.check();
    await rejects(made.check(1, index + 1), code('TIDEMARK_INDEX_NOT_RETAINED'));
    if (index % 2 === 0) await made.restart(); // As after a kill.
    await made.write(50, 60);
    await made.write(70_000);
    await made.check(1, index + 3);
    await made.log.close();
    await made.open();
    made.checkReplayed(index + 3);
  }
});

test('log: truncation waits for the batch in flight, and nothing is appended meanwhile', async () => {
  const made = await severalSegments();
  const last = made.log.lastIndex;
  made.append(10, 10, 10);
  made.log.flush();
  made.append(10);
  const truncated = made.log.truncateAfter(toIndex(last + 2));
  throws(() => made.append(10), InvariantViolation);
  const again = made.log.truncateAfter(toIndex(last));
  await truncated;
  strictEqual(made.log.lastIndex, last + 2);
  throws(() => made.append(10), InvariantViolation);
  await again;
  strictEqual(made.log.lastIndex, last);
  await made.write(10);
  await made.check();
});

test('log: terms and times never fall, bodies have a bound, truncation too', async () => {
  const made = await TestLog.make();
  const body = bodyOf(1, 10);
  made.log.append(toTerm(3), 1000, body);
  throws(() => made.log.append(toTerm(2), 1000, body), /term 2 follows term 3/);
  throws(() => made.log.append(toTerm(3), 999, body), /time 999 follows time 1000/);
  throws(() => made.log.append(toTerm(3), 1000, new Uint8Array(BODY_BYTES_MAX + 1)), InvariantViolation);
  throws(() => made.log.truncateAfter(toIndex(2)), InvariantViolation);
  await made.flush();
  await rejects(made.log.compactTo(toIndex(2)), InvariantViolation);
  deepStrictEqual([made.log.lastIndex, made.log.lastTerm, made.log.lastTime], [1, 3, 1000]);
  await made.restart();
  deepStrictEqual([made.log.lastIndex, made.log.lastTerm, made.log.lastTime], [1, 3, 1000]);
  throws(() => made.log.append(toTerm(2), 1000, body), /term 2 follows term 3/);
});

test('log: an idle log proves its last batch by a mark, once', async () => {
  const made = await TestLog.make();
  await made.write(10);
  const before = made.log.stats.syncs;
  await made.idle();
  made.clock.advance(10_000);
  await settle(() => true);
  strictEqual(made.log.stats.syncs, before + 1);
  await made.restart();
  deepStrictEqual([made.log.report.entriesRewritten, made.log.lastIndex], [0, 1]);
});

test('log: what was not proven is written again at the next open', async () => {
  const made = await TestLog.make();
  await made.write(10, 20, 30);
  await made.write(40, 50);
  await made.restart();
  deepStrictEqual([made.log.report.entriesRewritten, made.log.report.bytesDiscarded], [2, 0]);
  made.checkReplayed(5);
  await made.restart();
  strictEqual(made.log.report.entriesRewritten, 0, 'the new segment proves them');
  made.checkReplayed(5);
});

test('log: close waits for everything appended, proves it, and may come twice', async () => {
  const made = await TestLog.make();
  made.append(10, 20);
  made.log.flush();
  made.append(30);
  const closing = made.log.close();
  throws(() => made.append(10), InvariantViolation);
  await closing;
  deepStrictEqual(made.durable, [2, 3, 3], 'two batches and the mark');
  await made.log.close();
  await made.open();
  made.checkReplayed(3);
  deepStrictEqual(made.log.report, {
    segments: 2,
    firstIndex: 1,
    lastIndex: 3,
    entriesRewritten: 0,
    entriesDiscarded: 0,
    bytesDiscarded: 0,
    warnings: [],
  });
});

test('log: close during a truncation waits for it', async () => {
  const made = await severalSegments();
  const truncated = made.log.truncateAfter(toIndex(7));
  await made.log.close();
  await truncated;
  await made.open();
  made.checkReplayed(7);
});

test('log: a read that began before goes on through appends and rotations', async () => {
  const made = await severalSegments();
  const last = made.log.lastIndex;
  const read = made.log.read(toIndex(1));
  for (let index = 1; index <= last; index++) {
    if (index % 3 === 0) await made.write(30_000);
    strictEqual((await read.next()).value?.index, index);
  }
  strictEqual((await read.next()).done, true, 'it ends where the log ended when it began');
  await made.check();
});

test('log: a read whose segments are compacted or truncated away says so, and cries no damage', async () => {
  for (const change of [
    (made: TestLog) => made.log.compactTo(made.log.lastIndex),
    (made: TestLog) => made.log.truncateAfter(toIndex(5)),
    (made: TestLog) => made.log.truncateAfter(toIndex(0)),
  ]) {
    const made = await severalSegments();
    const read = made.log.read(toIndex(1));
    await read.next();
    await change(made);
    await rejects(async () => {
      for (;;) if ((await read.next()).done) return;
    }, code('TIDEMARK_INDEX_NOT_RETAINED'));
  }
});

test('log: many random runs of append, flush, idle, truncate, compact and open', async (t: TestContext) => {
  const seed = seedOf(t);
  for (let run = 0; run < 25; run++) {
    const made = await TestLog.make({ seed: seed + run });
    const random = made.chance;
    for (let step = 0; step < 25; step++) {
      const kind = random.below(12);
      if (kind < 6)
        await made.write(...Array.from({ length: random.between(1, 5) }, () => random.below(9000)));
      else if (kind === 6) await made.write(random.below(200_000));
      else if (kind === 7)
        await made.log.truncateAfter(toIndex(random.between(made.log.firstIndex - 1, made.log.lastIndex)));
      else if (kind === 8) await made.log.compactTo(toIndex(random.between(0, made.log.lastIndex)));
      else if (kind === 9) made.clock.advance(1000);
      else if (kind === 10) await made.restart();
      else {
        await made.log.close();
        await made.open();
      }
      await made.check();
    }
  }
});

test('log: on a real disk', async (t: TestContext) => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const made = await TestLog.make({ fs: new NodeFileSystem(), dataDir: join(dir, 'data') });
  for (let round = 0; round < 4; round++) await made.write(100, 20_000, 3000);
  await made.log.truncateAfter(toIndex(8));
  await made.write(70_000, 1);
  await made.log.compactTo(toIndex(4));
  await made.check();
  await made.log.close();
  await made.open();
  deepStrictEqual([made.log.firstIndex, made.log.lastIndex], [5, 10]);
  await made.check();
  await made.log.close();
});
