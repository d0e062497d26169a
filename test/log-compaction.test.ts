/**
 * Compactions beside other changes of the log: truncations, rotations, each other. They wait for each other,
 * a crash at any call leaves a log without a gap (checklist A4), and one that finds no descriptors leaves the
 * log as usable as it was (F9).
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex } from '../src/base/positions.ts';
import { exploreKills } from './support/crash-explorer.ts';
import { diskFrom, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { fillSegments, type KnownLog, logSubject, type OpenLog, openKnown } from './support/log-explorer.ts';
import { DATA_DIR, settle, TestLog } from './support/test-log.ts';

/** Five segments of one entry each. */
async function fiveSegments(): Promise<{ made: TestLog; fs: InterposedFileSystem }> {
  const fs = new InterposedFileSystem((await TestLog.make()).fs);
  const made = await TestLog.make({ fs, dataDir: '/five' });
  for (let at = 0; at < 5; at++) await made.write(50_000 + at);
  await quiet(fs);
  strictEqual((await made.segments()).length, 5);
  return { made, fs };
}

/** Waits until what goes on in the background has ended. */
async function quiet(fs: InterposedFileSystem): Promise<void> {
  for (let calls = -1; calls !== fs.calls.length; ) {
    calls = fs.calls.length;
    let turns = 0;
    await settle(() => ++turns > 5);
  }
}

/** Every segment has its sparse index or none, and there is no file of what is gone. */
async function checkFiles(made: TestLog, segments: number): Promise<void> {
  const kept = new Set(await made.names(/\.log$/));
  strictEqual(kept.size, segments, [...kept].join());
  const orphans = (await made.names(/\.idx$/)).filter((name) => !kept.has(name.replace('.idx', '.log')));
  deepStrictEqual(orphans, []);
}

test('log compaction: compactions and truncations asked for at once run in turn', async () => {
  const { made, fs } = await fiveSegments();
  const order: string[] = [];
  const note = (name: string, change: Promise<void>): Promise<void> =>
    change.then(() => void order.push(name));
  await Promise.all([
    note('compacted to 1', made.log.compactTo(toIndex(1))),
    note('truncated after 4', made.log.truncateAfter(toIndex(4))),
    note('compacted to 3', made.log.compactTo(toIndex(3))),
    note('compacted to 2', made.log.compactTo(toIndex(2))),
    note('truncated after 3', made.log.truncateAfter(toIndex(3))),
  ]);
  const wanted = [
    'compacted to 1',
    'truncated after 4',
    'compacted to 3',
    'compacted to 2',
    'truncated after 3',
  ];
  deepStrictEqual(order, wanted);
  deepStrictEqual([made.log.firstIndex, made.log.lastIndex], [4, 3]);
  await made.write(60);
  await quiet(fs);
  await made.check(4);
  await made.log.close();
  await made.open();
  deepStrictEqual(made.replayed, ['entry 4']);
});

test('log compaction: what the change before took away cannot be compacted, or truncated', async () => {
  const { made } = await fiveSegments();
  const truncated = made.log.truncateAfter(toIndex(2));
  await rejects(made.log.compactTo(toIndex(4)), InvariantViolation);
  await truncated;
  const compacted = made.log.compactTo(toIndex(2));
  await rejects(made.log.truncateAfter(toIndex(1)), InvariantViolation);
  await compacted;
  await made.write(60);
  deepStrictEqual([made.log.firstIndex, made.log.lastIndex], [3, 3]);
});

test('log compaction: a rotation meanwhile does not bring back what was compacted', async () => {
  const { made, fs } = await fiveSegments();
  for (const held of ['write', 'sync', 'sync-data'] as const) {
    const last = made.log.lastIndex;
    let release: () => void = () => undefined;
    const gate = new Promise<void>((resolve) => {
      release = resolve;
    });
    let isHeld = false;
    fs.whenReady = (call) => {
      if (isHeld || call.op !== held || !/spare|\.log$/.test(call.path)) return null;
      isHeld = true;
      return gate;
    };
    made.append(50_000);
    made.log.flush();
    await settle(() => isHeld);
    const compacted = made.log.compactTo(toIndex(last - 1));
    let turns = 0;
    await settle(() => ++turns > 20);
    release();
    await compacted;
    await made.flush();
    await quiet(fs);
    await made.check(last);
    const before = fs.calls.length;
    await made.log.compactTo(toIndex(last));
    const removed = fs.calls.slice(before).filter(({ op, path }) => op === 'remove' || path.endsWith('.log'));
    const paths = new Set(removed.map(({ path }) => path.replace(/\.idx$/, '.log')));
    strictEqual(paths.size, 1, `only the one that was still there is looked for: ${[...paths].join()}`);
    await checkFiles(made, 1);
  }
});

test('log compaction: a segment sealed just now goes with its sparse index', async () => {
  for (let turns = 0; turns < 30; turns++) {
    const { made, fs } = await fiveSegments();
    made.append(50_005);
    await made.flush(); // Rotates; the segment before is tidied in the background.
    let count = 0;
    await settle(() => ++count > turns);
    await made.log.compactTo(toIndex(5));
    await quiet(fs);
    await checkFiles(made, 1);
    await made.check(6);
  }
});

for (const on of ['remove', 'stat', 'sync-directory', 'open'] as const) {
  test(`log compaction F9: out of descriptors at any ${on}, the next one removes the rest`, async () => {
    for (let number = 1; number <= 6; number++) {
      const { made, fs } = await fiveSegments();
      let count = 0;
      fs.onCall = (call) => {
        if (call.op === on && ++count === number) refuse(call, 'EMFILE');
      };
      await made.log.compactTo(toIndex(3));
      fs.onCall = () => undefined;
      strictEqual(made.log.firstIndex, 4);
      strictEqual(made.log.refusal, null);
      await made.write(60);
      await made.check(4);
      await made.log.compactTo(toIndex(3)); // Nothing new, but what was left over goes.
      await checkFiles(made, 2);
      await made.log.close();
      await made.open();
      deepStrictEqual(made.replayed, ['entry 4', 'entry 5', 'entry 6']);
      deepStrictEqual(made.log.report.warnings, []);
    }
  });
}

test('log compaction F9: what was not removed for want of descriptors, the next start removes', async () => {
  const { made, fs } = await fiveSegments();
  fs.onCall = (call) => {
    if (call.op === 'remove') refuse(call, 'EMFILE');
  };
  await made.log.compactTo(toIndex(3));
  await checkFiles(made, 5);
  await made.log.close();
  fs.onCall = () => undefined;
  await made.open();
  await checkFiles(made, 3); // The mark of the close is not proven: another segment follows.
});

test('log compaction F3: an I/O error reaches the caller, and a repeat finishes what was begun', async () => {
  for (let number = 1; number <= 3; number++) {
    const { made, fs } = await fiveSegments();
    let count = 0;
    fs.onCall = (call) => {
      if (call.op === 'remove' && ++count === number) refuse(call, 'EIO');
    };
    await rejects(made.log.compactTo(toIndex(3)), (error) => isTidemarkError(error, 'TIDEMARK_IO'));
    strictEqual(made.log.refusal, null);
    await made.log.compactTo(toIndex(3));
    await checkFiles(made, 2);
    await made.write(60);
    await made.check(4);
  }
});

test('log compaction A4: crashed at any call beside a truncation, there is no gap', async (t) => {
  let crashes = 0;
  for (let number = 1; ; number++) {
    const { made, fs } = await fiveSegments();
    let count = 0;
    const hit = (): void => {
      if (++count >= number) throw new Error('crash');
    };
    fs.onCall = hit;
    made.beforeStatus = hit;
    const changes = [
      made.log.compactTo(toIndex(1)),
      made.log.truncateAfter(toIndex(4)),
      made.log.compactTo(toIndex(3)),
    ];
    const outcomes = await Promise.allSettled(changes);
    if (outcomes.every(({ status }) => status === 'fulfilled')) await made.write(50_000);
    await made.log.close().catch(() => undefined);
    const [compacted, truncated] = outcomes.map(({ status }) => status === 'fulfilled');
    if (count < number) break;
    crashes++;
    fs.onCall = () => undefined;
    const disk = await readDisk(fs, '/five');
    const moved = new Map([...disk].map(([path, bytes]) => [path.replace('/five', DATA_DIR), bytes]));
    const again = new TestLog({ fs: await diskFrom(moved), status: made.status });
    await again.open();
    const { firstIndex, lastIndex } = again.log;
    await again.check(firstIndex);
    ok(firstIndex >= (compacted === true ? 2 : 1) && firstIndex <= 4, `first ${firstIndex}`);
    ok(lastIndex >= 4 && lastIndex <= 5, `last ${lastIndex}`);
    if (truncated === true) ok(!again.replayed.includes('entry 5') || outcomes[2]?.status === 'fulfilled');
    await checkFiles(again, again.log.report.segments);
  }
  t.diagnostic(`${crashes} crashes`);
  ok(crashes > 20);
});

test('log compaction A4: two at once, killed at any call, power cut at any call of a start', async (t) => {
  let open: OpenLog;
  const { states } = await exploreKills(logSubject, {
    seed: 2,
    async prepare(files, known) {
      open = await openKnown(files, 2, known);
      await fillSegments(open, known, 3);
    },
    steps: (_files, known: KnownLog) => {
      known.committed = 11;
      known.compactedBegun = 11;
      const done = (upTo: number) => () => {
        known.compactedDone = upTo;
      };
      const both = [
        open.log.compactTo(toIndex(9)).then(done(9)),
        open.log.compactTo(toIndex(11)).then(done(11)),
      ];
      return Promise.all(both).then(() => undefined);
    },
    images: { subsetUnitsMax: 1, randomSubsets: 4, byteTearsMax: 0, fillings: ['old'] },
    cutShare: 0.1,
    imageShare: 0.05,
  });
  t.diagnostic(`${states} states`);
  ok(states > 50);
});
