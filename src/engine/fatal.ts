/** What a command may throw that is no result of it: the node must stop. */

import { InvariantViolation } from '../base/assert.ts';
import { isTidemarkError } from '../base/errors.ts';

/**
 * What V8 says when stack, memory or the room in a string, a buffer, a map or a bigint runs out. Where that
 * is depends on the memory and the version of Node. Other RangeErrors, a machine's own among them, are
 * results.
 */
const EXHAUSTED = new RegExp(
  '^(Maximum (call stack|BigInt) size exceeded|(Map|Set) maximum size exceeded|' +
    'Array buffer allocation failed|Invalid (string|typed array) length)',
);

/** Not a result of the command: another replica, or this one tomorrow, might get another outcome. */
export function isFatal(error: unknown): boolean {
  if (error instanceof InvariantViolation) return true;
  if (isTidemarkError(error, 'TIDEMARK_NOT_DETERMINISTIC')) return true;
  if (isTidemarkError(error, 'TIDEMARK_VERSION_MISSING')) return true;
  return error instanceof RangeError && EXHAUSTED.test(error.message);
}
