/**
 * Builds a copy of a data directory as it was at an earlier point, in a new directory and on a new timeline:
 * a checkpoint of that state, and an empty log that goes on behind it. The directory it is made from is only
 * read, and may be that of a running node.
 *
 * The status is written last: a directory without one is unfinished, and is refused by whoever opens it.
 */

import { requireKnownOptions } from '../base/options.ts';
import { type Index, nextIndex, toIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import { Slices, steps } from '../checkpoint/slices.ts';
import type { EngineSnapshot } from '../engine/engine.ts';
import type { FoundPoint } from '../engine/kept-points.ts';
import type { Machine } from '../engine/machine.ts';
import type { PointInput } from '../engine/point.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import { type LogOptions, resolveLogOptions } from '../log/log-options.ts';
import type { Status } from '../log/status-content.ts';
import type { StoredTree } from '../state/stored.ts';
import type { Doors } from './assemble.ts';
import { type ChangeCounts, countChanges } from './count-changes.ts';
import { buildForkedDirectory, machineMismatch } from './data-directory.ts';
import { type PastState, type PastSummary, summaryOf } from './past-state.ts';
import { doorsOf, StoredHistory, storeOf, timelineAfter } from './stored-history.ts';

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
  readonly doors?: Partial<Doors>;
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

/**
 * @throws TidemarkError TIDEMARK_POINT_INVALID, TIDEMARK_POINT_NOT_KEPT; TIDEMARK_MACHINE_MISMATCH,
 *   TIDEMARK_VERSION_MISSING; TIDEMARK_NOT_A_DATA_DIRECTORY when `into` is neither new nor empty; what the
 *   log, the checkpoints and the disk may have to say.
 */
export async function restorePoint(options: RestorePointOptions): Promise<RestoredPoint> {
  requireKnownOptions('restorePoint', options, KNOWN_OPTIONS);
  const { from, into, to, machine = keyValueMachine } = options;
  const { segmentBytes } = resolveLogOptions(options.log ?? {});
  const doors = doorsOf(options.doors);
  const begun = doors.clock.monotonic();
  const history = await StoredHistory.open(from, doors);
  requireMachine(history, machine);
  const point = await history.find(to);
  const newest = await history.find(history.log.durableIndex);
  const open = (found: FoundPoint): Promise<PastState> => history.openPast(found, machine, options);
  const past = await open(point);
  try {
    const counts = into === null ? await compare(doors.clock, past, () => open(newest)) : {};
    const tree = await treeOf(past);
    if (into !== null) await build(history, past, { dir: into, segmentBytes });
    return {
      ...summaryOf(past),
      ...counts,
      fromIndex: newest.index,
      timeline: timelineAfter(history.status),
      root: Buffer.from(tree.root).toString('hex'),
      keys: tree.keys,
      tookMs: doors.clock.monotonic() - begun,
    };
  } finally {
    await past.close();
  }
}

function requireMachine({ dir, status }: StoredHistory, machine: Machine): void {
  const { name, version } = status.machine;
  if (name !== machine.name || version > machine.version) throw machineMismatch(dir, status.machine, machine);
}

async function treeOf({ engine }: PastState): Promise<StoredTree> {
  const { snapshot } = await engine.snapshot();
  const tree = snapshot.storedTree;
  snapshot.release();
  return tree;
}

/** What turns the state at the end of the log into that of the point. */
async function compare(
  clock: Clock,
  past: PastState,
  openEnd: () => Promise<PastState>,
): Promise<ChangeCounts> {
  const end = await openEnd();
  const snapshots: EngineSnapshot[] = [];
  try {
    for (const { engine } of [end, past]) snapshots.push(await engine.snapshot());
    const counted = countChanges(snapshots[0]!, snapshots[1]!);
    return (await new Slices({ clock, isBusy: () => false }).run(steps(counted))).counts;
  } finally {
    for (const { snapshot } of snapshots) snapshot.release();
    await end.close();
  }
}

interface Built {
  readonly dir: string;
  readonly segmentBytes: number;
}

async function build({ doors, status }: StoredHistory, past: PastState, built: Built): Promise<void> {
  const { engine } = past;
  await past.load();
  const forked: Status = {
    ...status,
    machine: { name: status.machine.name, version: engine.activeVersion },
    earlierVersions: [],
    timeline: timelineAfter(status),
    commitIndex: past.index,
    firstIndex: nextIndex(past.index),
    segmentSequence: 0,
    installing: null,
  };
  await buildForkedDirectory({ ...doors, ...built, status: forked, time: past.time }, () =>
    takeCheckpoint(doors, built.dir, { status: forked, past }),
  );
}

async function takeCheckpoint(
  doors: Doors,
  dir: string,
  { status, past }: { readonly status: Status; readonly past: PastState },
): Promise<void> {
  const { engine, index, time } = past;
  const store = await storeOf(doors, dir, status);
  await store.cleanUp();
  const { timeline, term, view, machine, membership } = status;
  const stateBytes = engine.liveBytes;
  const { snapshot } = await engine.snapshot();
  try {
    const facts = { timeline, index, term, view, time, machine, members: membership, stateBytes };
    await store.take(snapshot, { ...facts, membersIndex: toIndex(0) });
  } finally {
    snapshot.release();
  }
}
