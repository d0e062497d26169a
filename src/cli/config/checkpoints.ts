/** The part of the configuration that concerns checkpoints, as the node takes it. */

import { isTidemarkError } from '../../base/errors.ts';
import {
  type CheckpointOptions,
  MEMORY_DEFAULTS,
  resolveCheckpointOptions,
} from '../../checkpoint/checkpoint-options.ts';
import { MEMORY_DIR } from '../../storage/memory-file-system.ts';
import type { Config } from './schema.ts';
import type { Fault, Setting } from './setting.ts';

/** What was given; the node has the defaults of each kind of schedule, and refuses what its kind lacks. */
export function checkpointOptionsOf({ checkpoint }: Config): CheckpointOptions {
  const { kind, ...options } = checkpoint.adaptive;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...checkpoint, adaptive: { kind, ...Object.fromEntries(given) } };
}

/** Defaults of a node in memory, as far as they are others than those of the schema. */
export function memoryDefaults(chosen: ReadonlyMap<string, Setting>): Setting[] {
  if (chosen.get('dir')?.value !== MEMORY_DIR) return [];
  return Object.entries(MEMORY_DEFAULTS)
    .map(([name, value]) => ({ key: `checkpoint.${name}`, value, origin: { kind: 'default' } as const }))
    .filter(({ key }) => !chosen.has(key));
}

/** What only shows when all of them are seen together: options that contradict each other. */
export function checkpointFault(config: Config, chosen: ReadonlyMap<string, Setting>): Fault | null {
  try {
    resolveCheckpointOptions(checkpointOptionsOf(config));
    return null;
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_OPTION_INVALID')) throw error;
    const { option, other } = error.facts;
    const keys = [option, other].map((name) => `checkpoint.${name}`);
    // Where somebody wrote one of the two; a default alone contradicts nothing.
    const key = keys.find((name) => chosen.has(name)) ?? 'checkpoint.adaptive.kind';
    return { key, origin: chosen.get(key)?.origin ?? { kind: 'default' }, message: error.message };
  }
}
