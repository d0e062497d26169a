/**
 * The status file: the hard state of a node, in four copies that are overwritten in place, one at a time.
 *
 * Invariants:
 *  - After `create` or `makeDurable`, all four copies are durable and equal.
 *  - A copy is touched only when the one before it is durable, so no crash spoils more than one.
 *  - `persisted` is what all four copies hold; `current` may be ahead of it. Nothing that depends on
 *    `current` (a vote, a reply) may leave the node before `whenPersisted` has resolved.
 *  - After a failed write or sync nothing is written again: what the file holds is unknown, and a later sync
 *    that succeeds would prove nothing (Rebello et al., USENIX ATC'20).
 *
 * What the copies may look like after a crash, and why a start is right: log/status-copies.ts.
 * Format: docs/format.md §5, §5.1 and §5.2.
 */

import { assert } from '../base/assert.ts';
import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { type Status, type StatusUpdate, updateStatus } from './status-content.ts';
import {
  type CopiesDecision,
  type CopyRepair,
  type DecodedCopy,
  decideCopies,
  decodeCopy,
  describeCopies,
  encodeCopy,
  type NumberedStatus,
  numberStatus,
  STATUS_COPIES,
  STATUS_FILE_BYTES,
  STATUS_FORMAT_VERSION,
  STATUS_SLOT_BYTES,
} from './status-copies.ts';

/** Name of the status file in the data directory. */
export const STATUS_NAME = 'status';

/** The file that `create` fills before it takes its name; one that is left over means nothing. */
export const STATUS_TEMPORARY_NAME = 'status.tmp';

export interface StatusInspection {
  readonly copies: readonly DecodedCopy[];
  readonly decision: CopiesDecision;
}

/** A copy that is not what was written. */
export interface SpoiledCopy {
  readonly copy: number;
  readonly reason: string;
}

interface Waiter {
  /** Number of updates that must be durable. */
  readonly updates: number;
  readonly resolve: () => void;
  readonly reject: (error: TidemarkError) => void;
}

export class StatusFile {
  /** What `open` found wrong and has put right, in the order of writing. */
  readonly repaired: readonly CopyRepair[];

  readonly #file: File;
  readonly #onFailure: (error: TidemarkError) => void;
  #current: Status;
  #persisted: NumberedStatus;

  /** Calls of `update` so far, and how many of them all four copies hold. */
  #updates = 0;
  #updatesPersisted = 0;

  /** Whether another write must follow the running one. */
  #isWanted = false;
  #writing: Promise<void> | null = null;
  #waiters: Waiter[] = [];
  #failure: TidemarkError | null = null;
  #closing: Promise<void> | null = null;

  /** What `makeDurable` has to do; null once it is done. */
  #repair: (() => Promise<void>) | null = null;

  private constructor(
    file: File,
    content: NumberedStatus,
    repaired: readonly CopyRepair[],
    onFailure: (error: TidemarkError) => void,
  ) {
    this.#file = file;
    this.#persisted = content;
    this.#current = content.status;
    this.repaired = repaired;
    this.#onFailure = onFailure;
  }

  /**
   * Makes the first status file of a data directory. All of it is durable under a temporary name before it
   * takes its own, so that a crash leaves either no status file or a whole one.
   * @param onFailure Called once, when a later write or sync fails; it must not throw.
   * @throws TidemarkError TIDEMARK_FILE_EXISTS when there is one: it is never replaced.
   */
  static async create(
    fs: FileSystem,
    dir: string,
    status: Status,
    onFailure: (error: TidemarkError) => void,
  ): Promise<StatusFile> {
    const path = statusPath(dir);
    if ((await fs.stat(path)) !== null) {
      throw new TidemarkError('TIDEMARK_FILE_EXISTS', `${path} exists; it is never replaced`, {
        remedy: 'fix-call',
        facts: { path },
      });
    }
    const first = numberStatus(null, status);
    await writeTemporary(fs, `${dir}/${STATUS_TEMPORARY_NAME}`, first);
    await fs.rename(`${dir}/${STATUS_TEMPORARY_NAME}`, path);
    await fs.syncDirectory(dir);
    return new StatusFile(await fs.open(path, 'write'), first, [], onFailure);
  }

  /**
   * Reads the status file and decides which content is right. It changes nothing: `makeDurable` comes before
   * the first `update`. The caller holds the lock of the data directory.
   * @param onFailure Called once, when a later write or sync fails; it must not throw.
   * @throws TidemarkError TIDEMARK_STATUS_DAMAGED, also when there is no file; TIDEMARK_FORMAT_NEWER. Nothing
   *   has been changed then.
   */
  static async open(
    fs: FileSystem,
    dir: string,
    onFailure: (error: TidemarkError) => void,
  ): Promise<StatusFile> {
    const path = statusPath(dir);
    if ((await fs.stat(path)) === null) throw statusDamaged(path, Array(STATUS_COPIES).fill(ABSENT), 'lost');

    const file = await fs.open(path, 'write');
    try {
      const { copies, decision } = await readCopies(file);
      if (decision.kind === 'newer') throw statusNewer(path, decision.copy, decision.version);
      if (decision.kind === 'damaged') throw statusDamaged(path, copies, decision.reason);

      const status = new StatusFile(file, decision.newest, decision.repairs, onFailure);
      status.#repair = async () => {
        await overwriteCopies(file, decision.newest, decision.rewriteOrder);
        // The crash may have come between the renaming in `create` and the sync of the directory.
        await fs.syncDirectory(dir);
      };
      return status;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * Makes what was read durable: rewrites every copy with it, damaged ones first, and syncs the directory.
   * Nothing to do after `create`, or for the second time.
   */
  async makeDurable(): Promise<void> {
    await this.#repair?.();
    this.#repair = null;
  }

  /** What `update` made of it; perhaps not durable yet. Frozen. */
  get current(): Status {
    return this.#current;
  }

  /** What all four copies hold. Frozen. */
  get persisted(): Status {
    return this.#persisted.status;
  }

  /** Sequence number of `persisted`. */
  get sequence(): number {
    return this.#persisted.sequence;
  }

  /** Changes `current` in memory. A change that the rules of a field forbid is the caller's bug. */
  update(fields: StatusUpdate): void {
    assert(this.#closing === null, 'a closed status file is not updated');
    assert(this.#repair === null, 'what was read is made durable before it changes');
    this.#current = updateStatus(this.#current, fields);
    this.#updates += 1;
  }

  /**
   * Asks for `current` to be written, and returns. Calls during a write share the one that follows it.
   * A failure reaches `onFailure` and `whenPersisted`.
   */
  persist(): void {
    assert(this.#closing === null, 'a closed status file is not written');
    if (this.#failure !== null || this.#updatesPersisted === this.#updates) return;
    this.#isWanted = true;
    this.#writing ??= this.#writeWhileWanted();
  }

  /**
   * Writes what was updated before the call, and resolves when it is durable.
   * Rejects with TIDEMARK_LOG_POISONED when a write or sync fails or has failed, with TIDEMARK_NOT_OPEN after
   * `close`.
   */
  whenPersisted(): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (this.#updatesPersisted === this.#updates) return Promise.resolve();
    if (this.#closing !== null) return Promise.reject(statusClosed(this.#file.path));
    this.persist();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ updates: this.#updates, resolve, reject });
    });
  }

  /**
   * Reads the copies back, between two writes, and writes those again that are not what was written. Returns
   * these; a failure to write reaches `onFailure`.
   */
  async mend(): Promise<readonly SpoiledCopy[]> {
    while (this.#writing !== null) await this.#writing;
    if (this.#failure !== null || this.#closing !== null) return [];
    const mending = this.#mendCopies();
    this.#writing = mending.then(
      () => this.#writeWhileWanted(),
      () => this.#writeWhileWanted(), // Who asked for the mending is told.
    );
    return mending;
  }

  /** Waits for the writes that were asked for, and closes the file. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#closeFile();
    return this.#closing;
  }

  /** Copies that are right are not touched, so that a crash spoils nothing more. */
  async #mendCopies(): Promise<readonly SpoiledCopy[]> {
    const { copies } = await readCopies(this.#file);
    const spoiled = copies.flatMap((decoded, copy) => {
      const reason = spoiltBy(decoded, this.#persisted);
      return reason === null ? [] : [{ copy, reason }];
    });
    try {
      const wrong = spoiled.map(({ copy }) => copy);
      await overwriteCopies(this.#file, this.#persisted, wrong);
    } catch (error) {
      this.#poison(statusPoisoned(this.#file.path, this.#persisted.sequence, error));
    }
    return spoiled;
  }

  async #closeFile(): Promise<void> {
    await this.#writing;
    await this.#file.close();
  }

  async #writeWhileWanted(): Promise<void> {
    while (this.#isWanted && this.#failure === null) {
      this.#isWanted = false;
      const updates = this.#updates;
      const next = numberStatus(this.#persisted, this.#current);
      const failure = await this.#overwrite(next);
      if (failure === null) this.#settle(next, updates);
      else this.#poison(failure);
    }
    this.#writing = null;
  }

  /** Writes all copies; returns the error that makes this file unusable, or null. */
  async #overwrite(next: NumberedStatus): Promise<TidemarkError | null> {
    try {
      await overwriteCopies(this.#file, next, COPIES_IN_ORDER);
      return null;
    } catch (error) {
      // Whatever it was, copies may be half written: only a restart, which reads them, may go on.
      return statusPoisoned(this.#file.path, next.sequence, error);
    }
  }

  #settle(next: NumberedStatus, updates: number): void {
    assert(next.sequence === this.#persisted.sequence + 1, 'sequences have no gaps');
    this.#persisted = next;
    this.#updatesPersisted = updates;
    const settled = this.#waiters.filter((waiter) => waiter.updates <= updates);
    this.#waiters = this.#waiters.filter((waiter) => waiter.updates > updates);
    for (const { resolve } of settled) resolve();
  }

  #poison(failure: TidemarkError): void {
    this.#failure = failure;
    const rejected = this.#waiters;
    this.#waiters = [];
    for (const { reject } of rejected) reject(failure);
    this.#onFailure(failure);
  }
}

/**
 * Reads and judges the copies, and changes nothing: for `tidemark inspect status` and `verify`.
 * @throws TidemarkError TIDEMARK_FILE_MISSING. Damage is a value: see the decision.
 */
export async function inspectStatus(fs: FileSystem, dir: string): Promise<StatusInspection> {
  const file = await fs.open(statusPath(dir), 'read');
  try {
    return await readCopies(file);
  } finally {
    await file.close();
  }
}

/**
 * The status as recovery would decide it, for those who only read.
 * @throws TidemarkError TIDEMARK_STATUS_DAMAGED, TIDEMARK_FORMAT_NEWER; TIDEMARK_FILE_MISSING and
 *   TIDEMARK_NOT_A_DATA_DIRECTORY when there is nothing to read.
 */
export async function readStatus(
  fs: FileSystem,
  dir: string,
): Promise<{ readonly status: Status; readonly sequence: number; readonly copies: readonly CopySummary[] }> {
  await requireStatus(fs, dir);
  const { copies, decision } = await inspectStatus(fs, dir);
  if (decision.kind === 'newer') throw statusNewer(statusPath(dir), decision.copy, decision.version);
  if (decision.kind === 'damaged') throw statusDamaged(statusPath(dir), copies, decision.reason);
  const { status, sequence } = decision.newest;
  const summaries = copies.map((decoded, copy) => {
    const repair = decision.repairs.find((candidate) => candidate.copy === copy);
    const found = decoded.kind === 'valid' ? decoded.content.sequence : null;
    return { copy, sequence: found, verdict: repair?.reason ?? 'newest' };
  });
  return { status, sequence, copies: summaries };
}

/** Tells apart what looks alike to those who only open the file. */
async function requireStatus(fs: FileSystem, dir: string): Promise<void> {
  if ((await fs.stat(statusPath(dir))) !== null) return;
  if ((await fs.stat(dir)) === null) {
    const facts = { dir };
    throw new TidemarkError('TIDEMARK_FILE_MISSING', `there is no directory ${dir}`, {
      remedy: 'fix-call',
      facts,
    });
  }
  if ((await fs.stat(`${dir}/log`)) !== null) {
    throw statusDamaged(statusPath(dir), Array(STATUS_COPIES).fill(ABSENT), 'lost');
  }
  throw new TidemarkError(
    'TIDEMARK_NOT_A_DATA_DIRECTORY',
    `${dir} is not a data directory: it has no status`,
    {
      remedy: 'fix-call',
      facts: { dir },
    },
  );
}

/** One copy, for people: its number, the sequence it holds, and `newest` or why it would be rewritten. */
export interface CopySummary {
  readonly copy: number;
  readonly sequence: number | null;
  readonly verdict: string;
}

const COPIES_IN_ORDER = Array.from({ length: STATUS_COPIES }, (_, copy) => copy);
const ABSENT: DecodedCopy = { kind: 'invalid', fault: 'absent' };

function statusPath(dir: string): string {
  return `${dir}/${STATUS_NAME}`;
}

async function writeTemporary(fs: FileSystem, path: string, content: NumberedStatus): Promise<void> {
  if ((await fs.stat(path)) !== null) await fs.remove(path);
  const file = await fs.open(path, 'create');
  try {
    const bytes = new Uint8Array(STATUS_FILE_BYTES);
    for (const copy of COPIES_IN_ORDER) bytes.set(encodeCopy(content, copy), copy * STATUS_SLOT_BYTES);
    await file.write(bytes, 0);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Overwrites copies in the given order, each durable before the next is touched. */
async function overwriteCopies(
  file: File,
  content: NumberedStatus,
  copies: readonly number[],
): Promise<void> {
  for (const copy of copies) {
    const bytes = encodeCopy(content, copy);
    assert(decodeCopy(bytes, copy).kind === 'valid', 'a copy can be read before it is written');
    await file.write(bytes, copy * STATUS_SLOT_BYTES);
    await file.syncData();
  }
}

/** Why a copy is not the one that was written; null when it is. */
function spoiltBy(decoded: DecodedCopy, { digest }: NumberedStatus): string | null {
  if (decoded.kind === 'invalid') return decoded.fault;
  if (decoded.kind !== 'valid') return decoded.kind;
  return decoded.content.digest === digest ? null : 'stale';
}

async function readCopies(file: File): Promise<StatusInspection> {
  const copies: DecodedCopy[] = [];
  for (const copy of COPIES_IN_ORDER) copies.push(await readCopy(file, copy));
  return { copies, decision: decideCopies(copies) };
}

async function readCopy(file: File, copy: number): Promise<DecodedCopy> {
  const slot = new Uint8Array(STATUS_SLOT_BYTES);
  try {
    const bytes = await file.read(slot, copy * STATUS_SLOT_BYTES);
    return decodeCopy(slot.subarray(0, bytes), copy);
  } catch (error) {
    // A sector that cannot be read is damage like any other, and rewriting it may cure it.
    if (isTidemarkError(error, 'TIDEMARK_IO')) return { kind: 'invalid', fault: 'unreadable' };
    throw error;
  }
}

function statusDamaged(path: string, copies: readonly DecodedCopy[], reason: string): TidemarkError {
  const message =
    `${path}: the copies do not prove what this node knew last (${reason}); ` +
    `nothing was changed. Restore this node from a backup, or let it join again under a new incarnation.\n` +
    describeCopies(copies);
  return new TidemarkError('TIDEMARK_STATUS_DAMAGED', message, {
    remedy: 'restore',
    facts: { path, reason },
  });
}

function statusNewer(path: string, copy: number, version: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_FORMAT_NEWER',
    `${path}: copy ${copy} has format version ${version}, and this build knows up to ` +
      `${STATUS_FORMAT_VERSION}; nothing was changed. Start the newer build.`,
    { remedy: 'fix-call', facts: { path, version, versionMax: STATUS_FORMAT_VERSION } },
  );
}

function statusPoisoned(path: string, sequence: number, cause: unknown): TidemarkError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TidemarkError(
    'TIDEMARK_LOG_POISONED',
    `${path}: sequence ${sequence} may be written in part; check the disk, then restart. ${reason}`,
    { remedy: 'repair', facts: { path, sequence }, cause },
  );
}

function statusClosed(path: string): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_OPEN', `${path} is closed, or closing`, {
    remedy: 'fix-call',
    facts: { path },
  });
}
