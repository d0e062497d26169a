/**
 * The terms of a log, without its entries: runs of equal terms, from the place that it was compacted to.
 *
 * Invariants:
 *  - Terms never go down from one run to the next, and first indices go up.
 *  - `compactedTo ≤ last`. The term at `compactedTo` is known, those before it are not.
 *
 * A log of a million entries under one leader is one run.
 */

import { assert } from '../../base/assert.ts';
import { type Index, nextIndex, previousIndex, type Term } from '../../base/positions.ts';
import type { TermRun } from './messages.ts';

/** What a log is made of at a start. */
export interface LogShape {
  /** Nothing at or before it is in the log. 0 in one that was never compacted. */
  readonly compactedTo: Index;
  /** Term of the entry at `compactedTo`. */
  readonly compactedTerm: Term;
  /** Of the entries after it, ascending. */
  readonly runs: readonly TermRun[];
  readonly last: Index;
}

export class LogTerms {
  #compactedTo: Index;
  #compactedTerm: Term;
  #runs: TermRun[];
  #last: Index;

  constructor(shape: LogShape) {
    this.#compactedTo = shape.compactedTo;
    this.#compactedTerm = shape.compactedTerm;
    this.#runs = [];
    this.#last = shape.compactedTo;
    this.append(shape.runs, shape.last);
  }

  get compactedTo(): Index {
    return this.#compactedTo;
  }

  get last(): Index {
    return this.#last;
  }

  get lastTerm(): Term {
    return this.#runs.at(-1)?.term ?? this.#compactedTerm;
  }

  /** Null outside of `compactedTo` to `last`. */
  termAt(index: Index): Term | null {
    if (index < this.#compactedTo || index > this.#last) return null;
    for (let at = this.#runs.length - 1; at >= 0; at--) {
      const run = this.#runs[at]!;
      if (run.first <= index) return run.term;
    }
    return this.#compactedTerm;
  }

  /** Whether the log ends with (`lastTerm`, `lastIndex`) or before it, as elections compare logs. */
  isCoveredBy(lastTerm: Term, lastIndex: Index): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.#last);
  }

  /**
   * The last place at or before `index` whose term is at most `term`: nothing after it can match a log that
   * has `term` there. Never before `compactedTo`, where every log that matters is the same.
   */
  lastNotAbove(index: Index, term: Term): Index {
    let candidate = index < this.#last ? index : this.#last;
    for (let at = this.#runs.length - 1; at >= 0 && candidate > this.#compactedTo; at--) {
      const run = this.#runs[at]!;
      if (run.first > candidate) continue;
      if (run.term <= term) return candidate;
      candidate = previousIndex(run.first);
    }
    return candidate > this.#compactedTo ? candidate : this.#compactedTo;
  }

  /** Runs of the entries `first` to `last`. */
  runsOf(first: Index, last: Index): TermRun[] {
    const runs: TermRun[] = [];
    if (first > last) return runs;
    for (let at = this.#runs.length - 1; at >= 0; at--) {
      const run = this.#runs[at]!;
      if (run.first > last) continue;
      if (run.first > first) {
        runs.push(run);
        continue;
      }
      runs.push({ first, term: run.term });
      break;
    }
    return runs.reverse();
  }

  append(runs: readonly TermRun[], last: Index): void {
    assert(last >= this.#last, `a log grows, got ${last} after ${this.#last}`);
    assert(last === this.#last || runs[0]?.first === this.#last + 1, `entries follow index ${this.#last}`);
    for (const { first, term } of runs) {
      assert(term >= this.lastTerm, `terms do not go down, got ${term} after ${this.lastTerm}`);
      if (term !== this.#runs.at(-1)?.term) this.#runs.push({ first, term });
    }
    this.#last = last;
  }

  truncateAfter(index: Index): void {
    assert(index >= this.#compactedTo && index <= this.#last, `index ${index} is in the log`);
    while (this.#runs.length > 0 && this.#runs.at(-1)!.first > index) this.#runs.pop();
    this.#last = index;
  }

  compactTo(index: Index): void {
    if (index <= this.#compactedTo) return;
    const term = this.termAt(index);
    assert(term !== null, `index ${index} is in the log up to ${this.#last}`);
    this.#runs = this.runsOf(nextIndex(index), this.#last);
    this.#compactedTo = index;
    this.#compactedTerm = term;
  }

  /** A log that begins behind a state: everything that was in it is gone. */
  resetTo(index: Index, term: Term): void {
    this.#runs = [];
    this.#compactedTo = index;
    this.#compactedTerm = term;
    this.#last = index;
  }
}
