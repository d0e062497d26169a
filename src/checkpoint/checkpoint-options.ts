/** Options of checkpoints: when they are taken, which are kept, how they are written and read. */

import { contradictingOptions, invalidOption, requireInteger, requireKnownOptions } from '../base/options.ts';
import type { Generations } from './retention.ts';
import { resolveSchedule, SCHEDULE_DEFAULTS, type Schedule } from './schedule/schedule-options.ts';

/**
 * Every field is optional; `CHECKPOINT_DEFAULTS` is the whole list. What says when checkpoints are taken
 * is in {@link Schedule}.
 */
export interface CheckpointOptions extends Partial<Schedule> {
  /**
   * Checkpoints that are always kept, the newest ones: 1 to 64. Older ones are what is left when the newest
   * is damaged; the log is kept back to the oldest of them.
   * @default 3
   */
  readonly checkpointsKept?: number;

  /**
   * Every checkpoint younger than this is kept, in milliseconds, and the newest older one: 0 to 10 years. 0
   * keeps none for its age.
   * @default 86400000; 0 with `dir: 'memory:'`
   */
  readonly checkpointAgeMs?: number;

  /**
   * Of those kept for their age at most so many, evenly spaced over the entries of the log: 2 to 1000. The
   * points between come back from the log, as long as that is kept.
   * @default 128
   */
  readonly agedKept?: number;

  /**
   * The newest checkpoint of each of the last so many hours, days, weeks and months that have any is kept: 0
   * to 1000 of each. @default none
   */
  readonly generations?: Partial<Generations>;

  /**
   * So many checkpoints are kept over the whole of history, spaced so that going back to any moment costs at
   * most about twice what it would with evenly spaced ones: 0, or 2 to 1000.
   * @default 0
   */
  readonly spacedKept?: number;

  /**
   * Bytes that all kept checkpoints may take together, from 1 MiB; 0: any. Above it the oldest go that are
   * neither among the newest `checkpointsKept`, nor tagged, nor needed by these.
   * @default 0
   */
  readonly checkpointBytesMax?: number;

  /**
   * The log is kept back to the newest checkpoint older than this, in milliseconds, or to its first entry
   * while there is none: 0 to 10 years. One can rewind to any moment since, as far as `logBytesMax` allows.
   * @default 86400000; 0 with `dir: 'memory:'`
   */
  readonly logAgeMs?: number;

  /**
   * Bytes of log that are kept for rewinding only: 0 to 2^53-1. What a start may need is kept in any case.
   * @default 1073741824
   */
  readonly logBytesMax?: number;

  /** Whether a node takes a checkpoint when it is closed. @default true */
  readonly checkpointOnClose?: boolean;

  /**
   * Whether the log is compacted when a checkpoint was taken; never beyond what is kept of it. @default true
   */
  readonly compactLogAfterCheckpoint?: boolean;

  /**
   * Reads in flight while a checkpoint is verified or loaded, and writes while one is taken: 1 to 64.
   * @default 4
   */
  readonly loadConcurrency?: number;

  /** Size of one such read or write, in bytes: 4 KiB to 16 MiB. @default 1048576 */
  readonly bufferBytes?: number;

  /**
   * Bytes of a checkpoint that are verified before anything is served; what is beyond is verified while the
   * node serves, and every node of the tree before its use in any case. 0 to 2^53-1.
   * @default 1073741824
   */
  readonly verifyBytesMax?: number;
}

export type ResolvedCheckpointOptions = Required<Omit<CheckpointOptions, 'generations' | keyof Schedule>> &
  Schedule & { readonly generations: Generations };

const DAY_MS = 24 * 3_600_000;
const AGE_MS_MAX = 3650 * DAY_MS;

export const CHECKPOINT_DEFAULTS: ResolvedCheckpointOptions = Object.freeze({
  ...SCHEDULE_DEFAULTS,
  checkpointsKept: 3,
  checkpointAgeMs: DAY_MS,
  agedKept: 128,
  generations: Object.freeze({ hourly: 0, daily: 0, weekly: 0, monthly: 0 }),
  spacedKept: 0,
  checkpointBytesMax: 0,
  logAgeMs: DAY_MS,
  logBytesMax: 1024 ** 3,
  checkpointOnClose: true,
  compactLogAfterCheckpoint: true,
  loadConcurrency: 4,
  bufferBytes: 1024 * 1024,
  verifyBytesMax: 1024 ** 3,
});

/**
 * What has another default in memory: a day of checkpoints and of log would take many times what the state
 * does, and goes with it.
 */
export const MEMORY_DEFAULTS = Object.freeze({ checkpointAgeMs: 0, logAgeMs: 0 });

/** Fills in defaults and rejects what cannot work. */
export function resolveCheckpointOptions(options: CheckpointOptions): ResolvedCheckpointOptions {
  requireKnownOptions('checkpoint', options, CHECKPOINT_DEFAULTS);
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
  const resolved = {
    ...CHECKPOINT_DEFAULTS,
    ...given,
    generations: resolveGenerations(options.generations ?? {}),
    ...resolveSchedule({ ...SCHEDULE_DEFAULTS, ...given }),
  };
  requireInteger('checkpointsKept', resolved.checkpointsKept, 1, 64);
  requireInteger('checkpointAgeMs', resolved.checkpointAgeMs, 0, AGE_MS_MAX);
  requireInteger('agedKept', resolved.agedKept, 2, 1000);
  requireInteger('spacedKept', resolved.spacedKept, 0, 1000);
  if (resolved.spacedKept === 1) throw invalidOption('spacedKept', 1, '0, or 2 to 1000');
  if (resolved.checkpointBytesMax !== 0) {
    requireInteger('checkpointBytesMax', resolved.checkpointBytesMax, 1024 ** 2, Number.MAX_SAFE_INTEGER);
  }
  requireInteger('logAgeMs', resolved.logAgeMs, 0, AGE_MS_MAX);
  requireInteger('logBytesMax', resolved.logBytesMax, 0, Number.MAX_SAFE_INTEGER);
  requireBoolean('checkpointOnClose', resolved.checkpointOnClose);
  requireBoolean('compactLogAfterCheckpoint', resolved.compactLogAfterCheckpoint);
  if (!resolved.compactLogAfterCheckpoint && resolved.logBytesMax !== CHECKPOINT_DEFAULTS.logBytesMax) {
    const whole = ['compactLogAfterCheckpoint', false] as const;
    const why = 'a log that is kept whole has no limit';
    throw contradictingOptions(whole, ['logBytesMax', resolved.logBytesMax], why);
  }
  requireInteger('loadConcurrency', resolved.loadConcurrency, 1, 64);
  requireInteger('bufferBytes', resolved.bufferBytes, 4096, 16 * 1024 * 1024);
  requireInteger('verifyBytesMax', resolved.verifyBytesMax, 0, Number.MAX_SAFE_INTEGER);
  return Object.freeze(resolved);
}

function resolveGenerations(options: Partial<Generations>): Generations {
  const resolved = { ...CHECKPOINT_DEFAULTS.generations, ...options };
  requireKnownOptions('checkpoint.generations', options, CHECKPOINT_DEFAULTS.generations);
  for (const [name, count] of Object.entries(resolved)) requireInteger(`generations.${name}`, count, 0, 1000);
  return Object.freeze(resolved);
}

function requireBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalidOption(name, value, 'true or false');
}
