/** `tidemark checkpoint`: takes one, of a running node over its port or of a stopped one in its directory. */

import { assumedPolicy } from './assumed-policy.ts';
import type { ConfigFlags } from './config/flags.ts';
import { EXIT_CODES } from './exit-code.ts';
import { askNode, fieldsOf, nodeAddress } from './node-client.ts';
import { formatBytes, print } from './output.ts';
import { withStoppedNode } from './stopped-node.ts';

export interface CheckpointVerbOptions extends ConfigFlags {
  /** Keeps it alive until the tag is taken off. */
  readonly tag?: string;
  readonly json: boolean;
}

type Taken = Readonly<Record<string, string | number>>;

/** @param dir Directory of a stopped node; null asks the running one. */
export async function checkpoint(dir: string | null, options: CheckpointVerbOptions): Promise<number> {
  const taken = dir === null ? await takeOfRunning(options) : await takeOfStopped(dir, options);
  if (options.json) print(JSON.stringify(taken));
  else print(describe(taken));
  return EXIT_CODES.done;
}

/** However long it takes: a large state is minutes of writing. */
async function takeOfRunning(options: CheckpointVerbOptions): Promise<Taken> {
  const tag = options.tag === undefined ? [] : ['TAG', options.tag];
  return fieldsOf(await askNode(await nodeAddress(options), ['TIDEMARK', 'CHECKPOINT', ...tag], null));
}

/** By the policy that is configured: one more may be one too many. */
async function takeOfStopped(dir: string, options: CheckpointVerbOptions): Promise<Taken> {
  const { options: policy } = await assumedPolicy(options);
  return withStoppedNode(dir, policy, async (node, writing) => {
    writing(node.stats().stateBytes);
    return { ...(await node.checkpoint(options.tag === undefined ? {} : { tag: options.tag })) };
  });
}

function describe(taken: Taken): string {
  const { index, root, kind, bytes, file, durationMs } = taken;
  return (
    `checkpoint of entry ${index} in ${file}: ${kind}, ${formatBytes(Number(bytes))} in ` +
    `${Math.round(Number(durationMs))} ms, root ${root}`
  );
}
