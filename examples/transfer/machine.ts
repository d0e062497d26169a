/**
 * A bank, which does what it is asked for once by the key it was asked with: a receipt under each key says
 * what became of it.
 */

import { machine, Rejection, table } from 'tidemark';

export interface Booking {
  readonly key: string;
  readonly account: string;
  readonly amount: number;
}

/** A booking as it stands. */
export interface Receipt extends Booking {
  readonly state: 'booked' | 'taken back';
}

/** Nobody can be paid there. */
export const CLOSED = 'closed';

export const bank = machine({
  name: 'transfer-bank',
  tables: { accounts: table<number>(), receipts: table<Receipt>() },
  commands: {
    /** Adds to an account, or takes from it what is below zero. */
    book({ accounts, receipts }, booking: Booking) {
      const { key, account, amount } = booking;
      const known = receipts.get(key);
      if (known?.state === 'taken back') throw new Rejection('taken back before it came');
      if (known !== undefined) return known;
      if (account === CLOSED) throw new Rejection('the account is closed');
      const balance = (accounts.get(account) ?? 0) + amount;
      if (balance < 0) throw new Rejection('insufficient funds');
      accounts.set(account, balance);
      const receipt: Receipt = { ...booking, state: 'booked' };
      receipts.set(key, receipt);
      return receipt;
    },
    /** Takes a booking back, or keeps it from being made: nobody knows whether it was. */
    takeBack({ accounts, receipts }, { key, account, amount }: Booking) {
      const known = receipts.get(key);
      if (known?.state === 'taken back') return;
      if (known !== undefined) accounts.set(account, (accounts.get(account) ?? 0) - amount);
      receipts.set(key, { key, account, amount, state: 'taken back' });
    },
  },
  queries: {
    balance: ({ accounts }, account: string) => accounts.get(account) ?? 0,
    receipt: ({ receipts }, key: string) => receipts.get(key) ?? null,
  },
});
