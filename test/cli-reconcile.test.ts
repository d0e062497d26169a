/**
 * `tidemark diff`, `apply` and `reconcile` (src/cli/). Goal: what a shell sees of two states, wherever they
 * are, with exit codes that scripts can rely on; damage and lies are named. Method: the real program over
 * real directories and ports, and a server that lies.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sha256 } from '../src/base/digest.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { diffStates } from '../src/base/merkle/diff-states.ts';
import { systemClock } from '../src/base/time.ts';
import { RemoteNode } from '../src/cli/remote-node.ts';
import { openState, openWritable, parseTarget } from '../src/cli/state-target.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { type ReadStateOptions, readState } from '../src/node/stored-state.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { tidemark } from './support/tidemark.ts';

const log = { segmentBytes: 64 * 1024 };

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

type KeyValueNode = Awaited<ReturnType<typeof open>>;

/** Opens a directory, writes to it, takes a checkpoint, and closes it. */
async function write(
  dir: string,
  body: (node: KeyValueNode) => unknown,
  { clock = systemClock, checkpointOnClose = true } = {},
): Promise<{ readonly root: string; readonly index: number }> {
  const checkpoint = { checkpointOnClose, compactLogAfterCheckpoint: false };
  const node = await open({ dir, log, checkpoint, doors: { clock } });
  await body(node);
  const root = await node.root();
  if (checkpointOnClose) await node.checkpoint();
  await node.close();
  return root;
}

async function fill(node: KeyValueNode): Promise<void> {
  for (let key = 0; key < 300; key++) void node.submit('SET', `key ${key}`, `value ${key}`);
  const fields = Array.from({ length: 100 }, (_, at) => [`field ${at}`, 'x'.repeat(at)]).flat();
  await node.submit('HSET', 'hash', ...fields);
}

/** Two states of one cluster: `one` is where `other` began. */
async function twoStates(t: TestContext): Promise<{ one: string; other: string }> {
  const dir = await directory(t);
  const [one, other] = [join(dir, 'one'), join(dir, 'other')];
  await write(one, fill);
  await cp(one, other, { recursive: true });
  await write(other, async (node) => {
    await node.submit('SET', 'key 7', 'other');
    await node.submit('SET', 'bytes', Buffer.from([0xff, 0x00]), 'PXAT', '99999999999999');
    await node.submit('DEL', 'key 9');
    await node.submit('HSET', 'hash', 'new', 'field');
    await node.submit('SET', 'large', 'x'.repeat(5000));
  });
  return { one, other };
}

test('cli: diff tells what differs, and by its exit code whether anything does', async (t) => {
  const { one, other } = await twoStates(t);
  const same = await tidemark('diff', one, one);
  strictEqual(same.code, 0);
  match(same.out, /^equal: \d+ records/);
  const { code, out } = await tidemark('diff', one, other);
  strictEqual(code, 1);
  const lines = out.trimEnd().split('\n');
  deepStrictEqual(lines.slice(1, -1), [
    '+ "bytes"  base64 /wA=, expires 5138-11-16T09:46:39.999Z',
    '~ "hash"  hash of 100 fields → hash of 101 fields',
    '~ "key 7"  "value 7" → "other"',
    '- "key 9"  "value 9"',
    '+ "large"  4.9 KiB',
    '+ "hash" field "new"  "field"',
    '+ "hash" slot 100  "new"',
  ]);
  match(lines[0]!, /^~ \(record 00\)/);
  match(lines.at(-1)!, /^4 added, 3 changed, 1 deleted; \d+ nodes read in \d rounds, /);

  const some = await tidemark('diff', one, other, '--prefix', 'key ', '--values', 'none');
  deepStrictEqual(some.out.split('\n').slice(0, 2), ['~ "key 7"', '- "key 9"']);
  const first = await tidemark('diff', one, other, '--limit', '2', '--values', 'full');
  match(first.out, /\+ "bytes".*\nthe first 1 added, 1 changed, 0 deleted/);
});

test('cli: diff says which checkpoint is damaged, and goes by an older one', async (t) => {
  const one = join(await directory(t), 'one');
  const node = await open({ dir: one, log });
  for (const tag of ['first', 'second']) {
    await node.submit('SET', 'key', tag);
    await node.checkpoint({ tag });
  }
  await node.close();
  const files = (await readdir(join(one, 'checkpoints'))).filter((name) => name.endsWith('.data')).sort();
  await rm(join(one, 'checkpoints', files.at(-1)!));
  const ran = await tidemark('diff', `${one}@tag:first`, `${one}@tag:second`);
  strictEqual(ran.code, 1, ran.err);
  match(ran.err, /warning: the checkpoint file .*\.data is damaged .*that of entry 1 was used/);
});

test('cli: diff ends with 2 or more when it cannot tell', async (t) => {
  const dir = await directory(t);
  await write(join(dir, 'one'), fill);
  for (const [args, err] of [
    [['diff', join(dir, 'one'), join(dir, 'none')], /TIDEMARK_/],
    [
      ['diff', join(dir, 'one'), `${join(dir, 'one')}@7777`],
      /TIDEMARK_POINT_NOT_KEPT.*7777 cannot be brought back: the nearest point before it is \d/,
    ],
    [
      ['diff', join(dir, 'one'), `${join(dir, 'one')}@tag:no`],
      /TIDEMARK_POINT_NOT_KEPT.*there is no tag tag:no/,
    ],
    [['diff', join(dir, 'one')], /missing required argument/],
    [['diff', join(dir, 'one'), ':1'], /TIDEMARK_REFUSED: nobody answers/],
  ] as const) {
    const ran = await tidemark(...args);
    ok(ran.code >= 2, `${args.join(' ')} ended with ${ran.code}`);
    match(ran.err, err);
  }
});

test('cli: a delta brings a copy forward, in its order, once; and anything else is left alone', async (t) => {
  const { one, other } = await twoStates(t);
  const dir = await directory(t);
  const third = await write(other, (node) => node.submit('HDEL', 'hash', 'field 3', 'field 50'));
  const { checkpoints } = JSON.parse((await tidemark('inspect', 'checkpoint', other, '--json')).out) as {
    checkpoints: { index: number }[];
  };
  const middle = `${other}@${checkpoints[1]!.index}`;
  const [first, second] = [join(dir, 'first.jsonl'), join(dir, 'second.jsonl')];
  for (const [path, from, to] of [
    [first, one, middle],
    [second, middle, other],
  ] as const) {
    const ran = await tidemark('diff', from, to, '--json');
    strictEqual(ran.code, 1);
    await writeFile(path, ran.out);
  }
  const gap = await tidemark('apply', one, second);
  strictEqual(gap.code, 1);
  match(gap.err, /TIDEMARK_STATE_DIFFERS: the state of .* has the root .* begins with/);
  const wrongOrder = await tidemark('apply', one, second, first);
  match(wrongOrder.err, /TIDEMARK_STATE_DIFFERS: .* before it, ends with/);
  await writeFile(join(dir, 'cut.jsonl'), (await readFile(first)).subarray(0, 900));
  match((await tidemark('apply', one, join(dir, 'cut.jsonl'))).err, /TIDEMARK_DELTA_INVALID: .* it was cut/);

  const both = await tidemark('apply', one, first, second, '--json');
  strictEqual(both.code, 0, both.err);
  const { applied } = JSON.parse(both.out) as { applied: { root: string; changes: number }[] };
  strictEqual(applied[1]!.root, third.root);
  strictEqual((await tidemark('diff', one, other)).code, 0);
  const again = await tidemark('apply', one, first, second);
  strictEqual(again.code, 0);
  match(again.out, /the state is there already/);
});

test('cli: an apply that was interrupted is finished by the next', async (t) => {
  const { one, other } = await twoStates(t);
  const path = join(await directory(t), 'delta.jsonl');
  await writeFile(path, (await tidemark('diff', one, other, '--json')).out);
  await write(one, async (node) => {
    await node.submit('SET', 'key 7', 'other'); // As the delta would.
    await node.submit('DEL', 'key 9');
  });
  const half = await openWritable(parseTarget(one)); // In stages, heads of hashes are away for a while.
  const state = await half.hold();
  const [head] = await state.read([{ kind: 'value', key: Buffer.from('\nhash') }]);
  await half.patch([{ key: Buffer.from('\nhash'), before: sha256(head!), after: null }]);
  await state.close();
  await half.close();
  const ran = await tidemark('apply', one, path);
  strictEqual(ran.code, 0, ran.err);
  strictEqual((await tidemark('diff', one, other)).code, 0);
  await write(one, (node) => node.submit('SET', 'key 8', 'of somebody else'));
  const foreign = await tidemark('apply', one, path);
  match(foreign.err, /TIDEMARK_STATE_DIFFERS/);
});

test('cli: a delta is begun in no other state, even one that has the records it begins with', async (t) => {
  const { one, other } = await twoStates(t);
  const path = join(await directory(t), 'delta.jsonl');
  await writeFile(path, (await tidemark('diff', one, other, '--json')).out);
  const { root } = await write(one, (node) => node.submit('SET', 'key 8', 'of somebody else'));
  const ran = await tidemark('apply', one, path);
  strictEqual(ran.code, 1, ran.out);
  match(ran.err, /TIDEMARK_STATE_DIFFERS.*it is for another state. Nothing was changed/);
  strictEqual((await write(one, () => undefined)).root, root);
});

test('cli: what the log has behind the newest checkpoint counts', async (t) => {
  const dir = await directory(t);
  const [one, other] = [join(dir, 'one'), join(dir, 'other')];
  const before = await write(one, async (node) => {
    await fill(node);
    await node.tag('start', (await node.checkpoint()).index);
  });
  await cp(one, other, { recursive: true });
  const after = await write(other, (node) => node.submit('SET', 'key 1', 'in the log only'), {
    checkpointOnClose: false,
  });
  ok(before.index < after.index);
  const { code, out } = await tidemark('diff', one, other);
  strictEqual(code, 1);
  match(out, /^~ "key 1"  "value 1" → "in the log only"\n0 added, 1 changed, 0 deleted/);
  for (const at of [before.index, 'tag:start'])
    strictEqual((await tidemark('diff', one, `${other}@${at}`)).code, 0);
});

async function served<Result>(
  dir: string,
  body: (port: string, node: KeyValueNode) => Promise<Result>,
): Promise<Result> {
  const node = await open({ dir, log });
  const server = await startRedisServer({
    ordering: node.ordering,
    port: 0,
    hold: () => node.hold(),
    password: 'secret',
  });
  try {
    return await body(`redis://:secret@127.0.0.1:${server.port}`, node);
  } finally {
    await server.close();
    await node.close();
  }
}

test('cli: reconcile makes a running node, or a stopped one, equal to any other', async (t) => {
  const { one, other } = await twoStates(t);
  const dir = await directory(t);
  const foreign = join(dir, 'foreign');
  await write(foreign, async (node) => {
    await node.submit('SET', 'only here', '1');
    await node.submit('HSET', 'hash', ...Array.from({ length: 200 }, (_, at) => `${at}`));
  });
  await served(one, (from) =>
    served(foreign, async (to, target) => {
      const dry = await tidemark('reconcile', '--from', from, '--to', to);
      strictEqual(dry.code, 0, dry.err);
      match(dry.out, /\d+ to add, \d+ to change, \d+ to delete in 127\.0\.0\.1:\d+; --repair does it/);
      strictEqual(await target.query('EXISTS', 'only here'), 1, 'a dry run changes nothing');
      const ran = await tidemark('reconcile', '--from', from, '--to', to, '--repair', '--json');
      strictEqual(ran.code, 0, ran.err);
      const outcome = JSON.parse(ran.out) as { equal: boolean; sameCluster: boolean; repaired: number };
      deepStrictEqual([outcome.equal, outcome.sameCluster], [true, false]);
      ok(outcome.repaired > 300);
      deepStrictEqual(
        [await target.query('EXISTS', 'only here'), await target.query('HLEN', 'hash')],
        [0, 100],
      );
      strictEqual((await tidemark('diff', from, to)).code, 0);
      const wrong = await tidemark('diff', from, to.replace('secret', 'wrong'));
      match(wrong.err, /TIDEMARK_REFUSED.*(NOAUTH|WRONGPASS)/);
    }),
  );
  // Of one cluster equal states have equal roots.
  const ran = await tidemark('reconcile', '--from', other, '--to', one, '--repair', '--json');
  const { source, target } = JSON.parse(ran.out) as Record<'source' | 'target', { root: string }>;
  strictEqual(source.root, target.root);
  const locked = await served(one, () => tidemark('reconcile', '--from', other, '--to', one, '--repair'));
  match(locked.err, /TIDEMARK_LOCKED.*Name its port instead/);
});

test('reconcile: what clients write to the target meanwhile is never overwritten unseen', async (t) => {
  const dir = await directory(t);
  const [one, other] = [join(dir, 'one'), join(dir, 'other')];
  await write(one, fill);
  await served(other, async (port) => {
    const target = await openWritable(parseTarget(port));
    const writer = await openWritable(parseTarget(port));
    await target.patch([{ key: Buffer.from('\nkey 5'), before: null, after: Buffer.from('\nold') }]);
    const stale = await writer.patch([
      { key: Buffer.from('\nkey 5'), before: null, after: Buffer.from('\nnew') },
    ]);
    strictEqual(stale, 'conflict');
    await target.close();
    await writer.close();
    const ran = await tidemark('reconcile', '--from', one, '--to', port, '--repair');
    match(ran.out, /they are equal now/);
  });
});

test('cli: keys that have expired are left alone where time goes on, and copied elsewhere', async (t) => {
  const dir = await directory(t);
  const [one, other, third] = [join(dir, 'one'), join(dir, 'other'), join(dir, 'third')];
  const clock = { ...systemClock, now: () => 1_700_000_000_000 };
  await write(one, fill, { clock });
  await cp(one, third, { recursive: true });
  await write(
    one,
    async (node) => {
      await node.submit('SET', 'gone', '1', 'PX', '1000');
      await node.submit('HSET', 'gone hash', ...Array.from({ length: 200 }, (_, at) => `${at}`));
      await node.submit('PEXPIRE', 'gone hash', '1000');
      await node.submit('SET', 'key 1', 'stays');
    },
    { clock },
  );
  const delta = join(dir, 'delta.jsonl');
  await writeFile(delta, (await tidemark('diff', third, one, '--json')).out);
  const applied = await tidemark('apply', third, delta);
  strictEqual(applied.code, 0, applied.err);
  strictEqual((await tidemark('diff', one, third)).code, 0);
  await served(other, async (port, node) => {
    const ran = await tidemark('reconcile', '--from', one, '--to', port, '--repair', '--json');
    strictEqual(ran.code, 0, ran.err);
    const { equal, expired } = JSON.parse(ran.out) as { equal: boolean; expired: number };
    deepStrictEqual([equal, expired], [true, 203]);
    deepStrictEqual(
      [await node.query('EXISTS', 'gone', 'gone hash', 'key 1'), await node.query('HLEN', 'hash')],
      [1, 100],
    );
  });
});

test('cli: data of another machine is compared by its checkpoints, and never changed', async (t) => {
  const dir = await directory(t);
  const counter = machine({
    name: 'counter',
    tables: { counts: table<number>() },
    commands: { add: ({ counts }, key: string) => counts.set(key, (counts.get(key) ?? 0) + 1) },
  });
  const [one, other] = [join(dir, 'one'), join(dir, 'other')];
  const node = await open({ dir: one, machine: counter, log });
  await node.submit('add', 'a');
  await node.close();
  await cp(one, other, { recursive: true });
  const copy = await open({ dir: other, machine: counter, log, checkpoint: { checkpointOnClose: false } });
  await copy.submit('add', 'a');
  await copy.close();
  const replay = await tidemark('diff', one, other);
  strictEqual(replay.code, 2);
  match(replay.err, /TIDEMARK_MACHINE_MISMATCH.*only its machine counter can replay it/);
  const differing: string[] = [];
  const [before, after] = [await readState({ dir: one }), await readState({ dir: other, machine: counter })];
  for await (const { kind, key } of diffStates(before, after))
    differing.push(`${kind} ${Buffer.from(key).toString()}`);
  deepStrictEqual(differing, ['changed counts\0a']);
  await before.close();
  await after.close();
  strictEqual((await tidemark('diff', one, `${other}@1`)).code, 0);
  match((await tidemark('reconcile', '--from', one, '--to', `${other}@1`)).err, /TIDEMARK_MACHINE_MISMATCH/);
  match(
    (await tidemark('reconcile', '--from', one, '--to', other, '--repair')).err,
    /which its own program changes/,
  );
  const kv = join(dir, 'kv');
  await write(kv, (made) => made.submit('SET', 'a', '1'));
  match((await tidemark('diff', one, kv)).err, /TIDEMARK_MACHINE_MISMATCH.*cannot be compared/);
  // It ends although the node would keep the connection.
  const running = await served(kv, (port) => tidemark('diff', one, port));
  deepStrictEqual([running.code, /TIDEMARK_MACHINE_MISMATCH/.test(running.err)], [2, true]);
});

test('cli: damage in a checkpoint is passed by where the log has all, and named elsewhere', async (t) => {
  const { one, other } = await twoStates(t);
  strictEqual(await underDamage(one, other), 0);
  // Without its log, the checkpoints are all there is.
  const checkpoint = { checkpointsKept: 1, checkpointAgeMs: 0, logAgeMs: 0, logBytesMax: 0 };
  for (const dir of [one, other]) {
    const node = await open({ dir, log: { segmentBytes: 64 * 1024 }, checkpoint });
    for (let at = 0; at < 100; at++) await node.submit('SET', 'filler', 'x'.repeat(8000));
    await node.submit('DEL', 'filler');
    await node.close();
  }
  const noticed = await underDamage(one, other);
  ok(noticed > 10, `${noticed} of 40 noticed; the others were in nothing that the checkpoint needs`);
});

/** Flips a bit at 40 places of the oldest data file of `other`; returns how often that was an error. */
async function underDamage(one: string, other: string): Promise<number> {
  const [data] = (await readdir(join(other, 'checkpoints'))).filter((name) => name.endsWith('.data')).sort();
  const path = join(other, 'checkpoints', data!);
  const whole = await readFile(path);
  const wanted = await countDifferences({ dir: one }, { dir: other });
  let noticed = 0;
  for (let at = 64; at < whole.length; at += Math.floor(whole.length / 40)) {
    const damaged = Buffer.from(whole);
    damaged[at]! ^= 0x10;
    await writeFile(path, damaged);
    try {
      strictEqual(await countDifferences({ dir: one }, { dir: other }), wanted);
    } catch (error) {
      noticed++;
      ok(isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED'), String(error));
      strictEqual(error.facts['file'], path);
    }
  }
  await writeFile(path, whole);
  return noticed;
}

async function countDifferences(one: ReadStateOptions, other: ReadStateOptions): Promise<number> {
  const states = [await readState(one)];
  try {
    states.push(await readState(other));
    let count = 0;
    for await (const _ of diffStates(states[0]!, states[1]!)) count++;
    return count;
  } finally {
    for (const state of states) await state.close();
  }
}

/** What a server answers to TIDEMARK HOLD, with some of it made up. */
function held(fields: Record<string, string | number>): string {
  const [id, keys, index, time, now, version] = [1, 1, 1, 1, 1, 1];
  const numbers = { id, keys, index, time, now, version };
  const all = { ...numbers, root: 'ab'.repeat(32), cluster: 'c', machine: 'keyvalue', ...fields };
  const words = Object.entries(all).flatMap(([name, value]) => [
    `$${name.length}\r\n${name}\r\n`,
    typeof value === 'number' ? `:${value}\r\n` : `$${value.length}\r\n${value}\r\n`,
  ]);
  return `*${words.length}\r\n${words.join('')}`;
}

test('reconcile: a server that lies, answers garbage or never ends is named and refused', async (t) => {
  const dir = await directory(t);
  const one = join(dir, 'one');
  await write(one, fill);
  const honest = await readState({ dir: one });
  t.after(() => honest.close());
  const node = '*1\r\n$9\r\n\0\u0001a\u0003xyz12\r\n';
  for (const [what, replies, code] of [
    ['other bytes than its root promises', [held({}), node], 'TIDEMARK_TREE_INVALID'],
    ['nothing for its root', [held({}), '*1\r\n$-1\r\n'], 'TIDEMARK_TREE_INVALID'],
    ['a root that is none', [held({ root: 'xyz' })], 'TIDEMARK_REFUSED'],
    ['no root', ['+OK\r\n'], 'TIDEMARK_REFUSED'],
    ['an error', ['-ERR unknown command\r\n'], 'TIDEMARK_REFUSED'],
    ['more nodes than asked for', [held({}), '*2\r\n$1\r\na\r\n$1\r\nb\r\n'], 'TIDEMARK_REFUSED'],
    ['no nodes', [held({}), '*0\r\n'], 'TIDEMARK_REFUSED'],
    ['numbers for nodes', [held({}), '*1\r\n:1\r\n'], 'TIDEMARK_REFUSED'],
    ['another protocol', ['HTTP/1.1 400 Bad Request\r\n\r\n'], 'TIDEMARK_REFUSED'],
    ['arrays in arrays without end', ['*1\r\n'.repeat(100_000)], 'TIDEMARK_REFUSED'],
    ['a length that leads back to its own beginning', ['$-7\r\n'], 'TIDEMARK_REFUSED'],
    ['a length that is no number', ['$abc\r\n'], 'TIDEMARK_REFUSED'],
    ['an array of fewer than none', ['*-2\r\n'], 'TIDEMARK_REFUSED'],
    ['an index below 0', [held({ index: -1 })], 'TIDEMARK_REFUSED'],
    ['fewer keys than none', [held({ keys: -5 })], 'TIDEMARK_REFUSED'],
    ['nothing, and hangs up', [''], 'TIDEMARK_REFUSED'],
  ] as const) {
    const queue = [...replies];
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      socket.on('data', () => {
        const reply = queue.shift();
        if (reply === undefined || reply === '') socket.destroy();
        else socket.write(Buffer.from(reply, 'latin1'));
      });
    });
    t.after(() => server.close());
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    const compare = async (): Promise<void> => {
      const liar = await openState(parseTarget(`127.0.0.1:${port}`));
      try {
        for await (const _ of diffStates(honest, liar)) continue;
      } finally {
        await liar.close();
      }
    };
    await rejects(compare(), (error) => {
      ok(isTidemarkError(error, code), `${what}: ${String(error)}`);
      match(error.message, new RegExp(`127.0.0.1:${port}`), what);
      return true;
    });
  }
});

test('reconcile: a state of a running node stays held while nobody reads it, and no longer', async (t) => {
  const one = join(await directory(t), 'one');
  await write(one, fill);
  const node = await open({ dir: one, log });
  let reads = 0;
  const hold = async (): Promise<Awaited<ReturnType<KeyValueNode['hold']>>> => {
    const held = await node.hold();
    const read = held.read.bind(held);
    held.read = (wanted) => {
      reads++;
      return read(wanted);
    };
    return held;
  };
  const server = await startRedisServer({ ordering: node.ordering, port: 0, hold });
  const remote = new RemoteNode({ host: '127.0.0.1', port: server.port, password: null }, 5);
  const state = await remote.hold();
  while (reads < 3) await delay(5);
  await state.close();
  const readsThen = reads;
  await delay(50);
  strictEqual(reads, readsThen);
  await remote.close();
  await server.close();
  await node.close();
});

for (const [text, want] of [
  ['./data', 'directory ./data null'],
  ['./data@812', 'directory ./data 812'],
  ['./data@tag:before-deploy', 'directory ./data tag:before-deploy'],
  ['a@b', 'directory a@b null'],
  ['localhost:6401', 'node localhost 6401 null'],
  [':6401', 'node 127.0.0.1 6401 null'],
  ['[::1]:6401', 'node ::1 6401 null'],
  ['./localhost:6401', 'directory ./localhost:6401 null'],
  ['redis://h', 'node h 6401 null'],
  ['redis://:p%40ss@h:7', 'node h 7 p@ss'],
] as const) {
  test(`cli: ${text} is a state`, () => {
    const target = parseTarget(text);
    const shown =
      target.kind === 'node'
        ? ['node', target.address.host, target.address.port, target.address.password]
        : ['directory', target.dir, target.at];
    strictEqual(shown.map(String).join(' '), want);
  });
}
