/**
 * What becomes of a start, and of the next one, when a checkpoint cannot be read while it is loaded
 * (checklist F5, G2, G5). Goal: whoever waits is told, and an older checkpoint takes its place.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setTimeout as after } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import { nextIndex } from '../src/base/positions.ts';
import { systemClock } from '../src/base/time.ts';
import { type CheckpointOptions, resolveCheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../src/checkpoint/checkpoint-store.ts';
import { surveyCheckpoints } from '../src/checkpoint/survey-checkpoints.ts';
import { Engine } from '../src/engine/engine.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { closeDataDirectory, openDataDirectory } from '../src/node/data-directory.ts';
import { open } from '../src/node/open.ts';
import { restore } from '../src/node/restore.ts';
import { Batch } from '../src/ordering/batch.ts';
import type { StateReader } from '../src/state/state.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { type Bank, type Deposit, drawSeeds, v1, v2 } from './support/bank-versions.ts';
import { HeldReads } from './support/held-reads.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';

const DIR = 'data';

/** Nothing is verified before the node is ready. */
const LATE: CheckpointOptions = { verifyBytesMax: 0, checkpointOnClose: false };

function openBank(fs: FileSystem, machine: Bank, checkpoint: CheckpointOptions = LATE) {
  const doors = { fs, clock: systemClock, chance: new SeededRandom(drawSeeds(1)) };
  return open({ machine, dir: DIR, checkpoint, doors });
}

/** Two checkpoints of version 1 that share no file, and a log behind the older one. */
async function twoCheckpoints(): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem();
  const node = await openBank(fs, v1);
  for (let round = 0; round < 2; round++) {
    const names = Array.from({ length: 500 }, (_, at) => `name-${at}`);
    await Promise.all(names.map((to) => node.submit('deposit', { to, amount: 10 })));
    strictEqual((await node.checkpoint()).kind, 'full');
  }
  await node.close();
  return fs;
}

async function newestOf(fs: FileSystem): Promise<{ index: number; path: string; innerOffset: number }> {
  const [newest] = (await surveyCheckpoints(fs, DIR, null)).checkpoints;
  const { name, innerOffset } = newest!.info.files[0]!;
  return { index: newest!.info.index, path: `${DIR}/checkpoints/${name}`, innerOffset };
}

/** Spoils every leaf of the newest checkpoint. */
async function spoilLeaves(fs: FileSystem): Promise<void> {
  const { path, innerOffset } = await newestOf(fs);
  const file = await fs.open(path, 'write');
  await file.write(new Uint8Array(innerOffset - 64).fill(0xee), 64);
  await file.close();
}

test('node G5: a start that activates a version is told when the checkpoint cannot be loaded', async () => {
  const fs = await twoCheckpoints();
  const newest = await newestOf(fs);
  await spoilLeaves(fs);
  const opening = openBank(fs, v2);
  const late = after(5000, 'it waits for ever', { ref: false });
  const outcome = await Promise.race([opening.catch((error: unknown) => error), late]);
  ok(isTidemarkError(outcome, 'TIDEMARK_CHECKPOINT_DAMAGED'), String(outcome));
  const next = await openBank(fs, v2);
  ok(next.recovery.checkpoint!.index < newest.index, 'the next start uses an older one');
  strictEqual(await next.query('balance', 'name-7'), 20);
  await next.close();
});

test('node F5: a checkpoint that the disk does not give while it loads is set aside', async () => {
  const fs = await twoCheckpoints();
  const newest = await newestOf(fs);
  const failing = new InterposedFileSystem(fs);
  failing.onCall = (call) => {
    const isLeaf = call.path === newest.path && call.offset >= 64 && call.offset < newest.innerOffset;
    if (call.op === 'read' && isLeaf) refuse(call, 'EIO');
  };
  const node = await openBank(failing, v1);
  strictEqual(node.recovery.checkpoint?.index, newest.index);
  await rejects(node.whenLoaded(), { code: 'TIDEMARK_IO' });
  ok(isTidemarkError(await node.whenStopped(), 'TIDEMARK_IO'));
  await node.close();
  const next = await openBank(failing, v1);
  ok(next.recovery.checkpoint!.index < newest.index, 'the next start uses an older one');
  await next.whenLoaded();
  strictEqual(await next.query('balance', 'name-7'), 20);
  await next.close();
});

/** Writes without looking at what was there: only a fold reads the leaf. */
const blind = machine({
  name: 'bank',
  version: 1,
  tables: { accounts: table<number>() },
  commands: {
    put: ({ accounts }, { to, amount }: Deposit) => accounts.set(to, amount),
  },
  queries: {},
});

test('node G5: what a fold cannot read in a replay is over once an older one is used', async () => {
  const fs = await twoCheckpoints();
  await spoilLeaves(fs);
  const doors = { fs, clock: systemClock, chance: new SeededRandom(drawSeeds(1)) };
  const fatal: unknown[] = [];
  const onFatal = (error: unknown): void => void fatal.push(error);
  const onStatusFailure = onFatal;
  const directory = await openDataDirectory({
    ...doors,
    dir: DIR,
    machine: blind,
    segmentBytes: 65536,
    onStatusFailure,
  });
  const { clusterId, nodeId, machine: active } = directory.status.current;
  const options = resolveCheckpointOptions(LATE);
  const store = await CheckpointStore.find({
    ...doors,
    dataDir: DIR,
    clusterId,
    nodeId,
    options,
    isBusy: () => false,
  });
  const history = { active: active.version, earlier: [] };
  const config = {
    machine: blind,
    history,
    hashSeed: new Uint8Array(8),
    salt: Buffer.from(clusterId, 'hex'),
  };
  const told: unknown[] = [];
  const { checkpoint, engine } = await restore({
    ...doors,
    dataDir: DIR,
    status: directory.status,
    store,
    signal: null,
    options,
    makeEngine: (onAttemptFatal) =>
      new Engine({
        ...config,
        clock: systemClock,
        onFatal(error) {
          told.push(error);
          onAttemptFatal(error);
        },
      }),
    onFatal,
    // A log of one entry, and a fold before the next one is read.
    async openLog(into) {
      const command = blind.encodeCall('put', [{ to: 'name-7', amount: 1 }]);
      const batch = new Batch();
      batch.add(command, { settle: () => undefined, fail: () => undefined });
      const index = nextIndex(into.appliedIndex);
      into.replay({ type: 'commands', index, time: 1, body: batch.body() });
      await into.root().catch(() => undefined);
      if (into.readFailure !== null) throw into.readFailure;
    },
  });
  strictEqual(told.length, 1, 'the fold of the first attempt failed');
  deepStrictEqual(fatal, [], 'and it is nothing to the second one');
  strictEqual(checkpoint?.info.index, store.checkpoints[0]?.info.index);
  engine.stop();
  await checkpoint?.files.close();
  await closeDataDirectory(directory);
});

test('node F5, G5: a read that cannot be answered stops the node at once', async () => {
  for (const code of ['EIO', 'damage'] as const) {
    const fs = await twoCheckpoints();
    const newest = await newestOf(fs);
    const held = await HeldReads.on(fs, DIR);
    const node = await openBank(held.fs, v1, { ...LATE, loadConcurrency: 1, bufferBytes: 4096 });
    if (code === 'damage') await spoilLeaves(fs);
    held.fs.onCall = (call) => {
      if (code === 'EIO' && call.op === 'read' && call.path === newest.path) refuse(call, 'EIO');
    };
    const neverLoaded = rejects(node.whenLoaded());
    const seen = await new Promise((resolve, reject) => {
      const key = Buffer.from('accounts\0name-400');
      const read = (state: StateReader): void => {
        try {
          resolve(state.get(key));
        } catch (error) {
          resolve(error); // As a server does that has a client to answer.
        }
      };
      node.ordering.enqueueRead({ read, fail: reject });
    });
    const wanted = code === 'EIO' ? 'TIDEMARK_IO' : 'TIDEMARK_CHECKPOINT_DAMAGED';
    ok(isTidemarkError(seen, wanted), String(seen));
    const late = after(5000, 'it goes on', { ref: false });
    strictEqual(await Promise.race([node.whenStopped(), late]), seen);
    held.release();
    await neverLoaded;
    await node.close();
    const next = await openBank(fs, v1);
    ok(next.recovery.checkpoint!.index < newest.index, 'the next start uses an older one');
    await next.close();
  }
});
