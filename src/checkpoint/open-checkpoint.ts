/**
 * Opens a checkpoint: all its files, verified before anything is served.
 *
 * Headers, ids, sizes and the chunks with inner nodes are verified first; then, while a tree is installed
 * from them, all other chunks up to `verifyBytesMax` bytes; the rest while the node serves (`verifyRest`).
 * When a chunk fails, the whole tree is walked, every node held against its hash: either the walk finds the
 * damaged record, and the checkpoint is damaged; or the damaged bytes are in nothing that this tree reaches,
 * and it is used with a warning.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { Clock } from '../base/time.ts';
import type { StoredTree } from '../state/stored.ts';
import type { File, FileSystem } from '../storage/file-system.ts';
import { CheckpointFiles, type OpenedFile } from './checkpoint-files.ts';
import { CHUNK_BYTES, type CheckpointInfo, type DataFileInfo } from './checkpoint-info.ts';
import type { ResolvedCheckpointOptions } from './checkpoint-options.ts';
import { type ChunkJob, chunkBytes, chunksOf, type FailedChunk, verifyChunks } from './chunk-checks.ts';
import { type CheckpointDamage, damagedCheckpoint } from './damage.ts';
import { DATA_HEADER_BYTES, decodeDataHeader } from './data-header.ts';
import { Slices } from './slices.ts';
import { type FoundCheckpoint, newerFile } from './survey-checkpoints.ts';
import { walkStored } from './walk-stored.ts';

export interface OpeningContext {
  readonly fs: FileSystem;
  readonly dir: string;
  readonly clock: Clock;
  readonly options: ResolvedCheckpointOptions;
  readonly isBusy: () => boolean;
  /** Path of a data file, by the id in its header: files may have been renamed. */
  readonly pathOf: (id: string) => string | null;
}

export class OpenCheckpoint {
  readonly found: FoundCheckpoint;
  readonly files: CheckpointFiles;
  /** The same, one by one. */
  readonly opened: readonly OpenedFile[];
  readonly #context: OpeningContext;
  /** Chunks to verify before anything is served, and while the node serves. */
  #first: readonly ChunkJob[];
  #rest: readonly ChunkJob[];
  #isStopped = false;
  /** Bytes held against their checksums so far. */
  verifiedBytes = 0;
  /** Damaged bytes in nothing that the checkpoint needs. */
  readonly warnings: CheckpointDamage[] = [];
  /** Numbers of files with such bytes: the next checkpoint must not go on using them. */
  readonly distrusted = new Set<number>();

  private constructor(
    context: OpeningContext,
    found: FoundCheckpoint,
    parts: { readonly opened: readonly OpenedFile[] } & Pick<DividedChunks, 'first' | 'rest'>,
  ) {
    this.#context = context;
    this.found = found;
    this.files = new CheckpointFiles(found.path, parts.opened);
    this.opened = parts.opened;
    this.#first = parts.first;
    this.#rest = parts.rest;
  }

  /**
   * Opens its files, and verifies all that a tree is installed from.
   * @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED with file, offset and reason.
   */
  static async open(context: OpeningContext, found: FoundCheckpoint): Promise<OpenCheckpoint> {
    const opened: OpenedFile[] = [];
    try {
      for (const info of found.info.files) opened.push(await openFile(context, found.info, info));
      const { inner, first, rest } = divideChunks(opened, context.options.verifyBytesMax);
      const checkpoint = new OpenCheckpoint(context, found, { opened, first, rest });
      await checkpoint.#verify(inner);
      return checkpoint;
    } catch (error) {
      for (const { file } of opened) await file.close();
      throw error;
    }
  }

  get info(): CheckpointInfo {
    return this.found.info;
  }

  get tree(): StoredTree {
    const { root, rootPlace, level, keys } = this.info;
    return { root: Buffer.from(root, 'hex'), place: rootPlace, level, keys };
  }

  /** Whether every byte was verified. */
  get isVerified(): boolean {
    return this.#first.length === 0 && this.#rest.length === 0;
  }

  /** Verifies up to `verifyBytesMax`; a tree may be installed meanwhile. @throws TidemarkError as `open`. */
  async verifyFirst(): Promise<void> {
    await this.#verify(this.#first);
    if (!this.#isStopped) this.#first = [];
  }

  /** Verifies what is not yet, while the node serves; `stop` ends it. @throws TidemarkError as `open`. */
  async verifyRest(): Promise<void> {
    await this.#verify(this.#rest);
    if (!this.#isStopped) this.#rest = [];
  }

  /** Nothing more is verified. */
  stop(): void {
    this.#isStopped = true;
  }

  async #verify(jobs: readonly ChunkJob[]): Promise<void> {
    const failed = await verifyChunks(this.#until(jobs), this.#context.options);
    if (failed.length === 0) return;
    await this.#verifyTree(failed);
    for (const { file, info, offset, reason } of failed) {
      this.distrusted.add(info.number);
      this.warnings.push({ file: file.path, offset, reason });
    }
  }

  *#until(jobs: readonly ChunkJob[]): Generator<ChunkJob, void> {
    for (const job of jobs) {
      if (this.#isStopped) return;
      this.verifiedBytes += chunkBytes(job);
      yield job;
    }
  }

  /** Walks the tree, because chunks failed. Only what is unreadable now says whether it is needed. */
  async #verifyTree(failed: readonly FailedChunk[]): Promise<void> {
    try {
      await new Slices(this.#context).run(walkStored(this.tree, this.files));
    } catch (error) {
      if (!isTidemarkError(error, 'TIDEMARK_IO')) throw error;
      const [{ file, offset, reason }] = failed as [FailedChunk];
      throw damagedCheckpoint({ file: file.path, offset, reason }, error);
    }
  }
}

async function openFile(
  { fs, dir, pathOf }: OpeningContext,
  checkpoint: CheckpointInfo,
  info: DataFileInfo,
): Promise<OpenedFile> {
  const path = pathOf(info.id) ?? `${dir}/${info.name}`;
  const file = await openExisting(fs, path);
  try {
    const size = await file.size();
    if (size !== info.bytes) {
      const reason = `the file has ${size} bytes, and had ${info.bytes}`;
      throw damagedCheckpoint({ file: path, offset: Math.min(size, info.bytes), reason });
    }
    const reason = await headerFault(file, checkpoint, info);
    if (reason !== null) throw damagedCheckpoint({ file: path, offset: 0, reason });
    return { info, file };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openExisting(fs: FileSystem, path: string): Promise<File> {
  try {
    return await fs.open(path, 'read');
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_FILE_MISSING')) throw error;
    throw damagedCheckpoint({ file: path, offset: 0, reason: 'the file is missing' }, error);
  }
}

/** What is wrong with the header of a file, or null. */
async function headerFault(
  file: File,
  checkpoint: CheckpointInfo,
  info: DataFileInfo,
): Promise<string | null> {
  const bytes = new Uint8Array(DATA_HEADER_BYTES);
  let read: number;
  try {
    read = await file.read(bytes, 0);
  } catch (error) {
    if (isTidemarkError(error, 'TIDEMARK_IO')) return error.message;
    throw error;
  }
  const decoded = decodeDataHeader(bytes.subarray(0, read));
  if (decoded.kind === 'newer') throw newerFile(file.path, decoded.version);
  if (decoded.kind === 'invalid') return decoded.reason;
  const { number, id, clusterId } = decoded.header;
  const isWanted = number === info.number && id === info.id && clusterId === checkpoint.clusterId;
  return isWanted ? null : 'it is another file than the checkpoint names';
}

interface DividedChunks {
  /** With inner nodes. */
  readonly inner: readonly ChunkJob[];
  /** Of the others, those to verify before anything is served, and those after. */
  readonly first: readonly ChunkJob[];
  readonly rest: readonly ChunkJob[];
}

/** Chunks with inner nodes come first; up to `bytesMax` in all, the others later. */
function divideChunks(opened: readonly OpenedFile[], bytesMax: number): DividedChunks {
  const jobs = opened.flatMap(({ file, info }) => [...chunksOf(file, info)]);
  const isInner = ({ info, chunk }: ChunkJob): boolean => (chunk + 1) * CHUNK_BYTES > info.innerOffset;
  let bytes = 0;
  const isWithin = (job: ChunkJob): boolean => (bytes += chunkBytes(job)) <= bytesMax;
  const inner = new Set(jobs.filter((job) => isInner(job) && isWithin(job)));
  const others = jobs.filter((job) => !inner.has(job));
  const first = others.filter(isWithin);
  return { inner: [...inner], first, rest: others.slice(first.length) };
}
