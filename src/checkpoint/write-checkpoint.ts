/**
 * Takes one checkpoint: what no kept file holds goes into a new `.data`, then the `.idx` says what it is
 * (docs/format.md §7.4).
 *
 *     measure → nodes into .data → sync → sync directory → read back
 *       → .idx.part → sync → read back → rename to .idx: the commit point → sync directory
 *
 * The state goes on changing meanwhile; the source holds what is written. When a step fails, what was made is
 * removed as far as possible and the error goes to the caller; a failed sync is not tried again. The number
 * of the file is never used again, so places in it count as nowhere.
 */

import { bufferOf } from '../base/bytes.ts';
import type { Chance } from '../base/chance.ts';
import { isTidemarkError } from '../base/errors.ts';
import type { Clock } from '../base/time.ts';
import type { StoredTree, Unstored } from '../state/stored.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { chooseKind, type Increment, isEmpty, keptFiles } from './chain.ts';
import { type CheckpointInfo, type DataFileInfo } from './checkpoint-info.ts';
import { checkpointStem, PART_SUFFIX } from './checkpoint-name.ts';
import type { ResolvedCheckpointOptions } from './checkpoint-options.ts';
import { chunksOf, verifyChunks } from './chunk-checks.ts';
import { DATA_HEADER_BYTES } from './data-header.ts';
import { DataWriter } from './data-writer.ts';
import { encodeIndexFile } from './index-file.ts';
import { type SlicedWork, Slices, steps } from './slices.ts';
import { comesBackDifferent, writeVerified } from './verified-write.ts';

/**
 * The state at one index, as a tree that can be written while the state goes on: a `Snapshot` with a root.
 */
export interface TreeSource {
  /** Counts what `unstored` would give, step by step. */
  measureUnstored(isKept: (file: number) => boolean): Generator<void, Increment, void>;
  /** Leaves and large values in order of keys, then the nodes above, children first. */
  unstored(isKept: (file: number) => boolean): Generator<Unstored, void, void>;
  /** Number of keys. */
  readonly size: number;
  /** Where its root is, once everything is stored. */
  readonly storedTree: StoredTree;
}

/** What a checkpoint says besides its tree. */
export type CheckpointFacts = Pick<
  CheckpointInfo,
  'timeline' | 'index' | 'term' | 'view' | 'time' | 'machine' | 'members' | 'membersIndex' | 'stateBytes'
>;

export interface WriteContext {
  readonly fs: FileSystem;
  /** The directory of the checkpoints; it exists. */
  readonly dir: string;
  readonly clusterId: string;
  readonly nodeId: number;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly options: ResolvedCheckpointOptions;
  readonly isBusy: () => boolean;
}

export interface WriteInput {
  readonly source: TreeSource;
  readonly facts: CheckpointFacts;
  /** The newest checkpoint, which the places of the state are from; null when there is none. */
  readonly base: CheckpointInfo | null;
  /** Files in which damage was found. */
  readonly distrusted: ReadonlySet<number>;
  /** For the new file; never used before. */
  readonly fileNumber: number;
  /** Bytes of log that only a full checkpoint, in time, makes dispensable. */
  readonly logBytes: number;
}

export interface WrittenCheckpoint {
  readonly info: CheckpointInfo;
  /** Of its index file. */
  readonly path: string;
  /** Time that taking it held the event loop in all, in milliseconds. */
  readonly busyMs: number;
}

/** The nodes that were written. */
interface WrittenFile {
  readonly file: DataFileInfo | null;
  readonly nodes: number;
}

/** Durable, and verified by reading it back, when it resolves. */
export function writeCheckpoint(context: WriteContext, input: WriteInput): Promise<WrittenCheckpoint> {
  return new CheckpointWriter(context, input).write();
}

class CheckpointWriter {
  readonly #context: WriteContext;
  readonly #input: WriteInput;
  readonly #slices: Slices;
  readonly #startMs: number;

  constructor(context: WriteContext, input: WriteInput) {
    this.#context = context;
    this.#input = input;
    this.#slices = new Slices(context);
    this.#startMs = context.clock.monotonic();
  }

  async write(): Promise<WrittenCheckpoint> {
    const { source, facts, base, distrusted } = this.#input;
    const plan = await this.#plan(keptFiles(base, distrusted));
    const takenAt = this.#context.clock.now();
    const stem = await this.#freeStem({ ...facts, takenAt });
    const made: string[] = [];
    try {
      const written = await this.#writeFile(plan, `${stem}.data`, made);
      const info = this.#describe({ source, plan, written, takenAt });
      await this.#writeIndex(info, `${stem}.idx`, made);
      return { info, path: `${this.#context.dir}/${stem}.idx`, busyMs: this.#slices.busyMs };
    } catch (error) {
      await this.#removeMade(made);
      throw error;
    }
  }

  /** Full or incremental, which files go on being used, and whether there is anything to write. */
  async #plan(kept: readonly DataFileInfo[]): Promise<WritePlan> {
    const { source, base, facts, logBytes } = this.#input;
    const increment = await this.#slices.run(steps(source.measureUnstored(isOneOf(kept))));
    const { stateBytes } = facts;
    const kind = chooseKind({ base, kept, increment, stateBytes, logBytes });
    const isNothing = kind === 'incremental' ? isEmpty(increment) : source.size === 0;
    return { kind, kept: kind === 'full' ? [] : kept, isNothing };
  }

  /** A name that no file has: another second when one does. */
  async #freeStem(at: { timeline: number; index: number; takenAt: number }): Promise<string> {
    const taken = await this.#context.fs.list(this.#context.dir);
    for (let { takenAt } = at; ; takenAt += 1000) {
      const stem = checkpointStem({ ...at, takenAt });
      if (!taken.some((name) => name.startsWith(`${stem}.`))) return stem;
    }
  }

  async #writeFile(plan: WritePlan, name: string, made: string[]): Promise<WrittenFile> {
    if (plan.isNothing) return { file: null, nodes: 0 };
    const { fs, dir, clusterId, chance, options } = this.#context;
    const { fileNumber: number, facts } = this.#input;
    const path = `${dir}/${name}`;
    const id = Buffer.from(chance.fill(new Uint8Array(8))).toString('hex');
    made.push(path);
    const header = { number, id, clusterId, timeline: facts.timeline, index: facts.index };
    const writer = await DataWriter.create({ fs, path }, header, options);
    let nodes: { readonly count: number; readonly innerOffset: number };
    let ended: { readonly bytes: number; readonly chunks: string };
    try {
      nodes = await this.#slices.run(this.#writeNodes(writer, isOneOf(plan.kept)));
      ended = await writer.end();
    } finally {
      await writer.close();
    }
    await fs.syncDirectory(dir);
    const file = {
      number,
      id,
      name,
      bytes: ended.bytes,
      innerOffset: nodes.innerOffset,
      chunks: ended.chunks,
    };
    await this.#readBack(file);
    return { file, nodes: nodes.count };
  }

  *#writeNodes(
    writer: DataWriter,
    isKept: (file: number) => boolean,
  ): SlicedWork<{ readonly count: number; readonly innerOffset: number }> {
    const { source, fileNumber } = this.#input;
    let count = 0;
    let innerOffset: number | null = null;
    for (const node of source.unstored(isKept)) {
      if (node.kind === 'inner') innerOffset ??= writer.offset;
      node.storedAt(fileNumber, writer.append(node));
      count++;
      yield writer.isFull ? writer.room() : undefined;
    }
    return { count, innerOffset: innerOffset ?? writer.offset };
  }

  /** Reads the file again and holds every chunk against its checksum. */
  async #readBack(info: DataFileInfo): Promise<void> {
    const { fs, dir, options } = this.#context;
    const path = `${dir}/${info.name}`;
    const file = await fs.open(path, 'read');
    try {
      const size = await file.size();
      if (size !== info.bytes) throw comesBackDifferent(path, Math.min(size, info.bytes));
      const [failed] = await verifyChunks(chunksOf(file, info), options);
      if (failed !== undefined) throw comesBackDifferent(path, failed.offset);
    } finally {
      await file.close();
    }
  }

  #describe(made: {
    readonly source: TreeSource;
    readonly plan: WritePlan;
    readonly written: WrittenFile;
    readonly takenAt: number;
  }): CheckpointInfo {
    const { clusterId, nodeId, clock } = this.#context;
    const { facts, base } = this.#input;
    const { plan, written, takenAt } = made;
    const tree = made.source.storedTree;
    const bytes = written.file?.bytes ?? 0;
    const isFull = plan.kind === 'full' || base === null;
    return {
      ...facts,
      clusterId,
      nodeId,
      takenAt,
      root: bufferOf(tree.root).toString('hex'),
      rootPlace: tree.place,
      level: tree.level,
      keys: tree.keys,
      kind: plan.kind,
      files: written.file === null ? plan.kept : [...plan.kept, written.file],
      full: isFull ? { bytes: Math.max(bytes, DATA_HEADER_BYTES), stateBytes: facts.stateBytes } : base.full,
      cost: {
        nodes: written.nodes,
        bytes,
        durationMs: Math.round(clock.monotonic() - this.#startMs),
        slices: this.#slices.count,
        longestPauseMs: Math.round(this.#slices.longestMs * 1000) / 1000,
      },
      certificate: null,
    };
  }

  async #writeIndex(info: CheckpointInfo, name: string, made: string[]): Promise<void> {
    const { fs, dir } = this.#context;
    const path = `${dir}/${name}`;
    const part = path + PART_SUFFIX;
    const bytes = encodeIndexFile(info);
    made.push(part);
    await writeVerified(fs, part, bytes);
    made.push(path);
    await fs.rename(part, path);
    await fs.syncDirectory(dir);
  }

  /**
   * Removes the files of an attempt that failed, the index file first: it must not name what is gone. What
   * cannot be removed now is removed at the next start.
   */
  async #removeMade(made: readonly string[]): Promise<void> {
    const { fs, dir } = this.#context;
    try {
      for (const path of made.toReversed()) {
        if ((await fs.stat(path)) === null) continue;
        await fs.remove(path);
        await fs.syncDirectory(dir);
      }
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
    }
  }
}

interface WritePlan {
  readonly kind: CheckpointInfo['kind'];
  readonly kept: readonly DataFileInfo[];
  /** Nothing needs to be written. */
  readonly isNothing: boolean;
}

function isOneOf(kept: readonly DataFileInfo[]): (file: number) => boolean {
  const numbers = new Set(kept.map(({ number }) => number));
  return (file) => numbers.has(file);
}
