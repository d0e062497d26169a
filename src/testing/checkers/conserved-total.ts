/** A bank loses no money and makes none: every look at all accounts at once has the same total. */

import type { Operation } from '../history/operation.ts';
import type { Violation } from './violation.ts';

/** Options of {@link checkConservedTotal}. */
export interface ConservedTotalOptions {
  readonly total: number;
  /** The balances that an operation read, all accounts at once; null for any other operation. */
  readonly balancesOf: (operation: Operation) => readonly number[] | null;
  /** Whether an account may be below 0. @default 'allowed' */
  readonly debts?: 'allowed' | 'forbidden';
}

/** Checks every look at the accounts that was answered. */
export function checkConservedTotal(
  operations: readonly Operation[],
  { total, balancesOf, debts = 'allowed' }: ConservedTotalOptions,
): Violation[] {
  return operations.flatMap((operation) => {
    const balances = operation.outcome.kind === 'answered' ? balancesOf(operation) : null;
    if (balances === null) return [];
    const sum = balances.reduce((before, balance) => before + balance, 0);
    const hasDebt = debts === 'forbidden' && balances.some((balance) => balance < 0);
    if (sum === total && !hasDebt) return [];
    const what = sum === total ? 'an account below 0' : `a total of ${sum} instead of ${total}`;
    return [
      {
        checker: 'conserved-total',
        message: `${operation.client} saw ${what} at ${operation.invokedMs} ms: ${balances.join(', ')}`,
        facts: { client: operation.client, ms: operation.returnedMs, sum, total, balances },
      },
    ];
  });
}
