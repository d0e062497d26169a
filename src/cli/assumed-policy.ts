/** Which checkpoints a node would keep, for verbs that read a directory without asking a node. */

import {
  type ResolvedCheckpointOptions,
  resolveCheckpointOptions,
} from '../checkpoint/checkpoint-options.ts';
import { checkpointOptionsOf } from './config/checkpoints.ts';
import type { ConfigFlags } from './config/flags.ts';
import { requireConfig, resolveConfig } from './config/resolve.ts';

export interface AssumedPolicy {
  readonly options: ResolvedCheckpointOptions;
  /** Where it comes from, for people; a directory does not say how its node is configured. */
  readonly source: string;
}

/** Takes the configuration as a node would: from flags, the environment and a file. */
export async function assumedPolicy(flags: ConfigFlags): Promise<AssumedPolicy> {
  const config = await requireConfig(flags, process.env);
  const options = resolveCheckpointOptions(checkpointOptionsOf(config));
  const { origins } = await resolveConfig(flags, process.env);
  const kinds = [...origins].flatMap(([key, { kind }]) => (key.startsWith('checkpoint.') ? [kind] : []));
  const sources = [
    ...(kinds.includes('flag') ? ['--set'] : []),
    ...(kinds.includes('environment') ? ['the environment'] : []),
    ...(kinds.includes('file') ? [flags.config ?? ''] : []),
  ];
  return { options, source: sources.length === 0 ? 'the defaults' : sources.join(' and ') };
}
