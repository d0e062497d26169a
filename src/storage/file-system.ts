/**
 * Door 1: files. The contract that a storage engine needs of a file system.
 *
 * Implementations: `node-file-system.ts` (the real one), `memory-file-system.ts` (`dir: 'memory:'`), and
 * `testing/lossy-file-system.ts`, which misbehaves from a seed. One conformance suite runs against all three
 * (test/storage.conformance.test.ts).
 *
 * What survives a power cut, and what callers must therefore do:
 *  - Bytes written survive only after `sync` or `syncData` of that file has resolved. Until then any subset
 *    of the written 512-byte sectors may be there, in any order.
 *  - A created, renamed or removed name survives only after `syncDirectory` of its directory has resolved.
 *  - A file that grew has its new size only after `sync`, or a `syncData` that resolved after the growth.
 *
 * Every method that fails throws or rejects with a `TidemarkError` that names the path:
 * TIDEMARK_FILE_MISSING, TIDEMARK_FILE_EXISTS, TIDEMARK_NOT_WRITABLE, TIDEMARK_DISK_FULL, TIDEMARK_RESOURCES,
 * TIDEMARK_LOCKED, or TIDEMARK_IO with the system's own code in its facts.
 *
 * After a failed `sync` or `syncData` the bytes are in an unknown state for good, and a later sync that
 * succeeds proves nothing: the system may have marked the pages clean (Rebello et al., USENIX ATC'20).
 */

/** Door 1: the files of one node, and all that a storage engine may assume of them. */
export interface FileSystem {
  /** Creates a directory; its parent must exist. Resolves also when it is there already. */
  makeDirectory(path: string): Promise<void>;

  /** Names in a directory, sorted by code unit, without `.` and `..`. */
  list(path: string): Promise<string[]>;

  /** What is at `path`, or null when there is nothing. */
  stat(path: string): Promise<FileStat | null>;

  /**
   * Opens a file.
   * - `read`: must exist; writes fail.
   * - `write`: must exist; reads and writes.
   * - `create`: must not exist; reads and writes.
   */
  open(path: string, mode: OpenMode): Promise<File>;

  /** Renames a file, atomically replacing `to` if it exists. Both in the same file system. */
  rename(from: string, to: string): Promise<void>;

  /** Removes a file; a file still open stays readable through its handle. */
  remove(path: string): Promise<void>;

  /** Makes creations, renames and removals inside the directory durable. */
  syncDirectory(path: string): Promise<void>;

  /**
   * Takes the exclusive lock that the file at `path` stands for, creating the file if needed and writing
   * `note` into it. Freed by `release`, and by the system when the process dies in any way.
   * Rejects at once with TIDEMARK_LOCKED, and the holder's note as its fact `owner`, while another holder
   * lives, be it in this process or in another. On a full disk the lock may hold without its note.
   */
  lock(path: string, note: string): Promise<FileLock>;
}

/** `read` and `write` need the file to exist; `create` needs it not to. */
export type OpenMode = 'read' | 'write' | 'create';

/** What a path leads to. */
export interface FileStat {
  readonly kind: 'file' | 'directory';
  readonly bytes: number;
}

/** A lock that is held, until it is freed or its process dies. */
export interface FileLock {
  /** Idempotent. */
  release(): Promise<void>;
}

/** An open file. Offsets are bytes from its start. */
export interface File {
  readonly path: string;

  /** Size in bytes, now. */
  size(): Promise<number>;

  /** Reads from `offset` until `target` is full or the file ends; returns the bytes read. */
  read(target: Uint8Array, offset: number): Promise<number>;

  /** As `read`, without returning to the event loop. */
  readSync(target: Uint8Array, offset: number): number;

  /**
   * Writes all of `source` at `offset`, growing the file if needed; short writes are continued, and
   * interrupted ones repeated. `source` must not change until it resolves. When it fails, any part may have
   * been written. Two writes of one file that overlap in time are not ordered; the caller awaits the first.
   */
  write(source: Uint8Array, offset: number): Promise<void>;

  /** As `write`, without returning to the event loop. */
  writeSync(source: Uint8Array, offset: number): void;

  /** Makes everything written so far durable, with all metadata (fsync). */
  sync(): Promise<void>;

  /** Makes everything written so far durable, with the metadata needed to read it (fdatasync). */
  syncData(): Promise<void>;

  /** Cuts or zero-extends the file to `bytes`. */
  truncate(bytes: number): Promise<void>;

  /**
   * Closes the handle after the calls in flight; it promises nothing about durability. Idempotent. Any other
   * call after it is a bug of the caller, and breaks an invariant.
   */
  close(): Promise<void>;
}
