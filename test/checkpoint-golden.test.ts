/**
 * The bytes of checkpoints, format v1, held fixed (test/fixtures/checkpoint-v1). What these files hold must
 * be readable for ever, and for as long as v1 is what we write, the same steps must give the same bytes.
 * `REWRITE=1` writes the fixture; a released one is never rewritten.
 */

import { deepStrictEqual, strictEqual } from 'node:assert';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { CHECKPOINTS, DATA_DIR, StateDisk } from './support/checkpoint-disk.ts';
import { CheckpointedState } from './support/checkpointed-state.ts';
import { type DiskBytes, diskFrom, readDisk } from './support/disk-bytes.ts';
import { isRewriting, ROOT } from './support/project.ts';

const FIXTURE = `${ROOT}test/fixtures/checkpoint-v1`;

const FIRST = { apple: 'red', banana: '', cherry: 'c'.repeat(1025), date: 'brown', elder: 'e'.repeat(1024) };
const SECOND = { apple: 'green', fig: 'f'.repeat(2000) };
const CONTENT = new Map(Object.entries({ ...FIRST, ...SECOND }));

/** A full checkpoint with a large value, and an incremental one with another. */
async function takeGolden(): Promise<StateDisk> {
  const disk = await StateDisk.open({ seed: 1 });
  for (let at = 0; at < 90; at++) disk.state.content.set(`key-${at}`, `value ${at}`.repeat(8));
  disk.state.write(FIRST);
  strictEqual((await disk.take()).kind, 'full');
  disk.state.write(SECOND);
  strictEqual((await disk.take()).kind, 'incremental');
  return disk;
}

function readFixture(): DiskBytes {
  const disk = new Map<string, Uint8Array | null>([
    [DATA_DIR, null],
    [CHECKPOINTS, null],
  ]);
  for (const name of readdirSync(FIXTURE)) {
    disk.set(`${CHECKPOINTS}/${name}`, new Uint8Array(readFileSync(`${FIXTURE}/${name}`)));
  }
  return disk;
}

test('checkpoint golden: the same steps give the same bytes (format v1)', async () => {
  const { fs } = await takeGolden();
  const files = [...(await readDisk(fs, CHECKPOINTS))].filter(([, bytes]) => bytes !== null);
  if (isRewriting) {
    mkdirSync(FIXTURE, { recursive: true });
    for (const [path, bytes] of files)
      writeFileSync(`${FIXTURE}/${path.slice(CHECKPOINTS.length + 1)}`, bytes!);
  }
  const golden = readFixture();
  deepStrictEqual(
    files.map(([path]) => path),
    [...golden.keys()].filter((path) => path.startsWith(`${CHECKPOINTS}/`)),
  );
  for (const [path, bytes] of files) {
    strictEqual(Buffer.compare(bytes!, golden.get(path)!), 0, `${path} is as it was`);
  }
});

test('checkpoint golden: checkpoints of format v1 are installed, with every value as it was', async () => {
  const node = await CheckpointedState.start(await diskFrom(readFixture()));
  deepStrictEqual([node.index, node.store.damages], [2, []]);
  for (let at = 0; at < 90; at++) CONTENT.set(`key-${at}`, `value ${at}`.repeat(8));
  await node.load();
  node.check(CONTENT);
  strictEqual(node.open!.info.files.length, 2);
  node.write({ apple: 'blue' });
  strictEqual((await node.take()).index, 3, 'it goes on');
});
