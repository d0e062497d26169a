/**
 * Crash at every I/O call of a node with bounded legal outcomes (checklist A1–A8, B1–B3, B5–B7, B9, F2, F7).
 * Few outcomes a call here; `npm run soak` tries hundreds of thousands of states.
 */

import { ok } from 'node:assert';
import { test } from 'node:test';
import { exploreCrashes } from './support/crash-explorer.ts';
import { nodeSubject } from './support/node-history.ts';

test('crash A1-A8, B1-B7, B9, F2, F7: every crash leaves a prefix with what was acknowledged', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`reproduce with SEED=${seed}`);
  const { states, nested, crashes, calls } = await exploreCrashes(nodeSubject, {
    seed,
    states: 1500,
    crashesPerWorkload: 'every',
    images: { subsetUnitsMax: 1, randomSubsets: 1, byteTearsMax: 1, fillings: ['garbage'] },
    imageShare: 0.08,
  });
  t.diagnostic(
    `${states} states after ${crashes} crashes in ${calls} calls, ${nested} after a crash in recovery`,
  );
  ok(nested > 0);
});
