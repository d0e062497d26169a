/**
 * Crash at random I/O calls of a node with bounded legal outcomes (checklist A1–A8, B1–B3, B5–B7, B9, F2, F7).
 * A sample here; `npm run soak` tries hundreds of thousands of states.
 */

import { ok } from 'node:assert';
import { test } from 'node:test';
import { exploreCrashes } from './support/crash-explorer.ts';

/** States checked here: some seconds. */
const STATES = 3000;

test('crash A1-A8, B1-B7, B9, F2, F7: any crash leaves a prefix with all that was acknowledged', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`reproduce with SEED=${seed}`);
  const { states, nested, crashes } = await exploreCrashes({ seed, states: STATES, crashesPerWorkload: 3 });
  t.diagnostic(`${states} states after ${crashes} crashes, ${nested} of them after a crash in recovery`);
  ok(nested > 0);
});
