/** The part of the configuration that concerns checkpoints, as the node takes it. */

import { isTidemarkError } from '../../base/errors.ts';
import { type CheckpointOptions, resolveCheckpointOptions } from '../../checkpoint/checkpoint-options.ts';
import type { Config } from './schema.ts';
import type { Fault, Setting } from './setting.ts';

/** What was given; the node has the defaults of each kind of schedule, and refuses what its kind lacks. */
export function checkpointOptionsOf({ checkpoint }: Config): CheckpointOptions {
  const { kind, ...options } = checkpoint.adaptive;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...checkpoint, adaptive: { kind, ...Object.fromEntries(given) } };
}

/** What only shows when all of them are seen together: options that contradict each other. */
export function checkpointFault(config: Config, chosen: ReadonlyMap<string, Setting>): Fault | null {
  try {
    resolveCheckpointOptions(checkpointOptionsOf(config));
    return null;
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_OPTION_INVALID')) throw error;
    const key = 'checkpoint.adaptive.kind';
    return { key, origin: chosen.get(key)?.origin ?? { kind: 'default' }, message: error.message };
  }
}
