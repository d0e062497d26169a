/**
 * A node that serves before everything is in memory (checklist G4, G5). Goal: every answer, root and restart
 * is as if all had been loaded first. Method: loading advances only as a test lets it, a window of 4 KiB at a
 * time, between random commands whose outcomes a Map foretells.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { CheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import type { RecoveryProgress } from '../src/node/assemble.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { diskFrom, readDisk } from './support/disk-bytes.ts';
import { HeldReads } from './support/held-reads.ts';
import { seedOf } from './support/seed.ts';
import { DATA_DIR } from './support/test-log.ts';

const KEYS = 2000;

/** One small window at a time, and nothing verified ahead. */
const SLOW: CheckpointOptions = { loadConcurrency: 1, bufferBytes: 4096, verifyBytesMax: 0 };

/** Ids of files are never drawn twice. */
let seedsUsed = 0;

function openOn(
  fs: FileSystem,
  checkpoint: CheckpointOptions = {},
  onProgress: (progress: RecoveryProgress) => void = () => undefined,
) {
  const doors = { fs, chance: new SeededRandom(++seedsUsed) };
  return open({ dir: DATA_DIR, log: { segmentBytes: 256 * 1024 }, checkpoint, doors, onProgress });
}

type OpenNode = Awaited<ReturnType<typeof openOn>>;

const keyOf = (at: number): string => `key-${String(at).padStart(5, '0')}`;

/** A disk with a checkpoint of many keys and a log of a few commands behind it, and what it holds. */
async function someDisk(): Promise<{ fs: MemoryFileSystem; content: Map<string, string> }> {
  const fs = new MemoryFileSystem();
  const node = await openOn(fs);
  const content = new Map<string, string>();
  const write = async (key: string, value: string): Promise<void> => {
    content.set(key, value);
    await node.submit('SET', key, value);
  };
  // Every tenth value is a node of its own.
  const sets = Array.from({ length: KEYS }, (_, at) =>
    write(keyOf(at), `${at}:`.padEnd(at % 10 === 0 ? 1500 : 60, 'v')),
  );
  await Promise.all(sets);
  await node.checkpoint();
  await write(keyOf(7), 'after the checkpoint');
  await node.submit('DEL', keyOf(8));
  content.delete(keyOf(8));
  const killed = await diskFrom(await readDisk(fs, DATA_DIR));
  await node.close();
  return { fs: killed, content };
}

/** All keys have the values they should have, and there are no others. */
async function checkContent(node: OpenNode, content: ReadonlyMap<string, string>): Promise<void> {
  const keys = [...content.keys(), 'missing', keyOf(KEYS + 1000)];
  const values = (await node.query('MGET', ...keys)) as (Uint8Array | null)[];
  const found = values.map((value) => (value === null ? null : Buffer.from(value).toString('latin1')));
  deepStrictEqual(
    found,
    keys.map((key) => content.get(key) ?? null),
  );
  strictEqual(await node.query('DBSIZE'), content.size);
}

/** What a kill now would leave is the same state with the same root, read another way. */
async function checkCopy(
  fs: FileSystem,
  node: OpenNode,
  content: ReadonlyMap<string, string>,
): Promise<void> {
  const asked = node.root();
  const copy = await openOn(await diskFrom(await readDisk(fs, DATA_DIR)));
  await copy.whenLoaded();
  await checkContent(copy, content);
  deepStrictEqual(await asked, await copy.root());
  await copy.close();
}

async function randomCommand(
  node: OpenNode,
  content: Map<string, string>,
  random: SeededRandom,
): Promise<void> {
  const key = keyOf(random.below(KEYS + 200));
  const dice = random.below(10);
  if (dice < 3) {
    const value = 'w'.repeat(random.pick([0, 5, 80, 1024, 1025, 3000]));
    content.set(key, value);
    strictEqual(await node.submit('SET', key, value), 'OK');
  } else if (dice < 5) {
    strictEqual(await node.submit('DEL', key), content.delete(key) ? 1 : 0);
  } else if (dice === 5) {
    const value = `${content.get(key) ?? ''}+`;
    content.set(key, value);
    strictEqual(await node.submit('APPEND', key, '+'), value.length);
  } else if (dice < 9) {
    const value = (await node.query('GET', key)) as Uint8Array | null;
    strictEqual(value === null ? undefined : Buffer.from(value).toString('latin1'), content.get(key), key);
  } else strictEqual(await node.query('DBSIZE'), content.size);
}

test('node G4: before everything is loaded, answers, roots and restarts are as if it were', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const { fs, content } = await someDisk();
  const held = await HeldReads.on(fs, DATA_DIR);
  const node = await openOn(held.fs, SLOW);
  strictEqual(node.recovery.checkpoint?.keys, KEYS);
  ok(node.recovery.checkpoint.bytesRead < 200_000, 'the leaves are not read before the node is ready');
  ok(node.stats().keysToLoad > KEYS * 0.9);
  const left: number[] = [];
  for (let round = 0; round < 240; round++) {
    await randomCommand(node, content, random);
    if (random.happens(0.15)) await held.allow(random.between(1, 2));
    if (round % 60 !== 30) continue;
    await checkCopy(fs, node, content);
    left.push(node.stats().keysToLoad);
  }
  t.diagnostic(`${left.join(', ')} keys to load at the restarts`);
  ok(left[0]! > left.at(-1)! && left.at(-1)! > 0, 'all of it happened while it loaded');
  held.release();
  await node.whenLoaded();
  strictEqual(node.stats().keysToLoad, 0);
  strictEqual(node.stats().keys, content.size);
  await checkContent(node, content);
  await checkCopy(fs, node, content);
  await node.close();
  const last = await openOn(fs);
  strictEqual(last.recovery.entriesReplayed, 0);
  await checkContent(last, content);
  await last.close();
});

test('node G5: a close before everything is loaded takes no checkpoint, and loses nothing', async () => {
  const { fs, content } = await someDisk();
  const held = await HeldReads.on(fs, DATA_DIR);
  const node = await openOn(held.fs, SLOW);
  const tooEarly = { code: 'TIDEMARK_NOT_OPEN' };
  const refusedCheckpoint = rejects(node.checkpoint(), tooEarly);
  const neverLoaded = rejects(node.whenLoaded(), tooEarly);
  await node.submit('SET', 'late', 'but in time');
  content.set('late', 'but in time');
  await held.allow(3);
  const closing = node.close();
  await refusedCheckpoint;
  held.release(); // A close waits for the reads that are on their way.
  await Promise.all([neverLoaded, closing]);
  strictEqual(await node.whenStopped(), null);
  deepStrictEqual(held.fs.handles, [], 'every file is closed');
  await rejects(node.checkpoint(), tooEarly);
  const again = await openOn(fs);
  strictEqual(again.recovery.checkpoint?.index, node.recovery.checkpoint?.index);
  await checkContent(again, content);
  await again.close();
});

test('node G5: a checkpoint asked for before everything is loaded waits for it', async () => {
  const { fs, content } = await someDisk();
  const held = await HeldReads.on(fs, DATA_DIR);
  const node = await openOn(held.fs, SLOW);
  let taken = 0;
  const asked = [node.checkpoint(), node.checkpoint()].map(async (promise) => {
    const summary = await promise;
    taken++;
    return summary;
  });
  await node.submit('SET', keyOf(1), 'new');
  content.set(keyOf(1), 'new');
  await held.allow(5);
  for (let turns = 0; turns < 50; turns++) await turn();
  strictEqual(taken, 0);
  held.release();
  const [one, other] = await Promise.all(asked);
  deepStrictEqual(one, other, 'both share it');
  strictEqual(one!.index, node.stats().appliedIndex, 'it has what came while they waited');
  await node.close();
  const again = await openOn(fs);
  strictEqual(again.recovery.checkpoint?.index, one!.index);
  await checkContent(again, content);
  await again.close();
});

test('node: progress is told of the log, then of the state, each up to its end', async () => {
  const { fs } = await someDisk();
  const told: RecoveryProgress[] = [];
  const node = await openOn(fs, SLOW, (progress) => told.push({ ...progress }));
  await node.whenLoaded();
  const phases = told.map(({ phase }) => phase);
  const firstOfState = phases.indexOf('state');
  deepStrictEqual(new Set(phases.slice(0, firstOfState)), new Set(['log']));
  deepStrictEqual(new Set(phases.slice(firstOfState)), new Set(['state']));
  const isAscending = told.every(({ phase, done, total }, at) => {
    const before = told[at - 1];
    return done <= total && (before?.phase !== phase || (before.done <= done && before.total === total));
  });
  ok(isAscending, JSON.stringify(told));
  for (const { done, total } of [told[firstOfState - 1]!, told.at(-1)!]) strictEqual(done, total);
  strictEqual(told.at(-1)!.total, KEYS);
  strictEqual(told[0]!.total, node.recovery.entriesReplayed);
  await node.close();
});
