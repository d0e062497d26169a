/**
 * Why a history cannot be ordered: the fewest operations that show it, and the states before them.
 *
 * Three steps, each of which keeps the proof:
 *  1. The search says which return no order gets beyond. What was invoked after it does not matter.
 *  2. The front is cut off where the states that any order may have led to are few. All of them are found by
 *     a search that goes on after each success; the window then has no order from any of them. Ways there
 *     that differ only in which operations without an outcome are left count as one that has all of them
 *     left, if there is no order even then.
 *  3. Reads that the proof does not need are left out: without them there is still no order. Writes stay, as
 *     a history without one may be wrong for that alone.
 */

import { assert } from '../../base/assert.ts';
import type { Operation } from '../history/operation.ts';
import type { Model } from './model.ts';
import type { Part } from './partition.ts';
import { type SearchInput, type SearchResult, searchOrder } from './search.ts';

/** Operations that no order explains. */
export interface Unorderable {
  /** The objects they are about. */
  readonly objects: readonly string[];
  /** The operations, in the order of their invocations. */
  readonly operations: readonly Operation[];
  /** The one that no order gets beyond: one of `operations`. */
  readonly stuckAt: Operation;
  /** What it could have been answered in some order of the others; a few of them. */
  readonly possible: readonly string[];
  /** The states that all before may have led to, as people read them. */
  readonly before: readonly string[];
}

export interface ExplainInput<State> {
  readonly model: Model<State>;
  readonly part: Part;
  /** The return that no order gets beyond, as the search said. */
  readonly furthest: number;
  /** What it took to find out, and how. */
  readonly moves: number;
  readonly unknown: SearchInput<State>['unknown'];
}

/** One way in which what came before the window may have ended. */
interface Start<State> {
  readonly state: State;
  /** What is not ordered yet. */
  readonly operations: readonly Operation[];
}

interface Window<State> {
  readonly model: Model<State>;
  readonly starts: readonly Start<State>[];
  readonly furthest: number;
  readonly unknown: SearchInput<State>['unknown'];
  readonly budget: { movesLeft: number };
}

/** With more states than these before it, a window is no start for a smaller one. */
const STARTS_MAX = 16;

/** With at most so many, a smaller window is always the better one; above, one with fewer states is. */
const STARTS_SHOWN_MAX = 3;

/**
 * How many returns before the end a window may begin, tried in this order. The first cut takes as long as the
 * search did, as it goes through the whole history; all that follow, within the window it leaves, take next
 * to nothing.
 */
const BACK = [64, 48, 200, 32, 24, 16, 12, 10, 8, 7, 6, 5, 4, 3, 2, 1];

const POSSIBLE_MAX = 5;

/** Bound of the search for them. */
const POSSIBLE_MOVES_MAX = 100_000;

/**
 * Bound of all searches that make a window smaller, as a multiple of what finding the violation took, and at
 * least. Where it is met, the window stays as it is.
 */
const MOVES_FACTOR = 4;
const MOVES_MIN = 500_000;

/** Reads that are tried to be left out: the window is small by then. */
const READS_TRIED_MAX = 256;

export function explain<State>(input: ExplainInput<State>): Unorderable {
  const { model, part, furthest, moves, unknown } = input;
  const operations = part.operations.filter(({ invokedAt }) => invokedAt <= furthest);
  const stuckAt = operations.find(({ returnedAt }) => returnedAt === furthest);
  assert(stuckAt !== undefined, `an operation returned at ${furthest}`);
  const budget = { movesLeft: Math.max(MOVES_MIN, MOVES_FACTOR * moves) };
  let window: Window<State> = {
    model,
    starts: [{ state: model.initial, operations }],
    furthest,
    unknown,
    budget,
  };
  let best = window;
  for (const back of BACK) {
    window = cut(window, back) ?? window;
    if (window.starts.length <= Math.max(STARTS_SHOWN_MAX, best.starts.length)) best = window;
  }
  window = withoutReads(best, stuckAt);

  const shown = [...new Set(window.starts.flatMap((start) => start.operations))];
  const touched = new Set(shown.flatMap(({ call }) => model.objectsOf(call)));
  const objects = part.objects.filter((object) => touched.has(object));
  return {
    objects,
    operations: shown.sort((one, other) => one.invokedAt - other.invokedAt),
    stuckAt,
    possible: possibleAnswers(window, stuckAt),
    before: [...new Set(window.starts.map(({ state }) => model.describe(state, objects)))],
  };
}

/** The window that begins `back` returns before the end; null when too many states lead there. */
function cut<State>(window: Window<State>, back: number): Window<State> | null {
  const returns = new Set(
    window.starts.flatMap(({ operations }) => returnsUpTo(operations, window.furthest)),
  );
  const sorted = [...returns].sort((one, other) => one - other);
  const until = sorted.at(-1 - back);
  if (until === undefined) return null;

  const starts: Start<State>[] = [];
  for (const start of window.starts) {
    // What is invoked later can not come before what returned by then.
    const early = start.operations.filter(({ invokedAt }) => invokedAt <= until);
    const late = start.operations.filter(({ invokedAt }) => invokedAt > until);
    const kind = search(window, {
      initial: start.state,
      operations: early,
      until,
      onOrdered(state, left) {
        join(window.model, starts, { state, operations: [...left, ...late] });
        return starts.length > STARTS_MAX ? 'stop' : 'go-on';
      },
    });
    if (kind !== 'impossible') return null; // Too many, or too long to find them all.
  }
  const smaller = { ...window, starts };
  return starts.length > 0 && isImpossible(smaller) ? smaller : null;
}

function withoutReads<State>(window: Window<State>, stuckAt: Operation): Window<State> {
  let kept = window;
  const reads = [...new Set(window.starts.flatMap(({ operations }) => operations))]
    .filter(({ call }) => window.model.isRead(call))
    .filter((operation) => operation !== stuckAt);
  for (const read of reads.slice(0, READS_TRIED_MAX)) {
    const starts = kept.starts.map(({ state, operations }) => ({
      state,
      operations: operations.filter((other) => other !== read),
    }));
    if (isImpossible({ ...kept, starts })) kept = { ...kept, starts };
  }
  return kept;
}

function isImpossible<State>(window: Window<State>): boolean {
  return window.starts.every(
    ({ state, operations }) =>
      search(window, { initial: state, operations, until: Infinity }) === 'impossible',
  );
}

function possibleAnswers<State>({ model, starts, unknown }: Window<State>, stuckAt: Operation): string[] {
  const possible = new Set<string>();
  const onStep = (operation: Operation, answer: unknown): void => {
    if (operation === stuckAt && possible.size < POSSIBLE_MAX) possible.add(JSON.stringify(answer));
  };
  for (const { state, operations } of starts) {
    const input = { model, initial: state, operations, until: Infinity, unknown, onStep };
    searchOrder({ ...input, movesMax: POSSIBLE_MOVES_MAX });
  }
  return [...possible];
}

function search<State>(
  { model, unknown, budget }: Window<State>,
  input: Omit<SearchInput<State>, 'model' | 'unknown' | 'movesMax'>,
): SearchResult['kind'] {
  const { kind, moves } = searchOrder({ ...input, model, unknown, movesMax: Math.max(0, budget.movesLeft) });
  budget.movesLeft -= moves;
  return kind;
}

function returnsUpTo(operations: readonly Operation[], last: number): number[] {
  return operations.map(({ returnedAt }) => returnedAt).filter((returnedAt) => returnedAt <= last);
}

/** Adds `found` to `starts`, or to the one of them that differs only in what is left without an outcome. */
function join<State>(model: Model<State>, starts: Start<State>[], found: Start<State>): void {
  const at = starts.findIndex((other) => isAlike(model, other, found));
  if (at === -1) starts.push(found);
  else {
    const operations = [...new Set([...starts[at]!.operations, ...found.operations])];
    operations.sort((one, other) => one.invokedAt - other.invokedAt);
    starts[at] = { state: found.state, operations };
  }
}

function isAlike<State>(model: Model<State>, one: Start<State>, other: Start<State>): boolean {
  if (model.keyOf(one.state) !== model.keyOf(other.state)) return false;
  const [left, right] = [answered(one), answered(other)];
  return left.length === right.length && left.every((operation, at) => operation === right[at]);
}

function answered({ operations }: Start<unknown>): readonly Operation[] {
  return operations.filter(({ outcome }) => outcome.kind === 'answered');
}
