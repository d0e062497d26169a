/**
 * A disk that fails while a checkpoint is taken, opened or removed (checklist F1, F4–F6, F9, H1, H2): the
 * error reaches who asked, what was there stays, and nothing half-made is left or used.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { TidemarkError } from '../src/base/errors.ts';
import type { IoOperation } from '../src/testing/lossy-faults.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { CHECKPOINTS, StateDisk, someContent } from './support/checkpoint-disk.ts';

/** A disk with one checkpoint, and a change after it. */
async function withOne(): Promise<{ fs: LossyFileSystem; disk: StateDisk }> {
  const fs = new LossyFileSystem({ seed: 1 });
  const disk = await StateDisk.open({ fs });
  disk.state.write(someContent(100));
  await disk.take();
  disk.state.write(someContent(50, 2));
  return { fs, disk };
}

async function failureOf(attempt: Promise<unknown>): Promise<TidemarkError | null> {
  try {
    await attempt;
    return null;
  } catch (error) {
    if (error instanceof TidemarkError) return error;
    throw error;
  }
}

const FAULTS: readonly { on: IoOperation; code: string; error: string }[] = [
  { on: 'list', code: 'EIO', error: 'TIDEMARK_IO' },
  { on: 'create', code: 'ENOSPC', error: 'TIDEMARK_DISK_FULL' },
  { on: 'create', code: 'EMFILE', error: 'TIDEMARK_RESOURCES' },
  { on: 'open', code: 'EMFILE', error: 'TIDEMARK_RESOURCES' },
  { on: 'size', code: 'EIO', error: 'TIDEMARK_IO' },
  { on: 'write', code: 'ENOSPC', error: 'TIDEMARK_DISK_FULL' },
  { on: 'write', code: 'EIO', error: 'TIDEMARK_IO' },
  { on: 'read', code: 'EIO', error: 'TIDEMARK_IO' },
  { on: 'sync', code: 'EIO', error: 'TIDEMARK_IO' },
  { on: 'sync', code: 'ENOSPC', error: 'TIDEMARK_DISK_FULL' },
  { on: 'rename', code: 'EIO', error: 'TIDEMARK_IO' },
  { on: 'sync-directory', code: 'EIO', error: 'TIDEMARK_IO' },
];

for (const { on, code, error: wanted } of FAULTS) {
  test(`checkpoint faults F1, F4, F9: ${code} of any ${on} leaves what was there`, async () => {
    let struck = 0;
    for (let after = 0; ; after++) {
      const { fs, disk } = await withOne();
      const before = await disk.names();
      fs.inject({ kind: 'error', on, code, after });
      const failure = await failureOf(disk.store.take(disk.state.source, disk.state.facts));
      fs.healFaults();
      if (failure === null) break;
      struck++;
      // What was read back and could not be read is reported as what it is: the attempt failed.
      strictEqual(failure.code, wanted, failure.message);
      deepStrictEqual(await disk.names(), before, 'what was made is gone');
      strictEqual(disk.store.base?.index, 1);
      const next = await disk.take();
      strictEqual(next.index, 2);
      strictEqual(next.files.at(-1)?.number, 3, 'the number of the file that failed is not used again');
      const again = await StateDisk.open({ fs });
      deepStrictEqual(again.state.content, disk.state.content);
    }
    ok(struck > 0, `${on} was called`);
  });
}

test('checkpoint faults F1: a sync that loses what it covers fails the attempt for good', async () => {
  for (let after = 0; after < 2; after++) {
    const { fs, disk } = await withOne();
    fs.inject({ kind: 'sync-loss', after });
    const failure = await failureOf(disk.store.take(disk.state.source, disk.state.facts));
    strictEqual(failure?.code, 'TIDEMARK_IO');
    const syncs = fs.calls.filter(({ op, path }) => op === 'sync' && path.includes('_2.'));
    strictEqual(syncs.length, after + 1, 'it is not tried again');
    const again = await StateDisk.open({ fs: fs.kill() });
    deepStrictEqual([again.state.index, again.store.damages], [1, []]);
  }
});

test('checkpoint faults F6: a read-back that comes short fails the attempt', async () => {
  for (const bytes of [0, 1, 100]) {
    const { fs, disk } = await withOne();
    const before = await disk.names();
    fs.inject({ kind: 'short-read', bytes });
    const failure = await failureOf(disk.store.take(disk.state.source, disk.state.facts));
    strictEqual(failure?.code, 'TIDEMARK_IO');
    deepStrictEqual(await disk.names(), before);
  }
});

test('checkpoint faults F4: without room what is there stays; with room it goes on', async () => {
  const { fs, disk } = await withOne();
  const before = await disk.names();
  const room = fs.capacityBytes;
  fs.capacityBytes = fs.usedBytes + 4096;
  strictEqual((await failureOf(disk.take()))?.code, 'TIDEMARK_DISK_FULL');
  deepStrictEqual(await disk.names(), before);
  fs.capacityBytes = room;
  strictEqual((await disk.take()).index, 2);
  deepStrictEqual((await StateDisk.open({ fs })).state.content, disk.state.content);
});

for (const kind of ['lost-write', 'misdirected-write'] as const) {
  test(`checkpoint faults H1, H2: a ${kind} is never read as a value`, async () => {
    let fallbacks = 0;
    let writes = 0;
    for (let after = 0; ; after++) {
      const { fs, disk } = await withOne();
      const then = new Map(disk.state.content);
      const calls = fs.callCount;
      if (kind === 'lost-write') fs.inject({ kind, after });
      else fs.inject({ kind, after, toOffset: 512 * after });
      await disk.take();
      const made = fs.calls.filter(({ op, at }) => op === 'write' && at > calls);
      fs.healFaults();
      for (const name of await disk.names()) fs.evict(`${CHECKPOINTS}/${name}`);
      const again = await StateDisk.open({ fs });
      if (again.state.index === 2) deepStrictEqual(again.state.content, then);
      else {
        deepStrictEqual([again.state.index, again.state.content.size], [1, 100]);
        ok(again.store.damages.length === 1);
        fallbacks++;
      }
      writes = made.length;
      if (after >= writes) break;
    }
    ok(fallbacks > writes / 3, `${fallbacks} of ${writes} writes`);
  });
}

test('checkpoint faults F5: a part that cannot be read is damage when it is needed', async () => {
  const { fs, disk } = await withOne();
  await disk.take();
  const path = `${CHECKPOINTS}/${disk.store.base!.files.at(-1)!.name}`;
  fs.inject({ kind: 'read-error', path, from: 200, to: 201, times: 1000 });
  const found = await StateDisk.find({ fs });
  strictEqual((await found.recover())?.index, 1);
  deepStrictEqual(
    found.store.damages.map(({ file }) => file),
    [path],
  );
});

test('checkpoint faults F9: a start without descriptors changes nothing, and is repeated', async () => {
  const { fs, disk } = await withOne();
  await disk.take();
  for (let after = 0; ; after++) {
    fs.inject({ kind: 'error', on: 'open', code: 'EMFILE', after });
    const failure = await failureOf(StateDisk.open({ fs }));
    fs.healFaults();
    if (failure === null) break;
    strictEqual(failure.code, 'TIDEMARK_RESOURCES');
  }
  deepStrictEqual((await StateDisk.open({ fs })).state.content, disk.state.content);
});

test('checkpoint faults: removing old ones may fail at any call, and goes on at the next start', async () => {
  for (const on of ['remove', 'sync-directory'] as const) {
    for (let after = 0; ; after++) {
      const fs = new LossyFileSystem({ seed: 1 });
      const disk = await StateDisk.open({ fs, options: { checkpointsKept: 1 } });
      disk.state.write(someContent(60));
      await disk.take();
      disk.state.write(someContent(60, 3));
      await disk.store.take(disk.state.source, disk.state.facts);
      fs.inject({ kind: 'error', on, code: 'EIO', after });
      const failure = await failureOf(disk.store.removeOld());
      fs.healFaults();
      if (failure === null) break;
      const { files } = fs.powerCut(new SeededRandom(after));
      const again = await StateDisk.open({ fs: files, options: { checkpointsKept: 1 } });
      deepStrictEqual([again.state.index, again.store.damages], [2, []]);
      deepStrictEqual(again.state.content, disk.state.content);
    }
  }
});

test('checkpoint faults: what could not be removed is whole, and no file is taken from it', async () => {
  for (let after = 0; ; after++) {
    const fs = new LossyFileSystem({ seed: 1 });
    const disk = await StateDisk.open({ fs, options: { checkpointsKept: 1 } });
    for (let round = 0; round < 4; round++) {
      disk.state.write(someContent(30, round + 1));
      await disk.store.take(disk.state.source, disk.state.facts);
    }
    fs.inject({ kind: 'error', on: 'remove', code: 'EIO', after });
    const failure = await failureOf(disk.store.removeOld());
    if (failure === null) break;
    disk.state.write({ a: 'b' });
    await disk.take();
    const again = await StateDisk.find({ fs, options: { checkpointsKept: 1 } });
    for (const found of again.store.checkpoints) await (await again.store.open(found)).files.close();
    await again.recover();
    await again.store.cleanUp();
    await again.store.removeOld();
    deepStrictEqual([again.state.content, again.store.damages], [disk.state.content, []]);
    strictEqual(again.store.checkpoints.length, 1);
  }
});
