/**
 * The disk that misbehaves (src/testing/lossy-file-system.ts). Goal: a power cut leaves exactly what the
 * contract of file-system.ts allows, and every fault does what it says. Method: exhaustive for small states,
 * then seeded against a model.
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import type { File } from '../src/storage/file-system.ts';
import type { CrashImageOptions } from '../src/testing/crash-choices.ts';
import { SimulatedCrash } from '../src/testing/lossy-calls.ts';
import { CHANGING_OPERATIONS } from '../src/testing/lossy-faults.ts';
import { LossyFileSystem, type LossyOptions } from '../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { drawSeed } from './support/seed.ts';

const seed = drawSeed();
test('lossy: the seed of this run', (t) => t.diagnostic(`reproduce with SEED=${seed}`));

const OLD_ONLY: CrashImageOptions = { fillings: ['old'], subsetUnitsMax: 12 };

/** A file of `text`, durable with its name. */
async function durableFile(text: string, options: LossyOptions = {}): Promise<[LossyFileSystem, File]> {
  const files = new LossyFileSystem(options);
  const file = await files.open('a', 'create');
  await file.write(Buffer.from(text), 0);
  await file.sync();
  await files.syncDirectory('');
  return [files, file];
}

function textOf(files: LossyFileSystem, path: string): string | null {
  const bytes = files.cachedBytes(path);
  return bytes === null ? null : Buffer.from(bytes).toString('latin1');
}

/** What the images show of the files named, each outcome once, sorted. */
function outcomes(files: LossyFileSystem, paths: readonly string[], options = OLD_ONLY): string[] {
  const found = new Set<string>();
  for (const image of files.crashImages(options)) {
    found.add(paths.map((path) => textOf(image.files, path) ?? '-').join(' '));
  }
  return [...found].sort();
}

const sector = (letter: string): string => letter.repeat(512);

test('lossy: what was synced is in every image', async () => {
  const [files, file] = await durableFile('hello');
  deepStrictEqual(outcomes(files, ['a']), ['hello']);
  await file.write(Buffer.from('J'), 0);
  await file.syncData();
  deepStrictEqual(outcomes(files, ['a']), ['Jello']);
  strictEqual(files.pendingCount, 0);
});

test('lossy: of sectors not synced, any subset is there', async () => {
  const [files, file] = await durableFile(sector('a') + sector('b') + sector('c'));
  await file.write(Buffer.from(sector('A')), 0);
  await file.write(Buffer.from(sector('C')), 1024);
  const want = ['A', 'a'].flatMap((first) =>
    ['C', 'c'].map((last) => sector(first) + sector('b') + sector(last)),
  );
  deepStrictEqual(outcomes(files, ['a'], { ...OLD_ONLY, byteTearsMax: 0 }), want.sort());
});

test('lossy: a sector overwritten twice holds any of its versions', async () => {
  const [files, file] = await durableFile(sector('a'));
  await file.write(Buffer.from(sector('b')), 0);
  await file.write(Buffer.from('cc'), 0);
  const want = [sector('a'), sector('b'), `cc${sector('b').slice(2)}`];
  deepStrictEqual(outcomes(files, ['a'], { ...OLD_ONLY, byteTearsMax: 0 }), want.sort());
});

test('lossy: what did not reach the disk may be zeros or garbage, only where it was written', async () => {
  const durable = 'durable.'.repeat(64);
  const [files, file] = await durableFile(durable);
  await file.write(Buffer.from('NEW'), 100);
  const middles = new Set<string>();
  for (const image of files.crashImages()) {
    const text = textOf(image.files, 'a')!;
    strictEqual(
      text.slice(0, 100) + text.slice(103),
      durable.slice(0, 100) + durable.slice(103),
      image.choice,
    );
    middles.add(text.slice(100, 103));
  }
  for (const middle of ['NEW', 'ble', '\0\0\0', 'N\0\0', 'NEe']) ok(middles.has(middle), middle);
  ok(middles.size > 6, 'garbage too');
});

test('lossy: the last write is torn at every byte', async () => {
  const [files, file] = await durableFile('.'.repeat(40));
  await file.write(Buffer.from('#'.repeat(30)), 5);
  const found = new Set(outcomes(files, ['a'], { fillings: ['old'], byteTearsMax: 30 }));
  for (let cut = 0; cut <= 30; cut++) {
    ok(found.has('.'.repeat(5) + '#'.repeat(cut) + '.'.repeat(35 - cut)), `cut at ${cut}`);
  }
});

test('lossy: a file that grew has its old size, or zeros, or its bytes', async () => {
  const [files, file] = await durableFile('');
  await file.write(Buffer.from('data'), 0);
  deepStrictEqual(outcomes(files, ['a'], { ...OLD_ONLY, byteTearsMax: 0 }), ['', '\0\0\0\0', 'data']);
});

test('lossy: sizes change in order, and what was cut off stays away', async () => {
  const [files, file] = await durableFile('abcdef');
  await file.truncate(2);
  await file.truncate(4);
  deepStrictEqual(outcomes(files, ['a']), ['ab', 'ab\0\0', 'abcdef']);
  await file.sync();
  deepStrictEqual(outcomes(files, ['a']), ['ab\0\0']);
});

test('lossy: names are durable after the sync of their directory, and not before', async () => {
  const [files, file] = await durableFile('x');
  await file.close();
  const made = await files.open('b', 'create');
  await made.write(Buffer.from('b'), 0);
  await made.sync();
  deepStrictEqual(outcomes(files, ['a', 'b']), ['x -', 'x b']);
  await files.remove('a');
  deepStrictEqual(outcomes(files, ['a', 'b']), ['- -', '- b', 'x -', 'x b']);
  await files.syncDirectory('');
  deepStrictEqual(outcomes(files, ['a', 'b']), ['- b']);
});

test('lossy: of the changes of one name, only a prefix is there', async () => {
  const [files, file] = await durableFile('1');
  await file.close();
  for (const text of ['2', '3']) {
    await files.remove('a');
    const made = await files.open('a', 'create');
    await made.write(Buffer.from(text), 0);
    await made.sync();
  }
  deepStrictEqual(outcomes(files, ['a']), ['-', '1', '2', '3']);
});

test('F7: a rename that is not synced leaves the old file or the new one, never none', async () => {
  const [files, file] = await durableFile('old');
  await file.close();
  const fresh = await files.open('temporary', 'create');
  await fresh.write(Buffer.from('new'), 0);
  await fresh.sync();
  await files.rename('temporary', 'a');
  deepStrictEqual(outcomes(files, ['a', 'temporary']), ['new -', 'old -', 'old new']);
  await files.syncDirectory('');
  deepStrictEqual(outcomes(files, ['a', 'temporary']), ['new -']);
});

test('F7: a rename may reach the disk before the data of a file that was not synced', async () => {
  const [files, file] = await durableFile('old');
  await file.close();
  const fresh = await files.open('temporary', 'create');
  await fresh.write(Buffer.from('new'), 0);
  await files.rename('temporary', 'a');
  await files.syncDirectory('');
  deepStrictEqual(outcomes(files, ['a'], { ...OLD_ONLY, byteTearsMax: 0 }), ['', '\0\0\0', 'new']);
});

test('F7: a rename between directories is durable when both are synced, and whole before', async () => {
  const [files, file] = await durableFile('x');
  await file.close();
  await files.makeDirectory('d');
  await files.syncDirectory('');
  await files.rename('a', 'd/b');
  deepStrictEqual(outcomes(files, ['a', 'd/b']), ['- x', 'x -']);
  await files.syncDirectory('d');
  deepStrictEqual(outcomes(files, ['a', 'd/b']), ['- x', 'x -']);
  await files.syncDirectory('');
  deepStrictEqual(outcomes(files, ['a', 'd/b']), ['- x']);
});

test('lossy: a file in a directory that is not durable is lost with it', async () => {
  const files = new LossyFileSystem();
  await files.makeDirectory('d');
  const file = await files.open('d/a', 'create');
  await file.write(Buffer.from('x'), 0);
  await file.sync();
  await files.syncDirectory('d');
  deepStrictEqual(outcomes(files, ['d/a']), ['-', 'x']);
  await files.syncDirectory('');
  deepStrictEqual(outcomes(files, ['d/a']), ['x']);
});

test('lossy: a sync covers what was written before it, and completes when the test says', async () => {
  const [files, file] = await durableFile(sector('a') + sector('b'));
  files.holdSyncs();
  await file.write(Buffer.from('1'), 0);
  let isDone = false;
  const synced = file.syncData().then(() => (isDone = true));
  await file.write(Buffer.from('2'), 512);
  strictEqual(files.heldSyncs.length, 1);
  strictEqual(isDone, false);
  strictEqual(Buffer.from(files.durableBytes('a')!).toString(), sector('a') + sector('b'));
  files.releaseSyncs();
  await synced;
  strictEqual(Buffer.from(files.durableBytes('a')!).toString(), `1${sector('a').slice(1)}${sector('b')}`);

  files.holdSyncs();
  const several = Promise.all([file.sync(), file.syncData(), file.sync()]);
  await new Promise<void>((resolve) => queueMicrotask(resolve));
  strictEqual(files.heldSyncs.length, 3);
  files.releaseSyncs();
  await several;

  files.holdSyncs();
  const failing = file.sync();
  const failed = rejects(failing, { code: 'TIDEMARK_IO' });
  await new Promise<void>((resolve) => queueMicrotask(resolve));
  files.heldSyncs[0]!.fail('EIO');
  await failed;
});

test('F1: after a sync that failed, the next claims success, and the data never arrives', async () => {
  const [files, file] = await durableFile(sector('a') + sector('b'));
  files.inject({ kind: 'sync-loss' });
  await file.write(Buffer.from('1'), 0);
  await rejects(file.sync(), {
    code: 'TIDEMARK_IO',
    facts: { operation: 'sync', path: 'a', systemCode: 'EIO' },
  });
  await file.write(Buffer.from('2'), 512);
  await file.sync();
  strictEqual(textOf(files, 'a')![0], '1', 'the cache shows it');
  deepStrictEqual(outcomes(files, ['a']), [`${sector('a')}2${sector('b').slice(1)}`]);
  const restarted = files.kill();
  strictEqual(textOf(restarted, 'a')![0], '1', 'and so does it to the next process');
  restarted.evict('a');
  strictEqual(textOf(restarted, 'a')![0], 'a', 'until the page is evicted');
});

test('lossy: a killed process leaves the cache, and no more durable than before', async () => {
  const [files, file] = await durableFile('old');
  await file.write(Buffer.from('new'), 0);
  const made = await files.open('b', 'create');
  await made.write(Buffer.from('b'), 0);
  const restarted = files.kill();
  await rejects(file.size(), SimulatedCrash);
  strictEqual(textOf(restarted, 'a'), 'new');
  ok(outcomes(restarted, ['a', 'b']).includes('old -'));
  const reopened = await restarted.open('a', 'write');
  await reopened.sync();
  await restarted.syncDirectory('');
  ok(outcomes(restarted, ['a', 'b']).every((outcome) => outcome.startsWith('new ')));
  ok(!outcomes(restarted, ['a', 'b']).includes('new -'));
});

test('lossy: a full disk takes what fits, and has room again after a removal', async () => {
  const files = new LossyFileSystem({ capacityBytes: 4 * 4096 });
  const file = await files.open('a', 'create');
  await file.write(new Uint8Array(3 * 4096), 0);
  await rejects(file.write(new Uint8Array(3 * 4096), 3 * 4096), {
    code: 'TIDEMARK_DISK_FULL',
    remedy: 'retry',
    facts: { operation: 'write', path: 'a', systemCode: 'ENOSPC', offset: 4 * 4096 },
  });
  strictEqual(await file.size(), 4 * 4096);
  strictEqual(files.usedBytes, 4 * 4096);
  await file.write(new Uint8Array(4 * 4096), 0);
  const other = await files.open('b', 'create');
  await rejects(other.write(Uint8Array.of(1), 0), { code: 'TIDEMARK_DISK_FULL' });
  await file.truncate(4096);
  await other.write(Uint8Array.of(1), 0);
  await files.remove('a');
  await other.write(new Uint8Array(4 * 4096), 0);
  await rejects(other.write(Uint8Array.of(1), 4 * 4096), { code: 'TIDEMARK_DISK_FULL' });
  files.capacityBytes = Infinity;
  await other.write(Uint8Array.of(1), 4 * 4096);
});

test('lossy: a read-only disk and a forbidden one', async () => {
  const [files, file] = await durableFile('hello');
  files.deny('EROFS');
  await rejects(files.open('b', 'create'), { code: 'TIDEMARK_NOT_WRITABLE' });
  await rejects(files.open('a', 'write'), { code: 'TIDEMARK_NOT_WRITABLE' });
  await rejects(file.write(Uint8Array.of(1), 0), { code: 'TIDEMARK_NOT_WRITABLE' });
  await rejects(files.lock('lock', 'x'), { code: 'TIDEMARK_NOT_WRITABLE' });
  await (await files.open('a', 'read')).close();
  files.deny('EACCES');
  await rejects(files.open('a', 'read'), { code: 'TIDEMARK_NOT_WRITABLE' });
  await rejects(files.list(''), { code: 'TIDEMARK_NOT_WRITABLE' });
  files.deny(null);
  deepStrictEqual(await files.list(''), ['a']);
});

test('F9: descriptors run out as often as told, and nothing has changed', async () => {
  const files = new LossyFileSystem();
  files.inject({ kind: 'error', on: 'create', code: 'EMFILE', times: 2, after: 1 });
  await files.open('a', 'create');
  for (let attempt = 0; attempt < 2; attempt++) {
    await rejects(files.open('b', 'create'), { code: 'TIDEMARK_RESOURCES', remedy: 'retry' });
  }
  deepStrictEqual(await files.list(''), ['a']);
  await files.open('b', 'create');
});

test('lossy: reads fail, end early and meet damage where told', async () => {
  const [files, file] = await durableFile('hello world');
  const target = new Uint8Array(11);
  files.inject({ kind: 'read-error', path: './a', from: 6, to: 7 });
  strictEqual(file.readSync(target.subarray(0, 6), 0), 6);
  throws(() => file.readSync(target, 0), { code: 'TIDEMARK_IO' });
  files.inject({ kind: 'short-read', bytes: 3 });
  strictEqual(file.readSync(target, 0), 3);
  strictEqual(file.readSync(target, 0), 11);
  files.damage('a', { kind: 'flip-bit', offset: 0, bit: 5 });
  files.damage('a', { kind: 'zero', from: 1, to: 3 });
  files.damage('a', { kind: 'overwrite', offset: 6, bytes: Buffer.from('W') });
  deepStrictEqual(outcomes(files, ['a']), ['H\0\0lo World']);
  files.damage('a', { kind: 'garbage', from: 0, to: 11 });
  ok(textOf(files, 'a') !== 'H\0\0lo World');
  strictEqual(textOf(files, 'a'), outcomes(files, ['a'])[0]);
});

test('lossy: a lost write is never on the disk, a misdirected one elsewhere', async () => {
  const [files, file] = await durableFile(sector('a') + sector('b'));
  const victim = await files.open('v', 'create');
  await victim.write(Buffer.from(sector('v') + sector('w')), 0);
  await victim.sync();
  await files.syncDirectory('');
  files.inject({ kind: 'lost-write', path: 'a' });
  await file.write(Buffer.from(sector('1')), 0);
  files.inject({ kind: 'misdirected-write', path: 'a', toPath: 'v', toOffset: 512 });
  await file.write(Buffer.from(sector('2')), 512);
  await file.sync();
  strictEqual(textOf(files, 'a'), sector('1') + sector('2'));
  deepStrictEqual(outcomes(files, ['a', 'v']), [`${sector('a') + sector('b')} ${sector('v') + sector('2')}`]);
});

test('L5: a buffer that changes while its write is pending is a bug', async () => {
  const [files, file] = await durableFile('hello');
  const buffer = Buffer.from('J');
  const written = file.write(buffer, 0);
  buffer.fill(0xdd);
  await rejects(written, InvariantViolation);
  strictEqual(textOf(files, 'a'), 'hello');
});

test('L2: two writes of one file that overlap in time end in any order', async () => {
  const found = new Set<string>();
  for (let run = 0; run < 40; run++) {
    const [files, file] = await durableFile('', { seed: run });
    await Promise.all([file.write(Buffer.from('1'), 0), file.write(Buffer.from('2'), 0)]);
    found.add(String(textOf(files, 'a')));
  }
  deepStrictEqual([...found].sort(), ['1', '2']);
});

test('lossy: odds make every fault happen, and the same seed the same run', async () => {
  const run = async (): Promise<string[]> => {
    const [files, file] = await durableFile('x'.repeat(5000), { seed });
    files.odds = {
      readError: 0.1,
      shortRead: 0.1,
      bitFlip: 0.1,
      syncLoss: 0.1,
      lostWrite: 0.1,
      misdirectedWrite: 0.1,
      openExhausted: 0.1,
    };
    const events: string[] = [];
    const attempt = (call: Promise<unknown>): Promise<void> =>
      call.then(
        (value) => void events.push(String(value)),
        (error: Error) => void events.push(error.message),
      );
    for (let round = 0; round < 100; round++) {
      const calls = [
        attempt(file.write(new Uint8Array(100).fill(round), round * 40)),
        attempt(file.read(new Uint8Array(100), round * 40)),
        attempt(file.sync()),
        attempt(files.open('a', 'read')),
      ];
      await Promise.all(calls);
    }
    events.push(Buffer.from(files.durableBytes('a')!).toString('hex'), JSON.stringify(files.calls));
    events.push(files.powerCut(new SeededRandom(seed)).choice);
    return events;
  };
  deepStrictEqual(await run(), await run());
});

test('lossy: a crash at each call, with and without its effect', async () => {
  const work = async (files: LossyFileSystem): Promise<void> => {
    await files.makeDirectory('d');
    const file = await files.open('d/a', 'create');
    await file.write(Buffer.from('x'), 0);
    await file.sync();
    await files.rename('d/a', 'd/b');
    await files.syncDirectory('d');
    await files.syncDirectory('');
  };
  const whole = new LossyFileSystem();
  await work(whole);
  deepStrictEqual(
    whole.calls.map(({ op }) => op),
    ['make-directory', 'create', 'write', 'sync', 'rename', 'sync-directory', 'sync-directory'],
  );
  ok(whole.calls.every(({ op }) => CHANGING_OPERATIONS.has(op)));
  for (let at = 1; at <= whole.callCount; at++) {
    const before = new LossyFileSystem();
    before.crashAt(at);
    await rejects(work(before), SimulatedCrash);
    const done = new LossyFileSystem();
    done.crashAt(at, 'done');
    await rejects(work(done), SimulatedCrash);
    ok(before.hasCrashed && done.hasCrashed);
    await rejects(before.list(''), SimulatedCrash);
    const next = new LossyFileSystem();
    next.crashAt(at + 1);
    await work(next).catch(() => {});
    deepStrictEqual(outcomes(done, ['d/a', 'd/b']), outcomes(next, ['d/a', 'd/b']));
  }
});

test('lossy: a choice as printed brings its image back', async () => {
  const [files, file] = await durableFile(sector('a').repeat(20));
  const random = new SeededRandom(seed);
  for (let write = 0; write < 5; write++) {
    await file.write(random.fill(new Uint8Array(random.between(1, 5000))), random.below(8000));
  }
  let count = 0;
  for (const image of files.crashImages()) {
    count++;
    const again = files.crashImage(image.choice);
    strictEqual(textOf(again.files, 'a'), textOf(image.files, 'a'), image.choice);
    ok(again.describe().startsWith(image.choice));
  }
  ok(count > 50, `${count} images`);
  throws(() => files.crashImage('grain=512 present=1 absent=old tear=none seed=1'), InvariantViolation);
});

test('lossy: images are independent of each other and of the disk they came from', async () => {
  const [files, file] = await durableFile('original');
  await file.write(Buffer.from('O'), 0);
  const [none, ...others] = [...files.crashImages(OLD_ONLY)];
  const opened = await none!.files.open('a', 'write');
  await opened.write(Buffer.from('changed!'), 0);
  await none!.files.remove('a');
  ok(others.every((image) => textOf(image.files, 'a')?.slice(1) === 'riginal'));
  strictEqual(textOf(files, 'a'), 'Original');
});

test('lossy: every sector of every image is one the file has held since its sync (seeded)', async () => {
  const random = new SeededRandom(seed);
  for (let run = 0; run < 60; run++) {
    const files = new LossyFileSystem({ seed: random.u32(), completionOrder: 'issued' });
    const file = await files.open('a', 'create');
    await files.syncDirectory('');
    await file.truncate(16 * 512);
    let versions: Set<string>[] = [];
    const note = (): void => {
      for (let at = 0; at < 16; at++) (versions[at] ??= new Set()).add(sectorOf(files, at));
    };
    const sync = async (): Promise<void> => {
      await file.syncData();
      versions = [];
      note();
    };
    await sync();
    for (let step = 0; step < random.between(1, 8); step++) {
      const offset = random.below(15 * 512);
      await file.write(random.fill(new Uint8Array(random.between(1, 16 * 512 - offset))), offset);
      note();
      if (random.happens(0.2)) await sync();
    }
    for (const image of files.crashImages({ fillings: ['old'], byteTearsMax: 0 })) {
      // A tear between sectors is a subset, too.
      for (let at = 0; at < 16; at++) ok(versions[at]!.has(sectorOf(image.files, at)), image.describe());
    }
    const cut = files.powerCut(random);
    strictEqual(cut.files.cachedBytes('a')!.length, 16 * 512);
  }
});

function sectorOf(files: LossyFileSystem, at: number): string {
  const bytes = files.cachedBytes('a')!;
  return Buffer.from(bytes.subarray(at * 512, (at + 1) * 512)).toString('hex');
}

test('lossy: images of a megabyte are cheap', async (t) => {
  const [files, file] = await durableFile('x'.repeat(1024 * 1024));
  await file.write(new Uint8Array(3000).fill(1), 500_000);
  const start = process.hrtime.bigint();
  let count = 0;
  for (let round = 0; round < 20; round++) {
    for (const image of files.crashImages()) {
      const reader = await image.files.open('a', 'write');
      reader.readSync(new Uint8Array(512), 500_000);
      reader.writeSync(new Uint8Array(512), 500_000);
      await reader.sync();
      count++;
    }
  }
  const ms = Number(process.hrtime.bigint() - start) / 1e6;
  t.diagnostic(`${count} images, ${((ms / count) * 1000).toFixed(0)} µs each`);
});
