/**
 * Brings the state of an earlier point back, beside whatever is served: the newest checkpoint at or before it
 * that is whole, installed without its leaves into an engine of its own, then the log up to the point.
 *
 * Every leaf is verified before it is used. Where damage shall lead to an older checkpoint and not to an
 * error of a later read, the checkpoint is verified meanwhile as a start does it (`verifies`).
 *
 * Memory: the nodes above the leaves, and what the replay changes or a reader asks for. The event loop is
 * held for a millisecond or two at a time.
 */

import { TidemarkError } from '../base/errors.ts';
import { type Index, nextIndex, previousIndex, toIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import { BackgroundLoader } from '../checkpoint/background-loader.ts';
import type { ResolvedCheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import { type CheckpointDamage, damageOf, isUnreadable, noCheckpointLeft } from '../checkpoint/damage.ts';
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts';
import { Slices, steps } from '../checkpoint/slices.ts';
import type { FoundCheckpoint } from '../checkpoint/survey-checkpoints.ts';
import type { Engine } from '../engine/engine.ts';
import { type FoundPoint, type KeptLog, lastWholeIndex } from '../engine/kept-points.ts';
import type { VersionHistory } from '../engine/versions.ts';
import { requireSameHistory } from './restore.ts';

export interface PastInput {
  readonly clock: Clock;
  readonly options: ResolvedCheckpointOptions;
  readonly isBusy: () => boolean;
  /** Leaves of the checkpoint when they are read, or all before the state is used; up to `verifyBytesMax`. */
  readonly verifies: 'when-read' | 'before';
  readonly log: KeptLog;
  /** Newest first. */
  readonly checkpoints: readonly FoundCheckpoint[];
  readonly openCheckpoint: (found: FoundCheckpoint) => Promise<OpenCheckpoint>;
  /** Which versions were active where, in the entries of the log. */
  readonly history: VersionHistory;
  readonly makeEngine: (history: VersionHistory, onFatal: (error: unknown) => void) => Engine;
  /** Whether the node stopped meanwhile. */
  readonly isEnded: () => boolean;
  /** Ends the work, with its reason. */
  readonly signal: AbortSignal | null;
  /** Told now and then: entries replayed, of so many. */
  readonly onProgress: (done: number, total: number) => void;
}

/** Which state of the past it is, and what it was made from. */
export interface PastSummary {
  /** The entry whose state it is; `commands` of it when not all are in that state, else null. */
  readonly index: Index;
  readonly commands: number | null;
  /** Time of that entry, in milliseconds since 1970; 0 of the empty state. */
  readonly time: number;
  /** Index of the checkpoint that it was installed from; 0 when the log had everything. */
  readonly checkpoint: Index;
  /** What of the log was replayed behind it. */
  readonly entriesReplayed: number;
  readonly commandsReplayed: number;
  /** Checkpoints that could not be used. */
  readonly warnings: readonly string[];
}

/** A state of the past, in an engine of its own. */
export interface PastState extends PastSummary {
  readonly engine: Engine;
  /** What made the engine unusable since; null when nothing did. */
  readonly failure: () => unknown;
  /** Brings all of it into memory. */
  readonly load: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/**
 * @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED when no way back is whole; of the log and the machine.
 */
export async function openPast(input: PastInput, point: FoundPoint): Promise<PastState> {
  const { log } = input;
  const last = lastWholeIndex(point);
  const damages: CheckpointDamage[] = [];
  for (const found of input.checkpoints) {
    const { index } = found.info;
    const isReached = index === last || index >= previousIndex(log.firstIndex);
    if (index > last || !isReached) continue;
    try {
      return await openFrom(input, point, { found, damages });
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      damages.push(damageOf(error));
    }
  }
  if (log.firstIndex === 1) return openFrom(input, point, { found: null, damages });
  throw noCheckpointLeft(damages, { firstIndex: log.firstIndex, lastIndex: log.durableIndex });
}

interface Start {
  readonly found: FoundCheckpoint | null;
  /** Why newer ones are not used. */
  readonly damages: readonly CheckpointDamage[];
}

async function openFrom(input: PastInput, point: FoundPoint, { found, damages }: Start): Promise<PastState> {
  const failure = { error: null as unknown };
  const engine = input.makeEngine(historyFrom(input, found), (error) => {
    failure.error ??= error;
  });
  let checkpoint: OpenCheckpoint | null = null;
  let verified = Promise.resolve();
  const close = async (): Promise<void> => {
    engine.stop();
    checkpoint?.stop();
    await verified.catch(() => undefined); // It reads the files.
    await checkpoint?.files.close();
  };
  try {
    const slices = new Slices(input);
    if (found !== null) {
      checkpoint = await input.openCheckpoint(found);
      if (input.verifies === 'before') verified = checkpoint.verifyFirst();
      verified.catch(() => undefined); // It is awaited below, whatever comes first.
      await install(input, engine, checkpoint, slices);
    }
    await replay(input, engine, { point, found, slices });
    await verified;
    const warnings = damages.map((damage) => warningOf(damage, found));
    const from = found?.info.index ?? toIndex(0);
    return {
      engine,
      index: point.index,
      commands: point.commands,
      time: point.time,
      checkpoint: from,
      entriesReplayed: point.index - from,
      commandsReplayed: engine.commandsApplied,
      warnings,
      failure: () => failure.error ?? engine.readFailure,
      load: () => load(input, engine, checkpoint),
      close,
    };
  } catch (error) {
    await close();
    throw engine.readFailure ?? error;
  }
}

/** A checkpoint that the log does not go on from says itself which version it is of. */
function historyFrom({ history, log }: PastInput, found: FoundCheckpoint | null): VersionHistory {
  if (found === null || found.info.index >= previousIndex(log.firstIndex)) return history;
  return { active: found.info.machine.version, earlier: [] };
}

async function install(
  { options }: PastInput,
  engine: Engine,
  { tree, files, info }: OpenCheckpoint,
  slices: Slices,
): Promise<void> {
  await files.readInnerAhead(options);
  await slices.run(steps(engine.install(tree, files, info)));
  files.forgetAll();
}

async function load(input: PastInput, engine: Engine, checkpoint: OpenCheckpoint | null): Promise<void> {
  if (checkpoint === null) return;
  const state = engine.coldState;
  await new BackgroundLoader({ ...input, state, files: checkpoint.files, onProgress: () => undefined }).run();
}

interface Replay {
  readonly point: FoundPoint;
  readonly found: FoundCheckpoint | null;
  readonly slices: Slices;
}

async function replay(
  { log, signal, isEnded, onProgress }: PastInput,
  engine: Engine,
  { point, found, slices }: Replay,
): Promise<void> {
  const { appliedIndex: after } = engine;
  if (after === point.index) return;
  // The entry of the checkpoint, if there still is one, tells whether both are of one history.
  const first = found !== null && after >= log.firstIndex ? after : nextIndex(after);
  for await (const entry of log.read(first, point.index)) {
    signal?.throwIfAborted();
    if (isEnded()) throw notOpen();
    if (entry.index === after) {
      requireSameHistory(found!, entry);
      continue;
    }
    const isLast = entry.index === point.index;
    const steps = engine.replaySteps(entry, isLast ? (point.commands ?? Infinity) : Infinity);
    while (steps.next().done !== true) if (slices.isOver) await slices.rest();
    if (!slices.isOver) continue;
    onProgress(entry.index - after, point.index - after);
    await slices.rest();
  }
}

function warningOf({ file, offset, reason }: CheckpointDamage, found: FoundCheckpoint | null): string {
  const instead =
    found === null ? 'the whole log was replayed' : `that of entry ${found.info.index} was used`;
  return `the checkpoint file ${file} is damaged at offset ${offset}: ${reason}; ${instead}`;
}

export function notOpen(): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_OPEN', 'the node stopped', { remedy: 'fix-call' });
}

export function summaryOf(past: PastState): PastSummary {
  const { index, commands, time, checkpoint, entriesReplayed, commandsReplayed, warnings } = past;
  return { index, commands, time, checkpoint, entriesReplayed, commandsReplayed, warnings };
}

/** Too many states of the past are open at once. */
export function tooManyViews(viewsMax: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_BUSY',
    `${viewsMax} states of the past are open, as many as may be; close one and try again`,
    { remedy: 'retry', facts: { viewsMax } },
  );
}
