/**
 * A bank whose teller is killed in the middle of its work.
 *
 *     npm run example bank
 *
 * Another process moves money between ten accounts and gets SIGKILL after 2,000 answers. Then everything is
 * checked against what it was told. The exit code is 0 only if all of it holds.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Node, open, Rejection } from 'tidemark';
import { bank, type Transfer } from './machine.js';

const ACCOUNTS = ['ada', 'ben', 'cem', 'dia', 'eva', 'fay', 'gus', 'hal', 'ida', 'jon'];
const DEPOSIT = 1000;
const TOTAL = ACCOUNTS.length * DEPOSIT;
const ANSWERS = 2000;

type BankNode = typeof bank extends { calls?: { commands: infer C; queries: infer Q } } ? Node<C, Q> : never;

/** What the teller was told before it died. */
interface Answers {
  readonly done: ReadonlySet<number>;
  readonly refused: ReadonlySet<number>;
}

let failures = 0;

function check(what: string, found: string, holds: boolean): void {
  if (!holds) failures++;
  console.log(`   ${holds ? 'ok   ' : 'WRONG'} ${what.padEnd(14)}${found}`);
}

async function prepare(dir: string): Promise<void> {
  await using node = await open({ machine: bank, dir });
  for (const to of ACCOUNTS) await node.submit('deposit', { to, amount: DEPOSIT });
  const { index, root } = await node.checkpoint();
  console.log(
    `1. ${ACCOUNTS.length} accounts with ${DEPOSIT} each. A checkpoint holds them: entry ${index},`,
  );
  console.log(`   root ${short(root)}`);
}

/** Runs the teller, and kills it when it has got enough answers. */
async function killTeller(dir: string): Promise<Answers> {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  const program = fileURLToPath(new URL(`./teller${extension}`, import.meta.url));
  const teller = spawn(process.execPath, [program, dir, ...ACCOUNTS], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(teller, 'exit');
  const done = new Set<number>();
  const refused = new Set<number>();
  for await (const line of createInterface({ input: teller.stdout })) {
    const [answer, id] = line.split(' ');
    (answer === 'done' ? done : refused).add(Number(id));
    if (done.size + refused.size === ANSWERS) teller.kill('SIGKILL');
  }
  const [code, signal] = (await exited) as [number | null, string | null];
  console.log(
    `2. A teller in another process transferred money, and was ended by ${signal ?? `code ${code}`}:`,
  );
  console.log(`   ${done.size} transfers were done, ${refused.size} refused, others on the way`);
  check('answers', `${done.size + refused.size}`, signal === 'SIGKILL' && done.size > 0 && refused.size > 0);
  return { done, refused };
}

/** The bank as the directory has it, against what the teller was told. */
async function audit(node: BankNode, { done, refused }: Answers): Promise<void> {
  const { checkpoint, entriesReplayed, tookMs } = node.recovery;
  console.log(
    `3. Opened again in ${Math.round(tookMs)} ms: the checkpoint of entry ${checkpoint?.index ?? 'none'},`,
  );
  console.log(`   and ${entriesReplayed} entries of the log after it`);
  const balances = await balancesOf(node);
  const total = [...balances.values()].reduce((sum, balance) => sum + balance, 0);
  check('total', `${total} of ${TOTAL}`, total === TOTAL);
  const receipts = await receiptsOf(node, Math.max(...done, ...refused));
  const found = [...done].filter((id) => receipts.has(id)).length;
  check('acknowledged', `${found} of ${done.size} transfers are there`, found === done.size);
  const left = [...refused].filter((id) => receipts.has(id)).length;
  check('refused', `${left} of ${refused.size} transfers left anything behind`, left === 0);
  const wrong = ACCOUNTS.filter((who) => balances.get(who) !== balanceBy(receipts, who));
  check(
    'balances',
    `${ACCOUNTS.length - wrong.length} of ${ACCOUNTS.length} agree with the receipts`,
    wrong.length === 0,
  );
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
async function receiptsOf(node: BankNode, lastAnswered: number): Promise<Map<number, Transfer>> {
  const receipts = new Map<number, Transfer>();
  for (let id = 1; id <= lastAnswered + 100; id++) {
    const receipt = await node.query('receipt', id);
    if (receipt !== null) receipts.set(id, receipt);
  }
  return receipts;
}

function balanceBy(receipts: ReadonlyMap<number, Transfer>, who: string): number {
  let balance = DEPOSIT;
  for (const { from, to, amount } of receipts.values()) {
    if (from === who) balance -= amount;
    if (to === who) balance += amount;
  }
  return balance;
}

/** A refused command takes back all that it wrote: the hash of the whole state is the same. */
async function overdraw(node: BankNode): Promise<string> {
  const before = await node.root();
  const transfer = { id: 1_000_000, from: 'ada', to: 'ben', amount: 1_000_000 };
  const error = await node.submit('transfer', transfer).catch((thrown: unknown) => thrown);
  const after = await node.root();
  console.log(`4. A transfer of a million: ${error instanceof Rejection ? error.message : String(error)}`);
  check('root before', short(before.root), error instanceof Rejection);
  check('root after', short(after.root), before.root === after.root);
  return after.root;
}

async function reopen(dir: string, before: string): Promise<void> {
  await using node = await open({ machine: bank, dir });
  const { root } = await node.root();
  console.log('5. Closed, and opened once more');
  check('root', short(root), root === before);
}

function short(root: string): string {
  return `${root.slice(0, 16)}…`;
}

const folder = await mkdtemp(join(tmpdir(), 'tidemark-bank-'));
try {
  const dir = join(folder, 'data');
  await prepare(dir);
  const answers = await killTeller(dir);
  const node = await open({ machine: bank, dir });
  await audit(node, answers);
  const root = await overdraw(node);
  await node.close();
  await reopen(dir, root);
  console.log(
    failures === 0 ? '\nNothing was lost, and nothing was made up.' : `\n${failures} checks FAILED.`,
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exitCode = failures === 0 ? 0 : 1;
