/**
 * A node with `buffered` durability (src/log/durability.ts; checklist A1, B7, F1, F2, F8, G2). Goal: a kill
 * takes nothing that was acknowledged; a power cut takes what was not synced and nothing before it;
 * checkpoints, activations and a close hold nothing that the log might lose. Method: a disk that loses
 * whatever it may, syncs that a test holds back, syncs that fail one by one.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import { buffered } from '../src/log/durability.ts';
import { local, open } from '../src/node/open.ts';
import { MEMORY_DIR } from '../src/storage/memory-file-system.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { balances, deposit, openBank, v1, v2 } from './support/bank-versions.ts';
import { checkNothingLost, checkPoisoned, codeOf, FaultNode, LARGE_BYTES } from './support/fault-node.ts';
import { history } from './support/node-history.ts';

const INTERVAL_MS = 1000;
const BUFFERED = buffered({ intervalMs: INTERVAL_MS });

function start(seed = 1): Promise<FaultNode> {
  return FaultNode.start({ seed }, BUFFERED);
}

async function steps(subject: FaultNode, count: number): Promise<void> {
  for (let at = 0; at < count; at++) ok(await subject.step());
}

/** How many commands are left when nothing reached the disk that was not synced. */
async function leftAfterCut(subject: FaultNode): Promise<number> {
  const cut = subject.cut();
  await cut.open();
  return cut.node.query('last');
}

test('node buffered: answers come before any sync; a kill loses nothing, a power cut the end', async () => {
  const subject = await start();
  await steps(subject, 3);
  await subject.node.sync();
  await steps(subject, 4);
  const { commandsUnsynced, bytesUnsynced, durableIndex, lastIndex } = subject.node.stats();
  deepStrictEqual([commandsUnsynced, bytesUnsynced, lastIndex - durableIndex], [4, 4 * 4096, 4]);
  const killed = subject.killed();
  await killed.open();
  strictEqual(await killed.node.query('last'), 7);
  deepStrictEqual([killed.node.recovery.entriesRewritten, killed.node.recovery.entriesDiscarded], [4, 0]);
  await killed.settle();
  strictEqual(await leftAfterCut(killed), 7, 'what a start found is durable before it serves');
  strictEqual(await leftAfterCut(subject), 3);
});

test('node buffered: what was written is synced intervalMs later, without anybody asking', async () => {
  const subject = await start();
  await steps(subject, 5);
  subject.clock.advance(INTERVAL_MS);
  await subject.settle();
  strictEqual(subject.node.stats().commandsUnsynced, 0);
  strictEqual(await leftAfterCut(subject), 5);
});

test('node buffered: sync() makes durable what was submitted before it, answered or not', async () => {
  const subject = await start();
  await steps(subject, 1);
  const answers = [subject.step(), subject.step(LARGE_BYTES)];
  await subject.node.sync();
  deepStrictEqual(await Promise.all(answers), [true, true]);
  await subject.node.sync(); // Nothing to do.
  strictEqual(await leftAfterCut(subject), 3);
});

test('node buffered: while the disk takes its time commands are answered, up to the bound', async () => {
  const files = new LossyFileSystem();
  const durability = buffered({ intervalMs: INTERVAL_MS, commandsMax: 20 });
  const doors = { fs: files, clock: new ManualClock(), chance: new SeededRandom(1) };
  const ordering = local({ pendingBytesMax: 64 * 1024 });
  const node = await open({ machine: history, dir: 'data', ordering, durability, doors });
  await node.submit('step', { k: 1, blob: new Uint8Array(0) });
  await node.sync();
  files.holdSyncs();
  const codes: (string | null)[] = [];
  let answered = 1;
  for (let k = 2; k < 400; k++) {
    const answer = node.submit('step', { k, blob: new Uint8Array(1000) }).then(() => (answered = k));
    void codeOf(answer).then((found) => codes.push(found));
    await turn();
  }
  strictEqual(answered, 21, 'as many as may be lost');
  strictEqual(
    codes.filter((found) => found === 'TIDEMARK_BUSY').length > 100,
    true,
    'and a bound on the rest',
  );
  strictEqual(node.stats().durableIndex, 1);
  files.releaseSyncs();
  await node.drained();
  await node.sync();
  const { commandsUnsynced, durableIndex, lastIndex } = node.stats();
  deepStrictEqual([commandsUnsynced, durableIndex], [0, lastIndex]);
  await node.close();
});

test('node buffered G2: a checkpoint syncs the log first, so that none is ahead of it', async () => {
  const subject = await start();
  await steps(subject, 6);
  const before = subject.files.callCount;
  ok(await subject.checkpoint());
  const calls = subject.files.calls.filter(({ at }) => at > before);
  const synced = calls.findIndex(({ op, path }) => op === 'sync-data' && path.includes('/log/'));
  const committed = calls.findIndex(({ op, path }) => op === 'rename' && path.endsWith('.idx.part'));
  ok(
    synced >= 0 && synced < committed,
    `the log is synced by call ${synced}, the checkpoint by ${committed}`,
  );
  await steps(subject, 2);
  strictEqual(await leftAfterCut(subject), 6);
});

test('node buffered: what a close acknowledged is durable, with a last checkpoint or without', async () => {
  for (const checkpointOnClose of [true, false]) {
    const files = new LossyFileSystem();
    const doors = { fs: files, clock: new ManualClock(), chance: new SeededRandom(1) };
    const options = { machine: history, dir: 'data', checkpoint: { checkpointOnClose } };
    const node = await open({ ...options, durability: BUFFERED, doors });
    for (let k = 1; k <= 5; k++) await node.submit('step', { k, blob: new Uint8Array(10) });
    await node.close();
    strictEqual(await codeOf(node.sync()), 'TIDEMARK_NOT_OPEN');
    files.crash();
    const [barest] = files.crashImages();
    const again = await open({ ...options, doors: { ...doors, fs: barest!.files } });
    strictEqual(await again.query('last'), 5);
    strictEqual(again.recovery.entriesRewritten, 0, 'and proven');
    await again.close();
  }
});

test('node buffered: a version is active once its entry is durable', async () => {
  const files = new LossyFileSystem();
  await deposit(files, v1, 'alice');
  await openBank(files, v2, 7, BUFFERED);
  files.crash();
  const [barest] = files.crashImages();
  await rejects(openBank(barest!.files, v1, 8), (error) =>
    isTidemarkError(error, 'TIDEMARK_MACHINE_MISMATCH'),
  );
  deepStrictEqual(await balances(barest!.files, v2, 'alice'), [10]);
});

test('node buffered: in memory there is nothing to sync, and sync() resolves', async () => {
  const node = await open({ dir: MEMORY_DIR, durability: BUFFERED });
  await node.submit('SET', 'greeting', 'hello');
  await node.sync();
  strictEqual(node.durability, 'buffered');
  await node.close();
});

// --------------------------------------------------------------------------------------------- F1, F2

/** Commands, rotations, a checkpoint, syncs by time and on request; ends at the first failure. */
async function work(subject: FaultNode): Promise<void> {
  for (let count = 0; count < 16; count++) {
    if (!(await subject.step(count % 3 === 0 ? LARGE_BYTES : 10))) return;
    if (count % 5 === 4) {
      subject.clock.advance(INTERVAL_MS);
      await subject.settle();
    }
    if (count === 8 && !(await subject.checkpoint())) return;
    if (count % 7 === 6 && (await codeOf(subject.node.sync())) !== null) return;
  }
  await subject.settle();
}

test('node buffered F1, F2: one sync that fails poisons for good; what was durable is there', async (t) => {
  const isSync = (op: string): boolean => op === 'sync' || op === 'sync-data';
  const well = await start();
  const { callCount } = well.files;
  await work(well);
  const syncs = well.files.calls.filter(({ at, op }) => at > callCount && isSync(op)).length;
  let poisoned = 0;
  for (let passes = 0; passes < syncs; passes++) {
    const subject = await start();
    subject.files.inject({ kind: 'sync-loss', after: passes, times: 1 });
    await work(subject);
    await subject.settle();
    if (subject.stopped === null) {
      strictEqual(subject.checkpointFailures.length, 1, 'only a checkpoint may fail and nothing else');
    } else {
      poisoned++;
      // When it was the status, the log is well, and goes on to sync what it has.
      if (!subject.stopped.message.includes('/status')) await checkPoisoned(subject);
      strictEqual(await codeOf(subject.node.sync()), 'TIDEMARK_LOG_POISONED');
    }
    await checkNothingLost(subject);
  }
  t.diagnostic(`${poisoned} of ${syncs} syncs stopped the node`);
  ok(poisoned > 10);
});

test('node buffered F1: what stopped it tells which acknowledged entries may be lost', async () => {
  const subject = await start();
  await steps(subject, 2);
  await subject.node.sync();
  await steps(subject, 3);
  subject.files.inject({ kind: 'sync-loss', times: 1 });
  subject.clock.advance(INTERVAL_MS);
  const reason = await subject.node.whenStopped();
  ok(isTidemarkError(reason, 'TIDEMARK_LOG_POISONED'));
  match(reason.message, /Entries 3 to 5 were acknowledged and not synced: the last of them may be lost/);
  deepStrictEqual([reason.facts['firstUnsynced'], reason.facts['lastAcknowledged']], [3, 5]);
  await subject.node.close();
});
