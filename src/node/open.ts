/** `open`: from a directory and a machine to a node that serves. */

import { systemChance } from '../base/chance.ts';
import { invalidOption, requireInteger, requireKnownOptions, resolveSignal } from '../base/options.ts';
import { systemClock } from '../base/time.ts';
import {
  type CheckpointOptions,
  MEMORY_DEFAULTS,
  resolveCheckpointOptions,
} from '../checkpoint/checkpoint-options.ts';
import { checkedMachine } from '../engine/check-determinism.ts';
import { type CallableMachine, requireMachineChain } from '../engine/machine.ts';
import {
  createCallableKeyValueMachine,
  type KeyValueCommands,
  type KeyValueParts,
  type KeyValueQueries,
} from '../keyvalue/callable.ts';
import { DeadlineTable } from '../keyvalue/deadline-table.ts';
import { type DurabilityChoice, resolveDurability } from '../log/durability.ts';
import { type LogOptions, resolveLogOptions } from '../log/log-options.ts';
import { type LocalOptions, resolveLocalOptions } from '../ordering/local-options.ts';
import type { AnyProcedure } from '../procedures/procedure.ts';
import { MEMORY_DIR, MemoryFileSystem } from '../storage/memory-file-system.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { assemble, type Doors, type RecoveryProgress, Wiring } from './assemble.ts';
import { closeDataDirectory, openDataDirectory } from './data-directory.ts';
import { NodeEvents } from './events.ts';
import { Node } from './node.ts';
import { resolveScrubOptions, type ScrubOptions } from './scrub-options.ts';

/** How commands get their order; made by `local()`. */
export interface OrderingChoice {
  readonly kind: 'local';
  readonly options: Required<LocalOptions>;
}

/** This process alone decides the order. The default. */
export function local(options: LocalOptions = {}): OrderingChoice {
  return { kind: 'local', options: resolveLocalOptions(options) };
}

/** Where a node keeps its data, and how. Everything but `dir` has a default. */
export interface OpenOptions {
  /** The data directory, made when it does not exist; `memory:` keeps everything in memory. */
  readonly dir: string;
  /** Who decides the order of commands. @default local() */
  readonly ordering?: OrderingChoice;
  /**
   * When a command counts as done: `synced`, once it is on disk; or `buffered()`, once the system has it, and
   * synced soon. Then a power cut may take the last commands that were acknowledged. @default 'synced'
   */
  readonly durability?: DurabilityChoice;
  readonly log?: LogOptions;
  readonly checkpoint?: CheckpointOptions;
  /** How everything cold is read again and verified while the node runs. */
  readonly scrub?: ScrubOptions;
  /**
   * The procedures that `node.run` may run; those that are not finished go on once everything is in memory.
   * Take one out only when none of its runs is unfinished. @default none
   */
  readonly procedures?: readonly AnyProcedure[];
  /**
   * How many finished runs of procedures are remembered, so that their ids give their results: 0 to a
   * million. The oldest are forgotten; the id of one would begin anew. @default 10000
   */
  readonly proceduresKept?: number;
  /** Called while the state is brought back; see {@link RecoveryProgress}. */
  readonly onProgress?: (progress: RecoveryProgress) => void;
  /**
   * Ends the opening while the state is brought back: it rejects with the signal's reason, everything is let
   * go of, and no entry was changed. Later it counts no longer; see `Node.with`.
   */
  readonly signal?: AbortSignal;
  /** The doors to the world, for tests and simulators. */
  readonly doors?: Partial<Doors>;
}

/** Options of a node with a machine of the program's own. */
export interface MachineOptions<Commands, Queries> {
  readonly machine: CallableMachine<Commands, Queries>;
  /**
   * Development mode: every command is tried before it is taken, twice from the same state, and refused with
   * TIDEMARK_NOT_DETERMINISTIC when the two differ, or when it uses the clock, chance, timers or the network.
   * Queries are watched too, and what is replayed. Commands go one at a time: for tests and for writing a
   * machine, not for production. With `dir: 'memory:'` it takes no disk.
   * @default false
   */
  readonly checkDeterminism?: boolean;
}

const PROCEDURES_KEPT = 10_000;
const PROCEDURES_KEPT_MAX = 1_000_000;

const KNOWN_OPTIONS = {
  dir: 0,
  machine: 0,
  checkDeterminism: 0,
  ordering: 0,
  durability: 0,
  log: 0,
  checkpoint: 0,
  scrub: 0,
  procedures: 0,
  proceduresKept: 0,
  onProgress: 0,
  signal: 0,
  doors: 0,
};
const KNOWN_DOORS = { fs: 0, clock: 0, chance: 0 };

/**
 * Opens a node: recovers what is in `dir`, replays it, and takes commands from then on.
 * @throws TidemarkError TIDEMARK_OPTION_INVALID; TIDEMARK_LOCKED when another process owns the directory;
 *   TIDEMARK_LOG_DAMAGED, TIDEMARK_STATUS_DAMAGED, TIDEMARK_FOREIGN_FILE, TIDEMARK_FORMAT_NEWER,
 *   TIDEMARK_MACHINE_MISMATCH, TIDEMARK_VERSION_MISSING, TIDEMARK_NOT_A_DATA_DIRECTORY before anything is
 *   changed; TIDEMARK_MIGRATION_FAILED, and the version before is still active;
 *   TIDEMARK_NOT_WRITABLE, TIDEMARK_DISK_FULL, TIDEMARK_RESOURCES and TIDEMARK_IO of the system.
 */
export function open<Commands, Queries>(
  options: OpenOptions & MachineOptions<Commands, Queries>,
): Promise<Node<Commands, Queries>>;
/** The same with the built-in key-value database. */
export function open(options: OpenOptions): Promise<Node<KeyValueCommands, KeyValueQueries>>;
export async function open(
  options: OpenOptions & Partial<MachineOptions<unknown, unknown>>,
): Promise<unknown> {
  requireKnownOptions('open', options, KNOWN_OPTIONS);
  requireKnownOptions('doors', options.doors ?? {}, KNOWN_DOORS);
  const ordering = resolveOrdering(options.ordering);
  if (typeof options.dir !== 'string' || options.dir === '')
    throw invalidOption('dir', options.dir, 'a path');
  const signal = resolveSignal(options.signal);
  signal?.throwIfAborted();
  const notices: string[] = [];
  const doors = resolveDoors(options, notices);
  const deadlines = new DeadlineTable();
  const machine = resolveMachine(options, { clock: doors.clock, deadlines });
  const log = resolveLogOptions(options.log ?? {});
  const durability = resolveDurability(options.durability ?? 'synced');
  const checkpoint = resolveCheckpointOptions(checkpointOptions(options));
  const scrub = resolveScrubOptions(options.scrub ?? {});
  const procedures = resolveProcedures(options);
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
    const parts = await assemble({
      doors,
      machine,
      machineAt: (time) => options.machine ?? keyValueMachineAt(time),
      directory,
      wiring,
      events: new NodeEvents(doors.clock),
      notices,
      dataDir,
      log,
      durability,
      local: ordering.options,
      checkpoint,
      scrub: options.dir === MEMORY_DIR ? { ...scrub, cycleMs: 0 } : scrub, // There is no disk.
      deadlines: options.machine === undefined ? deadlines : null,
      mode: options.checkDeterminism === true ? 'development' : 'production',
      procedures: { ...procedures, machine },
      onProgress: options.onProgress ?? (() => undefined),
      signal,
    });
    const node = new Node(machine, parts);
    wiring.connect(node, parts);
    return node;
  } catch (error) {
    await closeDataDirectory(directory);
    throw error;
  }
}

function checkpointOptions({ dir, checkpoint = {} }: OpenOptions): CheckpointOptions {
  if (dir !== MEMORY_DIR) return checkpoint;
  const given = Object.entries(checkpoint).filter(([, value]) => value !== undefined);
  // With the memory of the process goes what a checkpoint at its end would be for.
  return { ...MEMORY_DEFAULTS, ...Object.fromEntries(given), checkpointOnClose: false };
}

/** One of each name, for the machine of the node. */
function resolveProcedures({
  procedures = [],
  proceduresKept: kept = PROCEDURES_KEPT,
  machine,
}: OpenOptions & Partial<MachineOptions<unknown, unknown>>): {
  readonly procedures: readonly AnyProcedure[];
  readonly kept: number;
} {
  requireInteger('proceduresKept', kept, 0, PROCEDURES_KEPT_MAX);
  if (!Array.isArray(procedures)) throw invalidOption('procedures', procedures, 'a list of procedures');
  const names = new Set<string>();
  for (const one of procedures) {
    if (names.has(one.name)) throw invalidOption('procedures', one.name, 'a list in which no name is twice');
    names.add(one.name);
    if (one.machine !== (machine ?? null)) {
      throw invalidOption('procedures', one.name, 'procedures made for the machine of the node');
    }
  }
  return { procedures, kept };
}

function resolveMachine(
  { machine, checkDeterminism = false }: Partial<MachineOptions<unknown, unknown>>,
  parts: KeyValueParts,
): CallableMachine<unknown, unknown> {
  if (typeof checkDeterminism !== 'boolean') {
    throw invalidOption('checkDeterminism', checkDeterminism, 'true or false');
  }
  if (machine === undefined) {
    if (checkDeterminism) throw invalidOption('checkDeterminism', true, 'left out without a machine');
    return createCallableKeyValueMachine(parts);
  }
  requireMachineChain(machine); // Before anything is made: a machine may be written by hand.
  return checkDeterminism ? checkedMachine(machine) : machine;
}

/** As of a time that has passed: TTL tells what was left then. */
function keyValueMachineAt(time: number): CallableMachine<unknown, unknown> {
  return createCallableKeyValueMachine({ clock: { now: () => time }, deadlines: { note: () => undefined } });
}

/** Checked again: a program may write down what `local()` makes. */
function resolveOrdering(choice: OrderingChoice | undefined): OrderingChoice {
  if (choice === undefined) return local();
  requireKnownOptions('ordering', choice, { kind: 0, options: 0 });
  if (choice.kind !== 'local') throw invalidOption('ordering', choice, 'made by local()');
  return local(choice.options);
}

/** @param notices Takes what the platform cannot do (checklist L4). */
function resolveDoors(options: OpenOptions, notices: string[]): Doors {
  const onDirectorySyncUnsupported = (notice: string): void => void notices.push(notice);
  const fs =
    options.dir === MEMORY_DIR ? new MemoryFileSystem() : new NodeFileSystem({ onDirectorySyncUnsupported });
  return { fs, clock: systemClock, chance: systemChance, ...options.doors };
}
