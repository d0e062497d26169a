/**
 * Two banks, each with a log of its own, and how money gets from one to the other: taken in the west, then
 * paid out in the east. Between the two, and before either is recorded, the process may end.
 */

import { type Node, open, procedure } from 'tidemark';
import { type Booking, bank } from './machine.js';

export interface Transfer {
  readonly from: string;
  readonly to: string;
  readonly amount: number;
}

export type BankNode = typeof bank extends { calls?: { commands: infer Commands; queries: infer Queries } }
  ? Node<Commands, Queries>
  : never;

/** Opens both: what a crash interrupted goes on at once. */
export async function openBanks(dir: string) {
  const east: BankNode = await open({ machine: bank, dir: `${dir}-east` });
  const [finished, undone] = [transferBy(east, 'forward'), transferBy(east, 'backward')];
  const west: BankNode = await open({ machine: bank, dir: `${dir}-west`, procedures: [finished, undone] });
  const close = async (): Promise<void> => {
    await west.close(); // The one that has the procedures goes first.
    await east.close();
  };
  return { west, east, finished, undone, close };
}

/** `forward`: what a crash interrupts is brought to its end. `backward`: it is taken back. */
function transferBy(east: BankNode, recovery: 'forward' | 'backward') {
  return procedure(`transfer_${recovery}`, { recovery, machine: bank }, async (step, transfer: Transfer) => {
    const { from, to, amount } = transfer;
    const taken: Booking = { key: keyIn('west', step.id), account: from, amount: -amount };
    await step.submit(['book', taken], { undo: () => ['takeBack', taken] });
    const paid: Booking = { key: keyIn('east', step.id), account: to, amount };
    await step('pay', () => east.submit('book', paid), { undo: () => east.submit('takeBack', paid) });
  });
}

/** Under which a bank has the receipt of its half. */
export function keyIn(side: 'west' | 'east', id: string): string {
  return `${side} ${id}`;
}
