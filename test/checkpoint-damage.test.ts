/**
 * Damage of checkpoint files (checklist G1–G4): any damaged byte is found before it is used, an older
 * checkpoint is used instead, and nothing damaged is deleted. Exhaustive for a small checkpoint, seeded for a
 * larger one.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError, TidemarkError } from '../src/base/errors.ts';
import { noCheckpointLeft } from '../src/checkpoint/damage.ts';
import { verifyCheckpoints } from '../src/checkpoint/verify-checkpoints.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { CHECKPOINTS, CLUSTER_ID, DATA_DIR, StateDisk, someContent } from './support/checkpoint-disk.ts';
import { assertUnchanged, type DiskBytes, damage, diskFrom, put, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { seedOf } from './support/seed.ts';

/** What a directory held when each of its checkpoints was taken; by index. */
interface Taken {
  readonly disk: DiskBytes;
  readonly contents: ReadonlyMap<number, ReadonlyMap<string, string>>;
  /** Paths of the files, by the index of the checkpoint that wrote them. */
  readonly idx: ReadonlyMap<number, string>;
  readonly data: ReadonlyMap<number, string>;
}

/** Three checkpoints: a full one, an incremental one, and a full one again. */
async function takeThree(keys: number): Promise<Taken> {
  const disk = await StateDisk.open();
  const contents = new Map<number, ReadonlyMap<string, string>>();
  const [idx, data] = [new Map<number, string>(), new Map<number, string>()];
  for (const changes of [someContent(keys), { 'key-00002': 'changed' }, someContent(keys, 2)]) {
    disk.state.write(changes);
    const info = await disk.take();
    contents.set(info.index, new Map(disk.state.content));
    idx.set(info.index, disk.store.checkpoints[0]!.path);
    data.set(info.index, `${CHECKPOINTS}/${info.files.at(-1)!.name}`);
  }
  const kinds = disk.store.checkpoints.map(({ info }) => info.kind);
  deepStrictEqual(kinds, ['full', 'incremental', 'full']);
  return { disk: await readDisk(disk.fs, DATA_DIR), contents, idx, data };
}

/** Starts from a damaged copy: what is found must be what was there. Returns the index, or null for none. */
async function recovered(taken: Taken, fs: FileSystem): Promise<{ index: number | null; files: string[] }> {
  const disk = await StateDisk.find({ fs });
  const before = await readDisk(fs, DATA_DIR);
  const info = await disk.recover();
  await assertUnchanged(fs, DATA_DIR, before);
  if (info !== null)
    deepStrictEqual(disk.state.content, taken.contents.get(info.index), 'the content of then');
  return { index: info?.index ?? null, files: disk.store.damages.map(({ file }) => file) };
}

test('checkpoint G1, G2: any damaged byte is found before its use, and an older one is used', async (t) => {
  const taken = await takeThree(12);
  let warned = 0;
  let tried = 0;
  for (const [path, bytes] of taken.disk) {
    if (bytes === null) continue;
    const owner = [...taken.idx, ...taken.data].find(([, found]) => found === path)![0];
    for (let at = 0; at < bytes.length; at++) {
      const fs = await diskFrom(taken.disk);
      await damage(fs, path, (copy) => void (copy[at]! ^= 1 << (at & 7)));
      const { index, files } = await recovered(taken, fs);
      tried++;
      // Newest is 3, which needs only its own files; bytes of nothing but padding cost nothing but a warning.
      if (owner !== 3) deepStrictEqual([index, files.length <= 1], [3, true]);
      else if (files.length === 0) warned++;
      else deepStrictEqual([index, files], [2, [path]], `byte ${at} of ${path}`);
    }
  }
  t.diagnostic(`${tried} bytes, ${warned} of them of no meaning`);
  ok(warned < tried / 10);
});

test('checkpoint G2: of a file that is cut, too long or gone, the next older is used', async () => {
  const taken = await takeThree(12);
  for (const path of [taken.idx.get(3)!, taken.data.get(3)!]) {
    const { length } = taken.disk.get(path)!;
    for (const bytes of [0, 1, 31, 63, 64, 65, length >> 1, length - 1]) {
      const fs = await diskFrom(taken.disk);
      await damage(fs, path, (copy) => copy.subarray(0, bytes));
      deepStrictEqual(await recovered(taken, fs), { index: 2, files: [path] });
    }
    const longer = await diskFrom(taken.disk);
    await damage(longer, path, (copy) => Buffer.concat([copy, Buffer.alloc(16)]));
    deepStrictEqual(await recovered(taken, longer), { index: 2, files: [path] });
  }
  const gone = await diskFrom(taken.disk);
  await gone.remove(taken.data.get(3)!);
  deepStrictEqual(await recovered(taken, gone), { index: 2, files: [taken.data.get(3)!] });
});

test('checkpoint G3: all damaged: each is named, and the error says what would help', async () => {
  const taken = await takeThree(12);
  const fs = await diskFrom(taken.disk);
  await damage(fs, taken.idx.get(3)!, (copy) => void (copy[40]! ^= 1));
  await damage(fs, taken.data.get(1)!, (copy) => void (copy[100]! ^= 1)); // Also 2 needs this one.
  const disk = await StateDisk.find({ fs });
  strictEqual(await disk.recover(), null);
  deepStrictEqual(disk.state.content.size, 0);
  const files = disk.store.damages.map(({ file }) => file);
  deepStrictEqual(files, [taken.idx.get(3)!, taken.data.get(1)!, taken.data.get(1)!]);
  const error = noCheckpointLeft(disk.store.damages, { firstIndex: 2, lastIndex: 9 });
  strictEqual(error.code, 'TIDEMARK_CHECKPOINT_DAMAGED');
  strictEqual(error.remedy, 'restore');
  for (const { file, offset, reason } of disk.store.damages) {
    ok(error.message.includes(`${file} at offset ${offset}: ${reason}`), error.message);
  }
  ok(error.message.includes('a backup of any index from 1 to 9'), error.message);
  ok(error.message.includes('the entries 1 to 1 of the log'), error.message);
});

test('checkpoint G2, F4: what there is no room to move aside stays where it is until there is', async () => {
  for (const isRoomLater of [false, true]) {
    const taken = await takeThree(60);
    const fs = await diskFrom(taken.disk);
    await damage(fs, taken.idx.get(3)!, (bytes) => void (bytes[100]! ^= 1));
    const damaged = [taken.data.get(3)!, taken.idx.get(3)!];
    const full = new InterposedFileSystem(fs);
    let isFull = true;
    full.onCall = (call) => {
      if (isFull && call.op === 'create' && call.path.includes('quarantine')) refuse(call, 'ENOSPC');
    };
    const disk = await StateDisk.open({ fs: full, options: { checkpointsKept: 1 } });
    for (const path of damaged) ok((await fs.stat(path)) !== null, `${path} stays`);
    for (let round = 0; round < 4; round++) {
      if (round === 2) isFull = !isRoomLater;
      disk.state.write(someContent(60, 10 + round));
      await disk.take();
    }
    strictEqual(disk.store.checkpoints.length, 1);
    for (const path of damaged) {
      const where = isRoomLater ? path.replace('checkpoints', 'quarantine') : path;
      ok((await fs.stat(where)) !== null, `${where} is there, with room later: ${isRoomLater}`);
    }
  }
});

test('checkpoint G2: what is damaged goes to quarantine, and the next start finds the same', async () => {
  const taken = await takeThree(12);
  for (const path of [taken.idx.get(3)!, taken.data.get(3)!]) {
    const fs = await diskFrom(taken.disk);
    await damage(fs, path, (copy) => void (copy[70]! ^= 1));
    const kept = await readDisk(fs, CHECKPOINTS);
    const disk = await StateDisk.open({ fs });
    strictEqual(disk.state.index, 2);
    const moved = [taken.idx.get(3)!, taken.data.get(3)!].map((from) => from.slice(CHECKPOINTS.length + 1));
    for (const name of moved) {
      const aside = await readDisk(fs, `${DATA_DIR}/quarantine/${name}`);
      deepStrictEqual([...aside.values()], [kept.get(`${CHECKPOINTS}/${name}`)], 'byte by byte');
      ok((await fs.stat(`${DATA_DIR}/quarantine/${name}.note.json`)) !== null);
    }
    deepStrictEqual(
      (await disk.names()).filter((name) => moved.includes(name)),
      [],
    );
    const again = await StateDisk.open({ fs });
    deepStrictEqual([again.state.index, again.store.damages], [2, []]);
    again.state.write({ 'key-00001': 'after it' });
    strictEqual((await again.take()).kind, 'incremental');
    strictEqual((await StateDisk.open({ fs })).state.content.get('key-00001'), 'after it');
  }
});

test('checkpoint G2: damage in a larger one is found wherever it is; seeded', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const taken = await takeThree(2500);
  const path = taken.data.get(3)!;
  const { length } = taken.disk.get(path)!;
  ok(length > (1024 * 1024) / 4, `${length} bytes`);
  for (let run = 0; run < 40; run++) {
    const fs = await diskFrom(taken.disk);
    const from = random.below(length);
    const to = Math.min(length, from + random.pick([1, 16, 512, 4096]));
    const kind = random.pick(['random', 'zero', 'ones']);
    await damage(fs, path, (copy) => {
      if (kind === 'random') random.fill(copy.subarray(from, to));
      else copy.fill(kind === 'zero' ? 0 : 255, from, to);
    });
    const { index } = await recovered(taken, fs);
    ok(index === 2 || index === 3);
    const isSame = Buffer.compare((await readDisk(fs, path)).get(path)!, taken.disk.get(path)!) === 0;
    if (isSame) strictEqual(index, 3);
    else if (to - from >= 512) strictEqual(index, 2, `${kind} from ${from} to ${to}`);
  }
});

test('checkpoint G2: damaged bytes that the tree does not need are a warning, and not kept', async () => {
  const taken = await takeThree(40);
  const fs = await diskFrom(taken.disk);
  await fs.remove(taken.idx.get(3)!); // So 2 is the newest, whose tree does not reach what 1 alone has.
  const whole = await StateDisk.find({ fs });
  await whole.recover();
  const reached = [...whole.state.places.values()].filter(({ file }) => file === 1);
  const root = whole.store.checkpoints[1]!.info.rootPlace!;
  ok(!reached.some(({ offset }) => offset === root.offset), 'the root of 1 is not needed by 2');
  await damage(fs, taken.data.get(1)!, (copy) => void (copy[root.offset + 20]! ^= 1));
  const disk = await StateDisk.find({ fs });
  const open = await disk.store.installNewest(async (checkpoint) => disk.state.install(checkpoint));
  strictEqual(open?.info.index, 2);
  deepStrictEqual(
    open.warnings.map(({ file }) => file),
    [taken.data.get(1)!],
  );
  deepStrictEqual(disk.state.content, taken.contents.get(2));
  await disk.store.cleanUp();
  disk.state.write({ x: 'y' });
  const next = await disk.take();
  strictEqual(next.kind, 'full', 'a file with damage is not built upon');
});

test('checkpoint: files renamed are used all the same, files of other names left alone', async () => {
  const taken = await takeThree(12);
  const fs = await diskFrom(taken.disk);
  await fs.rename(taken.idx.get(3)!, `${CHECKPOINTS}/7-19700101_000000_1.idx`);
  await fs.rename(taken.data.get(3)!, `${CHECKPOINTS}/7-19700101_000000_2.data`);
  await put(fs, `${CHECKPOINTS}/notes.txt`, Buffer.from('mine'));
  await fs.makeDirectory(`${CHECKPOINTS}/1-20260101_000000_1.idx`);
  const disk = await StateDisk.open({ fs });
  deepStrictEqual(disk.state.content, taken.contents.get(3));
  ok((await disk.names()).includes('notes.txt'));
  const swapped = await diskFrom(taken.disk);
  const [one, other] = [taken.data.get(1)!, taken.data.get(3)!];
  await put(swapped, one, taken.disk.get(other)!);
  await put(swapped, other, taken.disk.get(one)!);
  deepStrictEqual(await recovered(taken, swapped), { index: 3, files: [] });
});

test('checkpoint: files of another cluster stop the start and stay as they are', async () => {
  const taken = await takeThree(12);
  const disk = await diskFrom(taken.disk);
  strictEqual(await codeOf(StateDisk.find({ fs: disk, clusterId: 'f'.repeat(32) })), 'TIDEMARK_FOREIGN_FILE');
  const other = await diskFrom(taken.disk);
  await other.remove(taken.idx.get(3)!);
  await other.remove(taken.idx.get(2)!);
  await other.remove(taken.idx.get(1)!);
  strictEqual(
    await codeOf(StateDisk.find({ fs: other, clusterId: 'f'.repeat(32) })),
    'TIDEMARK_FOREIGN_FILE',
  );
});

test('checkpoint G4: verify reads every byte and says which checkpoint is whole', async () => {
  const taken = await takeThree(40);
  deepStrictEqual(await verdictsOf(taken, () => undefined), ['3 whole', '2 whole', '1 whole']);
  const damages: [path: string, verdicts: string[]][] = [
    [taken.data.get(3)!, ['3 damaged', '2 whole', '1 whole']],
    [taken.data.get(1)!, ['3 whole', '2 damaged', '1 damaged']],
    [taken.idx.get(2)!, ['3 whole', '1 whole', 'null damaged']],
  ];
  for (const [path, wanted] of damages) {
    deepStrictEqual(
      await verdictsOf(taken, (fs) => damage(fs, path, (copy) => void (copy[90]! ^= 1))),
      wanted,
    );
  }
});

async function verdictsOf(taken: Taken, change: (fs: FileSystem) => unknown): Promise<string[]> {
  const fs = await diskFrom(taken.disk);
  await change(fs);
  const verdicts: string[] = [];
  for await (const { kind, found } of verifyCheckpoints(
    { fs, clock: new ManualClock() },
    DATA_DIR,
    CLUSTER_ID,
  )) {
    verdicts.push(`${found?.info.index ?? null} ${kind}`);
  }
  return verdicts;
}

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  const error = await attempt.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  ok(error instanceof TidemarkError && isTidemarkError(error), String(error));
  return error.code;
}
