/**
 * Whether a history is linearizable: whether there is one order of its operations that keeps the order in
 * which they came one after the other, and in which every answer is the one that the model gives.
 *
 * An operation whose outcome is unknown may be at any place after its invocation, or nowhere; one that was
 * refused is nowhere. A `violation` is certain. So is `linearizable`. `unknown` means that the bound was met
 * first: it passes nothing.
 */

import { requireInteger, requireKnownOptions } from '../../base/options.ts';
import type { Operation } from '../history/operation.ts';
import { explain, type Unorderable } from './explain.ts';
import type { Model } from './model.ts';
import { type Part, partsOf } from './partition.ts';
import { type SearchInput, type SearchResult, searchOrder } from './search.ts';

/** Options of {@link checkLinearizability}. */
export interface LinearizabilityOptions {
  /**
   * Bound of the search, for each part of the history: how many operations it takes, put back or not. A
   * million take about a second.
   * @default 4000000
   */
  readonly movesMax?: number;
}

export const LINEARIZABILITY_DEFAULTS: Required<LinearizabilityOptions> = Object.freeze({
  movesMax: 4_000_000,
});

type Found = SearchResult & Pick<SearchInput<unknown>, 'unknown'>;

/** What became of a history. */
export type Linearizability =
  | {
      readonly kind: 'linearizable';
      /** An order that explains every answer, for each part. */
      readonly orders: readonly (readonly Operation[])[];
    }
  /** No order does. */
  | { readonly kind: 'violation'; readonly violations: readonly Unorderable[] }
  /** The bound was met in parts with these objects, and no other part is wrong. */
  | { readonly kind: 'unknown'; readonly undecided: readonly (readonly string[])[] };

/**
 * Judges a history, all clients together.
 * @param operations In any order.
 */
export function checkLinearizability<State>(
  model: Model<State>,
  operations: readonly Operation[],
  options: LinearizabilityOptions = {},
): Linearizability {
  requireKnownOptions('checkLinearizability', options, LINEARIZABILITY_DEFAULTS);
  const { movesMax } = { ...LINEARIZABILITY_DEFAULTS, ...options };
  requireInteger('movesMax', movesMax, 1, 1_000_000_000);

  const orders: (readonly Operation[])[] = [];
  const violations: Unorderable[] = [];
  const undecided: (readonly string[])[] = [];
  for (const part of partsOf(relevant(model, operations), (call) => model.objectsOf(call))) {
    const found = findOrder(model, part, movesMax);
    if (found.kind === 'ordered') orders.push(found.order);
    else if (found.kind === 'gave-up') undecided.push(part.objects);
    else violations.push(explain({ model, part, ...found }));
  }
  if (violations.length > 0) return { kind: 'violation', violations };
  return undecided.length > 0 ? { kind: 'unknown', undecided } : { kind: 'linearizable', orders };
}

/**
 * Where the bound is met, operations without an outcome are mostly why: a pair of them of which either may
 * have taken effect doubles the configurations from there on. A second attempt lets them take effect again
 * and again, which makes them alike; what is wrong even then is wrong.
 */
function findOrder<State>(model: Model<State>, { operations }: Part, movesMax: number): Found {
  const search = (unknown: Found['unknown']): Found => ({
    ...searchOrder({ model, initial: model.initial, operations, until: Infinity, unknown, movesMax }),
    unknown,
  });
  const once = search('once');
  const again = once.kind === 'gave-up' ? search('again') : null;
  return again?.kind === 'impossible' ? again : once;
}

/**
 * What can bear on the judgement, in the order of invocations: no read without an answer, nothing refused.
 */
function relevant<State>(model: Model<State>, operations: readonly Operation[]): Operation[] {
  return operations
    .filter(
      ({ outcome, call }) =>
        outcome.kind === 'answered' || (outcome.kind === 'unknown' && !model.isRead(call)),
    )
    .sort((one, other) => one.invokedAt - other.invokedAt);
}
