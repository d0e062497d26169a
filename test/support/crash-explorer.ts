/**
 * Crash at every I/O call of a node, with every bounded legal outcome of the power cut, recovery of each, and
 * crashes inside recovery: the invariants that must hold in every one of these states.
 *
 * The machine numbers its commands: command k is refused unless k-1 came right before it. So the state tells
 * which prefix of the history took effect, and whether any command was lost in the middle, doubled or
 * invented.
 */

import { ok, strictEqual } from 'node:assert';
import { setImmediate as turn } from 'node:timers/promises';
import { table } from '../../src/engine/table.ts';
import { machine } from '../../src/engine/typed-machine.ts';
import { open } from '../../src/node/open.ts';
import type { CrashImageOptions } from '../../src/testing/crash-choices.ts';
import { type CrashImage, LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';

const DIR = 'data';

export const history = machine({
  name: 'history',
  tables: { progress: table<number>(), blobs: table<Uint8Array>() },
  commands: {
    step({ progress, blobs }, { k, blob }: { k: number; blob: Uint8Array }) {
      const before = progress.get('last') ?? 0;
      progress.set('last', k); // Undone when the check below refuses.
      if (before !== k - 1) throw new Error(`step ${k} follows ${before}`);
      blobs.set(`blob-${k % 8}`, blob);
      return k;
    },
    refuse({ progress }) {
      progress.set('last', -1);
      throw new Error('refused on purpose');
    },
  },
  queries: { last: ({ progress }) => progress.get('last') ?? 0 },
});

type HistoryNode = Awaited<ReturnType<typeof openHistory>>;

/** What the outside world knows: how far commands were sent, and how far they were acknowledged. */
export interface Known {
  sent: number;
  acknowledged: number;
}

export interface Workload {
  readonly seed: number;
  /** Batches of commands; after some the node is closed and opened again. */
  readonly batches: number;
}

function openHistory(files: LossyFileSystem, seed: number) {
  const doors = { fs: files, clock: new ManualClock(), chance: new SeededRandom(seed) };
  return open({ machine: history, dir: DIR, log: { segmentBytes: 64 * 1024 }, doors });
}

/** Runs the workload until it ends or the disk crashes; `known` says what was promised by then. */
export async function runWorkload(files: LossyFileSystem, workload: Workload, known: Known): Promise<void> {
  const random = new SeededRandom(workload.seed);
  let node = await openHistory(files, workload.seed);
  for (let batch = 0; batch < workload.batches; batch++) {
    await submitBatch(node, random, known);
    if (!random.happens(0.15)) continue;
    await node.close();
    node = await openHistory(files, workload.seed + 1 + batch); // Ids of segments are never drawn twice.
  }
  await node.close();
}

async function submitBatch(node: HistoryNode, random: SeededRandom, known: Known): Promise<void> {
  const size = random.between(1, 4);
  const answers: Promise<unknown>[] = [];
  const failures: unknown[] = [];
  for (let at = 0; at < size; at++) {
    const k = ++known.sent;
    const blob = random.fill(new Uint8Array(random.pick([0, 10, 700, 5000, 9000])));
    const answer = node.submit('step', { k, blob }).then((result) => {
      strictEqual(result, k);
      known.acknowledged = k;
    });
    answers.push(answer.catch((error: unknown) => failures.push(error)));
    if (random.happens(0.1)) answers.push(node.submit('refuse').catch(() => undefined));
    if (random.happens(0.3)) await turn();
  }
  await Promise.all(answers);
  if (failures.length > 0) throw failures[0];
}

/**
 * Opens what a crash left, and checks that exactly a prefix is there that holds all that was acknowledged.
 */
export async function checkRecovered(files: LossyFileSystem, known: Known, seed: number): Promise<void> {
  const node = await openHistory(files, seed);
  const last = await node.query('last');
  ok(last >= known.acknowledged, `${known.acknowledged} was acknowledged, and ${last} is the last there`);
  ok(last <= known.sent, `${last} is there, and ${known.sent} was the last sent`);
  // The node goes on, and what it acknowledges now is there after the next start.
  strictEqual(await node.submit('step', { k: last + 1, blob: new Uint8Array(3) }), last + 1);
  await node.close();
  const again = await openHistory(files, seed + 1);
  strictEqual(await again.query('last'), last + 1);
  await again.close();
}

/** How many I/O calls the workload makes when nothing crashes. */
export async function countCalls(workload: Workload): Promise<number> {
  const files = new LossyFileSystem({ seed: workload.seed });
  await runWorkload(files, workload, { sent: 0, acknowledged: 0 });
  return files.callCount;
}

/** Runs the workload up to a crash at `call`. Returns null when it ended before. */
export async function crashWorkload(
  workload: Workload,
  call: number,
  effect: 'none' | 'done',
): Promise<{ files: LossyFileSystem; known: Known } | null> {
  const files = new LossyFileSystem({ seed: workload.seed });
  files.crashAt(call, effect);
  const known = { sent: 0, acknowledged: 0 };
  try {
    await runWorkload(files, workload, known);
  } catch (error) {
    if (!files.hasCrashed) throw error;
  }
  await turn();
  return files.hasCrashed ? { files, known } : null;
}

export interface Explored {
  /** Post-crash states recovered and checked. */
  states: number;
  /** Of these, states after a crash inside recovery. */
  nested: number;
}

export interface ExploreOptions {
  readonly images: CrashImageOptions;
  /** Share of the images that are tried, 0 to 1. */
  readonly imageShare: number;
  /** How deep recovery itself is crashed. */
  readonly depth: number;
  /** Share of the states whose recovery is crashed too, 0 to 1. */
  readonly nestedShare: number;
  readonly random: SeededRandom;
  readonly explored: Explored;
  /** Where the state came from, to print when it fails. */
  readonly path: readonly string[];
}

/** Recovers and checks every image of a crashed disk; some recoveries are crashed at a call of their own. */
export async function exploreImages(
  files: LossyFileSystem,
  known: Known,
  options: ExploreOptions,
): Promise<void> {
  for (const image of files.crashImages(options.images)) {
    if (options.random.happens(options.imageShare)) await exploreImage(image, known, options);
  }
}

async function exploreImage(image: CrashImage, known: Known, options: ExploreOptions): Promise<void> {
  const { random, explored, depth, nestedShare } = options;
  const path = [...options.path, image.choice];
  const seed = random.u32();
  try {
    explored.states++;
    if (depth > 0 && random.happens(nestedShare)) {
      await crashRecovery(image.files, known, { ...options, path }, seed);
    } else {
      await checkRecovered(image.files, known, seed);
    }
  } catch (error) {
    if (error instanceof CrashStateFailure) throw error;
    throw new CrashStateFailure(path, image.describe(), error);
  }
}

/** Starts recovery, crashes it at a random call, and explores a few of the outcomes. */
async function crashRecovery(
  files: LossyFileSystem,
  known: Known,
  options: ExploreOptions,
  seed: number,
): Promise<void> {
  const call = files.callCount + options.random.between(1, 40);
  files.crashAt(call, options.random.pick(['none', 'done'] as const));
  try {
    const node = await openHistory(files, seed);
    await node.close();
  } catch (error) {
    if (!files.hasCrashed) throw error;
  }
  await turn();
  if (!files.hasCrashed) files.crash();
  const path = [...options.path, `recovery crashed at call ${call}`];
  const images = { ...options.images, subsetUnitsMax: 2, randomSubsets: 2, byteTearsMax: 1 };
  for (const image of files.crashImages(images)) {
    if (!options.random.happens(0.2)) continue;
    options.explored.nested++;
    await exploreImage(image, known, { ...options, path, images, depth: options.depth - 1 });
  }
}

/**
 * The process is killed, the cache survives, it starts again, acknowledges more; then the power goes. What
 * the second process only read from the cache must not count as durable (checklist B7, F2).
 */
export async function exploreKill(
  files: LossyFileSystem,
  known: Known,
  options: ExploreOptions,
): Promise<void> {
  const survivor = files.kill();
  const { random } = options;
  const path = [...options.path, 'killed, started again'];
  const stopAt = random.happens(0.5) ? survivor.callCount + random.between(1, 80) : Number.MAX_SAFE_INTEGER;
  survivor.crashAt(stopAt);
  const later = { ...known };
  try {
    const node = await openHistory(survivor, random.u32());
    const last = await node.query('last');
    ok(last >= known.acknowledged && last <= known.sent, `${last} after a kill, ${JSON.stringify(known)}`);
    // A query answers from the recovered state: whoever saw it may rely on it.
    later.acknowledged = last;
    later.sent = last + 1;
    await node.submit('step', { k: last + 1, blob: new Uint8Array(100) });
    later.acknowledged = last + 1;
  } catch (error) {
    if (!survivor.hasCrashed) throw new CrashStateFailure(path, '', error);
  }
  await turn();
  if (!survivor.hasCrashed) survivor.crash();
  await exploreImages(survivor, later, { ...options, path, nestedShare: 0 });
}

export interface Soak {
  readonly seed: number;
  /** Where workloads are crashed: at every I/O call, before and after it took effect, or at so many. */
  readonly crashesPerWorkload: number | 'every';
  /** No more crashes are begun once so many states were checked. */
  readonly states: number;
  readonly images: CrashImageOptions;
  /** Share of the images that are tried, 0 to 1. */
  readonly imageShare: number;
  readonly onProgress?: (explored: Explored, crashes: number) => void;
}

/** Explores crashes of random workloads. The same seed, the same states. */
export async function exploreCrashes(soak: Soak): Promise<Explored & { crashes: number; calls: number }> {
  const random = new SeededRandom(soak.seed);
  const explored = { states: 0, nested: 0 };
  let crashes = 0;
  let calls = 0;
  while (explored.states < soak.states) {
    const workload = { seed: random.u32(), batches: random.between(4, 14) };
    const callCount = await countCalls(workload);
    const points = Array.from({ length: 2 * callCount }, (_, at) => at);
    random.shuffle(points);
    const tried = soak.crashesPerWorkload === 'every' ? points : points.slice(0, soak.crashesPerWorkload);
    calls += callCount;
    for (const point of tried) {
      if (explored.states >= soak.states) break;
      const call = 1 + (point >> 1);
      const effect = point % 2 === 0 ? 'none' : 'done';
      const crashed = await crashWorkload(workload, call, effect);
      if (crashed === null) continue;
      crashes++;
      const images = { ...soak.images, seed: random.u32() };
      const path = [
        `SEED=${soak.seed} workload ${JSON.stringify(workload)} crashed at call ${call} (${effect})`,
      ];
      const { imageShare } = soak;
      const options = { images, imageShare, depth: 3, nestedShare: 0.1, random, explored, path };
      await exploreImages(crashed.files, crashed.known, options);
      await exploreKill(crashed.files, crashed.known, options);
      soak.onProgress?.(explored, crashes);
    }
  }
  return { ...explored, crashes, calls };
}

/** A state in which an invariant does not hold, with all that is needed to see it again. */
export class CrashStateFailure extends Error {
  override readonly name = 'CrashStateFailure';

  constructor(path: readonly string[], description: string, cause: unknown) {
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    super(`${path.join('\n  then ')}\n${description}\n${reason}`, { cause });
  }
}
