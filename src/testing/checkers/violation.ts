/** What a checker says when something is wrong. Right is silence: checkers return violations, or null. */

import type { Json } from '../history/operation.ts';

/** One promise that was broken. */
export interface Violation {
  /** Which checker found it. */
  readonly checker: string;
  /** What was wrong, in one sentence; a drawing may follow on further lines. */
  readonly message: string;
  /** When it showed, in simulated time, as `ms` where the checker knows; and whatever else helps. */
  readonly facts: Readonly<Record<string, Json>>;
}
