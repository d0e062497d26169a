/**
 * Reads every byte of checkpoints and says what is wrong: index files, chunk checksums, records, and each
 * tree from its root, every node held against its hash. Changes nothing. For `verify`, which does all of them
 * at once, and for the scrub of a node, which takes days and goes on where it was.
 *
 * Checkpoints share files and parts of their trees: each is verified once, with the first that needs it.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { NodeReference } from '../base/merkle/read.ts';
import { hashName } from '../base/merkle/read.ts';
import type { Clock } from '../base/time.ts';
import type { Place } from '../state/stored.ts';
import type { FileSystem } from '../storage/file-system.ts';
import type { OpenedFile } from './checkpoint-files.ts';
import { chunkCount, compareInfos } from './checkpoint-info.ts';
import { CHECKPOINTS_DIR } from './checkpoint-name.ts';
import { CHECKPOINT_DEFAULTS } from './checkpoint-options.ts';
import { type ChunkJob, chunksOf, type ReadingOptions, verifyChunks } from './chunk-checks.ts';
import { type CheckpointDamage, damageOf, isUnreadable } from './damage.ts';
import { OpenCheckpoint } from './open-checkpoint.ts';
import { ReadAhead } from './read-ahead.ts';
import { Slices } from './slices.ts';
import { type FoundCheckpoint, readIndexFile, surveyCheckpoints } from './survey-checkpoints.ts';
import { type Walked, walkStored } from './walk-stored.ts';

/** What was found of one checkpoint. */
export type CheckpointVerdict =
  | {
      readonly kind: 'whole';
      readonly found: FoundCheckpoint;
      readonly walked: Walked;
      /** Damaged bytes in nothing that it needs. */
      readonly warnings: readonly CheckpointDamage[];
    }
  /** `found` is null when its index file is not whole. */
  | { readonly kind: 'damaged'; readonly found: FoundCheckpoint | null; readonly damage: CheckpointDamage };

/** How far the verification of one checkpoint has come. */
export interface VerifiedPart {
  /** Chunks of its files, in their order, that are verified. */
  readonly chunks: number;
  /** The leaf of its tree that comes next; empty for the first. */
  readonly leaf: readonly number[];
}

export const NOTHING_VERIFIED: VerifiedPart = Object.freeze({ chunks: 0, leaf: Object.freeze([]) });

export interface VerifierConfig {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly dataDir: string;
  /** Null takes files of any cluster. */
  readonly clusterId: string | null;
  readonly reading: ReadingOptions;
  readonly isBusy: () => boolean;
  /** Path of a data file, by the id in its header, or null. */
  readonly pathOf: (id: string) => string | null;
  /** Ids of files whose chunks are known to be whole: by an earlier part of the same work. */
  readonly wholeFiles?: readonly string[];
}

/** Inner nodes that are remembered as verified: those of some thirty million keys. Others are read again. */
const KNOWN_NODES_MAX = 256 * 1024;

export class CheckpointVerifier {
  readonly #config: VerifierConfig;
  /** Id of each data file whose chunks were read, and what was wrong with them. */
  readonly #files = new Map<string, readonly CheckpointDamage[]>();
  /** Inner nodes below which all is verified: file id, offset and hash. */
  readonly #known = new Set<string>();

  constructor(config: VerifierConfig) {
    this.#config = config;
    for (const id of config.wholeFiles ?? []) this.#files.set(id, []);
  }

  /** Ids of files whose chunks are whole. */
  get wholeFiles(): readonly string[] {
    return [...this.#files].filter(([, damages]) => damages.length === 0).map(([id]) => id);
  }

  /** Files and nodes of a checkpoint are read again, whoever needed them before. */
  forget({ info }: FoundCheckpoint): void {
    for (const { id } of info.files) this.#files.delete(id);
    this.#known.clear();
  }

  /**
   * Verifies one checkpoint, or what is left of it.
   * @param onPart Told of the progress, as long as there is nothing wrong.
   */
  async verify(
    found: FoundCheckpoint,
    from: VerifiedPart = NOTHING_VERIFIED,
    onPart: (part: VerifiedPart) => void = () => undefined,
  ): Promise<CheckpointVerdict> {
    const { fs, clusterId } = this.#config;
    try {
      const index = await readIndexFile(fs, found.path, clusterId);
      if (index === null)
        return { kind: 'damaged', found, damage: { file: found.path, offset: 0, reason: MISSING } };
      if (!('info' in index)) return { kind: 'damaged', found, damage: index };
      if (compareInfos(index.info, found.info) !== 0 || index.info.root !== found.info.root) {
        return { kind: 'damaged', found, damage: { file: found.path, offset: 0, reason: OTHER_CHECKPOINT } };
      }
      return await this.#verifyOpen(await this.#open(found), from, onPart);
    } catch (error) {
      if (!isUnreadable(error)) throw error;
      return { kind: 'damaged', found, damage: damageOf(error) };
    }
  }

  #open(found: FoundCheckpoint): Promise<OpenCheckpoint> {
    const { fs, clock, dataDir, isBusy, pathOf } = this.#config;
    // Headers and sizes only: all chunks are read below, each file once.
    const options = { ...CHECKPOINT_DEFAULTS, verifyBytesMax: 0 };
    const dir = `${dataDir}/${CHECKPOINTS_DIR}`;
    return OpenCheckpoint.open({ fs, dir, clock, options, isBusy, pathOf }, found);
  }

  async #verifyOpen(
    checkpoint: OpenCheckpoint,
    from: VerifiedPart,
    onPart: (part: VerifiedPart) => void,
  ): Promise<CheckpointVerdict> {
    const { found, opened, files } = checkpoint;
    try {
      const warnings = await this.#verifyFiles(opened, from, onPart);
      // Where bytes are damaged, the walk begins anew: it tells whether they are needed.
      const leaf = warnings.length === 0 ? from.leaf : [];
      const onLeaf = warnings.length === 0 ? onPart : () => undefined;
      const walked = await this.#walk(checkpoint, leaf, onLeaf);
      return { kind: 'whole', found, walked, warnings };
    } finally {
      await files.close();
    }
  }

  /** Every chunk of every file, but for files that were read with another checkpoint. */
  async #verifyFiles(
    opened: readonly OpenedFile[],
    from: VerifiedPart,
    onPart: (part: VerifiedPart) => void,
  ): Promise<CheckpointDamage[]> {
    const warnings: CheckpointDamage[] = [];
    let before = 0;
    for (const { file, info } of opened) {
      const first = before;
      before += chunkCount(info.bytes);
      const known = this.#files.get(info.id);
      const isDone = before <= from.chunks;
      const jobs = [...chunksOf(file, info)].slice(Math.max(0, from.chunks - first));
      const report = (chunk: number): void => {
        if (warnings.length === 0) onPart({ chunks: first + chunk, leaf: [] });
      };
      const damages = known ?? (isDone ? [] : await this.#verifyChunks(jobs, report));
      this.#files.set(info.id, damages);
      warnings.push(...damages);
    }
    return warnings;
  }

  async #verifyChunks(
    jobs: readonly ChunkJob[],
    onChunk: (chunk: number) => void,
  ): Promise<CheckpointDamage[]> {
    const { reading } = this.#config;
    const told = function* (): Generator<ChunkJob, void> {
      for (const job of jobs) {
        // Those before it are verified when one is read at a time.
        if (reading.loadConcurrency === 1) onChunk(job.chunk);
        yield job;
      }
    };
    const failed = await verifyChunks(told(), reading);
    return failed.map(({ file, offset, reason }) => ({ file: file.path, offset, reason }));
  }

  async #walk(
    { tree, files, found }: OpenCheckpoint,
    from: readonly number[],
    onPart: (part: VerifiedPart) => void,
  ): Promise<Walked> {
    const ids = new Map(found.info.files.map(({ number, id }) => [number, id]));
    const nameOf = ({ hash }: NodeReference, { file, offset }: Place): string =>
      `${ids.get(file)} ${offset} ${hashName(hash)}`;
    const chunks = found.info.files.reduce((sum, { bytes }) => sum + chunkCount(bytes), 0);
    const verified: string[] = [];
    const walk = walkStored(tree, files, undefined, {
      from,
      onLeaf: (leaf) => onPart({ chunks, leaf }),
      isKnown: (reference, place) => this.#known.has(nameOf(reference, place)),
      onInner: (reference, place) => {
        if (verified.length < KNOWN_NODES_MAX) verified.push(nameOf(reference, place));
      },
      readAhead: new ReadAhead(files).before,
    });
    const { clock, isBusy } = this.#config;
    const walked = await new Slices({ clock, isBusy }).run(walk);
    for (const name of verified) if (this.#known.size < KNOWN_NODES_MAX) this.#known.add(name);
    return walked;
  }
}

const MISSING = 'the file is missing';
const OTHER_CHECKPOINT = 'it is the index file of another checkpoint';

/** Of the data files that these need, each once. */
export function bytesOfFiles(checkpoints: readonly Pick<FoundCheckpoint, 'info'>[]): number {
  const files = new Map(checkpoints.flatMap(({ info }) => info.files.map(({ id, bytes }) => [id, bytes])));
  return [...files.values()].reduce((sum, bytes) => sum + bytes, 0);
}

/**
 * All checkpoints of a directory, newest first, those without a whole index file last. What its node removes
 * meanwhile is left out: index files go first, durably.
 * @param clusterId Null takes files of any cluster.
 * @throws TidemarkError TIDEMARK_FORMAT_NEWER, TIDEMARK_FOREIGN_FILE.
 */
export async function* verifyCheckpoints(
  doors: { readonly fs: FileSystem; readonly clock: Clock },
  dataDir: string,
  clusterId: string | null,
): AsyncGenerator<CheckpointVerdict, void> {
  const survey = await surveyCheckpoints(doors.fs, dataDir, clusterId);
  const verifier = new CheckpointVerifier({
    ...doors,
    dataDir,
    clusterId,
    reading: CHECKPOINT_DEFAULTS,
    isBusy: () => false,
    pathOf: (id) => [...survey.dataFiles].find(([, found]) => found === id)?.[0] ?? null,
  });
  for (const found of survey.checkpoints) {
    const verdict = await verifier.verify(found).catch(nullIfMissing);
    const isGone = verdict?.kind !== 'whole' && (await doors.fs.stat(found.path)) === null;
    if (verdict !== null && !isGone) yield verdict;
  }
  for (const damage of survey.damages) yield { kind: 'damaged', found: null, damage };
}

function nullIfMissing(error: unknown): null {
  if (!isTidemarkError(error, 'TIDEMARK_FILE_MISSING')) throw error;
  return null;
}
