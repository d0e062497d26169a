/** Checkpoints taken, kept, removed and opened again (src/checkpoint/checkpoint-store.ts). */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { chainBytes, FILES_MAX } from '../src/checkpoint/checkpoint-info.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { StateDisk, someContent } from './support/checkpoint-disk.ts';
import { WHOLE_LOG } from './support/test-log.ts';

test('checkpoint: what was taken comes back, full and incremental, the empty state too', async () => {
  const disk = await StateDisk.open();
  strictEqual(await disk.recover(), null);
  const empty = await disk.take();
  deepStrictEqual([empty.kind, empty.files.length, empty.keys, empty.rootPlace], ['full', 0, 0, null]);
  disk.state.write(someContent(300));
  const full = await disk.take();
  deepStrictEqual([full.kind, full.files.length, full.keys], ['full', 1, 300]);
  disk.state.write({ 'key-00007': 'changed', 'key-00020': null, 'key-00003': 'y'.repeat(2000) });
  const incremental = await disk.take();
  deepStrictEqual([incremental.kind, incremental.files.length], ['incremental', 2]);
  ok(incremental.cost.bytes < full.cost.bytes / 5, `${incremental.cost.bytes} of ${full.cost.bytes} bytes`);
  ok(incremental.cost.nodes > 0 && incremental.cost.slices > 0);

  const again = await StateDisk.open({ fs: disk.fs });
  deepStrictEqual(again.state.content, disk.state.content);
  strictEqual(again.state.index, disk.state.index);
  strictEqual(again.store.base?.root, incremental.root);
  deepStrictEqual(again.store.damages, []);
});

test('checkpoint: equal content needs no file, and files are kept as long as needed', async () => {
  const disk = await StateDisk.open({ options: { checkpointsKept: 2 } });
  disk.state.write(someContent(200));
  await disk.take();
  disk.state.write({});
  const same = await disk.take();
  deepStrictEqual([same.files.length, same.cost.bytes, same.cost.nodes], [1, 0, 0]);
  for (let round = 0; round < 5; round++) {
    disk.state.write({ 'key-00001': `round ${round}` });
    await disk.take();
  }
  const names = await disk.names();
  strictEqual(names.filter((name) => name.endsWith('.idx')).length, 3, 'checkpointsKept, and the full one');
  const needed = new Set(disk.store.checkpoints.flatMap(({ info }) => info.files.map(({ name }) => name)));
  deepStrictEqual(
    names.filter((name) => name.endsWith('.data')),
    [...needed].sort(),
  );
  const again = await StateDisk.open({ fs: disk.fs });
  deepStrictEqual(again.state.content, disk.state.content);
});

test('checkpoint: the kept files stay below 2.5 times a full one, whatever changes', async () => {
  const random = new SeededRandom(7);
  const disk = await StateDisk.open({ options: { checkpointsKept: 1 } });
  disk.state.write(someContent(600));
  await disk.take();
  let fulls = 0;
  for (let round = 0; round < 60; round++) {
    const changes: Record<string, string> = {};
    const count = random.pick([1, 5, 20, 60]);
    for (let at = 0; at < count; at++) {
      changes[`key-${String(random.below(600)).padStart(5, '0')}`] = 'z'.repeat(random.below(60));
    }
    disk.state.write(changes);
    const info = await disk.take();
    if (info.kind === 'full') fulls++;
    ok(chainBytes(info) < 1.6 * fullBytes(disk), `${chainBytes(info)} of ${fullBytes(disk)}`);
    ok(info.files.length <= FILES_MAX);
  }
  ok(fulls > 0 && fulls < 30, `${fulls} full ones`);
  const again = await StateDisk.open({ fs: disk.fs });
  deepStrictEqual(again.state.content, disk.state.content);
});

test('checkpoint: after 64 files the newest half is written anew, and nothing is lost', async () => {
  const disk = await StateDisk.open({ options: { checkpointsKept: 1 } });
  disk.state.write(someContent(3000));
  await disk.take();
  let filesMax = 0;
  let isAbsorbed = false;
  for (let round = 0; round < 70; round++) {
    disk.state.write({ [`key-${String(round * 40).padStart(5, '0')}`]: `round ${round}` });
    const before = disk.store.base!.files.length;
    const { files, kind } = await disk.take();
    strictEqual(kind, 'incremental');
    filesMax = Math.max(filesMax, files.length);
    isAbsorbed ||= files.length < before;
  }
  deepStrictEqual([filesMax, isAbsorbed], [FILES_MAX, true]);
  const again = await StateDisk.open({ fs: disk.fs });
  deepStrictEqual(again.state.content, disk.state.content);
});

test('checkpoint G2: one damaged byte never takes the newest and the fallback', async () => {
  const random = new SeededRandom(11);
  const disk = await StateDisk.open();
  disk.state.write(someContent(400));
  await disk.take();
  for (let round = 0; round < 40; round++) {
    for (let at = 0; at < 12; at++) {
      disk.state.write({ [`key-${String(random.below(400)).padStart(5, '0')}`]: `round ${round}` });
    }
    await disk.take();
    const { checkpoints } = disk.store;
    const compactableIndex = disk.store.compactableIndex(WHOLE_LOG);
    if (compactableIndex === null) continue; // The whole log is the fallback.
    const [newest, ...others] = checkpoints.map(({ info }) => info.files.map(({ id }) => id));
    ok(
      others.some((ids) => !ids.some((id) => newest!.includes(id))),
      `round ${round}`,
    );
    const names = new Set(checkpoints.flatMap(({ info }) => info.files.map(({ name }) => name)));
    ok(checkpoints.length <= 5 && names.size > 0);
    const bytes = checkpoints.flatMap(({ info }) => info.files);
    const kept = new Map(bytes.map(({ id, bytes: size }) => [id, size]));
    const sum = [...kept.values()].reduce((total, size) => total + size, 0);
    const full = disk.store.base!.full.bytes;
    ok(sum <= 2.6 * full, `${sum} bytes kept, a full one takes ${full}`);
  }
  ok(disk.store.compactableIndex(WHOLE_LOG) !== null, 'several chains were begun');
});

test('checkpoint: a log that is long and needed makes the next one full', async () => {
  const disk = await StateDisk.open();
  disk.state.write(someContent(300));
  const { cost } = await disk.take();
  disk.state.write({ a: '1' });
  const short = await disk.store.take(disk.state.source, disk.state.facts, () => 7 * cost.bytes);
  strictEqual(short.info.kind, 'incremental');
  disk.state.write({ a: '2' });
  const long = await disk.store.take(disk.state.source, disk.state.facts, () => 9 * cost.bytes);
  strictEqual(long.info.kind, 'full');
  disk.state.write({ a: '3' });
  const bytesAfter = (index: number): number => (index < long.info.index ? 9 : 7) * cost.bytes;
  const behind = await disk.store.take(disk.state.source, disk.state.facts, bytesAfter);
  strictEqual(behind.info.kind, 'incremental', 'now there is a fallback');
  disk.state.write({ a: '4' });
  const grown = await disk.store.take(disk.state.source, disk.state.facts, () => 9 * cost.bytes);
  strictEqual(grown.info.kind, 'full', 'the fallback is old, and the log since this chain began is long');
});

/** About what a full checkpoint takes. */
function fullBytes({ state }: StateDisk): number {
  const steps = state.source.measureUnstored(() => false);
  for (;;) {
    const step = steps.next();
    if (step.done !== true) continue;
    const { leaves, inner, values, bytes } = step.value;
    return bytes + (leaves + inner + values) * 28;
  }
}
