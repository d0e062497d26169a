/**
 * The tools of simulations (src/testing/: swarm, fault-counts, event-trace, workload, run-seeds). Goal: a
 * range of seeds finds what is wrong and nothing else, and a seed gives the same everywhere. Method: a small
 * server behind a bad network, right and with one bug each, in this thread and in others.
 */

import { deepStrictEqual, match, notStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { EventTrace } from '../src/testing/event-trace.ts';
import { FaultCounts, FaultTable, shownFaults } from '../src/testing/fault-counts.ts';
import {
  type RunSeedsOptions,
  runSeeds,
  type SeedsProgress,
  shownSummary,
} from '../src/testing/run-seeds.ts';
import { type FaultKind, Swarm } from '../src/testing/swarm.ts';
import { seedOf } from './support/seed.ts';
import {
  simulateLostWrites,
  simulateNoSessions,
  simulateRight,
  simulateStaleReads,
  simulateThrowing,
  simulateTornTransfers,
} from './support/tiny-simulation.ts';

const SIMULATION = new URL('./support/tiny-simulation.js', import.meta.url).href;

test('run-seeds: a right system has no violation, and its faults happened', async (t) => {
  const first = seedOf(t);
  const summary = await runSeeds({ first, last: first + 29, simulate: simulateRight });
  t.diagnostic(shownSummary(summary));
  deepStrictEqual(
    [summary.seeds, summary.violations, summary.failures.length],
    [30, 0, 0],
    shownSummary(summary),
  );
  ok(summary.simulatedHours > 0 && summary.counts['operations']! > 30 * 2 * 60 - 1);
  deepStrictEqual(
    summary.faults.map(({ kind }) => kind),
    ['network.delay', 'network.drop-reply', 'network.drop-request', 'network.repeat', 'server.refuse'],
  );
  for (const { kind, times, runs } of summary.faults) ok(times >= runs && runs > 0 && runs < 30, kind);
});

for (const [bug, simulate, checker] of [
  ['reads of the state before', simulateStaleReads, 'linearizability'],
  ['a server without sessions', simulateNoSessions, 'linearizability'],
  ['writes that are lost', simulateLostWrites, 'acknowledged-kept'],
  ['transfers that are torn', simulateTornTransfers, 'conserved-total'],
] as const) {
  test(`run-seeds: ${bug} are found, and replay identically`, async (t) => {
    const first = seedOf(t);
    const summary = await runSeeds({ first, last: first + 29, simulate, onViolation: 'stop' });
    strictEqual(summary.failures.length, 1);
    const { report, replay } = summary.failures[0]!;
    t.diagnostic(`found by seed ${report.seed - first + 1} of 30`);
    strictEqual(replay, 'identical');
    ok(
      report.violations.some((violation) => violation.checker === checker),
      shownSummary(summary),
    );
    strictEqual(summary.seeds, report.seed - first + 1, 'it stopped there');
    match(shownSummary(summary), new RegExp(`^seed ${report.seed} failed: seed=${report.seed} .*clients=`));
    ok(report.lastEvents.length > 0 && report.lastEvents.length <= 30);
    const times = report.violations.flatMap(({ facts }) =>
      typeof facts['ms'] === 'number' ? [facts['ms']] : [],
    );
    if (times.length === 0) return; // A write that was lost, and that nobody missed.
    const lastMs = Number.parseFloat(report.lastEvents.at(-1)!);
    strictEqual(lastMs, Math.min(...times), 'the last event is the first answer that was wrong');
  });
}

test('run-seeds: threads give what this thread gives', async () => {
  const range = { first: 100, last: 111, onViolation: 'go-on' } as const;
  const seen: SeedsProgress[] = [];
  const onProgress = (progress: SeedsProgress) => seen.push(progress);
  const simulate = { url: SIMULATION, name: 'simulateNoSessions' };
  const here = await runSeeds({ ...range, simulate: simulateNoSessions });
  const there = await runSeeds({ ...range, simulate, threads: 3, onProgress });
  deepStrictEqual({ ...there, realSeconds: 0 }, { ...here, realSeconds: 0 });
  ok(here.failures.length > 0);
  deepStrictEqual(
    seen.map(({ done, seeds }) => [done, seeds]),
    Array.from({ length: 12 }, (_, at) => [at + 1, 12]),
  );
  deepStrictEqual(JSON.parse(JSON.stringify(there)), there, 'it is plain data');
});

test('run-seeds: a simulation that throws is a failure of its seed, here and in threads', async () => {
  const range = { first: 1, last: 5, onViolation: 'go-on' } as const;
  for (const simulate of [simulateThrowing, { url: SIMULATION, name: 'simulateThrowing' }]) {
    const summary = await runSeeds({ ...range, simulate, threads: 2 });
    strictEqual(summary.seeds, 5);
    deepStrictEqual(
      summary.failures.map(({ report }) => [report.seed, report.violations[0]!.checker]),
      [[3, 'thrown']],
    );
    match(summary.failures[0]!.report.violations[0]!.message, /the simulation is wrong itself/);
  }
});

test('run-seeds: a module that is not there fails, it does not hang', async () => {
  const simulate = { url: `${SIMULATION}.missing`, name: 'simulate' };
  const summary = await runSeeds({ first: 1, last: 1, simulate, threads: 1 });
  match(summary.failures[0]!.report.violations[0]!.message, /Cannot find module/);
});

test('run-seeds: a replay that differs is said', async () => {
  let runs = 0;
  const simulate: RunSeedsOptions['simulate'] = (seed, focus) => ({
    ...simulateRight(seed, focus),
    traceHash: String(runs++),
    violations: [{ checker: 'chance', message: 'it depends', facts: {} }],
  });
  const summary = await runSeeds({ first: 1, last: 1, simulate });
  strictEqual(summary.failures[0]!.replay, 'different');
  match(shownSummary(summary), /ITS REPLAY IS DIFFERENT/);
});

test('run-seeds: a range that cannot be is refused', async () => {
  for (const wrong of [
    { first: 2, last: 1 },
    { first: -1, last: 1 },
    { first: 1, last: 2, threads: 0 },
  ]) {
    await rejects(runSeeds({ simulate: simulateRight, ...wrong }), (error) =>
      isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'),
    );
  }
});

test('swarm: a seed draws the same, whatever else is drawn', (t) => {
  const kinds: FaultKind[] = Array.from({ length: 30 }, (_, at) => ({
    name: `area.kind-${at}`,
    rate: [0.001, 0.5],
  }));
  const seed = seedOf(t);
  const before = new Swarm(seed).ratesOf(kinds);
  const added = new Swarm(seed).ratesOf([{ name: 'area.new', rate: [0.1, 0.2] }, ...kinds.toReversed()]);
  for (const { name } of kinds) strictEqual(added[name], before[name]);
  deepStrictEqual(new Swarm(seed).ratesOf(kinds), before);
});

test('swarm: seeds draw different mixes, and every kind is on in about its share', () => {
  const kind: FaultKind = { name: 'disk.torn-write', share: 0.25, rate: [0.01, 0.1] };
  const rates = Array.from({ length: 2000 }, (_, seed) => new Swarm(seed).rateOf(kind));
  const on = rates.filter((rate) => rate > 0);
  ok(on.length > 400 && on.length < 600, `${on.length} of 2000`);
  ok(on.every((rate) => rate >= 0.01 && rate <= 0.1));
  const both = Array.from({ length: 2000 }, (_, seed) => {
    const swarm = new Swarm(seed);
    return swarm.rateOf(kind) > 0 && swarm.rateOf({ ...kind, name: 'disk.lost-write' }) > 0;
  }).filter(Boolean).length;
  ok(both > 80 && both < 170, `${both} of 2000: one does not follow from the other`);
});

test('swarm: it says in one line what was drawn', () => {
  const swarm = new Swarm(7);
  swarm.choose('replicas', [3]);
  swarm.size('clients', 5, 5);
  swarm.ratesOf([
    { name: 'network.drop', share: 1, rate: [0.25, 0.25] },
    { name: 'clock.jump', share: 0, rate: [0.1, 0.2] },
  ]);
  strictEqual(swarm.describe(), 'seed=7 replicas=3 clients=5 network.drop=0.25');
  notStrictEqual(new Swarm(8).stream('a').u32(), new Swarm(7).stream('a').u32());
});

test('faults: what happened is counted, and what was not declared is a bug', () => {
  const counts = new FaultCounts(['network.drop', 'disk.full']);
  counts.happened('network.drop');
  counts.happened('network.drop', 1200);
  let error: unknown;
  try {
    counts.happened('network.drp');
  } catch (thrown) {
    error = thrown;
  }
  ok(error instanceof InvariantViolation);
  const table = new FaultTable();
  table.add(counts.totals());
  table.add(counts.totals());
  strictEqual(
    shownFaults(table.rows()),
    [
      'fault                times    in runs',
      'disk.full                0          0',
      'network.drop         2,402          2',
    ].join('\n'),
  );
});

test('trace: the last events are kept, and all of them count', () => {
  const run = (events: number, last = 'the end'): [readonly string[], string] => {
    const trace = new EventTrace(null, 3);
    for (let at = 0; at < events; at++) trace.note(at, 'r1', `event ${at}`);
    trace.note(events, 'r1', last);
    return [trace.last(), trace.end()];
  };
  const [kept, hash] = run(10);
  deepStrictEqual(
    kept.map((line) => line.trim()),
    ['8.000  r1        event 8', '9.000  r1        event 9', '10.000  r1        the end'],
  );
  strictEqual(run(10)[1], hash);
  notStrictEqual(run(11)[1], hash);
  notStrictEqual(run(10, 'another end')[1], hash);
  strictEqual(run(1)[0].length, 2);

  const focused = new EventTrace({ untilMs: 4 }, 3);
  for (let at = 0; at < 10; at++) focused.note(at, 'r1', `event ${at}`);
  focused.note(10, 'r1', 'the end');
  deepStrictEqual(
    focused.last().map((line) => line.slice(-7)),
    ['event 2', 'event 3', 'event 4'],
  );
  strictEqual(focused.end(), hash, 'it is the same run');
  strictEqual(run(20_000)[1], run(20_000)[1]);
});
