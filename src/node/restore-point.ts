/**
 * Builds a copy of a data directory as it was at an earlier point, in a new directory and on a new timeline:
 * a checkpoint of that state, and an empty log that goes on behind it. The directory it is made from is only
 * read, and may be that of a running node.
 *
 * The status is written last: a directory without one is unfinished, and is refused by whoever opens it.
 */

import { type Chance, systemChance } from '../base/chance.ts';
import { requireKnownOptions } from '../base/options.ts';
import { type Index, nextIndex, type Timeline, toIndex, toTimeline } from '../base/positions.ts';
import { type Clock, systemClock } from '../base/time.ts';
import { resolveCheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import { Slices, steps } from '../checkpoint/slices.ts';
import { Engine, type EngineSnapshot } from '../engine/engine.ts';
import { type FoundPoint, findPoint, type KeptHistory } from '../engine/kept-points.ts';
import { type Machine, requireMachineChain } from '../engine/machine.ts';
import { type PointInput, toPoint } from '../engine/point.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import { type LogOptions, resolveLogOptions } from '../log/log-options.ts';
import { readStatus } from '../log/status.ts';
import type { Status } from '../log/status-content.ts';
import { StoredLog } from '../log/stored-log.ts';
import { KEY_HASH_SEED_BYTES } from '../state/key-hash.ts';
import type { StoredTree } from '../state/stored.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { type ChangeCounts, countChanges } from './count-changes.ts';
import { buildForkedDirectory, machineMismatch } from './data-directory.ts';
import { openPast, type PastInput, type PastState, type PastSummary, summaryOf } from './past-state.ts';

/** From which directory, into which, and to where. */
export interface RestorePointOptions {
  /** The data directory that has the point; only read. */
  readonly from: string;
  /** The directory to make: new, or empty. Null only tells what there would be. */
  readonly into: string | null;
  readonly to: PointInput;
  /** Whose data it is, with the versions that were active. @default the key-value machine */
  readonly machine?: Machine;
  /** Of the new directory's log. */
  readonly log?: Pick<LogOptions, 'segmentBytes'>;
  /** Told now and then: entries replayed, of so many. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the work while it goes on. */
  readonly signal?: AbortSignal;
  /** The doors to the world, for tests and simulators. */
  readonly doors?: { readonly fs?: FileSystem; readonly clock?: Clock; readonly chance?: Chance };
}

const KNOWN_OPTIONS = { from: 0, into: 0, to: 0, machine: 0, log: 0, onProgress: 0, signal: 0, doors: 0 };

/** What was made; or what would be, and then also how it differs from the end of the log. */
export interface RestoredPoint extends PastSummary, Partial<ChangeCounts> {
  /** The last entry of the directory that it was made from. */
  readonly fromIndex: Index;
  /** Timeline of the new directory. */
  readonly timeline: number;
  /** The root of the state, 64 hexadecimal digits. */
  readonly root: string;
  readonly keys: number;
  readonly tookMs: number;
}

interface Context {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly status: Status;
  readonly machine: Machine;
  readonly segmentBytes: number;
}

/**
 * @throws TidemarkError TIDEMARK_POINT_INVALID, TIDEMARK_POINT_NOT_KEPT; TIDEMARK_MACHINE_MISMATCH,
 *   TIDEMARK_VERSION_MISSING; TIDEMARK_NOT_A_DATA_DIRECTORY when `into` is neither new nor empty; what the
 *   log, the checkpoints and the disk may have to say.
 */
export async function restorePoint(options: RestorePointOptions): Promise<RestoredPoint> {
  requireKnownOptions('restorePoint', options, KNOWN_OPTIONS);
  const { from, into, to } = options;
  const context = await contextOf(options);
  const { fs, clock, status } = context;
  const begun = clock.monotonic();
  const store = await storeOf(context, from);
  const log = await StoredLog.open(fs, from, status);
  const indexOfTag = (name: string): Index | null => store.tagged(name);
  const kept = { log, checkpoints: store.checkpoints.map(({ info }) => info), indexOfTag };
  const point = await findPoint(kept, toPoint(to, clock.now()), clock.now());
  const newest = await findPoint(kept, toPoint(log.durableIndex, 0), clock.now());
  const input = pastInput(context, options, { store, log });
  const past = await openPast(input, point);
  try {
    const counts = into === null ? await compare(input, past, newest) : {};
    const tree = await treeOf(past);
    if (into !== null) await build(context, into, past);
    return {
      ...summaryOf(past),
      ...counts,
      fromIndex: newest.index,
      timeline: nextTimeline(status),
      root: Buffer.from(tree.root).toString('hex'),
      keys: tree.keys,
      tookMs: clock.monotonic() - begun,
    };
  } finally {
    await past.close();
  }
}

async function contextOf({
  from,
  machine = keyValueMachine,
  doors,
  log,
}: RestorePointOptions): Promise<Context> {
  requireMachineChain(machine);
  const { segmentBytes } = resolveLogOptions(log ?? {});
  const fs = doors?.fs ?? new NodeFileSystem();
  const { status } = await readStatus(fs, from);
  const { name, version } = status.machine;
  if (name !== machine.name || version > machine.version)
    throw machineMismatch(from, status.machine, machine);
  const { clock = systemClock, chance = systemChance } = doors ?? {};
  return { fs, clock, chance, status, machine, segmentBytes };
}

async function treeOf({ engine }: PastState): Promise<StoredTree> {
  const { snapshot } = await engine.snapshot();
  const tree = snapshot.storedTree;
  snapshot.release();
  return tree;
}

function nextTimeline({ timeline }: Status): Timeline {
  return toTimeline(timeline + 1);
}

function storeOf({ fs, clock, chance, status }: Context, dataDir: string): Promise<CheckpointStore> {
  return CheckpointStore.find({
    fs,
    clock,
    chance,
    dataDir,
    clusterId: status.clusterId,
    nodeId: status.nodeId,
    options: resolveCheckpointOptions({}),
    isBusy: () => false,
  });
}

function pastInput(
  { clock, chance, status, machine }: Context,
  { onProgress, signal }: RestorePointOptions,
  { store, log }: { readonly store: CheckpointStore; readonly log: KeptHistory['log'] },
): PastInput {
  return {
    clock,
    options: resolveCheckpointOptions({}),
    isBusy: () => false,
    log,
    checkpoints: store.checkpoints,
    openCheckpoint: (found) => store.open(found),
    history: { active: status.machine.version, earlier: status.earlierVersions },
    makeEngine: (history, onFatal) =>
      new Engine({
        machine,
        history,
        hashSeed: chance.fill(new Uint8Array(KEY_HASH_SEED_BYTES)),
        salt: Buffer.from(status.clusterId, 'hex'),
        clock,
        onFatal,
      }),
    isEnded: () => false,
    signal: signal ?? null,
    onProgress: onProgress ?? (() => undefined),
  };
}

/** What turns the state at the end of the log into that of the point. */
async function compare(input: PastInput, past: PastState, newest: FoundPoint): Promise<ChangeCounts> {
  const end = await openPast(input, newest);
  const snapshots: EngineSnapshot[] = [];
  try {
    for (const { engine } of [end, past]) snapshots.push(await engine.snapshot());
    const counted = countChanges(snapshots[0]!, snapshots[1]!);
    return (await new Slices(input).run(steps(counted))).counts;
  } finally {
    for (const { snapshot } of snapshots) snapshot.release();
    await end.close();
  }
}

async function build(context: Context, dir: string, past: PastState): Promise<void> {
  const { fs, clock, chance, status, segmentBytes } = context;
  const { engine } = past;
  await past.load();
  const forked: Status = {
    ...status,
    machine: { name: status.machine.name, version: engine.activeVersion },
    earlierVersions: [],
    timeline: nextTimeline(status),
    commitIndex: past.index,
    firstIndex: nextIndex(past.index),
    segmentSequence: 0,
    installing: null,
  };
  await buildForkedDirectory({ fs, clock, chance, dir, segmentBytes, status: forked, time: past.time }, () =>
    takeCheckpoint({ ...context, status: forked }, dir, past),
  );
}

async function takeCheckpoint(
  context: Context,
  dir: string,
  { engine, index, time }: PastState,
): Promise<void> {
  const store = await storeOf(context, dir);
  await store.cleanUp();
  const { timeline, term, view, machine, membership } = context.status;
  const stateBytes = engine.liveBytes;
  const { snapshot } = await engine.snapshot();
  try {
    const facts = { timeline, index, term, view, time, machine, members: membership, stateBytes };
    await store.take(snapshot, { ...facts, membersIndex: toIndex(0) });
  } finally {
    snapshot.release();
  }
}
