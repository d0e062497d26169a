/**
 * Crash at every I/O call of a node and of a log with `buffered` durability (checklist A1-A8, B1-B7, B9, D3,
 * F2, F7): a power cut leaves a prefix with what was durable, a kill one with what was acknowledged. Few
 * outcomes a call here; `npm run soak` tries hundreds of thousands of states.
 */

import { ok } from 'node:assert';
import { type TestContext, test } from 'node:test';
import type { CrashImageOptions } from '../src/testing/crash-choices.ts';
import { bufferedNodeSubject } from './support/buffered-history.ts';
import { type CrashSubject, exploreCrashes } from './support/crash-explorer.ts';
import { bufferedLogSubject } from './support/log-explorer.ts';
import { seedOf } from './support/seed.ts';

/** Several batches are on their way at once: subsets of them matter more than tears of the last one. */
const IMAGES: CrashImageOptions = {
  subsetUnitsMax: 2,
  randomSubsets: 2,
  byteTearsMax: 1,
  fillings: ['old', 'garbage'],
};

async function exploreFew<Known>(t: TestContext, subject: CrashSubject<Known>): Promise<void> {
  const seed = seedOf(t);
  const { states, nested, crashes, calls } = await exploreCrashes(subject, {
    seed,
    states: Number(process.env['STATES'] ?? 350),
    crashesPerWorkload: 30,
    images: IMAGES,
    imageShare: 0.1,
  });
  t.diagnostic(
    `${states} states after ${crashes} crashes in ${calls} calls, ${nested} after a crash in recovery`,
  );
  ok(nested > 0);
}

test('crash A1-A8, B1-B7, B9, F2, F7: a buffered node keeps a prefix with what was durable', (t) =>
  exploreFew(t, bufferedNodeSubject));

test('crash A2, A4, A6, B1-B7, B9, D3: a buffered log keeps what was durable, not the truncated', (t) =>
  exploreFew(t, bufferedLogSubject));
