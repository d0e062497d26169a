/**
 * The teller: a process that transfers money until it is killed. It says what it was answered, and nothing
 * that it was not: `done 17`, `refused 18`.
 */

import { open, Rejection } from 'tidemark';
import { say } from '../support/say.js';
import { bank, type Transfer } from './machine.js';

/** Transfers on the way at a time: group commit puts those that wait together into one entry. */
const CLIENTS = 32;

/** A checkpoint now and then, while transfers go on. */
const TRANSFERS_A_CHECKPOINT = 500;

const [dir = '', ...accounts] = process.argv.slice(2);
const node = await open({ machine: bank, dir });
let sent = 0;

async function client(): Promise<never> {
  for (;;) {
    const transfer = nextTransfer();
    try {
      await node.submit('transfer', transfer);
      say(`done ${transfer.id}`);
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      say(`refused ${transfer.id}`);
    }
    if (transfer.id % TRANSFERS_A_CHECKPOINT === 0) await node.checkpoint();
  }
}

function nextTransfer(): Transfer {
  const id = ++sent;
  const [from, to] = [accounts[id % accounts.length]!, accounts[(id * id + 1) % accounts.length]!];
  return { id, from, to, amount: 1 + ((id * 7919) % 400) };
}

await Promise.all(Array.from({ length: CLIENTS }, client));
