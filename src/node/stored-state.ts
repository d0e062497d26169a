/**
 * The state of a data directory, read without opening a node: nothing is changed, and no lock is taken. For
 * who compares it (`diffStates`), node by node.
 *
 * Where a checkpoint is the state that is asked for, its tree is read from its files. Where the log goes on
 * behind the newest one, the state is brought back in memory as a start would (restore.ts): leaves stay in
 * the files until they are read.
 */

import { systemChance } from '../base/chance.ts';
import { TidemarkError } from '../base/errors.ts';
import type { TreeReader } from '../base/merkle/diff-states.ts';
import { requireKnownOptions } from '../base/options.ts';
import { systemClock } from '../base/time.ts';
import { resolveCheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import { CheckpointTree } from '../checkpoint/checkpoint-tree.ts';
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts';
import type { FoundCheckpoint } from '../checkpoint/survey-checkpoints.ts';
import { Engine } from '../engine/engine.ts';
import type { Machine } from '../engine/machine.ts';
import { requireVersions } from '../engine/versions.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import { readLogRange, replayLog } from '../log/read-log.ts';
import { readStatus } from '../log/status.ts';
import type { Status } from '../log/status-content.ts';
import { KEY_HASH_SEED_BYTES } from '../state/key-hash.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import type { Doors } from './assemble.ts';
import { HeldState, type StateFacts } from './held-state.ts';
import { type BegunRestore, requireSameHistory, restore } from './restore.ts';

/** Options of {@link readState}. */
export interface ReadStateOptions {
  readonly dir: string;
  /**
   * The checkpoint of this entry, or `tag:NAME` for one that has a tag.
   * @default the newest state that the directory holds
   */
  readonly at?: number | `tag:${string}`;
  /** Replays what is in the log behind the newest checkpoint. @default the key-value database */
  readonly machine?: Machine;
  /** @default the system's file system, clock and random numbers */
  readonly doors?: Partial<Doors>;
}

/** A state that is read where it is stored. Close it. */
export interface StoredState extends TreeReader {
  readonly facts: StateFacts;
  close(): Promise<void>;
}

const KNOWN_OPTIONS = { dir: 0, at: 0, machine: 0, doors: 0 };

/**
 * Opens a state of a data directory to compare it with another (`diffStates`). Changes nothing, and takes no
 * lock: of a running node use `hold` instead.
 *
 * @throws TidemarkError TIDEMARK_OPTION_INVALID; TIDEMARK_INDEX_NOT_RETAINED; TIDEMARK_MACHINE_MISMATCH,
 *   TIDEMARK_VERSION_MISSING when the log cannot be replayed; and as `open` where checkpoints, log or status
 *   are damaged.
 */
export async function readState(options: ReadStateOptions): Promise<StoredState> {
  requireKnownOptions('readState', options, KNOWN_OPTIONS);
  const { dir, at, machine = keyValueMachine } = options;
  const doors = { fs: new NodeFileSystem(), clock: systemClock, chance: systemChance, ...options.doors };
  const { status } = await readStatus(doors.fs, dir);
  const { clusterId, nodeId } = status;
  const store = await CheckpointStore.find({
    ...doors,
    dataDir: dir,
    clusterId,
    nodeId,
    options: resolveCheckpointOptions({}),
    isBusy: () => false,
  });
  if (at !== undefined) {
    return stateOf(`${dir}@${at}`, await store.open(chooseCheckpoint(store, at)));
  }
  const { lastIndex } = await readLogRange(doors.fs, dir, status);
  const newest = await store.openNewest(({ index }) => index >= lastIndex);
  return newest === null ? replayed({ doors, dir, machine }, status, store) : stateOf(dir, newest);
}

interface Replay {
  readonly doors: Doors;
  readonly dir: string;
  readonly machine: Machine;
}

/** The one place where a point in the past becomes a checkpoint. */
function chooseCheckpoint(store: CheckpointStore, at: number | string): FoundCheckpoint {
  const tag = store.tags.find(({ name }) => at === `tag:${name}`);
  const index = tag?.index ?? at;
  const found = store.checkpoints.find(({ info }) => info.index === index);
  if (found !== undefined) return found;
  const known = store.checkpoints.map(({ info }) => info.index).toSorted((one, other) => one - other);
  const points = [...known, ...store.tags.map(({ name }) => `tag:${name}`)].join(', ');
  throw new TidemarkError(
    'TIDEMARK_INDEX_NOT_RETAINED',
    `no checkpoint ${at} is kept: there ${points === '' ? 'is none' : `are ${points}`}`,
    { remedy: 'fix-call', facts: { at, checkpoints: points } },
  );
}

function stateOf(name: string, checkpoint: OpenCheckpoint): StoredState {
  const { clusterId, machine, index, time } = checkpoint.info;
  const tree = new CheckpointTree(checkpoint);
  return {
    name,
    root: tree.root,
    keys: tree.keys,
    facts: { clusterId, machine, index, time },
    read: (wanted) => tree.read(wanted),
    close: () => checkpoint.files.close(),
  };
}

/** The newest checkpoint, and the log behind it. */
async function replayed(
  { doors, dir, machine }: Replay,
  status: Status,
  store: CheckpointStore,
): Promise<StoredState> {
  requireMachine(dir, status, machine);
  const history = { active: status.machine.version, earlier: status.earlierVersions };
  let failure: unknown = null;
  const replay = async (engine: Engine, begun: BegunRestore): Promise<void> => {
    const { appliedIndex } = engine;
    requireVersions(machine, history, appliedIndex, []);
    await replayLog({ fs: doors.fs, dataDir: dir, status }, appliedIndex, {
      known: (entry) => void (begun.from !== null && requireSameHistory(begun.from, entry)),
      entry: (entry) => engine.replay(entry),
    });
    await begun.verified;
  };
  const { engine, checkpoint } = await restore({
    ...doors,
    dataDir: dir,
    status: { current: status },
    store,
    options: resolveCheckpointOptions({}),
    makeEngine: (onFatal) =>
      new Engine({
        machine,
        history,
        hashSeed: doors.chance.fill(new Uint8Array(KEY_HASH_SEED_BYTES)),
        salt: Buffer.from(status.clusterId, 'hex'),
        clock: doors.clock,
        onFatal,
      }),
    onFatal: (error) => (failure ??= error),
    openLog: replay,
    signal: null,
  });
  if (failure !== null) throw failure;
  const facts = {
    clusterId: status.clusterId,
    machine: { name: machine.name, version: engine.activeVersion },
  };
  const held = new HeldState(await engine.snapshot(), facts);
  return {
    name: dir,
    root: held.root,
    keys: held.keys,
    facts: held.facts,
    read: (wanted) => held.read(wanted),
    async close() {
      held.release();
      engine.stop();
      await checkpoint?.files.close();
    },
  };
}

/** Before anything is read: only its own machine can replay a log. */
function requireMachine(dir: string, { machine: found }: Status, machine: Machine): void {
  if (found.name === machine.name) return;
  throw new TidemarkError(
    'TIDEMARK_MACHINE_MISMATCH',
    `the log in ${dir} goes on behind its newest checkpoint, and only its machine ${found.name} can replay ` +
      `it. Take a checkpoint with its program, or name one that there is: ${dir}@INDEX`,
    { remedy: 'fix-call', facts: { found: found.name, wanted: machine.name } },
  );
}
