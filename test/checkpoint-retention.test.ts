/**
 * Which checkpoints are kept (src/checkpoint/retention.ts). Goal: each policy keeps what it says, all
 * together keep what any of them wants, and the limit of bytes takes the oldest of the rest. Method: tables,
 * the calendar of `Date`, and long runs with one checkpoint after the other.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { toIndex } from '../src/base/positions.ts';
import {
  bytesOf,
  type Retained,
  type RetainedPoint,
  type RetentionPolicy,
  retain,
} from '../src/checkpoint/retention.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.UTC(2026, 10, 21, 12);
const NONE: RetentionPolicy = {
  checkpointsKept: 1,
  checkpointAgeMs: 0,
  agedKept: 1000,
  generations: { hourly: 0, daily: 0, weekly: 0, monthly: 0 },
  spacedKept: 0,
  checkpointBytesMax: 0,
};

/** One checkpoint each hour, newest first, each with a file of its own. */
function hourly(count: number): RetainedPoint[] {
  return Array.from({ length: count }, (_, at) => point(count - at, NOW - at * HOUR_MS));
}

function point(index: number, takenAt: number, more: Partial<RetainedPoint> = {}): RetainedPoint {
  const files = [{ id: `f${index}`, bytes: 100 }];
  return { index: toIndex(index), takenAt, files, tags: [], neededAs: null, ...more };
}

function keptIndices(retained: readonly Retained<RetainedPoint>[]): number[] {
  return retained.filter(({ reasons }) => reasons.length > 0).map((one) => one.point.index);
}

test('retention: the newest stay', () => {
  deepStrictEqual(keptIndices(retain(hourly(10), { ...NONE, checkpointsKept: 3 }, NOW)), [10, 9, 8]);
});

test('retention: what is younger stays, and says why', () => {
  const retained = retain(hourly(100), { ...NONE, checkpointAgeMs: 24 * HOUR_MS }, NOW);
  strictEqual(keptIndices(retained).length, 25);
  deepStrictEqual(retained[0]!.reasons, ['among the newest 1', 'younger than 24 h']);
  deepStrictEqual(retained[24]!.reasons, ['the newest older than 24 h']);
  deepStrictEqual(retained[25]!.reasons, []);
});

test('retention: a checkpoint a second for a day leaves 128, at most twice the even gap apart', () => {
  const perDay = 86_400;
  const points = Array.from({ length: perDay }, (_, at) => point(perDay - at, NOW - at * 1000));
  const kept = keptIndices(retain(points, { ...NONE, checkpointAgeMs: 24 * HOUR_MS, agedKept: 128 }, NOW));
  strictEqual(kept.length, 128);
  const gaps = kept.map((index, at) => index - (kept[at + 1] ?? 0));
  ok(Math.max(...gaps) <= (2 * perDay) / 128 + 1, `a gap of ${Math.max(...gaps)}`);
});

test('retention: thinned one by one or all at once, no more than so many of those young stay', () => {
  const policy = { ...NONE, checkpointAgeMs: HOUR_MS, agedKept: 8 };
  let points: RetainedPoint[] = [];
  for (let second = 1; second <= 6000; second++) {
    const now = NOW + second * 1000;
    points = [point(second, now), ...points];
    points = retain(points, policy, now).flatMap(({ point: one, reasons }) =>
      reasons.length > 0 ? [one] : [],
    );
    ok(points.length <= 9, `${points.length} are kept, one of them older`);
    if (second < 3600) continue;
    const gaps = points.slice(1).map((one, at) => points[at]!.index - one.index);
    ok(Math.max(...gaps) <= (2 * 3600) / 8 + 1, `at ${second} a gap of ${Math.max(...gaps)}`);
  }
});

test('retention: a time after now keeps nothing for years, nor makes what is young old', () => {
  const policy = { ...NONE, checkpointAgeMs: 24 * HOUR_MS };
  const wrong = point(5, NOW + 10 * 365 * 24 * HOUR_MS);
  const points = [point(7, NOW), point(6, NOW - HOUR_MS), wrong, point(4, NOW - 2 * HOUR_MS)];
  deepStrictEqual(keptIndices(retain(points, policy, NOW)), [7, 6, 5, 4]);
  const later = NOW + 23.5 * HOUR_MS;
  const next = point(8, later);
  deepStrictEqual(
    keptIndices(retain([next, ...points], policy, later)),
    [8, 7, 6],
    'it ages with the next newer one; 6 is the newest that is older',
  );
  deepStrictEqual(keptIndices(retain([wrong], policy, NOW)), [5], 'with none, it is of now');
});

test('retention: generations keep the newest of each hour, day, week and month', () => {
  const points = hourly(24 * 400);
  const generations = { hourly: 5, daily: 7, weekly: 4, monthly: 12 };
  const retained = retain(points, { ...NONE, generations }, NOW);
  for (const [name, count] of Object.entries(generations)) {
    const kept = retained.filter(({ reasons }) => reasons.includes(name)).map((one) => one.point.takenAt);
    const want = new Map<string, number>();
    for (const { takenAt } of points) {
      const bucket = calendarBucket(name, takenAt);
      if (!want.has(bucket) && want.size < count) want.set(bucket, takenAt);
    }
    deepStrictEqual(kept, [...want.values()], name);
  }
});

function calendarBucket(name: string, ms: number): string {
  const date = new Date(ms);
  if (name === 'hourly') return date.toISOString().slice(0, 13);
  if (name === 'daily') return date.toISOString().slice(0, 10);
  if (name === 'monthly') return date.toISOString().slice(0, 7);
  const monday = new Date(ms - ((date.getUTCDay() + 6) % 7) * 24 * HOUR_MS);
  return monday.toISOString().slice(0, 10);
}

test('retention: a time long ago has its month too', () => {
  for (const iso of ['1970-01-01', '1972-02-29', '2000-02-29', '2000-03-01', '2100-02-28', '2100-03-01']) {
    const ms = Date.parse(iso);
    const points = [point(2, ms), point(1, ms - 24 * HOUR_MS)];
    const retained = retain(points, { ...NONE, generations: { ...NONE.generations, monthly: 9 } }, ms);
    const isSameMonth = new Date(ms - 24 * HOUR_MS).getUTCMonth() === new Date(ms).getUTCMonth();
    strictEqual(keptIndices(retained).length, isSameMonth ? 1 : 2, iso);
  }
});

for (const spacedKept of [3, 8, 20, 64]) {
  test(`retention: ${spacedKept} spaced ones leave no gap above twice the even one`, () => {
    let points: RetainedPoint[] = [];
    for (let index = 1; index <= 2000; index++) {
      points = [point(index, NOW), ...points];
      const retained = retain(points, { ...NONE, spacedKept }, NOW);
      points = retained.filter(({ reasons }) => reasons.length > 0).map((one) => one.point);
      ok(points.length <= spacedKept, `${points.length} are kept`);
      if (index < spacedKept) continue;
      const positions = [...points.map((one) => Number(one.index)), 0];
      const gaps = positions.slice(1).map((before, at) => positions[at]! - before);
      const even = index / spacedKept;
      ok(
        Math.max(...gaps) <= 2 * even + 1,
        `at ${index} a gap of ${Math.max(...gaps)}, even ones have ${even}`,
      );
    }
  });
}

test('retention: tags and what others need stay, whatever the limit of bytes', () => {
  const points = hourly(6).map((one) => {
    if (one.index === 1) return { ...one, tags: ['before-deploy'] };
    return one.index === 2 ? { ...one, neededAs: 'the way back when files of the newest are damaged' } : one;
  });
  const policy = { ...NONE, checkpointAgeMs: 24 * HOUR_MS, checkpointBytesMax: 400 };
  const retained = retain(points, policy, NOW);
  deepStrictEqual(keptIndices(retained), [6, 5, 2, 1]);
  deepStrictEqual(keptIndices(retain(points, { ...policy, checkpointBytesMax: 1 }, NOW)), [6, 2, 1]);
});

test('retention: giving up one whose files others need frees nothing, so it stays', () => {
  const shared = { id: 'base', bytes: 1000 };
  const points = [
    point(3, NOW, { files: [shared, { id: 'c', bytes: 10 }] }),
    point(2, NOW, { files: [shared, { id: 'b', bytes: 10 }] }),
    point(1, NOW, { files: [shared] }),
  ];
  const policy = { ...NONE, checkpointAgeMs: HOUR_MS, checkpointBytesMax: 1010 };
  const retained = retain(points, policy, NOW);
  deepStrictEqual(keptIndices(retained), [3, 1]);
  strictEqual(bytesOf([points[0]!, points[2]!]), 1010);
});

test('retention: the limit of bytes takes whole chains, from their ends on', () => {
  const points = chains(6, 4);
  const policy = { ...NONE, checkpointAgeMs: 1000 * HOUR_MS, checkpointBytesMax: 800 };
  const retained = retain(points, policy, NOW);
  deepStrictEqual(keptIndices(retained), [24, 23, 22, 21, 20, 19, 18, 17]);
  strictEqual(bytesOf(points.slice(0, 8)), 800);
});

test('retention: the limit of bytes costs one look at each file, not at each pair of checkpoints', () => {
  let looks = 0;
  const points = chains(250, 8).map((one) => ({
    ...one,
    get files() {
      looks++;
      return one.files;
    },
  }));
  retain(points, { ...NONE, checkpointAgeMs: 1e6 * HOUR_MS, checkpointBytesMax: 400 }, NOW);
  ok(looks < 20 * points.length, `${looks} looks at ${points.length} checkpoints`);
});

/** Chains of incremental checkpoints, newest first: each needs its own file, and those before it. */
function chains(count: number, length: number): RetainedPoint[] {
  return Array.from({ length: count * length }, (_, at) => {
    const index = count * length - at;
    const head = index - ((index - 1) % length);
    const files = Array.from({ length: index - head + 1 }, (__, place) => ({
      id: `f${head + place}`,
      bytes: 100,
    }));
    return point(index, NOW - at * HOUR_MS, { files });
  });
}

test('retention: what any policy keeps alone, all keep together; and twice is once', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 300; run++) {
    let at = NOW;
    const points = Array.from({ length: random.between(1, 60) }, (_, place) => {
      at -= random.below(40 * HOUR_MS);
      const tags = random.happens(0.05) ? ['kept'] : [];
      return point(1000 - 10 * place, at, { tags });
    });
    points.sort((one, other) => other.index - one.index);
    const policy: RetentionPolicy = {
      checkpointsKept: random.between(1, 5),
      checkpointAgeMs: random.below(100 * HOUR_MS),
      agedKept: random.between(2, 60),
      generations: {
        hourly: random.below(5),
        daily: random.below(5),
        weekly: random.below(5),
        monthly: random.below(5),
      },
      spacedKept: random.below(6),
      checkpointBytesMax: 0,
    };
    const kept = keptIndices(retain(points, policy, NOW));
    const alone: RetentionPolicy[] = [
      { ...NONE, checkpointsKept: policy.checkpointsKept },
      { ...NONE, checkpointAgeMs: policy.checkpointAgeMs, agedKept: policy.agedKept },
      { ...NONE, generations: policy.generations },
      { ...NONE, spacedKept: policy.spacedKept },
    ];
    const union = new Set(alone.flatMap((one) => keptIndices(retain(points, one, NOW))));
    deepStrictEqual(
      kept,
      points.map(({ index }) => Number(index)).filter((index) => union.has(index)),
    );
    const left = points.filter(({ index }) => kept.includes(index));
    const again = keptIndices(retain(left, { ...policy, spacedKept: 0 }, NOW));
    for (const index of keptIndices(retain(points, { ...policy, spacedKept: 0 }, NOW)))
      ok(again.includes(index));
  }
});
