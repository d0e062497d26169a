/**
 * `tidemark tag`: lists the names that keep checkpoints alive, puts one on, or takes one off. Of a running
 * node over its port, or of a stopped one in its directory.
 */

import { TidemarkError } from '../base/errors.ts';
import { toIndex } from '../base/positions.ts';
import { readStatus } from '../log/status.ts';
import { doorsOf, storeOf } from '../node/stored-history.ts';
import { servedCheckpoints } from '../server/served-checkpoints.ts';
import { assumedPolicy } from './assumed-policy.ts';
import type { ConfigFlags } from './config/flags.ts';
import { EXIT_CODES } from './exit-code.ts';
import { ANSWER_MS_MAX, askNode, fieldsOf, nodeAddress } from './node-client.ts';
import { formatTime, print, table } from './output.ts';
import { withStoppedNode } from './stopped-node.ts';

export interface TagVerbOptions extends ConfigFlags {
  /** Index of the checkpoint; the newest without it. */
  readonly index?: number;
  readonly remove: boolean;
  readonly json: boolean;
}

interface ListedTag {
  readonly name: string;
  readonly index: number;
  readonly taggedAt: number;
}

/** @param name Null lists them. With `dir` of the options a stopped node is meant. */
export async function tag(name: string | null, options: TagVerbOptions): Promise<number> {
  const { index, remove, json, dir } = options;
  if (name === null) {
    if (remove || index !== undefined) throw wrongCall('name the tag');
    const tags = dir === undefined ? await tagsOfRunning(options) : await tagsOfStopped(dir);
    if (json) print(JSON.stringify({ tags }));
    else print(tags.length === 0 ? 'no tags' : table(rowsOf(tags)));
    return EXIT_CODES.done;
  }
  if (remove && index !== undefined) throw wrongCall('--remove takes a tag off wherever it is: no --index');
  const tagged = dir === undefined ? await changeRunning(name, options) : await changeStopped(name, options);
  if (json) print(JSON.stringify(remove ? { name, removed: tagged > 0 } : { name, index: tagged }));
  else print(describe(name, tagged, options));
  return EXIT_CODES.done;
}

async function tagsOfRunning(options: TagVerbOptions): Promise<ListedTag[]> {
  const reply = await askNode(await nodeAddress(options), ['TIDEMARK', 'TAGS'], ANSWER_MS_MAX);
  return (Array.isArray(reply) ? reply : []).map((one) => fieldsOf(one) as unknown as ListedTag);
}

async function tagsOfStopped(dir: string): Promise<ListedTag[]> {
  const doors = doorsOf(undefined);
  const { status } = await readStatus(doors.fs, dir);
  const { tags } = await storeOf(doors, dir, status);
  return tags.map(({ name, index, taggedAt }) => ({ name, index, taggedAt }));
}

/** Returns the index that is tagged now; of a removal how many were taken off. */
async function changeRunning(name: string, { index, remove, ...flags }: TagVerbOptions): Promise<number> {
  const at = index === undefined ? [] : [String(index)];
  const request = remove ? ['TIDEMARK', 'UNTAG', name] : ['TIDEMARK', 'TAG', name, ...at];
  return Number(await askNode(await nodeAddress(flags), request, null));
}

async function changeStopped(name: string, options: TagVerbOptions): Promise<number> {
  const { dir, index, remove } = options;
  const { options: policy } = await assumedPolicy(options);
  return withStoppedNode(dir!, { ...policy, checkpointOnClose: false }, async (node) => {
    if (remove) return Number(await node.untag(name));
    return servedCheckpoints(node).tag(name, index === undefined ? null : toIndex(index));
  });
}

function describe(name: string, tagged: number, { remove }: TagVerbOptions): string {
  if (!remove)
    return `the checkpoint of entry ${tagged} is tagged ${name}, and stays until that is taken off`;
  if (tagged === 0) return `there is no tag ${name}`;
  return `${name} is taken off: what only it kept goes with the next checkpoint, or by tidemark prune`;
}

function rowsOf(tags: readonly ListedTag[]): (string | number)[][] {
  const rows = tags.map(({ name, index, taggedAt }) => [name, index, formatTime(taggedAt)]);
  return [['tag', 'entry', 'tagged'], ...rows];
}

function wrongCall(message: string): TidemarkError {
  return new TidemarkError('TIDEMARK_OPTION_INVALID', message, { remedy: 'fix-call' });
}
