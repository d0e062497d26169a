/**
 * A crash at every I/O call of taking, opening, cleaning up and removing checkpoints (checklist G1, G2, G10):
 * what was committed is there and whole, what was not is gone.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { CHECKPOINTS, DATA_DIR, StateDisk, someContent } from './support/checkpoint-disk.ts';
import { type CrashSubject, exploreCrashes, type Workload } from './support/crash-explorer.ts';
import { readDisk } from './support/disk-bytes.ts';
import { seedOf } from './support/seed.ts';

/** What the outside world knows of the checkpoints of a directory. */
interface KnownCheckpoints {
  /** The content at each index for which a checkpoint was begun. */
  readonly contents: Map<number, ReadonlyMap<string, string>>;
  /** Of the newest checkpoint whose taking has resolved; 0 for none. */
  committed: number;
}

const OPTIONS = { checkpointsKept: 2, loadConcurrency: 2, bufferBytes: 4096 };

function open(files: LossyFileSystem, seed: number): Promise<StateDisk> {
  return StateDisk.open({ fs: files, seed, options: OPTIONS });
}

/** A checkpoint of a few changes, mostly; of many, so that it is a full one, at times. */
async function takeNext(disk: StateDisk, known: KnownCheckpoints, random: SeededRandom): Promise<void> {
  const changes: Record<string, string | null> = {};
  const count = random.pick([0, 1, 3, 30]);
  for (let at = 0; at < count; at++) {
    const key = `key-${String(random.below(40)).padStart(5, '0')}`;
    changes[key] = random.happens(0.2) ? null : 'v'.repeat(random.pick([0, 20, 300, 2000]));
  }
  disk.state.write(changes);
  known.contents.set(disk.state.index, new Map(disk.state.content));
  const { index } = await disk.store.take(disk.state.source, disk.state.facts).then(({ info }) => info);
  known.committed = index;
  await disk.store.removeOld();
}

/** Holds what a start found against what is known. */
async function check(disk: StateDisk, known: KnownCheckpoints): Promise<void> {
  const { index, content } = disk.state;
  ok(index >= known.committed, `${known.committed} was committed, and ${index} is the newest there`);
  if (index > 0) deepStrictEqual(content, known.contents.get(index), `the content of ${index}`);
  deepStrictEqual(disk.store.damages, [], 'a crash damages nothing');
  const needed = disk.store.checkpoints.flatMap(({ path, info }) => [
    path.slice(CHECKPOINTS.length + 1),
    ...info.files.map(({ name }) => name),
  ]);
  deepStrictEqual(await disk.names(), [...new Set(needed)].sort(), 'what was not finished is gone');
  for (const found of disk.store.checkpoints) {
    const older = await disk.store.open(found);
    strictEqual(older.warnings.length, 0, `the checkpoint at ${found.info.index} is whole`);
    await older.files.close();
  }
}

const subject: CrashSubject<KnownCheckpoints> = {
  name: 'checkpoints',
  steps: { first: 2, last: 7 },
  newKnown: () => ({ contents: new Map(), committed: 0 }),
  copyKnown: (known) => ({ ...known, contents: new Map(known.contents) }),
  async run(files, workload: Workload, known) {
    const random = new SeededRandom(workload.seed);
    let disk = await open(files, workload.seed);
    disk.state.write(someContent(30));
    for (let step = 0; step < workload.steps; step++) {
      if (random.happens(0.2)) {
        disk = await open(files, workload.seed + 1 + step);
        await check(disk, known);
      } else await takeNext(disk, known, random);
    }
  },
  async restart(files, seed) {
    await open(files, seed);
  },
  async check(files, known, seed) {
    const disk = await open(files, seed);
    await check(disk, known);
    const then = { ...known, contents: new Map(known.contents) };
    await takeNext(disk, then, new SeededRandom(seed));
    await check(await open(files, seed + 1), then);
  },
  async goOn(files, known, random) {
    const disk = await open(files, random.u32());
    await check(disk, known);
    known.committed = disk.state.index;
    await takeNext(disk, known, random);
  },
};

test('checkpoint crash G1, G2, G10: at every call the last committed one is there, whole', async (t) => {
  const seed = seedOf(t);
  const { states, nested, crashes, calls } = await exploreCrashes(subject, {
    seed,
    states: Number(process.env['STATES'] ?? 800),
    crashesPerWorkload: 60,
    images: { subsetUnitsMax: 2, randomSubsets: 2, byteTearsMax: 1, fillings: ['old', 'garbage'] },
    imageShare: 0.2,
  });
  t.diagnostic(`${states} states after ${crashes} crashes in ${calls} calls, ${nested} in a start`);
  ok(nested > 0);
});

test('checkpoint crash: moved to quarantine or not, what is damaged is never lost', async (t) => {
  let states = 0;
  for (let call = 1; ; call++) {
    const files = new LossyFileSystem({ seed: 1 });
    const disk = await open(files, 1);
    disk.state.write(someContent(30));
    await disk.take();
    disk.state.write({ a: 'b' });
    await disk.take();
    const [newest] = disk.store.checkpoints;
    const path = `${CHECKPOINTS}/${newest!.info.files.at(-1)!.name}`;
    files.damage(path, { kind: 'flip-bit', offset: 90, bit: 3 });
    const damaged = Buffer.from(files.cachedBytes(path)!).toString('latin1');
    files.crashAt(files.callCount + call, call % 2 === 0 ? 'none' : 'done');
    const isCrashed = await open(files, 2).then(
      () => false,
      () => files.hasCrashed,
    );
    if (!isCrashed) break;
    for (const { files: image, choice } of files.crashImages({ subsetUnitsMax: 3, randomSubsets: 2 })) {
      const again = await open(image, 3);
      strictEqual(again.state.index, 1, choice);
      const found: (string | null)[] = [];
      for (const [at, bytes] of await readDisk(image, DATA_DIR)) {
        if (bytes !== null && at.includes('.data')) found.push(Buffer.from(bytes).toString('latin1'));
      }
      ok(found.includes(damaged), `call ${call}, ${choice}: the damaged file is kept`);
      states++;
    }
  }
  t.diagnostic(`${states} states`);
  ok(states > 50);
});
