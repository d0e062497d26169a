/** Errors as clients of the Redis port read them. */

import { isTidemarkError } from '../base/errors.ts';
import { Rejection } from '../engine/machine.ts';

/** An error as a line of the protocol. A full disk has Redis's own code for it, which clients know. */
export function errorText(error: unknown): string {
  if (error instanceof Rejection) return error.message;
  if (isTidemarkError(error, 'TIDEMARK_DISK_FULL')) return `MISCONF ${error.code}: ${error.message}`;
  if (isTidemarkError(error)) return `ERR ${error.code}: ${error.message}`;
  return `ERR ${error instanceof Error ? error.message : String(error)}`;
}
