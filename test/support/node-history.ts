/**
 * A node whose state tells its history, as a subject of crash exploration and of chaos runs.
 *
 * The machine numbers its commands: command k is refused unless k-1 came right before it. So the state tells
 * which prefix of the history took effect, and whether any command was lost in the middle, doubled or
 * invented. Beside each blob stands what it must be: a state put together of parts of two is noticed.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { setImmediate as turn } from 'node:timers/promises';
import { crc32c } from '../../src/base/crc32c.ts';
import type { CheckpointOptions } from '../../src/checkpoint/checkpoint-options.ts';
import { table } from '../../src/engine/table.ts';
import { machine } from '../../src/engine/typed-machine.ts';
import type { DurabilityChoice } from '../../src/log/durability.ts';
import { open } from '../../src/node/open.ts';
import type { LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { CrashSubject, Workload } from './crash-explorer.ts';
import { NEWEST_ONLY } from './test-log.ts';

const DIR = 'data';

/** Time after which a node proves its last batch and records how far it was acknowledged, in milliseconds. */
const IDLE_MS = 500;

/** Small reads, few of them in flight, and old checkpoints that go soon: more to crash in between. */
export const SMALL_CHECKPOINTS: CheckpointOptions = {
  ...NEWEST_ONLY,
  checkpointsKept: 2,
  bufferBytes: 4096,
  loadConcurrency: 2,
};

/** Number of the blobs that are kept: of the last commands. */
export const SLOTS = 8;

export const history = machine({
  name: 'history',
  tables: {
    progress: table<number>(),
    blobs: table<Uint8Array>(),
    sums: table<{ k: number; sum: number }>(),
  },
  commands: {
    step({ progress, blobs, sums }, { k, blob }: { k: number; blob: Uint8Array }) {
      const before = progress.get('last') ?? 0;
      progress.set('last', k); // Undone when the check below refuses.
      if (before !== k - 1) throw new Error(`step ${k} follows ${before}`);
      blobs.set(`blob-${k % SLOTS}`, blob);
      sums.set(`blob-${k % SLOTS}`, { k, sum: crc32c(blob) });
      return k;
    },
    refuse({ progress }) {
      progress.set('last', -1);
      throw new Error('refused on purpose');
    },
  },
  queries: {
    last: ({ progress }) => progress.get('last') ?? 0,
    /** What is not as the last command left it. */
    faults({ progress, blobs, sums }) {
      const last = progress.get('last') ?? 0;
      const faults: string[] = [];
      for (let k = Math.max(1, last - SLOTS + 1); k <= last; k++) {
        const name = `blob-${k % SLOTS}`;
        const found = sums.get(name);
        const blob = blobs.get(name);
        if (found?.k !== k || blob === undefined) faults.push(`${name} of ${found?.k}, not of ${k}`);
        else if (crc32c(blob) !== found.sum) faults.push(`${name} of ${k} has other bytes`);
      }
      return faults;
    },
  },
});

export type HistoryNode = Awaited<ReturnType<typeof openHistory>>;

/** What the outside world knows: how far commands were sent, and how far they were acknowledged. */
export interface Known {
  sent: number;
  acknowledged: number;
}

export function openHistory(
  files: LossyFileSystem,
  seed: number,
  clock = new ManualClock(),
  checkpoint = SMALL_CHECKPOINTS,
  durability: DurabilityChoice = 'synced',
) {
  const doors = { fs: files, clock, chance: new SeededRandom(seed) };
  const log = { segmentBytes: 64 * 1024 };
  return open({ machine: history, dir: DIR, log, durability, checkpoint, doors });
}

/** Runs the workload until it ends or the disk crashes; `known` says what was promised by then. */
async function run(files: LossyFileSystem, workload: Workload, known: Known): Promise<void> {
  const random = new SeededRandom(workload.seed);
  const clock = new ManualClock();
  let node = await openHistory(files, workload.seed, clock);
  for (let batch = 0; batch < workload.steps; batch++) {
    const taken = random.happens(0.25) ? node.checkpoint() : null;
    await Promise.all([taken, submitBatch(node, random, known)]);
    if (random.happens(0.2)) clock.advance(IDLE_MS);
    if (!random.happens(0.15)) continue;
    await node.close();
    // Ids of segments are never drawn twice.
    node = await openHistory(files, workload.seed + 1 + batch, clock);
  }
  await node.close();
}

/** One to four commands at once. */
export async function submitBatch(node: HistoryNode, random: SeededRandom, known: Known): Promise<void> {
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

/** As many commands at once as replace every blob: the next checkpoint is a full one. */
export async function rewriteAll(node: HistoryNode, known: Known): Promise<void> {
  const answers = Array.from({ length: SLOTS }, async () => {
    const k = ++known.sent;
    strictEqual(await node.submit('step', { k, blob: new Uint8Array(3000).fill(k) }), k);
    known.acknowledged = k;
  });
  await Promise.all(answers);
}

/** Exactly a prefix is there that holds all that was acknowledged, and all of it. Returns its length. */
export async function checkPrefix(node: HistoryNode, known: Known): Promise<number> {
  const [last, faults] = await Promise.all([node.query('last'), node.query('faults')]);
  deepStrictEqual(faults, [], `after ${last}`);
  ok(last >= known.acknowledged, `${known.acknowledged} was acknowledged, and ${last} is the last there`);
  ok(last <= known.sent, `${last} is there, and ${known.sent} was the last sent`);
  return last;
}

/** Checks what a crash left; then the node goes on, and what it acknowledges is there at the next start. */
export async function checkRecovered(files: LossyFileSystem, known: Known, seed: number): Promise<void> {
  const node = await openHistory(files, seed);
  deepStrictEqual(node.recovery.warnings.filter(tellsOfDamage), [], 'a crash damages no checkpoint');
  const last = await checkPrefix(node, known);
  strictEqual(await node.submit('step', { k: last + 1, blob: new Uint8Array(3) }), last + 1);
  await node.whenLoaded(); // Or close would take no checkpoint.
  await node.close();
  strictEqual(node.stats().checkpoints.failure, null);
  const again = await openHistory(files, seed + 1);
  await checkPrefix(again, { sent: last + 1, acknowledged: last + 1 });
  await checkRoot(again);
  await again.close();
}

/**
 * The state has the root of the checkpoint that close took, and nothing was left to replay (checklist G4).
 */
async function checkRoot(node: HistoryNode): Promise<void> {
  const { checkpoint, entriesReplayed } = node.recovery;
  strictEqual(entriesReplayed, 0);
  deepStrictEqual(await node.root(), { index: checkpoint?.index, root: checkpoint?.root });
}

function tellsOfDamage(warning: string): boolean {
  return warning.includes('checkpoint') && warning.includes('damaged');
}

export const nodeSubject: CrashSubject<Known> = {
  name: 'node',
  steps: { first: 4, last: 14 },
  newKnown: () => ({ sent: 0, acknowledged: 0 }),
  copyKnown: (known) => ({ ...known }),
  run,
  async restart(files, seed) {
    const node = await openHistory(files, seed);
    await node.close();
  },
  check: checkRecovered,
  async goOn(files, known, random) {
    const node = await openHistory(files, random.u32());
    const last = await checkPrefix(node, known);
    // A query answers from the recovered state: whoever saw it may rely on it.
    known.acknowledged = last;
    known.sent = last + 1;
    await node.submit('step', { k: last + 1, blob: new Uint8Array(100) });
    known.acknowledged = last + 1;
    if (random.happens(0.5)) await node.checkpoint();
  },
};
