/** How often something outside of the node is tried, with how long between, and how long it may take. */

import { requireInteger, requireKnownOptions } from '../base/options.ts';

/** How often a step is tried, and how long that takes. */
export interface RetryPolicy {
  /** 1 to 1000. @default 5 */
  readonly attempts: number;
  /** Time before the second attempt; twice as long before each further one, in milliseconds. @default 100 */
  readonly delayMs: number;
  /** But never longer. @default 10000 */
  readonly delayMsMax: number;
  /** Longest time of one attempt, in milliseconds: then it has failed. @default 60000 */
  readonly timeoutMs: number;
}

export const RETRY_DEFAULTS: RetryPolicy = Object.freeze({
  attempts: 5,
  delayMs: 100,
  delayMsMax: 10_000,
  timeoutMs: 60_000,
});

const DAY_MS = 24 * 3_600_000;

/** @throws TidemarkError TIDEMARK_OPTION_INVALID. */
export function resolveRetry(options: Partial<RetryPolicy>, defaults: RetryPolicy): RetryPolicy {
  requireKnownOptions('retry', options, RETRY_DEFAULTS);
  const resolved = { ...defaults, ...options };
  requireInteger('attempts', resolved.attempts, 1, 1000);
  requireInteger('delayMs', resolved.delayMs, 0, DAY_MS);
  requireInteger('delayMsMax', resolved.delayMsMax, 0, DAY_MS);
  requireInteger('timeoutMs', resolved.timeoutMs, 1, DAY_MS);
  return Object.freeze(resolved);
}

/** How long to wait after the attempt, counted from 1. */
export function delayAfter({ delayMs, delayMsMax }: RetryPolicy, attempt: number): number {
  return Math.min(delayMsMax, delayMs * 2 ** (attempt - 1));
}
