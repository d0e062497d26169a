/**
 * The state of a data directory, read without opening a node: nothing is changed, and no lock is taken. For
 * who compares it (`diffStates`), node by node.
 *
 * Where a checkpoint is the state that is asked for, its tree is read from its files. Any other state is
 * brought back in memory, from the checkpoint before it and the log; leaves that nothing changed since stay
 * in the files until they are read.
 */

import { TidemarkError } from '../base/errors.ts';
import type { TreeReader } from '../base/merkle/diff-states.ts';
import { requireKnownOptions } from '../base/options.ts';
import { CheckpointTree } from '../checkpoint/checkpoint-tree.ts';
import { isUnreadable } from '../checkpoint/damage.ts';
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts';
import type { FoundPoint } from '../engine/kept-points.ts';
import type { Machine } from '../engine/machine.ts';
import type { PointInput } from '../engine/point.ts';
import { keyValueMachine } from '../keyvalue/machine.ts';
import type { Doors } from './assemble.ts';
import { HeldState, type StateFacts } from './held-state.ts';
import { doorsOf, StoredHistory } from './stored-history.ts';

/** Options of {@link readState}. */
export interface ReadStateOptions {
  readonly dir: string;
  /** Which state. @default the newest one that the directory holds */
  readonly at?: PointInput;
  /** Replays what is in the log behind a checkpoint. @default the key-value database */
  readonly machine?: Machine;
  /** @default the system's file system, clock and random numbers */
  readonly doors?: Partial<Doors>;
}

/** A state that is read where it is stored. Close it. */
export interface StoredState extends TreeReader {
  readonly facts: StateFacts;
  /** Checkpoints that were passed over because they are damaged. */
  readonly warnings?: readonly string[];
  close(): Promise<void>;
}

const KNOWN_OPTIONS = { dir: 0, at: 0, machine: 0, doors: 0 };

/**
 * Opens a state of a data directory to compare it with another (`diffStates`). Changes nothing, and takes no
 * lock: of a running node use `hold` instead.
 *
 * @throws TidemarkError TIDEMARK_OPTION_INVALID; TIDEMARK_POINT_INVALID, TIDEMARK_POINT_NOT_KEPT;
 *   TIDEMARK_MACHINE_MISMATCH, TIDEMARK_VERSION_MISSING when the log cannot be replayed; and as `open` where
 *   checkpoints, log or status are damaged.
 */
export async function readState(options: ReadStateOptions): Promise<StoredState> {
  requireKnownOptions('readState', options, KNOWN_OPTIONS);
  const { dir, at, machine = keyValueMachine } = options;
  const history = await StoredHistory.open(dir, doorsOf(options.doors));
  if (at === undefined) history.log.requireWhole();
  const point = await history.find(at ?? history.log.durableIndex);
  const checkpoint = await openAt(history, point);
  if (checkpoint === null) return replayed(history, point, machine);
  const { clusterId, machine: writer, index, time } = checkpoint.info;
  const tree = new CheckpointTree(checkpoint);
  return {
    name: tree.name,
    root: tree.root,
    keys: tree.keys,
    facts: { clusterId, machine: writer, index, time },
    read: (wanted) => tree.read(wanted),
    close: () => checkpoint.files.close(),
  };
}

/** The checkpoint that is just this point; null when there is none, or none that is whole. */
async function openAt({ store }: StoredHistory, point: FoundPoint): Promise<OpenCheckpoint | null> {
  const found = store.checkpoints.find(({ info }) => info.index === point.index && point.commands === null);
  if (found === undefined) return null;
  const checkpoint = await store.open(found).catch(nullIfUnreadable);
  if (checkpoint === null) return null;
  try {
    await checkpoint.verifyFirst();
    return checkpoint;
  } catch (error) {
    await checkpoint.files.close();
    return nullIfUnreadable(error);
  }
}

function nullIfUnreadable(error: unknown): null {
  if (isUnreadable(error)) return null;
  throw error;
}

/** A checkpoint, and the log behind it. */
async function replayed(history: StoredHistory, point: FoundPoint, machine: Machine): Promise<StoredState> {
  requireMachine(history, machine);
  const past = await history.openPast(point, machine);
  try {
    const facts = {
      clusterId: history.status.clusterId,
      machine: { name: machine.name, version: past.engine.activeVersion },
    };
    const held = new HeldState(await past.engine.snapshot(), facts);
    return {
      name: history.dir,
      root: held.root,
      keys: held.keys,
      facts: held.facts,
      warnings: past.warnings,
      read: (wanted) => held.read(wanted),
      async close() {
        held.release();
        await past.close();
      },
    };
  } catch (error) {
    await past.close();
    throw error;
  }
}

/** Before anything is read: only its own machine can replay a log. */
function requireMachine({ dir, status }: StoredHistory, machine: Machine): void {
  const found = status.machine;
  if (found.name === machine.name) return;
  throw new TidemarkError(
    'TIDEMARK_MACHINE_MISMATCH',
    `the log in ${dir} goes on behind its newest checkpoint, and only its machine ${found.name} can replay ` +
      `it. Take a checkpoint with its program, or name one that there is: ${dir}@INDEX`,
    { remedy: 'fix-call', facts: { found: found.name, wanted: machine.name } },
  );
}
