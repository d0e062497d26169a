/**
 * The data directory: made so that a crash leaves either nothing that counts or a whole one, and opened under
 * an exclusive lock.
 *
 * Making one (checklist A2, A3): the log with one empty segment first, the status last. The status is the
 * commit point: a directory without one is half-built when its log is empty, and is made again; with entries
 * in its log it has lost its status, and stops (E3).
 *
 * The directory itself, and the parents it lacks, are made first, since the lock is a file in it; nothing in
 * it is made or changed before the lock is held. So it is built in place rather than renamed as a whole: that
 * also works where it is a mount point.
 */

import { isZero } from '../base/bytes.ts';
import type { Chance } from '../base/chance.ts';
import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { toIndex, toTerm, toTimeline } from '../base/positions.ts';
import { PROCESS_LABEL } from '../base/process.ts';
import type { Clock } from '../base/time.ts';
import { CHECKPOINTS_DIR } from '../checkpoint/checkpoint-name.ts';
import { createLog, FIRST_SEGMENT_NAME, FIRST_SEQUENCE } from '../log/create-log.ts';
import { readToEnd } from '../log/read-to-end.ts';
import { isSegmentName, SEGMENT_HEADER_BYTES } from '../log/segment.ts';
import { isSparseIndexName } from '../log/segment-file.ts';
import { isSpareName } from '../log/spares.ts';
import { STATUS_NAME, STATUS_TEMPORARY_NAME, StatusFile } from '../log/status.ts';
import { NO_SERVICE, type Status } from '../log/status-content.ts';
import type { FileLock, FileSystem } from '../storage/file-system.ts';
import { SCRUB_NAME } from './scrub-record.ts';

const LOCK_NAME = 'lock';

/** What Tidemark puts into a data directory; anything else makes an unmade one suspicious. */
const KNOWN_NAMES: readonly string[] = [
  LOCK_NAME,
  STATUS_NAME,
  STATUS_TEMPORARY_NAME,
  'log',
  CHECKPOINTS_DIR,
  'journal',
  'quarantine',
  SCRUB_NAME,
  'lost+found', // A fresh ext4 mount.
];

export interface DataDirectoryInput {
  readonly fs: FileSystem;
  readonly dir: string;
  readonly machine: { readonly name: string; readonly version: number };
  readonly segmentBytes: number;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly onStatusFailure: (error: TidemarkError) => void;
}

export interface DataDirectory {
  readonly lock: FileLock;
  readonly status: StatusFile;
  readonly isNew: boolean;
}

/**
 * Opens the data directory, making it first where there is none.
 * @throws TidemarkError TIDEMARK_LOCKED, TIDEMARK_NOT_A_DATA_DIRECTORY, TIDEMARK_STATUS_DAMAGED,
 *   TIDEMARK_FORMAT_NEWER, TIDEMARK_MACHINE_MISMATCH (also for a later version); TIDEMARK_NOT_WRITABLE,
 *   TIDEMARK_DISK_FULL, TIDEMARK_RESOURCES and TIDEMARK_IO of the system.
 */
export async function openDataDirectory(input: DataDirectoryInput): Promise<DataDirectory> {
  const { fs, dir, machine, onStatusFailure } = input;
  await makeDirectories(fs, dir);
  await refuseForeignDirectory(fs, dir);
  const lock = await fs.lock(`${dir}/${LOCK_NAME}`, `${PROCESS_LABEL}, machine ${machine.name}`);
  try {
    const isNew = (await fs.stat(`${dir}/${STATUS_NAME}`)) === null && (await isUnmade(fs, dir));
    const status = isNew ? await make(input) : await StatusFile.open(fs, dir, onStatusFailure);
    const found = status.current.machine;
    if (found.name === machine.name && found.version <= machine.version) return { lock, status, isNew };
    await status.close();
    throw machineMismatch(dir, found, machine);
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/** Lets go of the directory. A file that reports an error when it is closed does not keep the lock. */
export async function closeDataDirectory(directory: Pick<DataDirectory, 'lock' | 'status'>): Promise<void> {
  try {
    await directory.status.close();
  } finally {
    await directory.lock.release();
  }
}

export interface ForkedDirectoryInput
  extends Pick<DataDirectoryInput, 'fs' | 'dir' | 'clock' | 'chance' | 'segmentBytes'> {
  /** What the new directory begins with; its log has no entry yet. */
  readonly status: Status;
  /** Of the last entry before its log. */
  readonly time: number;
}

/**
 * Makes a data directory whose log goes on from a state that `fill` puts into it. Durable when it resolves;
 * the status is written last.
 * @throws TidemarkError TIDEMARK_NOT_A_DATA_DIRECTORY when it is neither new nor empty; TIDEMARK_LOCKED.
 */
export async function buildForkedDirectory(
  { fs, dir, clock, chance, segmentBytes, status, time }: ForkedDirectoryInput,
  fill: () => Promise<void>,
): Promise<void> {
  await makeDirectories(fs, dir);
  await refuseForeignDirectory(fs, dir);
  const lock = await fs.lock(`${dir}/${LOCK_NAME}`, `${PROCESS_LABEL}, machine ${status.machine.name}`);
  try {
    const isThere = (await fs.stat(`${dir}/${STATUS_NAME}`)) !== null || !(await isUnmade(fs, dir));
    if (isThere) throw notADirectory(dir, 'it must be new or empty, and holds data');
    await removeHalfBuilt(fs, dir);
    const { timeline, firstIndex, term: previousTerm } = status;
    const start = { timeline, firstIndex, previousTerm, previousTime: time };
    await createLog({ fs, dataDir: dir, identity: status, clock, chance, segmentBytes, start });
    await fill();
    const made = { ...status, segmentSequence: FIRST_SEQUENCE };
    await (await StatusFile.create(fs, dir, made, () => undefined)).close();
  } finally {
    await lock.release();
  }
}

async function make(input: DataDirectoryInput): Promise<StatusFile> {
  const { fs, dir, clock, chance, segmentBytes, machine, onStatusFailure } = input;
  await removeHalfBuilt(fs, dir);
  const identity = {
    clusterId: Buffer.from(chance.fill(new Uint8Array(16))).toString('hex'),
    nodeId: 1,
    incarnation: 1,
  };
  await createLog({ fs, dataDir: dir, identity, clock, chance, segmentBytes });
  const status = {
    ...identity,
    machine: { name: machine.name, version: machine.version },
    earlierVersions: [],
    timeline: toTimeline(1),
    term: toTerm(0),
    view: 0,
    vote: 0,
    commitIndex: toIndex(0),
    firstIndex: toIndex(1),
    segmentSequence: FIRST_SEQUENCE,
    membership: [{ id: identity.nodeId, role: 'voter' as const }],
    installing: null,
    service: NO_SERVICE,
  };
  return StatusFile.create(fs, dir, status, onStatusFailure);
}

/**
 * Makes the directory and the parents it lacks, each durable in its own parent. A directory that is there but
 * not yet a data directory may have been made by a process that was killed before it could sync: so are its
 * ancestors' names made durable again.
 */
async function makeDirectories(fs: FileSystem, dir: string): Promise<void> {
  const stat = await fs.stat(dir);
  if (stat !== null && stat.kind !== 'directory') throw notADirectory(dir, 'it is a file');
  if (stat !== null && (await fs.stat(`${dir}/${STATUS_NAME}`)) !== null) return;
  const slash = dir.lastIndexOf('/');
  const parent = slash > 0 ? dir.slice(0, slash) : slash === 0 ? '/' : '.';
  if (slash > 0) await makeDirectories(fs, parent);
  if (stat === null) {
    await fs.makeDirectory(dir);
    await fs.syncDirectory(parent);
    return;
  }
  try {
    await fs.syncDirectory(parent);
  } catch (error) {
    // Not ours to read, so nothing of ours was made in it.
    if (!isTidemarkError(error, 'TIDEMARK_NOT_WRITABLE')) throw error;
  }
}

/** A directory without a status and with strange files is somebody's, and stays as it is. */
async function refuseForeignDirectory(fs: FileSystem, dir: string): Promise<void> {
  const names = await fs.list(dir);
  if (names.includes(STATUS_NAME)) return;
  const strange = names.filter((name) => !KNOWN_NAMES.includes(name));
  if ((await fs.stat(`${dir}/log`))?.kind === 'file') throw notADirectory(dir, 'its log is a file');
  const logNames = await listIfThere(fs, `${dir}/log`);
  if (!logNames.some((name) => isSegmentName(name) || isSparseIndexName(name))) {
    const isKnown = (name: string): boolean => isSpareName(name) || name === 'lost+found';
    strange.push(...logNames.filter((name) => !isKnown(name)).map((name) => `log/${name}`));
  }
  if (strange.length === 0) return;
  throw notADirectory(dir, `it holds ${strange.slice(0, 3).join(', ')} and no Tidemark data`);
}

/**
 * Whether a directory without a status holds at most what a crash leaves of one that was being made: spares,
 * and the first segment without a record. Then nobody was promised anything.
 */
async function isUnmade(fs: FileSystem, dir: string): Promise<boolean> {
  for (const holder of ['quarantine', CHECKPOINTS_DIR]) {
    if ((await listIfThere(fs, `${dir}/${holder}`)).length > 0) return false;
  }
  for (const name of await listIfThere(fs, `${dir}/log`)) {
    // A spare that was being zeroed may hold anything; a segment has its name only when it is whole.
    if (!isSegmentName(name) && !isSparseIndexName(name)) continue;
    if (name !== FIRST_SEGMENT_NAME || (await holdsRecords(fs, `${dir}/log/${name}`))) return false;
  }
  return true;
}

async function removeHalfBuilt(fs: FileSystem, dir: string): Promise<void> {
  for (const name of await listIfThere(fs, `${dir}/log`)) {
    if (name === FIRST_SEGMENT_NAME || isSpareName(name)) await fs.remove(`${dir}/log/${name}`);
  }
  if ((await fs.stat(`${dir}/${STATUS_TEMPORARY_NAME}`)) !== null) {
    await fs.remove(`${dir}/${STATUS_TEMPORARY_NAME}`);
  }
}

async function listIfThere(fs: FileSystem, path: string): Promise<string[]> {
  return (await fs.stat(path)) === null ? [] : fs.list(path);
}

/** Whether anything is written behind the header block of a file. */
async function holdsRecords(fs: FileSystem, path: string): Promise<boolean> {
  const file = await fs.open(path, 'read');
  try {
    const window = new Uint8Array(1024 * 1024);
    for (let offset = SEGMENT_HEADER_BYTES; ; offset += window.length) {
      const read = await readToEnd(file, window, offset);
      if (!isZero(window.subarray(0, read))) return true;
      if (read < window.length) return false;
    }
  } finally {
    await file.close();
  }
}

function notADirectory(dir: string, why: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_NOT_A_DATA_DIRECTORY',
    `${dir} is not a data directory: ${why}. Nothing was changed; name an empty or a new directory`,
    { remedy: 'fix-call', facts: { dir } },
  );
}

/** The data is of another machine, or of a later version. */
export function machineMismatch(
  dir: string,
  found: { readonly name: string; readonly version: number },
  wanted: { readonly name: string; readonly version: number },
): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_MACHINE_MISMATCH',
    `${dir} was written by the machine ${found.name} version ${found.version}, and this program has ` +
      `${wanted.name} version ${wanted.version}. Nothing was changed; open it with that machine, or name ` +
      'another directory',
    {
      remedy: 'fix-call',
      facts: { dir, found: `${found.name} ${found.version}`, wanted: `${wanted.name} ${wanted.version}` },
    },
  );
}
