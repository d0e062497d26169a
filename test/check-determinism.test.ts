/**
 * Development mode (`checkDeterminism`): what is found, what the error says, and that nothing of it gets into
 * the log. Method: machines with one mistake each, and a machine with none, held to what it does without.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError, TidemarkError } from '../src/base/errors.ts';
import { type CallableMachine, type CommandContext, Rejection } from '../src/engine/machine.ts';
import { refusal } from '../src/engine/refusal.ts';
import { type Table, table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const log = { segmentBytes: 64 * 1024 };
const checkpoint = { checkpointOnClose: false, compactLogAfterCheckpoint: false };
const checkDeterminism = true;

/** What outlives the commands: reset before each test that uses it. */
let outside = 0;
const keptTables: Table<unknown>[] = [];
const keptContexts: CommandContext[] = [];

const tables = { all: table<unknown>() };

const faulty = machine({
  tables,
  commands: {
    set: ({ all }, { key, value }: { key: string; value: unknown }) => all.set(key, value),
    countedResult: () => ++outside,
    countedWrite: ({ all }) => all.set('a', { n: ++outside }),
    countedKey: ({ all }) => all.set(`k${++outside}`, 1),
    countedDelete({ all }) {
      all.set('a', 1);
      if (++outside % 2 === 0) all.delete('a');
    },
    countedError() {
      throw new Rejection(`number ${++outside}`);
    },
    countedRefusal() {
      if (++outside % 2 === 0) throw new Rejection('every other time');
      return 'done';
    },
    onlyWithMoney: ({ all }) => (all.has('money') ? ++outside : 0),
    onlyLater: () => Math.max(3, ++outside),
    catches() {
      try {
        return Math.random();
      } catch {
        return 0;
      }
    },
    changesArgument(_, argument: { list: number[] }) {
      argument.list.push(4);
    },
    changesBytes(_, bytes: Uint8Array) {
      bytes[0] = 255;
    },
    keepsTable: ({ all }) => void keptTables.push(all),
    keepsContext: (_, __: undefined, context) => void keptContexts.push(context),
    later: (async ({ all }: { all: Table<unknown> }) => {
      await turn();
      all.set('a', 1);
    }) as unknown as () => void,
  },
  queries: {
    get: ({ all }, key: string) => all.get(key) ?? null,
    keeps: ({ all }) => void keptTables.push(all as unknown as Table<unknown>),
  },
});

type FaultyCommand = 'countedResult' | 'countedWrite' | 'countedKey' | 'countedDelete' | 'countedError';

for (const { name, says } of [
  { name: 'countedResult', says: /one run returned 1 and the other returned 2/ },
  {
    name: 'countedWrite',
    says: /at the key 'a' of table all one run wrote \{ n: 1 \} and the other wrote \{ n: 2 \}/,
  },
  { name: 'countedKey', says: /at the key 'k1' of table all one run wrote 1 and the other wrote nothing/ },
  { name: 'countedDelete', says: /at the key 'a' of table all one run wrote 1 and the other deleted it/ },
  { name: 'countedError', says: /one run threw Rejection: number 1 and the other threw Rejection: number 2/ },
  { name: 'countedRefusal', says: /one run returned 'done' and the other threw Rejection: every other time/ },
]) {
  test(`check determinism: ${name} is refused before it is logged, and the node goes on`, async () => {
    outside = 0;
    const fs = new MemoryFileSystem();
    const options = { machine: faulty, dir: '/data', doors: { fs }, log, checkpoint };
    const node = await open({ ...options, checkDeterminism });
    const { root } = await node.root();
    await rejects(node.submit(name as FaultyCommand), (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_NOT_DETERMINISTIC'));
      match(error.message, new RegExp(`^the command ${name} was run twice from the same state: `));
      match(error.message, says);
      match(error.message, /a variable outside of the tables/);
      deepStrictEqual(error.facts, { called: name, index: 1 });
      return true;
    });
    strictEqual(node.stats().lastIndex, 0);
    strictEqual((await node.root()).root, root);
    await node.submit('set', { key: 'a', value: 'good' });
    await node.close();
    await using again = await open({ ...options, checkDeterminism });
    strictEqual(again.recovery.commandsReplayed, 1);
    strictEqual(await again.query('get', 'a'), 'good');
  });
}

test('check determinism: a command is tried on the state that it will find', async () => {
  outside = 0;
  await using node = await open({ machine: faulty, dir: 'memory:', log, checkDeterminism });
  strictEqual(await node.submit('onlyWithMoney'), 0);
  const [set, spent] = await Promise.allSettled([
    node.submit('set', { key: 'money', value: 1 }),
    node.submit('onlyWithMoney'),
  ]);
  strictEqual(set.status, 'fulfilled');
  ok(spent.status === 'rejected' && isTidemarkError(spent.reason, 'TIDEMARK_NOT_DETERMINISTIC'));
  strictEqual(node.stats().lastIndex, 2);
});

test('check determinism: what shows only while it is applied stops the node; a restart replays', async () => {
  outside = 0;
  const fs = new MemoryFileSystem();
  const options = { machine: faulty, dir: '/data', doors: { fs }, log, checkpoint };
  const node = await open({ ...options, checkDeterminism });
  await rejects(node.submit('onlyLater'), (error) => {
    ok(isTidemarkError(error, 'TIDEMARK_NOT_DETERMINISTIC'));
    return error.facts['index'] === 1 && /returned 3 and the other returned 4/.test(error.message);
  });
  ok(isTidemarkError(await node.whenStopped(), 'TIDEMARK_NOT_DETERMINISTIC'));
  await rejects(node.submit('set', { key: 'a', value: 1 }), { code: 'TIDEMARK_NOT_DETERMINISTIC' });
  await node.close();
  await rejects(open({ ...options, checkDeterminism }), { code: 'TIDEMARK_NOT_DETERMINISTIC' });
  await using again = await open(options);
  strictEqual(again.recovery.commandsReplayed, 1);
});

test('check determinism: a log that was written without it is watched when it is replayed', async () => {
  outside = 0;
  const fs = new MemoryFileSystem();
  const options = { machine: faulty, dir: '/data', doors: { fs }, log, checkpoint };
  const node = await open(options);
  await node.submit('set', { key: 'a', value: 1 });
  strictEqual(await node.submit('countedResult'), 1);
  await node.close();
  await rejects(open({ ...options, checkDeterminism }), (error) => {
    ok(isTidemarkError(error, 'TIDEMARK_NOT_DETERMINISTIC'));
    return error.facts['index'] === 2 && error.facts['called'] === 'countedResult';
  });
  await using again = await open(options);
  strictEqual(await again.query('get', 'a'), 1);
});

const USES = {
  'Date.now()': { use: () => Date.now(), says: /context\.time/ },
  'new Date()': { use: () => new Date(), says: /context\.time/ },
  'Date()': { use: () => Date(), says: /context\.time/ },
  'performance.now()': { use: () => performance.now(), says: /context\.time/ },
  'process.hrtime()': { use: () => process.hrtime(), says: /context\.time/ },
  'Math.random()': { use: () => Math.random(), says: /context\.index/ },
  'crypto.randomUUID()': { use: () => crypto.randomUUID(), says: /context\.index/ },
  'crypto.getRandomValues()': {
    use: () => crypto.getRandomValues(new Uint8Array(1)),
    says: /context\.index/,
  },
  'setTimeout()': { use: () => setTimeout(() => undefined, 0), says: /pass what it brings/ },
  'setInterval()': { use: () => setInterval(() => undefined, 1000), says: /pass what it brings/ },
  'setImmediate()': { use: () => setImmediate(() => undefined), says: /pass what it brings/ },
  'fetch()': { use: () => fetch('http://localhost'), says: /pass what it brings/ },
} as const;

const using = machine({
  tables,
  commands: {
    use: (_, name: keyof typeof USES) => void USES[name].use(),
    bigint: () => process.hrtime.bigint(),
  },
  queries: { use: (_, name: keyof typeof USES) => void USES[name].use() },
});

/** Node adds properties without a name when `fetch` is first looked at. */
function namedProperties(of: object): [string, PropertyDescriptor][] {
  return Object.entries(Object.getOwnPropertyDescriptors(of));
}

test('check determinism: globals that differ each time are refused, with what to use instead', async () => {
  await using node = await open({ machine: using, dir: 'memory:', log, checkDeterminism });
  const before = [globalThis, Math, performance, process, crypto].map(namedProperties);
  for (const [name, { says }] of Object.entries(USES)) {
    const refused = (kind: string) => (error: unknown) => {
      ok(isTidemarkError(error, 'TIDEMARK_NOT_DETERMINISTIC'), name);
      ok(error.message.startsWith(`the ${kind} use uses ${name}, `), error.message);
      deepStrictEqual(error.facts, { called: 'use', used: name });
      if (kind === 'command') match(error.message, says);
      else match(error.message, /pass (the time|it|what it brings) as an argument/);
      return true;
    };
    await rejects(node.submit('use', name as keyof typeof USES), refused('command'));
    await rejects(node.query('use', name as keyof typeof USES), refused('query'));
  }
  await rejects(node.submit('bigint'), /process\.hrtime\(\)/);
  strictEqual(node.stats().lastIndex, 0);
  const after = [globalThis, Math, performance, process, crypto].map(namedProperties);
  deepStrictEqual(after, before);
  ok(Date.now() > 0 && Math.random() < 1);
});

test('check determinism: a machine that catches the error is refused all the same', async () => {
  await using node = await open({ machine: faulty, dir: 'memory:', log, checkDeterminism });
  await rejects(node.submit('catches'), /the command catches uses Math\.random\(\)/);
});

test('check determinism: dates that are given are values like others', async () => {
  const calendar = machine({
    tables: { days: table<Date>() },
    commands: {
      plan({ days }, { day, after }: { day: Date; after: number }) {
        const planned = new Date(day.getTime() + after);
        ok(planned instanceof Date && day instanceof Date);
        days.set('next', planned);
        return new Date(Date.parse('2026-11-21T00:00:00Z'));
      },
    },
    queries: { next: ({ days }) => days.get('next') },
  });
  await using node = await open({ machine: calendar, dir: 'memory:', log, checkDeterminism });
  deepStrictEqual(
    await node.submit('plan', { day: new Date(1000), after: 500 }),
    new Date('2026-11-21T00:00:00Z'),
  );
  deepStrictEqual(await node.query('next'), new Date(1500));
});

test('check determinism: a command that changes its argument is refused', async () => {
  await using node = await open({ machine: faulty, dir: 'memory:', log, checkDeterminism });
  const argument = { list: [1] };
  await rejects(node.submit('changesArgument', argument), {
    code: 'TIDEMARK_NOT_DETERMINISTIC',
    message: /changed its argument, from \{ list: \[ 1 \] \} to \{ list: \[ 1, 4 \] \}/,
  });
  await rejects(node.submit('changesBytes', new Uint8Array(2)), /changed its argument/);
  deepStrictEqual(argument, { list: [1] });
});

test('check determinism: a table and a context are of no use once the command has ended', async () => {
  keptTables.length = 0;
  keptContexts.length = 0;
  await using node = await open({ machine: faulty, dir: 'memory:', log, checkDeterminism });
  await node.submit('keepsTable');
  await node.submit('keepsContext', undefined);
  await node.query('keeps');
  const ended = (says: RegExp) => (error: unknown) =>
    isTidemarkError(error, 'TIDEMARK_COMMAND_ENDED') && says.test(error.message);
  for (const kept of keptTables.slice(0, -1)) {
    for (const use of [
      () => kept.get('a'),
      () => kept.has('a'),
      () => kept.set('a', 1),
      () => kept.delete('a'),
    ]) {
      throws(use, ended(/^a table of the command keepsTable was used after it had ended/));
    }
  }
  throws(() => keptTables.at(-1)!.get('a'), ended(/^a table of the query keeps was used/));
  for (const kept of keptContexts) {
    throws(() => kept.time, ended(/^the context of the command keepsContext was used/));
    throws(() => kept.index, ended(/^the context of the command keepsContext was used/));
  }
  strictEqual(await node.query('get', 'a'), null);
});

test('check determinism: an asynchronous command is refused; what it does later goes nowhere', async () => {
  await using node = await open({ machine: faulty, dir: 'memory:', log, checkDeterminism });
  await rejects(node.submit('later'), { code: 'TIDEMARK_COMMAND_ASYNC' });
  await turn();
  await turn();
  strictEqual(await node.query('get', 'a'), null);
});

test('check determinism: a migration that is not deterministic activates nothing', async () => {
  outside = 0;
  const fs = new MemoryFileSystem();
  const options = { dir: '/data', doors: { fs }, log, checkpoint };
  const node = await open({ ...options, machine: faulty });
  await node.submit('set', { key: 'a', value: 1 });
  await node.close();
  const next = (value: () => number) =>
    machine({
      version: 2,
      previous: faulty,
      tables,
      commands: {},
      queries: { get: ({ all }, key: string) => all.get(key) ?? null },
      migrate: ({ all }, before) => {
        for (const [key] of before.all.entries()) all.set(key, value());
      },
    });
  const bad = next(() => ++outside);
  await rejects(open({ ...options, machine: bad, checkDeterminism }), (error) => {
    ok(isTidemarkError(error, 'TIDEMARK_NOT_DETERMINISTIC'));
    return error.message.startsWith('the migration to version 2 was run twice');
  });
  const clocked = next(() => Date.now());
  await rejects(open({ ...options, machine: clocked, checkDeterminism }), /migration to version 2 uses Date/);
  await using good = await open({ ...options, machine: next(() => 7), checkDeterminism });
  strictEqual(await good.query('get', 'a'), 7);
  strictEqual(good.stats().lastIndex, 2, 'one activation, and nothing of those that failed');
});

const bank = machine({
  tables: { accounts: table<number>(), history: table<string[]>() },
  errors: { insufficientFunds: refusal<{ missing: number }>() },
  commands: {
    deposit({ accounts, history }, { to, amount }: { to: string; amount: number }, { time, index }) {
      accounts.set(to, (accounts.get(to) ?? 0) + amount);
      history.set(to, [...(history.get(to) ?? []), `${index} ${time > 0}`]);
      return new Map([[to, accounts.get(to)]]);
    },
    withdraw({ accounts }, { from, amount }: { from: string; amount: number }, { reject }) {
      const rest = (accounts.get(from) ?? 0) - amount;
      if (rest === 0) accounts.delete(from);
      else accounts.set(from, rest);
      if (rest < 0) reject('insufficientFunds', { missing: -rest });
      return rest;
    },
  },
  queries: { balance: ({ accounts }, who: string) => accounts.get(who) ?? 0 },
});

test('check determinism: a machine without a mistake does what it does without it', async (t) => {
  const random = new SeededRandom(seedOf(t));
  await using plain = await open({ machine: bank, dir: 'memory:', log });
  await using watched = await open({ machine: bank, dir: 'memory:', log, checkDeterminism });
  for (let at = 0; at < 300; at++) {
    const who = `account ${random.below(5)}`;
    const amount = random.between(1, 10);
    if (random.happens(0.5)) {
      const deposit = { to: who, amount };
      deepStrictEqual(await watched.submit('deposit', deposit), await plain.submit('deposit', deposit));
    } else {
      const withdraw = { from: who, amount };
      deepStrictEqual(await watched.attempt('withdraw', withdraw), await plain.attempt('withdraw', withdraw));
    }
    strictEqual(await watched.query('balance', who), await plain.query('balance', who));
  }
  strictEqual(watched.stats().keys, plain.stats().keys);
});

test('check determinism: order is kept, and closing answers what was taken', async () => {
  const node = await open({ machine: bank, dir: 'memory:', log, checkDeterminism });
  const answers: number[] = [];
  const calls: Promise<unknown>[] = [];
  for (let amount = 1; amount <= 20; amount++) {
    calls.push(node.submit('deposit', { to: 'a', amount: 1 }));
    calls.push(node.query('balance', 'a').then((found) => answers.push(found)));
  }
  const drained = node.drained();
  const closed = node.close();
  await rejects(node.submit('deposit', { to: 'a', amount: 1 }), { code: 'TIDEMARK_NOT_OPEN' });
  await Promise.all([...calls, closed, drained.catch(() => undefined)]);
  deepStrictEqual(
    answers,
    Array.from({ length: 20 }, (_, at) => at + 1),
  );
});

test('check determinism: a machine on bytes is watched like any other', async () => {
  let runs = 0;
  const encoded = Buffer.from('key');
  const onBytes: CallableMachine<{ put: { arguments: [boolean]; result: unknown } }, unknown> = {
    name: 'bytes',
    version: 1,
    apply(state, command) {
      const savepoint = state.savepoint();
      state.set(Buffer.from('tried'), Buffer.of(++runs));
      state.rollbackTo(savepoint);
      state.set(encoded, Buffer.of(command[0] === 1 ? runs : 0));
      return state.get(encoded);
    },
    describe: (command) => `put ${command[0]}`,
    encodeCall: (_, [isFaulty]) => Buffer.of(isFaulty === true ? 1 : 0),
    decodeCall: (command) => command[0],
    query: () => null,
    detach: (result) => result,
  };
  await using node = await open({ machine: onBytes, dir: 'memory:', log, checkDeterminism });
  deepStrictEqual(await node.submit('put', false), new Uint8Array([0]));
  await rejects(node.submit('put', true), (error) => {
    ok(error instanceof TidemarkError);
    return error.message.startsWith('the command put 1 was run twice');
  });
});

test('check determinism: it takes a machine, and true or false', async () => {
  const invalid = { code: 'TIDEMARK_OPTION_INVALID' };
  // @ts-expect-error the built-in machine needs no watching
  await rejects(open({ dir: 'memory:', checkDeterminism }), invalid);
  const wrong = { machine: bank, dir: 'memory:', checkDeterminism: 'yes' as unknown as boolean };
  await rejects(open(wrong), invalid);
});
