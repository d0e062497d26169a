/**
 * A node whose disk fails while it runs (checklist F1–F5, F8, F9, D7, L1). Goal: a failure is told to all
 * it concerns, nothing is acknowledged after it, and nothing acknowledged is lost. Method: every call of a
 * workload fails once, on a disk that claims success afterwards; then a kill, a start and a power cut.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import { local, open } from '../src/node/open.ts';
import type { IoCall, IoOperation } from '../src/testing/lossy-faults.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { checkNothingLost, checkPoisoned, codeOf, FaultNode, LARGE_BYTES } from './support/fault-node.ts';
import { history } from './support/node-history.ts';

/** Longer than the log waits before it asks for space again, in milliseconds. */
const RETRY_MS = 1000;

/** Longer than the log waits before it proves its last batch, in milliseconds. */
const IDLE_MS = 250;

/** Enough commands to rotate twice, to make spares, and to go idle; ends at the first failure. */
async function work(subject: FaultNode): Promise<void> {
  for (let count = 0; count < 10; count++) {
    if (!(await subject.step(count % 2 === 0 ? LARGE_BYTES : 10))) return;
    if (!(await subject.step(LARGE_BYTES))) return;
    if (count % 4 !== 3) continue;
    await subject.settle();
    subject.clock.advance(IDLE_MS);
    await subject.settle();
  }
  await subject.settle();
}

// ------------------------------------------------------------------------------------------- F1 to F3, L1

test('node F1, F2: one sync that fails poisons the node for good, and nothing is lost', async (t) => {
  let poisoned = 0;
  for (let passes = 0; ; passes++) {
    const subject = await FaultNode.start({ seed: 1 + passes });
    subject.files.inject({ kind: 'sync-loss', after: passes });
    await work(subject);
    // Syncs of the status, when the tail changes, and of spares, in the background, count as well.
    if (subject.stopped === null) break;
    poisoned++;
    await checkPoisoned(subject);
    ok(subject.failures.every((error) => isTidemarkError(error, 'TIDEMARK_LOG_POISONED')));
    await checkNothingLost(subject);
  }
  t.diagnostic(`${poisoned} syncs failed`);
  ok(poisoned > 30);
});

test('node F1: all that is in flight or waits is rejected; a close frees the directory', async () => {
  const subject = await FaultNode.start();
  const { files, node } = subject;
  files.holdSyncs();
  const steps = [subject.step()];
  await turn();
  strictEqual(files.heldSyncs.length, 1, 'the first batch is in flight');
  const others = [node.submit('refuse'), node.query('last')].map((promise) => codeOf(promise));
  await subject.settle();
  files.heldSyncs[0]!.fail('EIO');
  files.releaseSyncs();
  deepStrictEqual(await Promise.all(steps), [false]);
  deepStrictEqual(await Promise.all(others), ['TIDEMARK_LOG_POISONED', 'TIDEMARK_LOG_POISONED']);
  await checkPoisoned(subject);
  await node.close();
  await subject.successor().check();
});

for (const { name, on, path } of [
  { name: 'a spare', on: 'sync', path: /spare-/ },
  { name: 'the status', on: 'sync-data', path: /status$/ },
] as const) {
  test(`node F1: a failed sync of ${name} stops the node although the tail is well`, async () => {
    const calls = await callsOfWork();
    const syncs = calls.filter((call) => call.op === on);
    const subject = await FaultNode.start();
    const after = syncs.findIndex((call) => path.test(call.path));
    subject.files.inject({ kind: 'error', on, code: 'EIO', after });
    await work(subject);
    await checkPoisoned(subject);
    await checkNothingLost(subject);
  });
}

test('node F3: a directory whose sync fails poisons the node or refuses the start', async () => {
  let refused = 0;
  let poisoned = 0;
  for (let passes = 0; ; passes++) {
    const subject = new FaultNode({ seed: 1 + passes });
    subject.files.inject({ kind: 'error', on: 'sync-directory', code: 'EIO', after: passes });
    const code = await codeOf(subject.open());
    if (code !== null) {
      strictEqual(code, 'TIDEMARK_IO');
      refused++;
    } else {
      await work(subject);
      if (subject.failures.length === 0) break;
      await checkPoisoned(subject);
      poisoned++;
    }
    await checkNothingLost(subject);
  }
  ok(refused >= 4 && poisoned >= 2, `${refused} refused, ${poisoned} poisoned`);
});

/** What only saves space or time, and may fail for nobody's harm: sparse indexes, ends of sealed files. */
const HARMLESS = /log\/[^/]*(\.idx|\.log)$/;

test('node L1: a call that fails is told to the node or the caller, none is swallowed', async (t) => {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown): number => unhandled.push(reason);
  process.on('unhandledRejection', onUnhandled);
  t.after(() => process.off('unhandledRejection', onUnhandled));
  const told: Record<string, number> = {};
  const counts = new Map<IoOperation, number>();
  for (const call of await callsOfWork()) {
    const passes = counts.get(call.op) ?? 0;
    counts.set(call.op, passes + 1);
    const subject = await FaultNode.start();
    subject.files.inject({ kind: 'error', on: call.op, code: 'EIO', after: passes });
    await work(subject);
    await subject.node.close().catch((error: unknown) => subject.failures.push(error));
    await subject.settle();
    const isTold = subject.stopped !== null || subject.failures.length > 0 || checkpointFailed(subject);
    if (!isTold) ok(HARMLESS.test(call.path), `${call.op} ${call.path} failed, and nobody was told`);
    if (subject.stopped !== null) ok(isTidemarkError(subject.stopped), String(subject.stopped));
    const key = isTold ? 'told' : `harmless ${call.op}`;
    told[key] = (told[key] ?? 0) + 1;
    await checkNothingLost(subject);
  }
  deepStrictEqual(unhandled, []);
  t.diagnostic(JSON.stringify(told));
  ok(told['told']! > 60);
});

/** What close could not tell anybody, the figures do. */
function checkpointFailed({ node, checkpointFailures }: FaultNode): boolean {
  return checkpointFailures.length > 0 || node.stats().checkpoints.failure !== null;
}

/** What a running node asks of the disk, and may fail: the calls of the workload and of the close after. */
async function callsOfWork(): Promise<readonly IoCall[]> {
  const probe = await FaultNode.start();
  const first = probe.files.callCount;
  await work(probe);
  await probe.node.close();
  const cannotFail: readonly IoOperation[] = ['close', 'unlock'];
  return probe.files.calls.filter(({ at, op }) => at > first && !cannotFail.includes(op));
}

// ------------------------------------------------------------------------------------------------------- F4

const PAGE_BYTES = 4096;

test('node F4: full at any byte budget, it refuses, serves reads, and space cures it', async (t) => {
  let refused = 0;
  for (let pages = 0; pages <= 70; pages++) {
    const subject = await FaultNode.start();
    await subject.step(LARGE_BYTES);
    const { files, known, node } = subject;
    files.capacityBytes = files.usedBytes + pages * PAGE_BYTES;
    const error = await subject.stepUntilRefused(LARGE_BYTES);
    ok(isTidemarkError(error, 'TIDEMARK_DISK_FULL') && error.remedy === 'retry', String(error));
    strictEqual(await node.query('last'), known.acknowledged, 'nothing half visible, reads go on');
    strictEqual(subject.stopped, null);
    refused++;
    await subject.settle(); // What was begun has failed by now, and waits to be tried again.

    await subject.settle(); // The reserve has failed, too, and is tried again from here on.
    files.capacityBytes = Infinity;
    subject.clock.advance(RETRY_MS);
    await subject.settle();
    known.sent = known.acknowledged;
    ok(
      await subject.step(LARGE_BYTES),
      `space is back, and no restart was needed: ${String(subject.failures.at(-1))}`,
    );
    if (pages % 8 === 0) await checkNothingLost(subject);
    else await node.close();
  }
  t.diagnostic(`${refused} budgets`);
});

test('node F4: commands are refused before they are written, with a segment in reserve', async () => {
  const subject = await FaultNode.start();
  const { files } = subject;
  files.capacityBytes = files.usedBytes;
  for (let count = 0; count < 4; count++) ok(await subject.step(LARGE_BYTES), 'the tail has its space');
  ok(await subject.step(LARGE_BYTES), 'the reserve serves the rotation');
  await subject.settle();
  ok(isTidemarkError(await subject.stepUntilRefused(), 'TIDEMARK_DISK_FULL'));
  const { callCount } = files;
  strictEqual(await subject.step(), false);
  strictEqual(files.callCount, callCount, 'a refused command touches nothing');
  const spares = (await files.list('data/log')).filter((name) => name.startsWith('spare-'));
  strictEqual(spares.length, 1, 'one segment is left for the restart');
  strictEqual(subject.stopped, null);
});

test('node F4: killed while full it starts while full, again and again, and serves reads', async () => {
  for (let pages = 0; pages <= 20; pages += 4) {
    let subject = await FaultNode.start();
    await subject.step(LARGE_BYTES);
    subject.files.capacityBytes = subject.files.usedBytes + pages * PAGE_BYTES;
    await subject.stepUntilRefused(LARGE_BYTES);
    for (let restart = 0; restart < 8; restart++) {
      subject = restart % 2 === 0 ? subject.killed() : subject.cut();
      await subject.open();
      const { known, node } = subject;
      strictEqual(await node.query('last'), known.acknowledged);
      known.sent = known.acknowledged;
      // Commands come at once, before the node has had time to see that the reserve cannot be filled.
      const error = await subject.stepUntilRefused();
      ok(isTidemarkError(error, 'TIDEMARK_DISK_FULL'), String(error));
      strictEqual(await node.query('last'), known.acknowledged);
    }
    await subject.settle();
    subject.files.capacityBytes = Infinity;
    subject.clock.advance(RETRY_MS);
    await subject.settle();
    subject.known.sent = subject.known.acknowledged;
    ok(await subject.step(LARGE_BYTES), 'space is back');
    await checkNothingLost(subject);
  }
});

test('node F4: a directory on a full disk is refused, and made when there is space', async () => {
  let refused = 0;
  for (let pages = 0; ; pages++) {
    const subject = new FaultNode({ capacityBytes: pages * PAGE_BYTES });
    const code = await codeOf(subject.open());
    if (code === null) break;
    strictEqual(code, 'TIDEMARK_DISK_FULL');
    refused++;
    subject.files.capacityBytes = Infinity;
    await subject.check();
  }
  ok(refused >= 16, `${refused} budgets`); // A segment of 64 KiB and the status.
});

test('node F4: a command larger than the space left is refused alone', async () => {
  const subject = await FaultNode.start();
  const { files } = subject;
  files.capacityBytes = files.usedBytes + 8 * PAGE_BYTES;
  strictEqual(await subject.step(100_000), false, 'needs a segment of its own size');
  ok(isTidemarkError(subject.failures.at(-1), 'TIDEMARK_DISK_FULL'));
  subject.known.sent = subject.known.acknowledged;
  ok(await subject.step(100), String(subject.failures.at(-1)));
  await checkNothingLost(subject);
});

// ------------------------------------------------------------------------------------------------------- F5

test('node F5: a read that fails at start refuses it; the next start has everything', async () => {
  const made = await FaultNode.start();
  await work(made);
  const image = made.killed();
  const probe = image.killed();
  await probe.open();
  const reads = probe.files.calls.filter(({ op }) => op === 'read').length;
  ok(reads > 10);
  for (const kind of ['error', 'short-read'] as const) {
    for (let passes = 0; passes < reads; passes++) {
      const subject = image.killed();
      subject.files.inject(
        kind === 'error'
          ? { kind, on: 'read', code: 'EIO', after: passes }
          : { kind, bytes: 60, after: passes },
      );
      const code = await codeOf(subject.open());
      if (code === null) strictEqual(await subject.node.query('last'), made.known.acknowledged);
      else ok(['TIDEMARK_IO', 'TIDEMARK_LOG_DAMAGED'].includes(code), code);
      subject.files.healFaults();
      await subject.killed().check();
    }
  }
});

// --------------------------------------------------------------------------------------------------- F8, F9

test('node F8: while a sync takes long nothing is acknowledged, and the queue is bounded', async () => {
  const files = new LossyFileSystem();
  const clock = new ManualClock();
  const doors = { fs: files, clock, chance: new SeededRandom(1) };
  const ordering = local({ pendingBytesMax: 64 * 1024 });
  const log = { segmentBytes: 64 * 1024 };
  const node = await open({ machine: history, dir: 'data', ordering, log, doors });
  let acknowledged = 0;
  const step = (k: number): Promise<number> => node.submit('step', { k, blob: new Uint8Array(1000) });
  await step(1);
  for (let turns = 0; turns < 20; turns++) await turn(); // Spares are made.
  files.holdSyncs();
  const outcomes: Promise<unknown>[] = [];
  let taken = 1;
  for (let isRefused = false; !isRefused; ) {
    const k = taken + 1;
    const outcome = step(k).then(() => (acknowledged = k));
    outcomes.push(outcome.catch(() => (isRefused = true)));
    await turn();
    if (!isRefused) taken = k;
    ok(taken < 1000, 'the queue is bounded');
  }
  clock.advance(5000);
  const late = node.query('last');
  for (let turns = 0; turns < 20; turns++) await turn();
  strictEqual(acknowledged, 0);
  strictEqual(node.stats().durableIndex, 1, 'figures are answered meanwhile');
  strictEqual(await codeOf(step(taken + 1)), 'TIDEMARK_BUSY');
  files.releaseSyncs();
  await Promise.all(outcomes);
  strictEqual(acknowledged, taken);
  strictEqual(await late, taken, 'a query stands behind what was submitted before it');
  ok(node.stats().distributions.syncMs.max >= 5000, 'the slow sync shows in the figures');
  await node.close();
});

test('node F8: a spare whose sync takes long delays only who would take the last one', async () => {
  const subject = await FaultNode.start();
  const { files } = subject;
  files.holdSyncs();
  const releaseAllButSpares = async (): Promise<void> => {
    // The handle of a tail keeps the name of the spare that it was; only making a spare uses `sync` twice.
    for (const held of files.heldSyncs) {
      const isMade = files.calls.some(({ op, path }) => op === 'rename' && path === held.path);
      const isHeader = files.calls.filter(({ op, path }) => op === 'write' && path === held.path).length > 1;
      if (isMade || isHeader || !held.path.includes('spare-')) held.release();
    }
    await turn();
  };
  let isDone = false;
  const steps = (async () => {
    for (let count = 0; count < 12; count++) await subject.step(LARGE_BYTES);
    isDone = true;
  })();
  for (let turns = 0; turns < 2000 && !isDone; turns++) await releaseAllButSpares();
  strictEqual(subject.known.acknowledged, 8, 'a tail and the segment after it are full');
  const spares = (await files.list('data/log')).filter((name) => name.startsWith('spare-'));
  strictEqual(spares.length, 2, 'the last one, for the restart, and the one being made');
  files.releaseSyncs();
  await steps;
  strictEqual(subject.known.acknowledged, 12);
  await subject.node.close();
});

for (const on of ['create', 'open', 'sync-directory'] as const) {
  test(`node F9: out of descriptors for ${on}, nothing is lost, and it goes on by itself`, async () => {
    for (let passes = 0; passes < 4; passes++) {
      const subject = await FaultNode.start({ seed: 1 + passes });
      const { files } = subject;
      files.inject({ kind: 'error', on, code: 'EMFILE', after: passes, times: 3 });
      for (let count = 0; count < 24; count++) {
        if (await subject.stepInTime(LARGE_BYTES)) continue;
        subject.clock.advance(RETRY_MS);
        await subject.settle();
        ok(isTidemarkError(subject.failures.at(-1), 'TIDEMARK_RESOURCES'), String(subject.failures.at(-1)));
        subject.known.sent = subject.known.acknowledged;
      }
      strictEqual(subject.stopped, null);
      await subject.settle();
      ok(await subject.step(LARGE_BYTES), 'it goes on');
      await checkNothingLost(subject);
    }
  });
}

test('node F9: out of descriptors for any open at start, it is refused with a reason', async () => {
  const made = await FaultNode.start();
  await work(made);
  const image = made.killed();
  let refused = 0;
  for (const on of ['open', 'create', 'lock', 'list'] as const) {
    for (let passes = 0; ; passes++) {
      const subject = image.killed();
      subject.files.inject({ kind: 'error', on, code: 'EMFILE', after: passes });
      const code = await codeOf(subject.open());
      if (code === null) {
        strictEqual(await subject.node.query('last'), made.known.acknowledged);
        break;
      }
      strictEqual(code, 'TIDEMARK_RESOURCES');
      refused++;
      await subject.open();
      strictEqual(await subject.node.query('last'), made.known.acknowledged);
    }
  }
  ok(refused > 5);
});

// ------------------------------------------------------------------------------------------------------- D7

for (const denied of ['EROFS', 'EACCES'] as const) {
  test(`node D7: ${denied} is one clear error, and nothing has changed`, async () => {
    const fresh = new FaultNode();
    fresh.files.deny(denied);
    await rejects(fresh.open(), { code: 'TIDEMARK_NOT_WRITABLE' });
    fresh.files.deny(null);
    deepStrictEqual(await fresh.files.list(''), []);

    const subject = await FaultNode.start();
    await work(subject);
    await subject.node.close();
    const { usedBytes } = subject.files;
    const changes = subject.files.pendingCount;
    subject.files.deny(denied);
    await rejects(subject.open(), (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_NOT_WRITABLE'));
      ok(/data/.test(error.message) && /permission|writable/.test(error.message), error.message);
      return error.remedy === 'fix-call';
    });
    deepStrictEqual([subject.files.usedBytes, subject.files.pendingCount], [usedBytes, changes]);
    subject.files.deny(null);
    await subject.check();
  });
}

test('node D7: a disk that turns read-only while the node runs poisons it, and nothing is lost', async () => {
  const subject = await FaultNode.start();
  await subject.step();
  subject.files.deny('EROFS');
  strictEqual(await subject.step(), false);
  await checkPoisoned(subject);
  subject.files.deny(null);
  await checkNothingLost(subject);
});
