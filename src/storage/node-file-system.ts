/**
 * Door 1, the real one: files of the operating system, through Node's fs.
 *
 * Invariants:
 *  - A transfer carries its position (pread, pwrite), is continued when short and repeated when interrupted.
 *  - A failed sync is never repeated here: what it left behind is unknown (file-system.ts).
 *  - A descriptor is closed only after the calls in flight on it have returned: the system gives its number
 *    to the next file opened, and a late write would land there.
 */

import { assert } from '../base/assert.ts';
import { isTidemarkError } from '../base/errors.ts';
import type { File, FileLock, FileStat, FileSystem, OpenMode } from './file-system.ts';
import {
  type Callback,
  O_CREAT,
  O_EXCL,
  O_NONBLOCK,
  O_RDONLY,
  O_RDWR,
  type SystemCalls,
  type SystemStat,
  systemCalls,
  type ValueCallback,
} from './system-calls.ts';
import { lockedError, systemCodeOf, systemError } from './system-error.ts';

/** Permission of new files, before the umask: data may be read by its owner only. */
const FILE_PERMISSIONS = 0o600;

/** Largest transfer given to one system call, in bytes. Linux stops at 2 GiB - 4 KiB; Node at 2^31-1. */
const TRANSFER_BYTES_MAX = 1024 ** 3;

/** Interruptions in a row after which a transfer fails instead of spinning. */
const INTERRUPTIONS_MAX = 1000;

/** A note in a lock file is one line for an operator; a longer one is cut when read. */
const NOTE_BYTES_MAX = 4096;

const CLOSED = -1;

const FLAGS: Readonly<Record<OpenMode, number>> = {
  // A pipe, where a file belongs, would be waited for: this opens it, and it is empty.
  read: O_RDONLY | O_NONBLOCK,
  write: O_RDWR,
  create: O_RDWR | O_CREAT | O_EXCL,
};

/** What platforms without a sync of directories answer: Windows, and some network file systems. */
const DIRECTORY_SYNC_UNSUPPORTED: ReadonlySet<string> = new Set(['EPERM', 'EISDIR', 'EINVAL']);

export interface NodeFileSystemInit {
  /** Replaced in tests only. */
  readonly calls?: SystemCalls;

  /** Told once when this platform cannot sync directories, so that names may be lost in a power cut. */
  readonly onDirectorySyncUnsupported?: (notice: string) => void;
}

export class NodeFileSystem implements FileSystem {
  readonly #calls: SystemCalls;
  readonly #onDirectorySyncUnsupported: (notice: string) => void;
  #isDirectorySyncUnsupported = false;

  constructor(init: NodeFileSystemInit = {}) {
    this.#calls = init.calls ?? systemCalls;
    this.#onDirectorySyncUnsupported = init.onDirectorySyncUnsupported ?? (() => {});
  }

  async makeDirectory(path: string): Promise<void> {
    try {
      await settled('create the directory', path, (done) => this.#calls.mkdir(path, done));
    } catch (error) {
      const isThere = isSystemCode(error, 'EEXIST') && (await this.stat(path))?.kind === 'directory';
      if (!isThere) throw error;
    }
  }

  async list(path: string): Promise<string[]> {
    const names = await valueOf<string[]>('list', path, (done) => this.#calls.readdir(path, done));
    // The default order of sort is by code unit.
    return names.sort();
  }

  async stat(path: string): Promise<FileStat | null> {
    try {
      const stat = await valueOf<SystemStat>('look at', path, (done) => this.#calls.stat(path, done));
      return { kind: stat.isDirectory() ? 'directory' : 'file', bytes: stat.size };
    } catch (error) {
      if (isSystemCode(error, 'ENOENT') || isSystemCode(error, 'ENOTDIR')) return null;
      throw error;
    }
  }

  async open(path: string, mode: OpenMode): Promise<File> {
    const operation = mode === 'create' ? 'create' : 'open';
    const file = new NodeFile(this.#calls, path, await this.#openDescriptor(operation, path, FLAGS[mode]));
    if (mode !== 'read') return file;
    // A directory can be opened for reading; every read of it would fail.
    try {
      if (!(await file.isDirectory())) return file;
    } catch (error) {
      await file.close();
      throw error;
    }
    await file.close();
    throw systemError({ operation, path }, Object.assign(new Error('is a directory'), { code: 'EISDIR' }));
  }

  rename(from: string, to: string): Promise<void> {
    return settled('rename', from, (done) => this.#calls.rename(from, to, done));
  }

  remove(path: string): Promise<void> {
    return settled('remove', path, (done) => this.#calls.unlink(path, done));
  }

  async syncDirectory(path: string): Promise<void> {
    try {
      await this.#syncDirectory(path);
    } catch (error) {
      const systemCode = systemCodeOf(error instanceof Error ? error.cause : null);
      if (systemCode === null || !DIRECTORY_SYNC_UNSUPPORTED.has(systemCode)) throw error;
      this.#reportDirectorySync(path, systemCode);
    }
  }

  async lock(path: string, note: string): Promise<FileLock> {
    const fd = await this.#openDescriptor('lock', path, O_RDWR | O_CREAT);
    const file = new NodeFile(this.#calls, path, fd);
    try {
      if (!tryLock(this.#calls, path, fd)) throw lockedError(path, await readNote(file));
      await writeNote(file, note);
    } catch (error) {
      await file.close();
      throw error;
    }
    let released: Promise<void> | null = null;
    return { release: () => (released ??= releaseLock(this.#calls, file, fd)) };
  }

  #openDescriptor(operation: string, path: string, flags: number): Promise<number> {
    return valueOf(operation, path, (done) => this.#calls.open(path, flags, FILE_PERMISSIONS, done));
  }

  async #syncDirectory(path: string): Promise<void> {
    const fd = await this.#openDescriptor('sync the directory', path, O_RDONLY);
    try {
      await settled('sync the directory', path, (done) => this.#calls.fsync(fd, done));
    } finally {
      await settled('close the directory', path, (done) => this.#calls.close(fd, done));
    }
  }

  #reportDirectorySync(path: string, systemCode: string): void {
    if (this.#isDirectorySyncUnsupported) return;
    this.#isDirectorySyncUnsupported = true;
    this.#onDirectorySyncUnsupported(
      `this platform cannot sync a directory (${systemCode} on ${path}): ` +
        'files created, renamed or removed shortly before a power cut may be as before',
    );
  }
}

class NodeFile implements File {
  readonly path: string;
  readonly #calls: SystemCalls;
  #fd: number;
  /** Asynchronous calls that have not returned; close waits for them. */
  #inFlight = 0;
  #onIdle: (() => void) | null = null;
  #closing: Promise<void> | null = null;

  constructor(calls: SystemCalls, path: string, fd: number) {
    this.#calls = calls;
    this.path = path;
    this.#fd = fd;
  }

  async size(): Promise<number> {
    return (await this.#stat()).size;
  }

  async isDirectory(): Promise<boolean> {
    return (await this.#stat()).isDirectory();
  }

  read(target: Uint8Array, offset: number): Promise<number> {
    return this.#transfer('read', target, offset);
  }

  readSync(target: Uint8Array, offset: number): number {
    return this.#transferSync('read', target, offset);
  }

  async write(source: Uint8Array, offset: number): Promise<void> {
    await this.#transfer('write', source, offset);
  }

  writeSync(source: Uint8Array, offset: number): void {
    this.#transferSync('write', source, offset);
  }

  // libuv repeats an interrupted fsync by itself; whatever arrives here is final.

  sync(): Promise<void> {
    return this.#run('sync', (fd, done) => this.#calls.fsync(fd, done));
  }

  syncData(): Promise<void> {
    return this.#run('sync', (fd, done) => this.#calls.fdatasync(fd, done));
  }

  truncate(bytes: number): Promise<void> {
    assertOffset(bytes);
    return this.#run('truncate', (fd, done) => this.#calls.ftruncate(fd, bytes, done));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const fd = this.#fd;
    this.#fd = CLOSED;
    if (this.#inFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve;
      });
    }
    await settled('close', this.path, (done) => this.#calls.close(fd, done));
  }

  #stat(): Promise<SystemStat> {
    const fd = this.#begin();
    return valueOf('look at', this.path, (done) =>
      this.#calls.fstat(fd, (error, stat) => {
        this.#end();
        done(error, stat);
      }),
    );
  }

  /** One system call without a result: the path of every sync, kept to one promise and one closure. */
  #run(operation: string, call: (fd: number, done: Callback) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      call(this.#begin(), (error) => {
        this.#end();
        if (!error) resolve();
        else reject(systemError({ operation, path: this.path }, error));
      });
    });
  }

  /** Reads or writes until all is done or a read meets the end of the file; returns the bytes done. */
  #transfer(operation: 'read' | 'write', bytes: Uint8Array, offset: number): Promise<number> {
    assertOffset(offset);
    return new Promise((resolve, reject) => {
      const fd = this.#begin();
      const progress = new Progress(operation, this.path, bytes, offset);
      const settle = (error: Error | null, moved: number): void => {
        const outcome = progress.advance(error, moved);
        if (outcome === 'more') return step();
        this.#end();
        if (outcome === 'done') resolve(progress.done);
        else reject(outcome);
      };
      const step = (): void => {
        this.#calls[operation](fd, bytes, progress.done, progress.nextBytes, offset + progress.done, settle);
      };
      if (bytes.length > 0) return step();
      this.#end();
      resolve(0);
    });
  }

  #transferSync(operation: 'read' | 'write', bytes: Uint8Array, offset: number): number {
    assertOffset(offset);
    assert(this.#fd !== CLOSED, `${this.path} is open`);
    const call = operation === 'read' ? this.#calls.readSync : this.#calls.writeSync;
    const progress = new Progress(operation, this.path, bytes, offset);
    while (progress.done < bytes.length) {
      const outcome = this.#stepSync(call, progress);
      if (outcome === 'done') break;
      if (outcome !== 'more') throw outcome;
    }
    return progress.done;
  }

  #stepSync(call: SystemCalls['readSync'], progress: Progress): 'more' | 'done' | Error {
    const { bytes, offset, done, nextBytes } = progress;
    let moved: number;
    try {
      moved = call(this.#fd, bytes, done, nextBytes, offset + done);
    } catch (error) {
      return progress.advance(error, 0);
    }
    return progress.advance(null, moved);
  }

  #begin(): number {
    assert(this.#fd !== CLOSED, `${this.path} is open`);
    this.#inFlight++;
    return this.#fd;
  }

  #end(): void {
    this.#inFlight--;
    if (this.#inFlight === 0) this.#onIdle?.();
  }
}

/** How far a transfer has come; decides after each system call whether it goes on. */
class Progress {
  readonly operation: 'read' | 'write';
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly offset: number;
  done = 0;
  #interruptions = 0;

  constructor(operation: 'read' | 'write', path: string, bytes: Uint8Array, offset: number) {
    this.operation = operation;
    this.path = path;
    this.bytes = bytes;
    this.offset = offset;
  }

  get nextBytes(): number {
    return Math.min(this.bytes.length - this.done, TRANSFER_BYTES_MAX);
  }

  /** @returns `more`, `done`, or the error that ends the transfer. */
  advance(error: unknown, moved: number): 'more' | 'done' | Error {
    if (error !== null) return this.#afterError(error);
    assert(moved >= 0 && moved <= this.nextBytes, `a call moved ${moved} of ${this.nextBytes} bytes`);
    this.#interruptions = 0;
    this.done += moved;
    if (this.done === this.bytes.length) return 'done';
    if (moved > 0) return 'more';
    // Nothing moved: the end of the file for a read; a write that would never end.
    return this.operation === 'read' ? 'done' : this.#fail(new Error('the system wrote 0 bytes'));
  }

  #afterError(error: unknown): 'more' | Error {
    const systemCode = systemCodeOf(error);
    const isInterruption = systemCode === 'EINTR' || systemCode === 'EAGAIN';
    if (!isInterruption || ++this.#interruptions > INTERRUPTIONS_MAX) return this.#fail(error);
    return 'more';
  }

  #fail(cause: unknown): Error {
    const { operation, path, offset } = this;
    return systemError({ operation, path, offset: offset + this.done }, cause);
  }
}

function assertOffset(offset: number): void {
  assert(Number.isSafeInteger(offset) && offset >= 0, `an offset is an integer from 0, got ${offset}`);
}

function tryLock(calls: SystemCalls, path: string, fd: number): boolean {
  try {
    return calls.tryLock(fd);
  } catch (error) {
    throw systemError({ operation: 'lock', path }, error);
  }
}

/**
 * Overwrites before it cuts, so that a refused second owner never finds the note empty. A full disk keeps
 * nobody from owning a directory: the lock holds without its note.
 */
async function writeNote(file: File, note: string): Promise<void> {
  const bytes = Buffer.from(note).subarray(0, NOTE_BYTES_MAX);
  try {
    await file.write(bytes, 0);
    await file.truncate(bytes.length);
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_DISK_FULL')) throw error;
  }
}

/** Empty when the note cannot be read: Windows refuses to read what another has locked. */
async function readNote(file: File): Promise<string> {
  const bytes = Buffer.alloc(NOTE_BYTES_MAX);
  const read = await file.read(bytes, 0).catch(() => 0);
  return bytes.toString('utf8', 0, read);
}

async function releaseLock(calls: SystemCalls, file: NodeFile, fd: number): Promise<void> {
  calls.unlock(fd);
  await file.close();
}

/** A promise of a system call without a result. */
function settled(operation: string, path: string, call: (done: Callback) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    call((error) => {
      if (!error) resolve();
      else reject(systemError({ operation, path }, error));
    });
  });
}

/** A promise of a system call's result. */
function valueOf<Value>(
  operation: string,
  path: string,
  call: (done: ValueCallback<Value>) => void,
): Promise<Value> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (!error) resolve(value);
      else reject(systemError({ operation, path }, error));
    });
  });
}

function isSystemCode(error: unknown, systemCode: string): boolean {
  return error instanceof Error && systemCodeOf(error.cause) === systemCode;
}
