/** Options of checkpoints. */

import { invalidOption, requireInteger, requireKnownOptions } from '../base/options.ts';

/** Every field is optional; `CHECKPOINT_DEFAULTS` is the whole list. */
export interface CheckpointOptions {
  /**
   * Checkpoints that are kept: 1 to 64. Older ones are what is left when the newest is damaged; the log is
   * kept back to the oldest.
   * @default 3
   */
  readonly checkpointsKept?: number;

  /** Whether a node takes a checkpoint when it is closed. @default true */
  readonly checkpointOnClose?: boolean;

  /** Whether the log is compacted up to the oldest kept checkpoint when one was taken. @default true */
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

export type ResolvedCheckpointOptions = Required<CheckpointOptions>;

export const CHECKPOINT_DEFAULTS: ResolvedCheckpointOptions = Object.freeze({
  checkpointsKept: 3,
  checkpointOnClose: true,
  compactLogAfterCheckpoint: true,
  loadConcurrency: 4,
  bufferBytes: 1024 * 1024,
  verifyBytesMax: 1024 ** 3,
});

/** Fills in defaults and rejects what cannot work. */
export function resolveCheckpointOptions(options: CheckpointOptions): ResolvedCheckpointOptions {
  requireKnownOptions('checkpoint', options, CHECKPOINT_DEFAULTS);
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const resolved = { ...CHECKPOINT_DEFAULTS, ...Object.fromEntries(given) };
  requireInteger('checkpointsKept', resolved.checkpointsKept, 1, 64);
  requireBoolean('checkpointOnClose', resolved.checkpointOnClose);
  requireBoolean('compactLogAfterCheckpoint', resolved.compactLogAfterCheckpoint);
  requireInteger('loadConcurrency', resolved.loadConcurrency, 1, 64);
  requireInteger('bufferBytes', resolved.bufferBytes, 4096, 16 * 1024 * 1024);
  requireInteger('verifyBytesMax', resolved.verifyBytesMax, 0, Number.MAX_SAFE_INTEGER);
  return Object.freeze(resolved);
}

function requireBoolean(name: string, value: unknown): void {
  if (typeof value !== 'boolean') throw invalidOption(name, value, 'true or false');
}
