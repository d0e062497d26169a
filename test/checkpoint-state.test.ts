/**
 * A real state through checkpoints: taken, installed without having been read, loaded in the background,
 * written meanwhile, taken again (checklist G4, G5).
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { CHECKPOINTS, DATA_DIR, someContent } from './support/checkpoint-disk.ts';
import { CheckpointedState } from './support/checkpointed-state.ts';
import { damage } from './support/disk-bytes.ts';
import { seedOf } from './support/seed.ts';
import { bytesOf, hexOf, textOf } from './support/stored-trees.ts';
import { WHOLE_LOG } from './support/test-log.ts';

/** A directory with a full checkpoint at 1 and an incremental one at 2, and the content of each. */
async function withTwo(keys = 800): Promise<{ fs: MemoryFileSystem; contents: Map<string, string>[] }> {
  const fs = new MemoryFileSystem();
  const made = await CheckpointedState.start(fs);
  const full = someContent(keys);
  const change = { 'key-00007': 'changed', 'key-00003': 'L'.repeat(5000), 'key-00020': '' };
  made.write(full);
  strictEqual((await made.take()).kind, 'full');
  made.write(change);
  strictEqual((await made.take()).kind, 'incremental');
  const contents = [full, { ...full, ...change }].map((content) => new Map(Object.entries(content)));
  return { fs, contents: [new Map(), ...contents] };
}

test('checkpoint state G4: an installed state has the root of its checkpoint, cold and loaded', async () => {
  const { fs, contents } = await withTwo();
  const cold = await CheckpointedState.start(fs);
  strictEqual(cold.state.isLoaded, false);
  const { root } = cold.open!.info;
  const held = cold.hold();
  strictEqual(hexOf(held.source.storedTree.root), root, 'cold');
  held.release();
  strictEqual(textOf(cold.state.get(bytesOf('key-00007'))!), 'changed', 'a read does not wait for the rest');
  await cold.load();
  const loaded = cold.hold();
  strictEqual(hexOf(loaded.source.storedTree.root), root, 'loaded');
  loaded.release();
  cold.check(contents[2]!);
});

test('checkpoint state: reads, writes and a checkpoint while the rest is loaded', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const fs = new MemoryFileSystem();
  const content = new Map<string, string>();
  let incrementals = 0;
  for (let round = 0; round < 12; round++) {
    const bufferBytes = random.pick([4096, 16384, 256 * 1024]);
    const node = await CheckpointedState.start(fs, { bufferBytes, loadConcurrency: random.between(1, 4) });
    const isWhole = node.open === null || random.happens(0.7);
    const loading = node.open !== null && isWhole ? node.load() : null;
    for (let step = 0; step < 20; step++) {
      const changes: Record<string, string | null> = {};
      for (let at = random.between(0, round === 0 ? 200 : 8); at > 0; at--) {
        const key = `key-${String(random.below(1500)).padStart(5, '0')}`;
        changes[key] = random.happens(0.2) ? null : 'v'.repeat(random.pick([0, 10, 60, 1024, 1025, 6000]));
      }
      node.write(changes);
      for (const [key, value] of Object.entries(changes)) {
        if (value === null) content.delete(key);
        else content.set(key, value);
      }
      if (random.happens(0.4)) await new Promise((resolve) => setImmediate(resolve));
      if (!random.happens(0.15)) continue;
      if ((await node.take()).kind === 'incremental') incrementals++;
    }
    await node.take();
    if (loading !== null) await loading;
    if (random.happens(0.5)) node.check(content);
  }
  ok(incrementals > 5, `${incrementals} incremental ones`);
  const last = await CheckpointedState.start(fs);
  await last.load();
  last.check(content);
});

test('checkpoint state G5: an installation that meets damage throws, and an older one is used', async () => {
  const { fs, contents } = await withTwo();
  const node = await CheckpointedState.start(fs, { verifyBytesMax: 0 });
  const { innerOffset, name, bytes } = node.open!.info.files.at(-1)!;
  await damage(fs, `${CHECKPOINTS}/${name}`, (copy) => void copy.fill(0, innerOffset, bytes));
  const again = await CheckpointedState.start(fs, { verifyBytesMax: 0 });
  deepStrictEqual(
    again.store.damages.map(({ file }) => file),
    [`${CHECKPOINTS}/${name}`],
  );
  strictEqual(again.index, 1);
  await again.load();
  again.check(contents[1]!);
});

test('checkpoint state G5: a damaged leaf is an error, and the next start uses an older one', async () => {
  const { fs, contents } = await withTwo();
  const node = await CheckpointedState.start(fs, { verifyBytesMax: 0 });
  strictEqual(node.open!.isVerified, false);
  const path = `${CHECKPOINTS}/${node.open!.info.files.at(-1)!.name}`;
  await damage(fs, path, (copy) => void copy.fill(255, 64, node.open!.info.files.at(-1)!.innerOffset));
  // The memory file system replaced the file: what is open reads as before, so it is opened anew.
  await node.open!.files.close();
  const late = await node.store.open(node.store.checkpoints[0]!);
  node.open = late;
  await node.install(late);
  throws(
    () => node.state.get(bytesOf('key-00007')),
    (error) => isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED') && error.facts['file'] === path,
  );
  await rejects(node.load(), (error) => isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED'));
  await rejects(late.verifyRest(), (error) => isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED'));
  const moved = await node.store.quarantineBase('a leaf is damaged');
  strictEqual(moved.length, 1, 'the index file says at the next start that something is missing');
  const next = await CheckpointedState.start(fs);
  strictEqual(next.index, 1);
  await next.load();
  next.check(contents[1]!);
  strictEqual((await fs.list(`${DATA_DIR}/quarantine`)).length, 4, 'each with its note');
});

test('checkpoint state: what is beyond verifyBytesMax is verified while the node serves', async () => {
  const { fs } = await withTwo();
  const node = await CheckpointedState.start(fs, { verifyBytesMax: 0 });
  const open = node.open!;
  const bytes = open.info.files.reduce((sum, file) => sum + file.bytes, 0);
  strictEqual(open.verifiedBytes, 0);
  await open.verifyRest();
  strictEqual(open.verifiedBytes, bytes);
  deepStrictEqual(open.warnings, []);
  const whole = await CheckpointedState.start(fs);
  strictEqual(whole.open!.verifiedBytes, bytes);
  strictEqual(whole.open!.isVerified, true);
});

test('checkpoint state G2: none is removed until the installed one is verified to its end', async () => {
  const { fs } = await withTwo();
  const node = await CheckpointedState.start(fs, { verifyBytesMax: 0, checkpointsKept: 1 });
  for (let round = 0; round < 3; round++) {
    node.write({ a: `${round}` });
    await node.take();
  }
  strictEqual(node.store.checkpoints.length, 5);
  strictEqual(node.store.compactableIndex(WHOLE_LOG), 1, 'the log is kept back to there');
  await node.open!.verifyRest();
  node.write({ a: 'last' });
  await node.take();
  strictEqual(node.store.checkpoints.length, 1);
  strictEqual(node.store.compactableIndex(WHOLE_LOG), 6);
});
