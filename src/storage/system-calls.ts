/**
 * The handful of system calls that Node's file system stands on, narrow enough that a test can stand in for
 * them: calls that read or write 1 byte, are interrupted, or run out of descriptors.
 */

import fs from 'node:fs';
import { tryLock, unlock } from 'fs-native-extensions';

export type Callback = (error: Error | null) => void;
export type ValueCallback<Value> = (error: Error | null, value: Value) => void;

/** What `stat` and `fstat` tell of a file. */
export interface SystemStat {
  readonly size: number;
  isDirectory(): boolean;
}

/** Where in memory and in the file a transfer takes place. */
export interface Transfer {
  (
    fd: number,
    bytes: Uint8Array,
    at: number,
    length: number,
    offset: number,
    done: ValueCallback<number>,
  ): void;
}
export type TransferSync = (
  fd: number,
  bytes: Uint8Array,
  at: number,
  length: number,
  offset: number,
) => number;

export interface SystemCalls {
  open(path: string, flags: number, mode: number, done: ValueCallback<number>): void;
  close(fd: number, done: Callback): void;
  readonly read: Transfer;
  readonly write: Transfer;
  readonly readSync: TransferSync;
  readonly writeSync: TransferSync;
  fsync(fd: number, done: Callback): void;
  fdatasync(fd: number, done: Callback): void;
  fstat(fd: number, done: ValueCallback<SystemStat>): void;
  ftruncate(fd: number, bytes: number, done: Callback): void;
  stat(path: string, done: ValueCallback<SystemStat>): void;
  mkdir(path: string, done: Callback): void;
  readdir(path: string, done: ValueCallback<string[]>): void;
  rename(from: string, to: string, done: Callback): void;
  unlink(path: string, done: Callback): void;
  /** Exclusive lock of the open file; false while another holds it. The system frees it with the process. */
  tryLock(fd: number): boolean;
  unlock(fd: number): void;
}

export const systemCalls: SystemCalls = Object.freeze({
  open: fs.open,
  close: fs.close,
  read: fs.read,
  write: fs.write,
  readSync: fs.readSync,
  writeSync: fs.writeSync,
  fsync: fs.fsync,
  fdatasync: fs.fdatasync,
  fstat: fs.fstat,
  ftruncate: fs.ftruncate,
  stat: fs.stat,
  mkdir: fs.mkdir,
  readdir: fs.readdir,
  rename: fs.rename,
  unlink: fs.unlink,
  tryLock,
  unlock,
});

export const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK } = fs.constants;
