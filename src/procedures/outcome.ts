/** How the end of a procedure, or its want of one, reaches who waits for it. */

import { TidemarkError } from '../base/errors.ts';
import { decodeValue } from '../engine/codec.ts';
import { errorOf, messageOf } from '../engine/failure.ts';
import type { Outcome, ProcedureId } from '../engine/procedure-record.ts';

/** What a run that is stuck may be told as it is. */
const OWN_FAULTS: ReadonlySet<string> = new Set([
  'TIDEMARK_PROCEDURE_CHANGED',
  'TIDEMARK_PROCEDURE_MISUSED',
  'TIDEMARK_PROCEDURE_UNKNOWN',
]);

/**
 * The result of a run that is over. Rejects with the `Rejection` it was refused with; then one that goes
 * backward has taken back what it had done.
 */
export async function resultOf(run: ProcedureId, outcome: Outcome): Promise<unknown> {
  if (outcome.kind === 'done') return decodeValue(outcome.result);
  const { kind, failure } = outcome;
  const cause = errorOf(failure);
  if (kind === 'abandoned') throw abandoned(run, cause);
  if (failure.rejection !== null) throw cause;
  throw undone(run, cause);
}

/** What waits for a person, or for another program, is told; errors of procedures say it themselves. */
export function stuckError({ procedure, id }: ProcedureId, cause: unknown): TidemarkError {
  if (cause instanceof TidemarkError && OWN_FAULTS.has(cause.code) && cause.facts['id'] === id) return cause;
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_STUCK',
    `run ${id} of the procedure ${procedure} was given up for now: ${messageOf(cause)}. Its finished ` +
      'steps are recorded; retry it once that is mended, or abandon it',
    { remedy: 'repair', facts: { procedure, id }, cause },
  );
}

/** There is a run, and nothing to run it with. */
export function unknownVersion({ procedure, id }: ProcedureId, version: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_UNKNOWN',
    `run ${id} needs version ${version} of the procedure ${procedure}, which the node was opened without`,
    { remedy: 'fix-call', facts: { procedure, id, version } },
  );
}

function undone({ procedure, id }: ProcedureId, cause: Error): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_UNDONE',
    `run ${id} of the procedure ${procedure} failed, and what it had done was taken back: ` +
      `${cause.message}. Its id is used up`,
    { remedy: 'fix-call', facts: { procedure, id }, cause },
  );
}

function abandoned({ procedure, id }: ProcedureId, cause: Error): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_ABANDONED',
    `run ${id} of the procedure ${procedure} was abandoned: some of its steps may have taken effect`,
    { remedy: 'fix-call', facts: { procedure, id }, cause },
  );
}
