/** The verdict on a history in the words of all checkers: violations, each with its drawing. */

import type { Violation } from '../checkers/violation.ts';
import type { Operation } from '../history/operation.ts';
import { checkLinearizability, type LinearizabilityOptions } from './check-linearizability.ts';
import { drawUnorderable } from './diagram.ts';
import type { Model } from './model.ts';

/** Everything that keeps a history from passing: what is wrong, and what could not be decided. */
export function judgeLinearizability<State>(
  model: Model<State>,
  operations: readonly Operation[],
  options: LinearizabilityOptions = {},
): Violation[] {
  const found = checkLinearizability(model, operations, options);
  if (found.kind === 'violation') {
    return found.violations.map((unorderable) => ({
      checker: 'linearizability',
      message: drawUnorderable(model.name, unorderable),
      facts: { objects: unorderable.objects, ms: unorderable.stuckAt.returnedMs },
    }));
  }
  if (found.kind === 'linearizable') return [];
  return found.undecided.map((objects) => ({
    checker: 'linearizability-undecided',
    message: `the search met its bound on ${objects.join(', ')}: a higher movesMax may decide it`,
    facts: { objects },
  }));
}
