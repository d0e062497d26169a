/**
 * The history that a data directory holds, for who reads it without opening a node: nothing is changed, no
 * lock is taken, and the directory may be that of a running node.
 */

import { type Chance, systemChance } from '../base/chance.ts';
import type { Index, Timeline } from '../base/positions.ts';
import { toTimeline } from '../base/positions.ts';
import { type Clock, systemClock } from '../base/time.ts';
import {
  type ResolvedCheckpointOptions,
  resolveCheckpointOptions,
} from '../checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import { Engine } from '../engine/engine.ts';
import { type FoundPoint, findPoint, type KeptHistory } from '../engine/kept-points.ts';
import { type Machine, requireMachineChain } from '../engine/machine.ts';
import { type PointInput, toPoint } from '../engine/point.ts';
import { readStatus } from '../log/status.ts';
import type { Status } from '../log/status-content.ts';
import { StoredLog } from '../log/stored-log.ts';
import { KEY_HASH_SEED_BYTES } from '../state/key-hash.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import type { Doors } from './assemble.ts';
import { openPast, type PastInput, type PastState } from './past-state.ts';

/** The doors to the world; those of the system where none are given. */
export function doorsOf(given: Partial<Doors> | undefined): Doors {
  return { fs: new NodeFileSystem(), clock: systemClock, chance: systemChance, ...given };
}

export class StoredHistory {
  readonly dir: string;
  readonly doors: Doors;
  readonly status: Status;
  readonly store: CheckpointStore;
  readonly log: StoredLog;

  private constructor(dir: string, doors: Doors, found: Pick<StoredHistory, 'status' | 'store' | 'log'>) {
    this.dir = dir;
    this.doors = doors;
    this.status = found.status;
    this.store = found.store;
    this.log = found.log;
  }

  /** @throws TidemarkError where status, checkpoints or log cannot be read, as `open`. */
  static async open(dir: string, doors: Doors): Promise<StoredHistory> {
    const { status } = await readStatus(doors.fs, dir);
    const store = await storeOf(doors, dir, status);
    return new StoredHistory(dir, doors, { status, store, log: await StoredLog.open(doors.fs, dir, status) });
  }

  /** @throws TidemarkError TIDEMARK_POINT_INVALID, TIDEMARK_POINT_NOT_KEPT. */
  find(point: PointInput): Promise<FoundPoint> {
    const { log, store } = this;
    const indexOfTag = (name: string): Index | null => store.tagged(name);
    const kept: KeptHistory = { log, checkpoints: store.checkpoints.map(({ info }) => info), indexOfTag };
    const now = this.doors.clock.now();
    return findPoint(kept, toPoint(point, now), now);
  }

  /**
   * Brings the state of a point back, in memory. Close it.
   * @param machine Whose data it is, with the versions that were active.
   * @throws TidemarkError TIDEMARK_VERSION_MISSING, TIDEMARK_CHECKPOINT_DAMAGED, TIDEMARK_LOG_DAMAGED.
   */
  openPast(
    point: FoundPoint,
    machine: Machine,
    { signal, onProgress }: Partial<Pick<PastInput, 'signal' | 'onProgress'>> = {},
  ): Promise<PastState> {
    requireMachineChain(machine);
    const { status, store, log } = this;
    const { clock, chance } = this.doors;
    const input: PastInput = {
      clock,
      options: resolveCheckpointOptions({}),
      isBusy: () => false,
      verifies: 'before',
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
    return openPast(input, point);
  }
}

/** The checkpoints of a directory, as they are now. @param options Say which are kept, and how to read. */
export function storeOf(
  { fs, clock, chance }: { readonly fs: FileSystem; readonly clock: Clock; readonly chance: Chance },
  dataDir: string,
  { clusterId, nodeId }: Pick<Status, 'clusterId' | 'nodeId'>,
  options: ResolvedCheckpointOptions = resolveCheckpointOptions({}),
): Promise<CheckpointStore> {
  return CheckpointStore.find({
    fs,
    clock,
    chance,
    dataDir,
    clusterId,
    nodeId,
    options,
    isBusy: () => false,
  });
}

/** Of what is made from a history and goes on by itself. */
export function timelineAfter({ timeline }: Pick<Status, 'timeline'>): Timeline {
  return toTimeline(timeline + 1);
}
