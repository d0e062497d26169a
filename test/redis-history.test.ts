/**
 * TIDEMARK AT and TIDEMARK REWIND on the Redis port (src/server/history-commands.ts), and `tidemark rewind`
 * (src/cli/rewind.ts). Method: the real program and a real client of a real port over real directories.
 */

import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { askOnce, ErrorReply, type Reply } from '../src/cli/resp-client.ts';
import { open } from '../src/node/open.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { servedHistory } from '../src/server/served-history.ts';
import { tidemark } from './support/tidemark.ts';

const log = { segmentBytes: 64 * 1024 };

type Made = Readonly<Record<string, number | string>>;

/** A node with six entries, and its port. */
async function served(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-history-'));
  const dir = join(folder, 'data');
  const node = await open({ dir, log });
  const server = await startRedisServer({ ordering: node.ordering, port: 0, history: servedHistory(node) });
  t.after(async () => {
    await server.close();
    await node.close();
    await rm(folder, { recursive: true, force: true });
  });
  for (const value of ['1', '2']) await node.submit('SET', 'a', value);
  await node.submit('HSET', 'h', 'field', 'old');
  await node.submit('HSET', 'h', 'field', 'new', 'more', 'x');
  await node.submit('SET', 'b', 'x', 'PX', 1_000_000);
  await node.submit('DEL', 'a');
  const ask = (...words: readonly string[]): Promise<Reply> => askOnce(server.port, words);
  return { node, dir, port: String(server.port), ask, into: join(folder, 'copy') };
}

test('history: TIDEMARK AT answers any read as it would have been answered then', async (t) => {
  const { ask } = await served(t);
  strictEqual(await ask('TIDEMARK', 'AT', '1', 'GET', 'a'), '1');
  strictEqual(await ask('TIDEMARK', 'AT', 'before 6', 'GET', 'a'), '2');
  strictEqual(await ask('TIDEMARK', 'AT', '6', 'GET', 'a'), null);
  deepStrictEqual(await ask('TIDEMARK', 'AT', '3', 'HGETALL', 'h'), ['field', 'old']);
  deepStrictEqual(await ask('TIDEMARK', 'AT', '4', 'HGETALL', 'h'), ['field', 'new', 'more', 'x']);
  strictEqual(await ask('TIDEMARK', 'AT', '5', 'PTTL', 'b'), 1_000_000, 'as of then');
  strictEqual(await ask('tidemark', 'at', '0', 'dbsize'), 0);
});

for (const [words, wanted] of [
  [['AT', '99', 'GET', 'a'], /^ERR TIDEMARK_POINT_NOT_KEPT: 99 cannot .* before it is 6/],
  [['AT', 'soon', 'GET', 'a'], /^ERR TIDEMARK_POINT_INVALID/],
  [['AT', '1.2', 'GET', 'a'], /^ERR TIDEMARK_POINT_INVALID: 1.2: the entry has one command/],
  [['AT', '1', 'SET', 'a', 'b'], /^ERR the past takes commands that read/],
  [['AT', '1', 'PING'], /^ERR the past takes commands that read/],
  [['AT', '1', 'NOSUCH'], /^ERR unknown command 'NOSUCH'/],
  [['AT', '1', 'GET'], /^ERR wrong number of arguments for 'get' command/],
  [['AT', '1'], /^ERR wrong number of arguments/],
  [['AT', '1', 'HGET', 'a', 'f'], /^WRONGTYPE/],
  [['REWIND'], /^ERR wrong number of arguments/],
  [['REWIND', '1', 'NOW'], /^ERR syntax error/],
  [['REWIND', '1', 'DRYRUN', 'x'], /^ERR syntax error/],
  [['REWIND', '7'], /^ERR TIDEMARK_POINT_NOT_KEPT/],
] as const) {
  test(`history: TIDEMARK ${words.join(' ')} is refused`, async (t) => {
    const { ask, node } = await served(t);
    const reply = await ask('TIDEMARK', ...words);
    ok(reply instanceof ErrorReply);
    match(reply.text, wanted);
    strictEqual(node.stats().appliedIndex, 6);
  });
}

test('history: TIDEMARK REWIND takes the node back, and a dry run tells before', async (t) => {
  const { ask, node } = await served(t);
  const dry = (await ask('TIDEMARK', 'REWIND', '2', 'DRYRUN')) as Reply[];
  deepStrictEqual([dry[dry.indexOf('keysAdded') + 1], dry[dry.indexOf('keysDeleted') + 1]], [1, 2]);
  strictEqual(dry.includes('madeBy'), false);
  strictEqual(await ask('GET', 'a'), null);
  const made = (await ask('TIDEMARK', 'REWIND', '2')) as Reply[];
  strictEqual(made[made.indexOf('madeBy') + 1], 7);
  strictEqual(made[made.indexOf('root') + 1], (await node.root()).root);
  strictEqual(await ask('GET', 'a'), '2');
  strictEqual(await ask('DBSIZE'), 1);
});

test('history: tidemark rewind, of a running node, and of a directory into another', async (t) => {
  const { node, dir, port, into } = await served(t);
  const dry = await tidemark('rewind', '--to', '2', '--dry-run', '--port', port);
  strictEqual(dry.code, 0, dry.err);
  match(
    dry.out,
    /would go back to entry 2 of 20.*: 1 key added, 0 changed, 2 deleted\nfrom the whole log, 2 entries/,
  );
  const all = await tidemark('rewind', '--to', '1d ago', '--dry-run', '--port', port);
  match(all.out, /would go back to the empty state before the first entry: 0 keys added/);
  strictEqual(node.stats().appliedIndex, 6);
  const beside = await tidemark('rewind', '--to', '2', '--dir', dir, '--into', into, '--json');
  const copied = JSON.parse(beside.out) as Made;
  deepStrictEqual([beside.code, copied['index'], copied['timeline'], copied['keys']], [0, 2, 2, 1]);
  deepStrictEqual(await readdir(join(into, 'log')), ['2-00000000000000000003.log']);
  const made = await tidemark('rewind', '--to', '2', '--port', port, '--json');
  const rewound = JSON.parse(made.out) as Made;
  deepStrictEqual([made.code, rewound['index'], rewound['fromIndex'], rewound['madeBy']], [0, 2, 6, 7]);
  strictEqual(rewound['root'], copied['root']);
  const copy = await open({ dir: into, log });
  strictEqual((await copy.root()).root, (await node.root()).root);
  await copy.close();
  const listed = await tidemark('inspect', 'log', dir);
  match(listed.out, /part 1, the last, of what takes the state back to entry 2, root [0-9a-f]{64}/);
  strictEqual((await tidemark('verify', into)).code, 0);
});

test('history: tidemark rewind refuses calls that mean nothing, and says what to do', async (t) => {
  const { dir, port, into } = await served(t);
  for (const [words, wanted] of [
    [['--to', '2', '--dir', dir], /add --into, or --dry-run/],
    [['--to', '2', '--port', port, '--into', into], /name that with --dir/],
    [['--to', 'soon', '--dir', dir, '--dry-run'], /TIDEMARK_POINT_INVALID/],
    [['--to', '9', '--dir', dir, '--into', into], /TIDEMARK_POINT_NOT_KEPT/],
    [['--to', '9', '--port', port], /TIDEMARK_POINT_NOT_KEPT.*the nearest point before it is 6/],
    [['--to', '2', '--dir', dir, '--into', dir], /TIDEMARK_NOT_A_DATA_DIRECTORY|TIDEMARK_LOCKED/],
    [['--dry-run'], /required option '--to/],
  ] as const) {
    const { code, err } = await tidemark('rewind', ...words);
    strictEqual(code, 1, `${words.join(' ')}: ${err}`);
    match(err, wanted);
  }
});
