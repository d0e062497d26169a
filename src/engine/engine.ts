/**
 * The engine: applies entries to the state, one command after the other, with backward recovery of each.
 *
 * The same code runs for a live entry and for one replayed from the log; the only difference is whether
 * somebody waits for the outcomes.
 */

import { assert } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import { TidemarkError } from '../base/errors.ts';
import { defaultShape } from '../base/merkle/shape.ts';
import { type Index, nextIndex, previousIndex, toIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import type { ColdState } from '../checkpoint/background-loader.ts';
import type { RecordType } from '../log/record.ts';
import type { EarlierVersion } from '../log/status-content.ts';
import { SET_KEYS_MAX } from '../state/change-set.ts';
import { LiveState } from '../state/live-state.ts';
import type { Snapshot } from '../state/snapshot.ts';
import type { StateReader } from '../state/state.ts';
import type { StoredFiles, StoredTree } from '../state/stored.ts';
import { decodeActivation } from './activation.ts';
import { applyCommand } from './apply-procedure.ts';
import { EntryCommands } from './entry.ts';
import { isFatal } from './fatal.ts';
import { Folding } from './folding.ts';
import type { CommandContext, Machine, MigrationState } from './machine.ts';
import { procedureKeys } from './procedure-store.ts';
import { ReplayFaults } from './replay-faults.ts';
import { changeBytes, decodeRewind, describeTarget, type StateChange } from './rewind-entry.ts';
import { RewindInProgress } from './rewind-in-progress.ts';
import {
  activationFault,
  findVersion,
  missingAt,
  successorOf,
  type VersionHistory,
  versionAfter,
} from './versions.ts';

/** Who waits for the outcomes of an entry's commands; `at` counts from 0. */
export interface Outcomes {
  settled(at: number, result: unknown): void;
  failed(at: number, error: unknown): void;
}

/** An entry to apply. */
export interface AppliedEntry {
  readonly index: Index;
  readonly time: number;
  readonly body: Uint8Array;
}

/** An entry from the log, of any type. */
export interface ReplayedEntry extends AppliedEntry {
  readonly type: RecordType;
}

export interface EngineConfig {
  /** The newest version; those before it by `previous`. */
  readonly machine: Machine;
  /** Which versions were active where, by what is known before the log is replayed. */
  readonly history: VersionHistory;
  /** KEY_HASH_SEED_BYTES random bytes: nobody may choose keys that collide in the index. */
  readonly hashSeed: Uint8Array;
  /** SALT_BYTES bytes, the same in the whole cluster: roots are comparable under one salt only. */
  readonly salt: Uint8Array;
  readonly clock: Clock;
  /** The engine is wrong: the node must stop. */
  readonly onFatal: (error: unknown) => void;
}

/** The state at one index, by the root of its tree. */
export interface StateRoot {
  /** Index of the last entry that had been applied. */
  readonly index: Index;
  /** 64 lower-case hexadecimal digits. Equal content under one cluster id has an equal root. */
  readonly root: string;
}

/** Changes taken while the tree is behind, in sets, before commands are refused. */
const FAR_BEHIND_SETS = 8;

/** Commands replayed between two steps: about a tenth of a millisecond. */
const COMMANDS_PER_STEP = 64;

/** Changes of a rewind made between two steps. */
const CHANGES_PER_STEP = 256;
const CHANGE_BYTES_PER_STEP = 1024 * 1024;

/** The last entry that had been applied. */
export interface EnginePosition {
  readonly index: Index;
  readonly time: number;
}

/** A snapshot with a root. */
export interface EngineSnapshot extends EnginePosition {
  readonly snapshot: Snapshot;
}

export class Engine {
  readonly #newest: Machine;
  readonly #history: VersionHistory;
  #activeVersion: number;
  /** The machine of the active version, or null: then only an activation can be applied, and nothing else. */
  #machine: Machine | null;
  readonly #activations: EarlierVersion[] = [];
  readonly #replayFaults = new ReplayFaults();
  readonly #state: LiveState;
  readonly #folding: Folding;
  #onCaughtUp: () => void = () => undefined;
  #appliedIndex: Index = toIndex(0);
  #appliedTime = 0;
  #commandsApplied = 0;
  /** A rewind of which the last part is not there yet, or not yet made. */
  #rewind: RewindInProgress | null = null;
  /** While a rewind is made in slices, the state is of no index; never rejects. */
  #rewinding: Promise<void> | null = null;

  constructor({ machine, history, hashSeed, salt, clock, onFatal }: EngineConfig) {
    this.#newest = machine;
    this.#history = history;
    this.#activeVersion = versionAfter(history, this.#appliedIndex);
    this.#machine = findVersion(machine, this.#activeVersion);
    this.#state = new LiveState({ seed: hashSeed, shape: defaultShape(salt) });
    const onCaughtUp = (): void => this.#onCaughtUp();
    this.#folding = new Folding({ state: this.#state, clock, onFatal, onCaughtUp });
  }

  /**
   * Takes the state of a checkpoint, before the first entry, in steps. Afterwards what is read or written
   * comes from its files as it is needed, and from `coldState` the rest.
   * @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED: this engine must not be used then.
   */
  *install(tree: StoredTree, files: StoredFiles, at: EnginePosition): Generator<void, void> {
    assert(this.#appliedIndex === 0, 'a state is installed before the first entry');
    yield* this.#state.install(tree, files);
    this.#appliedIndex = at.index;
    this.#appliedTime = at.time;
    this.#activeVersion = versionAfter(this.#history, at.index);
    this.#machine = findVersion(this.#newest, this.#activeVersion);
  }

  /** Parts of the state that are still in files, for who loads them. */
  get coldState(): ColdState {
    return this.#state;
  }

  /** Why a part of the state could not be read; null when every part could. Then it must not go on. */
  get readFailure(): unknown {
    return this.#state.readFailure;
  }

  /** Keys that are not in memory yet. */
  get keysToLoad(): number {
    return this.#state.keysToLoad;
  }

  /** Number of keys: exact once everything is in memory. */
  get approximateKeys(): number {
    return this.#state.approximateSize;
  }

  /** The same without what the machine and procedures keep for themselves. */
  get approximateUserKeys(): number {
    const auxiliary = this.#newest.auxiliaryKeys?.(this.#state) ?? 0;
    return this.approximateKeys - auxiliary - procedureKeys(this.#state);
  }

  /** Bytes of all keys and values in memory. */
  get liveBytes(): number {
    return this.#state.liveBytes;
  }

  get state(): StateReader {
    return this.#state;
  }

  get activeVersion(): number {
    return this.#activeVersion;
  }

  /** The machine of the active version. */
  get activeMachine(): Machine {
    assert(this.#machine !== null, `version ${this.#activeVersion} of the machine is there`);
    return this.#machine;
  }

  /** The version that can be activated next, or null when the newest is active. */
  get nextVersion(): Machine | null {
    return successorOf(this.#newest, this.#activeVersion);
  }

  /** The versions that were active until an activation since the start, replayed ones included. */
  get versionsLeft(): readonly EarlierVersion[] {
    return this.#activations;
  }

  /** Index of the last entry applied. */
  get appliedIndex(): Index {
    return this.#appliedIndex;
  }

  /**
   * The entry whose state it is: the last one applied, but for the parts of a rewind that is not whole.
   */
  get position(): EnginePosition {
    return this.#rewind?.before ?? { index: this.#appliedIndex, time: this.#appliedTime };
  }

  /** Commands run since the start, replayed ones included. */
  get commandsApplied(): number {
    return this.#commandsApplied;
  }

  /** Bytes of memory that the state holds. */
  get stateBytes(): number {
    return this.#state.allocatedBytes;
  }

  /** Changes that the tree of the state does not have yet. */
  get changesPending(): number {
    return this.#state.treeProgress.changesPending;
  }

  /** Whether the tree is so far behind that writers should wait. */
  get isBehind(): boolean {
    return this.#folding.isBehind;
  }

  /** Whether writers went on all the same: nothing more should be taken. */
  get isFarBehind(): boolean {
    return this.#folding.isBehind && this.#state.liveChanges >= FAR_BEHIND_SETS * SET_KEYS_MAX;
  }

  /** Calls `run` whenever the tree has caught up, and writers may go on. */
  whenCaughtUp(run: () => void): void {
    this.#onCaughtUp = run;
  }

  /** The root of the state as it is now; computed while entries go on being applied. */
  async root(): Promise<StateRoot> {
    const { snapshot, index } = await this.snapshot();
    const { root } = snapshot;
    assert(root !== null, 'a snapshot of the engine has a root');
    snapshot.release();
    return { index, root: bufferOf(root).toString('hex') };
  }

  /**
   * Holds the state as it is now; resolves when its root is computed, while entries go on being applied. The
   * caller releases the snapshot.
   */
  async snapshot(): Promise<EngineSnapshot> {
    while (this.#rewinding !== null) await this.#rewinding;
    const snapshot = this.#state.snapshot();
    const position = this.position;
    try {
      await this.#folding.hash(snapshot);
    } catch (error) {
      snapshot.release();
      throw error;
    }
    return { snapshot, ...position };
  }

  /** What the replay met that it should not, for people; null when there was nothing. */
  get replayWarning(): string | null {
    return this.#replayFaults.warning;
  }

  /** Whether entries came lately: then work in the background takes breaks. */
  get isBusy(): boolean {
    return this.#folding.isBusy;
  }

  /** Gives up what it does beside applying entries. */
  stop(): void {
    this.#folding.stop();
  }

  /** Applies the next entry of the log, after a restart: nobody waits, and nobody is served yet. */
  replay(entry: ReplayedEntry): void {
    if (entry.type === 'activation') this.activate(entry);
    else if (entry.type === 'rewind') for (const _ of this.#takeRewind(entry)) continue;
    else this.apply(entry, this.#replayFaults.of(entry.index));
    this.#folding.catchUp();
  }

  /**
   * The same in steps below a millisecond, while others are served.
   * @param commandsMax Takes only the first commands of an entry: the last one that this engine applies.
   */
  *replaySteps(entry: ReplayedEntry, commandsMax = Infinity): Generator<void, void> {
    if (entry.type === 'activation') this.activate(entry);
    else if (entry.type === 'rewind') yield* this.#takeRewind(entry);
    else yield* this.#applySteps(entry, commandsMax);
    yield* this.#folding.catchUpSteps();
  }

  /**
   * Applies the next entry, a part of a rewind, of a node that serves: the last one makes it, in slices.
   * Nothing else is applied and nobody reads until it resolves.
   * @throws InvariantViolation, and what keeps a part of the state from being read: the node must stop.
   */
  async rewind(
    entry: AppliedEntry,
    inSlices: (steps: Generator<void, void>) => Promise<void>,
  ): Promise<void> {
    assert(this.#rewinding === null, 'one rewind is made at a time');
    const made = inSlices(this.#takeRewind(entry));
    this.#rewinding = made.then(
      () => undefined,
      () => undefined,
    );
    try {
      await made;
    } finally {
      this.#rewinding = null;
    }
  }

  /**
   * Changes the state outside of any entry, whole or not at all: of an engine that only prepares a rewind.
   */
  amend(change: (state: MigrationState) => void): void {
    this.#state.begin();
    try {
      change(this.#state);
      this.#requireReadable();
    } catch (error) {
      this.#state.rollback();
      throw error;
    }
    this.#state.commit();
    this.#folding.entryApplied();
  }

  /**
   * Applies the next entry, a batch of commands.
   * @throws InvariantViolation, or what V8 threw when it ran out of something: the node must stop. In a
   *   replay also TidemarkError TIDEMARK_VERSION_MISSING.
   */
  apply(entry: AppliedEntry, outcomes: Outcomes | null): void {
    const { index, time } = entry;
    const machine = this.#beginEntry(index);
    const context = { index, time };
    const commands = new EntryCommands(entry.body);
    for (let command = commands.next(); command !== null; command = commands.next()) {
      this.#run(machine, command, context, commands.taken - 1, outcomes);
    }
    this.#commandsApplied += commands.count;
    this.#endEntry(index, time);
    this.#folding.entryApplied();
  }

  /** Nothing is folded before it must be: the replay goes on at once, and most of it is overwritten soon. */
  *#applySteps({ index, time, body }: AppliedEntry, commandsMax: number): Generator<void, void> {
    const machine = this.#beginEntry(index);
    const context = { index, time };
    const commands = new EntryCommands(body);
    while (commands.taken < commandsMax) {
      const command = commands.next();
      if (command === null) break;
      this.#run(machine, command, context, commands.taken - 1, null);
      if (commands.taken % COMMANDS_PER_STEP === 0) yield* this.#folding.catchUpSteps();
    }
    this.#commandsApplied += commands.taken;
    this.#endEntry(index, time);
  }

  /** The machine that applies the next entry. */
  #beginEntry(index: Index): Machine {
    this.#assertFollows(index);
    if (this.#machine === null) throw missingAt(this.#newest, this.#activeVersion, index);
    this.#rewind = null;
    return this.#machine;
  }

  #run(
    machine: Machine,
    command: Uint8Array,
    context: CommandContext,
    at: number,
    outcomes: Outcomes | null,
  ): void {
    this.#state.begin();
    let result: unknown;
    try {
      result = applyCommand(machine, this.#state, command, context);
      this.#requireReadable();
    } catch (error) {
      this.#state.rollback();
      this.#requireReadable();
      if (isFatal(error)) throw error;
      outcomes?.failed(at, error);
      return;
    }
    this.#state.commit();
    outcomes?.settled(at, result);
  }

  /** Takes the next entry, a part of a rewind; with the last one it is made. */
  *#takeRewind({ index, time, body }: AppliedEntry): Generator<void, void> {
    this.#assertFollows(index);
    const isFirst = decodeRewind(body).part === 1;
    if (isFirst) this.#rewind = new RewindInProgress(this.position);
    const rewind = this.#rewind;
    assert(rewind !== null, `entry ${index} goes on with a rewind that was begun`);
    rewind.add(body);
    if (rewind.isWhole) yield* this.#makeRewind(rewind, index);
    this.#endEntry(index, time);
    this.#folding.entryApplied();
    if (rewind.isWhole) this.#rewind = null;
  }

  *#makeRewind(rewind: RewindInProgress, index: Index): Generator<void, void> {
    const pending: StateChange[] = [];
    let bytes = 0;
    for (const change of rewind.changes()) {
      pending.push(change);
      bytes += changeBytes(change);
      if (pending.length < CHANGES_PER_STEP && bytes < CHANGE_BYTES_PER_STEP) continue;
      this.#change(pending.splice(0));
      bytes = 0;
      yield* this.#folding.catchUpSteps();
    }
    this.#change(pending);
    const snapshot = this.#state.snapshot();
    try {
      yield* this.#folding.hashSteps(snapshot);
      const { root } = snapshot;
      assert(root !== null && bufferOf(root).equals(rewind.target.root), wrongRoot(rewind, index));
    } finally {
      snapshot.release();
    }
  }

  #change(changes: readonly StateChange[]): void {
    this.#state.begin();
    for (const { key, value } of changes) {
      if (value === null) this.#state.delete(key);
      else this.#state.set(key, value);
    }
    this.#state.commit();
    this.#requireReadable();
  }

  /**
   * Runs a command as if it came next, and takes back what it did. Its errors are results, and are ignored.
   * @param now Milliseconds since 1970.
   * @throws TidemarkError TIDEMARK_NOT_DETERMINISTIC of a machine under watch, and whatever else would stop
   *   the node.
   */
  rehearse(command: Uint8Array, now: number): void {
    const machine = this.#machine;
    assert(machine !== null, 'commands are rehearsed by the active version');
    const context = { index: nextIndex(this.#appliedIndex), time: Math.max(this.#appliedTime, now) };
    this.#state.begin();
    try {
      applyCommand(machine, this.#state, command, context);
    } catch (error) {
      if (isFatal(error)) throw error;
    } finally {
      this.#state.rollback();
    }
    this.#requireReadable();
  }

  /**
   * Applies the next entry, an activation: migrates the state, and from here on another version is active.
   * @throws TidemarkError TIDEMARK_VERSION_MISSING, TIDEMARK_MACHINE_MISMATCH, TIDEMARK_MIGRATION_FAILED.
   */
  activate({ index, time, body }: AppliedEntry): void {
    this.#assertFollows(index);
    this.#rewind = null;
    const activation = decodeActivation(body);
    const { from, to } = activation;
    assert(from === this.#activeVersion, `version ${to} comes after ${from}, not ${this.#activeVersion}`);
    const fault = activationFault(this.#newest, activation, index);
    if (fault !== null) throw fault;
    const machine = successorOf(this.#newest, from);
    assert(machine !== null, `the program has a version after ${from}`);
    this.#migrate(machine, { index, time });
    this.#state.commit();
    this.#machine = machine;
    this.#activeVersion = to;
    this.#activations.push({ version: from, lastIndex: previousIndex(index) });
    this.#endEntry(index, time);
    this.#folding.entryApplied();
  }

  /**
   * Tries what activating `next` would do to the state, and takes it back.
   * @throws TidemarkError TIDEMARK_MIGRATION_FAILED.
   */
  tryActivation(next: Machine, context: CommandContext): void {
    this.#migrate(next, context);
    this.#state.rollback();
  }

  /** Leaves the migration open: to be committed, or rolled back. */
  #migrate(machine: Machine, context: CommandContext): void {
    this.#state.begin();
    try {
      machine.migrate?.(this.#state, context);
      this.#requireReadable();
    } catch (error) {
      this.#state.rollback();
      this.#requireReadable();
      if (isFatal(error)) throw error;
      throw migrationFailed(machine, error);
    }
  }

  #assertFollows(index: Index): void {
    assert(index === nextIndex(this.#appliedIndex), `entry ${index} follows ${this.#appliedIndex}`);
  }

  #endEntry(index: Index, time: number): void {
    this.#appliedIndex = index;
    this.#appliedTime = time;
  }

  /** A part of the state that cannot be read is no result, even if the machine caught the error. */
  #requireReadable(): void {
    const { readFailure } = this.#state;
    if (readFailure !== null) throw readFailure;
  }
}

function wrongRoot({ target }: RewindInProgress, index: Index): string {
  return `entry ${index} takes the state back to that of entry ${describeTarget(target)}, by its root`;
}

function migrationFailed({ name, version }: Machine, error: unknown): TidemarkError {
  const reason = error instanceof Error ? error.message : String(error);
  return new TidemarkError(
    'TIDEMARK_MIGRATION_FAILED',
    `the migration to version ${version} of the machine ${name} failed: ${reason}. The data is as it was; ` +
      'correct the migration, or open it with the version before',
    { remedy: 'fix-call', cause: error, facts: { machine: name, version } },
  );
}
