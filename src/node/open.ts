/** `open`: from a directory and a machine to a node that serves. */

import { assert } from '../base/assert.ts';
import { type Chance, systemChance } from '../base/chance.ts';
import { invalidOption, requireKnownOptions } from '../base/options.ts';
import { toIndex } from '../base/positions.ts';
import { type Clock, systemClock } from '../base/time.ts';
import { Engine } from '../engine/engine.ts';
import { type CallableMachine, type Machine, requireMachineIdentity } from '../engine/machine.ts';
import {
  callableKeyValueMachine,
  type KeyValueCommands,
  type KeyValueQueries,
} from '../keyvalue/callable.ts';
import { Log } from '../log/log.ts';
import type { LogStatus } from '../log/log-files.ts';
import { type LogOptions, resolveLogOptions } from '../log/log-options.ts';
import type { StatusFile } from '../log/status.ts';
import { LocalOrdering } from '../ordering/local.ts';
import { type LocalOptions, resolveLocalOptions } from '../ordering/local-options.ts';
import { KEY_HASH_SEED_BYTES } from '../state/key-hash.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { MemoryFileSystem } from '../storage/memory-file-system.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { CommitRecorder } from './commit-recorder.ts';
import { closeDataDirectory, type DataDirectory, openDataDirectory } from './data-directory.ts';
import { Lateness } from './lateness.ts';
import { Node, type NodeParts, type NodeRecovery } from './node.ts';

/** `dir` of a node that keeps everything in memory. */
export const MEMORY_DIR = 'memory:';

/** How commands get their order; made by `local()`. */
export interface OrderingChoice {
  readonly kind: 'local';
  readonly options: Required<LocalOptions>;
}

/** This process alone decides the order. The default. */
export function local(options: LocalOptions = {}): OrderingChoice {
  return { kind: 'local', options: resolveLocalOptions(options) };
}

export interface OpenOptions {
  /** The data directory, made when it does not exist; `memory:` keeps everything in memory. */
  readonly dir: string;
  /** Who decides the order of commands. @default local() */
  readonly ordering?: OrderingChoice;
  readonly log?: LogOptions;
  /** Called while the log is replayed, at most once per entry. */
  readonly onProgress?: (progress: RecoveryProgress) => void;
  /** The doors to the world, for tests and simulators. */
  readonly doors?: Partial<Doors>;
}

export interface RecoveryProgress {
  /** Entries replayed so far, and how many there are. */
  readonly entriesReplayed: number;
  readonly entriesTotal: number;
}

export interface Doors {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly chance: Chance;
}

const KNOWN_OPTIONS = { dir: 0, machine: 0, ordering: 0, log: 0, onProgress: 0, doors: 0 };
const KNOWN_DOORS = { fs: 0, clock: 0, chance: 0 };

/**
 * Opens a node: recovers what is in `dir`, replays it, and takes commands from then on.
 * @throws TidemarkError TIDEMARK_OPTION_INVALID; TIDEMARK_LOCKED when another process owns the directory;
 *   TIDEMARK_LOG_DAMAGED, TIDEMARK_STATUS_DAMAGED, TIDEMARK_FOREIGN_FILE, TIDEMARK_FORMAT_NEWER,
 *   TIDEMARK_MACHINE_MISMATCH, TIDEMARK_NOT_A_DATA_DIRECTORY before anything is changed;
 *   TIDEMARK_NOT_WRITABLE, TIDEMARK_DISK_FULL, TIDEMARK_RESOURCES and TIDEMARK_IO of the system.
 */
export function open<Commands, Queries>(
  options: OpenOptions & { readonly machine: CallableMachine<Commands, Queries> },
): Promise<Node<Commands, Queries>>;
/** The same with the built-in key-value database. */
export function open(options: OpenOptions): Promise<Node<KeyValueCommands, KeyValueQueries>>;
export async function open(
  options: OpenOptions & { readonly machine?: CallableMachine<unknown, unknown> },
): Promise<Node<unknown, unknown>> {
  requireKnownOptions('open', options, KNOWN_OPTIONS);
  requireKnownOptions('doors', options.doors ?? {}, KNOWN_DOORS);
  const ordering = resolveOrdering(options.ordering);
  if (typeof options.dir !== 'string' || options.dir === '')
    throw invalidOption('dir', options.dir, 'a path');
  const machine = options.machine ?? callableKeyValueMachine;
  requireMachineIdentity(machine); // Before anything is made: a machine may be written by hand.
  const notices: string[] = [];
  const doors = resolveDoors(options, notices);
  const log = resolveLogOptions(options.log ?? {});
  const wiring = new Wiring();
  const dataDir = options.dir === MEMORY_DIR ? '/memory' : options.dir.replace(/(?<=.)\/+$/, '');
  const directory = await openDataDirectory({
    ...doors,
    dir: dataDir,
    machine,
    segmentBytes: log.segmentBytes,
    onStatusFailure: wiring.fail,
  });
  try {
    const parts = await openParts(
      { ...options, ordering, dir: dataDir },
      doors,
      machine,
      directory,
      wiring,
      notices,
    );
    const node = new Node(machine, parts);
    wiring.connect(node, parts);
    return node;
  } catch (error) {
    await closeDataDirectory(directory);
    throw error;
  }
}

/** Checked again: a program may write down what `local()` makes. */
function resolveOrdering(choice: OrderingChoice | undefined): OrderingChoice {
  if (choice === undefined) return local();
  requireKnownOptions('ordering', choice, { kind: 0, options: 0 });
  if (choice.kind !== 'local') throw invalidOption('ordering', choice, 'made by local()');
  return local(choice.options);
}

/** Carries what the disk reports to the node, which does not exist yet when the disk is first touched. */
class Wiring {
  #node: Node<unknown, unknown> | null = null;
  #early: unknown = null;

  readonly fail = (error: unknown): void => {
    if (this.#node === null) this.#early ??= error;
    else this.#node.fail(error);
  };

  connect(node: Node<unknown, unknown>, parts: NodeParts): void {
    parts.ordering.start(parts.log);
    this.#node = node;
    if (this.#early !== null) node.fail(this.#early);
  }
}

async function openParts(
  options: OpenOptions & { readonly ordering: OrderingChoice },
  doors: Doors,
  machine: Machine,
  directory: DataDirectory,
  wiring: Wiring,
  notices: readonly string[],
): Promise<NodeParts> {
  const { status, lock, isNew } = directory;
  const { clock, chance } = doors;
  const started = clock.monotonic();
  const engine = new Engine({
    machine,
    hashSeed: chance.fill(new Uint8Array(KEY_HASH_SEED_BYTES)),
    salt: Buffer.from(status.current.clusterId, 'hex'),
    clock,
    onFatal: wiring.fail,
  });
  const ordering = new LocalOrdering({
    engine,
    clock,
    options: options.ordering.options,
    onFatal: wiring.fail,
  });
  const commits = new CommitRecorder(status, clock);
  const log = await Log.open({
    ...doors,
    dataDir: options.dir,
    identity: status.current,
    status: logStatus(status),
    options: resolveLogOptions(options.log ?? {}),
    replayAfter: toIndex(0),
    onReplay(entry, entriesTotal) {
      engine.replay(entry);
      options.onProgress?.({ entriesReplayed: entry.index, entriesTotal });
    },
    onDurable(index) {
      ordering.onDurable(index);
      commits.committed(index);
    },
    onRefused: (afterIndex, error) => ordering.onRefused(afterIndex, error),
    onPoisoned: wiring.fail,
  });
  const { appliedIndex } = engine;
  assert(appliedIndex === log.durableIndex, `replay ends at ${log.durableIndex}, not ${appliedIndex}`);
  const recovery: NodeRecovery = {
    ...log.report,
    warnings: [
      ...status.repaired.map((copy) => `repaired copy ${copy.copy} of the status: ${copy.reason}`),
      ...log.report.warnings,
      ...notices,
    ],
    isNew,
    commandsReplayed: engine.commandsApplied,
    tookMs: clock.monotonic() - started,
  };
  commits.committed(log.durableIndex);
  return { engine, log, status, lock, ordering, commits, lateness: new Lateness(clock), recovery };
}

/** The fields of the status that the log reads and keeps true. */
function logStatus(status: StatusFile): LogStatus {
  const { firstIndex, segmentSequence, commitIndex } = status.current;
  return {
    promise: { firstIndex, segmentSequence, commitIndex },
    makeDurable: () => status.makeDurable(),
    persistSequence(sequence) {
      status.update({ segmentSequence: sequence });
      return status.whenPersisted();
    },
    persistFirstIndex(first) {
      status.update({ firstIndex: first });
      return status.whenPersisted();
    },
  };
}

/** @param notices Takes what the platform cannot do (checklist L4). */
function resolveDoors(options: OpenOptions, notices: string[]): Doors {
  const onDirectorySyncUnsupported = (notice: string): void => void notices.push(notice);
  const fs =
    options.dir === MEMORY_DIR ? new MemoryFileSystem() : new NodeFileSystem({ onDirectorySyncUnsupported });
  return { fs, clock: systemClock, chance: systemChance, ...options.doors };
}
