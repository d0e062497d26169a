/**
 * A file system between the code and another file system: it keeps a trace of the calls, and a test may make
 * any of them fail, wait or read short.
 */

import type { File, FileLock, FileStat, FileSystem, OpenMode } from '../../src/storage/file-system.ts';
import { simulatedSystemError } from '../../src/storage/system-error.ts';

export type Operation =
  | 'make-directory'
  | 'list'
  | 'stat'
  | 'open'
  | 'create'
  | 'rename'
  | 'remove'
  | 'sync-directory'
  | 'lock'
  | 'size'
  | 'read'
  | 'write'
  | 'sync'
  | 'sync-data'
  | 'truncate'
  | 'close';

export interface Call {
  /** From 1, counted over all operations. */
  readonly number: number;
  readonly op: Operation;
  readonly path: string;
  /** Of a read, write or truncation; else 0. */
  readonly offset: number;
  readonly bytes: number;
}

const CHANGES: ReadonlySet<Operation> = new Set([
  'make-directory',
  'create',
  'rename',
  'remove',
  'write',
  'truncate',
]);

export class InterposedFileSystem implements FileSystem {
  /** Every call so far, failed ones included. */
  readonly calls: Call[] = [];
  /** Paths of the files that are open, one for each handle. */
  readonly handles: string[] = [];
  /** Called before each call; what it throws is the outcome of the call. */
  onCall: (call: Call) => void = () => undefined;
  /** Awaited before each asynchronous call is carried out. */
  whenReady: (call: Call) => Promise<void> | null = () => null;
  /** How many of the bytes read the caller is told of. */
  readable: (call: Call, bytes: number) => number = (_call, bytes) => bytes;

  readonly #inner: FileSystem;

  constructor(inner: FileSystem) {
    this.#inner = inner;
  }

  /** The calls that change something, in words: `write 1-….log 4096+8192`, `rename spare-1`. */
  changes(): string[] {
    return this.calls
      .filter(({ op }) => CHANGES.has(op) || op.startsWith('sync'))
      .map(({ op, path, offset, bytes }) => {
        const name = path.slice(path.lastIndexOf('/') + 1);
        return op === 'write' || op === 'truncate' ? `${op} ${name} ${offset}+${bytes}` : `${op} ${name}`;
      });
  }

  makeDirectory(path: string): Promise<void> {
    return this.#later('make-directory', path, () => this.#inner.makeDirectory(path));
  }

  list(path: string): Promise<string[]> {
    return this.#later('list', path, () => this.#inner.list(path));
  }

  stat(path: string): Promise<FileStat | null> {
    return this.#later('stat', path, () => this.#inner.stat(path));
  }

  async open(path: string, mode: OpenMode): Promise<File> {
    const op = mode === 'create' ? 'create' : 'open';
    return this.#wrap(await this.#later(op, path, () => this.#inner.open(path, mode)));
  }

  rename(from: string, to: string): Promise<void> {
    return this.#later('rename', from, () => this.#inner.rename(from, to));
  }

  remove(path: string): Promise<void> {
    return this.#later('remove', path, () => this.#inner.remove(path));
  }

  syncDirectory(path: string): Promise<void> {
    return this.#later('sync-directory', path, () => this.#inner.syncDirectory(path));
  }

  async lock(path: string, note: string): Promise<FileLock> {
    return this.#later('lock', path, () => this.#inner.lock(path, note));
  }

  #note(op: Operation, path: string, offset = 0, bytes = 0): Call {
    const call = { number: this.calls.length + 1, op, path, offset, bytes };
    this.calls.push(call);
    this.onCall(call);
    return call;
  }

  async #later<Result>(op: Operation, path: string, run: () => Promise<Result>): Promise<Result> {
    const ready = this.whenReady(this.#note(op, path));
    if (ready !== null) await ready;
    return run();
  }

  #wrap(file: File): File {
    const { path } = file;
    let isOpen = true;
    this.handles.push(path);
    const note = (op: Operation, offset?: number, bytes?: number): Call =>
      this.#note(op, path, offset, bytes);
    const ready = async (call: Call): Promise<void> => {
      await this.whenReady(call);
    };
    return {
      path,
      size: async () => (note('size'), file.size()),
      read: async (target, offset) => {
        const call = note('read', offset, target.length);
        await ready(call);
        return this.readable(call, await file.read(target, offset));
      },
      readSync: (target, offset) => {
        const call = note('read', offset, target.length);
        return this.readable(call, file.readSync(target, offset));
      },
      write: async (source, offset) => {
        await ready(note('write', offset, source.length));
        return file.write(source, offset);
      },
      writeSync: (source, offset) => {
        note('write', offset, source.length);
        file.writeSync(source, offset);
      },
      sync: async () => {
        await ready(note('sync'));
        return file.sync();
      },
      syncData: async () => {
        await ready(note('sync-data'));
        return file.syncData();
      },
      truncate: async (bytes) => {
        await ready(note('truncate', bytes));
        return file.truncate(bytes);
      },
      close: async () => {
        // A close that reports an error has closed all the same.
        if (isOpen) this.handles.splice(this.handles.indexOf(path), 1);
        isOpen = false;
        await file.close();
        note('close');
      },
    };
  }
}

/** What a call answers that the system refuses. */
export function refuse(call: Call, systemCode: string): never {
  throw simulatedSystemError({ operation: call.op, path: call.path, offset: call.offset }, systemCode);
}
