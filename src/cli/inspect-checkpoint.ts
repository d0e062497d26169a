/**
 * `tidemark inspect checkpoint`: the checkpoints of a directory, what each cost, and what keeps it alive; and
 * to which points one can go back. Reads only; beside a running node, too.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import { type CheckpointInfo, chainBytes, type DataFileInfo } from '../checkpoint/checkpoint-info.ts';
import { CHECKPOINTS_DIR } from '../checkpoint/checkpoint-name.ts';
import type { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import type { CheckpointDamage } from '../checkpoint/damage.ts';
import { bytesOf, describePolicy } from '../checkpoint/retention.ts';
import { type KeptRange, keptRange } from '../engine/kept-points.ts';
import { readStatus } from '../log/status.ts';
import { StoredLog } from '../log/stored-log.ts';
import { doorsOf, storeOf } from '../node/stored-history.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { type AssumedPolicy, assumedPolicy } from './assumed-policy.ts';
import type { ConfigFlags } from './config/flags.ts';
import { EXIT_CODES } from './exit-code.ts';
import { count, formatBytes, formatTime, print, table } from './output.ts';

/** Newest first, then index files that are not whole, then what of the log is kept. */
export async function inspectCheckpoint(
  dir: string,
  options: ConfigFlags & { readonly json: boolean },
): Promise<number> {
  const policy = await assumedPolicy(options);
  const doors = doorsOf(undefined);
  const { status } = await readStatus(doors.fs, dir);
  const store = await storeOf(doors, dir, status, policy.options);
  const checkpoints = listOf(store);
  const missing = await missingFiles(doors.fs, dir, store);
  const damages = [...store.damages, ...missing, ...tagDamages(store)];
  const range = await rangeOf(store, () => StoredLog.open(doors.fs, dir, status));
  const tags = store.tags.map(({ name, index, taggedAt }) => ({ name, index, taggedAt }));
  const bytes = bytesOf(checkpoints);
  if (options.json) {
    const { source } = policy;
    const described = { source, keeps: describePolicy(policy.options) };
    print(JSON.stringify({ policy: described, bytes, checkpoints, tags, damages, range }));
  } else {
    for (const checkpoint of checkpoints) print(`${describeCheckpoint(checkpoint)}\n`);
    for (const { file, offset, reason } of damages) print(`damage: ${file}:${offset}: ${reason}`);
    for (const line of describeAll(store, { policy, bytes, range })) print(line);
  }
  return damages.length > 0 ? EXIT_CODES.repair : EXIT_CODES.done;
}

interface ListedFile extends Omit<DataFileInfo, 'chunks'> {
  /** Other checkpoints that need it. */
  readonly neededBy: readonly Index[];
}

type ListedCheckpoint = Omit<CheckpointInfo, 'files'> & {
  readonly file: string;
  readonly files: readonly ListedFile[];
  readonly bytesNeeded: number;
  readonly tags: readonly string[];
  /** Nothing: it goes with the next checkpoint, or by `tidemark prune`. */
  readonly keptBecause: readonly string[];
};

function listOf(store: CheckpointStore): ListedCheckpoint[] {
  const needers = new Map<string, Index[]>();
  for (const { info } of store.checkpoints) {
    for (const { id } of info.files) needers.set(id, [...(needers.get(id) ?? []), info.index]);
  }
  return store.retained().map(({ point: { found, tags }, reasons }) => ({
    file: found.path,
    ...found.info,
    // A checksum of each MiB says nothing to a reader.
    files: found.info.files.map(({ number, id, name, bytes, innerOffset }) => {
      const neededBy = (needers.get(id) ?? []).filter((index) => index !== found.info.index);
      return { number, id, name, bytes, innerOffset, neededBy };
    }),
    bytesNeeded: chainBytes(found.info),
    tags,
    keptBecause: reasons,
  }));
}

function tagDamages(store: CheckpointStore): CheckpointDamage[] {
  return store.tagDamages.map((damage) => ({ ...damage, offset: 0 }));
}

/**
 * Files that checkpoints need and that are not there, or do not begin as they should; each once. Not those of
 * a checkpoint that a running node has removed meanwhile.
 */
async function missingFiles(
  fs: FileSystem,
  dir: string,
  { checkpoints, pathOf }: CheckpointStore,
): Promise<CheckpointDamage[]> {
  const missing = new Map<string, CheckpointDamage>();
  for (const { info, path } of checkpoints) {
    const lacking = info.files.filter(({ id }) => pathOf(id) === null);
    if (lacking.length === 0 || (await fs.stat(path)) === null) continue;
    for (const { id, name } of lacking) {
      const file = `${dir}/${CHECKPOINTS_DIR}/${name}`;
      missing.set(id, { file, offset: 0, reason: 'it is missing, or its header is damaged' });
    }
  }
  return [...missing.values()];
}

/** Null with the reason when the log cannot be read. */
async function rangeOf(
  store: CheckpointStore,
  openLog: () => Promise<StoredLog>,
): Promise<KeptRange | { readonly unreadable: string }> {
  try {
    const checkpoints = store.checkpoints.map(({ info }) => info);
    return await keptRange({ log: await openLog(), checkpoints });
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return { unreadable: `${error.code}: ${error.message}` };
  }
}

function describeCheckpoint(checkpoint: ListedCheckpoint): string {
  const { file, index, time, takenAt, machine, root, kind, keys, stateBytes, cost } = checkpoint;
  const { files, bytesNeeded, keptBecause } = checkpoint;
  const rows = [
    ['entry', `${index} of ${formatTime(time)}`],
    ['taken', formatTime(takenAt)],
    ['machine', `${machine.name} version ${machine.version}`],
    ['root', root],
    ['state', `${count(keys, 'key')}, ${formatBytes(stateBytes)}`],
    ['written', `${kind}: ${count(cost.nodes, 'node')}, ${formatBytes(cost.bytes)}`],
    [
      'took',
      `${cost.durationMs} ms in ${count(cost.slices, 'slice')}, the longest ${cost.longestPauseMs} ms`,
    ],
    ['kept', keptBecause.length > 0 ? keptBecause.join('; ') : 'by nothing: goes with the next one'],
    ['needs', `${count(files.length, 'file')}, ${formatBytes(bytesNeeded)}`],
    ...files.map((one) => ['', describeFile(one)]),
  ];
  return `${file}\n${table(rows).replace(/^/gm, '  ')}`;
}

/** More than this many are counted. */
const NEEDERS_NAMED = 5;

function describeFile({ name, bytes, neededBy }: ListedFile): string {
  const shown = `${name} (${formatBytes(bytes)})`;
  if (neededBy.length === 0) return `${shown}, needed by this one alone`;
  if (neededBy.length > NEEDERS_NAMED) return `${shown}, needed by ${neededBy.length} others, too`;
  return `${shown}, needed by ${neededBy.join(', ')}, too`;
}

function describeAll(
  store: CheckpointStore,
  found: {
    readonly policy: AssumedPolicy;
    readonly bytes: number;
    readonly range: Awaited<ReturnType<typeof rangeOf>>;
  },
): string[] {
  const { policy, bytes, range } = found;
  const { checkpoints } = store;
  const going = store.removable.map(({ info }) => info.index);
  const gone = store.tags.filter(({ index }) => !checkpoints.some(({ info }) => info.index === index));
  return [
    checkpoints.length === 0
      ? 'no checkpoints'
      : `${count(checkpoints.length, 'checkpoint')}, ${formatBytes(bytes)} in all`,
    `kept, by ${policy.source}: ${describePolicy(policy.options)}`,
    ...(going.length === 0 ? [] : [`go with the next one: ${going.join(', ')}`]),
    ...(store.removalObstacle === null ? [] : [`nothing is removed: ${store.removalObstacle}`]),
    ...gone.map(({ name, index }) => `tag ${name}: the checkpoint of entry ${index} is not there`),
    ...('unreadable' in range ? [`log: ${range.unreadable}`] : describeRange(range)),
  ];
}

function describeRange({ first, last, alone }: KeptRange): string[] {
  const points =
    first === null || last === null
      ? 'no log leads from a checkpoint to now'
      : `any point from ${first.index} (${timeOf(first)}) to ${last.index} (${timeOf(last)})`;
  const more = alone.length === 0 ? [] : [`and by itself: ${alone.map(({ index }) => index).join(', ')}`];
  return [`one can go back to: ${points}`, ...more];
}

function timeOf({ index, time }: { readonly index: Index; readonly time: number }): string {
  return index === 0 ? 'the empty state' : formatTime(time);
}
