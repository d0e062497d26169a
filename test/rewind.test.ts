/**
 * Views of the past and rewinds of one node, case by case (src/node/history.ts, past-state.ts, rewinder.ts):
 * what is refused, what stays, what is held meanwhile, and what a damaged checkpoint changes.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import type { CheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { VIEWS_MAX } from '../src/node/history.ts';
import { open } from '../src/node/open.ts';
import { restorePoint } from '../src/node/restore-point.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { v1, v2 } from './support/bank-versions.ts';
import { put, readDisk, readFile } from './support/disk-bytes.ts';
import { NEWEST_ONLY } from './support/test-log.ts';

const DIR = 'data';
const log = { segmentBytes: 64 * 1024 };
const WHOLE_LOG: CheckpointOptions = { compactLogAfterCheckpoint: false };

let seed = 1;

function doorsTo(fs: FileSystem, clock = new ManualClock()) {
  return { fs, clock, chance: new SeededRandom(seed++) };
}

function openKeys(fs: FileSystem, checkpoint = WHOLE_LOG, clock = new ManualClock()) {
  return open({ dir: DIR, log, checkpoint, doors: doorsTo(fs, clock) });
}

type Keys = Awaited<ReturnType<typeof openKeys>>;

async function textAt(node: Pick<Keys, 'query'>, key: string): Promise<string | null> {
  const value = (await node.query('GET', key)) as Uint8Array | null;
  return value === null ? null : Buffer.from(value).toString();
}

/** Entry n sets `key` to n. */
async function count(node: Keys, first: number, last: number): Promise<void> {
  for (let at = first; at <= last; at++) await node.submit('SET', 'key', at);
}

test('rewind: a view shows one command of a batch after the other', async () => {
  await using node = await openKeys(new MemoryFileSystem());
  await Promise.all(['a', 'b', 'c'].map((value) => node.submit('SET', 'key', value)));
  for (const [point, value] of [
    ['before 1', null],
    ['before 1.1', null],
    ['1.1', 'a'],
    ['1.2', 'b'],
    ['before 1.3', 'b'],
    ['1.3', 'c'],
    ['1', 'c'],
  ] as const) {
    await using view = await node.at(point);
    strictEqual(await textAt(view, 'key'), value, point);
  }
  await rejects(node.at('1.4'), { code: 'TIDEMARK_POINT_INVALID', message: /the entry has 3 commands/ });
});

test('rewind: a point that is not kept is refused with the nearest that are', async () => {
  const fs = new MemoryFileSystem();
  await using node = await openKeys(fs, { ...NEWEST_ONLY, checkpointsKept: 1 });
  await count(node, 1, 40);
  await node.checkpoint();
  await count(node, 41, 50);
  await rejects(node.at(12), {
    code: 'TIDEMARK_POINT_NOT_KEPT',
    message:
      /^12 cannot .* nothing is kept before it, the nearest point after it is 40 \(2023-.*from 40 to 50/,
    facts: { point: '12', afterIndex: 40, afterTime: '2023-11-14T22:13:20.000Z' },
  });
  await rejects(node.rewind('51'), { code: 'TIDEMARK_POINT_NOT_KEPT', message: /before it is 50/ });
  await rejects(node.at('40.1'), { code: 'TIDEMARK_POINT_NOT_KEPT' });
  await rejects(node.at('2010-01-01'), { code: 'TIDEMARK_POINT_NOT_KEPT', message: /after it is 40/ });
  await rejects(node.at('2099-01-01'), { code: 'TIDEMARK_POINT_NOT_KEPT', message: /before it is 50/ });
  await node.tag('forty', (await node.at(40)).index);
  await using tagged = await node.at('tag:forty');
  strictEqual(tagged.index, 40);
  await rejects(node.at('tag:nowhere'), { code: 'TIDEMARK_POINT_NOT_KEPT', message: /no tag tag:nowhere/ });
  await using view = await node.at(40);
  strictEqual(await textAt(view, 'key'), '40');
});

test('rewind: commands and reads that come while it is made see its state, in their order', async () => {
  await using node = await openKeys(new MemoryFileSystem());
  await count(node, 1, 20);
  const rewound = node.rewind(7);
  const seen: (string | null)[] = [];
  const answers: Promise<unknown>[] = [];
  for (let at = 0; at < 50; at++) {
    answers.push(
      node.submit('APPEND', 'key', '+'),
      textAt(node, 'key').then((text) => seen.push(text)),
    );
    await Promise.resolve();
  }
  await Promise.all(answers);
  const { madeBy, index, fromIndex } = await rewound;
  strictEqual(index, 7);
  const before = seen.filter((text) => text!.startsWith('20'));
  const after = seen.filter((text) => text!.startsWith('7'));
  strictEqual(before.length + after.length, 50);
  deepStrictEqual(seen, [...before, ...after], 'never back again');
  await using view = await node.at(madeBy!);
  strictEqual(await textAt(view, 'key'), '7');
  await using left = await node.at(fromIndex);
  strictEqual(await textAt(left, 'key'), before.at(-1) ?? '20');
});

test('rewind: one is made at a time', async () => {
  await using node = await openKeys(new MemoryFileSystem());
  await count(node, 1, 5);
  const first = node.rewind(3);
  await rejects(node.rewind(4), { code: 'TIDEMARK_BUSY', remedy: 'retry' });
  strictEqual((await first).index, 3);
  strictEqual((await node.rewind(4)).index, 4);
});

test('rewind: deadlines are those of the state that came back', async () => {
  const clock = new ManualClock();
  await using node = await openKeys(new MemoryFileSystem(), WHOLE_LOG, clock);
  await node.submit('SET', 'short', 'x', 'PX', 1000);
  await node.submit('SET', 'long', 'x', 'PX', 9000);
  await node.submit('PERSIST', 'short');
  await node.submit('DEL', 'long');
  await node.rewind(2);
  strictEqual(await node.query('PTTL', 'short'), 1000);
  clock.advance(10);
  clock.advance(990);
  strictEqual(await textAt(node, 'short'), null);
  strictEqual(await textAt(node, 'long'), 'x');
  await node.rewind(3);
  clock.advance(10);
  clock.advance(100_000);
  strictEqual(await textAt(node, 'short'), 'x', 'it was made to stay by then');
});

test('rewind: in the past TTL tells what was left then', async () => {
  const clock = new ManualClock();
  await using node = await openKeys(new MemoryFileSystem(), WHOLE_LOG, clock);
  await node.submit('SET', 'key', 'x', 'PX', 5000);
  clock.advance(60_000);
  strictEqual(await textAt(node, 'key'), null);
  await using view = await node.at(1);
  strictEqual(await view.query('PTTL', 'key'), 5000);
});

test('rewind: tables that a machine keeps stay as they are', async () => {
  const shop = machine({
    tables: { orders: table<string>(), paid: table<number>() },
    keptAtRewind: ['paid'],
    commands: {
      order: ({ orders }, id: string) => orders.set(id, 'placed'),
      pay: ({ paid }, id: string) => paid.set(id, (paid.get(id) ?? 0) + 1),
      refund: ({ paid }, id: string) => paid.delete(id),
    },
    queries: {
      isThere: ({ orders }, id: string) => orders.has(id),
      paid: ({ paid }, id: string) => paid.get(id) ?? 0,
    },
  });
  await using node = await open({ machine: shop, dir: DIR, log, doors: doorsTo(new MemoryFileSystem()) });
  await node.submit('order', 'a');
  await node.submit('pay', 'a');
  const { index } = await node.root();
  await node.submit('order', 'b');
  await node.submit('pay', 'b');
  await node.submit('refund', 'a');
  await node.rewind(index);
  deepStrictEqual(await Promise.all(['a', 'b'].map((id) => node.query('isThere', id))), [true, false]);
  deepStrictEqual(await Promise.all(['a', 'b'].map((id) => node.query('paid', id))), [0, 1]);
});

test('rewind: across an activation a copy is made, and the node is left as it is', async () => {
  const fs = new MemoryFileSystem();
  const first = await open({ machine: v1, dir: DIR, log, checkpoint: WHOLE_LOG, doors: doorsTo(fs) });
  await first.submit('deposit', { to: 'ada', amount: 10 });
  const { index, root } = await first.root();
  await first.close();
  await using node = await open({ machine: v2, dir: DIR, log, checkpoint: WHOLE_LOG, doors: doorsTo(fs) });
  await node.submit('deposit', { to: 'ada', amount: 10 });
  await rejects(node.rewind(index), { code: 'TIDEMARK_REWIND_REFUSED', message: /version 1 .* --into/ });
  strictEqual(await node.query('balance', 'ada'), 30);
  await using view = await node.at(index);
  strictEqual(await view.query('balance', 'ada'), 10, 'by the version of then');
  strictEqual((await view.root()).root, root);
  await restorePoint({ from: DIR, into: 'copy', to: index, machine: v2, log, doors: doorsTo(fs) });
  await using copy = await open({ machine: v1, dir: 'copy', log, doors: doorsTo(fs) });
  strictEqual(await copy.query('balance', 'ada'), 10, 'the program of then opens it');
});

test('rewind: a damaged checkpoint before the point is passed over, and named', async () => {
  const fs = new MemoryFileSystem();
  await using node = await openKeys(fs, { checkpointsKept: 5, compactLogAfterCheckpoint: false });
  for (let at = 0; at < 3; at++) {
    await node.submit('SET', `large ${at}`, new Uint8Array(2000).fill(at));
    await count(node, 10 * at, 10 * at + 9);
    await node.checkpoint();
  }
  const { index, root, file } = await node.checkpoint();
  await node.submit('SET', 'key', 'later');
  const path = `${DIR}/checkpoints/${file.replace(/idx$/, 'data')}`;
  const bytes = await readFile(fs, path);
  await put(fs, path, bytes.fill(0xff, bytes.length >> 1));
  await using view = await node.at(index);
  strictEqual((await view.root()).root, root);
  ok(view.checkpoint < index, `made from the checkpoint of entry ${view.checkpoint}`);
  match(view.warnings[0]!, new RegExp(`${file.replace(/idx$/, 'data')} is damaged .* that of entry`));
  const made = await node.rewind(index);
  strictEqual(made.root, root);
  strictEqual(made.warnings.length, 1);
});

test('rewind: what a view is made from stays while it is made, and goes later', async () => {
  const fs = new MemoryFileSystem();
  await using node = await openKeys(fs, { ...NEWEST_ONLY, checkpointsKept: 1 });
  for (let at = 0; at < 60; at++) await node.submit('SET', `k${at % 7}`, new Uint8Array(9000).fill(at));
  const { index, root } = await node.root();
  await node.submit('SET', 'more', 'x');
  const opening = node.at(index);
  await node.checkpoint();
  await node.submit('SET', 'more', 'y');
  await node.checkpoint();
  const view = await opening;
  strictEqual((await view.root()).root, root);
  await view.close();
  await node.submit('SET', 'more', 'z');
  await node.checkpoint();
  ok(node.stats().firstIndex > index, 'nothing is held any more');
});

test('rewind: only so many views are open at once, and a closed one answers nothing', async () => {
  const node = await openKeys(new MemoryFileSystem());
  await count(node, 1, 3);
  const views = await Promise.all(Array.from({ length: VIEWS_MAX }, () => node.at(2)));
  await rejects(node.at(2), { code: 'TIDEMARK_BUSY', remedy: 'retry' });
  await rejects(node.rewind(2), { code: 'TIDEMARK_BUSY' });
  await views[0]!.close();
  await views[0]!.close();
  await rejects(textAt(views[0]!, 'key'), { code: 'TIDEMARK_NOT_OPEN' });
  const another = await node.at(1);
  strictEqual(await textAt(another, 'key'), '1');
  await node.close();
  await rejects(node.at(1), { code: 'TIDEMARK_NOT_OPEN' });
  await rejects(node.rewind(1), { code: 'TIDEMARK_NOT_OPEN' });
});

test('rewind: a signal ends it, and nothing has changed', async () => {
  await using node = await openKeys(new MemoryFileSystem());
  await count(node, 1, 30);
  const before = await node.root();
  const reason = new Error('enough');
  await rejects(node.rewind(3, { signal: AbortSignal.abort(reason) }), reason);
  await rejects(node.at(3, { signal: AbortSignal.abort(reason) }), reason);
  deepStrictEqual(await node.root(), before);
  strictEqual((await node.rewind(3)).index, 3, 'and nothing is held');
});

test('rewind: a node that is closed in the middle of one makes it, or leaves it out', async () => {
  const fs = new MemoryFileSystem();
  const node = await openKeys(fs);
  await count(node, 1, 30);
  const rewound = node.rewind(3).then(
    () => '3',
    () => '30',
  );
  await node.close();
  await using again = await openKeys(fs);
  strictEqual(await textAt(again, 'key'), await rewound);
});

test('rewind: a copy leaves what it is made from as it is, and needs a directory of its own', async () => {
  const fs = new MemoryFileSystem();
  const node = await openKeys(fs);
  await count(node, 1, 30);
  await node.close();
  const before = await readDisk(fs, DIR);
  const options = { from: DIR, log, doors: doorsTo(fs) };
  strictEqual((await restorePoint({ ...options, into: 'copy', to: 12 })).index, 12);
  deepStrictEqual(await readDisk(fs, DIR), before);
  const copy = await readDisk(fs, 'copy');
  await rejects(restorePoint({ ...options, into: 'copy', to: 13 }), {
    code: 'TIDEMARK_NOT_A_DATA_DIRECTORY',
  });
  await rejects(restorePoint({ ...options, into: DIR, to: 13 }), { code: 'TIDEMARK_NOT_A_DATA_DIRECTORY' });
  deepStrictEqual(await readDisk(fs, 'copy'), copy);
  await rejects(restorePoint({ ...options, into: 'other', to: 13, machine: v1 }), {
    code: 'TIDEMARK_MACHINE_MISMATCH',
  });
  const dry = await restorePoint({ ...options, into: null, to: 12 });
  deepStrictEqual([dry.keysAdded, dry.keysChanged, dry.keysDeleted], [0, 1, 0]);
});
