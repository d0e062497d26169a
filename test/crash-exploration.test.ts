/**
 * Crash at every I/O call of a node with bounded legal outcomes (checklist A1–A8, B1–B3, B5–B7, B9, F2, F7;
 * G1, G2, G4, G5, G10). Few outcomes a call here; `npm run soak` tries hundreds of thousands of states.
 */

import { ok } from 'node:assert';
import { test } from 'node:test';
import type { IoOperation } from '../src/testing/lossy-faults.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { exploreCrashes, exploreSteps } from './support/crash-explorer.ts';
import { nodeSubject, openHistory, rewriteAll, submitBatch } from './support/node-history.ts';
import { seedOf } from './support/seed.ts';

test('crash A1-A8, B1-B7, B9, F2, F7: every crash leaves a prefix with what was acknowledged', async (t) => {
  const seed = seedOf(t);
  const { states, nested, crashes, calls } = await exploreCrashes(nodeSubject, {
    seed,
    states: 500,
    crashesPerWorkload: 'every',
    images: { subsetUnitsMax: 1, randomSubsets: 1, byteTearsMax: 1, fillings: ['garbage'] },
    imageShare: 0.08,
  });
  t.diagnostic(
    `${states} states after ${crashes} crashes in ${calls} calls, ${nested} after a crash in recovery`,
  );
  ok(nested > 0);
});

/** Taking one, restoring from one, removing old ones, giving the log back, closing. */
const STEPS_OF_CHECKPOINTS: readonly { readonly op: IoOperation; readonly path: RegExp }[] = [
  { op: 'create', path: /\.data$/ },
  { op: 'rename', path: /\.idx\.part$/ },
  { op: 'read', path: /\.data$/ },
  { op: 'remove', path: /\.idx$/ },
  { op: 'remove', path: /\.data$/ },
  { op: 'remove', path: /\.log$/ },
  { op: 'unlock', path: /lock$/ },
];

test('crash G1-G5, G10: at every call of taking, restoring, removing, compacting, closing', async (t) => {
  const seed = seedOf(t);
  const { states, nested, calls } = await exploreSteps(nodeSubject, {
    seed,
    // Two full checkpoints, as many as are kept, and a log that begins behind the first.
    async prepare(files, known) {
      for (const life of [1, 2]) {
        const node = await openHistory(files, seed + life, new ManualClock());
        await rewriteAll(node, known);
        await node.whenLoaded();
        await node.close();
      }
    },
    async steps(files, known) {
      const random = new SeededRandom(seed + 3);
      const node = await openHistory(files, seed + 3, new ManualClock());
      await rewriteAll(node, known);
      await Promise.all([node.checkpoint(), submitBatch(node, random, known)]);
      await node.close();
    },
    images: { subsetUnitsMax: 1, randomSubsets: 1, byteTearsMax: 1, fillings: ['garbage'] },
    cutShare: 0.03,
    imageShare: 0.04,
  });
  t.diagnostic(`${states} states after crashes at ${calls.length} calls, ${nested} of them in recovery`);
  ok(nested > 0);
  for (const { op, path } of STEPS_OF_CHECKPOINTS) {
    ok(
      calls.some((call) => call.op === op && path.test(call.path)),
      `${op} ${path} is one of the calls`,
    );
  }
});
