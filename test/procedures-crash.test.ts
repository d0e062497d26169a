/**
 * Procedures cut short (src/procedures/). Goal: whatever is interrupted, a procedure that goes forward ends
 * with every effect once by its key, and one that goes backward with all of them or with none that holds; a
 * command that is a step took effect as often as its record says. Method: a process that ends before and
 * after every effect, and at every call of a disk that loses, tears and reorders, also while it recovers;
 * then random procedures, cut short at random, again and again.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import type { Recovery } from '../src/engine/procedure-record.ts';
import { open } from '../src/node/open.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import {
  ATTEMPTS,
  checkPlan,
  OutsideWorld,
  type Plan,
  type PlannedStep,
  randomPlan,
  stepsTaken,
  tally,
  type Walk,
} from './support/outside-world.ts';
import { seedOf } from './support/seed.ts';

const DIR = 'data';
const SMALL = { log: { segmentBytes: 64 * 1024 }, checkpoint: { checkpointOnClose: false } };

/** Each start draws other ids: segments of the log are told apart by them. */
let starts = 0;

function openOn(fs: LossyFileSystem, procedures: readonly Walk[]) {
  const doors = { fs, chance: new SeededRandom(++starts) };
  return open({ machine: tally, dir: DIR, ...SMALL, procedures, doors });
}

/** Where a process ends: at a call of the world or of the disk, counted from 1; Infinity lives on. */
interface Death {
  readonly by: 'world' | 'disk';
  readonly at: number;
}

const SURVIVES: Death = { by: 'world', at: Infinity };

/** What a process did: whether it died, and how many calls of each kind it came to. */
interface Life {
  readonly hasDied: boolean;
  readonly calls: Record<Death['by'], number>;
}

/** Runs what is unfinished, and these plans, until all is over or stuck, or the process dies. */
async function live(
  files: LossyFileSystem,
  world: OutsideWorld,
  plans: Readonly<Record<Recovery, readonly Plan[]>>,
  death: Death,
): Promise<Life> {
  const connection = world.connect();
  let calls = 0;
  connection.onCall = () => {
    if (++calls === death.at && death.by === 'world') files.crash();
    if (files.hasCrashed) connection.die();
  };
  if (death.by === 'disk' && death.at !== Infinity) files.crashAt(files.callCount + death.at);
  const before = files.callCount;
  try {
    const node = await openOn(files, connection.walks);
    await node.whenLoaded().catch(() => undefined);
    for (const walk of connection.walks) {
      for (const plan of plans[walk.recovery]) {
        // What came of it is checked at the end.
        node.run(walk, plan, { id: plan.id }).catch(() => undefined);
      }
    }
    await node.query('count', 'anything').catch(() => undefined); // Those that begin are in the list.
    await node.sync().catch(() => undefined);
    while (!files.hasCrashed && node.procedures().some(({ status }) => status !== 'stuck')) {
      await new Promise((resolve) => setImmediate(resolve));
    }
    if (!files.hasCrashed) await node.close();
    else await node.close().catch(() => undefined);
  } catch (error) {
    if (!files.hasCrashed) throw error;
  }
  connection.die();
  return { hasDied: files.hasCrashed, calls: { world: calls, disk: files.callCount - before } };
}

/** With the world mended, everything is brought to its end; then it is what it must be. */
async function checkEnd(
  files: LossyFileSystem,
  world: OutsideWorld,
  plans: Readonly<Record<Recovery, readonly Plan[]>>,
): Promise<void> {
  world.isMended = true;
  const connection = world.connect();
  const node = await openOn(files, connection.walks);
  const count = (name: string): Promise<number> => node.query('count', name);
  for (const walk of connection.walks) {
    for (const plan of plans[walk.recovery]) {
      const outcome = await node.run(walk, plan, { id: plan.id }).then(
        (results) => results.length,
        (error: Error) => error,
      );
      const all = stepsTaken(plan, true);
      const isDone = typeof outcome === 'number';
      if (isDone) strictEqual(outcome, plan.steps.length, plan.id);
      if (walk.recovery === 'forward') strictEqual(isDone, all === plan.steps.length, String(outcome));
      const holds = walk.recovery === 'forward' || isDone;
      await checkPlan(plan, walk.recovery, world, count, { taken: all, holds });
    }
  }
  deepStrictEqual(node.procedures(), []);
  await node.close();
}

const EFFECT: PlannedStep = { kind: 'effect', failures: 0, end: 'done', failsAfter: false };
const COMMAND: PlannedStep = { ...EFFECT, kind: 'command' };

/** One that comes to its end, one whose last step breaks behind its effect, one that is refused. */
const PLANS: readonly Plan[] = [
  { id: 'whole', steps: [EFFECT, COMMAND, EFFECT] },
  { id: 'broken', steps: [EFFECT, COMMAND, { ...EFFECT, end: 'breaks', failsAfter: true }] },
  { id: 'refused', steps: [EFFECT, COMMAND, { ...COMMAND, end: 'refused' }] },
];

for (const recovery of ['forward', 'backward'] as const) {
  for (const by of ['world', 'disk'] as const) {
    test(`procedure crash: ${recovery}, ended at every call of the ${by}, and in recovery`, async (t) => {
      const random = new SeededRandom(seedOf(t));
      let states = 0;
      for (const plan of PLANS) {
        const plans = { forward: [], backward: [], [recovery]: [plan] };
        const none = { forward: [], backward: [] };
        // Of the disk about every second call: with a seed of its own each run meets others.
        for (let at = 1; ; at += by === 'world' ? 1 : 1 + random.below(3)) {
          const world = new OutsideWorld();
          const files = new LossyFileSystem({ seed: at });
          const first = await live(files, world, plans, { by, at });
          if (!first.hasDied) break;
          const { files: second } = files.powerCut(random);
          const again = { by: random.below(2) === 0 ? 'world' : 'disk', at: 1 + random.below(30) } as const;
          const next = await live(second, world, none, again);
          const third = next.hasDied ? second.powerCut(random).files : second.kill();
          await checkEnd(third, world, plans);
          states++;
        }
      }
      t.diagnostic(`${states} crashes`);
      ok(states > 10, `${states} crashes`);
    });
  }
}

test('procedure crash: random procedures, many at once, cut short again and again', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  let deaths = 0;
  for (let round = 0; round < 40; round++) {
    const world = new OutsideWorld();
    const plansOf = (prefix: string): Plan[] =>
      Array.from({ length: random.below(4) }, (_, at) => randomPlan(random, `${prefix}${at}`));
    const plans = { forward: plansOf('f'), backward: plansOf('b') };
    let files = new LossyFileSystem({ seed: random.u32() });
    for (let life = 0; life < 4; life++) {
      const by = random.below(2) === 0 ? ('world' as const) : ('disk' as const);
      const { hasDied } = await live(files, world, plans, { by, at: 1 + random.below(80) });
      if (hasDied) deaths++;
      files = random.below(2) === 0 ? files.kill() : files.powerCut(random).files;
    }
    await checkEnd(files, world, plans);
  }
  t.diagnostic(`${deaths} deaths`);
  ok(deaths > 30, `${deaths} deaths`);
});

test('procedure crash: without one, every plan comes to its end as it is', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const world = new OutsideWorld();
  const plans = {
    forward: Array.from({ length: 30 }, (_, at) => randomPlan(random, `f${at}`)),
    backward: Array.from({ length: 30 }, (_, at) => randomPlan(random, `b${at}`)),
  };
  const files = new LossyFileSystem({ seed: 1 });
  const { calls } = await live(files, world, plans, SURVIVES);
  ok(calls.world > 30 && calls.world < 60 * 4 * ATTEMPTS * 4, `${calls.world} calls`);
  await checkEnd(files, world, plans);
});

test('procedure crash: rewound while many run, each command took effect as its record says', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const world = new OutsideWorld();
  const { walks } = world.connect();
  const forward = walks.find(({ recovery }) => recovery === 'forward')!;
  await using node = await openOn(new LossyFileSystem({ seed: random.u32() }), walks);
  const plans = Array.from({ length: 40 }, (_, at) => ({
    id: `${at}`,
    steps: [EFFECT, COMMAND, EFFECT, COMMAND, COMMAND],
  }));
  let rewinds = 0;
  const runs = plans.map(async (plan) => {
    for (let turn = random.below(60); turn > 0; turn--) await new Promise((resolve) => setImmediate(resolve));
    await node.run(forward, plan, { id: plan.id }).catch((error: unknown) => {
      ok(isTidemarkError(error, 'TIDEMARK_PROCEDURE_GONE'), String(error));
    });
  });
  for (let turn = 0; turn < 6; turn++) {
    await node.submit('add', 'between');
    const { index } = await node.root();
    await node.rewind(1 + random.below(index));
    rewinds++;
  }
  await Promise.all(runs);
  t.diagnostic(`${rewinds} rewinds`);
  for (const plan of plans) {
    strictEqual((await node.run(forward, plan, { id: plan.id })).length, 5);
    const count = (name: string): Promise<number> => node.query('count', name);
    await checkPlan(plan, 'forward', world, count, { taken: 5, holds: true });
  }
});
