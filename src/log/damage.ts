/** How damage of the log is reported: what, where, which entries, and what to do next. */

import { type ErrorFacts, TidemarkError } from '../base/errors.ts';

/** Damage in the durable part of the log. One node alone stops; nothing was changed on the disk. */
export function damagedLog(what: string, facts: ErrorFacts): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_LOG_DAMAGED',
    `${what}. Nothing was changed. Copy the data directory before anything else; then bring the ` +
      'missing files back from a copy or a backup that covers these entries',
    { remedy: 'restore', facts },
  );
}
