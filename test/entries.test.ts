/**
 * `node.entries`: every durable entry once, in order, decoded; waiting for more; what ends it; and what it
 * leaves behind. Method: small segments, so that reading crosses many; open files are counted.
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import { Rejection } from '../src/engine/machine.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { seedOf } from './support/seed.ts';

const notes = machine({
  tables: { notes: table<string>() },
  commands: {
    write: ({ notes: all }, { key, text }: { key: string; text: string }) => all.set(key, text),
    clear({ notes: all }, key: string) {
      if (!all.delete(key)) throw new Rejection('no such note');
    },
    nothing: () => undefined,
  },
});

const checkpoint = { checkpointOnClose: false };

function world() {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  return { fs, options: { dir: '/data', log: { segmentBytes: 64 * 1024 }, doors: { fs }, checkpoint } };
}

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = [];
  for await (const item of items) found.push(item);
  return found;
}

async function indices(entries: AsyncIterable<{ readonly index: number }>): Promise<number[]> {
  return (await all(entries)).map(({ index }) => index);
}

test('entries: commands with name and argument, rejected ones too, in their batches', async () => {
  await using node = await open({ machine: notes, ...world().options });
  await Promise.all([
    node.submit('write', { key: 'a', text: 'one' }),
    node.attempt('clear', 'b'),
    node.submit('nothing'),
  ]);
  await node.submit('write', { key: 'b', text: 'two' });
  const entries = await all(node.entries({ from: 1 }));
  deepStrictEqual(
    entries.map((entry) => entry.kind === 'commands' && [entry.index, entry.term, entry.commands]),
    [
      [
        1,
        0,
        [
          { name: 'write', argument: { key: 'a', text: 'one' } },
          { name: 'clear', argument: 'b' },
          { name: 'nothing', argument: undefined },
        ],
      ],
      [2, 0, [{ name: 'write', argument: { key: 'b', text: 'two' } }]],
    ],
  );
  ok(entries[0]!.time <= entries[1]!.time && entries[0]!.time > 1_700_000_000_000);
});

test('entries: the key-value machine gives names and words', async () => {
  await using node = await open(world().options);
  await node.submit('SET', 'greeting', 'hello');
  const [entry] = await all(node.entries({ from: 1 }));
  ok(entry?.kind === 'commands');
  deepStrictEqual(
    entry.commands.map(({ name, words }) => [name, ...words.map((word) => Buffer.from(word).toString())]),
    [['SET', 'greeting', 'hello']],
  );
});

test('entries: activations are a kind of their own, and earlier versions keep their commands', async () => {
  const { options } = world();
  const keepLog = { ...options, checkpoint: { ...checkpoint, compactLogAfterCheckpoint: false } };
  const first = await open({ machine: notes, ...keepLog });
  await first.submit('write', { key: 'a', text: 'one' });
  await first.close();
  const later = machine({
    version: 2,
    previous: notes,
    tables: notes.tables,
    commands: { erase: ({ notes: kept }, key: string) => kept.delete(key) },
  });
  await using node = await open({ machine: later, ...keepLog });
  await node.submit('erase', 'a');
  const entries = await all(node.entries({ from: 1 }));
  const plain = entries.map((entry) => ({ ...entry, time: 0, term: 0 }));
  const some = { time: 0, term: 0 };
  deepStrictEqual(plain, [
    {
      ...some,
      kind: 'earlier-commands',
      index: 1,
      version: 1,
      commands: [{ name: 'write', argument: { key: 'a', text: 'one' } }],
    },
    { ...some, kind: 'activation', index: 2, fromVersion: 1, toVersion: 2 },
    { ...some, kind: 'commands', index: 3, version: 2, commands: [{ name: 'erase', argument: 'a' }] },
  ]);
});

test('entries: any range, over many segments and pieces, in order and whole', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const { fs, options } = world();
  await using node = await open({ machine: notes, ...options });
  const texts: string[] = [];
  for (let at = 0; at < 120; at++) {
    texts.push('x'.repeat(random.between(0, 40_000)));
    await node.submit('write', { key: String(at), text: texts[at]! });
  }
  ok(texts.join('').length > 1024 * 1024, 'more than a piece');
  const files = await fs.list('/data/log');
  ok(files.filter((name) => name.endsWith('.log')).length > 10, 'many segments');
  for (let round = 0; round < 20; round++) {
    const from = random.between(1, 120);
    const last = random.between(from, 121);
    const read: string[] = [];
    for await (const entry of node.entries({ from, last })) {
      ok(entry.kind === 'commands' && entry.commands[0]?.name === 'write');
      strictEqual(entry.index, from + read.length);
      read.push(entry.commands[0].argument.text);
    }
    deepStrictEqual(read, texts.slice(from - 1, last));
  }
});

test('entries: only what is durable, up to the newest when it was called', async () => {
  const { fs, options } = world();
  await using node = await open({ machine: notes, ...options });
  await node.submit('nothing');
  const early = node.entries({ from: 1 });
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  fs.whenReady = ({ op }) => (op === 'sync-data' ? held : null);
  const second = node.submit('nothing');
  await turn();
  deepStrictEqual(await indices(node.entries({ from: 1, last: 2 })), [1]);
  letGo();
  await second;
  deepStrictEqual(await indices(early), [1]);
  deepStrictEqual(await indices(node.entries({ from: 1, last: 2 })), [1, 2]);
  deepStrictEqual(await indices(node.entries({ from: 3 })), [], 'nothing is there yet');
});

test('entries: follow waits for more, each entry once, and ends with the node', async () => {
  const node = await open({ machine: notes, ...world().options });
  const seen: number[] = [];
  let isCaughtUp = (): void => undefined;
  const following = (async () => {
    for await (const { index } of node.entries({ from: 1, follow: true })) {
      seen.push(index);
      if (index === 50) isCaughtUp();
    }
  })();
  const caughtUp = new Promise<void>((resolve) => {
    isCaughtUp = resolve;
  });
  for (let at = 0; at < 50; at++) await node.submit('nothing');
  await caughtUp;
  await node.close();
  await following;
  deepStrictEqual(
    seen,
    Array.from({ length: 50 }, (_, at) => at + 1),
  );
});

test('entries: follow ends by itself at `last`', async () => {
  await using node = await open({ machine: notes, ...world().options });
  const following = indices(node.entries({ from: 2, last: 3, follow: true }));
  for (let at = 0; at < 5; at++) await node.submit('nothing');
  deepStrictEqual(await following, [2, 3]);
});

test('entries: compaction below the position ends it, and says what is still there', async () => {
  const { options } = world();
  const kept = { ...checkpoint, checkpointsKept: 1, logAgeMs: 0 };
  await using node = await open({ machine: notes, ...options, checkpoint: kept });
  const text = 'x'.repeat(30_000);
  const write = (key: string): Promise<void> => node.submit('write', { key, text });
  for (let at = 0; at < 100; at++) await write(String(at));
  const slow = node.entries({ from: 1 });
  strictEqual((await slow.next()).value?.index, 1);
  await node.checkpoint();
  await write('more');
  const { firstIndex } = node.stats();
  ok(firstIndex > 50, `the log begins at ${firstIndex}`);
  const reached: number[] = [];
  await rejects(
    async () => {
      for await (const { index } of slow) reached.push(index);
    },
    (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_INDEX_NOT_RETAINED'));
      return error.facts['firstIndex'] === firstIndex && error.facts['durableIndex'] === 101;
    },
  );
  ok(reached.length < firstIndex - 1, 'it held one piece in memory, not the log');
  await rejects(all(node.entries({ from: 1 })), { code: 'TIDEMARK_INDEX_NOT_RETAINED' });
  deepStrictEqual(await indices(node.entries({ from: 101 })), [101]);
});

test('entries: leaving one early leaves no file open, nor does one that stands still', async () => {
  const { fs, options } = world();
  await using node = await open({ machine: notes, ...options });
  for (let at = 0; at < 40; at++) await node.submit('write', { key: 'a', text: 'x'.repeat(20_000) });
  const before = fs.handles.length;
  const reads = (): number => fs.calls.filter(({ op }) => op === 'open').length;
  const opened = reads();
  for await (const { index } of node.entries({ from: 1, follow: true })) if (index === 3) break;
  strictEqual(fs.handles.length, before);
  const slow = node.entries({ from: 1 });
  await slow.next();
  ok(reads() > opened, 'files were opened');
  strictEqual(fs.handles.length, before);
});

test('entries: closing ends one that is not at its end with an error, and closes its files', async () => {
  const { fs, options } = world();
  const node = await open({ machine: notes, ...options });
  for (let at = 0; at < 5; at++) await node.submit('nothing');
  const begun = node.entries({ from: 1 });
  await begun.next();
  let letGo = (): void => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  fs.whenReady = ({ op }) => (op === 'read' ? held : null);
  const reading = all(node.entries({ from: 1 }));
  reading.catch(() => undefined);
  const closed = node.close();
  await turn();
  letGo();
  await closed;
  deepStrictEqual(fs.handles, []);
  await rejects(all(begun), { code: 'TIDEMARK_NOT_OPEN' });
  await rejects(reading, { code: 'TIDEMARK_NOT_OPEN' });
  await rejects(all(node.entries({ from: 1 })), { code: 'TIDEMARK_NOT_OPEN' });
  deepStrictEqual(await all(node.entries({ from: 1, follow: true })), []);
});

test('entries: a node that fails ends those that wait with what stopped it', async () => {
  const { fs, options } = world();
  const node = await open({ machine: notes, ...options });
  await node.submit('nothing');
  const following = indices(node.entries({ from: 1, follow: true }));
  following.catch(() => undefined);
  fs.onCall = (call) => (call.op === 'sync-data' ? refuse(call, 'EIO') : undefined);
  await rejects(node.submit('nothing'), { code: 'TIDEMARK_LOG_POISONED' });
  await rejects(following, { code: 'TIDEMARK_LOG_POISONED' });
  fs.onCall = () => undefined;
  await node.close();
});

for (const options of [
  { from: 0 },
  { from: 1.5 },
  { from: 2, last: 1 },
  { from: 1, until: 2 },
  {} as { from: number },
]) {
  test(`entries: ${JSON.stringify(options)} is refused`, async () => {
    await using node = await open({ machine: notes, ...world().options });
    throws(() => node.entries(options), { code: 'TIDEMARK_OPTION_INVALID' });
  });
}

/** Never called: it is enough that the compiler refuses what is marked, and takes the rest. */
export async function compiles(): Promise<void> {
  const node = await open({ machine: notes, dir: 'memory:' });
  for await (const entry of node.entries({ from: 1 })) {
    // @ts-expect-error only some have commands
    void entry.commands;
    if (entry.kind !== 'commands') continue;
    for (const command of entry.commands) {
      // @ts-expect-error it depends on the name
      void command.argument.key;
      if (command.name === 'write') void command.argument.key.length;
      else if (command.name === 'clear') void command.argument.length;
      else strictEqual<undefined>(command.argument, undefined);
      // @ts-expect-error no such command
      void (command.name === 'erase');
    }
  }
}

test('entries: whoever closes the node with the last entry in hand has read them all', async () => {
  const node = await open({ machine: notes, ...world().options });
  for (const key of ['a', 'b', 'c']) await node.submit('write', { key, text: 'x' });
  const found: number[] = [];
  for await (const { index } of node.entries({ from: 1 })) {
    found.push(index);
    if (index === 3) await node.close();
  }
  deepStrictEqual(found, [1, 2, 3]);
});
