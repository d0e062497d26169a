/** What those are told who have to do with a node that stopped by itself. */

import { TidemarkError } from '../base/errors.ts';

/** What to tell who comes later, and who has a command in flight, when a node stops by itself. */
export function stopErrors(failure: Error): [later: TidemarkError, inFlight: TidemarkError] {
  if (failure instanceof TidemarkError) return [failure, failure]; // A poisoned log says both.
  const init = { remedy: 'repair', cause: failure } as const;
  return [
    new TidemarkError('TIDEMARK_NOT_OPEN', `the node stopped: ${failure.message}`, init),
    new TidemarkError(
      'TIDEMARK_OUTCOME_UNKNOWN',
      'the node stopped while the command was in flight, and only a restart tells whether it took effect: ' +
        failure.message,
      init,
    ),
  ];
}

/** What to tell who waits for a procedure when a node is closed. */
export function closedError(): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_NOT_OPEN',
    'the node was closed; the procedure goes on, or is taken back, when it is opened again',
    { remedy: 'fix-call' },
  );
}
