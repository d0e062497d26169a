/**
 * Which checkpoints a directory holds. Reads every index file and the header of every data file; changes
 * nothing. What a file is, its content says, not its name.
 */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { readToEnd } from '../log/read-to-end.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { type CheckpointInfo, compareInfos } from './checkpoint-info.ts';
import { CHECKPOINTS_DIR, isDataName, isIndexName, isPartName } from './checkpoint-name.ts';
import type { CheckpointDamage } from './damage.ts';
import { DATA_HEADER_BYTES, decodeDataHeader } from './data-header.ts';
import { decodeIndexFile, INDEX_BYTES_MAX } from './index-file.ts';

/** A checkpoint whose index file is whole. */
export interface FoundCheckpoint {
  /** Of the index file. */
  readonly path: string;
  readonly info: CheckpointInfo;
}

export interface CheckpointSurvey {
  /** Newest first. */
  readonly checkpoints: readonly FoundCheckpoint[];
  /** Index files that are not whole. */
  readonly damages: readonly CheckpointDamage[];
  /** Every data file: path → the id in its header, or null when that is not whole. */
  readonly dataFiles: ReadonlyMap<string, string | null>;
  /** Index files that were never finished. */
  readonly parts: readonly string[];
  /** Directories with the name of a file: left alone. */
  readonly misplaced: readonly string[];
  /** Highest number of a file that any of these names. */
  readonly numberMax: number;
}

/**
 * @throws TidemarkError TIDEMARK_FORMAT_NEWER, TIDEMARK_FOREIGN_FILE; TIDEMARK_CHECKPOINT_DAMAGED when their
 *   place is no directory.
 * @param clusterId Null takes files of any cluster.
 */
export async function surveyCheckpoints(
  fs: FileSystem,
  dataDir: string,
  clusterId: string | null,
): Promise<CheckpointSurvey> {
  const dir = `${dataDir}/${CHECKPOINTS_DIR}`;
  const checkpoints: FoundCheckpoint[] = [];
  const damages: CheckpointDamage[] = [];
  const dataFiles = new Map<string, string | null>();
  const parts: string[] = [];
  const misplaced: string[] = [];
  let numberMax = 0;
  for (const { name, path, isFile } of await listFiles(fs, dir)) {
    if (!isFile) misplaced.push(path);
    else if (isPartName(name)) parts.push(path);
    else if (isIndexName(name)) {
      const found = await readIndexFile(fs, path, clusterId);
      if (found === null) continue;
      if ('info' in found) checkpoints.push(found);
      else damages.push(found);
    } else if (isDataName(name)) {
      const header = await readDataHeader(fs, path, clusterId);
      if (header === 'gone') continue;
      dataFiles.set(path, header?.id ?? null);
      numberMax = Math.max(numberMax, header?.number ?? 0);
    }
  }
  for (const { info } of checkpoints)
    numberMax = Math.max(numberMax, ...info.files.map(({ number }) => number));
  checkpoints.sort((one, other) => compareInfos(one.info, other.info));
  return { checkpoints, damages, dataFiles, parts, misplaced, numberMax };
}

async function listFiles(
  fs: FileSystem,
  dir: string,
): Promise<{ name: string; path: string; isFile: boolean }[]> {
  const kind = (await fs.stat(dir))?.kind;
  if (kind === undefined) return [];
  if (kind !== 'directory') throw noDirectory(dir);
  const files: { name: string; path: string; isFile: boolean }[] = [];
  for (const name of await fs.list(dir)) {
    const path = `${dir}/${name}`;
    if (!isPartName(name) && !isIndexName(name) && !isDataName(name)) continue;
    const stat = await fs.stat(path);
    if (stat !== null) files.push({ name, path, isFile: stat.kind === 'file' });
  }
  return files;
}

/**
 * One index file: what it says, or what is wrong with it. Null when it is gone by now: the node that owns the
 * directory may remove it meanwhile.
 * @throws as `surveyCheckpoints`.
 */
export async function readIndexFile(
  fs: FileSystem,
  path: string,
  clusterId: string | null,
): Promise<FoundCheckpoint | CheckpointDamage | null> {
  const read = await readStart(fs, path, INDEX_BYTES_MAX + 1);
  if (read === null) return null;
  if (!(read instanceof Uint8Array)) return read;
  if (read.length > INDEX_BYTES_MAX)
    return { file: path, offset: INDEX_BYTES_MAX, reason: 'the file is too long' };
  const decoded = decodeIndexFile(read);
  if (decoded.kind === 'newer') throw newerFile(path, decoded.version);
  if (decoded.kind === 'invalid') return { file: path, offset: decoded.offset, reason: decoded.reason };
  if (clusterId !== null && decoded.info.clusterId !== clusterId)
    throw foreignFile(path, decoded.info.clusterId);
  return { path, info: decoded.info };
}

/**
 * Number and id of a data file; null when its header is not whole: then an index file that names it tells.
 * Gone when it was removed meanwhile.
 */
async function readDataHeader(
  fs: FileSystem,
  path: string,
  clusterId: string | null,
): Promise<{ number: number; id: string } | 'gone' | null> {
  const read = await readStart(fs, path, DATA_HEADER_BYTES);
  if (read === null) return 'gone';
  if (!(read instanceof Uint8Array)) return null;
  const decoded = decodeDataHeader(read);
  if (decoded.kind === 'newer') throw newerFile(path, decoded.version);
  if (decoded.kind === 'invalid') return null;
  const { header } = decoded;
  if (clusterId !== null && header.clusterId !== clusterId) throw foreignFile(path, header.clusterId);
  return header;
}

/**
 * The first bytes of a file, up to `bytesMax`; damage when the disk does not give them, null when there is no
 * such file.
 */
async function readStart(
  fs: FileSystem,
  path: string,
  bytesMax: number,
): Promise<Uint8Array | CheckpointDamage | null> {
  const file = await openIfThere(fs, path);
  if (file === null) return null;
  try {
    const bytes = new Uint8Array(Math.min(bytesMax, await file.size()));
    return bytes.subarray(0, await readToEnd(file, bytes, 0));
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_IO')) return { file: path, offset: 0, reason: error.message };
    throw error;
  } finally {
    await file.close();
  }
}

async function openIfThere(fs: FileSystem, path: string): Promise<File | null> {
  try {
    return await fs.open(path, 'read');
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_FILE_MISSING')) return null;
    throw error;
  }
}

function noDirectory(dir: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_CHECKPOINT_DAMAGED',
    `${dir} is no directory. Nothing was changed. Move it away, and bring the checkpoints back from a ` +
      'copy; a log that has its first entry does without them',
    { remedy: 'restore', facts: { file: dir } },
  );
}

export function newerFile(file: string, version: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_FORMAT_NEWER',
    `${file} has checkpoint format ${version}, which this version of Tidemark does not know. Nothing was ` +
      'changed; start the version that wrote it, or a later one',
    { remedy: 'fix-call', facts: { file, version } },
  );
}

function foreignFile(file: string, clusterId: string): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_FOREIGN_FILE',
    `${file} belongs to the cluster ${clusterId}. Move it out of this directory. Nothing was changed`,
    { remedy: 'fix-call', facts: { file, clusterId } },
  );
}
