/**
 * The teller: a process that sends money from the west to the east until it is killed, half of it by
 * transfers that go forward, half by such that go backward. It says what it was answered: `done f17`,
 * `refused b18`.
 */

import { Rejection } from 'tidemark';
import { say } from '../support/say.js';
import { openBanks, type Transfer } from './banks.js';
import { CLOSED } from './machine.js';

/** Transfers on the way at a time. */
const CLIENTS = 16;

const [dir = '', first = '', ...accounts] = process.argv.slice(2);
const { finished, undone, west } = await openBanks(dir);
let next = Number(first);

async function client(): Promise<never> {
  for (;;) {
    const number = next++;
    const isForward = number % 2 === 0;
    const id = `${isForward ? 'f' : 'b'}${number}`;
    // Only one that goes backward may find out too late that it cannot pay.
    const to = !isForward && number % 7 === 0 ? CLOSED : accounts[(number * 3) % accounts.length]!;
    const transfer: Transfer = { from: accounts[number % accounts.length]!, to, amount: 1 + (number % 40) };
    try {
      await west.run(isForward ? finished : undone, transfer, { id });
      say(`done ${id}`);
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      say(`refused ${id}`);
    }
  }
}

await Promise.all(Array.from({ length: CLIENTS }, client));
