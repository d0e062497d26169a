/** One operation of a history, written by hand. */

import type { CommandIdentity, Json, Operation } from '../../src/testing/history/operation.ts';

export interface Given {
  readonly invokedAt: number;
  /** Without it, the outcome is unknown. */
  readonly returnedAt?: number;
  readonly answer?: Json;
  readonly command?: CommandIdentity;
}

export function operation(client: string, call: Json, given: Given): Operation {
  const { invokedAt, returnedAt = Infinity, answer = null, command = null } = given;
  const isAnswered = returnedAt < Infinity;
  return {
    client,
    call,
    outcome: isAnswered ? { kind: 'answered', answer } : { kind: 'unknown' },
    invokedAt,
    returnedAt,
    invokedMs: invokedAt,
    returnedMs: isAnswered ? returnedAt : null,
    command,
  };
}
