/** When checkpoints are taken (src/checkpoint/checkpointer.ts). */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError, TidemarkError } from '../src/base/errors.ts';
import { Checkpointer } from '../src/checkpoint/checkpointer.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { StateDisk, someContent } from './support/checkpoint-disk.ts';
import { WHOLE_LOG } from './support/test-log.ts';

interface Made {
  readonly disk: StateDisk;
  readonly fs: LossyFileSystem;
  readonly checkpointer: Checkpointer;
  /** Index of each commit, and up to where the log may be compacted then. */
  readonly committed: [number, number | null][];
  readonly failures: unknown[];
  readonly problems: unknown[];
  /** What compacting the log fails with, or null. */
  compactionFailure: Error | null;
  held: number;
}

async function make(checkpointsKept = 3): Promise<Made> {
  const fs = new LossyFileSystem({ seed: 1 });
  const disk = await StateDisk.open({ fs, options: { checkpointsKept } });
  const made: Made = {
    disk,
    fs,
    committed: [],
    failures: [],
    problems: [],
    compactionFailure: null,
    held: 0,
    checkpointer: new Checkpointer({
      store: disk.store,
      position: () => disk.state.facts,
      hold: async () => {
        made.held++;
        return {
          source: disk.state.source,
          facts: disk.state.facts,
          logBytesAfter: () => 0,
          release: () => void made.held--,
        };
      },
      onCommitted: async ({ info }) => {
        if (made.compactionFailure !== null) throw made.compactionFailure;
        made.committed.push([info.index, disk.store.compactableIndex(WHOLE_LOG)]);
      },
      onRemoved: () => undefined,
      onFailed: (failure) => made.failures.push(failure),
      onProblem: (problem) => made.problems.push(problem),
    }),
  };
  disk.state.write(someContent(20));
  return made;
}

test('checkpointer: requests wait until recovery has ended, and share a run', async () => {
  const { disk, checkpointer, committed } = await make();
  const early = [checkpointer.request(), checkpointer.request()];
  await new Promise((resolve) => setImmediate(resolve));
  strictEqual(checkpointer.isRunning, false);
  checkpointer.start();
  strictEqual(checkpointer.isRunning, true);
  disk.state.write({ a: 'later' });
  const late = [checkpointer.request(), checkpointer.request()];
  const indexes = (await Promise.all([...early, ...late])).map(({ index }) => Number(index));
  deepStrictEqual(indexes.slice(2), [2, 2], 'what came meanwhile shares the next');
  strictEqual(new Set(indexes.slice(0, 2)).size, 1);
  ok(committed.length <= 2);
});

test('checkpointer: nothing changed since the newest: that one is the answer', async () => {
  const { disk, checkpointer, committed } = await make();
  checkpointer.start();
  const first = await checkpointer.request();
  strictEqual(await checkpointer.request(), first);
  strictEqual(committed.length, 1);
  disk.state.write({});
  strictEqual((await checkpointer.request()).index, 2);
});

test('checkpointer: the log may be compacted to the oldest kept one, once one is a fallback', async () => {
  const { disk, checkpointer, committed } = await make(2);
  checkpointer.start();
  for (let round = 0; round < 4; round++) {
    disk.state.write({ a: `${round}` });
    await checkpointer.request();
  }
  disk.state.write(someContent(200)); // Too much for an increment: another chain begins.
  strictEqual((await checkpointer.request()).kind, 'full');
  disk.state.write({ a: 'behind it' });
  await checkpointer.request();
  deepStrictEqual(committed, [
    [2, null],
    [3, null],
    [4, null],
    [5, null],
    [6, 2],
    [7, 2],
  ]);
  const kept = disk.store.checkpoints.map(({ info }) => Number(info.index));
  deepStrictEqual(kept, [7, 6, 2], 'the newest two, and the full one before them');
});

test('checkpointer: with only the newest kept, the log may be compacted to it', async () => {
  const { disk, checkpointer, committed } = await make(1);
  checkpointer.start();
  for (let round = 0; round < 2; round++) {
    disk.state.write({ a: `${round}` });
    await checkpointer.request();
  }
  deepStrictEqual(committed, [
    [2, 2],
    [3, 3],
  ]);
});

test('checkpointer: while stopped nothing is taken; stop waits for the one that runs', async () => {
  const { disk, checkpointer } = await make();
  checkpointer.start();
  const first = checkpointer.request();
  await checkpointer.stop();
  strictEqual(checkpointer.isRunning, false);
  strictEqual((await first).index, 1);
  disk.state.write({});
  const second = checkpointer.request();
  await new Promise((resolve) => setImmediate(resolve));
  strictEqual(checkpointer.isRunning, false);
  checkpointer.start();
  strictEqual((await second).index, 2);
});

test('checkpointer: a failure reaches who asked, the snapshot is let go, the next one succeeds', async () => {
  const made = await make();
  made.checkpointer.start();
  made.fs.inject({ kind: 'error', on: 'write', code: 'ENOSPC' });
  const asked = [made.checkpointer.request()];
  for (const request of asked) {
    await rejects(request, (error) => isTidemarkError(error, 'TIDEMARK_DISK_FULL'));
  }
  strictEqual(made.held, 0);
  strictEqual(made.failures.length, 1, 'told once');
  deepStrictEqual(made.committed, []);
  strictEqual((await made.checkpointer.request()).index, 1);
  strictEqual(made.held, 0);
});

test('checkpointer: old ones that cannot be removed are a problem, and not a failure', async () => {
  const made = await make(1);
  made.checkpointer.start();
  await made.checkpointer.request();
  made.disk.state.write({});
  made.fs.inject({ kind: 'error', on: 'remove', code: 'EIO' });
  strictEqual((await made.checkpointer.request()).index, 2);
  strictEqual(made.problems.length, 1);
  deepStrictEqual(made.committed.at(-1), [2, 1], 'the log is kept back to what is still there');
});

test('checkpointer: close refuses those that wait, and lets the one that runs end', async () => {
  const { checkpointer, disk } = await make();
  checkpointer.start();
  const running = checkpointer.request();
  disk.state.write({});
  const waiting = checkpointer.request();
  const closing = checkpointer.close();
  await rejects(waiting, (error) => isTidemarkError(error, 'TIDEMARK_NOT_OPEN'));
  await closing;
  ok((await running).index >= 1);
  await rejects(checkpointer.request(), (error) => isTidemarkError(error, 'TIDEMARK_NOT_OPEN'));
});

test('checkpointer: a log that cannot be compacted is told, and refuses nothing', async () => {
  const made = await make();
  made.checkpointer.start();
  const init = { remedy: 'retry' } as const;
  made.compactionFailure = new TidemarkError('TIDEMARK_RESOURCES', 'failed on purpose', init);
  strictEqual((await made.checkpointer.request()).index, 1);
  deepStrictEqual(made.problems, [made.compactionFailure]);
  made.compactionFailure = new Error('a bug');
  made.disk.state.write({ a: 'more' });
  await rejects(made.checkpointer.request(), { message: 'a bug' });
});
