/**
 * When a running node takes checkpoints by itself, and what keeps them (src/checkpoint/schedule/scheduler.ts,
 * retention.ts, tags.ts). Method: a clock that a test moves, and files in memory.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import type { CheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MEMORY_DIR, MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { diskFrom, readDisk } from './support/disk-bytes.ts';
import { InterposedFileSystem } from './support/interposed-file-system.ts';
import { DATA_DIR, NEWEST_ONLY, SEGMENT_BYTES, settle } from './support/test-log.ts';

const HOUR_MS = 3_600_000;

class Bench {
  readonly fs: FileSystem;
  readonly clock = new ManualClock();
  #seeds = 0;

  constructor(fs: FileSystem = new MemoryFileSystem()) {
    this.fs = fs;
  }

  open(checkpoint: CheckpointOptions = {}) {
    const { fs, clock } = this;
    const doors = { fs, clock, chance: new SeededRandom(++this.#seeds) };
    return open({ dir: DATA_DIR, log: { segmentBytes: SEGMENT_BYTES }, checkpoint, doors });
  }

  /** Lets time pass in steps, and whatever became due run to its end. */
  async pass(node: OpenNode, ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 1000) {
      this.clock.advance(Math.min(1000, left));
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    await this.idle(node);
  }

  /** Waits for the checkpoint that is being taken, if one is: its rests are timers too. */
  async idle(node: OpenNode): Promise<void> {
    while (node.stats().checkpoints.isTaking) {
      this.clock.advance(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

type OpenNode = Awaited<ReturnType<Bench['open']>>;

async function write(node: OpenNode, count: number): Promise<void> {
  for (let at = 0; at < count; at++)
    await node.submit('SET', `key-${at}`, `${Math.trunc(at / 7)}`.repeat(40));
}

function indicesOf(node: OpenNode): number[] {
  return node.checkpoints().map(({ index }) => index);
}

test('schedule: a node takes a checkpoint every hour, when something has changed', async () => {
  const bench = new Bench();
  const node = await bench.open();
  await write(node, 10);
  await bench.pass(node, HOUR_MS - 2000);
  deepStrictEqual(indicesOf(node), []);
  await bench.pass(node, 3000);
  deepStrictEqual(indicesOf(node), [10]);
  await bench.pass(node, 2 * HOUR_MS);
  deepStrictEqual(indicesOf(node), [10], 'nothing has changed');
  await write(node, 1);
  await bench.pass(node, HOUR_MS + 1000);
  deepStrictEqual(indicesOf(node), [11, 10]);
  await node.close();
});

test('schedule: what came while one was being taken is taken with the next', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const bench = new Bench(fs);
  const node = await bench.open();
  await write(node, 5);
  let written = Promise.resolve();
  let isWritten = false;
  fs.onCall = ({ op, path }) => {
    if (op !== 'create' || !path.endsWith('.data') || isWritten) return;
    isWritten = true;
    written = write(node, 5);
  };
  await node.checkpoint();
  await written;
  deepStrictEqual(indicesOf(node), [5]);
  await bench.pass(node, HOUR_MS + 1000);
  deepStrictEqual(indicesOf(node), [10, 5]);
  await node.close();
});

test('schedule: what a start had to replay is taken when the time has come', async () => {
  const bench = new Bench();
  const node = await bench.open({ checkpointOnClose: false });
  await write(node, 10);
  await node.close();
  const again = await bench.open();
  await bench.pass(again, HOUR_MS + 1000);
  deepStrictEqual(indicesOf(again), [10], 'the next start need not replay it again');
  await again.close();
});

test('schedule: entries and bytes of log make one due, whichever comes first', async () => {
  const bench = new Bench();
  const node = await bench.open({ checkpointEntries: 50, checkpointLogBytes: 1024 * 1024 });
  for (let round = 1; round <= 3; round++) {
    await write(node, 50);
    await settle(() => node.stats().checkpoints.isTaking || indicesOf(node).length >= round);
    await bench.idle(node);
    strictEqual(indicesOf(node).length, round);
  }
  node.changeCheckpointSchedule({ checkpointEntries: 0, checkpointLogBytes: 64 * 1024 });
  await write(node, 20);
  await settle(() => node.stats().checkpoints.isTaking || indicesOf(node).length === 4);
  await bench.idle(node);
  strictEqual(indicesOf(node).length, 4, 'twenty entries of 4 KiB');
  await node.close();
});

test('schedule: it can be changed while the node runs, and what contradicts itself is refused', async () => {
  const bench = new Bench();
  const node = await bench.open();
  await write(node, 5);
  node.changeCheckpointSchedule({ checkpointIntervalMs: 60_000 });
  await bench.pass(node, 61_000);
  deepStrictEqual(indicesOf(node), [5]);
  node.changeCheckpointSchedule({ checkpointIntervalMs: 0 });
  await write(node, 5);
  await bench.pass(node, 3 * HOUR_MS);
  deepStrictEqual(indicesOf(node), [5], 'none by the clock any more');
  const wrong = { adaptive: { kind: 'optimal', pauseMsMin: 60_000, rpoMs: 5000 } } as const;
  throws(
    () => node.changeCheckpointSchedule(wrong),
    (error: Error) => {
      match(error.message, /pauseMsMin, 60000, and adaptive.rpoMs, 5000, contradict each other/);
      return true;
    },
  );
  await node.close();
});

test('schedule: the adaptive one says what it expects; a start after a crash counts a failure', async () => {
  const bench = new Bench();
  const adaptive = { kind: 'optimal', pauseMsMin: 10_000 } as const;
  const first = await bench.open({ adaptive });
  await write(first, 20);
  await first.checkpoint();
  const calm = first.stats().checkpoints.schedule!;
  ok(calm.intervalMs !== null && calm.intervalMs >= 10_000);
  ok(calm.predictedWaste !== null && calm.predictedWaste > 0 && calm.predictedWaste < 1);
  ok(calm.measuredWaste >= 0 && calm.measuredWaste <= 1);
  await first.close();

  const second = await bench.open({ adaptive });
  const still = second.stats().checkpoints.schedule!;
  near(still.mtbfMs, calm.mtbfMs, 'a clean stop is no failure');
  await bench.pass(second, 2000); // The status is written soon.
  const files = await readDisk(bench.fs, DATA_DIR); // As a killed process leaves them.
  await second.close();

  const third = await new Bench(await diskFrom(files)).open({ adaptive });
  ok(third.stats().checkpoints.schedule!.mtbfMs < still.mtbfMs / 10, 'a kill is one');
  await third.close();
});

function near(got: number, want: number, message: string): void {
  ok(Math.abs(got - want) < want / 100, `${message}: ${got}, not ${want}`);
}

test('retention: what is younger than a day stays, and one can ask why', async () => {
  const bench = new Bench();
  const node = await bench.open();
  for (let round = 0; round < 30; round++) {
    await write(node, 3);
    await bench.pass(node, HOUR_MS + 1000);
  }
  const kept = node.checkpoints();
  ok(kept.length >= 23 && kept.length <= 26, `${kept.length} are kept`);
  ok(['among the newest 3', 'younger than 24 h'].every((why) => kept[0]!.keptBecause.includes(why)));
  deepStrictEqual(kept[10]!.keptBecause.slice(0, 1), ['younger than 24 h']);
  await node.close();
});

test('retention: in memory nothing is kept for its age, unless somebody asks', async () => {
  for (const [checkpoint, wanted] of [
    [{ checkpointsKept: 1 }, 1],
    [{ checkpointsKept: 1, checkpointAgeMs: HOUR_MS }, 5],
  ] as const) {
    const node = await open({ dir: MEMORY_DIR, log: { segmentBytes: SEGMENT_BYTES }, checkpoint });
    for (let round = 0; round < 5; round++) {
      await write(node, 3);
      await node.checkpoint();
    }
    strictEqual(indicesOf(node).length, wanted);
    await node.close();
  }
});

test('retention: once the node is closed nothing is changed any more', async () => {
  const bench = new Bench();
  const node = await bench.open();
  await write(node, 3);
  const { index } = await node.checkpoint();
  await node.close();
  for (const late of [node.tag('late', index), node.untag('late'), node.prune()]) {
    await rejects(late, { code: 'TIDEMARK_NOT_OPEN' });
  }
});

test('tags: a tagged checkpoint outlives its time, a restart too, until the tag is taken off', async () => {
  const bench = new Bench();
  const keep = { ...NEWEST_ONLY, checkpointsKept: 2, checkpointOnClose: false };
  const node = await bench.open(keep);
  await write(node, 5);
  const tagged = await node.checkpoint({ tag: 'before-deploy' });
  await rejects(node.checkpoint({ tag: '../etc' }), { code: 'TIDEMARK_OPTION_INVALID' });
  await rejects(node.tag('late', 999 as never), { code: 'TIDEMARK_OPTION_INVALID' });
  for (let round = 0; round < 6; round++) {
    await write(node, 40);
    await node.checkpoint();
  }
  ok(indicesOf(node).includes(tagged.index));
  await node.close();

  const again = await bench.open(keep);
  const found = again.checkpoints().find(({ index }) => index === tagged.index);
  deepStrictEqual(found?.tags, ['before-deploy']);
  ok(found.keptBecause.includes('tag before-deploy'));
  strictEqual(await again.untag('before-deploy'), true);
  strictEqual(await again.untag('before-deploy'), false);
  await write(again, 40);
  await again.checkpoint();
  ok(!indicesOf(again).includes(tagged.index), 'nothing keeps it any more');
  await again.close();
});

test('tags: while one cannot be read, no checkpoint is removed', async () => {
  const bench = new Bench();
  const keep = { ...NEWEST_ONLY, checkpointsKept: 1, checkpointOnClose: false };
  const node = await bench.open(keep);
  await write(node, 5);
  await node.checkpoint({ tag: 'precious' });
  await node.close();
  const path = `${DATA_DIR}/checkpoints/precious.tag`;
  const file = await bench.fs.open(path, 'write');
  await file.write(Buffer.from('?'), 10);
  await file.close();

  const again = await bench.open(keep);
  match(again.recovery.warnings.join('\n'), /precious\.tag/);
  for (let round = 0; round < 5; round++) {
    await write(again, 40);
    await again.checkpoint();
  }
  strictEqual(indicesOf(again).length, 6);
  await again.close();
});

/** Nothing but a tag keeps any but the newest. */
const ONLY_TAGS = { ...NEWEST_ONLY, checkpointsKept: 1, checkpointOnClose: false };

test('tags: one that is put on while another is taken off stays', async () => {
  const bench = new Bench();
  const node = await bench.open(ONLY_TAGS);
  await write(node, 5);
  await node.checkpoint({ tag: 'before' });
  await write(node, 5);
  const { index } = await node.checkpoint();
  await Promise.all([node.untag('before'), node.tag('after', index)]);
  for (let round = 0; round < 2; round++) {
    await write(node, 40);
    await node.checkpoint();
  }
  ok(indicesOf(node).includes(index), 'what is tagged is there');
  await node.close();
});

test('tags: put on two checkpoints at once, one name ends on the last', async () => {
  const bench = new Bench();
  const node = await bench.open({ checkpointOnClose: false });
  for (let round = 0; round < 2; round++) {
    await write(node, 5);
    await node.checkpoint();
  }
  await Promise.all(indicesOf(node).map((index) => node.tag('here', index as never)));
  deepStrictEqual(
    node.checkpoints().map(({ tags }) => tags),
    [[], ['here']],
  );
  await node.close();
});

test('tags: a checkpoint that is just being removed is tagged no more', async () => {
  const fs = new InterposedFileSystem(new MemoryFileSystem());
  const bench = new Bench(fs);
  const node = await bench.open(ONLY_TAGS);
  await write(node, 5);
  const { index } = await node.checkpoint();
  let tagged: Promise<void> | null = null;
  fs.onCall = ({ op, path }) => {
    if (op === 'remove' && path.endsWith('.idx')) tagged ??= node.tag('late', index);
  };
  await write(node, 40);
  await node.checkpoint();
  ok(tagged !== null, 'it was removed');
  await rejects(tagged, { code: 'TIDEMARK_OPTION_INVALID' });
  await node.close();
});

test('tags: one whose file is gone, damaged or no file can be taken off, and put on again', async () => {
  const bench = new Bench();
  const { fs } = bench;
  const node = await bench.open(ONLY_TAGS);
  await write(node, 5);
  const { index } = await node.checkpoint({ tag: 'gone' });
  for (const name of ['damaged', 'mended']) await node.tag(name, index);
  await fs.remove(`${DATA_DIR}/checkpoints/gone.tag`);
  strictEqual(await node.untag('gone'), true);
  await node.close();
  for (const name of ['damaged', 'mended']) {
    const file = await fs.open(`${DATA_DIR}/checkpoints/${name}.tag`, 'write');
    await file.write(Buffer.from('?'), 10);
    await file.close();
  }
  await fs.makeDirectory(`${DATA_DIR}/checkpoints/directory.tag`);

  const again = await bench.open(ONLY_TAGS);
  match(again.recovery.warnings.join('\n'), /damaged\.tag[^]*directory\.tag[^]*mended\.tag/);
  strictEqual(await again.untag('damaged'), true);
  await again.tag('mended', index);
  await again.close();

  const third = await bench.open(ONLY_TAGS);
  deepStrictEqual(third.checkpoints()[0]?.tags, ['mended']);
  strictEqual(third.recovery.warnings.filter((warning) => warning.includes('.tag')).length, 1);
  await third.close();
});
