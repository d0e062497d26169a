/**
 * A node whose disk fails while it takes checkpoints (checklist F1, F4, F9, G1, G2, L1). Goal: who asked is
 * told, the node goes on where the log is well, and older checkpoints and the log are as they were. Method:
 * every call of taking, removing and compacting fails once; then a kill, a start and a power cut.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import type { IoCall } from '../src/testing/lossy-faults.ts';
import { checkNothingLost, codeOf, FaultNode, LARGE_BYTES } from './support/fault-node.ts';
import { SLOTS } from './support/node-history.ts';

/** Small enough that the log is the least of the work. */
const BLOB_BYTES = 2000;

/** Three full checkpoints, of which two are kept, with commands between them. */
async function work(subject: FaultNode): Promise<void> {
  for (let count = 0; count < 3; count++) {
    for (let step = 0; step < SLOTS; step++) if (!(await subject.step(BLOB_BYTES))) return;
    if (!(await subject.checkpoint())) return;
    await subject.settle();
  }
}

/** Those calls of the workload that a test may make fail, and that are the checkpoints' own. */
async function callsOfCheckpoints(): Promise<readonly { call: IoCall; passes: number }[]> {
  const probe = await FaultNode.start();
  const first = probe.files.callCount;
  await work(probe);
  deepStrictEqual([probe.failures, probe.checkpointFailures], [[], []]);
  const passed = new Map<string, number>();
  const found: { call: IoCall; passes: number }[] = [];
  for (const call of probe.files.calls.filter(({ at }) => at > first)) {
    const key = `${call.op} ${call.path}`;
    const passes = passed.get(key) ?? 0;
    passed.set(key, passes + 1);
    const isOwn = call.path.includes('data/checkpoints');
    if (isOwn && call.op !== 'close') found.push({ call, passes });
  }
  await probe.node.close();
  return found;
}

/** Whether it is one of the calls from the first removal on: by then the last checkpoint is durable. */
function isRemoval(call: IoCall, calls: readonly { call: IoCall }[]): boolean {
  const first = calls.findIndex(({ call: { op } }) => op === 'remove');
  return calls.findIndex((other) => other.call === call) >= first - 1;
}

const CODES = ['EIO', 'ENOSPC', 'EMFILE'] as const;

test('node G1, L1: an error at any call of a checkpoint is told, and costs nothing', async (t) => {
  const calls = await callsOfCheckpoints();
  let refused = 0;
  // Each call fails in one of these ways, the next call in the next one.
  for (const [at, { call, passes }] of calls.entries()) {
    const code = CODES[at % CODES.length]!;
    const where = `${code} at ${call.op} ${call.path}`;
    const subject = await FaultNode.start();
    const { node } = subject;
    subject.files.inject({ kind: 'error', on: call.op, code, path: call.path, after: passes });
    await work(subject);
    deepStrictEqual([subject.failures, subject.stopped], [[], null], `${where}: the node goes on`);
    const { failure } = node.stats().checkpoints;
    ok(failure !== null, `${where}: the figures tell`);
    const [error] = subject.checkpointFailures;
    if (error !== undefined) {
      refused++;
      ok(isTidemarkError(error) && error.message === failure, where);
    } else ok(isRemoval(call, calls), `${where}: only what is removed later is no reason to refuse`);
    ok(await subject.step(), 'commands go on');
    ok(
      await subject.checkpoint(),
      `${where}: and so do checkpoints: ${String(subject.checkpointFailures.at(-1))}`,
    );
    strictEqual(node.stats().checkpoints.failure, null, `${where}: it is over`);
    await checkNothingLost(subject);
  }
  t.diagnostic(`${calls.length} calls, ${refused} refused checkpoints`);
  ok(refused > 50 && refused < calls.length, 'what removes old ones is among them');
});

/** Of the checkpoint of entry 1; the clock stands still. */
const FIRST_STEM = 'data/checkpoints/1-20231114_221320_1';

test('node G1, F1: an error of the last checkpoint, at close, is told by the figures', async () => {
  for (const { on, path } of [
    { on: 'list', path: 'data/checkpoints' },
    { on: 'create', path: `${FIRST_STEM}.data` },
    { on: 'write', path: `${FIRST_STEM}.data` },
    { on: 'sync', path: `${FIRST_STEM}.data` },
    { on: 'rename', path: `${FIRST_STEM}.idx.part` },
  ] as const) {
    const subject = await FaultNode.start();
    ok(await subject.step(LARGE_BYTES));
    subject.files.inject({ kind: 'error', on, code: 'EIO', path });
    await subject.node.close();
    const { failure } = subject.node.stats().checkpoints;
    ok(failure?.includes('EIO'), `${on}: ${failure}`);
    strictEqual(subject.stopped, null);
    const next = subject.successor();
    await next.open();
    deepStrictEqual([next.node.recovery.checkpoint, next.node.recovery.entriesReplayed], [null, 1]);
    await next.node.close();
    strictEqual(next.node.stats().checkpoints.last?.index, 1, 'now there is one');
  }
});

// ---------------------------------------------------------------------------------------------- starting

/** What a start may have to do: use an older checkpoint, replay, set damage aside, remove a leftover. */
async function roughDisk(): Promise<FaultNode> {
  const subject = await FaultNode.start();
  for (let count = 0; count < 2; count++) {
    for (let step = 0; step < 3; step++) ok(await subject.step(LARGE_BYTES));
    ok(await subject.checkpoint());
  }
  ok(await subject.step(LARGE_BYTES));
  await subject.settle();
  const { node } = subject;
  const newest = node.stats().checkpoints.last!.file;
  const left = subject.killed();
  left.files.damage(`data/checkpoints/${newest}`, { kind: 'flip-bit', offset: 100, bit: 3 });
  for (const name of ['1-20231114_221320_9.data', '1-20231114_221320_9.idx.part']) {
    const file = await left.files.open(`data/checkpoints/${name}`, 'create');
    await file.write(new Uint8Array(5000).fill(1), 0);
    await file.close();
  }
  return left;
}

/** Calls that a start made and never ended: files left open, and the lock. */
function leftOpen(calls: readonly IoCall[], failed: IoCall): number {
  const count = (...ops: readonly string[]): number => calls.filter(({ op }) => ops.includes(op)).length;
  const isOpening = ['open', 'create', 'lock'].includes(failed.op);
  return count('open', 'create', 'lock') - count('close', 'unlock') - Number(isOpening);
}

test('node B9, F5, G2, G5: an error at any call of a start: it starts, or says why not', async (t) => {
  const probe = (await roughDisk()).killed();
  const calls: { call: IoCall; passes: number }[] = [];
  const first = probe.files.callCount;
  await probe.open();
  await probe.node.whenLoaded();
  strictEqual(probe.node.recovery.warnings.length, 5, probe.node.recovery.warnings.join('; '));
  const passed = new Map<string, number>();
  for (const call of probe.files.calls.filter(({ at, op }) => at > first && op !== 'close')) {
    const key = `${call.op} ${call.path}`;
    calls.push({ call, passes: passed.get(key) ?? 0 });
    passed.set(key, (passed.get(key) ?? 0) + 1);
  }
  const outcomes: Record<string, number> = {};
  for (const [at, { call, passes }] of calls.entries()) {
    const subject = await roughDisk();
    const { callCount } = subject.files;
    const code = CODES[at % CODES.length]!;
    const where = `${code} at ${call.op} ${call.path}`;
    subject.files.inject({ kind: 'error', on: call.op, code, path: call.path, after: passes });
    const outcome = await codeOf(openInTime(subject));
    outcomes[outcome ?? 'started'] = (outcomes[outcome ?? 'started'] ?? 0) + 1;
    if (outcome !== null) {
      await subject.settle();
      const made = subject.files.calls.filter(({ at: number }) => number > callCount);
      strictEqual(leftOpen(made, call), 0, `${where}: nothing is left open`);
    }
    subject.files.healFaults();
    const next = subject.killed();
    await next.check().catch((error: unknown) => {
      throw new Error(`${where}, ${outcome}: ${String(error)}`, { cause: error });
    });
  }
  t.diagnostic(`${calls.length} calls: ${JSON.stringify(outcomes)}`);
  ok(outcomes['started']! > 3 && outcomes['TIDEMARK_IO']! > 3);
});

/** Some failures are waited out. */
async function openInTime(subject: FaultNode): Promise<void> {
  let isDone = false;
  const opening = subject.open().finally(() => (isDone = true));
  opening.catch(() => undefined);
  for (let turns = 0; !isDone && turns < 5000; turns++) {
    await turn();
    if (turns > 30) subject.clock.advance(100);
  }
  ok(isDone, 'it comes to an end');
  return opening;
}
