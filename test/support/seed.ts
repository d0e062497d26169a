/**
 * The seed of a test that draws at random. By hand each run draws another one, and prints it; `SEED=…` runs
 * it again. In CI (`CI` set) it is always the same: what is submitted is held to what was tried, and new
 * seeds are the business of the soaks (`npm run soak`, `crash`, `fuzz`).
 */

import type { TestContext } from 'node:test';

const SEED_IN_CI = 1;

/** The seed of this run, for what has no test of its own to print it. */
export function drawSeed(): number {
  const { SEED, CI } = process.env;
  if (SEED !== undefined) return Number(SEED);
  return CI === undefined ? Date.now() % 2 ** 31 : SEED_IN_CI;
}

/** The seed of a test, printed with it. */
export function seedOf(t: TestContext): number {
  const seed = drawSeed();
  t.diagnostic(`reproduce with SEED=${seed}`);
  return seed;
}
