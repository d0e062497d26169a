/**
 * A rewind cut short (src/node/rewinder.ts). Goal: after a crash at any call the state is what it was before,
 * or what the rewind makes of it, never anything between, and can be rewound again. Method: a rewind in
 * several parts, with a checkpoint taken meanwhile, crashed at every I/O call on the disk that loses, tears
 * and reorders; and on one where calls fail.
 */

import { ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { decodeRewind } from '../src/engine/rewind-entry.ts';
import { readLog } from '../src/log/read-log.ts';
import { readStatus } from '../src/log/status.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import type { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { LossyFileSystem as Lossy } from '../src/testing/lossy-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { type CrashSubject, exploreSteps } from './support/crash-explorer.ts';
import { SMALL_CHECKPOINTS } from './support/node-history.ts';
import { seedOf } from './support/seed.ts';

const DIR = 'data';
const KEYS = 24;

/** Roots: of the point, and of what came after it. */
interface Known {
  before: string;
  now: string;
  point: number;
  isRewound: boolean;
}

function openNode(fs: FileSystem, seed: number) {
  const doors = { fs, clock: new ManualClock(), chance: new SeededRandom(seed) };
  const checkpoint = { ...SMALL_CHECKPOINTS, compactLogAfterCheckpoint: false };
  return open({ dir: DIR, log: { segmentBytes: 64 * 1024 }, checkpoint, doors });
}

type Opened = Awaited<ReturnType<typeof openNode>>;

async function fill(node: Opened, byte: number, keys: number): Promise<void> {
  const value = new Uint8Array(3000).fill(byte);
  await Promise.all(Array.from({ length: keys }, (_, at) => node.submit('SET', `key ${at}`, value)));
}

/** A state worth to go back to, and one that is quite another. */
async function prepare(files: FileSystem, known: Known, keys = KEYS): Promise<void> {
  const node = await openNode(files, 1);
  await fill(node, 1, keys);
  ({ index: known.point, root: known.before } = await node.root());
  await fill(node, 2, keys - 4);
  await node.submit('DEL', 'key 2');
  known.now = (await node.root()).root;
  await node.close();
}

async function rewindBeside(node: Opened, known: Known): Promise<void> {
  const made = node.rewind(known.point);
  const taken = node.checkpoint();
  taken.catch(() => undefined); // Awaited below, unless the disk crashes first.
  await made;
  known.isRewound = true;
  await taken;
}

const subject: CrashSubject<Known> = {
  name: 'rewind',
  steps: { first: 1, last: 1 },
  newKnown: () => ({ before: '', now: '', point: 0, isRewound: false }),
  copyKnown: (known) => ({ ...known }),
  run: (files, _, known) => prepare(files, known),
  async restart(files, seed) {
    const node = await openNode(files, seed);
    await node.close();
  },
  async check(files, known, seed) {
    const node = await openNode(files, seed);
    const { root } = await node.root();
    if (known.isRewound) strictEqual(root, known.before, 'what was rewound stays so');
    else ok(root === known.before || root === known.now, `${root} is of neither`);
    strictEqual((await node.rewind(known.point)).root, known.before);
    await node.submit('SET', 'after', 'it');
    const after = await node.root();
    await node.close();
    const again = await openNode(files, seed + 1);
    strictEqual((await again.root()).root, after.root);
    await again.close();
  },
  async goOn(files, known, random) {
    const node = await openNode(files, random.u32());
    if ((await node.root()).root === known.before) known.isRewound = true;
    if (random.happens(0.5)) await rewindBeside(node, known);
  },
};

test('rewind: a crash at any call of one in parts leaves it made, or not begun', async (t) => {
  const seed = seedOf(t);
  const { states, nested, calls } = await exploreSteps(subject, {
    seed,
    prepare,
    async steps(files, known) {
      const node = await openNode(files, seed + 1);
      await rewindBeside(node, known);
      await node.close();
    },
    images: { subsetUnitsMax: 1, randomSubsets: 1, byteTearsMax: 1, fillings: ['garbage'] },
    cutShare: 0.02,
    imageShare: 0.01,
  });
  t.diagnostic(`${states} states after crashes at ${calls.length} calls, ${nested} of them in recovery`);
  ok(nested > 0);
  ok(states > 100, `${states} states were checked`);
});

async function partsIn(fs: FileSystem): Promise<{ part: number; isLast: boolean }[]> {
  const parts: { part: number; isLast: boolean }[] = [];
  const { status } = await readStatus(fs, DIR);
  await readLog(fs, DIR, status, {
    record({ type, body }) {
      if (type !== 'rewind') return;
      const { part, isLast } = decodeRewind(body);
      parts.push({ part, isLast });
    },
  });
  return parts;
}

test('rewind: a disk that fills up between two parts refuses it, and the state stays', async () => {
  const files: LossyFileSystem = new Lossy();
  const known = subject.newKnown();
  await prepare(files, known, 150);
  const node = await openNode(files, 2);
  files.capacityBytes = files.usedBytes;
  await rejects(node.rewind(known.point), { code: 'TIDEMARK_DISK_FULL' });
  const parts = await partsIn(files);
  ok(parts.length > 0 && parts.every(({ isLast }) => !isLast), 'some of it is in the log');
  strictEqual((await node.root()).root, known.now);
  files.capacityBytes = Infinity;
  const { index, root } = await node.checkpoint();
  strictEqual(root, known.now);
  ok(index < node.stats().appliedIndex, 'a checkpoint is of the entry before the parts');
  await node.close();
  const again = await openNode(files, 3);
  strictEqual((await again.root()).root, known.now, 'parts without a last one change nothing');
  strictEqual((await again.rewind(known.point)).root, known.before);
  await again.close();
});
