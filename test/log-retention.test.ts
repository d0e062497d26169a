/**
 * How much log a running node keeps for rewinding (src/checkpoint/kept-log.ts, src/node/node-checkpoints.ts).
 * Goal: every moment of the last `logAgeMs` comes back, within `logBytesMax`, and what is being read stays.
 * Method: tables, and nodes whose clock a test moves.
 */

import { ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { toIndex } from '../src/base/positions.ts';
import type { CheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { indexForRewinding } from '../src/checkpoint/kept-log.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { InterposedFileSystem } from './support/interposed-file-system.ts';
import { DATA_DIR, LOG_DIR, NEWEST_ONLY, SEGMENT_BYTES } from './support/test-log.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 21, 12);

/** Checkpoints of every tenth entry, an hour apart, newest first; ten bytes of log an entry. */
const HOURLY = Array.from({ length: 40 }, (_, at) => ({
  index: toIndex(10 * (40 - at)),
  takenAt: NOW - at * HOUR_MS,
}));

for (const { name, kept = HOURLY, first = 1, ageHours = 24, bytesMax = Infinity, want } of [
  { name: 'back to the newest that is older', want: 160 },
  { name: 'which one taken just so long ago is', ageHours: 1, want: 390 },
  { name: 'back to the empty state where all are younger', ageHours: 100, want: 0 },
  { name: 'back to the oldest that it goes on from', ageHours: 100, first: 101, want: 100 },
  { name: 'no further than the limit of bytes', bytesMax: 1000, want: 300 },
  { name: 'not at all beyond that', bytesMax: -1, want: null },
  { name: 'not at all for age 0', ageHours: 0, want: null },
  { name: 'whole without a checkpoint', kept: [], want: 0 },
  { name: 'not at all where nothing leads into it', kept: [], first: 7, want: null },
]) {
  test(`log for rewinding: ${name}`, () => {
    const log = { firstIndex: toIndex(first), sealedBytesAfter: (index: number) => 10 * (400 - index) };
    const options = { logAgeMs: ageHours * HOUR_MS, logBytesMax: bytesMax };
    strictEqual(indexForRewinding(kept, log, options, NOW), want);
  });
}

class Bench {
  readonly fs = new InterposedFileSystem(new MemoryFileSystem());
  readonly clock = new ManualClock();
  node!: Awaited<ReturnType<typeof open>>;

  static async open(checkpoint: CheckpointOptions = {}): Promise<Bench> {
    const bench = new Bench();
    const { fs, clock } = bench;
    bench.node = await open({
      dir: DATA_DIR,
      log: { segmentBytes: SEGMENT_BYTES },
      checkpoint: { checkpointIntervalMs: 0, checkpointOnClose: false, ...checkpoint },
      scrub: { cycleMs: 0 },
      doors: { fs, clock, chance: new SeededRandom(1) },
    });
    return bench;
  }

  /** Writes entries, all of which change most of the state, and takes a checkpoint of them. */
  async round(value: string): Promise<void> {
    for (let at = 0; at < 20; at++) await this.node.submit('SET', `key-${at}`, value.repeat(40));
    await this.whileTimePasses(() => this.node.checkpoint());
  }

  /** Rests between slices are timers. */
  async whileTimePasses<Result>(work: () => Promise<Result>): Promise<Result> {
    let isOver = false;
    const working = work().finally(() => {
      isOver = true;
    });
    while (!isOver) {
      this.clock.advance(1);
      await new Promise((resolve) => setImmediate(resolve));
    }
    return working;
  }

  async valueAt(point: string | number): Promise<string | null> {
    const view = await this.whileTimePasses(() => this.node.at(point));
    try {
      const value = await view.query('GET', 'key-0');
      return value === null ? null : textOf(value).slice(0, 3);
    } finally {
      await view.close();
    }
  }
}

function textOf(value: unknown): string {
  ok(value instanceof Uint8Array);
  return Buffer.from(value).toString();
}

test('log for rewinding: of a node that is seconds old, every entry comes back', async () => {
  const bench = await Bench.open();
  for (let round = 100; round < 108; round++) await bench.round(String(round));
  strictEqual(bench.node.stats().firstIndex, 1);
  strictEqual(await bench.valueAt(0), null);
  for (let round = 100; round < 108; round++) {
    strictEqual(await bench.valueAt(20 * (round - 100) + 1), String(round));
  }
  await bench.node.close();
});

test('log for rewinding: every moment of the last day comes back, and not much more', async () => {
  const bench = await Bench.open();
  const written: { readonly at: number; readonly value: string }[] = [];
  for (let round = 100; round < 160; round++) {
    written.push({ at: bench.clock.now(), value: String(round) });
    await bench.round(String(round));
    bench.clock.advance(HOUR_MS);
  }
  const now = bench.clock.now();
  const dayAgo = written.findLastIndex(({ at }) => at <= now - 24 * HOUR_MS);
  ok(dayAgo > 0);
  for (const { at, value } of written.slice(dayAgo)) {
    strictEqual(await bench.valueAt(new Date(at + 60_000).toISOString()), value);
  }
  await rejects(bench.node.at(new Date(written[dayAgo - 3]!.at).toISOString()), {
    code: 'TIDEMARK_POINT_NOT_KEPT',
  });
  await bench.node.close();
});

test('log for rewinding: what a view that is being opened replays is not given back', async () => {
  const bench = await Bench.open({ ...NEWEST_ONLY, checkpointsKept: 1 });
  for (let at = 0; at < 60; at++) await bench.node.submit('SET', 'key-0', '200'.repeat(40));
  const { appliedIndex } = bench.node.stats();
  let isRead = (): void => undefined;
  const mayRead = new Promise<void>((resolve) => {
    isRead = resolve;
  });
  let isReading = false;
  bench.fs.whenReady = ({ op, path }) => {
    if (op !== 'read' || !path.startsWith(LOG_DIR)) return null;
    isReading = true;
    return mayRead;
  };
  const opening = bench.node.at(appliedIndex);
  await bench.whileTimePasses(async () => {
    while (!isReading) await new Promise((resolve) => setImmediate(resolve));
  });
  for (let round = 300; round < 303; round++) await bench.round(String(round));
  strictEqual(bench.node.stats().firstIndex, 1, 'it stays while it is read');
  isRead();
  const view = await bench.whileTimePasses(() => opening);
  strictEqual(textOf(await view.query('GET', 'key-0')), '200'.repeat(40));
  await view.close();
  await bench.round('400');
  ok(bench.node.stats().firstIndex > appliedIndex, 'and goes when nobody reads it any more');
  await bench.node.close();
});
