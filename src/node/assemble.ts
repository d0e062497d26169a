/** The parts of a node, from an open data directory to what takes commands. */

import { assert } from '../base/assert.ts';
import type { Chance } from '../base/chance.ts';
import { isTidemarkError } from '../base/errors.ts';
import { type Index, laterOf, previousIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { ResolvedCheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import type { OpenCheckpoint } from '../checkpoint/open-checkpoint.ts';
import type { StartCost } from '../checkpoint/schedule/scheduler.ts';
import { Engine } from '../engine/engine.ts';
import type { Machine } from '../engine/machine.ts';
import { PART_BYTES_MAX } from '../engine/rewind-entry.ts';
import { requireVersions, type VersionHistory } from '../engine/versions.ts';
import type { DeadlineTable } from '../keyvalue/deadline-table.ts';
import type { Durability } from '../log/durability.ts';
import { Log } from '../log/log.ts';
import type { LogStatus } from '../log/log-files.ts';
import type { LogOptions } from '../log/log-options.ts';
import type { StatusFile } from '../log/status.ts';
import { LocalOrdering } from '../ordering/local.ts';
import type { LocalOptions } from '../ordering/local-options.ts';
import { ProcedureRunner, type ProcedureRunnerConfig } from '../procedures/procedure-runner.ts';
import { KEY_HASH_SEED_BYTES } from '../state/key-hash.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { activateVersions } from './activate.ts';
import { CommitRecorder } from './commit-recorder.ts';
import type { DataDirectory } from './data-directory.ts';
import { EntryFeed } from './entry-feed.ts';
import type { NodeEvents } from './events.ts';
import { ExpiringOrdering } from './expiring-ordering.ts';
import { History } from './history.ts';
import { Lateness } from './lateness.ts';
import type { Node, NodeParts, NodeRecovery, RestoredCheckpoint } from './node.ts';
import { NodeCheckpoints } from './node-checkpoints.ts';
import { OwnEntries } from './own-entries.ts';
import { ProcessHold } from './process-hold.ts';
import { RehearsingOrdering } from './rehearsing-ordering.ts';
import { type BegunRestore, type Restored, requireSameHistory, restore } from './restore.ts';
import { Rewinder } from './rewinder.ts';
import type { ScrubOptions } from './scrub-options.ts';
import { Scrubber } from './scrubber.ts';

/** Where the world comes in: files, time, chance. */
export interface Doors {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly chance: Chance;
}

/**
 * How far the state was brought back. In this order, each from its first report to `done` = `total`:
 * - `log`: entries after the checkpoint, replayed; the node is ready when all are.
 * - `state`: keys of the checkpoint in memory, while the node serves; see `Node.whenLoaded`.
 *
 * What a listener throws in the first phase ends the opening; later it is ignored.
 */
export interface RecoveryProgress {
  readonly phase: 'log' | 'state';
  readonly done: number;
  readonly total: number;
}

export interface Assembly {
  readonly doors: Doors;
  readonly machine: Machine;
  /** The machine of a state of the past, which may not tell this node's parts of anything. */
  readonly machineAt: NodeParts['machineAt'];
  readonly directory: DataDirectory;
  readonly wiring: Wiring;
  readonly events: NodeEvents;
  /** What the platform cannot do. */
  readonly notices: readonly string[];
  readonly dataDir: string;
  readonly log: Required<LogOptions>;
  readonly durability: Durability;
  readonly local: Required<LocalOptions>;
  readonly checkpoint: ResolvedCheckpointOptions;
  readonly scrub: Required<ScrubOptions>;
  /** What the key-value machine tells of deadlines; null with another machine. */
  readonly deadlines: DeadlineTable | null;
  readonly procedures: Pick<ProcedureRunnerConfig, 'procedures' | 'kept' | 'machine'>;
  readonly onProgress: (progress: RecoveryProgress) => void;
  /** In development the machine is watched, and every command is tried before it is taken. */
  readonly mode: 'production' | 'development';
  /** Ends the opening, until the state is back. */
  readonly signal: AbortSignal | null;
}

/** Carries what the disk reports to the node, which does not exist yet when the disk is first touched. */
export class Wiring {
  #node: Node<unknown, unknown> | null = null;
  #early: unknown = null;
  #checkpoints: NodeCheckpoints | null = null;
  #scrubber: Scrubber | null = null;

  readonly fail = (error: unknown): void => {
    if (this.#node === null) this.#early ??= error;
    else this.#node.fail(error);
  };

  /** Entries were made durable. */
  advanced(): void {
    this.#checkpoints?.advanced();
  }

  /** A checkpoint was taken. */
  checkpointTaken(): void {
    this.#scrubber?.checkpointTaken();
  }

  connect(node: Node<unknown, unknown>, parts: NodeParts): void {
    parts.ordering.start(parts.log);
    parts.feed.start(parts.log);
    parts.expiring?.start(parts.checkpoints.whenLoaded());
    parts.procedures.start(parts.checkpoints.whenLoaded());
    this.#checkpoints = parts.checkpoints;
    this.#scrubber = parts.scrubber;
    this.#node = node;
    if (this.#early !== null) node.fail(this.#early);
  }
}

/** Recovers the state, opens the log for more, and puts everything together. */
export async function assemble(assembly: Assembly): Promise<NodeParts> {
  const { doors, dataDir, directory, wiring, events, checkpoint: options } = assembly;
  const { status, lock } = directory;
  const { clock } = doors;
  const started = clock.monotonic();
  let engine: Engine | null = null;
  const store = await findCheckpoints(assembly, () => engine?.isBusy ?? false);
  const commits = new CommitRecorder(status, clock);
  const hold = new ProcessHold(clock);
  const feed = new EntryFeed(hold);
  const own = new OwnEntries();
  const restored = await restore({
    ...doors,
    dataDir,
    status,
    store,
    options,
    makeEngine: (onFatal) => makeEngine(assembly, assembly.machine, historyOf(assembly), onFatal),
    onFatal: wiring.fail,
    signal: assembly.signal,
    openLog(into, begun) {
      requireReplayable(assembly, into.appliedIndex, store);
      return openLog(assembly, into, { commits, own, feed }, begun);
    },
  });
  const { opened, checkpoint } = restored;
  const { log, ordering } = opened;
  engine = restored.engine;
  const { appliedIndex } = engine;
  assert(appliedIndex === log.durableIndex, `replay ends at ${log.durableIndex}, not ${appliedIndex}`);
  const warnings = [
    ...warningsOf(assembly, store, checkpoint),
    ...(await cleanUp(store, restored)),
    ...warningsOfLog(log, engine),
  ];
  commits.committed(log.durableIndex);
  const history = makeHistory(assembly, { engine, log, store });
  const checkpoints = new NodeCheckpoints({
    engine,
    history,
    log,
    status,
    store,
    options,
    clock,
    checkpoint,
    onProgress: (done, total) => tellLoaded(assembly, done, total),
    onFatal: wiring.fail,
    onEvent(happening) {
      events.emit(happening);
      if (happening.kind === 'checkpoint-taken') wiring.checkpointTaken();
    },
  });
  await activate({ engine, log, own, status, clock, commits, checkpoints, signal: assembly.signal });
  const recovery: NodeRecovery = {
    ...log.report,
    warnings,
    isNew: directory.isNew,
    checkpoint: checkpoint && describeRestored(checkpoint),
    entriesReplayed: appliedIndex - (checkpoint?.info.index ?? 0),
    commandsReplayed: engine.commandsApplied,
    tookMs: clock.monotonic() - started,
  };
  checkpoints.startSchedule(startCost(recovery, opened));
  const scrubber = makeScrubber(assembly, { engine, log, store, checkpoints, hold });
  const parts = { engine, log, status, lock, ordering, commits, feed, hold, checkpoints, history, events };
  return { ...parts, ...serve(assembly, parts, own), scrubber, recovery };
}

function findCheckpoints(
  { doors, dataDir, directory, checkpoint: options }: Assembly,
  isBusy: () => boolean,
): Promise<CheckpointStore> {
  const { clusterId, nodeId } = directory.status.current;
  return CheckpointStore.find({ ...doors, dataDir, clusterId, nodeId, options, isBusy });
}

/** What only a node that serves needs. */
function serve(
  { doors, deadlines, mode, machineAt, wiring, log, procedures: defined }: Assembly,
  parts: Pick<NodeParts, 'engine' | 'log' | 'ordering' | 'checkpoints' | 'history' | 'events'>,
  own: OwnEntries,
): Pick<NodeParts, 'expiring' | 'rehearsing' | 'rewinder' | 'procedures' | 'lateness' | 'machineAt'> {
  const { clock } = doors;
  const { ordering, checkpoints } = parts;
  const { engine } = parts;
  const { state } = engine;
  const expiring = deadlines === null ? null : new ExpiringOrdering({ ordering, deadlines, state, clock });
  const rehearsing = mode === 'production' ? null : new RehearsingOrdering({ ordering, engine, clock });
  const procedures = new ProcedureRunner({
    ...defined,
    ordering: rehearsing ?? expiring ?? ordering,
    whenDurable: () => (parts.log.durability === 'synced' ? Promise.resolve() : parts.log.sync()),
    clock,
    onEvent: parts.events.emit,
    onFatal: wiring.fail,
  });
  const rewinder = new Rewinder({
    ...parts,
    own,
    clock,
    // Several fit a segment, so that the log does not grow by files that are mostly empty.
    partBytesMax: Math.min(PART_BYTES_MAX, log.segmentBytes / 4),
    whenLoaded: () => checkpoints.whenLoaded(),
    onRewound() {
      expiring?.stateReplaced();
      procedures.stateReplaced();
    },
    onFatal: wiring.fail,
  });
  const lateness = new Lateness(clock, (lateMs) => parts.events.emit({ kind: 'late', lateMs }));
  return { expiring, rehearsing, rewinder, procedures, lateness, machineAt };
}

function makeScrubber(
  { doors, dataDir, directory, scrub, events, wiring }: Assembly,
  parts: Pick<NodeParts, 'engine' | 'log' | 'checkpoints' | 'hold'> & { readonly store: CheckpointStore },
): Scrubber {
  const { engine } = parts;
  return new Scrubber({
    ...doors,
    ...parts,
    dataDir,
    status: directory.status,
    options: scrub,
    isBusy: () => engine.isBusy,
    onEvent: events.emit,
    onFatal: wiring.fail,
  });
}

/** The past of the node, for views of it and for rewinding. */
function makeHistory(
  assembly: Assembly,
  { engine, log, store }: { readonly engine: Engine; readonly log: Log; readonly store: CheckpointStore },
): History {
  const { doors, directory, machineAt } = assembly;
  return new History({
    log,
    store,
    status: directory.status,
    options: assembly.checkpoint,
    clock: doors.clock,
    isBusy: () => engine.isBusy,
    makeEngine: (time, history, onFatal) => makeEngine(assembly, machineAt(time), history, onFatal),
    indexOfTag: (name) => store.tagged(name),
  });
}

function tellLoaded({ onProgress }: Assembly, done: number, total: number): void {
  try {
    onProgress({ phase: 'state', done, total });
  } catch {
    // Somebody's progress bar: the node serves already, and goes on.
  }
}

/** What the status says of the versions of the machine. */
function historyOf({ directory }: Assembly): VersionHistory {
  const { machine, earlierVersions } = directory.status.current;
  return { active: machine.version, earlier: earlierVersions };
}

/** Before the log is read: has this program the versions that a replay from here on takes? */
function requireReplayable(assembly: Assembly, replayAfter: Index, { checkpoints }: CheckpointStore): void {
  const indices = checkpoints.map(({ info }) => info.index);
  requireVersions(assembly.machine, historyOf(assembly), replayAfter, indices);
}

/** Brings the directory to the program's version of the machine; lets go of everything when that fails. */
async function activate(
  parts: Pick<NodeParts, 'engine' | 'log' | 'status' | 'commits' | 'checkpoints'> &
    Pick<Assembly, 'signal'> & { readonly clock: Clock; readonly own: OwnEntries },
): Promise<void> {
  const { engine, log, commits, checkpoints, signal } = parts;
  const takeCheckpoint = async (): Promise<void> => {
    if (engine.appliedIndex > 0) await checkpoints.take();
  };
  try {
    signal?.throwIfAborted();
    await activateVersions({ ...parts, takeCheckpoint });
  } catch (error) {
    commits.stop();
    await checkpoints.close(error instanceof Error ? error : new Error(String(error)));
    engine.stop();
    await log.close().catch(() => undefined); // The caller gets what came first.
    throw error;
  }
}

function makeEngine(
  { directory, doors }: Assembly,
  machine: Machine,
  history: VersionHistory,
  onFatal: (error: unknown) => void,
): Engine {
  return new Engine({
    machine,
    history,
    hashSeed: doors.chance.fill(new Uint8Array(KEY_HASH_SEED_BYTES)),
    salt: Buffer.from(directory.status.current.clusterId, 'hex'),
    clock: doors.clock,
    onFatal,
  });
}

function startCost({ commandsReplayed, tookMs }: NodeRecovery, { replayMs }: OpenedLog): StartCost {
  return { restartMs: Math.max(0, tookMs - replayMs), commandsReplayed, replayMs };
}

interface OpenedLog {
  readonly log: Log;
  readonly ordering: LocalOrdering;
  /** Time from the first entry that was replayed to the last, in milliseconds. */
  readonly replayMs: number;
}

/** Who hears of the log beside the ordering; of an entry of the node's own instead of it. */
interface LogListeners {
  readonly commits: CommitRecorder;
  readonly own: OwnEntries;
  readonly feed: EntryFeed;
}

/** Opens the log behind what an engine has, replays it there, and has an ordering feed both. */
async function openLog(
  {
    doors,
    dataDir,
    directory,
    wiring,
    events,
    log: options,
    durability,
    local,
    onProgress,
    signal,
  }: Assembly,
  engine: Engine,
  { commits, own, feed }: LogListeners,
  begun: BegunRestore,
): Promise<OpenedLog> {
  const { status } = directory;
  const replay = { startedMs: 0, endedMs: 0 };
  const replayAfter = engine.appliedIndex;
  const ordering = new LocalOrdering({ engine, clock: doors.clock, options: local, onFatal: wiring.fail });
  const log = await Log.open({
    ...doors,
    dataDir,
    identity: status.current,
    status: logStatus(status, begun),
    options,
    durability,
    replayAfter,
    onKnown(entry) {
      if (begun.from !== null) requireSameHistory(begun.from, entry);
    },
    onReplay(entry, lastIndex) {
      if (replay.startedMs === 0) replay.startedMs = doors.clock.monotonic();
      signal?.throwIfAborted();
      engine.replay(entry);
      replay.endedMs = doors.clock.monotonic();
      onProgress({ phase: 'log', done: entry.index - replayAfter, total: lastIndex - replayAfter });
    },
    onReleased: (index) => ordering.onReleased(index),
    onDurable(index) {
      own.onDurable(index);
      commits.committed(index);
      wiring.advanced();
      feed.onDurable();
    },
    onRefused(afterIndex, error) {
      if (own.onRefused(error)) ordering.onRefused(afterIndex, error);
    },
    onPoisoned(error) {
      own.fail(error);
      wiring.fail(error);
    },
    onEvent: events.emit,
  });
  return { log, ordering, replayMs: replay.endedMs - replay.startedMs };
}

/**
 * The fields of the status that the log reads and keeps true.
 * @param begun Entries that checkpoints have were committed, even if the status lags behind.
 */
function logStatus(status: StatusFile, { knownIndex, verified }: BegunRestore): LogStatus {
  const { firstIndex, segmentSequence, commitIndex } = status.current;
  return {
    promise: { firstIndex, segmentSequence, commitIndex: laterOf(commitIndex, knownIndex) },
    async makeDurable() {
      await verified; // What is damaged is refused before anything is changed.
      await status.makeDurable();
    },
    persistSequence(sequence) {
      status.update({ segmentSequence: sequence });
      return status.whenPersisted();
    },
    persistFirstIndex(first) {
      const { earlierVersions } = status.current;
      const needed = earlierVersions.filter(({ lastIndex }) => lastIndex >= previousIndex(first));
      status.update({ firstIndex: first, earlierVersions: needed });
      return status.whenPersisted();
    },
  };
}

/** Cleans the checkpoints up; on a full disk later, before the next one is taken. */
async function cleanUp(
  store: CheckpointStore,
  { engine, opened, checkpoint }: Restored<{ readonly log: Log }>,
): Promise<string[]> {
  try {
    const { removed, quarantined } = await store.cleanUp();
    return [
      ...quarantined.map((path) => `moved a damaged checkpoint file to ${path}`),
      ...removed.map((path) => `removed ${path}, which a crash had left unfinished`),
    ];
  } catch (error) {
    if (isTidemarkError(error) && error.remedy === 'retry') {
      return [`checkpoints could not be cleaned up yet: ${error.message}`];
    }
    engine.stop();
    await opened.log.close();
    await checkpoint?.files.close();
    throw error;
  }
}

function warningsOfLog({ report, refusal }: Log, { replayWarning }: Engine): readonly string[] {
  const refused = refusal === null ? [] : [`commands are refused: ${refusal.message}`];
  return [...report.warnings, ...(replayWarning === null ? [] : [replayWarning]), ...refused];
}

function warningsOf(
  { directory, notices }: Assembly,
  store: CheckpointStore,
  checkpoint: OpenCheckpoint | null,
): string[] {
  const instead =
    checkpoint === null ? 'the whole log was replayed' : `the one of entry ${checkpoint.info.index} was used`;
  return [
    ...directory.status.repaired.map((copy) => `repaired copy ${copy.copy} of the status: ${copy.reason}`),
    ...store.damages.map(
      ({ file, offset, reason }) =>
        `the checkpoint file ${file} is damaged at offset ${offset}: ${reason}; ${instead}`,
    ),
    ...(checkpoint?.warnings ?? []).map(
      ({ file, offset, reason }) =>
        `the checkpoint file ${file} is damaged at offset ${offset} (${reason}), in nothing that is needed`,
    ),
    ...store.tagDamages.map(
      ({ file, reason }) =>
        `the tag ${file} cannot be used: ${reason}; no checkpoint is removed until it is gone or mended`,
    ),
    ...notices,
  ];
}

function describeRestored({ found, info, files, verifiedBytes }: OpenCheckpoint): RestoredCheckpoint {
  return {
    file: found.path.slice(found.path.lastIndexOf('/') + 1),
    index: info.index,
    root: info.root,
    keys: info.keys,
    bytesRead: files.bytesRead,
    bytesVerified: verifiedBytes,
  };
}
