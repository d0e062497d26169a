/**
 * Door 1, the one that misbehaves from a seed: files on a disk that forgets what was not synced, tears,
 * flips, fills up, fails a sync once, reads short and misdirects. For seeded tests, and for exploring every
 * outcome of a crash at every call.
 *
 *     const files = new LossyFileSystem({ seed });
 *     files.crashAt(17);                        // every call from the 17th on throws SimulatedCrash
 *     await run(files).catch(ignoreCrash);
 *     for (const image of files.crashImages()) await recover(image.files);   // image.choice replays it
 *
 * Promises: what lossy-disk.ts says about a power cut; its errors are those of the real file system; the
 * same seed and the same calls give the same run. Time never enters.
 */

import { assert } from '../base/assert.ts';
import { lookUp, lookUpDirectory, placeOf, placeOfFile } from '../storage/directory-tree.ts';
import type { File, FileLock, FileStat, FileSystem, OpenMode } from '../storage/file-system.ts';
import { refusalOfRename } from '../storage/memory-file-system.ts';
import { lockedError, systemCodeOf } from '../storage/system-error.ts';
import {
  type CrashChoice,
  type CrashImageOptions,
  CrashUnits,
  crashChoices,
  formatChoice,
  lastWriteOf,
  parseChoice,
  randomChoice,
} from './crash-choices.ts';
import {
  CallGate,
  type CompletionOrder,
  type CrashEffect,
  type HeldSync,
  refusal,
  type SimulatedCrash,
  wordsOf,
} from './lossy-calls.ts';
import { type DiskFile, type DiskNode, LossyDisk } from './lossy-disk.ts';
import { type Fault, type FaultOdds, Faults, type IoCall } from './lossy-faults.ts';
import { LossyFile, type LossyHost } from './lossy-file.ts';
import { SeededRandom } from './seeded-random.ts';

/** How badly it behaves. Every field is optional. */
export interface LossyOptions {
  /** Decides the order of completions, and whatever the odds leave to chance. @default 1 */
  readonly seed?: number;
  /** @default 'seeded' */
  readonly completionOrder?: CompletionOrder;
  /** Space on the disk, in bytes, counted in pages of 4 KiB. @default Infinity */
  readonly capacityBytes?: number;
}

/** Damage at rest: in what the disk holds, and in what the process sees of it. */
export type Damage =
  | { readonly kind: 'flip-bit'; readonly offset: number; readonly bit: number }
  | { readonly kind: 'zero' | 'garbage'; readonly from: number; readonly to: number }
  | { readonly kind: 'overwrite'; readonly offset: number; readonly bytes: Uint8Array };

/** One legal outcome of a power cut. */
export class CrashImage {
  /** The disk after it, as a machine that starts again finds it. */
  readonly files: LossyFileSystem;
  readonly #choice: CrashChoice;
  readonly #units: CrashUnits;

  constructor(files: LossyFileSystem, choice: CrashChoice, units: CrashUnits) {
    this.files = files;
    this.#choice = choice;
    this.#units = units;
  }

  /** Given to `crashImage` of the same file system in the same state, brings this outcome back. */
  get choice(): string {
    return formatChoice(this.#choice);
  }

  /** The choice, and one line per pending operation with what became of it. */
  describe(): string {
    return this.#units.describe(this.#choice);
  }
}

/** Door 1 for tests: files that lose, tear, reorder and damage what was not synced, or what was. */
export class LossyFileSystem implements FileSystem {
  readonly #options: Required<LossyOptions>;
  readonly #host: LossyHost;
  readonly #locked = new Map<DiskFile, string>();

  constructor(options: LossyOptions = {}, disk: LossyDisk = new LossyDisk()) {
    this.#options = { seed: 1, completionOrder: 'seeded', capacityBytes: Infinity, ...options };
    const { seed, completionOrder: order, capacityBytes } = this.#options;
    // Two streams: a fault that draws does not change the order of completions.
    const faults = new Faults(new SeededRandom(seed));
    const gate = new CallGate({ faults, random: new SeededRandom(seed ^ 0x5eed), order });
    this.#host = { disk, gate, capacityBytes, locate: (path) => this.#fileAt(path) };
  }

  // The contract.

  makeDirectory(path: string): Promise<void> {
    const call = { op: 'make-directory', path } as const;
    return this.#later(call, () => {
      const { directory, name, node } = placeOf(this.#disk.root, wordsOf(call.op), path);
      if (node?.kind === 'directory') return;
      if (node !== undefined) throw refusal(call, 'EEXIST');
      this.#disk.changeNames([{ directory, name, node: this.#disk.newDirectory() }], `make ${path}`);
    });
  }

  list(path: string): Promise<string[]> {
    const call = { op: 'list', path } as const;
    return this.#later(call, () =>
      [...lookUpDirectory(this.#disk.root, wordsOf(call.op), path).entries.keys()].sort(),
    );
  }

  stat(path: string): Promise<FileStat | null> {
    return this.#later({ op: 'stat', path }, () => {
      const node = this.#nodeAt(path);
      if (node === null) return null;
      return { kind: node.kind, bytes: node.kind === 'file' ? node.cache.bytes : 0 };
    });
  }

  open(path: string, mode: OpenMode): Promise<File> {
    const op = mode === 'create' ? 'create' : 'open';
    return this.#later({ op, path, isForWriting: mode !== 'read' }, () => {
      if (mode === 'create') return this.#create(path);
      const { node } = placeOfFile(this.#disk.root, wordsOf(op), path);
      return new LossyFile(this.#host, node, { path, mode });
    });
  }

  rename(from: string, to: string): Promise<void> {
    const call = { op: 'rename', path: from } as const;
    return this.#later(call, () => {
      const source = placeOf(this.#disk.root, wordsOf(call.op), from);
      const target = placeOf(this.#disk.root, wordsOf(call.op), to);
      const systemCode = refusalOfRename(source, target);
      if (systemCode !== null) throw refusal(call, systemCode);
      assert(source.node !== undefined, `${from} is there`);
      if (source.node === target.node) return;
      this.#disk.changeNames(
        [
          { directory: source.directory, name: source.name, node: null },
          { directory: target.directory, name: target.name, node: source.node },
        ],
        `rename ${from} to ${to}`,
      );
    });
  }

  remove(path: string): Promise<void> {
    const call = { op: 'remove', path } as const;
    return this.#later(call, () => {
      const { directory, name } = placeOfFile(this.#disk.root, wordsOf(call.op), path);
      this.#disk.changeNames([{ directory, name, node: null }], `remove ${path}`);
    });
  }

  syncDirectory(path: string): Promise<void> {
    const call = { op: 'sync-directory', path } as const;
    const covers = this.#disk.sequence;
    return this.#later(call, () => {
      this.#disk.syncDirectory(lookUpDirectory(this.#disk.root, wordsOf(call.op), path), covers);
    });
  }

  lock(path: string, note: string): Promise<FileLock> {
    const call = { op: 'lock', path } as const;
    return this.#later(call, () => {
      const { node } = placeOf(this.#disk.root, wordsOf(call.op), path);
      if (node?.kind === 'directory') throw refusal(call, 'EISDIR');
      const owner = node === undefined ? undefined : this.#locked.get(node);
      if (owner !== undefined) throw lockedError(path, owner);
      return this.#takeLock(path, note, node ?? this.#newFile(path));
    });
  }

  // What the test sees and does.

  /** Every call that took effect or failed, in order. The last million are kept. */
  get calls(): readonly IoCall[] {
    return this.#host.gate.calls;
  }

  get callCount(): number {
    return this.#host.gate.callCount;
  }

  /** Space on the disk, in bytes; may change at any time. Removing and truncating files gives space back. */
  get capacityBytes(): number {
    return this.#host.capacityBytes;
  }

  set capacityBytes(bytes: number) {
    this.#host.capacityBytes = bytes;
  }

  /** Bytes in use, in pages of 4 KiB; holes are free. */
  get usedBytes(): number {
    return this.#disk.allocatedBytes();
  }

  /** Faults by chance. Those of a crash image start at none. */
  get odds(): FaultOdds {
    return this.#host.gate.faults.odds;
  }

  set odds(odds: FaultOdds) {
    this.#host.gate.faults.odds = odds;
  }

  /** Arms a fault on demand. */
  inject(fault: Fault): void {
    this.#host.gate.faults.arm(fault);
  }

  /** Disarms all faults on demand. */
  healFaults(): void {
    this.#host.gate.faults.disarm();
  }

  /** EROFS: every call that changes something fails. EACCES: every call on a path fails. null: none does. */
  deny(code: 'EROFS' | 'EACCES' | null): void {
    this.#host.gate.deny(code);
  }

  /** From now on each sync of a file waits in `heldSyncs`. What it covers is decided when it is called. */
  holdSyncs(): void {
    this.#host.gate.holdSyncs();
  }

  get heldSyncs(): readonly HeldSync[] {
    return this.#host.gate.held;
  }

  /** Lets go of the held syncs, oldest first, and holds no more. */
  releaseSyncs(): void {
    this.#host.gate.releaseSyncs();
  }

  /** Damages a file at rest. It must be there, and the range within its size. */
  damage(path: string, damage: Damage): void {
    const file = this.#fileAt(path);
    const bytes = damageOf(file, damage, new SeededRandom(this.#options.seed));
    const offset = 'offset' in damage ? damage.offset : damage.from;
    assert(offset + bytes.length <= file.cache.bytes, `damage of ${path} stays within its size`);
    for (const pages of [file.cache, file.durable]) {
      const fitting = Math.max(0, Math.min(bytes.length, pages.bytes - offset));
      pages.write(bytes.subarray(0, fitting), offset);
    }
  }

  /** Forgets the clean part of a file's cache, so that reads show what the disk holds. */
  evict(path: string): void {
    this.#disk.evict(this.#fileAt(path));
  }

  /** What the process would read of a file now, or null without one. Not a call. */
  cachedBytes(path: string): Uint8Array | null {
    const node = this.#nodeAt(path);
    return node?.kind === 'file' ? bytesOf(node) : null;
  }

  /** What a file would hold if the power went now and nothing pending had reached the disk, or null. */
  durableBytes(path: string): Uint8Array | null {
    const units = new CrashUnits(this.#disk.pending, 512);
    const present = '0'.repeat(units.count);
    return this.#image(units, {
      grain: 512,
      present,
      absent: 'old',
      tear: null,
      seed: 1,
    }).files.cachedBytes(path);
  }

  /** How many operations no sync has made durable yet. */
  get pendingCount(): number {
    return this.#disk.pending.length;
  }

  // Crashes.

  /**
   * The process ends at a call, counted from 1: this call and all after it throw SimulatedCrash.
   * @param effect `done`: the call has taken effect, and nobody heard of it.
   */
  crashAt(call: number, effect: CrashEffect = 'none'): void {
    this.#host.gate.crashAt(call, effect);
  }

  get hasCrashed(): boolean {
    return this.#host.gate.hasCrashed;
  }

  /** The process ends now: every later call throws SimulatedCrash. */
  crash(): SimulatedCrash {
    return this.#host.gate.crash('crashed by the test');
  }

  /**
   * The legal outcomes of a power cut at this moment, bounded by the options; the first is the barest. No
   * call may reach this file system while they are drawn.
   */
  *crashImages(options: CrashImageOptions = {}): Generator<CrashImage, void, undefined> {
    const units = new Map<number, CrashUnits>();
    for (const choice of crashChoices(this.#disk.pending, options)) {
      let found = units.get(choice.grain);
      if (found === undefined) {
        units.set(choice.grain, (found = new CrashUnits(this.#disk.pending, choice.grain)));
      }
      yield this.#image(found, choice);
    }
  }

  /** The outcome that a CrashImage of this very state printed as its choice. */
  crashImage(choice: string): CrashImage {
    const parsed = parseChoice(choice);
    return this.#image(new CrashUnits(this.#disk.pending, parsed.grain), parsed);
  }

  /** The power goes: the process ends, and the disk has one legal outcome, drawn at random. */
  powerCut(random: SeededRandom): CrashImage {
    this.#host.gate.crash('the power went');
    const choice = randomChoice(this.#disk.pending, random);
    return this.#image(new CrashUnits(this.#disk.pending, choice.grain), choice);
  }

  /**
   * The process is killed and the machine lives: all it wrote is in the cache, and no more durable than
   * before. Returns what the next process finds.
   */
  kill(): LossyFileSystem {
    this.#host.gate.crash('the process was killed');
    return this.#restarted(this.#disk.afterKill());
  }

  get #disk(): LossyDisk {
    return this.#host.disk;
  }

  #image(units: CrashUnits, choice: CrashChoice): CrashImage {
    const disk = this.#disk.outcome(units.fateOf(choice, lastWriteOf(this.#disk.pending)));
    return new CrashImage(this.#restarted(disk), choice, units);
  }

  /** What the next process finds: the same space, and no faults. */
  #restarted(disk: LossyDisk): LossyFileSystem {
    return new LossyFileSystem({ ...this.#options, capacityBytes: this.capacityBytes }, disk);
  }

  #later<Result>(call: Parameters<CallGate['enter']>[0], run: () => Result): Promise<Result> {
    return this.#host.gate.later(() => this.#host.gate.enter(call, run));
  }

  #create(path: string): File {
    const { node } = placeOf(this.#disk.root, wordsOf('create'), path);
    if (node !== undefined) throw refusal({ op: 'create', path }, 'EEXIST');
    return new LossyFile(this.#host, this.#newFile(path), { path, mode: 'create' });
  }

  #newFile(path: string): DiskFile {
    const { directory, name } = placeOf(this.#disk.root, wordsOf('create'), path);
    const node = this.#disk.newFile();
    this.#disk.changeNames([{ directory, name, node }], `create ${path}`);
    return node;
  }

  #takeLock(path: string, note: string, file: DiskFile): FileLock {
    this.#locked.set(file, note);
    this.#disk.resize(file, 0, `empty ${path}`);
    this.#disk.write(file, Buffer.from(note), 0, { kind: 'reaches' }, path);
    let released: Promise<void> | null = null;
    const release = (): Promise<void> =>
      this.#later({ op: 'unlock', path }, () => {
        this.#locked.delete(file);
      });
    return { release: () => (released ??= release()) };
  }

  #nodeAt(path: string): DiskNode | null {
    try {
      return lookUp(this.#disk.root, wordsOf('stat'), path);
    } catch (error) {
      const systemCode = systemCodeOf(error instanceof Error ? error.cause : null);
      if (systemCode === 'ENOENT' || systemCode === 'ENOTDIR') return null;
      throw error;
    }
  }

  #fileAt(path: string): DiskFile {
    const node = this.#nodeAt(path);
    assert(node?.kind === 'file', `${path} is a file`);
    return node;
  }
}

function bytesOf(file: DiskFile): Uint8Array {
  const bytes = new Uint8Array(file.cache.bytes);
  file.cache.read(bytes, 0);
  return bytes;
}

/** The bytes that damage puts in the place of what is there. */
function damageOf(file: DiskFile, damage: Damage, random: SeededRandom): Uint8Array {
  if (damage.kind === 'overwrite') return damage.bytes;
  if (damage.kind === 'flip-bit') {
    const byte = new Uint8Array(1);
    file.cache.read(byte, damage.offset);
    byte[0]! ^= 1 << damage.bit;
    return byte;
  }
  const bytes = new Uint8Array(damage.to - damage.from);
  return damage.kind === 'zero' ? bytes : random.fill(bytes);
}
