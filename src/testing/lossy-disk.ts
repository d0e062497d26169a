/**
 * A disk with two images: what the process sees (the page cache), and what is durable. Between them stands
 * the list of pending operations. This file keeps the images and answers one question: given which pending
 * operations reached the disk, what is on it after a power cut (`outcome`)? Which choices are legal, and in
 * what order they are tried, is crash-choices.ts.
 *
 * What may reach the disk, as file-system.ts promises no more:
 *  - Of the data written since the last sync, any subset of the 512-byte sectors, whatever their order. A
 *    sector that reached the disk is whole; one that did not may hold its old bytes, zeros or garbage, but
 *    only where it was written: neighbours that were durable stay.
 *  - Of the changes of one file's size, any prefix. Data beyond the size is lost.
 *  - Of the changes of names, any subset in which those of one and the same name are a prefix. A rename is
 *    atomic; between two directories it is durable when both are synced.
 */

import { assert } from '../base/assert.ts';
import { alignUp } from '../base/bytes.ts';
import type { DirectoryNode, TreeNode } from '../storage/directory-tree.ts';
import { Pages } from './pages.ts';

export const SECTOR_BYTES = 512;

export interface DiskFile {
  readonly kind: 'file';
  readonly number: number;
  cache: Pages;
  durable: Pages;
}

export type DiskDirectory = DirectoryNode<DiskFile>;
export type DiskNode = TreeNode<DiskFile>;

/** A name that gets another meaning; null removes it. */
export interface NameChange {
  readonly directory: DiskDirectory;
  readonly name: string;
  readonly node: DiskNode | null;
}

interface WrittenExtent {
  readonly offset: number;
  readonly bytes: number;
}

/** Something done in the cache that no sync has made durable. */
export type PendingOperation = { readonly sequence: number; readonly label: string } & (
  | {
      readonly kind: 'write';
      readonly file: DiskFile;
      readonly written: WrittenExtent;
      /** The sectors touched, whole, as they were in the cache after the write. */
      readonly image: Uint8Array;
      readonly imageOffset: number;
      /** Where the device puts the image: the file itself, unless it misdirects. */
      readonly target: { readonly file: DiskFile; readonly imageOffset: number };
    }
  | { readonly kind: 'size'; readonly file: DiskFile; readonly bytes: number }
  | {
      readonly kind: 'names';
      readonly changes: readonly NameChange[];
      /** Directories that must still be synced. */
      readonly unsynced: Set<DiskDirectory>;
    }
);

export type PendingWrite = PendingOperation & { readonly kind: 'write' };

/** What becomes of a write on its way down: it reaches the disk, gets lost, or lands elsewhere. */
export type WriteFate =
  | { readonly kind: 'reaches' }
  | { readonly kind: 'lost' }
  | { readonly kind: 'misdirected'; readonly file: DiskFile; readonly offset: number };

/** What a sector holds that was written and did not reach the disk. */
export type Filling = 'old' | 'zero' | 'garbage';

export const FILLINGS: readonly Filling[] = ['old', 'zero', 'garbage'];

/** The fate of one pending operation in a power cut. Of a write, each range of the file has its own. */
export interface Fate {
  reached(operation: PendingOperation): boolean;
  /** Ranges of the written extent, in order, without gaps. */
  ranges(operation: PendingWrite): Iterable<DataFate>;
  garbage(target: Uint8Array): Uint8Array;
}

export interface DataFate {
  readonly from: number;
  readonly to: number;
  readonly holds: 'new' | Filling;
}

export class LossyDisk {
  readonly root: DiskDirectory;
  readonly #durableNames = new Map<DiskDirectory, Map<string, DiskNode>>();
  #pending: PendingOperation[] = [];
  #sequence = 0;
  #fileCount = 0;

  constructor() {
    this.root = this.newDirectory();
  }

  get pending(): readonly PendingOperation[] {
    return this.#pending;
  }

  /** The number of the last operation: what a sync that is asked for now covers. */
  get sequence(): number {
    return this.#sequence;
  }

  newFile(): DiskFile {
    return { kind: 'file', number: ++this.#fileCount, cache: new Pages(), durable: new Pages() };
  }

  newDirectory(): DiskDirectory {
    const directory: DiskDirectory = { kind: 'directory', entries: new Map() };
    this.#durableNames.set(directory, new Map());
    return directory;
  }

  write(file: DiskFile, source: Uint8Array, offset: number, fate: WriteFate, label: string): void {
    const end = offset + source.length;
    if (end > file.cache.bytes) this.resize(file, end, `grow ${label}`);
    file.cache.write(source, offset);
    if (fate.kind === 'lost') return;
    const imageOffset = offset - (offset % SECTOR_BYTES);
    const image = new Uint8Array(alignUp(end, SECTOR_BYTES) - imageOffset);
    file.cache.read(image, imageOffset);
    const target =
      fate.kind === 'reaches'
        ? { file, imageOffset }
        : { file: fate.file, imageOffset: fate.offset - (fate.offset % SECTOR_BYTES) };
    const written = { offset, bytes: source.length };
    this.#add({
      kind: 'write',
      sequence: ++this.#sequence,
      label,
      file,
      written,
      image,
      imageOffset,
      target,
    });
  }

  resize(file: DiskFile, bytes: number, label: string): void {
    file.cache.resize(bytes);
    this.#add({ kind: 'size', sequence: ++this.#sequence, label, file, bytes });
  }

  /** Changes names, all of them or none in a power cut. */
  changeNames(changes: readonly NameChange[], label: string): void {
    for (const { directory, name, node } of changes) {
      if (node === null) directory.entries.delete(name);
      else directory.entries.set(name, node);
    }
    const unsynced = new Set(changes.map((change) => change.directory));
    this.#add({ kind: 'names', sequence: ++this.#sequence, label, changes, unsynced });
  }

  /** Makes durable what was done to the file up to `upTo`. */
  syncFile(file: DiskFile, upTo: number): void {
    this.#take((operation) => {
      if (operation.kind === 'names' || operation.file !== file || operation.sequence > upTo) return false;
      if (operation.kind === 'size') file.durable.resize(operation.bytes);
      else applyWhole(operation);
      return true;
    });
  }

  /**
   * What Linux does when a sync fails: the pages are marked clean and will never be written again, yet the
   * cache still shows them (Rebello et al., USENIX ATC'20). The size is metadata, and survives.
   */
  dropWrites(file: DiskFile, upTo: number): void {
    this.#take((operation) => {
      return operation.kind === 'write' && operation.file === file && operation.sequence <= upTo;
    });
  }

  syncDirectory(directory: DiskDirectory, upTo: number): void {
    this.#take((operation) => {
      if (operation.kind !== 'names' || operation.sequence > upTo) return false;
      if (!operation.unsynced.delete(directory) || operation.unsynced.size > 0) return false;
      this.#applyNames(this.#durableNames, operation.changes);
      return true;
    });
    this.#dropUnreachable();
  }

  /** Bytes of every file that has a name, in whole pages; holes are free. */
  allocatedBytes(): number {
    let total = 0;
    for (const node of reachable([this.root], (directory) => directory.entries)) {
      if (node.kind === 'file') total += node.cache.allocatedBytes;
    }
    return total;
  }

  /** Forgets the cache of a file where it is clean, so that reads show what the disk holds. */
  evict(file: DiskFile): void {
    const cache = file.durable.fork();
    for (const operation of this.#pending) {
      if (operation.kind === 'names' || operation.file !== file) continue;
      if (operation.kind === 'size') cache.resize(operation.bytes);
      else cache.write(operation.image, operation.imageOffset);
    }
    cache.resize(file.cache.bytes);
    file.cache = cache;
  }

  /** The disk after a power cut in which the pending operations had that fate. */
  outcome(fate: Fate): LossyDisk {
    const contents = new Map<DiskFile, Pages>();
    const contentOf = (file: DiskFile): Pages => {
      let pages = contents.get(file);
      if (pages === undefined) contents.set(file, (pages = file.durable.fork()));
      return pages;
    };
    const sizes = new Map<DiskFile, number>();
    const names = new Map<DiskDirectory, Map<string, DiskNode>>();
    for (const [directory, entries] of this.#durableNames) names.set(directory, new Map(entries));
    for (const operation of this.#pending) {
      if (operation.kind === 'write') {
        applyParts(operation, contentOf(operation.target.file), fate);
      } else if (!fate.reached(operation)) {
        continue;
      } else if (operation.kind === 'names') {
        this.#applyNames(names, operation.changes);
      } else {
        contentOf(operation.file).resize(operation.bytes);
        sizes.set(operation.file, operation.bytes);
      }
    }
    for (const [file, pages] of contents) pages.resize(sizes.get(file) ?? file.durable.bytes);
    const copy = new LossyDisk();
    copy.#copyTree(this.root, copy.root, {
      namesOf: (directory) => names.get(directory) ?? directory.entries,
      imagesOf: (file) => {
        const pages = contents.get(file) ?? file.durable;
        return { cache: pages.fork(), durable: pages.fork() };
      },
    });
    return copy;
  }

  /** The disk after the process died and the machine lived: the cache is there, and still not durable. */
  afterKill(): LossyDisk {
    const copy = new LossyDisk();
    const nodes = new Map<DiskNode, DiskNode>([[this.root, copy.root]]);
    const copyOf = (node: DiskNode): DiskNode => {
      const known = nodes.get(node);
      if (known !== undefined) return known;
      const made = node.kind === 'file' ? copy.#copyFile(node) : copy.newDirectory();
      nodes.set(node, made);
      return made;
    };
    for (const [directory, durable] of this.#durableNames) {
      const made = copyOf(directory) as DiskDirectory;
      for (const [name, node] of directory.entries) made.entries.set(name, copyOf(node));
      const madeDurable = copy.#durableNames.get(made);
      assert(madeDurable !== undefined, 'every directory has durable names');
      for (const [name, node] of durable) madeDurable.set(name, copyOf(node));
    }
    copy.#sequence = this.#sequence;
    copy.#pending = this.#pending.map((operation) => copyOperation(operation, copyOf));
    return copy;
  }

  #copyFile(file: DiskFile): DiskFile {
    return {
      kind: 'file',
      number: ++this.#fileCount,
      cache: file.cache.fork(),
      durable: file.durable.fork(),
    };
  }

  #copyTree(
    source: DiskDirectory,
    target: DiskDirectory,
    view: {
      namesOf(directory: DiskDirectory): Map<string, DiskNode>;
      imagesOf(file: DiskFile): { readonly cache: Pages; readonly durable: Pages };
    },
  ): void {
    const durable = this.#durableNames.get(target);
    assert(durable !== undefined, 'every directory has durable names');
    for (const [name, node] of view.namesOf(source)) {
      let copy: DiskNode;
      if (node.kind === 'file') {
        copy = { kind: 'file', number: ++this.#fileCount, ...view.imagesOf(node) };
      } else {
        copy = this.newDirectory();
        this.#copyTree(node, copy, view);
      }
      target.entries.set(name, copy);
      durable.set(name, copy);
    }
  }

  #add(operation: PendingOperation): void {
    this.#pending.push(operation);
  }

  /** Removes the pending operations that `isDone`, called in order, says are no longer pending. */
  #take(isDone: (operation: PendingOperation) => boolean): void {
    this.#pending = this.#pending.filter((operation) => !isDone(operation));
  }

  #applyNames(names: Map<DiskDirectory, Map<string, DiskNode>>, changes: readonly NameChange[]): void {
    for (const { directory, name, node } of changes) {
      const entries = names.get(directory);
      assert(entries !== undefined, 'every directory has durable names');
      if (node === null) entries.delete(name);
      else entries.set(name, node);
    }
  }

  /** Forgets what was done to files that no power cut can bring back. */
  #dropUnreachable(): void {
    const roots: DiskNode[] = [this.root];
    for (const operation of this.#pending) {
      if (operation.kind === 'names') roots.push(...operation.changes.flatMap(({ node }) => node ?? []));
    }
    const live = reachable(roots, (directory) => this.#durableNames.get(directory) ?? directory.entries);
    for (const directory of this.#durableNames.keys()) {
      if (!live.has(directory)) this.#durableNames.delete(directory);
    }
    this.#take((operation) => operation.kind !== 'names' && !live.has(operation.file));
  }
}

function copyOperation(operation: PendingOperation, copyOf: (node: DiskNode) => DiskNode): PendingOperation {
  if (operation.kind === 'size') return { ...operation, file: copyOf(operation.file) as DiskFile };
  if (operation.kind === 'write') {
    const { imageOffset, file } = operation.target;
    const target = { imageOffset, file: copyOf(file) as DiskFile };
    return { ...operation, file: copyOf(operation.file) as DiskFile, target };
  }
  const changes = operation.changes.map(({ directory, name, node }) => ({
    directory: copyOf(directory) as DiskDirectory,
    name,
    node: node === null ? null : copyOf(node),
  }));
  const unsynced = new Set([...operation.unsynced].map((directory) => copyOf(directory) as DiskDirectory));
  return { ...operation, changes, unsynced };
}

function applyWhole({ image, target }: PendingWrite): void {
  const { durable } = target.file;
  const bytes = durable.bytes;
  // A misdirected write beyond the end of its victim hits space that belongs to no file.
  const fitting = Math.max(0, Math.min(image.length, bytes - target.imageOffset));
  durable.write(image.subarray(0, fitting), target.imageOffset);
}

function applyParts(operation: PendingWrite, content: Pages, fate: Fate): void {
  const { image, imageOffset, written, target } = operation;
  const shift = target.imageOffset - imageOffset;
  for (const { from, to, holds } of fate.ranges(operation)) {
    if (holds === 'old') continue;
    // A sector that reached the disk is whole: with its neighbours as the cache had them.
    const first = holds === 'new' && from === written.offset ? imageOffset : from;
    const isLast = to === written.offset + written.bytes;
    const last = holds === 'new' && isLast ? imageOffset + image.length : to;
    if (holds === 'new')
      content.write(image.subarray(first - imageOffset, last - imageOffset), first + shift);
    else if (holds === 'zero') content.write(new Uint8Array(to - from), from + shift);
    else content.write(fate.garbage(new Uint8Array(to - from)), from + shift);
  }
}

function reachable(
  roots: readonly DiskNode[],
  namesOf: (directory: DiskDirectory) => Map<string, DiskNode>,
): Set<DiskNode> {
  const found = new Set<DiskNode>(roots);
  for (const node of found) {
    if (node.kind === 'directory') for (const child of namesOf(node).values()) found.add(child);
  }
  return found;
}
