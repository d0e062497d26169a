/** `machine({...})`: what it takes and refuses, at run time and at compile time. */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { type CallableMachine, Rejection } from '../src/engine/machine.ts';
import { type TableRange, table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const small = { log: { segmentBytes: 64 * 1024 } };
const code = (wanted: string) => (error: unknown) => isTidemarkError(error) && error.code === wanted;

const empty = { tables: {}, commands: {} };

for (const { what, name, version } of [
  { what: 'an empty name', name: '', version: 1 },
  { what: 'a name of 65 characters', name: 'x'.repeat(65), version: 1 },
  { what: 'a name with a line break', name: 'two\nlines', version: 1 },
  { what: 'a name with an escape character', name: '\u001b[31mred', version: 1 },
  { what: 'a name with C1 control character', name: 'next\u0085line', version: 1 },
  { what: 'a name with half a character', name: 'half \ud83d', version: 1 },
  { what: 'a name that is no text', name: 5 as unknown as string, version: 1 },
  { what: 'version 0', name: 'it', version: 0 },
  { what: 'a version that is no integer', name: 'it', version: 1.5 },
  { what: 'a version that is text', name: 'it', version: '2' as unknown as number },
  { what: 'a version beyond the integers', name: 'it', version: 2 ** 53 },
]) {
  test(`typed machine: ${what} is refused, hand-written or not, before anything is made`, async () => {
    throws(() => machine({ name, version, ...empty }), code('TIDEMARK_OPTION_INVALID'));
    const fs = new MemoryFileSystem();
    const byHand: CallableMachine<unknown, unknown> = { ...machine(empty), name, version };
    await rejects(
      open({ machine: byHand, dir: '/data', doors: { fs }, ...small }),
      code('TIDEMARK_OPTION_INVALID'),
    );
    strictEqual(await fs.stat('/data'), null);
  });
}

for (const { name, version } of [
  { name: 'x', version: 1 },
  { name: 'x'.repeat(64), version: 2 ** 53 - 1 },
  { name: 'Bücher 😀', version: 7 },
]) {
  test(`typed machine: ${name}, version ${version}, is taken and found again`, async () => {
    const fs = new MemoryFileSystem();
    for (const isNew of [true, false]) {
      const taken = machine({ name, version, ...empty });
      await using node = await open({ machine: taken, dir: '/data', doors: { fs }, ...small });
      deepStrictEqual(node.recovery.isNew, isNew);
    }
  });
}

test('typed machine: a key with half a character is refused, not taken for another one', async () => {
  const keys = machine({
    tables: { all: table<number>() },
    commands: { set: ({ all }, key: string) => all.set(key, 1) },
    queries: { has: ({ all }) => [all.has('\ufffd'), all.has('\ude00\ud83d')] },
  });
  await using node = await open({ machine: keys, dir: 'memory:', ...small });
  await rejects(node.submit('set', '\ud83d'), code('TIDEMARK_VALUE_UNENCODABLE'));
  await node.submit('set', '😀');
  await rejects(node.query('has'), code('TIDEMARK_VALUE_UNENCODABLE'));
});

test('typed machine: a query lists a table in the order of keys, whatever waits for the tree', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const words = machine({
    tables: { wor: table<number>(), words: table<number>(), worse: table<number>() },
    commands: {
      set({ wor, words: all, worse }, [key, value]: [string, number]) {
        for (const one of [wor, all, worse]) one.set(key, value);
      },
      delete: ({ words: all }, key: string) => all.delete(key),
    },
    queries: { list: ({ words: all }, range: TableRange) => [...all.entries(range)] },
  });
  const fs = new MemoryFileSystem();
  const wanted = new Map<string, number>();
  const textOf = (): string =>
    Array.from({ length: random.below(4) }, () =>
      random.pick(['a', 'b', 'é', '\u0000', '\uffff', '😀']),
    ).join('');
  const byBytes = ([one]: [string, number], [other]: [string, number]): number =>
    Buffer.compare(Buffer.from(one), Buffer.from(other));
  for (let run = 0; run < 3; run++) {
    await using node = await open({ machine: words, dir: '/data', doors: { fs }, ...small });
    for (let step = 0; step < 200; step++) {
      const key = textOf();
      if (random.below(3) === 0) {
        strictEqual(await node.submit('delete', key), wanted.delete(key));
      } else {
        await node.submit('set', [key, step]);
        wanted.set(key, step);
      }
      if (step % 50 === 0) await node.root();
      const [prefix, from, to] = [textOf(), textOf(), textOf()];
      const range = random.pick<TableRange>([
        {},
        { prefix },
        { from },
        { to },
        { from, to },
        { prefix, from, to },
      ]);
      const isIn = ([at]: [string, number]): boolean =>
        at.startsWith(range.prefix ?? '') &&
        byBytes([at, 0], [range.from ?? '', 0]) >= 0 &&
        (range.to === undefined || byBytes([at, 0], [range.to, 0]) < 0);
      deepStrictEqual(await node.query('list', range), [...wanted].filter(isIn).sort(byBytes));
    }
  }
});

test('typed machine: a list kept beyond its query ends with an error, not with other data', async () => {
  const kept: Generator<[string, number], void>[] = [];
  const keys = machine({
    tables: { all: table<number>() },
    commands: { set: ({ all }, key: string) => all.set(key, 1) },
    queries: { keep: ({ all }) => void kept.push(all.entries()) },
  });
  await using node = await open({ machine: keys, dir: 'memory:', ...small });
  for (const key of ['a', 'b', 'c']) await node.submit('set', key);
  await node.query('keep');
  deepStrictEqual(kept[0]!.next().value, ['a', 1]);
  await node.submit('set', 'bb');
  throws(() => [...kept[0]!], /the state does not change while it is iterated/);
});

test('typed machine: tables serve many commands, and no command leaves anything in them', async () => {
  const seen = new Set<unknown>();
  const sneaky = machine({
    tables: { all: table<number>() },
    commands: {
      look: (tables) => void seen.add(tables).add(tables.all),
      smuggle: (tables) => void Object.assign(tables.all, { get: () => 5 }),
      plant: (tables) => void Object.assign(tables, { all: null }),
    },
    queries: { get: ({ all }) => all.get('a') ?? null },
  });
  await using node = await open({ machine: sneaky, dir: 'memory:', ...small });
  await using other = await open({ machine: sneaky, dir: 'memory:', ...small });
  await Promise.all([node.submit('look'), node.submit('look')]);
  strictEqual(seen.size, 2);
  await other.submit('look');
  strictEqual(seen.size, 4);
  await rejects(node.submit('smuggle'), TypeError);
  await rejects(node.submit('plant'), TypeError);
  strictEqual(await node.query('get'), null);
});

class OwnRangeError extends RangeError {}

class OwnError extends Error {}

const reckless = machine({
  tables: {},
  commands: {
    recurse() {
      const deeper = (): number => 1 + deeper();
      return deeper();
    },
    longText: () => 'x'.repeat(2 ** 29).repeat(2 ** 20).length,
    longArray: (_, length: number) => {
      const items: number[] = [];
      items.length = length;
    },
    bytes: () => new Uint8Array(2 ** 53 - 1).length,
    digits: (_, digits: number) => (1).toFixed(digits),
    own() {
      throw new RangeError('of my own');
    },
    derived() {
      throw new OwnRangeError('of my own');
    },
    refuse() {
      throw new Rejection('no');
    },
    fail() {
      throw new OwnError('no');
    },
  },
});

for (const name of ['recurse', 'longText', 'bytes'] as const) {
  test(`typed machine: running out stops the node: ${name}`, async () => {
    const node = await open({ machine: reckless, dir: 'memory:', ...small });
    await rejects(node.submit(name), code('TIDEMARK_OUTCOME_UNKNOWN'));
    ok((await node.whenStopped()) instanceof RangeError);
    await node.close();
  });
}

test('typed machine: a Rejection, and an error of the machine, are results', async () => {
  await using node = await open({ machine: reckless, dir: 'memory:', ...small });
  await rejects(node.submit('refuse'), Rejection);
  await rejects(node.submit('fail'), OwnError);
  await rejects(node.submit('own'), RangeError);
  await rejects(node.submit('derived'), OwnRangeError);
  await rejects(node.submit('digits', 101), RangeError);
  await rejects(node.submit('longArray', -1), RangeError);
});

/** Never called: it is enough that the compiler refuses what is marked, and takes the rest. */
export async function compiles(): Promise<void> {
  const tables = { all: table<number>(), loose: table<unknown>() };
  machine({
    tables,
    commands: {
      now: ({ all }, key: string) => all.set(key, 1),
      // @ts-expect-error a command cannot wait
      later: async ({ all }, key: string) => all.set(key, 1),
      // @ts-expect-error not even sometimes
      sometimes: ({ all }, key: string) => all.get(key) ?? Promise.resolve(1),
      // @ts-expect-error nor may it return what only looks like a promise
      thenable: (): PromiseLike<number> => Promise.resolve(1),
    },
    queries: {
      // @ts-expect-error a query cannot wait either
      later: async ({ all }, key: string) => all.get(key),
    },
  });
  const counter = machine({
    tables,
    commands: {
      add: ({ all }, { key, by }: { key: string; by: number }) => {
        all.set(key, (all.get(key) ?? 0) + by);
        return all.get(key);
      },
    },
    queries: {
      of: ({ all }, key: string) => all.get(key),
      loose: ({ loose }, key: string) => loose.get(key),
      any: () => JSON.parse('1'),
    },
  });
  const node = await open({ machine: counter, dir: 'memory:' });
  const sum: number | undefined = await node.submit('add', { key: 'a', by: 1 });
  const found: number | undefined = await node.query('of', 'a');
  const loose: unknown = await node.query('loose', 'a');
  const any: string = await node.query('any');
  deepStrictEqual([sum, found, loose, any], []);
  // @ts-expect-error the argument is typed
  await node.submit('add', { key: 'a' });

  const mute = await open({ machine: machine({ tables, commands: { nothing: () => 1 } }), dir: 'memory:' });
  const one: number = await mute.submit('nothing');
  // @ts-expect-error a machine without queries answers none
  deepStrictEqual(await mute.query('anything'), one);

  const keyValue = await open({ dir: 'memory:' });
  await keyValue.submit('SET', 'a', 1);
  await keyValue.query('MGET', 'a', 'b');
  // @ts-expect-error no such command
  await keyValue.submit('SETT', 'a', 1);
  // @ts-expect-error a read is no command
  await keyValue.submit('GET', 'a');
  // @ts-expect-error a write is no query
  await keyValue.query('SET', 'a', 1);
}
