/**
 * Door 1 without a disk: `dir: 'memory:'`. Everything is gone with the process, and a sync does nothing.
 *
 * A file is one buffer that doubles when it grows, so that appending n bytes costs O(n), and a preallocated
 * file of any size is one allocation.
 */

import { assert } from '../base/assert.ts';
import {
  type DirectoryNode,
  lookUp,
  lookUpDirectory,
  type Place,
  placeOf,
  placeOfFile,
} from './directory-tree.ts';
import type { File, FileLock, FileStat, FileSystem, OpenMode } from './file-system.ts';
import { lockedError, simulatedSystemError, systemCodeOf } from './system-error.ts';

/** First allocation of a file, in bytes. */
const CAPACITY_BYTES_MIN = 4096;

/** Names no directory, but files in memory. */
export const MEMORY_DIR = 'memory:';

export class MemoryFileSystem implements FileSystem {
  readonly #root: DirectoryNode<MemoryContent> = { kind: 'directory', entries: new Map() };
  readonly #locked = new Map<MemoryContent, string>();

  async makeDirectory(path: string): Promise<void> {
    const { directory, name, node } = placeOf(this.#root, 'create the directory', path);
    if (node?.kind === 'directory') return;
    if (node !== undefined) throw simulatedSystemError({ operation: 'create the directory', path }, 'EEXIST');
    directory.entries.set(name, { kind: 'directory', entries: new Map() });
  }

  async list(path: string): Promise<string[]> {
    return [...lookUpDirectory(this.#root, 'list', path).entries.keys()].sort();
  }

  async stat(path: string): Promise<FileStat | null> {
    try {
      const node = lookUp(this.#root, 'look at', path);
      return { kind: node.kind, bytes: node.kind === 'file' ? node.bytes : 0 };
    } catch (error) {
      const systemCode = systemCodeOf(error instanceof Error ? error.cause : null);
      if (systemCode === 'ENOENT' || systemCode === 'ENOTDIR') return null;
      throw error;
    }
  }

  async open(path: string, mode: OpenMode): Promise<File> {
    if (mode !== 'create') return new MemoryFile(path, placeOfFile(this.#root, 'open', path).node, mode);
    const { directory, name, node } = placeOf(this.#root, 'create', path);
    if (node !== undefined) throw simulatedSystemError({ operation: 'create', path }, 'EEXIST');
    return new MemoryFile(path, newFile(directory, name), mode);
  }

  async rename(from: string, to: string): Promise<void> {
    const source = placeOf(this.#root, 'rename', from);
    const target = placeOf(this.#root, 'rename', to);
    const systemCode = refusalOfRename(source, target);
    if (systemCode !== null) {
      throw simulatedSystemError({ operation: 'rename', path: from }, systemCode);
    }
    assert(source.node !== undefined, `${from} is there`);
    source.directory.entries.delete(source.name);
    target.directory.entries.set(target.name, source.node);
  }

  async remove(path: string): Promise<void> {
    const { directory, name } = placeOfFile(this.#root, 'remove', path);
    directory.entries.delete(name);
  }

  async syncDirectory(path: string): Promise<void> {
    lookUpDirectory(this.#root, 'sync the directory', path);
  }

  async lock(path: string, note: string): Promise<FileLock> {
    const { directory, name, node } = placeOf(this.#root, 'lock', path);
    if (node?.kind === 'directory') throw simulatedSystemError({ operation: 'lock', path }, 'EISDIR');
    const content = node ?? newFile(directory, name);
    const owner = this.#locked.get(content);
    if (owner !== undefined) throw lockedError(path, owner);
    this.#locked.set(content, note);
    content.resize(0);
    content.write(Buffer.from(note), 0);
    let isReleased = false;
    return {
      release: async () => {
        if (!isReleased) this.#locked.delete(content);
        isReleased = true;
      },
    };
  }
}

/** What the system answers to a rename that cannot be, or null. */
export function refusalOfRename<FileNode extends { readonly kind: 'file' }>(
  source: Place<FileNode>,
  target: Place<FileNode>,
): string | null {
  if (source.node === undefined) return 'ENOENT';
  if (target.node === undefined || target.node === source.node) return null;
  if (source.node.kind === 'directory') return target.node.kind === 'file' ? 'ENOTDIR' : 'ENOTEMPTY';
  return target.node.kind === 'directory' ? 'EISDIR' : null;
}

function newFile(directory: DirectoryNode<MemoryContent>, name: string): MemoryContent {
  const content = new MemoryContent();
  directory.entries.set(name, content);
  return content;
}

class MemoryContent {
  readonly kind = 'file';
  bytes = 0;
  /** Invariant: zero from `bytes` on. */
  #buffer = new Uint8Array(0);

  read(target: Uint8Array, offset: number): number {
    const end = Math.min(this.bytes, offset + target.length);
    if (end <= offset) return 0;
    target.set(this.#buffer.subarray(offset, end));
    return end - offset;
  }

  write(source: Uint8Array, offset: number): void {
    const end = offset + source.length;
    if (end > this.#buffer.length) this.#reserve(end);
    this.#buffer.set(source, offset);
    if (end > this.bytes) this.bytes = end;
  }

  resize(bytes: number): void {
    if (bytes > this.#buffer.length) this.#reserve(bytes);
    if (bytes === 0) this.#buffer = new Uint8Array(0);
    else if (bytes < this.bytes) this.#buffer.fill(0, bytes, this.bytes);
    this.bytes = bytes;
  }

  #reserve(bytes: number): void {
    const grown = allocate(Math.max(bytes, CAPACITY_BYTES_MIN, Math.min(this.bytes * 2, bytes * 2)));
    grown.set(this.#buffer.subarray(0, this.bytes));
    this.#buffer = grown;
  }
}

/** Too large for this process is what the system calls ENOMEM. */
function allocate(bytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw simulatedSystemError({ operation: 'grow', path: 'a file in memory' }, 'ENOMEM');
  }
}

class MemoryFile implements File {
  readonly path: string;
  readonly #content: MemoryContent;
  readonly #mode: OpenMode;
  #isClosed = false;

  constructor(path: string, content: MemoryContent, mode: OpenMode) {
    this.path = path;
    this.#content = content;
    this.#mode = mode;
  }

  async size(): Promise<number> {
    this.#assertOpen();
    return this.#content.bytes;
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    return this.readSync(target, offset);
  }

  readSync(target: Uint8Array, offset: number): number {
    this.#assertOpen(offset);
    return this.#content.read(target, offset);
  }

  async write(source: Uint8Array, offset: number): Promise<void> {
    this.writeSync(source, offset);
  }

  writeSync(source: Uint8Array, offset: number): void {
    this.#assertOpen(offset);
    if (source.length === 0) return;
    if (this.#mode === 'read')
      throw simulatedSystemError({ operation: 'write', path: this.path, offset }, 'EBADF');
    this.#content.write(source, offset);
  }

  async sync(): Promise<void> {
    this.#assertOpen();
  }

  async syncData(): Promise<void> {
    this.#assertOpen();
  }

  async truncate(bytes: number): Promise<void> {
    this.#assertOpen(bytes);
    if (this.#mode === 'read')
      throw simulatedSystemError({ operation: 'truncate', path: this.path }, 'EINVAL');
    this.#content.resize(bytes);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #assertOpen(offset = 0): void {
    assert(!this.#isClosed, `${this.path} is open`);
    assert(Number.isSafeInteger(offset) && offset >= 0, `an offset is an integer from 0, got ${offset}`);
  }
}
