/**
 * The main promise, in small: `npm run crash` with a few rounds. Goal: what was acknowledged outlives
 * SIGKILL, and nothing happens twice. Method: seeded; see test/crash/kill-nine.ts.
 */

import { ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { describeSummary, runKillNine } from './crash/kill-nine.ts';
import { seedOf } from './support/seed.ts';

const ROUNDS = 8;

for (const durability of ['synced', 'buffered'] as const) {
  test(`kill -9: ${durability}, no acknowledged write is lost, and none is applied twice`, async (t) => {
    const seed = seedOf(t);
    const print = (line: string): void => t.diagnostic(line);
    const summary = await runKillNine({ rounds: ROUNDS, seed, durability, print });
    strictEqual(summary.failure, null, describeSummary(summary).join('\n'));
    strictEqual(summary.rounds, ROUNDS);
    ok(summary.writesAcknowledged > 0, 'the server served');
  });
}
