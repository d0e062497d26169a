/**
 * How long to work between two checkpoints so that checkpoints and failures together cost the least.
 *
 * A checkpoint costs `costMs`, failures come at random, one in `mtbfMs` on average, and what came after the
 * newest checkpoint is done again. Expected time for one unit of work, with τ between checkpoints, cost δ,
 * restart R and mean time between failures M (Daly 2006):
 *
 *     T(τ) = (M / τ) · e^(R/M) · (e^((τ+δ)/M) − 1)
 *
 * Its minimum is τ = M · (1 + W₀(−e^(−1−δ/M))), with Lambert's W. With u = τ/M that is the root of
 * −ln(1−u) − u = δ/M, which is what is solved here: no digits cancel when δ is small. √(2δM) of Young (1974)
 * is its first term.
 *
 * Here a failure does not lose work, it replays the log, and a replay is faster than life: of `replayShare`
 * 0.1 when it takes a tenth of the time. To first order that is the same as failures being rarer by that
 * factor.
 *
 * Pure: no clock.
 */

import { assert } from '../../base/assert.ts';

export interface CheckpointEconomy {
  /** What one checkpoint takes from the work, in milliseconds: above 0. */
  readonly costMs: number;
  /** Mean time between failures, in milliseconds: above 0. */
  readonly mtbfMs: number;
  /**
   * Time to replay, as a share of the time in which it came: above 0, at most 1 when everything is redone.
   */
  readonly replayShare: number;
}

/** The best time between two checkpoints, in milliseconds; never more than `mtbfMs / replayShare`. */
export function optimalIntervalMs({ costMs, mtbfMs, replayShare }: CheckpointEconomy): number {
  assert(costMs > 0 && mtbfMs > 0 && replayShare > 0, `${costMs}, ${mtbfMs}, ${replayShare} are above 0`);
  const lossMs = mtbfMs / replayShare;
  return lossMs * solve(costMs / lossMs);
}

/** Young's approximation, √(2δM): what the exact one is held against. */
export function youngIntervalMs({ costMs, mtbfMs, replayShare }: CheckpointEconomy): number {
  return Math.sqrt((2 * costMs * mtbfMs) / replayShare);
}

/**
 * Share of the time that is not work, by the model: 0.1 when a tenth goes into checkpoints, restarts and
 * replays. Restarting takes `restartMs` each time.
 */
export function expectedWaste(
  { costMs, mtbfMs, replayShare }: CheckpointEconomy,
  { intervalMs, restartMs }: { readonly intervalMs: number; readonly restartMs: number },
): number {
  const lossMs = mtbfMs / replayShare;
  const redone = (lossMs / intervalMs) * Math.expm1((intervalMs + costMs) / lossMs);
  const stretch = redone + restartMs / mtbfMs;
  return 1 - 1 / stretch;
}

/** Below this the logarithm loses digits, and three terms of its series are exact enough. */
const SERIES_MAX = 1e-3;

/** The root u in (0, 1) of −ln(1−u) − u = ratio, by Newton's method from above: the function is convex. */
function solve(ratio: number): number {
  let u = Math.min(Math.sqrt(2 * ratio), 1 - Math.exp(-1 - ratio));
  for (let step = 0; step < STEPS_MAX; step++) {
    const next = u - ((excess(u) - ratio) * (1 - u)) / u;
    if (!(next < u) || next <= 0) break;
    u = next;
  }
  return u;
}

/** Newton's method from above doubles the digits with each step: far fewer are taken. */
const STEPS_MAX = 64;

/** −ln(1−u) − u, which is u²/2 + u³/3 + u⁴/4 + … */
function excess(u: number): number {
  if (u < SERIES_MAX) return u * u * (1 / 2 + u * (1 / 3 + u * (1 / 4 + u / 5)));
  return -Math.log1p(-u) - u;
}
