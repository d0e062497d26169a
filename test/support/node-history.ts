/**
 * A node whose state tells its history, as a subject of crash exploration and of chaos runs.
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
import type { LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { CrashSubject, Workload } from './crash-explorer.ts';

const DIR = 'data';

/** Time after which a node proves its last batch and records how far it was acknowledged, in milliseconds. */
const IDLE_MS = 500;

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

export type HistoryNode = Awaited<ReturnType<typeof openHistory>>;

/** What the outside world knows: how far commands were sent, and how far they were acknowledged. */
export interface Known {
  sent: number;
  acknowledged: number;
}

export function openHistory(files: LossyFileSystem, seed: number, clock = new ManualClock()) {
  const doors = { fs: files, clock, chance: new SeededRandom(seed) };
  return open({ machine: history, dir: DIR, log: { segmentBytes: 64 * 1024 }, doors });
}

/** Runs the workload until it ends or the disk crashes; `known` says what was promised by then. */
async function run(files: LossyFileSystem, workload: Workload, known: Known): Promise<void> {
  const random = new SeededRandom(workload.seed);
  const clock = new ManualClock();
  let node = await openHistory(files, workload.seed, clock);
  for (let batch = 0; batch < workload.steps; batch++) {
    await submitBatch(node, random, known);
    if (random.happens(0.2)) clock.advance(IDLE_MS);
    if (!random.happens(0.15)) continue;
    await node.close();
    // Ids of segments are never drawn twice.
    node = await openHistory(files, workload.seed + 1 + batch, clock);
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

/** Exactly a prefix is there that holds all that was acknowledged. Returns its length. */
export async function checkPrefix(node: HistoryNode, known: Known): Promise<number> {
  const last = await node.query('last');
  ok(last >= known.acknowledged, `${known.acknowledged} was acknowledged, and ${last} is the last there`);
  ok(last <= known.sent, `${last} is there, and ${known.sent} was the last sent`);
  return last;
}

/** Checks what a crash left; then the node goes on, and what it acknowledges is there at the next start. */
export async function checkRecovered(files: LossyFileSystem, known: Known, seed: number): Promise<void> {
  const node = await openHistory(files, seed);
  const last = await checkPrefix(node, known);
  strictEqual(await node.submit('step', { k: last + 1, blob: new Uint8Array(3) }), last + 1);
  await node.close();
  const again = await openHistory(files, seed + 1);
  strictEqual(await again.query('last'), last + 1);
  await again.close();
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
  },
};
