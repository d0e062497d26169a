/** The bank: accounts, and a receipt for every transfer that took effect. */

import { machine, Rejection, table } from 'tidemark';

export interface Transfer {
  readonly id: number;
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

export const bank = machine({
  name: 'bank',
  tables: { accounts: table<number>(), receipts: table<Transfer>() },
  commands: {
    deposit({ accounts }, { to, amount }: { to: string; amount: number }) {
      const balance = (accounts.get(to) ?? 0) + amount;
      accounts.set(to, balance);
      return balance;
    },
    transfer({ accounts, receipts }, transfer: Transfer) {
      const { id, from, to, amount } = transfer;
      receipts.set(String(id), transfer);
      accounts.set(from, (accounts.get(from) ?? 0) - amount);
      if (accounts.get(from)! < 0) throw new Rejection('insufficient funds'); // all of it is undone
      accounts.set(to, (accounts.get(to) ?? 0) + amount);
    },
  },
  queries: {
    balance: ({ accounts }, who: string) => accounts.get(who) ?? 0,
    receipt: ({ receipts }, id: number) => receipts.get(String(id)) ?? null,
  },
});
