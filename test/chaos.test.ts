/**
 * Chaos over one node (checklist F1–F5, F7–F9, B7, G2, L1, L2): see test/support/chaos.ts. Over a hundred
 * seeds here; `npm run soak` goes on.
 */

import { ok } from 'node:assert';
import { test } from 'node:test';
import { newTally, runChaos } from './support/chaos.ts';
import { seedOf } from './support/seed.ts';

const SEEDS = 150;

test('chaos B7, F1-F5, F7-F9, G2, L1, L2: what was acknowledged is there, come what may', async (t) => {
  const seed = seedOf(t);
  const seeds = process.env['SEED'] === undefined ? SEEDS : Number(process.env['SEEDS'] ?? 1);
  const tally = newTally();
  for (let run = 0; run < seeds; run++) await runChaos(seed + run, tally);
  t.diagnostic(`${seeds} seeds: ${JSON.stringify(tally)}`);
  ok(tally.lives >= seeds);
});
