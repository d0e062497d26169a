/** When checkpoints are taken. Everything composes: whichever is due first. */

import type { TidemarkError } from '../../base/errors.ts';
import {
  contradictingOptions,
  invalidOption,
  requireInteger,
  requireKnownOptions,
} from '../../base/options.ts';
import { OPTIMAL_DEFAULTS, type OptimalOptions } from './optimal.ts';
import { STEPWISE_DEFAULTS, type StepwiseOptions } from './stepwise.ts';

/** When checkpoints are taken by themselves: whichever reason holds first. */
export interface Schedule {
  /**
   * Time after a checkpoint when the next is due, in milliseconds: 1 s to 24 days; 0: none by the clock.
   * None is taken when nothing has changed.
   * @default 3600000
   */
  readonly checkpointIntervalMs: number;

  /** Entries after which a checkpoint is due: 1 to 2^53-1; 0: any number. @default 0 */
  readonly checkpointEntries: number;

  /** Bytes of log after which a checkpoint is due: 64 KiB to 2^53-1; 0: any number. @default 0 */
  readonly checkpointLogBytes: number;

  /**
   * Lets the node find the interval: `stepwise` goes up and down by rule, `optimal` computes it from what
   * checkpoints were measured to cost and how often the node was seen to fail. `checkpointIntervalMs` holds
   * besides.
   * @default { kind: 'off' }
   */
  readonly adaptive: AdaptiveSchedule;
}

/** With `STEPWISE_DEFAULTS` and `OPTIMAL_DEFAULTS` for what is left out. */
export type AdaptiveSchedule =
  | { readonly kind: 'off' }
  | ({ readonly kind: 'stepwise' } & Partial<StepwiseOptions>)
  | ({ readonly kind: 'optimal' } & Partial<OptimalOptions>);

export const SCHEDULE_DEFAULTS: Schedule = Object.freeze({
  checkpointIntervalMs: 3_600_000,
  checkpointEntries: 0,
  checkpointLogBytes: 0,
  adaptive: Object.freeze({ kind: 'off' }),
});

const INTERVAL_MS_MIN = 1000;
/** Timers of Node reach a little further. */
const INTERVAL_MS_MAX = 24 * 24 * 3_600_000;

/** Takes what is there of a schedule out of more; rejects what cannot work. */
export function resolveSchedule(options: Schedule): Schedule {
  const { checkpointIntervalMs, checkpointEntries, checkpointLogBytes, adaptive } = options;
  if (checkpointIntervalMs !== 0) requireInterval('checkpointIntervalMs', checkpointIntervalMs);
  requireInteger('checkpointEntries', checkpointEntries, 0, Number.MAX_SAFE_INTEGER);
  if (checkpointLogBytes !== 0) {
    requireInteger('checkpointLogBytes', checkpointLogBytes, 64 * 1024, Number.MAX_SAFE_INTEGER);
  }
  const resolved = { checkpointIntervalMs, checkpointEntries, checkpointLogBytes };
  return Object.freeze({ ...resolved, adaptive: resolveAdaptive(adaptive, checkpointIntervalMs) });
}

function resolveAdaptive(options: AdaptiveSchedule, fixedMs: number): AdaptiveSchedule {
  if (options.kind === 'off') {
    requireKnownOptions('adaptive', options, SCHEDULE_DEFAULTS.adaptive);
    return SCHEDULE_DEFAULTS.adaptive;
  }
  if (options.kind === 'stepwise') return resolveStepwise(options);
  if (options.kind === 'optimal') return resolveOptimal(options, fixedMs);
  throw invalidOption('adaptive.kind', (options as { kind: unknown }).kind, 'off, stepwise or optimal');
}

function resolveStepwise(options: AdaptiveSchedule & { kind: 'stepwise' }): AdaptiveSchedule {
  const defaults = { kind: 'stepwise', ...STEPWISE_DEFAULTS } as const;
  requireKnownOptions('adaptive', options, defaults);
  const resolved = { ...defaults, ...options };
  const { intervalMs, intervalMsMin, intervalMsMax } = resolved;
  requireInterval('adaptive.intervalMs', intervalMs);
  requireInterval('adaptive.intervalMsMin', intervalMsMin);
  requireInterval('adaptive.intervalMsMax', intervalMsMax);
  if (intervalMsMin > intervalMsMax) throw contradiction(resolved, 'intervalMsMin', 'intervalMsMax');
  if (intervalMs < intervalMsMin) throw contradiction(resolved, 'intervalMsMin', 'intervalMs');
  if (intervalMs > intervalMsMax) throw contradiction(resolved, 'intervalMs', 'intervalMsMax');
  return Object.freeze(resolved);
}

function resolveOptimal(options: AdaptiveSchedule & { kind: 'optimal' }, fixedMs: number): AdaptiveSchedule {
  const defaults = { kind: 'optimal', ...OPTIMAL_DEFAULTS } as const;
  requireKnownOptions('adaptive', options, defaults);
  const resolved = { ...defaults, ...options };
  const { pauseMsMin, intervalMsMax, rpoMs, rtoMs } = resolved;
  requireInterval('adaptive.pauseMsMin', pauseMsMin);
  requireInterval('adaptive.intervalMsMax', intervalMsMax);
  if (rpoMs !== 0) requireInterval('adaptive.rpoMs', rpoMs);
  if (rtoMs !== 0) requireInterval('adaptive.rtoMs', rtoMs);
  if (pauseMsMin > intervalMsMax) throw contradiction(resolved, 'pauseMsMin', 'intervalMsMax');
  if (rpoMs !== 0 && pauseMsMin > rpoMs) throw contradiction(resolved, 'pauseMsMin', 'rpoMs');
  if (fixedMs !== 0 && pauseMsMin > fixedMs) {
    const pause = ['adaptive.pauseMsMin', pauseMsMin] as const;
    throw contradictingOptions(
      pause,
      ['checkpointIntervalMs', fixedMs],
      'one demands what the other forbids',
    );
  }
  return Object.freeze(resolved);
}

function requireInterval(name: string, value: unknown): void {
  requireInteger(name, value, INTERVAL_MS_MIN, INTERVAL_MS_MAX);
}

/** The first must not be above the second. */
function contradiction<Options extends object>(
  options: Options,
  lower: keyof Options & string,
  upper: keyof Options & string,
): TidemarkError {
  return contradictingOptions(
    [`adaptive.${lower}`, options[lower]],
    [`adaptive.${upper}`, options[upper]],
    'the first must not be above the second',
  );
}
