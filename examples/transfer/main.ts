/**
 * Money between two banks, and a teller who is killed in the middle, again and again.
 *
 *     npm run example transfer
 *
 * A transfer takes money in the west and pays it out in the east: two logs, and no transaction over both.
 * Each is a procedure, so that what a crash leaves half-done is brought to its end, or taken back. After
 * several kills both banks are checked. The exit code is 0 only if all of it holds.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { answered, runAndKill } from '../support/killed-process.js';
import type { Report } from '../support/report.js';
import { runExample } from '../support/run-example.js';
import { type BankNode, keyIn, openBanks } from './banks.js';

const ACCOUNTS = ['ada', 'ben', 'cem', 'dia', 'eva', 'fay'];
const DEPOSIT = 2000;
const TOTAL = ACCOUNTS.length * DEPOSIT;
const LIVES = 6;
const ANSWERS = 120;

/** Ids of a life begin here: far from those of the one before. */
const IDS_A_LIFE = 10_000;

type Banks = Awaited<ReturnType<typeof openBanks>>;

await runExample('transfer', async (dir, report) => {
  await prepare(dir, report);
  const { done, refused } = await killTellers(dir, report);
  const banks = await openBanks(dir);
  await finish(banks, report);
  await audit(banks, { done, refused }, report);
  await banks.close();
});

async function prepare(dir: string, report: Report): Promise<void> {
  const { west, close } = await openBanks(dir);
  for (const account of ACCOUNTS) {
    await west.submit('book', { key: `deposit ${account}`, account, amount: DEPOSIT });
  }
  await close();
  report.step(`${ACCOUNTS.length} accounts in the west with ${DEPOSIT} each; the east has none of it yet`);
}

/** Runs tellers one after the other, and kills each in the middle of its work. */
async function killTellers(dir: string, report: Report) {
  report.step(`${LIVES} tellers, one after the other, transfer money until they are killed`);
  const answers: string[][] = [];
  const program = new URL('./teller', import.meta.url);
  for (let life = 0; life < LIVES; life++) {
    const args = [dir, String(life * IDS_A_LIFE), ...ACCOUNTS];
    answers.push(...(await runAndKill({ program, args, lines: ANSWERS }, report)));
  }
  const [done, refused] = [answered(answers, 'done'), answered(answers, 'refused')];
  const found = `${done.size} transfers were done, ${refused.size} refused, others on the way`;
  report.check('answers', found, done.size > 0 && refused.size > 0);
  return { done, refused };
}

/** What the last kill interrupted goes on by itself. */
async function finish({ west }: Banks, report: Report): Promise<void> {
  await west.whenLoaded();
  const unfinished = west.procedures();
  const forward = unfinished.filter(({ procedure }) => procedure === 'transfer_forward').length;
  const backward = unfinished.length - forward;
  report.step(
    `Opened again: ${forward} transfers are brought to their end, ${backward} that go backward taken back`,
  );
  for (let tries = 0; west.procedures().length > 0 && tries < 1000; tries++) await sleep(10);
  const left = west.procedures().length;
  report.check('unfinished', `${left} transfers`, left === 0);
}

interface Answers {
  readonly done: ReadonlySet<string>;
  readonly refused: ReadonlySet<string>;
}

async function audit({ west, east }: Banks, { done, refused }: Answers, report: Report): Promise<void> {
  report.step('Both banks, checked');
  const [there, here] = [await balanceOf(west), await balanceOf(east)];
  report.check('money', `${there} + ${here} of ${TOTAL}`, there + here === TOTAL && here > 0);
  let [halves, lost, kept] = [0, 0, 0];
  for (const id of await idsOf(west)) {
    const [taken, paid] = [await isBooked(west, 'west', id), await isBooked(east, 'east', id)];
    if (taken !== paid) halves++;
    if (done.has(id) && !paid) lost++;
    if (refused.has(id) && (taken || paid)) kept++;
  }
  report.check('half-done', `${halves} transfers`, halves === 0);
  report.check('acknowledged', `${lost} of ${done.size} transfers are missing`, lost === 0);
  report.check('refused', `${kept} of ${refused.size} transfers left anything behind`, kept === 0);
}

async function balanceOf(node: BankNode): Promise<number> {
  let sum = 0;
  for (const account of ACCOUNTS) sum += await node.query('balance', account);
  return sum;
}

/** Every id that may have been used: those of a life follow without a gap, and some were not answered. */
async function idsOf(west: BankNode): Promise<string[]> {
  const ids: string[] = [];
  for (let life = 0; life < LIVES; life++) {
    for (let at = 0, misses = 0; misses < ANSWERS; at++) {
      const number = life * IDS_A_LIFE + at;
      const id = `${number % 2 === 0 ? 'f' : 'b'}${number}`;
      const isKnown = (await west.query('receipt', keyIn('west', id))) !== null;
      misses = isKnown ? 0 : misses + 1;
      ids.push(id);
    }
  }
  return ids;
}

async function isBooked(node: BankNode, side: 'west' | 'east', id: string): Promise<boolean> {
  return (await node.query('receipt', keyIn(side, id)))?.state === 'booked';
}
