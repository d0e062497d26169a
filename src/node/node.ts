/** A node: one engine, its log, its status and the ordering that feeds it, put together. */

import type { DistributionSummary } from '../base/histogram.ts';
import { invalidOption } from '../base/options.ts';
import type { Index } from '../base/positions.ts';
import type { Schedule } from '../checkpoint/schedule/schedule-options.ts';
import type { ScheduleStats } from '../checkpoint/schedule/scheduler.ts';
import type { Engine, StateRoot } from '../engine/engine.ts';
import { type Call, type CallableMachine, Rejection } from '../engine/machine.ts';
import type { PointInput } from '../engine/point.ts';
import type { ProcedureId } from '../engine/procedure-record.ts';
import type { Log, LogStats } from '../log/log.ts';
import type { RecoveryReport } from '../log/recover.ts';
import type { StatusFile } from '../log/status.ts';
import type { LocalOrdering } from '../ordering/local.ts';
import type { Ordering } from '../ordering/ordering.ts';
import type { Procedure } from '../procedures/procedure.ts';
import type { UnfinishedProcedure } from '../procedures/procedure-run.ts';
import type { ProcedureRunner, ProcedureStats, RunOptions } from '../procedures/procedure-runner.ts';
import type { FileLock } from '../storage/file-system.ts';
import { AbortableNode } from './abortable-node.ts';
import type { CommitRecorder } from './commit-recorder.ts';
import { closeDataDirectory } from './data-directory.ts';
import { type NodeDistributions, summarizeAll } from './distributions.ts';
import type { EntriesOptions, EntryFeed, LogEntry } from './entry-feed.ts';
import { type EventsOptions, failureOf, type NodeEvent, type NodeEvents } from './events.ts';
import type { ExpiringOrdering } from './expiring-ordering.ts';
import { HeldState } from './held-state.ts';
import type { History, OpenPastOptions } from './history.ts';
import type { Lateness } from './lateness.ts';
import type {
  CheckpointSummary,
  CheckpointTag,
  KeptCheckpoint,
  NodeCheckpoints,
  PrunedCheckpoints,
  PruneOptions,
  TakeOptions,
} from './node-checkpoints.ts';
import { PastView } from './past-view.ts';
import type { ProcessHold } from './process-hold.ts';
import type { RehearsingOrdering } from './rehearsing-ordering.ts';
import type { Rewinder, RewindOptions, RewindSummary } from './rewinder.ts';
import type { Scrubber, ScrubReport, ScrubStats } from './scrubber.ts';
import { closedError, stopErrors } from './stop-errors.ts';

/** What `open` found and did. */
export interface NodeRecovery extends RecoveryReport {
  /** The checkpoint that the state was installed from; null when the log had everything. */
  readonly checkpoint: RestoredCheckpoint | null;
  /** Whether the data directory was made just now. */
  readonly isNew: boolean;
  /** Entries and commands after the checkpoint. */
  readonly entriesReplayed: number;
  readonly commandsReplayed: number;
  /** Time from `open` to ready, in milliseconds. */
  readonly tookMs: number;
}

/** What was read of a checkpoint by the time the node was ready; the rest follows while it serves. */
export interface RestoredCheckpoint {
  readonly file: string;
  readonly index: Index;
  readonly root: string;
  readonly keys: number;
  /** Bytes read, and bytes held against their checksums. */
  readonly bytesRead: number;
  readonly bytesVerified: number;
}

/** How a node is doing, at the moment of the call. */
export interface NodeStats {
  /** Number of keys: exact once `keysToLoad` is 0. */
  readonly keys: number;
  /** Keys that are still in files only. */
  readonly keysToLoad: number;
  /** Keys that expire, about, and those that have; of the key-value machine. */
  readonly keysWithDeadline: number;
  readonly keysExpired: number;
  readonly stateBytes: number;
  /** Changes that the tree of the state does not have yet: they make the next root, or checkpoint, later. */
  readonly changesPending: number;
  readonly commandsApplied: number;
  readonly appliedIndex: Index;
  readonly firstIndex: Index;
  readonly durableIndex: Index;
  readonly lastIndex: Index;
  /**
   * Written and not durable: with `buffered` durability, commands that were acknowledged, and what a power
   * cut could take now.
   */
  readonly commandsUnsynced: number;
  readonly bytesUnsynced: number;
  /** Why commands are refused now, or null. */
  readonly refusal: string | null;
  readonly log: Readonly<LogStats>;
  readonly checkpoints: CheckpointStats;
  readonly scrub: ScrubStats;
  readonly procedures: ProcedureStats;
  readonly distributions: Readonly<Record<keyof NodeDistributions, DistributionSummary>>;
}

/** How the checkpoints of a node are doing. */
export interface CheckpointStats {
  /** The newest one; null when there is none. */
  readonly last: CheckpointSummary | null;
  readonly isTaking: boolean;
  /** Why the last attempt failed, or could not remove older ones; null when neither happened. */
  readonly failure: string | null;
  /** When the next is due, and what they cost. */
  readonly schedule: ScheduleStats | null;
}

export interface NodeParts {
  readonly engine: Engine;
  readonly log: Log;
  readonly status: StatusFile;
  readonly lock: FileLock;
  readonly ordering: LocalOrdering;
  /** What clients speak to instead, when keys expire. */
  readonly expiring: ExpiringOrdering | null;
  /** What everybody speaks to instead, in development mode. */
  readonly rehearsing: RehearsingOrdering | null;
  readonly commits: CommitRecorder;
  readonly feed: EntryFeed;
  readonly checkpoints: NodeCheckpoints;
  readonly scrubber: Scrubber;
  readonly history: History;
  readonly rewinder: Rewinder;
  readonly procedures: ProcedureRunner;
  /** The machine that answers for a state of the past. */
  readonly machineAt: (time: number) => CallableMachine<unknown, unknown>;
  readonly lateness: Lateness;
  readonly hold: ProcessHold;
  readonly events: NodeEvents;
  readonly recovery: NodeRecovery;
}

type Named<Calls, Name extends keyof Calls> = Calls[Name] extends Call ? Calls[Name] : never;

/**
 * What became of a command, as `Node.attempt` tells it: its result, or what the machine refused it with. The
 * code of a rejection tells which of the declared errors it is; that of `new Rejection('text')` is null.
 */
export type Attempt<Command> =
  | { readonly kind: 'done'; readonly result: Command extends Call ? Awaited<Command['result']> : never }
  | {
      readonly kind: 'rejected';
      readonly rejection: Command extends { readonly rejection: infer Declared } ? Declared : Rejection;
    };

/** What `Node.with` takes. */
export interface CallOptions {
  readonly signal: AbortSignal;
}

/** The calls of a node that somebody waits for. */
export type NodeCalls<Commands, Queries> = Pick<
  Node<Commands, Queries>,
  'submit' | 'attempt' | 'query' | 'run' | 'root' | 'checkpoint' | 'scrub' | 'whenLoaded' | 'sync' | 'drained'
>;

/** A running node: made by {@link open}, used until it is closed or stops by itself. */
export class Node<Commands, Queries> {
  /** What was found when it was opened. */
  readonly recovery: NodeRecovery;
  readonly #machine: CallableMachine<Commands, Queries>;
  readonly #parts: NodeParts;
  readonly #stopped: Promise<Error | null>;
  #onStopped: (failure: Error | null) => void = () => undefined;
  #failure: Error | null = null;
  #closing: Promise<void> | null = null;
  #isStoppingTold = false;

  /** Use `open`. */
  constructor(machine: CallableMachine<Commands, Queries>, parts: NodeParts) {
    this.#machine = machine;
    this.#parts = parts;
    this.recovery = parts.recovery;
    this.#stopped = new Promise((resolve) => {
      this.#onStopped = resolve;
    });
  }

  /**
   * Runs a command; resolves with its result once it is applied and durable; with `buffered` durability once
   * it is applied and written, and `sync` makes it durable.
   * Rejects with what the command threw (its writes are undone); with TIDEMARK_BUSY (remedy `retry`) when
   * twice `pendingBytesMax` waits; with TIDEMARK_DISK_FULL or TIDEMARK_RESOURCES while the log cannot get
   * space, file descriptors or memory; with TIDEMARK_COMMAND_UNKNOWN, TIDEMARK_COMMAND_TOO_LARGE,
   * TIDEMARK_VALUE_UNENCODABLE or TIDEMARK_NOT_OPEN; in development mode with TIDEMARK_NOT_DETERMINISTIC.
   * None of these took effect.
   * With TIDEMARK_LOG_POISONED when the disk failed, and with TIDEMARK_OUTCOME_UNKNOWN when the program did:
   * only a restart tells whether a command that was in flight took effect.
   */
  submit<Name extends keyof Commands & string>(
    name: Name,
    ...args: Named<Commands, Name>['arguments']
  ): Promise<Awaited<Named<Commands, Name>['result']>> {
    return new Promise((resolve, reject) => {
      const command = this.#machine.encodeCall(name, args);
      const settle = (result: unknown): void => resolve(this.#machine.detach(result) as never);
      this.ordering.enqueue(command, { settle, fail: reject });
    });
  }

  /**
   * As `submit`, but a rejection by the machine is one of two outcomes, and no error: `{ kind: 'done', result
   * }` or `{ kind: 'rejected', rejection }`. Rejects with everything else that `submit` does.
   */
  async attempt<Name extends keyof Commands & string>(
    name: Name,
    ...args: Named<Commands, Name>['arguments']
  ): Promise<Attempt<Commands[Name]>> {
    try {
      const result = await this.submit(name, ...args);
      return { kind: 'done', result: result as never };
    } catch (error) {
      if (error instanceof Rejection) return { kind: 'rejected', rejection: error as never };
      throw error;
    }
  }

  /**
   * Answers a query from the state of all commands that were answered, behind every command submitted before
   * it.
   * Rejects with what the query threw, with TIDEMARK_COMMAND_UNKNOWN or TIDEMARK_NOT_OPEN, or with what
   * stopped the node.
   */
  query<Name extends keyof Queries & string>(
    name: Name,
    ...args: Named<Queries, Name>['arguments']
  ): Promise<Named<Queries, Name>['result']> {
    return new Promise((resolve, reject) => {
      const machine = this.#machine;
      this.ordering.enqueueRead({
        read(state) {
          try {
            resolve(machine.detach(machine.query(state, name, args)));
          } catch (error) {
            reject(error);
          }
        },
        fail: reject,
      });
    });
  }

  /**
   * The root of the state as it is now: of the tree that has all its keys and values (docs/format.md §6).
   * Two nodes of a cluster, or a node before and after a restart, have equal roots exactly when their states
   * are equal. Takes a while for a large state; commands go on. Rejects with TIDEMARK_NOT_OPEN.
   */
  root(): Promise<StateRoot> {
    return this.#parts.engine.root();
  }

  /**
   * Holds the state as it is now, to be compared with another while commands go on: see `diffStates`. Takes
   * as long as `root`. Release it: until then what is overwritten stays in memory. Rejects with
   * TIDEMARK_NOT_OPEN.
   */
  async hold(): Promise<HeldState> {
    const { engine, status } = this.#parts;
    const held = await engine.snapshot();
    const machine = { name: this.#machine.name, version: engine.activeVersion };
    return new HeldState(held, { clusterId: status.current.clusterId, machine });
  }

  /**
   * Takes a checkpoint of everything applied so far; resolves when it is durable and was read back. Commands
   * go on. Calls that come while one is taken share the next; when nothing has changed since the newest one,
   * that is the answer. Waits until the whole state is in memory.
   *
   * With a `tag` it stays until the tag is taken off, whatever the policy.
   *
   * Rejects with TIDEMARK_DISK_FULL, TIDEMARK_RESOURCES or TIDEMARK_IO: then older checkpoints and the log
   * are as they were, and the node goes on; with TIDEMARK_NOT_OPEN, or with what stopped the node.
   */
  checkpoint(options: TakeOptions = {}): Promise<CheckpointSummary> {
    return this.#parts.checkpoints.take(options.tag ?? null);
  }

  /** The checkpoints there are, newest first, each with what keeps it alive. */
  checkpoints(): readonly KeptCheckpoint[] {
    return this.#parts.checkpoints.kept;
  }

  /**
   * Keeps a checkpoint alive under a name; a tag of that name moves to it. Resolves when that is durable.
   * @param index Of the checkpoint.
   * @throws TidemarkError TIDEMARK_OPTION_INVALID for a bad name, or without such a checkpoint.
   */
  tag(name: string, index: Index): Promise<void> {
    return this.#parts.checkpoints.tag(name, index);
  }

  /**
   * Reads everything on the disk again and verifies it, at `scrub.bytesPerSecondMax`. Calls that come
   * meanwhile share the pass. Rejects with TIDEMARK_NOT_OPEN, and with what keeps it from reading.
   */
  scrub(): Promise<ScrubReport> {
    return this.#parts.scrubber.request();
  }

  /** The tags there are, by name; also one whose checkpoint was damaged and is gone. */
  tags(): readonly CheckpointTag[] {
    return this.#parts.checkpoints.tags;
  }

  /** Takes a tag off; what only it kept goes with the next checkpoint. Resolves to whether there was one. */
  untag(name: string): Promise<boolean> {
    return this.#parts.checkpoints.untag(name);
  }

  /**
   * Removes at once the checkpoints that nothing keeps, as the next checkpoint would, and gives back the log
   * behind them. With `dryRun` it only tells what would go.
   */
  prune(options: PruneOptions = {}): Promise<PrunedCheckpoints> {
    return this.#parts.checkpoints.prune(options.dryRun === true ? 'dry-run' : 'remove');
  }

  /**
   * Changes when checkpoints are taken, from now on and until the node is closed; what is left out stays.
   * @throws TidemarkError TIDEMARK_OPTION_INVALID.
   */
  changeCheckpointSchedule(change: Partial<Schedule>): void {
    this.#parts.checkpoints.changeSchedule(change);
  }

  /**
   * A read-only view of the state as it was at a point: an entry (`812`), a command of one (`'812.3'`), a
   * time (`'2026-11-21T10:00:00Z'`, `'10m ago'`), a tag (`'tag:before-deploy'`), each up to and including it,
   * or with `before` right in front of it. The node goes on. Close the view: up to 8 may be open.
   *
   * Rejects with TIDEMARK_POINT_INVALID; TIDEMARK_POINT_NOT_KEPT, with the nearest points that are kept;
   * TIDEMARK_CHECKPOINT_DAMAGED when no checkpoint that leads there is whole; TIDEMARK_BUSY,
   * TIDEMARK_NOT_OPEN.
   */
  async at(point: PointInput, options?: OpenPastOptions): Promise<PastView<Queries>> {
    const { history, machineAt } = this.#parts;
    const past = await history.open(point, 'when-read', options);
    return new PastView(machineAt(past.time) as CallableMachine<unknown, Queries>, past);
  }

  /**
   * Makes the state what it was at a point, in entries of the log: index and time go on, nothing is cut from
   * history, and a rewind can be rewound. What the machine keeps at a rewind (`keepAtRewind`) stays as it is.
   * Commands and reads wait while the difference is written; everything before, commands go on.
   *
   * Rejects as `at`; with TIDEMARK_REWIND_REFUSED when another version of the machine was active then, or too
   * much would change; with what keeps an entry from being written. Then the state is as it was.
   */
  rewind(point: PointInput, options?: RewindOptions): Promise<RewindSummary> {
    return this.#parts.rewinder.rewind(point, options);
  }

  /**
   * Runs a procedure to its end; its id again gives the same result, and no second run. Rejects with the
   * `Rejection` it was refused with; TIDEMARK_PROCEDURE_UNDONE, _STUCK, _CHANGED, _MISUSED, _ABANDONED; as
   * `submit`, and with TIDEMARK_PROCEDURE_UNKNOWN or _ID_TAKEN, before anything was done. When the node is
   * closed meanwhile, with TIDEMARK_NOT_OPEN, and the next start goes on.
   */
  run<Argument, Result>(
    procedure: Procedure<Argument, Result>,
    argument: Argument,
    options: RunOptions,
  ): Promise<Result> {
    return this.#parts.hold.during(this.#parts.procedures.run(procedure, argument, options));
  }

  /** The procedures that are not finished, all of them once `whenLoaded` resolves. */
  procedures(): readonly UnfinishedProcedure[] {
    return this.#parts.procedures.list();
  }

  /** Tries a procedure again that is stuck or waits. @throws TidemarkError TIDEMARK_PROCEDURE_GONE. */
  retryProcedure(run: ProcedureId): void {
    this.#parts.procedures.retry(run);
  }

  /** Ends a procedure where it is: nothing more is done or undone. Rejects with TIDEMARK_PROCEDURE_GONE. */
  abandonProcedure(run: ProcedureId): Promise<void> {
    return this.#parts.procedures.abandon(run);
  }

  /**
   * When the newest checkpoint was taken, or the node started when there is none: milliseconds since 1970.
   */
  get lastCheckpointAt(): number {
    return this.#parts.checkpoints.lastTakenAt;
  }

  /**
   * Resolves when everything is in memory. A node serves before: what it needs it reads from the checkpoint.
   * Rejects with TIDEMARK_CHECKPOINT_DAMAGED when a part cannot be read; the node stops then, and its next
   * start uses an older checkpoint, if there is one. With TIDEMARK_NOT_OPEN, or what stopped the node, when
   * that came first.
   */
  whenLoaded(): Promise<void> {
    return this.#parts.checkpoints.whenLoaded();
  }

  /** When commands are acknowledged: once they are durable, or once they are written. */
  get durability(): 'synced' | 'buffered' {
    return this.#parts.log.durability;
  }

  /**
   * Resolves when every command submitted before it is durable. With `synced` durability that is when they
   * are answered; with `buffered`, this is the way to have one important command synced at once.
   * Rejects with TIDEMARK_NOT_OPEN, TIDEMARK_LOG_POISONED, or with what else stopped the node.
   */
  sync(): Promise<void> {
    return new Promise((resolve, reject) => {
      const read = (): void => void this.#parts.log.sync().then(resolve, reject);
      this.ordering.enqueueRead({ read, fail: reject });
    });
  }

  /** Resolves when less than half of `pendingBytesMax` waits for the disk, and the tree is not behind. */
  drained(): Promise<void> {
    return this.ordering.whenDrained();
  }

  /**
   * The entries of the log from `from` on, in order: verified, durable, each command decoded. Ends at `last`,
   * by default the newest entry that is durable now; with `follow` it waits for more, and ends when the node
   * is closed. Any number of iterations may run; each holds 1 MiB of the log in memory, or one entry.
   *
   * Throws TIDEMARK_INDEX_NOT_RETAINED when entries it has not handed out yet were compacted away: the facts
   * say what is still there. TIDEMARK_LOG_DAMAGED when an entry does not verify; TIDEMARK_NOT_OPEN when the
   * node is closed before it has come to its end, or what stopped the node; TIDEMARK_OPTION_INVALID.
   */
  entries(options: EntriesOptions): AsyncGenerator<LogEntry<Commands>, void, void> {
    const { machine, earlierVersions } = this.#parts.status.current;
    const history = { active: machine.version, earlier: earlierVersions };
    return this.#parts.feed.entries({ machine: this.#machine, history }, options);
  }

  /**
   * The same node for calls that `signal` may end. One that is aborted before the call was made rejects with
   * the signal's reason, and nothing happens. Later, the caller stops waiting: a command was taken by then
   * and takes effect, so that `submit` and `attempt` reject with TIDEMARK_OUTCOME_UNKNOWN, the reason being
   * its cause; everything else rejects with the reason itself. A checkpoint goes on for others who asked for
   * it. Iterations take a signal of their own.
   */
  with({ signal }: CallOptions): NodeCalls<Commands, Queries> {
    if (!(signal instanceof AbortSignal)) throw invalidOption('signal', signal, 'an AbortSignal');
    return new AbortableNode(this, signal);
  }

  /** The ordering, for servers that speak in bytes. */
  get ordering(): Ordering {
    return this.#parts.rehearsing ?? this.#parts.expiring ?? this.#parts.ordering;
  }

  stats(): NodeStats {
    const { engine, log, checkpoints, expiring, scrubber, procedures } = this.#parts;
    return {
      keys: engine.approximateUserKeys,
      keysToLoad: engine.keysToLoad,
      keysWithDeadline: expiring?.deadlineCount ?? 0,
      keysExpired: expiring?.keysExpired ?? 0,
      stateBytes: engine.stateBytes,
      changesPending: engine.changesPending,
      commandsApplied: engine.commandsApplied,
      appliedIndex: engine.appliedIndex,
      firstIndex: log.firstIndex,
      durableIndex: log.durableIndex,
      lastIndex: log.lastIndex,
      commandsUnsynced: log.unsynced.commands,
      bytesUnsynced: log.unsynced.bytes,
      refusal: log.refusal?.message ?? null,
      log: { ...log.stats },
      checkpoints: {
        last: checkpoints.last,
        isTaking: checkpoints.isTaking,
        failure: checkpoints.lastFailure,
        schedule: checkpoints.schedule,
      },
      scrub: scrubber.stats,
      procedures: procedures.stats,
      distributions: summarizeAll(this.distributions),
    };
  }

  /** What `stats` summarizes, for who wants other quantiles, or a histogram. */
  get distributions(): NodeDistributions {
    const { log, ordering, lateness, checkpoints } = this.#parts;
    const { commandMs, batchCommands, batchBytes, applyMs } = ordering.figures;
    const { syncMs } = log;
    const [latenessMs, checkpointMs] = [lateness.beats, checkpoints.durationMs];
    return { commandMs, syncMs, batchCommands, batchBytes, applyMs, latenessMs, checkpointMs };
  }

  /**
   * What happens to the node from now on, as it happens; ends when it has stopped. A reader that is slow
   * loses the oldest events beyond 1024, and is told by `missed`. Leaving the loop frees everything.
   * @throws The reason of `signal`, here or in the loop, once it is aborted.
   */
  events(options: EventsOptions = {}): AsyncIterableIterator<NodeEvent> {
    return this.#parts.events.read(options);
  }

  /** Whether `close` was called, or the disk or the program failed: nothing more is taken. */
  get isStopping(): boolean {
    return this.#closing !== null || this.#failure !== null;
  }

  /**
   * Resolves when the node has stopped: with null after `close`, with the error when it stopped by itself
   * because the disk or the program failed. Then exit: what the process holds is no longer to be trusted.
   * The process stays as long as somebody waits.
   */
  whenStopped(): Promise<Error | null> {
    return this.#parts.hold.during(this.#stopped);
  }

  /**
   * Answers what is in flight, takes a last checkpoint, makes the end of the log provable and frees the
   * directory. Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The disk or the program failed: nothing more is taken. Internal; called by what `open` wired. */
  fail(error: unknown): void {
    if (this.#failure !== null) return;
    this.#failure = error instanceof Error ? error : new Error(String(error));
    this.#tellStopping();
    const [later, inFlight] = stopErrors(this.#failure);
    this.#parts.commits.stop();
    this.#parts.expiring?.stop();
    this.#parts.procedures.stop(later);
    this.#parts.engine.stop();
    void this.#parts.feed.stop(this.#failure);
    try {
      this.#parts.ordering.stop(later, inFlight);
    } finally {
      const { checkpoints, history, scrubber } = this.#parts;
      void scrubber.stop('failed');
      void history.close().catch(() => undefined); // Who reads from a view is told.
      void checkpoints.stop(this.#failure, later).then(() => this.#hasStopped());
    }
  }

  async #close(): Promise<void> {
    const { rewinder, history, scrubber } = this.#parts;
    const closeOrderings = async (): Promise<void> => {
      await rehearsing?.close();
      await ordering.close();
    };
    this.#tellStopping();
    this.#parts.procedures.stop(closedError());
    const { engine, ordering, expiring, rehearsing, log, status, lateness, commits, feed, checkpoints } =
      this.#parts;
    lateness.stop();
    expiring?.stop();
    commits.stop();
    try {
      history.stop(); // A rewind that is not being written yet is given up.
      await Promise.all([rewinder.close(), closeOrderings()]);
      await history.close();
      await feed.stop(this.#failure);
      await Promise.all([scrubber.stop('closed'), checkpoints.close(this.#failure)]);
      await log.close();
      if (this.#failure === null) {
        status.update({ commitIndex: log.durableIndex });
        await status.whenPersisted();
      }
    } finally {
      engine.stop();
      try {
        await closeDataDirectory(this.#parts);
      } finally {
        this.#hasStopped();
      }
    }
  }

  /** Once, whether it fails before it is closed or on the way. */
  #tellStopping(): void {
    if (this.#isStoppingTold) return;
    this.#isStoppingTold = true;
    this.#parts.events.emit({ kind: 'stopping', failure: this.#failure && failureOf(this.#failure) });
  }

  #hasStopped(): void {
    this.#onStopped(this.#failure);
    this.#parts.events.end(this.#failure);
  }
}
