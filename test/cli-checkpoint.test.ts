/**
 * Checkpoints on the command line (src/cli/{checkpoint,inspect,verify}.ts). Goal: what a shell sees of them,
 * with exit codes that scripts can rely on. Method: the real program over real directories and a real port.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { open } from '../src/node/open.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { servedCheckpoints } from '../src/server/served-checkpoints.ts';
import { NEWEST_ONLY } from './support/test-log.ts';
import { tidemark } from './support/tidemark.ts';

const log = { segmentBytes: 64 * 1024 };

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'data');
}

/** A node that was closed, with two checkpoints. */
async function twoCheckpoints(t: TestContext): Promise<string> {
  const dir = await directory(t);
  const node = await open({ dir, log });
  for (let key = 0; key < 200; key++) void node.submit('SET', `key ${key}`, 'x'.repeat(100));
  await node.submit('SET', 'a', '1');
  await node.checkpoint();
  await node.submit('SET', 'a', '2');
  await node.close();
  return dir;
}

async function checkpointFiles(dir: string, end: string): Promise<string[]> {
  const names = (await readdir(join(dir, 'checkpoints'))).filter((name) => name.endsWith(end));
  return names.sort().map((name) => join(dir, 'checkpoints', name));
}

test('cli: a running node takes a checkpoint, and a stopped one', async (t) => {
  const dir = await directory(t);
  const node = await open({ dir, log });
  await node.submit('SET', 'a', '1');
  const checkpoints = servedCheckpoints(node);
  const server = await startRedisServer({ ordering: node.ordering, port: 0, checkpoints });
  const ran = await tidemark('checkpoint', '--port', String(server.port), '--json');
  const taken = JSON.parse(ran.out) as { index: number; root: string; kind: string };
  deepStrictEqual([ran.code, taken.index, taken.kind], [0, 1, 'full']);
  strictEqual(taken.root, (await node.root()).root);

  const locked = await tidemark('checkpoint', dir);
  strictEqual(locked.code, 1);
  match(locked.err, /TIDEMARK_LOCKED.*over its port/);
  await server.close();
  await node.submit('SET', 'a', '2');
  await node.close();
  const gone = await tidemark('checkpoint', '--port', String(server.port));
  strictEqual(gone.code, 2);
  match(gone.err, /TIDEMARK_REFUSED: nobody answers/);

  const stopped = await tidemark('checkpoint', dir);
  strictEqual(stopped.code, 0);
  match(stopped.out, /^checkpoint of entry 2 in 1-\d{8}_\d{6}_2\.idx: /);
  const nowhere = await tidemark('checkpoint', join(dir, 'nowhere'));
  ok(nowhere.code !== 0 && nowhere.err.includes('TIDEMARK_'), nowhere.err);
});

test('cli: inspect checkpoint tells root, bytes, nodes, pauses and files', async (t) => {
  const dir = await twoCheckpoints(t);
  const { code, out } = await tidemark('inspect', 'checkpoint', dir, '--json');
  const { checkpoints, damages } = JSON.parse(out) as {
    checkpoints: {
      index: number;
      root: string;
      kind: string;
      keys: number;
      bytesNeeded: number;
      files: { name: string; bytes: number }[];
      cost: { nodes: number; bytes: number; durationMs: number; slices: number; longestPauseMs: number };
    }[];
    damages: unknown[];
  };
  deepStrictEqual([code, damages, checkpoints.map(({ keys }) => keys)], [0, [], [201, 201]]);
  const [newest, older] = checkpoints as [(typeof checkpoints)[0], (typeof checkpoints)[0]];
  deepStrictEqual([older.kind, newest.kind], ['full', 'incremental']);
  ok(newest.index > older.index && newest.root !== older.root);
  ok(newest.cost.bytes < older.cost.bytes / 4, `${newest.cost.bytes} of ${older.cost.bytes} bytes`);
  deepStrictEqual([older.files.length, newest.files.length], [1, 2]);
  strictEqual(newest.bytesNeeded, newest.cost.bytes + older.cost.bytes);
  ok(newest.cost.nodes >= 1 && newest.cost.slices >= 1 && newest.cost.longestPauseMs >= 0);
  const text = await tidemark('inspect', 'checkpoint', dir);
  match(text.out, new RegExp(`root +${newest.root}\n`));
});

test('cli: verify is 0 for whole checkpoints, 3 while a start falls back, 4 when it cannot', async (t) => {
  const dir = await twoCheckpoints(t);
  const whole = await tidemark('verify', dir, '--json');
  const report = JSON.parse(whole.out) as { ok: boolean; recoverable: boolean; checkpoints: number };
  deepStrictEqual([whole.code, report.ok, report.recoverable, report.checkpoints], [0, true, true, 2]);

  const [base, newest] = (await checkpointFiles(dir, '.data')) as [string, string];
  const copy = `${dir}-copy`;
  await cp(dir, copy, { recursive: true });
  const flip = async (path: string): Promise<void> => {
    const bytes = await readFile(path);
    bytes[bytes.length >> 1]! ^= 1;
    await writeFile(path, bytes);
  };
  await flip(newest.replace(dir, copy));
  const fallsBack = await tidemark('verify', copy);
  strictEqual(fallsBack.code, 3);
  match(fallsBack.out, /^damage: .*\.data:\d+: .*\n(.*\n)*DAMAGED: .*\nEverything acknowledged is there/);
  const node = await open({ dir: copy, log });
  strictEqual(Buffer.from((await node.query('GET', 'a')) as Uint8Array).toString(), '2');
  match(node.recovery.warnings.join('\n'), /is damaged at offset \d+.*the one of entry \d+ was used/);
  await node.close();

  await flip(base);
  const lost = await tidemark('verify', dir, '--json');
  const { recoverable } = JSON.parse(lost.out) as { recoverable: boolean };
  // The log still begins at entry 1, because no checkpoint is independent of the damaged file.
  deepStrictEqual([lost.code, recoverable], [3, true]);
});

test('cli: checkpoints of a copy that went on by itself are refused, and verify says so', async (t) => {
  const dir = await twoCheckpoints(t);
  const copy = `${dir}-copy`;
  await cp(dir, copy, { recursive: true });
  for (const [where, value] of [
    [dir, 'here'],
    [copy, 'there'],
  ] as const) {
    await using node = await open({ dir: where, log });
    await node.submit('SET', 'a', value);
    await node.checkpoint(); // Not left to the close, which takes none before everything is loaded.
    await new Promise((resolve) => setTimeout(resolve, 5)); // Times tell the histories apart.
  }
  await cp(join(copy, 'checkpoints'), join(dir, 'checkpoints'), { recursive: true });
  const checked = await tidemark('verify', dir);
  strictEqual(checked.code, 4);
  match(checked.out, /of two histories/);
  await rejects(open({ dir, log }), (error) => isTidemarkError(error, 'TIDEMARK_FOREIGN_FILE'));
});

test('cli: verify is 4 when the log begins late and no checkpoint is left', async (t) => {
  const dir = await twoCheckpoints(t);
  const node = await open({ dir, log, checkpoint: NEWEST_ONLY });
  for (let key = 0; key < 400; key++) void node.submit('SET', `other ${key}`, 'y'.repeat(500));
  await node.checkpoint();
  await node.close();
  ok(
    (await open({ dir, log, checkpoint: { checkpointOnClose: false } }).then(async (again) => {
      const { firstIndex } = again.stats();
      await again.close();
      return firstIndex;
    })) > 1,
  );
  await rm(join(dir, 'checkpoints'), { recursive: true });
  const checked = await tidemark('verify', dir);
  strictEqual(checked.code, 4);
  match(checked.out, /no checkpoint can be used, and the log begins at entry \d+/);
  await rejects(open({ dir, log }), (error) => isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED'));
});
