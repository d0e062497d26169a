/**
 * A bank whose teller is killed in the middle of its work.
 *
 *     npm run example bank
 *
 * Another process moves money between ten accounts and gets SIGKILL after 2,000 answers. Then everything is
 * checked against what it was told. The exit code is 0 only if all of it holds.
 */

import { open, Rejection } from 'tidemark';
import { answered, runAndKill } from '../support/killed-process.js';
import { openedAgain } from '../support/opened-again.js';
import type { Report } from '../support/report.js';
import { runExample } from '../support/run-example.js';
import { bank, type Transfer } from './machine.js';

const ACCOUNTS = ['ada', 'ben', 'cem', 'dia', 'eva', 'fay', 'gus', 'hal', 'ida', 'jon'];
const DEPOSIT = 1000;
const TOTAL = ACCOUNTS.length * DEPOSIT;
const ANSWERS = 2000;

const openBank = (dir: string) => open({ machine: bank, dir });
type BankNode = Awaited<ReturnType<typeof openBank>>;

/** Ids of what the teller was told before it died. */
interface Answers {
  readonly done: ReadonlySet<string>;
  readonly refused: ReadonlySet<string>;
}

await runExample('bank', async (dir, report) => {
  await prepare(dir, report);
  const answers = await killTeller(dir, report);
  const node = await openBank(dir);
  await audit(node, answers, report);
  const root = await overdraw(node, report);
  await node.close();
  await reopen(dir, root, report);
});

async function prepare(dir: string, report: Report): Promise<void> {
  await using node = await openBank(dir);
  for (const to of ACCOUNTS) await node.submit('deposit', { to, amount: DEPOSIT });
  const { index, root } = await node.checkpoint();
  report.step(`${ACCOUNTS.length} accounts with ${DEPOSIT} each. A checkpoint holds them: entry ${index},`);
  report.note(`root ${short(root)}`);
}

/** Runs the teller, and kills it when it has got enough answers. */
async function killTeller(dir: string, report: Report): Promise<Answers> {
  report.step('A teller in another process transfers money, until it is killed');
  const program = new URL('./teller', import.meta.url);
  const answers = await runAndKill({ program, args: [dir, ...ACCOUNTS], lines: ANSWERS }, report);
  const [done, refused] = [answered(answers, 'done'), answered(answers, 'refused')];
  const found = `${done.size} transfers were done, ${refused.size} refused, others on the way`;
  report.check('answers', found, done.size > 0 && refused.size > 0);
  return { done, refused };
}

/** The bank as the directory has it, against what the teller was told. */
async function audit(node: BankNode, { done, refused }: Answers, report: Report): Promise<void> {
  report.step(openedAgain(node.recovery));
  const balances = await balancesOf(node);
  const total = [...balances.values()].reduce((sum, balance) => sum + balance, 0);
  report.check('total', `${total} of ${TOTAL}`, total === TOTAL);
  const receipts = await receiptsOf(node, Math.max(...[...done, ...refused].map(Number)));
  const found = [...done].filter((id) => receipts.has(id)).length;
  report.check('acknowledged', `${found} of ${done.size} transfers are there`, found === done.size);
  const left = [...refused].filter((id) => receipts.has(id)).length;
  report.check('refused', `${left} of ${refused.size} transfers left anything behind`, left === 0);
  const right = ACCOUNTS.filter((who) => balances.get(who) === balanceBy(receipts, who)).length;
  const all = ACCOUNTS.length;
  report.check('balances', `${right} of ${all} agree with the receipts`, right === all);
}

async function balancesOf(node: BankNode): Promise<Map<string, number>> {
  const balances = new Map<string, number>();
  for (const who of ACCOUNTS) balances.set(who, await node.query('balance', who));
  return balances;
}

/**
 * Receipts of all that was answered, and of what was on the way: those follow without a gap of more than
 * that.
 */
async function receiptsOf(node: BankNode, lastAnswered: number): Promise<Map<string, Transfer>> {
  const receipts = new Map<string, Transfer>();
  for (let id = 1; id <= lastAnswered + 100; id++) {
    const receipt = await node.query('receipt', id);
    if (receipt !== null) receipts.set(String(id), receipt);
  }
  return receipts;
}

function balanceBy(receipts: ReadonlyMap<string, Transfer>, who: string): number {
  let balance = DEPOSIT;
  for (const { from, to, amount } of receipts.values()) {
    if (from === who) balance -= amount;
    if (to === who) balance += amount;
  }
  return balance;
}

/** A refused command takes back all that it wrote: the hash of the whole state is the same. */
async function overdraw(node: BankNode, report: Report): Promise<string> {
  const before = await node.root();
  const transfer = { id: 1_000_000, from: 'ada', to: 'ben', amount: 1_000_000 };
  const error = await node.submit('transfer', transfer).catch((thrown: unknown) => thrown);
  const after = await node.root();
  report.step(`A transfer of a million: ${error instanceof Rejection ? error.message : String(error)}`);
  report.check('root before', short(before.root), error instanceof Rejection);
  report.check('root after', short(after.root), before.root === after.root);
  return after.root;
}

async function reopen(dir: string, before: string, report: Report): Promise<void> {
  await using node = await openBank(dir);
  const { root } = await node.root();
  report.step('Closed, and opened once more');
  report.check('root', short(root), root === before);
}

function short(root: string): string {
  return `${root.slice(0, 16)}…`;
}
