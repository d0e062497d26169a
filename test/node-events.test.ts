/**
 * Events of a node (src/node/events.ts), and the figures beside them. Goal: whatever happens is told once, in
 * order, to everybody who reads; a reader that is slow, leaves or is aborted costs the node nothing. Method:
 * a node over a lossy disk and a clock that the test moves.
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { EVENTS_WAITING_MAX, type NodeEvent, NodeEvents } from '../src/node/events.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { FaultNode, LARGE_BYTES } from './support/fault-node.ts';

const NO_SHORTAGE = Number.POSITIVE_INFINITY;

/** All events until the end. */
async function listOf(events: AsyncIterable<NodeEvent>): Promise<NodeEvent[]> {
  const found: NodeEvent[] = [];
  for await (const event of events) found.push(event);
  return found;
}

function kindsOf(events: readonly NodeEvent[]): string[] {
  return events.map(({ kind }) => kind);
}

test('events: a checkpoint, a full segment and the stop, in order, to every reader', async () => {
  const subject = await FaultNode.start();
  const { node, clock } = subject;
  const readers = [listOf(node.events()), listOf(node.events())];
  for (let count = 0; count < 6; count++) await subject.step(LARGE_BYTES);
  const taken = await node.checkpoint();
  await subject.settle();
  clock.advance(10);
  await node.close();
  const [events, others] = await Promise.all(readers);
  deepStrictEqual(events, others);
  deepStrictEqual(kindsOf(events!), [
    'segment-sealed',
    'checkpoint-started',
    'checkpoint-taken',
    'stopping',
    'stopped',
  ]);
  for (const event of events!) {
    if (event.kind === 'checkpoint-taken') deepStrictEqual(event.checkpoint, taken);
    if (event.kind === 'checkpoint-started') strictEqual(event.index, taken.index);
    if (event.kind === 'segment-sealed') ok(event.lastIndex > 0 && event.lastIndex < taken.index);
    if (event.kind === 'stopped') deepStrictEqual([event.failure, event.at], [null, clock.now()]);
  }
});

test('events: the log is compacted behind the oldest checkpoint', async () => {
  const subject = await FaultNode.start();
  const events = listOf(subject.node.events());
  for (let round = 0; round < 4; round++) {
    for (let count = 0; count < 6; count++) await subject.step(LARGE_BYTES);
    ok(await subject.checkpoint());
  }
  const { firstIndex } = subject.node.stats();
  await subject.node.close();
  const compacted = (await events).filter(({ kind }) => kind === 'log-compacted');
  ok(compacted.length > 0);
  ok(compacted.every((event) => event.kind === 'log-compacted' && event.firstIndex <= firstIndex));
});

test('events: a full disk is told when it begins and when it ends, once', async () => {
  const subject = await FaultNode.start();
  const events = listOf(subject.node.events());
  const { files, clock, known } = subject;
  files.capacityBytes = files.usedBytes;
  await subject.stepUntilRefused(LARGE_BYTES);
  for (let second = 0; second < 3; second++) {
    clock.advance(1000);
    await subject.settle();
  }
  files.capacityBytes = NO_SHORTAGE;
  clock.advance(1000);
  await subject.settle();
  known.sent = known.acknowledged;
  ok(await subject.step(), 'commands are taken again');
  await subject.node.close();
  const told = (await events).filter(({ kind }) => kind.startsWith('shortage-'));
  deepStrictEqual(kindsOf(told), ['shortage-began', 'shortage-ended']);
  const [began, ended] = told;
  ok(began!.kind === 'shortage-began' && began!.code === 'TIDEMARK_DISK_FULL', JSON.stringify(began));
  ok(ended!.kind === 'shortage-ended' && ended!.tookMs >= 3000, JSON.stringify(ended));
});

test('events: a checkpoint that fails is told once, however many asked for it', async () => {
  const subject = await FaultNode.start();
  await subject.step();
  const events = listOf(subject.node.events());
  subject.files.inject({ kind: 'error', on: 'create', code: 'ENOSPC' });
  const [first, second, third] = [1, 2, 3].map(() => subject.node.checkpoint());
  await rejects(first!, { code: 'TIDEMARK_DISK_FULL' });
  deepStrictEqual(await second, await third);
  await subject.node.close();
  const kinds = kindsOf(await events).filter((kind) => kind.startsWith('checkpoint-'));
  deepStrictEqual(kinds, [
    'checkpoint-started',
    'checkpoint-failed',
    'checkpoint-started',
    'checkpoint-taken',
  ]);
});

test('events: old checkpoints that cannot be removed are told, and the new one counts', async () => {
  const subject = await FaultNode.start();
  const events = listOf(subject.node.events());
  subject.files.inject({ kind: 'error', on: 'remove', code: 'EIO' });
  for (let round = 0; round < 6; round++) {
    await subject.step(LARGE_BYTES);
    ok(await subject.checkpoint());
  }
  await subject.node.close();
  const failed = (await events).filter(({ kind }) => kind === 'cleanup-failed');
  strictEqual(failed.length, 1);
  ok(failed[0]!.kind === 'cleanup-failed' && failed[0]!.code === 'TIDEMARK_IO', JSON.stringify(failed));
});

test('events: a slow sync is told with its time, and shows in the figures', async () => {
  const subject = await FaultNode.start();
  const { node, files, clock } = subject;
  await subject.step();
  const events = listOf(node.events());
  files.holdSyncs();
  const answer = subject.step();
  while (node.stats().lastIndex === node.stats().durableIndex) await turn();
  clock.advance(700);
  files.releaseSyncs();
  ok(await answer);
  const { syncMs, commandMs, batchCommands, batchBytes, applyMs } = node.stats().distributions;
  deepStrictEqual([syncMs.max, syncMs.count, commandMs.max, commandMs.count], [700, 2, 700, 2]);
  deepStrictEqual([batchCommands.max, batchCommands.count, applyMs.count], [1, 2, 2]);
  ok(batchBytes.max > 0);
  await node.close();
  const slow = (await events).filter((event) => event.kind === 'slow-sync');
  strictEqual(slow.length, 1);
  ok(slow[0]!.tookMs === 700 && slow[0]!.bytes > 0);
});

test('events: each command counts with the time of the first of its batch', async () => {
  const subject = await FaultNode.start();
  const { node, files, clock } = subject;
  files.holdSyncs();
  const first = node.submit('step', { k: 1, blob: new Uint8Array(10) });
  while (node.stats().lastIndex === 0) await turn();
  const second = node.submit('step', { k: 2, blob: new Uint8Array(10) });
  clock.advance(40);
  const third = node.submit('step', { k: 3, blob: new Uint8Array(10) });
  clock.advance(10);
  files.releaseSyncs();
  await Promise.all([first, second, third]);
  const { commandMs, batchCommands } = node.distributions;
  deepStrictEqual([commandMs.count, commandMs.sum], [3, 150], 'the third was taken 40 ms later');
  deepStrictEqual([batchCommands.count, batchCommands.max, batchCommands.sum], [2, 2, 3]);
  await node.close();
});

test('events: an event loop that is late is told at most once a second, with the worst', async () => {
  const subject = await FaultNode.start();
  const { node, clock } = subject;
  const events = listOf(node.events());
  clock.advance(350); // 250 late, which is not too late.
  clock.advance(450); // 350 late.
  clock.advance(900); // 800 late, and the first was told just now.
  clock.advance(400); // 300 late, less than the one before it.
  for (let beat = 0; beat < 30; beat++) clock.advance(100);
  await node.close();
  const late = (await events).filter((event) => event.kind === 'late').map(({ lateMs }) => lateMs);
  deepStrictEqual(late, [350, 800]);
  strictEqual(node.stats().distributions.latenessMs.max, 800);
});

test('events: a node that fails says why, and so does the last event', async () => {
  const subject = await FaultNode.start();
  const events = listOf(subject.node.events());
  subject.files.inject({ kind: 'sync-loss' });
  strictEqual(await subject.step(), false);
  await subject.node.whenStopped();
  ok(subject.node.isStopping);
  const ends = (await events).filter(({ kind }) => kind.startsWith('stop'));
  deepStrictEqual(kindsOf(ends), ['stopping', 'stopped']);
  for (const event of ends) {
    ok(event.kind === 'stopping' || event.kind === 'stopped');
    strictEqual(event.failure?.code, 'TIDEMARK_LOG_POISONED');
  }
  await subject.node.close();
});

test('events: after the stop there are none', async () => {
  const subject = await FaultNode.start();
  await subject.node.close();
  deepStrictEqual(await listOf(subject.node.events()), []);
});

// ------------------------------------------------------------------------------------------------ readers

function late(lateMs: number): { readonly kind: 'late'; readonly lateMs: number } {
  return { kind: 'late', lateMs };
}

test('events: a slow reader loses the oldest, and is told how many', async () => {
  const events = new NodeEvents(new ManualClock());
  const reader = events.read({});
  for (let n = 0; n < EVENTS_WAITING_MAX + 5; n++) events.emit(late(n));
  const first = await reader.next();
  ok(first.done !== true && first.value.kind === 'missed' && first.value.count === 5);
  for (let n = 5; n < EVENTS_WAITING_MAX + 5; n++) {
    const { value } = await reader.next();
    ok(value?.kind === 'late' && value.lateMs === n, `${n}: ${JSON.stringify(value)}`);
  }
  const waiting = [reader.next(), reader.next()];
  events.emit(late(-1));
  events.emit(late(-2));
  deepStrictEqual(
    (await Promise.all(waiting)).map(({ value }) => value?.kind === 'late' && value.lateMs),
    [-1, -2],
  );
  events.end(null);
  deepStrictEqual(
    (await listOf(reader)).map(({ kind }) => kind),
    ['stopped'],
  );
  strictEqual((await reader.next()).done, true);
});

test('events: leaving the loop frees the reader', async () => {
  const events = new NodeEvents(new ManualClock());
  const controller = new AbortController();
  const reader = events.read({ signal: controller.signal });
  events.emit(late(1));
  events.emit(late(2));
  for await (const event of reader) {
    strictEqual(event.kind, 'late');
    break;
  }
  events.emit(late(3));
  strictEqual((await reader.next()).done, true, 'what waited is gone');
  strictEqual(getEventListeners(controller.signal, 'abort').length, 0);
});

test('events: an aborted signal ends the loop with its reason, at once or at the next event', async () => {
  const events = new NodeEvents(new ManualClock());
  const reason = new Error('enough');
  const waits = new AbortController();
  const waiting = listOf(events.read({ signal: waits.signal }));
  waits.abort(reason);
  await rejects(waiting, reason);
  const sleeps = new AbortController();
  const reader = events.read({ signal: sleeps.signal });
  events.emit(late(1));
  sleeps.abort(reason);
  await rejects(reader.next(), reason);
  strictEqual((await reader.next()).done, true);
  throws(() => events.read({ signal: sleeps.signal }), reason);
  strictEqual(getEventListeners(sleeps.signal, 'abort').length, 0);
});

test('events: a thousand readers on one signal leave nothing behind', async () => {
  const events = new NodeEvents(new ManualClock());
  const { signal } = new AbortController();
  for (let count = 0; count < 1000; count++) {
    const reader = events.read({ signal });
    if (count < 995) await reader.return?.();
  }
  strictEqual(getEventListeners(signal, 'abort').length, 5);
  events.end(null);
  strictEqual(getEventListeners(signal, 'abort').length, 0);
});
