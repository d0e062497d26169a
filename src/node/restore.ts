/**
 * Recovery of a node: the newest checkpoint that is whole, then the log after it. A checkpoint that turns out
 * to be damaged at any point before the node is ready is set aside for the next older one, with a fresh
 * engine: nothing half-loaded is ever used (checklist G2, G5). Without any, the log from its first entry.
 *
 * Nothing on the disk changes before the log was read to its end, and checkpoints are cleaned up last.
 */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { type Index, previousIndex, toIndex } from '../base/positions.ts';
import { type Clock, isoTime } from '../base/time.ts';
import type { ResolvedCheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import type { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import { noCheckpointLeft } from '../checkpoint/damage.ts';
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { Slices, steps } from '../checkpoint/slices.ts';
import type { FoundCheckpoint } from '../checkpoint/survey-checkpoints.ts';
import type { Engine } from '../engine/engine.ts';
import { readLogRange } from '../log/read-log.ts';
import type { StatusFile } from '../log/status.ts';
import type { FileSystem } from '../storage/file-system.ts';

export interface RestoreInput<Opened> {
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly status: StatusFile;
  readonly store: CheckpointStore;
  readonly options: ResolvedCheckpointOptions;
  /** An engine without state, and who hears that it is wrong. */
  readonly makeEngine: (onFatal: (error: unknown) => void) => Engine;
  /** The engine that was restored is wrong: the node must stop. */
  readonly onFatal: (error: unknown) => void;
  /** Ends the recovery. */
  readonly signal: AbortSignal | null;
  /** Opens the log and replays it into the engine. */
  readonly openLog: (engine: Engine, begun: BegunRestore) => Promise<Opened>;
}

/** What the log comes behind. */
export interface BegunRestore {
  /** What the engine has its state from; null when it is empty. */
  readonly from: FoundCheckpoint | null;
  /** The newest entry that any checkpoint has: the log must reach it. */
  readonly knownIndex: Index;
  /** Awaited before anything on the disk is changed. */
  readonly verified: Promise<void>;
}

export interface Restored<Opened> {
  readonly engine: Engine;
  /** What `openLog` gave. */
  readonly opened: Opened;
  /** What the state was installed from, with its files open; null when the log had everything. */
  readonly checkpoint: OpenCheckpoint | null;
}

/** @throws TidemarkError of the log; TIDEMARK_CHECKPOINT_DAMAGED when no checkpoint and no log is enough. */
export async function restore<Opened>(input: RestoreInput<Opened>): Promise<Restored<Opened>> {
  const { store, status } = input;
  const { firstIndex } = status.current;
  const knownIndex = newestIndex(store);
  let restored: Restored<Opened> | null = null;
  const tryOne = async (checkpoint: OpenCheckpoint, verified: Promise<void>): Promise<void> => {
    restored = await restoreFrom(input, { checkpoint, verified }, knownIndex);
  };
  try {
    await store.installNewest(tryOne, ({ index }) => index >= previousIndex(firstIndex));
  } catch (error) {
    throw error instanceof OtherFailure ? error.cause : error;
  }
  if (restored !== null) return restored;
  if (firstIndex > 1) throw await nothingLeft(input);
  return restoreFrom(input, { checkpoint: null, verified: Promise.resolve() }, knownIndex);
}

/** Not the fault of the checkpoint: no older one would help. */
class OtherFailure extends Error {
  override readonly name = 'OtherFailure';
}

/** Keeps what makes an engine unusable until it is known whether that engine is used at all. */
class EarlyFailure {
  readonly #onFatal: (error: unknown) => void;
  #isPassing = false;
  #first: { readonly error: unknown } | null = null;

  constructor(onFatal: (error: unknown) => void) {
    this.#onFatal = onFatal;
  }

  readonly tell = (error: unknown): void => {
    if (this.#isPassing) this.#onFatal(error);
    else this.#first ??= { error };
  };

  passOn(): void {
    this.#isPassing = true;
    if (this.#first !== null) this.#onFatal(this.#first.error);
  }
}

async function restoreFrom<Opened>(
  input: RestoreInput<Opened>,
  { checkpoint, verified }: { readonly checkpoint: OpenCheckpoint | null; readonly verified: Promise<void> },
  knownIndex: Index,
): Promise<Restored<Opened>> {
  // What one attempt meets between two entries is nothing to the next one.
  const early = new EarlyFailure(input.onFatal);
  const engine = input.makeEngine(early.tell);
  let isInstalled = false;
  try {
    if (checkpoint !== null) await install(input, engine, checkpoint);
    isInstalled = true;
    const opened = await input.openLog(engine, { from: checkpoint?.found ?? null, knownIndex, verified });
    early.passOn();
    return { engine, opened, checkpoint };
  } catch (error) {
    engine.stop();
    // While the log is replayed, parts of the checkpoint are read as they are needed.
    const isRead = error === engine.readFailure || isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED');
    const isOfCheckpoint = !isInstalled || isRead;
    throw isOfCheckpoint || checkpoint === null ? error : new OtherFailure('of the log', { cause: error });
  }
}

async function install(
  { options, clock, signal }: RestoreInput<unknown>,
  engine: Engine,
  { tree, files, info }: OpenCheckpoint,
): Promise<void> {
  await files.readInnerAhead(options);
  signal?.throwIfAborted();
  const slices = new Slices({ clock, isBusy: () => false });
  await slices.run(steps(engine.install(tree, files, info)));
  files.forgetAll();
}

function newestIndex({ checkpoints }: CheckpointStore): Index {
  return toIndex(Math.max(0, ...checkpoints.map(({ info }) => info.index)));
}

async function nothingLeft({ fs, dataDir, status, store }: RestoreInput<unknown>): Promise<TidemarkError> {
  return noCheckpointLeft(store.damages, await readLogRange(fs, dataDir, status.current));
}

/**
 * Holds a checkpoint against the log behind it: both may be whole, and of two histories, when files of a copy
 * that went on by itself were brought here.
 * @throws TidemarkError TIDEMARK_FOREIGN_FILE.
 */
export function requireSameHistory(
  { info, path }: FoundCheckpoint,
  entry: { readonly term: number; readonly time: number },
): void {
  if (entry.term === info.term && entry.time === info.time) return;
  throw new TidemarkError(
    'TIDEMARK_FOREIGN_FILE',
    `the checkpoint ${path} has entry ${info.index} of ${isoTime(info.time)}, and the log has it of ` +
      `${isoTime(entry.time)}: they are of two histories, of a directory and of a copy that went on by ` +
      'itself. Nothing was changed; move the files out that do not belong here',
    { remedy: 'restore', facts: { file: path, index: info.index } },
  );
}
