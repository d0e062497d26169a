/**
 * When a checkpoint pays (src/checkpoint/schedule). Goal: the interval is the optimum of the model, and what
 * is computed from measurements comes close to the best that a fixed interval could do. Method: tables of the
 * literature, a minimum searched by brute force, and a simulation of failures.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { toIndex } from '../src/base/positions.ts';
import { FailureRate } from '../src/checkpoint/schedule/failure-rate.ts';
import { OPTIMAL_DEFAULTS, Optimal } from '../src/checkpoint/schedule/optimal.ts';
import {
  expectedWaste,
  optimalIntervalMs,
  youngIntervalMs,
} from '../src/checkpoint/schedule/optimal-interval.ts';
import { SCHEDULE_DEFAULTS } from '../src/checkpoint/schedule/schedule-options.ts';
import { Scheduler } from '../src/checkpoint/schedule/scheduler.ts';
import { STEPWISE_DEFAULTS, Stepwise } from '../src/checkpoint/schedule/stepwise.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

for (const { cost, young, exact } of [
  { cost: 0.01, young: 8.49, exact: 8.48 },
  { cost: 1, young: 84.85, exact: 84.19 },
  { cost: 60, young: 657.3, exact: 617.9 },
  { cost: 300, young: 1469.7, exact: 1276.9 },
  { cost: 1800, young: 3600, exact: 2513.9 },
]) {
  test(`schedule: a checkpoint of ${cost} s and a failure an hour`, () => {
    const economy = { costMs: cost * 1000, mtbfMs: 3_600_000, replayShare: 1 };
    near(optimalIntervalMs(economy) / 1000, exact, 0.001);
    near(youngIntervalMs(economy) / 1000, young, 0.001);
  });
}

test('schedule: no other interval wastes less', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 200; run++) {
    const economy = {
      costMs: 10 ** (random.below(6000) / 1000 - 1),
      mtbfMs: 10 ** (2 + random.below(8000) / 1000),
      replayShare: 10 ** (-random.below(3000) / 1000),
    };
    const best = optimalIntervalMs(economy);
    const least = expectedWaste(economy, { intervalMs: best, restartMs: 1000 });
    for (const factor of [0.5, 0.9, 0.99, 1.01, 1.1, 2]) {
      const waste = expectedWaste(economy, { intervalMs: best * factor, restartMs: 1000 });
      ok(
        waste >= least - 1e-12,
        `${JSON.stringify(economy)}: ${factor} of ${best} ms wastes ${waste}, not ${least}`,
      );
    }
  }
});

test("schedule: with cheap checkpoints it is Young's; it grows with cost and time between failures", () => {
  for (const mtbfMs of [1e6, 1e8, 1e10, 1e12]) {
    const economy = { costMs: mtbfMs * 1e-4, mtbfMs, replayShare: 1 };
    near(optimalIntervalMs(economy), youngIntervalMs(economy), 0.01);
  }
  const at = (costMs: number, mtbfMs: number): number =>
    optimalIntervalMs({ costMs, mtbfMs, replayShare: 0.1 });
  for (let power = -3; power < 12; power++) {
    ok(at(10 ** power, 1e7) < at(10 ** (power + 1), 1e7) || at(10 ** power, 1e7) === 1e8, `cost 1e${power}`);
    ok(at(5, 10 ** power) < at(5, 10 ** (power + 1)), `failures 1e${power}`);
  }
});

test('schedule: the mean time between failures is learnt, and what is long past is forgotten', (t) => {
  const random = new SeededRandom(seedOf(t));
  const rate = new FailureRate(1e9);
  near(rate.mtbfMs, 24 * 3_600_000, 0.001);
  live(rate, random, { mtbfMs: 3_600_000, failures: 400 });
  near(rate.mtbfMs, 3_600_000, 0.25);
  live(rate, random, { mtbfMs: 60_000, failures: 40_000 });
  near(rate.mtbfMs, 60_000, 0.25);
});

test('schedule: stepwise begins at a minute, and stays between ten seconds and five minutes', () => {
  const calm = new Stepwise(STEPWISE_DEFAULTS);
  strictEqual(calm.taken(1001), 72_000);
  strictEqual(calm.taken(1000), 72_000, 'a checkpoint that is not dear');
  for (let at = 0; at < 20; at++) calm.taken(5000);
  strictEqual(calm.intervalMs, 300_000);
  const shaky = new Stepwise(STEPWISE_DEFAULTS);
  shaky.failed();
  shaky.failed();
  strictEqual(shaky.taken(5000), 48_000);
  for (let at = 0; at < 20; at++) {
    shaky.failed();
    shaky.taken(5000);
  }
  strictEqual(shaky.intervalMs, 10_000);
});

test('schedule: optimal stays inside its bounds, and the lower ones win', () => {
  const measured = { costMs: 100, mtbfMs: 3_600_000, replayShare: 0.2, durationMs: 2000, restartMs: 1000 };
  const free = Math.sqrt((2 * 100 * 3_600_000) / 0.2);
  near(new Optimal(OPTIMAL_DEFAULTS).taken(measured), free, 0.02);
  const bounds = (options: Partial<typeof OPTIMAL_DEFAULTS>, now = measured): number =>
    new Optimal({ ...OPTIMAL_DEFAULTS, ...options }).taken(now);
  strictEqual(bounds({ intervalMsMax: 20_000 }), 20_000);
  strictEqual(bounds({ rpoMs: 15_000 }), 15_000);
  strictEqual(bounds({ rtoMs: 4000 }), 15_000, 'three seconds of replay are what came in fifteen');
  strictEqual(bounds({ rtoMs: 500 }), 10_000, 'a bound that cannot be met');
  strictEqual(bounds({ rpoMs: 15_000 }, { ...measured, durationMs: 20_000 }), 24_000);
});

test('schedule: optimal does not follow every small change', () => {
  const optimal = new Optimal(OPTIMAL_DEFAULTS);
  const measured = { costMs: 100, mtbfMs: 3_600_000, replayShare: 0.2, durationMs: 200, restartMs: 1000 };
  const first = optimal.taken(measured);
  strictEqual(optimal.taken({ ...measured, costMs: 120 }), first);
  ok(optimal.taken({ ...measured, costMs: 200 }) > first * 1.3);
});

test('schedule: while the newest one holds the state none is asked for', async () => {
  const clock = new ManualClock();
  let entries = 7; // Parts of a rewind that was given up: entries that change nothing.
  let asked = 0;
  const scheduler = new Scheduler({
    clock,
    schedule: { ...SCHEDULE_DEFAULTS, checkpointEntries: 2 },
    position: () => ({ entries, bytes: 0, commands: 0 }),
    take: () => {
      asked++;
      return Promise.resolve();
    },
    newest: toIndex(5),
    start: { restartMs: 0, commandsReplayed: 0, replayMs: 0 },
    failures: { failures: 0, servedMs: 0 },
  });
  scheduler.advanced();
  for (let at = 0; at < 10; at++) {
    await turn();
    clock.advance(1000);
  }
  strictEqual(asked, 1);
  clock.advance(3_600_000);
  await turn();
  strictEqual(asked, 1, 'nothing has changed since');
  entries += 2;
  scheduler.advanced();
  await turn();
  strictEqual(asked, 2);
  scheduler.stop();
});

test('schedule: after an attempt that failed the next comes by the clock, later and later', async () => {
  const clock = new ManualClock();
  const began = clock.now();
  const attempts: number[] = [];
  const scheduler: Scheduler = new Scheduler({
    clock,
    schedule: { ...SCHEDULE_DEFAULTS, checkpointEntries: 1 },
    position: () => ({ entries: 9, bytes: 0, commands: 0 }),
    take: async () => {
      attempts.push((clock.now() - began) / 1000);
      scheduler.attemptFailed();
    },
    newest: toIndex(0),
    start: { restartMs: 0, commandsReplayed: 0, replayMs: 0 },
    failures: { failures: 0, servedMs: 0 },
  });
  scheduler.advanced();
  for (let second = 0; second < 12_000; second++) {
    await turn();
    scheduler.advanced(); // Entries go on coming, and do not make it ask.
    clock.advance(1000);
  }
  scheduler.stop();
  const pauses = attempts.slice(1).map((at, place) => at - attempts[place]!);
  deepStrictEqual(pauses, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600]);
});

for (const { name, costMs, mtbfMs, replayShare } of [
  { name: 'a failure a minute', costMs: 40, mtbfMs: 60_000, replayShare: 0.5 },
  { name: 'a failure an hour', costMs: 500, mtbfMs: 3_600_000, replayShare: 0.2 },
  { name: 'dear checkpoints', costMs: 20_000, mtbfMs: 600_000, replayShare: 1 },
]) {
  test(`schedule: optimal wastes at most 5 % more than the best fixed interval: ${name}`, (t) => {
    const seed = seedOf(t);
    const world = { costMs, mtbfMs, replayShare, restartMs: 1000, failures: 20_000 };
    const best = optimalIntervalMs(world);
    let least = Infinity;
    for (let factor = 0.25; factor <= 4; factor *= 1.1) {
      const intervalMs = best * factor;
      least = Math.min(
        least,
        simulate(world, new SeededRandom(seed), { next: () => intervalMs, failed: nothing }),
      );
    }
    const adaptive = simulate(world, new SeededRandom(seed), learning(world));
    t.diagnostic(`wasted ${percent(adaptive)}, the best fixed interval ${percent(least)}`);
    ok(adaptive <= least * 1.05, `${percent(adaptive)} is more than 1.05 of ${percent(least)}`);
  });
}

interface World {
  readonly costMs: number;
  readonly mtbfMs: number;
  readonly replayShare: number;
  readonly restartMs: number;
  readonly failures: number;
}

interface Policy {
  /** A checkpoint was taken, or the node started: time until the next. */
  next(workedMs: number): number;
  failed(workedMs: number): void;
}

/** What ships, fed with what it would measure: it begins without knowing how often the node fails. */
function learning({ costMs, replayShare, restartMs }: World): Policy {
  const rate = new FailureRate(30 * 24 * 3_600_000);
  const optimal = new Optimal({ ...OPTIMAL_DEFAULTS, pauseMsMin: 100 });
  const next = (): number =>
    optimal.taken({ costMs, mtbfMs: rate.mtbfMs, replayShare, durationMs: costMs, restartMs });
  return {
    next(workedMs) {
      rate.served(workedMs);
      return next();
    },
    failed(workedMs) {
      rate.served(workedMs);
      rate.failed();
    },
  };
}

/** Lives through failures at random times; returns the share of the time that was not work. */
function simulate(world: World, random: SeededRandom, policy: Policy): number {
  const { costMs, mtbfMs, replayShare, restartMs, failures } = world;
  let worked = 0;
  let wasted = 0;
  let sinceCheckpoint = 0;
  let interval = policy.next(0);
  for (let failure = 0; failure < failures; failure++) {
    let left = exponential(random, mtbfMs);
    let life = left;
    for (;;) {
      const step = interval - sinceCheckpoint;
      if (left < step + costMs) break;
      left -= step + costMs;
      worked += step;
      wasted += costMs;
      life = left;
      sinceCheckpoint = 0;
      interval = policy.next(step + costMs);
    }
    const done = Math.min(left, interval - sinceCheckpoint);
    worked += done;
    sinceCheckpoint += done;
    wasted += left - done; // A checkpoint that was not finished.
    wasted += restartMs + sinceCheckpoint * replayShare;
    policy.failed(life);
  }
  return wasted / (worked + wasted);
}

function live(rate: FailureRate, random: SeededRandom, world: { mtbfMs: number; failures: number }): void {
  for (let failure = 0; failure < world.failures; failure++) {
    rate.served(exponential(random, world.mtbfMs));
    rate.failed();
  }
}

function exponential(random: SeededRandom, mean: number): number {
  return -Math.log(1 - random.below(2 ** 30) / 2 ** 30) * mean;
}

function near(got: number, want: number, tolerance: number): void {
  ok(Math.abs(got - want) <= tolerance * want, `${got} is not within ${100 * tolerance} % of ${want}`);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(3)} %`;
}

function nothing(): void {}
