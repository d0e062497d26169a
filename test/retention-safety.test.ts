/**
 * Nothing that is kept is ever removed (src/checkpoint/checkpoint-store.ts). Goal: whatever the policy and
 * the clock, whoever reads meanwhile, and wherever a crash falls: what a policy demands is there and restores
 * to what was recorded, a removal that was cut short is finished, and nothing stays for ever. Method: random
 * histories on the disk that loses, tears and reorders, crashed at its calls; what must be there is found out
 * by an oracle of its own, from the words of the policy.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import type { CheckpointInfo } from '../src/checkpoint/checkpoint-info.ts';
import { resolveCheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../src/checkpoint/checkpoint-store.ts';
import type { RetentionPolicy } from '../src/checkpoint/retention.ts';
import type { FoundCheckpoint } from '../src/checkpoint/survey-checkpoints.ts';
import type { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { CHECKPOINTS, CLUSTER_ID, DATA_DIR, MapState, someContent } from './support/checkpoint-disk.ts';
import { type CrashSubject, exploreCrashes, type Workload } from './support/crash-explorer.ts';
import { JumpingClock } from './support/jumping-clock.ts';
import { seedOf } from './support/seed.ts';

const HOUR_MS = 3_600_000;
const YEAR_MS = 365 * 24 * HOUR_MS;

/** A checkpoint as the outside world knows it. */
interface Point {
  readonly info: CheckpointInfo;
  readonly content: ReadonlyMap<string, string>;
}

interface Known {
  /** All that were committed, newest first; some may be gone. */
  points: Point[];
  /** Indices that must be there: by what was promised when something was removed last. */
  must: Set<number>;
  /** Name → index, of tags that are durable. */
  readonly tags: Map<string, number>;
}

/** A store on a disk, with a state and a clock that jumps. */
class Bench {
  readonly clock: JumpingClock;
  readonly state = new MapState();
  readonly store: CheckpointStore;
  readonly policy: RetentionPolicy;

  private constructor(clock: JumpingClock, store: CheckpointStore, policy: RetentionPolicy) {
    this.clock = clock;
    this.store = store;
    this.policy = policy;
  }

  static async open(fs: LossyFileSystem, seed: number, clock = new JumpingClock()): Promise<Bench> {
    const random = new SeededRandom(seed);
    const policy = somePolicy(random);
    await fs.makeDirectory(DATA_DIR);
    await fs.syncDirectory('.');
    const store = await CheckpointStore.find({
      fs,
      dataDir: DATA_DIR,
      clusterId: CLUSTER_ID,
      nodeId: 1,
      clock,
      chance: random,
      options: { ...resolveCheckpointOptions({ bufferBytes: 4096, loadConcurrency: 2 }), ...policy },
      isBusy: () => false,
    });
    const bench = new Bench(clock, store, policy);
    const open = await store.installNewest(async (checkpoint) => bench.state.install(checkpoint));
    await open?.files.close();
    await store.cleanUp();
    return bench;
  }

  async contentOf(found: FoundCheckpoint): Promise<ReadonlyMap<string, string>> {
    const open = await this.store.open(found);
    try {
      await open.verifyFirst();
      strictEqual(open.warnings.length, 0, `${found.path} is whole`);
      const state = new MapState();
      state.install(open);
      return state.content;
    } finally {
      await open.files.close();
    }
  }
}

/** Any mixture of policies; the limit of bytes is far below what `open` takes, so that it is met. */
function somePolicy(random: SeededRandom): RetentionPolicy {
  const maybe = (count: number): number => (random.happens(0.3) ? random.between(1, count) : 0);
  return {
    checkpointsKept: random.pick([1, 1, 2, 3]),
    checkpointAgeMs: random.pick([0, 0, 2 * HOUR_MS, 24 * HOUR_MS]),
    agedKept: random.pick([2, 4, 128]),
    generations: { hourly: maybe(3), daily: maybe(3), weekly: maybe(2), monthly: maybe(2) },
    spacedKept: random.pick([0, 0, 2, 4]),
    checkpointBytesMax: random.pick([0, 0, 0, 30_000]),
  };
}

/**
 * What the words of the policy demand of these, as the clock is now: the newest so many; what is tagged; what
 * is younger, unless there are too many; the newest of all hours, days; and a way back apart from the newest.
 */
function demanded(points: readonly Point[], bench: Bench, known: Known): Set<number> {
  const { checkpointsKept, checkpointAgeMs, agedKept, generations, checkpointBytesMax } = bench.policy;
  const must = new Set(points.slice(0, checkpointsKept).map(({ info }) => Number(info.index)));
  for (const index of known.tags.values()) must.add(index);
  const now = bench.clock.now();
  // Who is young is certain only where no time is wrong; a limit of bytes may take what is only wished.
  const isSteady = checkpointBytesMax === 0 && points.every(({ info }) => info.takenAt <= now);
  const young = points.filter(({ info }) => now - info.takenAt < checkpointAgeMs);
  if (isSteady && young.length <= agedKept) for (const { info } of young) must.add(info.index);
  const buckets = [
    [generations.hourly, 13],
    [generations.daily, 10],
    [generations.monthly, 7],
  ] as const;
  for (const [count, letters] of isSteady ? buckets : []) {
    const seen = new Map<string, number>();
    for (const { info } of points) {
      const bucket = new Date(info.takenAt).toISOString().slice(0, letters);
      if (!seen.has(bucket)) seen.set(bucket, info.index);
    }
    for (const index of [...seen.values()].slice(0, count)) must.add(index);
  }
  const apart = points.filter((point) => sharesNothing(point, points[0]!));
  const full = apart.find(({ info }) => info.files.length <= 1) ?? apart[0];
  if (checkpointsKept > 1 && full !== undefined) must.add(full.info.index);
  return new Set([...must].filter((index) => points.some(({ info }) => info.index === index)));
}

function sharesNothing({ info }: Point, other: Point): boolean {
  const ids = new Set(other.info.files.map(({ id }) => id));
  return !info.files.some(({ id }) => ids.has(id));
}

/** One more checkpoint, of few changes or of many; then what is old goes, while somebody reads. */
async function takeNext(bench: Bench, known: Known, random: SeededRandom): Promise<void> {
  const { state, store } = bench;
  const changes: Record<string, string | null> = {};
  for (let at = random.pick([0, 1, 3, 30, 30]); at > 0; at--) {
    const key = `key-${String(random.below(40)).padStart(5, '0')}`;
    changes[key] = random.happens(0.2) ? null : 'v'.repeat(random.pick([0, 20, 300, 2000]));
  }
  state.write(changes);
  const content = new Map(state.content);
  const index = Number(state.index);
  known.points = known.points.filter(({ info }) => info.index !== index);
  const taking = { content, index };
  known.points.unshift({ info: { index, files: [] } as never, content });
  const { info } = await store.take(state.source, state.facts);
  known.points = [{ info, content: taking.content }, ...known.points.slice(1)];
  known.must.add(index);
  await removeOld(bench, known, random);
}

/** @param random Draws who reads meanwhile; null for nobody. */
async function removeOld(bench: Bench, known: Known, random: SeededRandom | null): Promise<void> {
  const { store } = bench;
  const reader = random?.happens(0.4) ? random.pick(store.checkpoints) : null;
  const release = reader === null ? null : store.hold(reader);
  const there = new Set(store.checkpoints.map(({ info }) => Number(info.index)));
  known.points = known.points.filter(({ info }) => there.has(info.index));
  known.must = demanded(known.points, bench, known);
  const going = store.removable.map(({ path }) => path);
  const removed = await store.removeOld();
  deepStrictEqual(
    removed.map(({ path }) => path),
    going,
    'what a dry run tells goes, and nothing else',
  );
  requireKept(bench, known);
  if (reader !== null) {
    deepStrictEqual(await bench.contentOf(reader), contentAt(known, reader.info.index), 'what is read stays');
  }
  release?.();
}

function contentAt(known: Known, index: number): ReadonlyMap<string, string> {
  return known.points.find(({ info }) => info.index === index)!.content;
}

function requireKept({ store }: Bench, known: Known): void {
  const there = store.checkpoints.map(({ info }) => Number(info.index));
  for (const index of known.must)
    ok(there.includes(index), `${index} must be kept; there are ${there.join(', ')}`);
}

async function changeTags(bench: Bench, known: Known, random: SeededRandom): Promise<void> {
  const name = `tag-${random.below(3)}`;
  known.tags.delete(name); // Whether it is there is unknown until the change is durable.
  if (random.happens(0.3)) {
    await bench.store.untag(name);
    return;
  }
  const found = random.pick(bench.store.checkpoints);
  await bench.store.tag(name, found.info.index);
  known.tags.set(name, found.info.index);
}

function moveClock({ clock }: Bench, random: SeededRandom): void {
  clock.advance(random.pick([1000, HOUR_MS / 4, HOUR_MS, 30 * HOUR_MS]));
  if (random.happens(0.1)) clock.setAhead(random.pick([0, 0, -3 * YEAR_MS, HOUR_MS, 10 * YEAR_MS]));
}

/** Everything that must be there is, whole; and once more is removed, nothing is left over. */
async function check(bench: Bench, known: Known, random: SeededRandom): Promise<void> {
  const { store } = bench;
  deepStrictEqual(store.damages, [], 'a crash damages nothing');
  requireKept(bench, known);
  for (const [name, index] of known.tags) strictEqual(store.tagged(name), index, `tag ${name}`);
  for (const found of store.checkpoints) {
    deepStrictEqual(await bench.contentOf(found), contentAt(known, found.info.index), `${found.path}`);
  }
  await requireNothingLeft(bench, 'a start finishes what was begun');
  if (store.checkpoints.length === 0) return;
  moveClock(bench, random);
  for (const { name, index } of store.tags) known.tags.set(name, index);
  known.points = store.checkpoints.map((found) => ({
    info: found.info,
    content: contentAt(known, found.info.index),
  }));
  await removeOld(bench, known, random);
  // What was read goes now; and what only that kept, as the way back, after it.
  for (let round = 0; round < 3; round++) await removeOld(bench, known, null);
  ok(
    store.retained().every(({ reasons }) => reasons.length > 0),
    'what nothing keeps is gone',
  );
  await requireNothingLeft(bench, 'no file outlives what needs it');
}

async function requireNothingLeft({ store }: Bench, why: string): Promise<void> {
  const names = await namesIn(store);
  const needed = store.checkpoints.flatMap(({ path, info }) => [
    path.slice(CHECKPOINTS.length + 1),
    ...info.files.map(({ name }) => name),
  ]);
  deepStrictEqual(
    names,
    [...new Set([...needed, ...store.tags.map(({ name }) => `${name}.tag`)])].sort(),
    why,
  );
}

const disks = new WeakMap<CheckpointStore, LossyFileSystem>();

function namesIn(store: CheckpointStore): Promise<string[]> {
  return disks.get(store)!.list(CHECKPOINTS);
}

async function openBench(files: LossyFileSystem, seed: number, clock?: JumpingClock): Promise<Bench> {
  const bench = await Bench.open(files, seed, clock);
  disks.set(bench.store, files);
  return bench;
}

const subject: CrashSubject<Known> = {
  name: 'retention',
  steps: { first: 6, last: 16 },
  newKnown: () => ({ points: [], must: new Set(), tags: new Map() }),
  copyKnown: (known) => ({ ...known, must: new Set(known.must), tags: new Map(known.tags) }),
  async run(files, workload: Workload, known) {
    const random = new SeededRandom(workload.seed);
    const clock = new JumpingClock();
    let bench = await openBench(files, workload.seed, clock);
    bench.state.write(someContent(30));
    await takeNext(bench, known, random);
    for (let step = 0; step < workload.steps; step++) {
      moveClock(bench, random);
      if (random.happens(0.15)) bench = await openBench(files, workload.seed + 1 + step, clock);
      else if (random.happens(0.35)) await changeTags(bench, known, random);
      else await takeNext(bench, known, random);
    }
  },
  async restart(files, seed) {
    await openBench(files, seed);
  },
  async check(files, known, seed) {
    await check(await openBench(files, seed), subject.copyKnown(known), new SeededRandom(seed));
  },
  async goOn(files, known, random) {
    const bench = await openBench(files, random.u32());
    await check(bench, known, random);
    if (bench.state.index > 0) await takeNext(bench, known, random);
  },
};

test('retention: at every call of a crash, what must be kept is there, and nothing else stays', async (t) => {
  const { states, nested, crashes, calls } = await exploreCrashes(subject, {
    seed: seedOf(t),
    states: Number(process.env['STATES'] ?? 800),
    crashesPerWorkload: 60,
    images: { subsetUnitsMax: 2, randomSubsets: 2, byteTearsMax: 1, fillings: ['old', 'garbage'] },
    imageShare: 0.2,
  });
  t.diagnostic(`${states} states after ${crashes} crashes in ${calls} calls, ${nested} in a start`);
  ok(nested > 0);
});
