/**
 * The checkpoints of one data directory: found at the start, opened newest first, kept, removed.
 *
 * Invariants:
 *  - Nothing on the disk changes before `cleanUp`, which is called once recovery has succeeded.
 *  - A data file is removed only after every index file that names it is gone, durably.
 *  - What is damaged goes to quarantine; only what a crash left unfinished, and what no policy keeps
 *    (retention.ts), is removed.
 *  - Numbers of files are never used twice.
 *
 * Checkpoints of one chain share files: a damaged byte in the first takes all of them. So beside the newest,
 * one is kept that shares no file with them, a *fallback*: the full one that the chain before began with.
 * Until there is one, the log is not compacted, and is the fallback itself. With `checkpointsKept` 1 there is
 * none.
 */

import { assert } from '../base/assert.ts';
import type { Chance } from '../base/chance.ts';
import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { invalidOption } from '../base/options.ts';
import { type Index, toIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import { ifThereIsRoom, Quarantine } from '../log/quarantine.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { type CheckpointInfo, compareInfos } from './checkpoint-info.ts';
import { CHECKPOINTS_DIR } from './checkpoint-name.ts';
import type { ResolvedCheckpointOptions } from './checkpoint-options.ts';
import { type CheckpointDamage, damageOf, isUnreadable } from './damage.ts';
import { fallbackOf, headOf } from './fallback.ts';
import { indexForRewinding, type KeptLogBytes } from './kept-log.ts';
import { OpenCheckpoint } from './open-checkpoint.ts';
import { type Retained, type RetainedPoint, retain } from './retention.ts';
import { type FoundCheckpoint, surveyCheckpoints } from './survey-checkpoints.ts';
import {
  type ReadTags,
  readTags,
  removeTag,
  removeTagParts,
  requireTagName,
  TAGS_MAX,
  type Tag,
  tagPath,
  writeTag,
} from './tags.ts';
import {
  type CheckpointFacts,
  type TreeSource,
  type WrittenCheckpoint,
  writeCheckpoint,
} from './write-checkpoint.ts';

export interface StoreConfig {
  readonly fs: FileSystem;
  readonly dataDir: string;
  readonly clusterId: string;
  readonly nodeId: number;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly options: ResolvedCheckpointOptions;
  /** Whether somebody is being served: then slices are short, with rests between. */
  readonly isBusy: () => boolean;
}

export interface CleanUpReport {
  /** Paths of what a crash left unfinished. */
  readonly removed: readonly string[];
  /** Where damaged files went. */
  readonly quarantined: readonly string[];
}

/** A checkpoint, as the policy sees it. */
interface KeptPoint extends RetainedPoint {
  readonly found: FoundCheckpoint;
}

export class CheckpointStore {
  readonly #config: StoreConfig;
  readonly #dir: string;
  /** Newest first; without those refused. */
  #usable: FoundCheckpoint[] = [];
  /** Checkpoints whose index file is whole and which cannot be used. */
  readonly #refused: { readonly found: FoundCheckpoint; readonly damage: CheckpointDamage }[] = [];
  /** Index files that are not whole. */
  #unreadable: readonly CheckpointDamage[] = [];
  #parts: readonly string[] = [];
  #tags: ReadTags = { tags: [], damages: [] };
  /** Path of every data file → the id in its header, or null. */
  readonly #dataFiles = new Map<string, string | null>();
  #numberUsed = 0;
  /** The checkpoint that the state in memory has its places from. */
  #base: CheckpointInfo | null = null;
  /** Where the state was installed from: damage may be found in its files as long as it is loaded. */
  #installed: OpenCheckpoint | null = null;
  /** Numbers of files on which nothing new is built, because damage was found beside them. */
  readonly #distrusted = new Set<number>();
  /** Checkpoints that somebody reads: they are not removed meanwhile. */
  readonly #held: FoundCheckpoint[] = [];
  #isClean = false;
  #isRemoving = true;
  #isClosed = false;
  /** Tags put on and taken off, and removals, one after the other; never rejects. */
  #changes: Promise<void> = Promise.resolve();

  private constructor(config: StoreConfig) {
    this.#config = config;
    this.#dir = `${config.dataDir}/${CHECKPOINTS_DIR}`;
  }

  /**
   * Finds the checkpoints, and verifies their index files.
   * @throws TidemarkError TIDEMARK_FORMAT_NEWER, TIDEMARK_FOREIGN_FILE.
   */
  static async find(config: StoreConfig): Promise<CheckpointStore> {
    const store = new CheckpointStore(config);
    const survey = await surveyCheckpoints(config.fs, config.dataDir, config.clusterId);
    store.#usable = [...survey.checkpoints];
    store.#unreadable = survey.damages;
    store.#parts = survey.parts;
    store.#numberUsed = survey.numberMax;
    for (const [path, id] of survey.dataFiles) store.#dataFiles.set(path, id);
    store.#tags = await readTags(config.fs, store.#dir, config.clusterId);
    return store;
  }

  /** The checkpoints that can be used, as far as is known; newest first. */
  get checkpoints(): readonly FoundCheckpoint[] {
    return this.#usable;
  }

  /** What cannot be used, and why. */
  get damages(): readonly CheckpointDamage[] {
    return [...this.#unreadable, ...this.#refused.map(({ damage }) => damage)];
  }

  /** The checkpoint that the state was installed from, or that was taken of it last. */
  get base(): CheckpointInfo | null {
    return this.#base;
  }

  /** Whether `base` needs no file that is distrusted. */
  get isBaseTrusted(): boolean {
    return this.#base?.files.every(({ number }) => !this.#distrusted.has(number)) ?? true;
  }

  /** Path of the index file of `base`; null when there is none. */
  get basePath(): string | null {
    return this.#usable.find(({ info }) => info === this.#base)?.path ?? null;
  }

  /**
   * Up to here the log may be compacted. Null while it is needed whole, since no checkpoint is a fallback. It
   * is kept back to the oldest checkpoint that a start may need, or that could not be removed yet; and for
   * rewinding as far as kept-log.ts says.
   */
  compactableIndex(log: KeptLogBytes): Index | null {
    if (this.#usable.length === 0 || !this.hasFallback) return null;
    const { clock, options } = this.#config;
    const { checkpointsKept } = options;
    const isNeeded = ({ point, reasons }: Retained<KeptPoint>, at: number): boolean =>
      at < checkpointsKept || point.neededAs !== null || reasons.length === 0;
    const retained = this.retained();
    const needed = retained.filter((one, at) => isNeeded(one, at)).map(({ point }) => point.index);
    const kept = retained.flatMap(({ point, reasons }) => (reasons.length > 0 ? [point] : []));
    const wanted = indexForRewinding(kept, log, options, clock.now());
    return toIndex(Math.min(...needed, wanted ?? Infinity));
  }

  /** What is tagged, by name. */
  get tags(): readonly Tag[] {
    return this.#tags.tags;
  }

  /** Index of the checkpoint that a tag keeps; null when there is no such tag. */
  tagged(name: string): Index | null {
    return this.tags.find((tag) => tag.name === name)?.index ?? null;
  }

  /** Files of tags that cannot be read: as long as there is one, no checkpoint is removed. */
  get tagDamages(): ReadTags['damages'] {
    return this.#tags.damages;
  }

  /** Path of a data file, by the id in its header: files may have been renamed. Null when there is none. */
  readonly pathOf = (id: string): string | null => {
    for (const [path, found] of this.#dataFiles) if (found === id) return path;
    return null;
  };

  /** Every usable checkpoint, newest first, and what keeps each one alive now. */
  retained(): Retained<KeptPoint>[] {
    const { options, clock } = this.#config;
    const spared = this.#spared();
    const points = this.#usable.map((found) => ({
      found,
      index: found.info.index,
      takenAt: found.info.takenAt,
      files: found.info.files,
      tags: this.tags.filter((tag) => isOf(tag, found.info)).map(({ name }) => name),
      neededAs: spared.get(found) ?? null,
    }));
    return retain(points, options, clock.now());
  }

  /** Whether there is one, or none is wanted. */
  get hasFallback(): boolean {
    return this.#config.options.checkpointsKept === 1 || fallbackOf(this.#usable) !== null;
  }

  /**
   * Installs the newest checkpoint that is whole; `damages` tells about newer ones.
   * @param install Makes a state of it, and drops what it made when it fails (checklist G5). Before it serves
   *   or changes anything it awaits `verified`: the checkpoint is verified meanwhile.
   * @param isWanted Which may be used at all: of a machine that this build has, say.
   * @returns Null when there is none: replay the log from its first entry.
   */
  async installNewest(
    install: (checkpoint: OpenCheckpoint, verified: Promise<void>) => Promise<void>,
    isWanted: (info: CheckpointInfo) => boolean = () => true,
  ): Promise<OpenCheckpoint | null> {
    for (;;) {
      const checkpoint = await this.openNewest(isWanted);
      if (checkpoint === null) return null;
      const verified = checkpoint.verifyFirst();
      verified.catch(() => undefined); // It is awaited below, whatever comes first.
      try {
        await install(checkpoint, verified);
        await verified;
        this.#installed = checkpoint;
        this.#base = checkpoint.info;
        return checkpoint;
      } catch (error) {
        checkpoint.stop();
        await verified.catch(() => undefined); // It reads the files.
        await checkpoint.files.close();
        if (!isUnreadable(error)) throw error;
        this.#refuse(checkpoint.found, error);
      }
    }
  }

  /** Opens the newest checkpoint that a tree can be installed from, or null. */
  async openNewest(isWanted: (info: CheckpointInfo) => boolean = () => true): Promise<OpenCheckpoint | null> {
    // `#refuse` replaces the list, and leaves this one as it is.
    for (const found of this.#usable) {
      if (!isWanted(found.info)) continue;
      try {
        return await this.open(found);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        this.#refuse(found, error);
      }
    }
    return null;
  }

  /** Opens one. @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED. */
  open(found: FoundCheckpoint): Promise<OpenCheckpoint> {
    const { fs, clock, options, isBusy } = this.#config;
    const { pathOf } = this;
    return OpenCheckpoint.open({ fs, dir: this.#dir, clock, options, isBusy, pathOf }, found);
  }

  /** The disk did not keep what it was given: the next checkpoint builds upon nothing that is there. */
  distrustAll(): void {
    for (const { info } of this.#usable) for (const { number } of info.files) this.#distrusted.add(number);
  }

  /**
   * Moves a checkpoint aside that turned out to be damaged, with the files that only damaged ones need. Not
   * the newest. Returns where what was moved is.
   */
  setAside(found: FoundCheckpoint, damage: CheckpointDamage): Promise<readonly string[]> {
    return this.#afterChanges(async () => {
      const quarantined: string[] = [];
      if (!this.#usable.includes(found)) return quarantined;
      assert(found.info !== this.#base, 'a newer checkpoint is there before one is set aside');
      this.#usable = this.#usable.filter((other) => other !== found);
      this.#refused.push({ found, damage });
      for (const [path, reason] of this.#damagedFiles()) {
        this.#isClean = await this.#moveAside(path, reason, quarantined);
        if (!this.#isClean) break;
      }
      return quarantined;
    });
  }

  /** Keeps one from being removed until what this returns is called. */
  hold(found: FoundCheckpoint): () => void {
    this.#held.push(found);
    return () => void this.#held.splice(this.#held.indexOf(found), 1);
  }

  /**
   * After recovery: removes what a crash left unfinished, moves what is damaged to quarantine, and makes the
   * names found durable. Makes the directory if there is none. What there is no room to move stays, and no
   * data file is removed until it is moved.
   */
  async cleanUp(): Promise<CleanUpReport> {
    const { fs, dataDir } = this.#config;
    const removed: string[] = [];
    const quarantined: string[] = [];
    await fs.makeDirectory(this.#dir);
    await fs.syncDirectory(dataDir);
    await fs.syncDirectory(this.#dir);
    for (const path of this.#parts) removed.push(await this.#remove(path));
    this.#parts = [];
    removed.push(...(await removeTagParts(fs, this.#dir)));
    if (this.damages.length === 0) {
      // No index file that is damaged may have named it: it was never finished.
      for (const path of this.#unneeded()) removed.push(await this.#remove(path));
    }
    let isClean = true;
    for (const [path, reason] of this.#damagedFiles()) {
      isClean = await this.#moveAside(path, reason, quarantined);
      if (!isClean) break;
    }
    if (removed.length > 0) await fs.syncDirectory(this.#dir);
    this.#isClean = isClean;
    return { removed, quarantined };
  }

  /**
   * Takes a checkpoint of a state that has its places from `base`. After recovery; one at a time. Cleans up
   * first if there was no room to do so.
   * @param logBytesAfter What the log takes after an index: when it is long, and needed until another chain
   *   begins, the new one is full.
   */
  async take(
    source: TreeSource,
    facts: CheckpointFacts,
    logBytesAfter: (index: Index) => number = () => 0,
  ): Promise<WrittenCheckpoint> {
    if (!this.#isClean) await this.cleanUp();
    const context = { ...this.#config, dir: this.#dir };
    const fileNumber = ++this.#numberUsed;
    const input = {
      source,
      facts,
      base: this.#base,
      distrusted: new Set([...this.#distrusted, ...(this.#installed?.distrusted ?? [])]),
      fileNumber,
      logBytes: this.#logBytesHeld(logBytesAfter),
    };
    const written = await writeCheckpoint(context, input);
    this.#base = written.info;
    for (const { id, name } of written.info.files) {
      if (this.pathOf(id) === null) this.#dataFiles.set(`${this.#dir}/${name}`, id);
    }
    this.#usable = [written, ...this.#usable].sort((one, other) => compareInfos(one.info, other.info));
    return written;
  }

  /**
   * Removes the checkpoints that no policy keeps, with the files that only they need: exactly `removable`.
   * After a failure that will not pass none is removed until the next start: what is durably gone is then
   * unknown.
   * @returns What was removed.
   */
  removeOld(): Promise<readonly FoundCheckpoint[]> {
    return this.#afterChanges(async () => {
      const old = this.removable;
      try {
        await this.#removeThese(old);
      } catch (error) {
        this.#isRemoving = isTidemarkError(error) && error.remedy === 'retry';
        throw error;
      }
      return old;
    });
  }

  /** What nothing keeps and nobody reads, oldest first; empty while something is in the way of removing. */
  get removable(): readonly FoundCheckpoint[] {
    if (this.removalObstacle !== null) return [];
    const old = this.retained().filter(({ reasons }) => reasons.length === 0);
    return old.flatMap(({ point: { found } }) => (this.#held.includes(found) ? [] : [found])).reverse();
  }

  /**
   * Why none is removed; null when nothing is in the way. While the one that the state was installed from is
   * not verified to its end, newer ones may build upon damage that nobody has met yet; a tag that cannot be
   * read may keep any.
   */
  get removalObstacle(): string | null {
    const [damaged] = this.#tags.damages;
    if (damaged !== undefined) return `the tag in ${damaged.file} cannot be read`;
    if (this.#installed?.isVerified === false) return 'the checkpoint of the start is still being verified';
    return this.#isRemoving ? null : 'an earlier removal failed; the next start goes on with it';
  }

  /** Nothing is changed any more once it resolves. */
  close(): Promise<void> {
    this.#isClosed = true;
    return this.#changes;
  }

  /**
   * Keeps a checkpoint alive under a name; a tag of that name moves to it. Durable when it resolves.
   * @throws TidemarkError TIDEMARK_OPTION_INVALID for a bad name, without a checkpoint of that index, or for
   *   one tag too many.
   */
  async tag(name: string, index: number): Promise<Tag> {
    requireTagName(name);
    return this.#afterChanges(() => this.#tag(name, index));
  }

  /**
   * Writes the file of a tag again, as it is known, and keeps a copy of what stood there. Returns whether
   * the tag is known.
   */
  mendTag(path: string, reason: string): Promise<boolean> {
    return this.#afterChanges(async () => {
      const { fs, dataDir } = this.#config;
      const tag = this.tags.find(({ name }) => tagPath(this.#dir, name) === path);
      if (tag === undefined) return false;
      const bytes = (await fs.stat(path))?.bytes ?? 0;
      const note = { from: path, offset: 0, reason };
      if (bytes > 0) await new Quarantine(fs, dataDir).keep(path.slice(this.#dir.length + 1), note, bytes);
      await writeTag(fs, this.#dir, tag);
      return true;
    });
  }

  /** Takes a tag off: what only it kept goes with the next checkpoint. Returns whether there was one. */
  async untag(name: string): Promise<boolean> {
    requireTagName(name);
    return this.#afterChanges(() => this.#untag(name));
  }

  async #tag(name: string, index: number): Promise<Tag> {
    const { fs, clock, clusterId } = this.#config;
    // Looked for only now: an earlier change may have removed it.
    const info = this.#usable.find((found) => found.info.index === index)?.info;
    if (info === undefined) {
      const there = this.#usable.map((found) => found.info.index).join(', ');
      throw invalidOption('index', index, `that of a checkpoint: ${there === '' ? 'there is none' : there}`);
    }
    const { tags, damages } = this.#withoutTag(name);
    if (tags.length >= TAGS_MAX) throw tooManyTags(name);
    const { timeline, root } = info;
    const tag = { name, clusterId, timeline, index: info.index, root, taggedAt: clock.now() };
    await writeTag(fs, this.#dir, tag);
    const all = [...tags, tag].sort((one, other) => compareNames(one.name, other.name));
    this.#tags = { tags: all, damages };
    return tag;
  }

  /** One that cannot be read goes, too. */
  async #untag(name: string): Promise<boolean> {
    const left = this.#withoutTag(name);
    const { tags, damages } = this.#tags;
    if (left.tags.length === tags.length && left.damages.length === damages.length) return false;
    await removeTag(this.#config.fs, this.#dir, name);
    this.#tags = left;
    return true;
  }

  /** What is left of the tags when the file of one is replaced, or gone. */
  #withoutTag(name: string): ReadTags {
    const { tags, damages } = this.#tags;
    const path = tagPath(this.#dir, name);
    return {
      tags: tags.filter((tag) => tag.name !== name),
      damages: damages.filter(({ file }) => file !== path),
    };
  }

  /** Runs `change` when those before it have ended, well or not: each has its own caller. */
  #afterChanges<Result>(change: () => Promise<Result>): Promise<Result> {
    if (this.#isClosed) return Promise.reject(notOpen());
    const run = this.#changes.then(change);
    const settled = (): void => undefined;
    this.#changes = run.then(settled, settled);
    return run;
  }

  /** Index files first: what they name may go only once they are durably gone. */
  async #removeThese(old: readonly FoundCheckpoint[]): Promise<void> {
    const { fs } = this.#config;
    const left = [...old];
    // Nobody may find, and begin to read, one whose files are going.
    this.#usable = this.#usable.filter((found) => !old.includes(found));
    try {
      for (; left.length > 0; left.shift()) await this.#remove(left[0]!.path);
    } finally {
      this.#usable = [...this.#usable, ...left].sort((one, other) => compareInfos(one.info, other.info));
    }
    if (old.length > 0) await fs.syncDirectory(this.#dir);
    if (!this.#isClean) return;
    const unneeded = this.#unneeded(); // Also what an earlier removal had to leave.
    for (const path of unneeded) await this.#remove(path);
    if (unneeded.length > 0) await fs.syncDirectory(this.#dir);
  }

  /**
   * Moves the checkpoint that the state was installed from aside, because a part of it that was read later is
   * damaged: the next start uses an older one. The index file stays, so that the next start says why; without
   * its files it is not used. It goes too when no file is the checkpoint's own.
   */
  async quarantineBase(reason: string): Promise<readonly string[]> {
    const quarantined: string[] = [];
    const found = this.#usable.find(({ info }) => info === this.#base);
    if (found === undefined) return quarantined;
    this.#usable = this.#usable.filter((other) => other !== found);
    const own = this.#unneeded();
    for (const path of own.length > 0 ? own : [found.path]) await this.#moveAside(path, reason, quarantined);
    return quarantined;
  }

  /** What must stay besides the newest, and why. With `checkpointsKept` 1 nothing must. */
  #spared(): ReadonlyMap<FoundCheckpoint, string> {
    if (this.#config.options.checkpointsKept === 1) return new Map();
    const fallback = fallbackOf(this.#usable);
    const head = headOf(this.#usable);
    return new Map([
      ...(head === null ? [] : [[head, 'the next fallback: the full one of the newest chain'] as const]),
      ...(fallback === null ? [] : [[fallback, 'the fallback: shares no file with the newest'] as const]),
    ]);
  }

  /**
   * Bytes of log that only another chain makes dispensable: all, while there is no fallback; with one, what
   * came since the newest chain began, for another one would make this beginning the fallback.
   */
  #logBytesHeld(logBytesAfter: (index: Index) => number): number {
    if (this.#config.options.checkpointsKept === 1) return 0;
    if (fallbackOf(this.#usable) === null) return logBytesAfter(toIndex(0));
    const begun = headOf(this.#usable) ?? this.#usable[0];
    return begun === undefined ? 0 : logBytesAfter(begun.info.index);
  }

  /** A checkpoint turned out not to be usable; `cleanUp` moves it aside. */
  #refuse(found: FoundCheckpoint, error: TidemarkError): void {
    this.#usable = this.#usable.filter((other) => other !== found);
    this.#refused.push({ found, damage: damageOf(error) });
  }

  /**
   * Paths of data files that no usable checkpoint names. One whose header is not whole may still be the one
   * of its name.
   */
  #unneeded(): string[] {
    const files = this.#usable.flatMap(({ info }) => info.files);
    const ids = new Set(files.map(({ id }) => id));
    const paths = new Set(files.map(({ name }) => `${this.#dir}/${name}`));
    const isNeeded = (path: string, id: string | null): boolean =>
      id === null ? paths.has(path) : ids.has(id);
    return [...this.#dataFiles].filter(([path, id]) => !isNeeded(path, id)).map(([path]) => path);
  }

  /**
   * Paths of what goes to quarantine, and why. Data files first: without an index file that is damaged they
   * would count as never finished.
   */
  #damagedFiles(): (readonly [path: string, reason: string])[] {
    if (this.damages.length === 0) return [];
    const unneeded = this.#unneeded().map((path) => [path, 'no checkpoint that is whole needs it'] as const);
    const unreadable = this.#unreadable.map(({ file, reason }) => [file, reason] as const);
    const refused = this.#refused.map(({ found, damage: { file, offset, reason } }) => {
      return [found.path, `${file} at offset ${offset}: ${reason}`] as const;
    });
    return [...unneeded, ...unreadable, ...refused];
  }

  async #remove(path: string): Promise<string> {
    const { fs } = this.#config;
    if ((await fs.stat(path)) !== null) await fs.remove(path);
    this.#dataFiles.delete(path);
    return path;
  }

  /** Returns whether it is gone from where it was: there may be no room to move it. */
  async #moveAside(path: string, reason: string, quarantined: string[]): Promise<boolean> {
    const { fs, dataDir } = this.#config;
    if ((await fs.stat(path)) === null) return true;
    const quarantine = new Quarantine(fs, dataDir);
    return ifThereIsRoom(async () => {
      quarantined.push(await quarantine.moveIn(path, reason));
      this.#dataFiles.delete(path);
    });
  }
}

function isOf(tag: Tag, info: CheckpointInfo): boolean {
  return tag.timeline === info.timeline && tag.index === info.index && tag.root === info.root;
}

function compareNames(one: string, other: string): number {
  return one < other ? -1 : 1;
}

function notOpen(): TidemarkError {
  const message = 'the node is closed: its checkpoints stay as they are';
  return new TidemarkError('TIDEMARK_NOT_OPEN', message, { remedy: 'fix-call' });
}

function tooManyTags(name: string): TidemarkError {
  return invalidOption('tag', name, `one of at most ${TAGS_MAX} tags; take one off first`);
}
