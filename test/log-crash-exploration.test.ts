/**
 * Crash at every I/O call of a log that is appended to, truncated, compacted and reopened (checklist A2, A4,
 * A6, B1–B7, B9, D3). Few outcomes a call here; `npm run soak` tries hundreds of thousands of states.
 */

import { ok } from 'node:assert';
import { test } from 'node:test';
import { exploreCrashes, exploreKills } from './support/crash-explorer.ts';
import {
  compactKnown,
  fillSegments,
  type KnownLog,
  logSubject,
  type OpenLog,
  openKnown,
  truncateKnown,
} from './support/log-explorer.ts';
import { seedOf } from './support/seed.ts';

test('log crash A2, A4, A6, B1-B7, B9, D3: what was durable is there, the truncated is not', async (t) => {
  const seed = seedOf(t);
  const { states, nested, crashes, calls } = await exploreCrashes(logSubject, {
    seed,
    states: Number(process.env['STATES'] ?? 600),
    crashesPerWorkload: 30,
    images: { subsetUnitsMax: 2, randomSubsets: 2, byteTearsMax: 1, fillings: ['old', 'garbage'] },
    imageShare: 0.2,
  });
  t.diagnostic(
    `${states} states after ${crashes} crashes in ${calls} calls, ${nested} after a crash in recovery`,
  );
  ok(nested > 0);
});

for (const { name, change } of [
  { name: 'rotation', change: (open: OpenLog, known: KnownLog) => fillSegments(open, known, 1) },
  {
    name: 'truncation inside the first of four segments',
    change: (open: OpenLog, known: KnownLog) => truncateKnown(open, known, 3),
  },
  {
    name: 'truncation of all',
    change: (open: OpenLog, known: KnownLog) => truncateKnown(open, known, 0),
  },
  {
    name: 'compaction of two segments',
    change: (open: OpenLog, known: KnownLog) => compactKnown(open, known, 9),
  },
]) {
  const where = 'killed at any call, power cut at any call of the next start';
  test(`log crash B6, B7, F2: ${name} ${where}`, async (t) => {
    let open: OpenLog;
    const { states } = await exploreKills(logSubject, {
      seed: 1,
      async prepare(files, known) {
        open = await openKnown(files, 1, known);
        await fillSegments(open, known, 3);
      },
      steps: (_files, known) => change(open, known),
      images: { subsetUnitsMax: 1, randomSubsets: 4, byteTearsMax: 0, fillings: ['old'] },
      cutShare: 0.1,
      imageShare: 0.05,
    });
    t.diagnostic(`${states} states`);
    ok(states > 50);
  });
}
