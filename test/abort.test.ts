/**
 * AbortSignal: what ends, what goes on, and that a signal which lives long costs nothing. Method: a disk
 * whose syncs and reads wait until they are let go decides what is in flight.
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex } from '../src/base/positions.ts';
import { refusal } from '../src/engine/refusal.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { procedure } from '../src/procedures/procedure.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { InterposedFileSystem } from './support/interposed-file-system.ts';

const counter = machine({
  tables: { counts: table<number>() },
  errors: { tooMuch: refusal() },
  commands: {
    add({ counts }, by: number, { reject }) {
      if (by > 10) reject('tooMuch');
      counts.set('n', (counts.get('n') ?? 0) + by);
      return counts.get('n');
    },
  },
  queries: { count: ({ counts }) => counts.get('n') ?? 0 },
});

const log = { segmentBytes: 64 * 1024 };
const reason = new Error('changed my mind');
const aborted = AbortSignal.abort(reason);
const isReason = (error: unknown): boolean => error === reason;

/** A disk whose syncs of data can be held, and a node on it. */
function disk() {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  let letGo = (): void => undefined;
  return {
    fs,
    options: { machine: counter, dir: '/data', log, doors: { fs }, checkpoint: { checkpointOnClose: false } },
    hold: (op: string, where: string): void => {
      const held = new Promise<void>((resolve) => {
        letGo = resolve;
      });
      fs.whenReady = (call) => (call.op === op && call.path.includes(where) ? held : null);
    },
    letGo: (): void => {
      fs.whenReady = () => null;
      letGo();
    },
  };
}

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

test('abort: a signal that is aborted before the call keeps a command from being taken', async () => {
  await using node = await open({ machine: counter, dir: 'memory:', log });
  const late = node.with({ signal: aborted });
  await rejects(late.submit('add', 1), isReason);
  await rejects(late.attempt('add', 1), isReason);
  await rejects(late.query('count'), isReason);
  await rejects(late.root(), isReason);
  await rejects(late.checkpoint(), isReason);
  await rejects(late.whenLoaded(), isReason);
  await rejects(late.drained(), isReason);
  await rejects(late.sync(), isReason);
  await rejects(node.entries({ from: 1, signal: aborted }).next(), isReason);
  strictEqual(await node.query('count'), 0);
  strictEqual(node.stats().lastIndex, 0);
});

test('abort: without an abort every call is what it is without a signal', async () => {
  await using node = await open({ machine: counter, dir: 'memory:', log });
  const { signal } = new AbortController();
  const calls = node.with({ signal });
  strictEqual(await calls.submit('add', 1), 1);
  deepStrictEqual(await calls.attempt('add', 2), { kind: 'done', result: 3 });
  strictEqual((await calls.attempt('add', 11)).kind, 'rejected');
  await rejects(calls.submit('add', 11), (error) => counter.isRejection(error, 'tooMuch'));
  await rejects(calls.query('cuont' as 'count'), { code: 'TIDEMARK_COMMAND_UNKNOWN' });
  strictEqual(await calls.query('count'), 3);
  deepStrictEqual(await calls.root(), await node.root());
  strictEqual((await calls.checkpoint()).index, node.stats().lastIndex);
  await calls.whenLoaded();
  await calls.sync();
  await calls.drained();
  strictEqual(listenersOf(signal), 0);
});

for (const call of ['submit', 'attempt'] as const) {
  test(`abort: ${call} stops waiting for a command that was taken, which takes effect`, async () => {
    const { options, hold, letGo } = disk();
    await using node = await open(options);
    hold('sync-data', '/log/');
    const controller = new AbortController();
    const outcome = node.with(controller)[call]('add', 5);
    await turn();
    controller.abort(reason);
    await rejects(outcome, (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_OUTCOME_UNKNOWN'));
      deepStrictEqual(error.facts, { called: 'add' });
      return error.cause === reason;
    });
    letGo();
    strictEqual(await node.query('count'), 5);
  });
}

test('abort: a query behind a command stops waiting; the command does not', async () => {
  const { options, hold, letGo } = disk();
  await using node = await open(options);
  hold('sync-data', '/log/');
  const controller = new AbortController();
  const sum = node.submit('add', 5);
  const count = node.with(controller).query('count');
  controller.abort(reason);
  await rejects(count, isReason);
  letGo();
  strictEqual(await sum, 5);
});

test('abort: a checkpoint goes on when one of those who asked for it stops waiting', async () => {
  const { options, hold, letGo } = disk();
  await using node = await open(options);
  await node.submit('add', 5);
  hold('sync', '/checkpoints/');
  const controller = new AbortController();
  const impatient = node.with(controller).checkpoint();
  const patient = node.checkpoint();
  await turn();
  controller.abort(reason);
  await rejects(impatient, isReason);
  strictEqual(node.stats().checkpoints.last, null);
  letGo();
  strictEqual((await patient).index, 1);
});

test('abort: a procedure goes on when who asked for it stops waiting', async () => {
  let letGo: () => void = () => undefined;
  const held = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  const wait = procedure('wait', { recovery: 'forward' }, async (step) => {
    await step('hold', () => held);
    return 'done';
  });
  await using node = await open({ dir: 'memory:', procedures: [wait] });
  const controller = new AbortController();
  const given = node.with({ signal: controller.signal }).run(wait, undefined, { id: 'a' });
  while (node.procedures().length === 0) await new Promise((resolve) => setImmediate(resolve));
  controller.abort(new Error('enough'));
  await rejects(given, /enough/);
  letGo();
  strictEqual(await node.run(wait, undefined, { id: 'a' }), 'done');
});

test('abort: an iteration that waits for entries ends with the reason', async () => {
  await using node = await open({ machine: counter, dir: 'memory:', log });
  const controller = new AbortController();
  const entries = node.entries({ from: 1, follow: true, signal: controller.signal });
  const first = entries.next();
  await turn();
  strictEqual(listenersOf(controller.signal), 1);
  controller.abort(reason);
  await rejects(first, isReason);
  strictEqual(listenersOf(controller.signal), 0);
  deepStrictEqual(await entries.next(), { done: true, value: undefined });
});

test('abort: one signal for 10,000 commands has one listener at most, and none afterwards', async () => {
  await using node = await open({ machine: counter, dir: 'memory:', log });
  const { signal } = new AbortController();
  let listenersMax = 0;
  const submitted: Promise<unknown>[] = [];
  for (let count = 1; count <= 10_000; count++) {
    submitted.push(node.with({ signal }).submit('add', count % 2));
    listenersMax = Math.max(listenersMax, listenersOf(signal));
  }
  strictEqual(listenersMax, 1);
  await Promise.all(submitted);
  strictEqual(listenersOf(signal), 0);
  strictEqual(await node.with({ signal }).query('count'), 5000);
});

test('abort: what is no signal is refused', async () => {
  await using node = await open({ machine: counter, dir: 'memory:', log });
  const wrong = { from: 1, signal: {} as AbortSignal };
  throws(() => node.with(wrong), { code: 'TIDEMARK_OPTION_INVALID' });
  throws(() => node.entries(wrong), { code: 'TIDEMARK_OPTION_INVALID' });
  const bad = { machine: counter, dir: 'memory:', log, signal: 'now' as unknown as AbortSignal };
  await rejects(open(bad), { code: 'TIDEMARK_OPTION_INVALID' });
});

test('abort: open makes nothing when it is aborted before', async () => {
  const { fs, options } = disk();
  await rejects(open({ ...options, signal: aborted }), isReason);
  deepStrictEqual(fs.calls, []);
});

for (const checkpointAt of [0, 3]) {
  test(`abort: open lets go of everything while it replays behind entry ${checkpointAt}`, async () => {
    const { fs, options } = disk();
    const first = await open(options);
    for (let count = 1; count <= 6; count++) {
      await first.submit('add', 1);
      if (count === checkpointAt) await first.checkpoint();
    }
    await first.close();
    const controller = new AbortController();
    const onProgress = ({ done }: { done: number }): void => {
      if (done === 2) controller.abort(reason);
    };
    const changes = fs.changes().length;
    await rejects(open({ ...options, onProgress, signal: controller.signal }), isReason);
    deepStrictEqual(fs.changes().slice(changes), []);
    deepStrictEqual(fs.handles, []);
    await using node = await open(options);
    strictEqual(await node.query('count'), 6);
  });
}

test('abort: open lets go of everything between the replay and the activation of a version', async () => {
  const { fs, options } = disk();
  const first = await open(options);
  await first.submit('add', 1);
  await first.close();
  const second = machine({
    version: 2,
    previous: counter,
    tables: counter.tables,
    commands: {},
    migrate: () => ok(false, 'it is not tried'),
  });
  const controller = new AbortController();
  const onProgress = (): void => controller.abort(reason);
  const upgraded = { ...options, machine: second, onProgress, signal: controller.signal };
  await rejects(open(upgraded), isReason);
  deepStrictEqual(fs.handles, []);
  await using node = await open(options);
  strictEqual(node.stats().appliedIndex, toIndex(1));
});

test('abort: an open node does not look at the signal of its opening', async () => {
  const controller = new AbortController();
  await using node = await open({ machine: counter, dir: 'memory:', log, signal: controller.signal });
  controller.abort(reason);
  strictEqual(await node.submit('add', 1), 1);
  strictEqual(listenersOf(controller.signal), 0);
});
