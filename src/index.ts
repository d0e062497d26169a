/** The public surface of `tidemark`. */

export { InvariantViolation } from './base/assert.ts';
export {
  ERROR_CODES,
  type ErrorCode,
  type ErrorFacts,
  type ErrorRemedy,
  isTidemarkError,
  TidemarkError,
} from './base/errors.ts';
export type { Index, Term, Timeline } from './base/positions.ts';
export { type CommandContext, type Machine, Rejection } from './engine/machine.ts';
export type { StateReader, StateWriter } from './state/state.ts';
