/**
 * A node as its users see it: submit, query, undo, recovery, limits. In memory, except where files matter.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from 'node:assert';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { type CommandContext, Rejection } from '../src/engine/machine.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { local, open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';

const bank = machine({
  tables: { accounts: table<number>(), notes: table<{ text: string; at: number }>() },
  commands: {
    deposit({ accounts }, { to, amount }: { to: string; amount: number }) {
      const balance = (accounts.get(to) ?? 0) + amount;
      accounts.set(to, balance);
      return balance;
    },
    transfer({ accounts }, { from, to, amount }: { from: string; to: string; amount: number }) {
      accounts.set(from, (accounts.get(from) ?? 0) - amount);
      accounts.set(to, (accounts.get(to) ?? 0) + amount);
      if (accounts.get(from)! < 0) throw new Rejection('insufficient funds');
    },
    note({ notes }, text: string, context: CommandContext) {
      notes.set('last', { text, at: context.time });
      return context.index;
    },
    close({ accounts }, who: string) {
      return accounts.delete(who);
    },
    later({ accounts }, who: string): unknown {
      accounts.set(who, 1);
      return Promise.resolve().then(() => accounts.set(who, 2));
    },
    thenable({ accounts }, who: string): unknown {
      accounts.set(who, 1);
      const awaited = (_: unknown, reject: (error: Error) => void): void => reject(new Error('later'));
      // oxlint-disable-next-line unicorn/no-thenable -- a promise as other libraries make them
      return Object.fromEntries([['then', awaited]]);
    },
    fail() {
      throw new InvariantViolation('planted');
    },
  },
  queries: {
    balance: ({ accounts }, who: string) => accounts.get(who) ?? null,
    note: ({ notes }) => notes.get('last'),
  },
});

const small = { log: { segmentBytes: 64 * 1024 } };
const code = (wanted: string) => (error: unknown) => isTidemarkError(error) && error.code === wanted;

async function scratch(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

test('node: a command resolves with its result, a query sees what was submitted before it', async () => {
  await using node = await open({ machine: bank, dir: 'memory:', ...small });
  strictEqual(await node.submit('deposit', { to: 'alice', amount: 10 }), 10);
  const later = node.submit('deposit', { to: 'alice', amount: 5 });
  strictEqual(await node.query('balance', 'alice'), 15);
  strictEqual(await later, 15);
  strictEqual(await node.query('balance', 'nobody'), null);
});

test('node: a command that throws leaves nothing behind, and its neighbours take effect', async () => {
  await using node = await open({ machine: bank, dir: 'memory:', ...small });
  const results = await Promise.allSettled([
    node.submit('deposit', { to: 'alice', amount: 10 }),
    node.submit('transfer', { from: 'alice', to: 'bob', amount: 11 }),
    node.submit('transfer', { from: 'alice', to: 'bob', amount: 4 }),
  ]);
  deepStrictEqual(
    results.map((result) => result.status),
    ['fulfilled', 'rejected', 'fulfilled'],
  );
  deepStrictEqual([await node.query('balance', 'alice'), await node.query('balance', 'bob')], [6, 4]);
});

test('node: what was acknowledged is there after close and open, and after no close at all', async (t) => {
  const dir = await scratch(t);
  for (const round of [1, 2, 3]) {
    const node = await open({ machine: bank, dir, ...small });
    strictEqual(await node.query('balance', 'alice'), round === 1 ? null : (round - 1) * 100);
    await Promise.all(Array.from({ length: 100 }, () => node.submit('deposit', { to: 'alice', amount: 1 })));
    await node.close();
  }
  await using node = await open({ machine: bank, dir, ...small });
  strictEqual(node.recovery.checkpoint?.index, node.stats().appliedIndex, 'close took a checkpoint');
  strictEqual(node.recovery.commandsReplayed, 0);
  strictEqual(node.recovery.bytesDiscarded, 0);

  await Promise.all(Array.from({ length: 100 }, () => node.submit('deposit', { to: 'alice', amount: 1 })));
  // What a kill leaves: the files as they are, and nobody who closes them.
  const killed = await scratch(t);
  await cp(dir, join(killed, 'data'), { recursive: true });
  await using again = await open({ machine: bank, dir: join(killed, 'data'), ...small });
  strictEqual(again.recovery.commandsReplayed, 100, 'the log after the checkpoint');
  strictEqual(await again.query('balance', 'alice'), 400);
});

test('node: entry times never go back, and commands see them', async () => {
  let now = 1000;
  const fs = new MemoryFileSystem();
  const { systemClock } = await import('../src/base/time.ts');
  const doors = { fs, clock: { ...systemClock, now: () => now } };
  await using node = await open({ machine: bank, dir: 'memory:', doors, ...small });
  await node.submit('note', 'first');
  now = 400;
  await node.submit('note', 'second');
  deepStrictEqual(await node.query('note'), { text: 'second', at: 1000 });
});

test('node: a failed assertion in a machine stops the node, and nothing more is taken', async () => {
  const node = await open({ machine: bank, dir: 'memory:', ...small });
  await rejects(node.submit('fail'), code('TIDEMARK_OUTCOME_UNKNOWN'));
  ok((await node.whenStopped()) instanceof InvariantViolation);
  await rejects(node.submit('deposit', { to: 'a', amount: 1 }), code('TIDEMARK_NOT_OPEN'));
  await node.close();
});

test('node: above twice pendingBytesMax commands are refused, and taken again once drained', async () => {
  const ordering = local({ pendingBytesMax: 64 * 1024, commandBytesMax: 48 * 1024 });
  await using node = await open({
    machine: bank,
    dir: 'memory:',
    ordering,
    log: { segmentBytes: 1024 * 1024 },
  });
  const text = 'x'.repeat(40 * 1024);
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => node.submit('note', text)));
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
  strictEqual(refused.length, 4);
  for (const outcome of refused) ok(code('TIDEMARK_BUSY')(outcome.reason));
  await node.drained();
  await node.submit('note', text);
  await rejects(node.submit('note', text + text), code('TIDEMARK_COMMAND_TOO_LARGE'));
});

test('node: unknown names, unencodable arguments and wrong options are refused by name', async () => {
  await using node = await open({ machine: bank, dir: 'memory:', ...small });
  await rejects(node.submit('nothing' as 'fail'), code('TIDEMARK_COMMAND_UNKNOWN'));
  await rejects(node.submit('constructor' as 'fail'), code('TIDEMARK_COMMAND_UNKNOWN'));
  await rejects(node.query('nothing' as 'note'), code('TIDEMARK_COMMAND_UNKNOWN'));
  await rejects(node.submit('close', (() => 1) as unknown as string), code('TIDEMARK_VALUE_UNENCODABLE'));
  await rejects(open({ dir: '' }), code('TIDEMARK_OPTION_INVALID'));
  await rejects(open({ dir: 'memory:', log: { segmentBytes: 1000 } }), code('TIDEMARK_OPTION_INVALID'));
});

test('node: names that no option has are refused at every level, and so is what is no options', async () => {
  const invalid = code('TIDEMARK_OPTION_INVALID');
  throws(() => local({ pendingByteMax: 1 } as never), invalid);
  throws(() => local('fast' as never), invalid);
  for (const options of [
    { dri: 1 },
    { toString: 1 },
    { log: { segmentByte: 1 } },
    { log: 5 },
    { log: { constructor: 1 } },
    { ordering: { kind: 'local', options: { pendingByteMax: 1 } } },
    { ordering: { kind: 'local', options: { pendingBytesMax: 1 } } },
    { ordering: { kind: 'local', options: {}, peers: [] } },
    { ordering: { kind: 'raft', options: {} } },
    { doors: { files: new MemoryFileSystem() } },
  ]) {
    await rejects(open({ dir: 'memory:', ...options } as never), invalid, JSON.stringify(options));
  }
});

test('node: a command that returns a promise is refused, and leaves nothing behind', async () => {
  await using node = await open({ machine: bank, dir: 'memory:', ...small });
  await rejects(node.submit('later', 'alice'), code('TIDEMARK_COMMAND_ASYNC'));
  await rejects(node.submit('thenable', 'alice'), code('TIDEMARK_COMMAND_ASYNC'));
  strictEqual(await node.query('balance', 'alice'), null);
  strictEqual(await node.submit('deposit', { to: 'alice', amount: 3 }), 3);
});

test('node: after close everything is refused, and close may be called twice', async () => {
  const node = await open({ machine: bank, dir: 'memory:', ...small });
  const last = node.submit('deposit', { to: 'alice', amount: 1 });
  await Promise.all([node.close(), node.close()]);
  strictEqual(await last, 1);
  strictEqual(await node.whenStopped(), null);
  await rejects(node.submit('deposit', { to: 'alice', amount: 1 }), code('TIDEMARK_NOT_OPEN'));
  await rejects(node.query('note'), code('TIDEMARK_NOT_OPEN'));
});

test('node: the data of another machine, and a directory of somebody else, are left alone', async (t) => {
  const dir = await scratch(t);
  await (await open({ dir: join(dir, 'data'), ...small })).close();
  await rejects(open({ machine: bank, dir: join(dir, 'data'), ...small }), code('TIDEMARK_MACHINE_MISMATCH'));
  await writeFile(join(dir, 'letter.txt'), 'mine');
  await rejects(open({ dir, ...small }), code('TIDEMARK_NOT_A_DATA_DIRECTORY'));
});

test('node D8: a second owner is refused while the first lives', async (t) => {
  const dir = await scratch(t);
  const node = await open({ dir, ...small });
  await rejects(open({ dir, ...small }), code('TIDEMARK_LOCKED'));
  await node.close();
  await (await open({ dir, ...small })).close();
});

test('node: the key-value database by name', async () => {
  await using node = await open({ dir: 'memory:', ...small });
  strictEqual(await node.submit('SET', 'greeting', 'hello'), 'OK');
  deepStrictEqual(await node.query('GET', 'greeting'), new Uint8Array(Buffer.from('hello')));
  strictEqual(await node.submit('INCR', 'n'), 1);
  strictEqual(await node.query('DBSIZE'), 2);
  await rejects(node.submit('INCR', 'greeting'), Rejection);
  await rejects(node.submit('GET' as 'SET', 'greeting'), code('TIDEMARK_COMMAND_UNKNOWN'));
  strictEqual(await node.submit('incr' as 'INCR', 'n'), 2);
  strictEqual(await node.query('dbsize' as 'DBSIZE'), 2);
});

test('node L7: a stall of ten seconds shows in the figures, and changes nothing', async () => {
  const clock = new ManualClock();
  const doors = { fs: new MemoryFileSystem(), clock };
  await using node = await open({ machine: bank, dir: 'memory:', doors, ...small });
  clock.advance(100);
  strictEqual(node.stats().distributions.latenessMs.max, 0);
  const pending = node.submit('deposit', { to: 'alice', amount: 1 });
  clock.advance(10_100);
  strictEqual(node.stats().distributions.latenessMs.max, 10_000);
  strictEqual(await pending, 1);
  strictEqual(await node.submit('deposit', { to: 'alice', amount: 1 }), 2);
});

test('node A3: a half-built directory is made again, whatever its spares hold', async () => {
  const fs = new MemoryFileSystem();
  await fs.makeDirectory('/memory');
  await fs.makeDirectory('/memory/log');
  const spare = await fs.open('/memory/log/spare-1', 'create');
  await spare.write(new Uint8Array(65_536).fill(0x5a), 0); // Torn while it was zeroed.
  await spare.close();
  await using node = await open({ machine: bank, dir: 'memory:', doors: { fs }, ...small });
  ok(node.recovery.isNew);
  strictEqual(await node.submit('deposit', { to: 'alice', amount: 1 }), 1);
});

test('node: the root is that of the content, the same before a kill and after the replay', async (t) => {
  const dir = await scratch(t);
  const data = join(dir, 'data');
  await using node = await open({ machine: bank, dir: data, ...small });
  const names = Array.from({ length: 300 }, (_, at) => `account ${at}`);
  await Promise.all(names.map((to) => node.submit('deposit', { to, amount: to.length })));
  const before = await node.root();
  await Promise.allSettled([
    node.submit('transfer', { from: 'account 1', to: 'account 2', amount: 1 }),
    node.submit('transfer', { from: 'account 1', to: 'account 2', amount: 1_000_000 }),
    ...names.slice(250).map((name) => node.submit('close', name)),
  ]);
  const changed = await node.root();
  ok(changed.index > before.index && changed.root !== before.root);

  // What a kill leaves: the files as they are, and nobody who closes them.
  await cp(data, join(dir, 'killed'), { recursive: true });
  await using again = await open({ machine: bank, dir: join(dir, 'killed'), ...small });
  deepStrictEqual(await again.root(), changed);

  // Back to the content of before, another way.
  await again.submit('transfer', { from: 'account 2', to: 'account 1', amount: 1 });
  await Promise.all(names.slice(250).map((to) => again.submit('deposit', { to, amount: to.length })));
  strictEqual((await again.root()).root, before.root);
});

test('node: commands go on while a root is computed, which is of the index it was asked at', async () => {
  await using node = await open({ dir: 'memory:', ...small });
  const commands = Array.from({ length: 5_000 }, (_, at) => node.submit('SET', `key ${at}`, 'before'));
  await Promise.all(commands);
  const { appliedIndex } = node.stats();
  const asked = node.root();
  await Promise.all(Array.from({ length: 5_000 }, (_, at) => node.submit('SET', `key ${at}`, 'after')));
  const { index, root } = await asked;
  strictEqual(index, appliedIndex);
  ok(node.stats().appliedIndex > index);
  await Promise.all(Array.from({ length: 5_000 }, (_, at) => node.submit('SET', `key ${at}`, 'before')));
  strictEqual((await node.root()).root, root);
  await node.close();
  await rejects(node.root(), code('TIDEMARK_NOT_OPEN'));
});

test('node: more changes than the tree may be behind are taken in, with back-pressure', async () => {
  await using node = await open({ dir: 'memory:', log: { segmentBytes: 64 * 1024 * 1024 } });
  const many = Array.from({ length: 1_000 }, (_, at) => `key ${at}`);
  let most = 0;
  for (let round = 0; round < 1_700; round++) {
    const words = many.flatMap((name) => [`${name} ${round}`, 'value']);
    await node.submit('MSET', ...(words as [string, string]));
    await node.drained();
    most = Math.max(most, node.stats().changesPending);
    ok(most <= 50 * 32 * 1024, `${most} changes wait`);
  }
  ok(most > 32 * 32 * 1024, `at most ${most} changes waited`);
  strictEqual(await node.query('DBSIZE'), 1_700_000);
  match((await node.root()).root, /^[0-9a-f]{64}$/);
  strictEqual(node.stats().changesPending, 0);
});
