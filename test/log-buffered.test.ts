/**
 * The log with `buffered` durability (src/log/syncer.ts, checklist B1, B7, C1, F1). Goal: entries are
 * released once they are written, synced in time, and never more of them at stake than the bounds say;
 * whatever a power cut leaves of several batches, a prefix comes back. Method: syncs that a test holds back
 * and a clock that it moves; every subset of the batches that were not synced.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex } from '../src/base/positions.ts';
import { type BufferedOptions, buffered, resolveDurability } from '../src/log/durability.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { diskFrom, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem, refuse } from './support/interposed-file-system.ts';
import { DATA_DIR, SEGMENT_BYTES, settle, TestLog } from './support/test-log.ts';

const BLOCK_BYTES = 4096;
const INTERVAL_MS = 1000;

/** A buffered log whose syncs of the tail wait until they are let go. */
class HeldLog {
  readonly fs = new InterposedFileSystem(new MemoryFileSystem());
  made!: TestLog;
  isHeld = true;
  #held: (() => void)[] = [];

  static async make(options: BufferedOptions = {}): Promise<HeldLog> {
    const held = new HeldLog();
    const durability = resolveDurability(buffered({ intervalMs: INTERVAL_MS, ...options }));
    held.fs.whenReady = ({ op }) =>
      op === 'sync-data' && held.isHeld ? new Promise((resolve) => held.#held.push(resolve)) : null;
    held.made = await TestLog.make({ fs: held.fs, durability });
    return held;
  }

  /** Syncs that have begun and not ended. */
  get syncs(): number {
    return this.#held.length;
  }

  /** One batch for each size. */
  write(...sizes: readonly number[]): void {
    for (const bytes of sizes) {
      this.made.append(bytes);
      this.made.log.flush();
    }
  }

  /** Lets the sync end that runs, and what follows it begin. */
  async letGo(): Promise<void> {
    strictEqual(this.syncs, 1, 'one sync at a time');
    this.#held.shift()!();
    await turns();
  }

  letAllGo(): void {
    this.isHeld = false;
    for (const release of this.#held.splice(0)) release();
  }
}

async function turns(): Promise<void> {
  let count = 0;
  await settle(() => ++count > 10);
}

// ------------------------------------------------------------------------------------- released, and synced

test('buffered: an entry is released once it is written, and synced intervalMs later', async () => {
  const held = await HeldLog.make();
  const { made } = held;
  held.write(10);
  deepStrictEqual([made.released, made.log.releasedIndex, made.log.durableIndex], [[1], 1, 0]);
  await turns();
  made.clock.advance(INTERVAL_MS / 2);
  held.write(10);
  made.clock.advance(INTERVAL_MS / 2 - 1);
  strictEqual(held.syncs, 0, 'not before');
  made.clock.advance(1);
  strictEqual(held.syncs, 1, 'so long after the first of them');
  deepStrictEqual(made.durable, []);
  await held.letGo();
  deepStrictEqual([made.durable, made.released], [[2], [1, 2]]);
  deepStrictEqual(made.log.unsynced, { commands: 0, bytes: 0 });
});

test('buffered: writing goes on while a sync runs; what it does not cover is synced in time', async () => {
  const held = await HeldLog.make();
  const { made } = held;
  held.write(10);
  await turns();
  made.clock.advance(INTERVAL_MS);
  strictEqual(held.syncs, 1);
  made.clock.advance(400);
  held.write(10);
  await turns();
  held.write(10);
  deepStrictEqual(made.released, [1, 2, 3]);
  made.clock.advance(500);
  await held.letGo();
  deepStrictEqual(made.durable, [1], 'what was written before it began');
  deepStrictEqual(made.log.unsynced, { commands: 2, bytes: 2 * BLOCK_BYTES });
  made.clock.advance(499);
  strictEqual(held.syncs, 0);
  made.clock.advance(1);
  strictEqual(held.syncs, 1, 'intervalMs after the second was written');
  held.letAllGo();
  await settle(() => made.log.durableIndex === 3);
  await made.check();
});

test('buffered: records say how far their segment was durable when they were written', async () => {
  const held = await HeldLog.make();
  const { made } = held;
  held.write(10);
  await turns();
  held.write(10);
  await turns();
  made.clock.advance(INTERVAL_MS);
  held.write(10); // While the sync of the first two runs.
  await turns();
  await held.letGo();
  held.write(10);
  held.letAllGo();
  await made.log.sync();
  const found: number[] = [];
  for await (const { syncedTo } of made.log.read(toIndex(1))) found.push(syncedTo / BLOCK_BYTES);
  deepStrictEqual(found, [1, 1, 1, 3]);
});

for (const { name, options, sizes } of [
  { name: 'commandsMax', options: { commandsMax: 6 }, sizes: [10, 10, 10, 10] },
  { name: 'bytesMax', options: { bytesMax: 80 * 1024 }, sizes: [9000, 9000, 9000, 9000] },
]) {
  test(`buffered: a sync begins when half of ${name} is at stake`, async () => {
    const held = await HeldLog.make(options);
    for (const bytes of sizes.slice(1)) {
      held.write(bytes);
      await turns();
    }
    strictEqual(held.syncs, 0);
    held.write(sizes[0]!);
    strictEqual(held.syncs, 1);
    held.letAllGo();
    await settle(() => held.made.log.durableIndex === sizes.length);
  });
}

test('buffered: at the bound answers wait for the disk; what waits goes out together', async () => {
  const held = await HeldLog.make({ commandsMax: 3 });
  const { made } = held;
  for (let count = 0; count < 6; count++) {
    held.write(10);
    await turns();
  }
  deepStrictEqual(made.released, [1, 2, 3], 'the fourth is written, and one too many');
  deepStrictEqual(made.log.unsynced.commands, 4);
  await held.letGo();
  deepStrictEqual(made.durable, [2]);
  deepStrictEqual(made.released, [1, 2, 3, 4], 'the other two are written, and again one too many');
  await held.letGo();
  deepStrictEqual(
    [made.durable, made.released],
    [
      [2, 4],
      [1, 2, 3, 4, 6],
    ],
  );
  held.letAllGo();
  await settle(() => made.log.durableIndex === 6);
  await made.check();
});

test('buffered: a batch above the bound is released when it is durable', async () => {
  const held = await HeldLog.make({ commandsMax: 2 });
  const { made } = held;
  made.append(10, 10, 10);
  made.log.flush();
  await turns();
  deepStrictEqual([made.released, held.syncs], [[], 1]);
  await held.letGo();
  deepStrictEqual([made.released, made.durable], [[3], [3]]);
});

test('buffered: sync() makes durable what was appended before it, at once', async () => {
  const held = await HeldLog.make();
  const { made } = held;
  held.write(10);
  await turns();
  made.append(10);
  let isDone = false;
  const done = made.log.sync().then(() => (isDone = true));
  strictEqual(held.syncs, 1);
  await turns();
  held.write(10);
  await turns();
  strictEqual(isDone, false);
  await held.letGo();
  await done;
  deepStrictEqual([made.durable, made.released], [[2], [1, 2, 3]]);
  held.letAllGo();
  await made.log.sync();
  strictEqual(made.log.durableIndex, 3);
  await made.log.sync(); // Nothing to do.
});

test('buffered: nothing is read, or compacted away, that is not durable', async () => {
  const held = await HeldLog.make();
  const { made } = held;
  held.isHeld = false;
  held.write(10);
  await made.log.sync();
  held.isHeld = true;
  held.write(10);
  await made.check(1, 1);
  await rejects(made.check(1, 2), (error) => isTidemarkError(error, 'TIDEMARK_INDEX_NOT_RETAINED'));
  await rejects(made.log.compactTo(toIndex(2)), InvariantViolation);
  held.letAllGo();
  await made.log.sync();
  await made.check(1, 2);
});

// ---------------------------------------------------------------------------------- the end of a segment

test('buffered: a segment is synced before the next one has a name or a batch', async () => {
  const held = await HeldLog.make();
  const { made, fs } = held;
  await settle(() => fs.changes().filter((call) => call.startsWith('sync spare')).length >= 3);
  const before = fs.changes().length;
  held.write(20_000);
  await turns();
  held.write(20_000);
  await turns();
  held.write(20_000); // Does not fit.
  await turns();
  deepStrictEqual(made.released, [1, 2]);
  strictEqual(held.syncs, 1, 'of what is in the first segment');
  held.letAllGo();
  await settle(() => made.released.length === 3);
  const changes = fs.changes().slice(before);
  const steps = [
    /^sync-data 1-0*1.log$/,
    /^rename spare/,
    /^sync-directory log$/,
    /^write spare-\d 4096\+20480$/,
  ];
  let from = 0;
  for (const step of steps) {
    const at = changes.findIndex((change, place) => place >= from && step.test(change));
    ok(at >= 0, `${step} comes after ${changes[from - 1] ?? 'the start'} in\n${changes.join('\n')}`);
    from = at + 1;
  }
  strictEqual(changes.filter((change) => steps[1]!.test(change)).length, 1);
  deepStrictEqual([(await made.segments()).length, made.status.segmentSequence], [2, 2]);
});

test('buffered: truncation syncs first, and the log goes on behind it', async () => {
  const held = await HeldLog.make();
  held.letAllGo();
  const { made } = held;
  for (let count = 0; count < 4; count++) {
    held.write(9000);
    await turns();
  }
  strictEqual(made.log.durableIndex, 0);
  const before = held.fs.changes().length;
  await made.log.truncateAfter(toIndex(3));
  const changes = held.fs.changes().slice(before);
  const [synced, renamed] = [/^sync-data 1-/, /^rename spare/].map((step) =>
    changes.findIndex((call) => step.test(call)),
  );
  ok(synced! >= 0 && synced! < renamed!, `the next segment proves what was synced: ${changes.join(', ')}`);
  deepStrictEqual([made.log.lastIndex, made.log.releasedIndex, made.log.durableIndex], [3, 3, 3]);
  held.write(10);
  await made.restart();
  made.checkReplayed(4);
});

test('buffered: an idle log proves what is durable by a mark; a close leaves nothing unproven', async () => {
  const held = await HeldLog.make();
  held.letAllGo();
  const { made } = held;
  held.write(10);
  await turns();
  made.clock.advance(INTERVAL_MS);
  await settle(() => made.log.durableIndex === 1);
  await turns();
  made.clock.advance(250);
  strictEqual(made.log.unsynced.bytes, BLOCK_BYTES, 'the mark');
  await made.restart();
  deepStrictEqual([made.log.report.entriesRewritten, made.log.lastIndex], [0, 1]);
  made.append(10, 10);
  made.log.flush();
  await made.log.close();
  await made.open();
  deepStrictEqual([made.log.report.entriesRewritten, made.log.lastIndex], [0, 3]);
});

// ------------------------------------------------------------------------------------------ what can be lost

/** A log whose first entry is proven, killed with `count` batches of one entry each behind it. */
async function killedWith(count: number): Promise<TestLog> {
  const held = await HeldLog.make();
  held.letAllGo();
  const { made } = held;
  held.write(10);
  await made.log.sync();
  for (let batch = 0; batch < count; batch++) {
    held.write(10);
    await turns();
  }
  strictEqual(made.log.durableIndex, 1);
  return made;
}

test('buffered B1, B7: whichever batches reached the disk, a prefix of them comes back', async () => {
  const batches = 6;
  const killed = await killedWith(batches);
  const disk = await readDisk(killed.fs, DATA_DIR);
  const [tail] = await killed.segments();
  for (let mask = 0; mask < 2 ** batches; mask++) {
    const bytes = Uint8Array.from(disk.get(tail!)!);
    const isThere = (batch: number): boolean => (mask & (1 << batch)) !== 0;
    for (let batch = 0; batch < batches; batch++) {
      const offset = (2 + batch) * BLOCK_BYTES;
      if (!isThere(batch)) bytes.fill(0, offset, offset + BLOCK_BYTES);
    }
    const made = new TestLog({
      fs: await diskFrom(new Map(disk).set(tail!, bytes)),
      status: { ...killed.status },
    });
    await made.open();
    let kept = 0;
    while (kept < batches && isThere(kept)) kept++;
    const last = Array.from({ length: batches }, (_, batch) => (isThere(batch) ? batch + 1 : 0));
    made.checkReplayed(1 + kept);
    const { entriesRewritten, entriesDiscarded } = made.log.report;
    // The first is durable, but the batch that proves it may be gone.
    ok(entriesRewritten === kept || (kept === 0 && entriesRewritten <= 1), `${entriesRewritten} of ${kept}`);
    strictEqual(entriesDiscarded, Math.max(0, ...last) - Math.min(kept, Math.max(0, ...last)));
    // What was discarded never comes back.
    await made.write(10, 10);
    await made.restart();
    made.checkReplayed(1 + kept + 2);
    await made.log.close();
  }
});

test('buffered C1: what was synced and is gone is damage, when a batch behind it is there', async () => {
  const killed = await killedWith(3);
  const disk = await readDisk(killed.fs, DATA_DIR);
  const [tail] = await killed.segments();
  const bytes = Uint8Array.from(disk.get(tail!)!).fill(0, BLOCK_BYTES, 2 * BLOCK_BYTES);
  const made = new TestLog({
    fs: await diskFrom(new Map(disk).set(tail!, bytes)),
    status: { ...killed.status },
  });
  await rejects(made.open(), (error) => isTidemarkError(error, 'TIDEMARK_LOG_DAMAGED'));
});

test('buffered F1: a sync that fails is final, and tells what may be lost', async () => {
  const held = await HeldLog.make();
  held.letAllGo();
  const { made, fs } = held;
  held.write(10);
  await made.log.sync();
  held.write(10);
  await turns();
  held.write(10);
  await turns();
  fs.onCall = (call) => {
    if (call.op === 'sync-data') refuse(call, 'EIO');
  };
  made.append(10); // Written with the sync; nobody heard of it.
  await rejects(made.log.sync(), (error) => isTidemarkError(error, 'TIDEMARK_LOG_POISONED'));
  const [poison] = made.poisoned;
  strictEqual(made.poisoned.length, 1);
  match(poison!.message, /Entries 2 to 4 were acknowledged and not synced: the last of them may be lost/);
  deepStrictEqual([poison!.facts['firstUnsynced'], poison!.facts['lastAcknowledged']], [2, 4]);
  fs.onCall = () => undefined;
  const { length } = fs.calls;
  throws(
    () => made.append(10),
    (error) => isTidemarkError(error, 'TIDEMARK_LOG_POISONED'),
  );
  await rejects(made.log.sync(), (error) => isTidemarkError(error, 'TIDEMARK_LOG_POISONED'));
  made.clock.advance(60_000);
  await turns();
  strictEqual(fs.calls.length, length, 'nothing is written or synced any more');
  deepStrictEqual([made.log.durableIndex, made.durable], [1, [1]]);
});

test('buffered: with no room for the next segment, only what was not written is refused', async () => {
  const held = await HeldLog.make();
  held.letAllGo();
  const { made, fs } = held;
  await settle(() => fs.changes().filter((call) => call.startsWith('sync spare')).length >= 3);
  held.write(30_000);
  await turns();
  fs.onCall = (call) => {
    if (call.op === 'create') refuse(call, 'ENOSPC');
  };
  made.append(2 * SEGMENT_BYTES); // Larger than any spare.
  await made.log.sync();
  deepStrictEqual(
    made.refused.map(({ afterIndex }) => afterIndex),
    [1],
  );
  deepStrictEqual([made.log.lastIndex, made.log.durableIndex, made.released], [1, 1, [1]]);
});

for (const wrong of [
  'fast',
  null,
  { kind: 'synced' },
  { kind: 'buffered', intervalMs: 0 },
  { kind: 'buffered', commandsMax: 0 },
  { kind: 'buffered', bytesMax: 1 },
  { kind: 'buffered', interval: 7 },
]) {
  test(`buffered: ${JSON.stringify(wrong)} is no durability`, () => {
    throws(
      () => resolveDurability(wrong as never),
      (error) => isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'),
    );
  });
}

test('buffered: what is left out of a durability written by hand has its default', () => {
  deepStrictEqual(resolveDurability({ kind: 'buffered', intervalMs: 50 }), {
    kind: 'buffered',
    intervalMs: 50,
    commandsMax: 100_000,
    bytesMax: 16 * 1024 * 1024,
  });
});
