/**
 * `tidemark prune`: removes the checkpoints that no policy and no tag keeps, as the next checkpoint would; or
 * only tells what would go. Of a running node over its port, by its own policy; or of a stopped one.
 */

import { readStatus } from '../log/status.ts';
import { prunedOf } from '../node/node-checkpoints.ts';
import { doorsOf, storeOf } from '../node/stored-history.ts';
import { assumedPolicy } from './assumed-policy.ts';
import type { ConfigFlags } from './config/flags.ts';
import { EXIT_CODES } from './exit-code.ts';
import { askNode, fieldOf, fieldsOf, nodeAddress } from './node-client.ts';
import { count, formatBytes, formatTime, print } from './output.ts';
import { withStoppedNode } from './stopped-node.ts';

export interface PruneVerbOptions extends ConfigFlags {
  readonly dryRun: boolean;
  readonly json: boolean;
}

interface Removed {
  readonly file: string;
  readonly index: number;
  readonly takenAt: number;
}

interface Pruned {
  readonly removed: readonly Removed[];
  readonly bytesFreed: number;
  readonly obstacle: string | null;
}

/** @param dir Directory of a stopped node; null asks the running one. */
export async function prune(dir: string | null, options: PruneVerbOptions): Promise<number> {
  const pruned = dir === null ? await pruneRunning(options) : await pruneStopped(dir, options);
  if (options.json) print(JSON.stringify(pruned));
  else for (const line of describe(pruned, options)) print(line);
  return pruned.obstacle === null ? EXIT_CODES.done : EXIT_CODES.retry;
}

async function pruneRunning(options: PruneVerbOptions): Promise<Pruned> {
  const request = ['TIDEMARK', 'PRUNE', ...(options.dryRun ? ['DRYRUN'] : [])];
  const reply = await askNode(await nodeAddress(options), request, null);
  const { bytesFreed, obstacle = null } = fieldsOf(reply);
  const removed = fieldOf(reply, 'removed');
  return {
    removed: (Array.isArray(removed) ? removed : []).map((one) => fieldsOf(one) as unknown as Removed),
    bytesFreed: Number(bytesFreed),
    obstacle: obstacle === null ? null : String(obstacle),
  };
}

/** A dry run reads only, and works beside a running node. */
async function pruneStopped(dir: string, options: PruneVerbOptions): Promise<Pruned> {
  const { options: policy } = await assumedPolicy(options);
  if (!options.dryRun) {
    return withStoppedNode(dir, { ...policy, checkpointOnClose: false }, (node) => node.prune());
  }
  const doors = doorsOf(undefined);
  const { status } = await readStatus(doors.fs, dir);
  const store = await storeOf(doors, dir, status, policy);
  return prunedOf(store, store.removable);
}

function describe({ removed, bytesFreed, obstacle }: Pruned, { dryRun }: PruneVerbOptions): string[] {
  if (obstacle !== null) return [`nothing is removed: ${obstacle}`];
  const lines = removed.map(
    ({ index, file, takenAt }) => `entry ${index}, taken ${formatTime(takenAt)}: ${file}`,
  );
  const what = `${count(removed.length, 'checkpoint')}, ${formatBytes(bytesFreed)}`;
  return [...lines, dryRun ? `would go: ${what}; nothing was changed` : `removed: ${what}`];
}
