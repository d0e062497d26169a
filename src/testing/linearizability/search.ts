/**
 * The search for an order of operations that explains their answers.
 *
 * Wing & Gong 1993: take any operation that no other, not taken yet, returned before; apply it to the model;
 * when the answer is what the client got, go on, else take another, and go back when there is none. Lowe
 * 2017: remember the configurations, and never go on from one twice. A history of low concurrency takes
 * linear time; the worst takes exponential time, so that there is a bound, and an outcome that says it was
 * met.
 *
 * Three things make it fast, and none changes the outcome:
 *  - A read that has the right answer now is taken now, and nothing else is tried: whatever order has it
 *    later is as good with it here. (Not so a write that changes nothing now: later it may.)
 *  - What may come next is tried in a good order: by who reads it, and how soon.
 *  - Of several with the same call and an unknown outcome, only the one invoked first is tried: they are
 *    alike from then on. One that would change nothing now is not tried either, nor what leads, right after
 *    it, to where it would have led without it. What was reached with fewer of them covers what is reached
 *    with more (configurations.ts).
 */

import { isSameJson, type Operation } from '../history/operation.ts';
import { Configurations, OperationBits, OperationSet } from './configurations.ts';
import type { Model } from './model.ts';

export interface SearchInput<State> {
  readonly model: Model<State>;
  readonly initial: State;
  /** In the order of their invocations; none of them refused. */
  readonly operations: readonly Operation[];
  /** Only operations that returned up to here must be ordered; the others may be. */
  readonly until: number;
  /**
   * How often an operation without an outcome may take effect: `once`, as it is, or `again` after every one
   * that was answered. With `again` it does not matter which of them have, and there are more orders:
   * `impossible` holds all the more.
   */
  readonly unknown: 'once' | 'again';
  /** Bound of the search: operations taken, whether they were put back or not. */
  readonly movesMax: number;
  /**
   * Called when all that must be ordered are, with the operations that are left. `go-on` goes back and looks
   * for another order. Stops unless told.
   */
  readonly onOrdered?: (state: State, left: readonly Operation[]) => 'stop' | 'go-on';
  /** Called with every answer that an operation could have got. */
  readonly onStep?: (operation: Operation, answer: unknown) => void;
}

export interface SearchResult {
  readonly kind: 'ordered' | 'impossible' | 'gave-up';
  /** Of `ordered`: an order that explains every answer. */
  readonly order: readonly Operation[];
  /** The last return that had to come next, in any order tried: no order gets beyond it. */
  readonly furthest: number;
  readonly moves: number;
}

/** How many reads are looked at to tell which move is better. */
const READS_AHEAD = 16;

interface Move<State> {
  readonly operation: number;
  readonly state: State;
  /** Taken without an alternative. */
  readonly isForced: boolean;
}

/** One place of the search where it may go several ways. */
interface Junction<State> {
  readonly moves: readonly Move<State>[];
  /** Which of them comes next. */
  next: number;
  /** The operation that led here; -1 at the start. */
  readonly taken: number;
  /** Which operations without an outcome were used on the way here, a bit each. */
  readonly used: bigint;
}

export function searchOrder<State>(input: SearchInput<State>): SearchResult {
  return new Search(input).run();
}

class Search<State> {
  readonly #input: SearchInput<State>;
  readonly #operations: readonly Operation[];
  readonly #deadlines: Float64Array;
  readonly #isRead: Uint8Array;
  /** The operations that are not ordered, as a list linked both ways; the end is its head too. */
  readonly #after: Int32Array;
  readonly #before: Int32Array;
  readonly #end: number;
  /** How many must still be ordered. */
  #left: number;
  readonly #answered: OperationSet;
  /** The operations without an outcome that cannot be used now, a bit each. */
  #used = 0n;
  readonly #seen = new Configurations();
  readonly #states = new Map<string, number>();
  /** The operations without an outcome: a bit of each, and what is equal for equal calls. */
  readonly #unknown = new Map<number, { readonly bit: bigint; readonly call: string }>();
  readonly #junctions: Junction<State>[] = [];
  #furthest = -1;
  #moves = 0;

  constructor(input: SearchInput<State>) {
    const { operations, until } = input;
    this.#input = input;
    this.#operations = operations;
    this.#end = operations.length;
    const places = operations.length + 1;
    this.#after = Int32Array.from({ length: places }, (_, at) => (at + 1) % places);
    this.#before = Int32Array.from({ length: places }, (_, at) => (at + places - 1) % places);
    this.#deadlines = Float64Array.from(operations, ({ returnedAt }) =>
      returnedAt <= until ? returnedAt : Infinity,
    );
    this.#isRead = Uint8Array.from(operations, ({ call }) => Number(input.model.isRead(call)));
    this.#left = this.#deadlines.reduce((count, deadline) => count + Number(deadline < Infinity), 0);
    this.#answered = new OperationSet(new OperationBits(operations.length));
    operations.forEach(({ call, outcome }, at) => {
      if (outcome.kind !== 'unknown') return;
      this.#unknown.set(at, { bit: 1n << BigInt(this.#unknown.size), call: JSON.stringify(call) });
    });
  }

  run(): SearchResult {
    if (this.#arrive(this.#input.initial, -1) === 'stop') return this.#result('ordered');
    for (let junction = this.#junctions.at(-1); junction !== undefined; junction = this.#junctions.at(-1)) {
      const move = junction.moves[junction.next++];
      if (move === undefined) {
        this.#junctions.pop();
        if (junction.taken >= 0) this.#putBack(junction.taken, this.#junctions.at(-1)!);
        continue;
      }
      this.#take(move.operation);
      if (!move.isForced && !this.#isNew(move.state)) {
        this.#putBack(move.operation, junction);
        continue;
      }
      if (++this.#moves > this.#input.movesMax) return this.#result('gave-up');
      if (this.#arrive(move.state, move.operation) === 'stop') return this.#result('ordered');
    }
    return this.#result('impossible');
  }

  /** Goes on from a state that was reached, or says that the search is over. */
  #arrive(state: State, taken: number): 'stop' | 'go-on' {
    const isDone = this.#left === 0;
    this.#junctions.push({
      moves: isDone ? [] : this.#movesFrom(state, taken),
      next: 0,
      taken,
      used: this.#used,
    });
    if (!isDone) return 'go-on';
    return this.#input.onOrdered?.(state, this.#unordered()) ?? 'stop';
  }

  /** The operations that may come next and have the answer they would get, the best first. */
  #movesFrom(state: State, taken: number): readonly Move<State>[] {
    const moves: Move<State>[] = [];
    const callsTried = new Set<string>();
    let deadline = Infinity;
    for (let at = this.#after[this.#end]!; at !== this.#end; at = this.#after[at]!) {
      const operation = this.#operations[at]!;
      if (operation.invokedAt > deadline) break;
      deadline = Math.min(deadline, this.#deadlines[at]!);
      const step = this.#input.model.step(state, operation.call);
      this.#input.onStep?.(operation, step.answer);
      if (operation.outcome.kind === 'answered') {
        if (!isSameJson(step.answer, operation.outcome.answer)) continue;
        // Nothing that comes after it in the list returned before it was invoked.
        if (this.#isRead[at] === 1) return [{ operation: at, state, isForced: true }];
      } else {
        const { call, bit } = this.#unknown.get(at)!;
        if (step.state === state || (this.#used & bit) !== 0n || callsTried.has(call)) continue;
        callsTried.add(call);
      }
      moves.push({ operation: at, state: step.state, isForced: false });
    }
    this.#furthest = Math.max(this.#furthest, deadline);
    return this.#bestFirst(this.#needing(taken, moves));
  }

  /** Those of `moves` for which it matters that an operation without an outcome was taken before them. */
  #needing(taken: number, moves: Move<State>[]): Move<State>[] {
    const parent = this.#junctions.at(-1);
    if (parent === undefined || !this.#unknown.has(taken)) return moves;
    const { model } = this.#input;
    return moves.filter((move) => {
      const without = parent.moves.find(({ operation }) => operation === move.operation);
      return without === undefined || model.keyOf(without.state) !== model.keyOf(move.state);
    });
  }

  /**
   * What nobody reads comes first: whatever follows hides it. Then what is read first. Operations without an
   * outcome come last. With the wrong one first the search comes back, but only after all that could follow
   * it.
   */
  #bestFirst(moves: Move<State>[]): Move<State>[] {
    if (moves.length < 2) return moves;
    const reads = this.#nextReads();
    const ranks = new Map(moves.map((move) => [move, this.#rank(move, reads)]));
    return moves.sort((one, other) => {
      const [left, right] = [ranks.get(one)!, ranks.get(other)!];
      return left === right ? one.operation - other.operation : left < right ? -1 : 1;
    });
  }

  /** The first reads that are not ordered. */
  #nextReads(): number[] {
    const reads: number[] = [];
    for (
      let at = this.#after[this.#end]!;
      at !== this.#end && reads.length < READS_AHEAD;
      at = this.#after[at]!
    ) {
      if (this.#isRead[at] === 1) reads.push(at);
    }
    return reads;
  }

  #rank({ operation, state }: Move<State>, reads: readonly number[]): number {
    if (this.#unknown.has(operation)) return Infinity;
    let first = -1;
    for (const read of reads) {
      const { call, outcome, returnedAt } = this.#operations[read]!;
      if (outcome.kind !== 'answered' || (first !== -1 && returnedAt > first)) continue;
      if (isSameJson(this.#input.model.step(state, call).answer, outcome.answer)) first = returnedAt;
    }
    return first;
  }

  #take(at: number): void {
    const unknown = this.#unknown.get(at);
    if (unknown !== undefined) this.#used |= unknown.bit;
    else if (this.#input.unknown === 'again') this.#used = 0n;
    if (unknown !== undefined && this.#input.unknown === 'again') return;

    const [before, after] = [this.#before[at]!, this.#after[at]!];
    this.#after[before] = after;
    this.#before[after] = before;
    if (unknown === undefined) this.#answered.toggle(at);
    if (this.#deadlines[at]! < Infinity) this.#left--;
  }

  /** Undoes the last `take` that was not undone: the links of what was taken still say where it was. */
  #putBack(at: number, to: Junction<State>): void {
    this.#used = to.used;
    const isUnknown = this.#unknown.has(at);
    if (isUnknown && this.#input.unknown === 'again') return;

    this.#after[this.#before[at]!] = at;
    this.#before[this.#after[at]!] = at;
    if (!isUnknown) this.#answered.toggle(at);
    if (this.#deadlines[at]! < Infinity) this.#left++;
  }

  #isNew(state: State): boolean {
    return this.#seen.add(this.#answered, this.#numberOf(state), this.#used);
  }

  #numberOf(state: State): number {
    const key = this.#input.model.keyOf(state);
    const known = this.#states.get(key);
    if (known !== undefined) return known;
    this.#states.set(key, this.#states.size + 1);
    return this.#states.size;
  }

  #unordered(): Operation[] {
    const left: Operation[] = [];
    for (let at = this.#after[this.#end]!; at !== this.#end; at = this.#after[at]!) {
      left.push(this.#operations[at]!);
    }
    return left;
  }

  #result(kind: SearchResult['kind']): SearchResult {
    const order =
      kind === 'ordered' ? this.#junctions.slice(1).map(({ taken }) => this.#operations[taken]!) : [];
    return { kind, order, furthest: this.#furthest, moves: this.#moves };
  }
}
