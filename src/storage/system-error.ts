/**
 * From what the operating system reports to what an operator can act on: one mapping of system error codes,
 * shared by every file system, real or simulated.
 */

import { type ErrorCode, type ErrorRemedy, TidemarkError } from '../base/errors.ts';

interface Meaning {
  readonly code: ErrorCode;
  readonly remedy: ErrorRemedy;
  /** Ends the sentence "cannot … : CODE; " with what to do next. */
  readonly advice: string;
}

const DISK_FULL: Meaning = {
  code: 'TIDEMARK_DISK_FULL',
  remedy: 'retry',
  advice: 'free some space on this disk, or raise its quota; no restart is needed',
};
const NOT_WRITABLE: Meaning = {
  code: 'TIDEMARK_NOT_WRITABLE',
  remedy: 'fix-call',
  advice: 'give this user read and write permission, and mount the disk writable',
};
const FILE_MISSING: Meaning = {
  code: 'TIDEMARK_FILE_MISSING',
  remedy: 'fix-call',
  advice: 'check the path; every directory in it must exist',
};
const FILE_EXISTS: Meaning = {
  code: 'TIDEMARK_FILE_EXISTS',
  remedy: 'fix-call',
  advice: 'choose another name, or move what is there aside',
};
const RESOURCES: Meaning = {
  code: 'TIDEMARK_RESOURCES',
  remedy: 'retry',
  advice: 'raise the limit of open files (ulimit -n) or free some memory',
};
const IO: Meaning = {
  code: 'TIDEMARK_IO',
  remedy: 'repair',
  advice: 'check this disk and the system log before the file is trusted again',
};

const MEANINGS: Readonly<Record<string, Meaning>> = {
  ENOSPC: DISK_FULL,
  EDQUOT: DISK_FULL,
  EACCES: NOT_WRITABLE,
  EPERM: NOT_WRITABLE,
  EROFS: NOT_WRITABLE,
  ENOENT: FILE_MISSING,
  ENOTDIR: FILE_MISSING,
  EEXIST: FILE_EXISTS,
  EMFILE: RESOURCES,
  ENFILE: RESOURCES,
  ENOMEM: RESOURCES,
};

/** The failed operation, as far as it is known. */
export interface FailedOperation {
  /** As in a sentence after "cannot": `read`, `sync the directory`. */
  readonly operation: string;
  readonly path: string;
  readonly offset?: number;
}

/** Wraps an error of a system call. One without a code, or with an unknown one, is TIDEMARK_IO. */
export function systemError(failed: FailedOperation, cause: unknown): TidemarkError {
  const systemCode = systemCodeOf(cause) ?? 'UNKNOWN';
  const { code, remedy, advice } = MEANINGS[systemCode] ?? IO;
  const { operation, path, offset } = failed;
  const where = offset === undefined ? path : `${path} at offset ${offset}`;
  return new TidemarkError(code, `cannot ${operation} ${where}: ${systemCode}; ${advice}`, {
    remedy,
    facts: { operation, path, systemCode, ...(offset === undefined ? {} : { offset }) },
    cause,
  });
}

/** The refusal of a lock that another holder has, with the note that the holder left. */
export function lockedError(path: string, owner: string): TidemarkError {
  const who = owner === '' ? 'another process (it left no note)' : owner;
  return new TidemarkError(
    'TIDEMARK_LOCKED',
    `${path} is held by ${who}; stop it, or use another directory`,
    {
      remedy: 'fix-call',
      facts: { path, owner },
    },
  );
}

/** What a system call would have thrown; for file systems that make no system calls. */
export function simulatedSystemError(failed: FailedOperation, systemCode: string): TidemarkError {
  return systemError(
    failed,
    Object.assign(new Error(`${systemCode}, ${failed.operation}`), { code: systemCode }),
  );
}

/** The `code` of an error of Node's fs, or null for anything else. */
export function systemCodeOf(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}
