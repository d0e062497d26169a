/**
 * Which checkpoints are kept, on the command line and at the port (src/cli/{inspect-checkpoint,prune,tag}.ts,
 * src/server/checkpoint-commands.ts). Goal: one sees what keeps each, and a dry run tells what a real run
 * takes. Method: the real program over real directories and a real port.
 */

import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { CheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { askOnce, ErrorReply, type Reply } from '../src/cli/resp-client.ts';
import { open } from '../src/node/open.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { servedCheckpoints } from '../src/server/served-checkpoints.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { tidemark } from './support/tidemark.ts';

const log = { segmentBytes: 64 * 1024 };

/** What of the policy has no default, so that much may go. */
const NEWEST_ONE = ['checkpointsKept=1', 'checkpointAgeMs=0', 'logAgeMs=0'].flatMap((one) => [
  '--set',
  `checkpoint.${one}`,
]);

/** A node with five checkpoints, one of them tagged; all are younger than a day. */
async function fiveCheckpoints(t: TestContext, checkpoint: CheckpointOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-retention-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const dir = join(folder, 'data');
  // The cluster's id shapes the tree, and so decides which checkpoints are full. A scrub holds what it reads.
  const doors = { chance: new SeededRandom(1) };
  const node = await open({ dir, log, checkpoint, doors, scrub: { cycleMs: 0 } });

  for (let key = 0; key < 200; key++) void node.submit('SET', `key ${key}`, 'x'.repeat(100));
  for (let round = 0; round < 5; round++) {
    await node.submit('SET', 'a', String(round));
    await node.checkpoint(round === 1 ? { tag: 'before-deploy' } : {});
  }
  return { dir, folder, node };
}

interface Inspected {
  readonly policy: { readonly source: string; readonly keeps: string };
  readonly checkpoints: readonly {
    readonly index: number;
    readonly kind: string;
    readonly tags: readonly string[];
    readonly keptBecause: readonly string[];
    readonly files: readonly { readonly name: string; readonly neededBy: readonly number[] }[];
    readonly cost: { readonly slices: number; readonly longestPauseMs: number };
  }[];
  readonly tags: readonly { readonly name: string; readonly index: number }[];
  readonly range: {
    readonly first: { readonly index: number };
    readonly last: { readonly index: number };
    readonly alone: readonly { readonly index: number }[];
  };
}

async function inspect(dir: string, ...words: readonly string[]): Promise<Inspected> {
  const { code, out, err } = await tidemark('inspect', 'checkpoint', dir, '--json', ...words);
  strictEqual(code, 0, err);
  return JSON.parse(out) as Inspected;
}

async function pruned(...words: readonly string[]): Promise<{ removed: { index: number; file: string }[] }> {
  const { code, out, err } = await tidemark('prune', '--json', ...words);
  strictEqual(code, 0, err);
  return JSON.parse(out) as { removed: { index: number; file: string }[] };
}

test('cli: inspect checkpoint tells what keeps each, by which policy, and how far back', async (t) => {
  const { dir, folder, node } = await fiveCheckpoints(t);
  const kept = node.checkpoints();
  const byDefault = await inspect(dir); // While the node runs.
  deepStrictEqual(
    byDefault.checkpoints.map(({ index, tags, keptBecause }) => ({ index, tags, keptBecause })),
    kept.map(({ index, tags, keptBecause }) => ({ index, tags, keptBecause })),
    'the directory alone says what the node says',
  );
  strictEqual(byDefault.policy.source, 'the defaults');
  match(byDefault.policy.keeps, /^the newest 3, what is younger than 24 h, at most 128, what is tagged$/);
  const [newest] = byDefault.checkpoints;
  const head = byDefault.checkpoints.at(-1)!;
  deepStrictEqual([head.kind, newest!.kind], ['full', 'incremental']);
  deepStrictEqual(
    head.files[0]!.neededBy,
    kept.slice(0, -1).map(({ index }) => index),
  );
  ok(newest!.cost.slices >= 1 && newest!.cost.longestPauseMs >= 0);
  const { first, last } = byDefault.range;
  deepStrictEqual([first.index, last.index], [0, node.stats().durableIndex]);
  await node.close();

  const config = join(folder, 'tidemark.yaml');
  await writeFile(config, 'checkpoint: {checkpointsKept: 1, checkpointAgeMs: 0}\n');
  const strict = await inspect(dir, '--config', config);
  strictEqual(strict.policy.source, config);
  deepStrictEqual(
    strict.checkpoints.map(({ keptBecause }) => keptBecause),
    [['among the newest 1'], [], [], ['tag before-deploy'], []],
  );
  const text = await tidemark('inspect', 'checkpoint', dir, '--config', config);
  match(text.out, /kept +tag before-deploy\n/);
  match(text.out, /kept +by nothing: goes with the next one\n/);
  match(text.out, /\.data \(.*\), needed by \d+, \d+, \d+, \d+, too\n/);
  match(text.out, /\none can go back to: any point from 0 \(the empty state\) to \d+ \(20.*\)\n/);
});

test('cli: a dry run of prune lists what prune then removes, of a directory and at the port', async (t) => {
  const { dir, node } = await fiveCheckpoints(t, { checkpointOnClose: false });
  const [newest, , , tagged] = node.checkpoints();
  await node.close();
  const before = await readdir(join(dir, 'checkpoints'));
  const dry = await pruned(dir, '--dry-run', ...NEWEST_ONE);
  deepStrictEqual(await readdir(join(dir, 'checkpoints')), before, 'nothing was changed');
  strictEqual(dry.removed.length, 3);
  deepStrictEqual(await pruned(dir, ...NEWEST_ONE), dry);
  const left = await inspect(dir);
  deepStrictEqual(
    left.checkpoints.map(({ index }) => index),
    [newest!.index, tagged!.index],
  );
  for (const { file } of dry.removed) ok(!(await readdir(join(dir, 'checkpoints'))).includes(file));

  const again = await open({ dir, log, checkpoint: { checkpointsKept: 1, checkpointAgeMs: 0 } });
  const server = await startRedisServer({
    ordering: again.ordering,
    port: 0,
    checkpoints: servedCheckpoints(again),
  });
  t.after(async () => {
    await server.close();
    await again.close();
  });
  await again.whenLoaded();
  strictEqual((await tidemark('tag', 'before-deploy', '--remove', '--port', String(server.port))).code, 0);
  const atPort = await pruned('--dry-run', '--port', String(server.port));
  deepStrictEqual(
    atPort.removed.map(({ index }) => index),
    [tagged!.index],
  );
  deepStrictEqual(await pruned('--port', String(server.port)), atPort);
  deepStrictEqual(
    again.checkpoints().map(({ index }) => index),
    [newest!.index],
  );
  const locked = await tidemark('prune', dir);
  match(locked.err, /TIDEMARK_LOCKED.*over its port/);
});

test('cli: tags are put on, listed and taken off, at the port and of a stopped node', async (t) => {
  const { dir, node } = await fiveCheckpoints(t);
  const [newest, second] = node.checkpoints();
  const server = await startRedisServer({
    ordering: node.ordering,
    port: 0,
    checkpoints: servedCheckpoints(node),
  });
  const port = ['--port', String(server.port)];
  match((await tidemark('tag', 'now', ...port)).out, new RegExp(`entry ${newest!.index} is tagged now`));
  strictEqual((await tidemark('tag', 'earlier', '--index', String(second!.index), ...port)).code, 0);
  const listed = JSON.parse((await tidemark('tag', '--json', ...port)).out) as Pick<Inspected, 'tags'>;
  deepStrictEqual(
    listed.tags.map(({ name, index }) => [name, index]),
    node.tags().map(({ name, index }) => [name, index]),
  );
  strictEqual(listed.tags.length, 3);
  await node.submit('SET', 'a', 'b');
  const taken = await tidemark('checkpoint', '--tag', 'now', '--json', ...port);
  strictEqual((JSON.parse(taken.out) as { index: number }).index, newest!.index + 1);
  deepStrictEqual(node.checkpoints()[0]!.tags, ['now'], 'a tag moves');
  for (const words of [
    ['tag', 'Bad Name'],
    ['tag', 'x', '--index', '9999'],
    ['checkpoint', '--tag', '?'],
  ]) {
    const { code, err } = await tidemark(...words, ...port);
    strictEqual(code, 1, words.join(' '));
    match(err, /TIDEMARK_OPTION_INVALID/);
  }
  await server.close();
  await node.close();
  strictEqual((await tidemark('tag', 'now', '--remove', '--dir', dir)).code, 0);
  match((await tidemark('tag', 'now', '--remove', '--dir', dir)).out, /there is no tag now/);
  match((await tidemark('tag', '--dir', dir)).out, /^tag +entry +tagged\nbefore-deploy .*\nearlier .*\n$/);
  match((await tidemark('tag', '--remove', '--dir', dir)).err, /name the tag/);
});

test('cli: inspect checkpoint says which files are missing', async (t) => {
  const { dir, node } = await fiveCheckpoints(t);
  await node.close();
  const [file] = (await readdir(join(dir, 'checkpoints'))).filter((name) => name.endsWith('.data')).sort();
  await rm(join(dir, 'checkpoints', file!));
  const { code, out } = await tidemark('inspect', 'checkpoint', dir);
  strictEqual(code, 3);
  match(out, new RegExp(`damage: .*${file}:0: it is missing`));
});

test('port: commands of checkpoints answer with names and values, or refuse', async (t) => {
  const { node } = await fiveCheckpoints(t);
  const server = await startRedisServer({
    ordering: node.ordering,
    port: 0,
    checkpoints: servedCheckpoints(node),
  });
  t.after(async () => {
    await server.close();
    await node.close();
  });
  const ask = (...words: readonly string[]): Promise<Reply> => askOnce(server.port, words);
  const listed = (await ask('TIDEMARK', 'CHECKPOINTS')) as Reply[][];
  strictEqual(listed.length, 5);
  match(JSON.stringify(listed[0]), /among the newest 3;.*younger than 24 h/);
  strictEqual(
    await ask('TIDEMARK', 'TAG', 'here', String(node.checkpoints()[2]!.index)),
    node.checkpoints()[2]!.index,
  );
  strictEqual(await ask('TIDEMARK', 'UNTAG', 'here'), 1);
  strictEqual(await ask('TIDEMARK', 'UNTAG', 'here'), 0);
  deepStrictEqual(await ask('TIDEMARK', 'PRUNE', 'DRYRUN'), ['bytesFreed', 0, 'removed', []]);
  for (const [words, wanted] of [
    [['TAG', 'here', 'x'], /^ERR value is not an integer/],
    [['TAG', 'here', '1', '2'], /^ERR syntax error/],
    [['TAG', 'Not A Name'], /^ERR TIDEMARK_OPTION_INVALID: tag must be 1 to 64/],
    [['TAG', 'here', '99'], /^ERR TIDEMARK_OPTION_INVALID: index must be that of a checkpoint/],
    [['PRUNE', 'NOW'], /^ERR syntax error/],
    [['CHECKPOINT', 'TAG'], /^ERR syntax error/],
  ] as const) {
    const reply = await ask('TIDEMARK', ...words);
    ok(reply instanceof ErrorReply, words.join(' '));
    match(reply.text, wanted);
  }
});
