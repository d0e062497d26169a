/** Options of the scrub: how long a cycle takes, and how fast it may read. */

import { invalidOption, requireInteger, requireKnownOptions } from '../base/options.ts';

/** Every field is optional; `SCRUB_DEFAULTS` is the whole list. */
export interface ScrubOptions {
  /**
   * Everything cold is read again and verified once in this time, in milliseconds: a minute to 10 years. 0:
   * only on request.
   * @default 604800000
   */
  readonly cycleMs?: number;

  /**
   * It reads at least so many bytes a second, so that little data is verified soon: 1 to 2^53-1.
   * @default 65536
   */
  readonly bytesPerSecondMin?: number;

  /**
   * And at most so many, also on request: 1024 to 2^53-1. What does not fit a cycle then takes longer.
   * @default 16777216
   */
  readonly bytesPerSecondMax?: number;
}

export const SCRUB_DEFAULTS: Required<ScrubOptions> = Object.freeze({
  cycleMs: 7 * 24 * 3_600_000,
  bytesPerSecondMin: 64 * 1024,
  bytesPerSecondMax: 16 * 1024 * 1024,
});

export const CYCLE_MS_MIN = 60_000;
export const CYCLE_MS_MAX = 3650 * 24 * 3_600_000;
export const BYTES_PER_SECOND_MAX_MIN = 1024;

/** @throws TidemarkError TIDEMARK_OPTION_INVALID. */
export function resolveScrubOptions(options: ScrubOptions): Required<ScrubOptions> {
  requireKnownOptions('scrub', options, SCRUB_DEFAULTS);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const resolved: Required<ScrubOptions> = { ...SCRUB_DEFAULTS, ...Object.fromEntries(given) };
  const { cycleMs, bytesPerSecondMin, bytesPerSecondMax } = resolved;
  if (cycleMs !== 0) requireInteger('cycleMs', cycleMs, CYCLE_MS_MIN, CYCLE_MS_MAX);
  requireInteger('bytesPerSecondMin', bytesPerSecondMin, 1, Number.MAX_SAFE_INTEGER);
  requireInteger('bytesPerSecondMax', bytesPerSecondMax, BYTES_PER_SECOND_MAX_MIN, Number.MAX_SAFE_INTEGER);
  if (bytesPerSecondMin > bytesPerSecondMax) {
    throw invalidOption(
      'bytesPerSecondMin',
      bytesPerSecondMin,
      `at most bytesPerSecondMax, which is ${bytesPerSecondMax}`,
    );
  }
  return Object.freeze(resolved);
}
