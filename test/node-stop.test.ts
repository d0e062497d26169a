/**
 * How a node stops, and what everybody is told then: no promise stays open, no order is lost, no answer lies.
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { InvariantViolation } from '../src/base/assert.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { Batch } from '../src/ordering/batch.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';

const sums = machine({
  name: 'sums',
  tables: { sums: table<number>() },
  commands: {
    add({ sums: all }, amount: number) {
      const sum = (all.get('sum') ?? 0) + amount;
      all.set('sum', sum);
      return sum;
    },
    blob({ sums: all }, blob: Uint8Array) {
      all.set('blob', blob.length);
    },
    bug() {
      throw new InvariantViolation('planted');
    },
  },
  queries: { sum: ({ sums: all }) => all.get('sum') ?? 0 },
});

/** The same machine with the bug mended. */
const mended = machine({
  name: 'sums',
  tables: { sums: table<number>() },
  commands: {
    add: ({ sums: all }, amount: number) => {
      all.set('sum', (all.get('sum') ?? 0) + amount);
    },
    bug: () => null,
  },
  queries: { sum: ({ sums: all }) => all.get('sum') ?? 0 },
});

const code = (wanted: string) => (error: unknown) => isTidemarkError(error) && error.code === wanted;

function world(files = new LossyFileSystem({ seed: 1 })) {
  const clock = new ManualClock();
  const doors = { fs: files, clock, chance: new SeededRandom(files.callCount + 1) };
  const options = { dir: 'data', log: { segmentBytes: 64 * 1024 }, doors };
  return { files, clock, options };
}

test('stop F1: a close while a sync fails ends, and gives the directory back', async () => {
  const { files, options } = world();
  const node = await open({ machine: sums, ...options });
  files.inject({ kind: 'sync-loss', path: 'data/log/1-00000000000000000001.log', times: 1 });
  files.inject({ kind: 'sync-loss', times: 1 });
  const answer = rejects(node.submit('add', 1), code('TIDEMARK_LOG_POISONED'));
  await node.close();
  await answer;
  ok(code('TIDEMARK_LOG_POISONED')(await node.whenStopped()));
  files.healFaults();
  await (await open({ machine: sums, ...options })).close();
});

test('stop: a command in one entry with a bug is told that its fate is unknown, and so it is', async () => {
  const { options } = world();
  const node = await open({ machine: sums, ...options });
  const outcomes = await Promise.allSettled([
    node.submit('add', 1),
    node.submit('bug'),
    node.submit('add', 5),
  ]);
  deepStrictEqual(
    outcomes.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : outcome.reason.code)),
    [1, 'TIDEMARK_OUTCOME_UNKNOWN', 'TIDEMARK_OUTCOME_UNKNOWN'],
  );
  await rejects(node.submit('add', 7), code('TIDEMARK_NOT_OPEN'));
  await node.close();
  await using again = await open({ machine: mended, ...options });
  strictEqual(await again.query('sum'), 6);
});

test('stop: a sink that throws keeps nobody else waiting, and is heard of', () => {
  const batch = new Batch();
  const told: unknown[] = [];
  const settle = () => undefined;
  const fail = (error: unknown) => void told.push(error);
  batch.add(new Uint8Array(1), {
    settle,
    fail() {
      throw new Error('a sink that throws');
    },
  });
  batch.add(new Uint8Array(1), { settle, fail });
  batch.addRead({ read: () => undefined, fail });
  throws(() => batch.failRest('stopped'), /a sink that throws/);
  deepStrictEqual(told, ['stopped', 'stopped']);
});

test('stop F4: refusals on a full disk come in order, and reads between them are answered', async () => {
  const { files, clock, options } = world();
  const node = await open({ machine: sums, ...options });
  const seen: string[] = [];
  const note = (name: string) => (outcome: unknown) =>
    seen.push(`${name} ${isTidemarkError(outcome) ? outcome.code : String(outcome)}`);
  await node.submit('add', 1);
  files.capacityBytes = files.usedBytes;
  const large = new Uint8Array(100 * 1024);
  const waiting = [
    node.submit('add', 2).then(note('first'), note('first')),
    node.submit('blob', large).then(note('large'), note('large')),
    node.query('sum').then(note('sum'), note('sum')),
  ];
  await Promise.all(waiting);
  strictEqual(seen.length, 3);
  ok(seen[2]!.startsWith('sum '), seen.join(', '));
  ok(seen.includes('large TIDEMARK_DISK_FULL'), seen.join(', '));
  files.capacityBytes = Number.POSITIVE_INFINITY;
  for (let second = 0; second < 3; second++) {
    clock.advance(1100);
    await turn();
  }
  const sum = await node.query('sum');
  strictEqual(await node.submit('add', 10), sum + 10);
  await node.close();
});

test('stop F4: a close on a full disk ends, whatever is in flight', async () => {
  const { files, options } = world();
  const node = await open({ machine: sums, ...options });
  files.capacityBytes = files.usedBytes;
  const answer = node.submit('blob', new Uint8Array(100 * 1024)).catch((error: unknown) => error);
  await node.close();
  ok(code('TIDEMARK_DISK_FULL')(await answer));
});

test('stop: the log of somebody else is left alone', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  await mkdir(join(dir, 'log'));
  await writeFile(join(dir, 'log', 'app.log'), 'mine');
  await rejects(open({ machine: sums, dir }), code('TIDEMARK_NOT_A_DATA_DIRECTORY'));
  deepStrictEqual(await readdir(dir), ['log']);
  deepStrictEqual(await readdir(join(dir, 'log')), ['app.log']);
});

for (const { name, cut } of [
  { name: 'all of it', cut: 4096 },
  { name: 'half of it', cut: 20 * 4096 },
]) {
  test(`stop B8, E6: after a kill, a tail that lost ${name} some time after is refused`, async () => {
    const { files, clock, options } = world();
    const node = await open({ machine: sums, ...options, log: { segmentBytes: 1024 * 1024 } });
    for (let at = 0; at < 40; at++) await node.submit('add', 1);
    clock.advance(600); // The committed index goes on record.
    for (let at = 0; at < 20; at++) await turn();
    const left = files.kill();
    const path = 'data/log/1-00000000000000000001.log';
    left.damage(path, { kind: 'zero', from: cut, to: 1024 * 1024 });
    const after = world(left).options;
    await rejects(open({ machine: sums, ...after, log: { segmentBytes: 1024 * 1024 } }), (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED'));
      strictEqual(error.facts['lastLost'], 40);
      return true;
    });
  });
}
