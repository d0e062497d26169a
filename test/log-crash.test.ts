/**
 * Crashes between two I/O calls, of truncation, compaction, rotation and recovery (checklist B5 to B9, A4).
 * Every write before the crash is there, none after it; what a lossy disk leaves: crash-exploration.test.ts.
 * Method: crash at every call, recover, compare; in recovery three deep. SOAK=1 tries many more.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex } from '../src/base/positions.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { type DiskBytes, damage, diskFrom, put, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { seedOf } from './support/seed.ts';
import { DATA_DIR, LOG_DIR, SEGMENT_BYTES, settle, TestLog } from './support/test-log.ts';

const IS_SOAK = process.env['SOAK'] === '1';

/** The lengths of the bodies tell which life an entry comes from. */
async function lengths(made: TestLog): Promise<number[]> {
  await made.check();
  const found: number[] = [];
  for await (const { length } of made.log.read(made.log.firstIndex)) found.push(length);
  return found;
}

const OLD = [100, 200, 300, 40_000, 9_000, 110, 210, 310, 40_010, 9_010, 120, 220];
const NEW = [55, 66];

/** Batches of three entries, in two segments. */
async function oldLog(fs: InterposedFileSystem): Promise<TestLog> {
  const made = await TestLog.make({ fs });
  for (let at = 0; at < OLD.length; at += 3) await made.write(...OLD.slice(at, at + 3));
  await whenQuiet(fs);
  strictEqual((await made.segments()).length, 2);
  return made;
}

/** Waits until what goes on in the background has ended. */
async function whenQuiet(fs: InterposedFileSystem): Promise<void> {
  for (let calls = -1; calls !== fs.calls.length; ) {
    calls = fs.calls.length;
    let turns = 0;
    await settle(() => ++turns > 5);
  }
}

/** Makes every call from the `number`-th on fail; returns whether that has happened. */
function crashAt(fs: InterposedFileSystem, made: TestLog, number: number): () => boolean {
  let count = 0;
  let hasCrashed = false;
  const hit = (): void => {
    if (++count >= number) hasCrashed = true;
    if (hasCrashed) throw new Error('crash');
  };
  fs.onCall = hit;
  made.beforeStatus = hit;
  return () => hasCrashed;
}

test('log B6: a truncation cut short at any call leaves the old log or the truncated one', async (t) => {
  let crashes = 0;
  for (let index = 0; index <= OLD.length; index += 1) {
    for (let number = 1; ; number++) {
      const inner = new MemoryFileSystem();
      const fs = new InterposedFileSystem(inner);
      const made = await oldLog(fs);
      const hasCrashed = crashAt(fs, made, number);
      let isTruncated = false;
      const acknowledged: number[] = [];
      try {
        await made.log.truncateAfter(toIndex(index));
        isTruncated = true;
        for (const bytes of NEW) {
          await made.write(bytes);
          if (made.poisoned.length === 0) acknowledged.push(bytes);
        }
      } catch {
        // What the caller got is not the point here.
      }
      if (!hasCrashed()) break;
      crashes++;
      const again = new TestLog({ fs: await diskFrom(await readDisk(inner, DATA_DIR)), status: made.status });
      await again.open();
      const found = await lengths(again);
      const kept = OLD.slice(0, index);
      const expected = isTruncated
        ? [0, 1].map((more) => [...kept, ...NEW.slice(0, acknowledged.length + more)])
        : [OLD, kept];
      const text = `truncated after ${index}, crashed at call ${number}: ${found.join()}`;
      ok(
        expected.some((lengthsExpected) => lengthsExpected.join() === found.join()),
        text,
      );
      // Neither the old suffix nor a leftover of it comes back later.
      await again.write(77);
      await again.restart();
      deepStrictEqual(await lengths(again), [...found, 77], text);
      strictEqual((await again.segments()).length, again.log.report.segments, 'no leftovers');
    }
  }
  t.diagnostic(`${crashes} crashes`);
});

test('log A4: a compaction cut short at any call leaves a log without a gap', async (t) => {
  let crashes = 0;
  for (let number = 1; ; number++) {
    const inner = new MemoryFileSystem();
    const fs = new InterposedFileSystem(inner);
    const made = await TestLog.make({ fs });
    for (let at = 0; at < 5; at++) await made.write(50_000 + at);
    await whenQuiet(fs);
    const hasCrashed = crashAt(fs, made, number);
    await made.log.compactTo(toIndex(4)).catch(() => undefined);
    if (!hasCrashed()) break;
    crashes++;
    const again = new TestLog({ fs: await diskFrom(await readDisk(inner, DATA_DIR)), status: made.status });
    await again.open();
    const all = [50_000, 50_001, 50_002, 50_003, 50_004];
    deepStrictEqual(await lengths(again), all.slice(made.status.firstIndex - 1));
    strictEqual((await again.segments()).length, again.log.report.segments, 'no leftovers');
  }
  t.diagnostic(`${crashes} crashes`);
});

test('log B6: a rotation cut short at any call loses no acknowledged entry', async (t) => {
  let crashes = 0;
  for (let number = 1; ; number++) {
    const inner = new MemoryFileSystem();
    const fs = new InterposedFileSystem(inner);
    const made = await TestLog.make({ fs });
    await made.write(50_000);
    const hasCrashed = crashAt(fs, made, number);
    made.append(50_001);
    await made.flush();
    const isAcknowledged = made.durable.includes(toIndex(2));
    await made.log.close().catch(() => undefined); // Whatever goes on in the background.
    if (!hasCrashed()) break;
    crashes++;
    const again = new TestLog({ fs: await diskFrom(await readDisk(inner, DATA_DIR)), status: made.status });
    await again.open();
    const found = await lengths(again);
    deepStrictEqual(found.length === 1 && !isAcknowledged ? [50_000] : [50_000, 50_001], found);
  }
  t.diagnostic(`${crashes} crashes`);
});

test('log B5, B7: what is not proven is rewritten and synced before the log opens', async () => {
  const made = await TestLog.make();
  await made.write(10, 20);
  await made.write(30, 40);
  const [path] = await made.segments();
  await damage(made.fs, path!, (bytes) => void bytes.fill(7, 12_288, 12_300)); // A torn third batch.
  const fs = new InterposedFileSystem(await diskFrom(await readDisk(made.fs, DATA_DIR)));
  const again = new TestLog({ fs, status: made.status });
  let changesAtStatus: string[] = [];
  again.beforeStatus = () => {
    changesAtStatus = fs.changes();
  };
  await again.open();
  again.checkReplayed(4);
  deepStrictEqual(again.durable, [], 'nothing is acknowledged by opening');
  const [spare] = changesAtStatus.filter((call) => call.startsWith('rename spare'));
  const name = spare!.slice('rename '.length);
  const steps = [`write ${name} 0+4096`, `write ${name} 4096+4096`, `sync ${name}`, `rename ${name}`];
  deepStrictEqual(changesAtStatus.slice(-5), [...steps, 'sync-directory log']);
  const after = fs.changes().slice(changesAtStatus.length);
  strictEqual(after[0], 'truncate 1-00000000000000000001.log 8192+0', 'the old bytes go last');
  strictEqual(again.status.segmentSequence, 2);
});

/** A disk on which recovery has all its work to do, and what it must find. */
async function roughDisk(): Promise<{ disk: DiskBytes; values: readonly string[] }> {
  const fs = new MemoryFileSystem();
  const node = await openNode(fs, 1);
  for (let at = 0; at < 6; at++) await node.submit('SET', `k${at}`, 'v'.repeat(30_000 + at));
  await node.submit('SET', 'last', 'whole');
  const disk = await readDisk(fs, DATA_DIR);
  await node.close();
  const rough = await diskFrom(disk);
  const segments = (await rough.list(LOG_DIR)).filter((name) => name.endsWith('.log'));
  const tail = `${LOG_DIR}/${segments.at(-1)}`;
  await damage(rough, tail, (bytes) => {
    bytes.fill(9, SEGMENT_BYTES - 5000, SEGMENT_BYTES - 4000); // A write that never finished.
  });
  // Left over from a compaction, unreadable, unfinished, unknown; and a copy of the status that is torn.
  await put(rough, `${LOG_DIR}/1-00000000000000000099.log`, new Uint8Array(5000));
  await put(rough, `${LOG_DIR}/1-00000000000000000098.log`, disk.get(`${LOG_DIR}/${segments[0]}`)!);
  await put(rough, `${LOG_DIR}/spare-9`, new Uint8Array(SEGMENT_BYTES).fill(1));
  await put(rough, `${LOG_DIR}/notes.txt`, Buffer.from('mine'));
  await damage(rough, `${DATA_DIR}/status`, (bytes) => void bytes.fill(0, 4096, 5000));
  const values = Array.from({ length: 6 }, (_, at) => 'v'.repeat(30_000 + at));
  return { disk: await readDisk(rough, DATA_DIR), values: [...values, 'whole'] };
}

function openNode(fs: FileSystem, seed: number, clock = new ManualClock()) {
  const doors = { fs, clock, chance: new SeededRandom(seed) };
  const checkpoint = { checkpointOnClose: false }; // The log has it all.
  return open({ dir: DATA_DIR, log: { segmentBytes: SEGMENT_BYTES }, checkpoint, doors });
}

/** Opens without a crash, and finds everything. */
async function opensWhole(disk: DiskBytes, values: readonly string[], seed: number): Promise<void> {
  const fs = await diskFrom(disk);
  const node = await openNode(fs, seed);
  const found = (await node.query('MGET', 'k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'last')) as Uint8Array[];
  deepStrictEqual(
    found.map((value) => Buffer.from(value).toString()),
    values,
  );
  strictEqual(node.recovery.lastIndex, 7);
  await node.submit('SET', 'more', '1');
  await node.close();
  const after = await readDisk(fs, DATA_DIR);
  deepStrictEqual(Buffer.from(after.get(`${LOG_DIR}/notes.txt`)!).toString(), 'mine');
  const kept = [...after.keys()].filter((path) => /quarantine\/[^.]*\.log(\.\d+)?$/.test(path));
  deepStrictEqual(kept.length, 2, `both unreadable files are kept: ${kept.join(', ')}`);
  const segments = [...after.keys()].filter((path) => /log\/[^.]*\.log$/.test(path));
  strictEqual(segments.length, node.recovery.segments);
  const sealed = segments.slice(0, -1).filter((path) => after.get(path)!.length === SEGMENT_BYTES);
  deepStrictEqual(sealed, [], 'the space behind the ends of sealed segments is given back');
}

/** Opens with a crash at the `number`-th call; returns what is on the disk then, null if it got through. */
async function crashRecovery(disk: DiskBytes, number: number, seed: number): Promise<DiskBytes | null> {
  const inner = await diskFrom(disk);
  const fs = new InterposedFileSystem(inner);
  let count = 0;
  fs.onCall = (call) => {
    if (++count >= number) refuse(call, 'EIO');
  };
  try {
    const node = await openNode(fs, seed);
    await node.close().catch(() => undefined);
    if (count < number) return null;
  } catch (error) {
    ok(isTidemarkError(error), String(error));
    ok(count >= number, `it opens when nothing fails: ${error.message}`);
  }
  return readDisk(inner, DATA_DIR);
}

test('log B9: recovery cut short at every call, and again, and again, ends in the same state', async (t) => {
  const { disk, values } = await roughDisk();
  await opensWhole(disk, values, 2);
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const afterFirst: DiskBytes[] = [];
  for (let number = 1; ; number++) {
    const left = await crashRecovery(disk, number, random.u32());
    if (left === null) break;
    afterFirst.push(left);
    await opensWhole(left, values, random.u32());
  }
  let states = afterFirst.length;
  for (let run = 0; run < (IS_SOAK ? 20_000 : 60); run++) {
    let left = random.pick(afterFirst);
    for (let depth = 2; depth <= 3; depth++) {
      left = (await crashRecovery(left, random.between(1, afterFirst.length), random.u32())) ?? left;
      await opensWhole(left, values, random.u32());
      states++;
    }
  }
  t.diagnostic(`${afterFirst.length} calls, ${states} states`);
});

/** Without SOAK each call fails in one of these ways, the next call in the next one. */
const SYSTEM_CODES = ['EIO', 'ENOSPC', 'EMFILE', 'EACCES', 'EROFS'] as const;

for (const [at, systemCode] of SYSTEM_CODES.entries()) {
  test(`log B9, F9: ${systemCode} at any call of the opening: it opens, or says why not`, async (t) => {
    const { disk, values } = await roughDisk();
    let refused = 0;
    for (let number = 1 + at; ; number += IS_SOAK ? 1 : SYSTEM_CODES.length) {
      const inner = await diskFrom(disk);
      const fs = new InterposedFileSystem(inner);
      let isOver = false;
      fs.onCall = (call) => {
        if (call.number < number || isOver) return;
        isOver = true;
        refuse(call, systemCode);
      };
      const clock = new ManualClock();
      let isSettled = false;
      const opening = openNode(fs, number, clock).catch((error: unknown) => {
        ok(isTidemarkError(error), String(error));
        return null;
      });
      void opening.finally(() => {
        isSettled = true;
      });
      await settle(() => {
        if (!isSettled) clock.advance(10); // Some failures are waited out.
        return isSettled;
      });
      const node = await opening;
      if (node === null) {
        refused++;
        deepStrictEqual(fs.handles, [], `call ${number}: no file is left open`);
        await (await openNode(inner, number)).close(); // The lock is free.
      } else await node.close().catch(() => undefined);
      await opensWhole(await readDisk(inner, DATA_DIR), values, number).catch((error: unknown) => {
        throw new Error(`after call ${number}`, { cause: error });
      });
      if (!isOver) break;
    }
    t.diagnostic(`${refused} refused`);
  });
}

test('log B9: an opening that failed leaves nothing that keeps the next one out', async () => {
  const { disk } = await roughDisk();
  const fs = new InterposedFileSystem(await diskFrom(disk));
  fs.onCall = (call) => {
    if (call.op === 'rename' && call.path.includes('spare')) refuse(call, 'EIO');
  };
  for (let tries = 0; tries < 3; tries++) {
    await rejects(openNode(fs, tries), (error) => isTidemarkError(error, 'TIDEMARK_IO'));
  }
  fs.onCall = () => undefined;
  await (await openNode(fs, 9)).close();
});
