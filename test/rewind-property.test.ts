/**
 * Views of the past and rewinds (src/node/history.ts, rewinder.ts). Goal: what comes back has the root that
 * the state had when it was the state of now. Method: random runs with checkpoints, restarts, keys that
 * expire, sessions and rewinds, held against a model of every entry and command (support/recorded-past.ts).
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { restorePoint } from '../src/node/restore-point.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { DIR, type KeyValueNode, nameOf, RecordedPast, type RecordedPoint } from './support/recorded-past.ts';
import { seedOf } from './support/seed.ts';
import { NEWEST_ONLY } from './support/test-log.ts';

/** A run of a few hundred entries; ends with an open node. */
async function live(
  t: TestContext,
  compactLogAfterCheckpoint: boolean,
): Promise<{ past: RecordedPast; node: KeyValueNode; random: SeededRandom }> {
  const random = new SeededRandom(seedOf(t));
  const options = { ...NEWEST_ONLY, checkpointsKept: 5, compactLogAfterCheckpoint };
  const past = new RecordedPast(new MemoryFileSystem(), random, options);
  let node = await past.open();
  for (let step = 0; step < 150; step++) {
    await past.write(node);
    if (random.happens(0.1)) await node.checkpoint();
    if (random.happens(0.1)) await rewindSomewhere(node, past, random);
    if (!random.happens(0.05)) continue;
    await node.close();
    await past.note();
    node = await past.open();
  }
  deepStrictEqual(past.sessionFailures, []);
  return { past, node, random };
}

/** To a point that is kept or not; what is not is refused. */
async function rewindSomewhere(
  node: KeyValueNode,
  past: RecordedPast,
  random: SeededRandom,
): Promise<'made' | 'refused'> {
  const point = random.pick(past.points);
  const before = await node.root();
  try {
    const { madeBy, index, fromIndex, root } = await node.rewind(nameOf(point.index, point.commands));
    await past.note();
    strictEqual(index, point.index);
    strictEqual(fromIndex, before.index);
    strictEqual(root, past.points.at(-1)!.root);
    const after = await node.root();
    strictEqual(after.index, madeBy);
    strictEqual(after.root, root, `rewound to ${nameOf(point.index, point.commands)}`);
    return 'made';
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_POINT_NOT_KEPT')) throw error;
    strictEqual((await node.root()).root, before.root);
    return 'refused';
  }
}

async function lookAt(node: KeyValueNode, { index, commands, root }: RecordedPoint): Promise<boolean> {
  const name = nameOf(index, commands);
  try {
    await using view = await node.at(name);
    strictEqual((await view.root()).root, root, `at ${name}`);
    strictEqual(view.index, index);
    return true;
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_POINT_NOT_KEPT')) throw error;
    return false;
  }
}

test('rewind: a view of any index or command has the root that was recorded there', async (t) => {
  const { past, node, random } = await live(t, false);
  for (let at = 0; at < 1000; at++) {
    const point = random.pick(past.points);
    ok(await lookAt(node, point), `${nameOf(point.index, point.commands)} is kept: the log is whole`);
  }
  await node.close();
});

test('rewind: where the log is compacted, every point is right or refused', async (t) => {
  const { past, node, random } = await live(t, true);
  let kept = 0;
  for (let at = 0; at < 300; at++) kept += Number(await lookAt(node, random.pick(past.points)));
  t.diagnostic(`${kept} of 300 are kept`);
  const { firstIndex } = node.stats();
  await rejects(node.at('before 1.1'), { code: 'TIDEMARK_POINT_NOT_KEPT' });
  ok(
    await lookAt(
      node,
      past.points.findLast(({ index, commands }) => index >= firstIndex && commands === null)!,
    ),
  );
  await node.close();
});

test('rewind: a node can be rewound to any point, and from there to any other', async (t) => {
  const { past, node, random } = await live(t, false);
  let made = 0;
  for (let at = 0; at < 100; at++) {
    made += Number((await rewindSomewhere(node, past, random)) === 'made');
    if (random.happens(0.2)) await past.write(node);
  }
  strictEqual(made, 100);
  const { root } = await node.root();
  await node.close();
  const again = await past.open();
  strictEqual((await again.root()).root, root);
  await again.close();
});

test('rewind: a time is the last entry of it, or the last one before it', async (t) => {
  const { past, node, random } = await live(t, false);
  const whole = past.points.filter(({ commands }) => commands === null);
  for (let at = 0; at < 100; at++) {
    const { time } = random.pick(whole);
    const wanted = whole.findLast((point) => point.time <= time)!;
    const earlier = whole.findLast((point) => point.time < time);
    await using view = await node.at({ time });
    strictEqual(view.index, wanted.index);
    if (earlier === undefined) continue;
    await using before = await node.at({ time, before: true });
    strictEqual(before.index, earlier.index);
  }
  await node.close();
});

test('rewind: a copy of any point has its root and its time, and goes on from there', async (t) => {
  const { past, node, random } = await live(t, false);
  const whole = await node.root();
  for (let at = 0; at < 40; at++) {
    const { index, commands, time, root } = random.pick(past.points);
    const into = `copy-${at}`;
    const log = { segmentBytes: 64 * 1024 };
    const made = await restorePoint({ from: DIR, into, to: nameOf(index, commands), log, doors: past.doors });
    deepStrictEqual([made.index, made.commands, made.time, made.root], [index, commands, time, root]);
    strictEqual(made.timeline, 2);
    const copy = await past.open(into);
    deepStrictEqual(await copy.root(), { index, root });
    await copy.submit('SET', 'only here', 'yes');
    await copy.close();
    const again = await past.open(into);
    strictEqual(Buffer.from((await again.query('GET', 'only here')) as Uint8Array).toString(), 'yes');
    await again.close();
  }
  deepStrictEqual(await node.root(), whole);
  await node.close();
});

test('rewind: a dry run tells what the rewind then does, and changes nothing', async (t) => {
  const { past, node, random } = await live(t, false);
  for (let at = 0; at < 30; at++) {
    const { index, commands } = random.pick(past.points);
    const name = nameOf(index, commands);
    const before = await node.root();
    const dry = await node.rewind(name, { dryRun: true });
    strictEqual(dry.madeBy, null);
    deepStrictEqual(await node.root(), before);
    const beside = await restorePoint({ from: DIR, into: null, to: name, doors: past.doors });
    const made = await node.rewind(name);
    await past.note();
    for (const field of ['keysAdded', 'keysChanged', 'keysDeleted', 'root', 'index', 'fromIndex'] as const) {
      strictEqual(made[field], dry[field], `${field} of ${name}`);
    }
    strictEqual(beside.fromIndex, dry.fromIndex);
  }
  await node.close();
});
