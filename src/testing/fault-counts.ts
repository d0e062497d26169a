/**
 * How often each kind of fault really happened. A fault that is switched on and never strikes tests nothing,
 * which only counting shows.
 *
 * Kinds are named by area and fault, `network.drop`, `disk.torn-write`, and declared before the run: a name
 * that was not is a bug of whoever counts, and one that stays at 0 is in the table.
 */

import { assert } from '../base/assert.ts';

/** Times each kind happened, by name. */
export type FaultTotals = Readonly<Record<string, number>>;

/** Counts the faults of one run. */
export class FaultCounts {
  readonly #counts: Map<string, number>;

  constructor(kinds: readonly string[]) {
    this.#counts = new Map(kinds.map((kind) => [kind, 0]));
    assert(
      this.#counts.size === kinds.length,
      `every kind of fault has a name of its own: ${kinds.join(' ')}`,
    );
  }

  happened(kind: string, times = 1): void {
    const count = this.#counts.get(kind);
    assert(count !== undefined, `the fault ${kind} is declared`);
    this.#counts.set(kind, count + times);
  }

  totals(): FaultTotals {
    return Object.fromEntries(this.#counts);
  }
}

/** What happened in many runs: how often in all, and in how many of them at least once. */
export interface FaultSummary {
  readonly kind: string;
  readonly times: number;
  readonly runs: number;
}

/** Adds up runs as they end. */
export class FaultTable {
  readonly #rows = new Map<string, { times: number; runs: number }>();

  add(totals: FaultTotals): void {
    for (const [kind, times] of Object.entries(totals)) {
      const row = this.#rows.get(kind) ?? { times: 0, runs: 0 };
      row.times += times;
      row.runs += Number(times > 0);
      this.#rows.set(kind, row);
    }
  }

  /** In the order of names, so that the kinds of one area stand together. */
  rows(): FaultSummary[] {
    return [...this.#rows]
      .map(([kind, row]) => ({ kind, ...row }))
      .sort((one, other) => (one.kind < other.kind ? -1 : 1));
  }
}

/** The table for people. */
export function shownFaults(rows: readonly FaultSummary[]): string {
  const width = Math.max(5, ...rows.map(({ kind }) => kind.length));
  const line = (kind: string, times: string, runs: string): string =>
    `${kind.padEnd(width)}  ${times.padStart(12)}  ${runs.padStart(9)}`;
  return [
    line('fault', 'times', 'in runs'),
    ...rows.map(({ kind, times, runs }) =>
      line(kind, times.toLocaleString('en-US'), runs.toLocaleString('en-US')),
    ),
  ].join('\n');
}
