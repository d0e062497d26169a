/** Exit codes: what a script can do about a failure. Part of the interface; listed in docs/errors.md. */

import { type ErrorRemedy, TidemarkError } from '../base/errors.ts';

export const EXIT_CODES = { done: 0, usage: 1, retry: 2, repair: 3, restore: 4, bug: 5 } as const;

/** As diff(1): 0 for equal, 1 for different, 2 and above when they could not be compared. */
export const DIFF_EXIT_CODES = { equal: 0, different: 1, trouble: 2 } as const;

const BY_REMEDY: Readonly<Record<ErrorRemedy, number>> = {
  'fix-call': EXIT_CODES.usage,
  retry: EXIT_CODES.retry,
  repair: EXIT_CODES.repair,
  restore: EXIT_CODES.restore,
};

export function exitCodeOf(error: unknown): number {
  return error instanceof TidemarkError ? BY_REMEDY[error.remedy] : EXIT_CODES.bug;
}
