/**
 * A machine in three versions. They keep the same balances in three ways, and each multiplies what is
 * deposited by its own number: so a command replayed by the wrong version, a migration run twice or not at
 * all gives another balance.
 */

import { ok } from 'node:assert';
import { isTidemarkError, type TidemarkError } from '../../src/base/errors.ts';
import { type Clock, systemClock } from '../../src/base/time.ts';
import type { CallableMachine } from '../../src/engine/machine.ts';
import { table } from '../../src/engine/table.ts';
import { machine } from '../../src/engine/typed-machine.ts';
import type { DurabilityChoice } from '../../src/log/durability.ts';
import { readStatus } from '../../src/log/status.ts';
import { type EarlierVersion } from '../../src/log/status-content.ts';
import { open } from '../../src/node/open.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';

export const DIR = 'data';
export const log = { segmentBytes: 64 * 1024 };

export interface Deposit {
  readonly to: string;
  readonly amount: number;
}

/** A balance is a number. */
export const v1 = machine({
  name: 'bank',
  version: 1,
  tables: { accounts: table<number>() },
  commands: {
    deposit: ({ accounts }, { to, amount }: Deposit) => accounts.set(to, (accounts.get(to) ?? 0) + amount),
  },
  queries: { balance: ({ accounts }, who: string) => accounts.get(who) ?? null },
});

/** A balance is an object, in the same table. */
export const v2 = machine({
  version: 2,
  previous: v1,
  tables: { accounts: table<{ balance: number; since: number }>(), totals: table<number>() },
  commands: {
    deposit({ accounts }, { to, amount }: Deposit) {
      const { balance, since } = accounts.get(to) ?? { balance: 0, since: 0 };
      accounts.set(to, { balance: balance + 2 * amount, since });
    },
  },
  queries: { balance: ({ accounts }, who: string) => accounts.get(who)?.balance ?? null },
  migrate({ accounts, totals }, before, { index }) {
    let total = 0;
    for (const [who, balance] of before.accounts.entries()) {
      accounts.set(who, { balance, since: index });
      total += balance;
    }
    totals.set('all', total);
  },
});

/** A balance is a number again, in a table of another name; the old one is given up. */
export const v3 = machine({
  version: 3,
  previous: v2,
  tables: { balances: table<number>(), totals: table<number>() },
  commands: {
    deposit: ({ balances }, { to, amount }: Deposit) =>
      balances.set(to, (balances.get(to) ?? 0) + 3 * amount),
  },
  queries: {
    balance: ({ balances }, who: string) => balances.get(who) ?? null,
    total: ({ totals }) => totals.get('all'),
  },
  migrate({ balances }, before) {
    for (const [who, { balance, since }] of before.accounts.entries()) {
      balances.set(who, balance + 1000 * since);
      before.accounts.delete(who);
    }
  },
});

type BankCommands = { deposit: { arguments: [Deposit]; result: unknown } };
type BankQueries = { balance: { arguments: [string]; result: number | null } };
export type Bank = CallableMachine<BankCommands, BankQueries>;

let seeds = 0;

/** So many seeds that nobody else gets; returns the first. No two nodes draw the same segment ids. */
export function drawSeeds(count: number): number {
  seeds += count;
  return seeds - count + 1;
}

/** The log keeps every entry, so that a start without checkpoints replays with every version there was. */
export const checkpoint = { checkpointOnClose: false, compactLogAfterCheckpoint: false };

export async function openBank(
  fs: FileSystem,
  version: Bank,
  seed = ++seeds,
  durability: DurabilityChoice = 'synced',
) {
  const doors = { fs, clock: clockThatGoes(), chance: new SeededRandom(seed) };
  return open({ machine: version, dir: DIR, log, durability, checkpoint, doors });
}

/** A checkpoint waits for timers; nothing else here does. */
function clockThatGoes(): Clock {
  return { ...systemClock, now: () => 1_700_000_000_000 };
}

/** The next start has the log alone. */
export async function forgetCheckpoints(fs: FileSystem): Promise<void> {
  const dir = `${DIR}/checkpoints`;
  if ((await fs.stat(dir)) === null) return;
  for (const name of await fs.list(dir)) await fs.remove(`${dir}/${name}`);
}

/** Opens a version, deposits for each name, and closes. */
export async function deposit(fs: FileSystem, version: Bank, ...names: readonly string[]): Promise<void> {
  await using node = await openBank(fs, version);
  for (const to of names) await node.submit('deposit', { to, amount: 10 });
}

export async function balances(
  fs: FileSystem,
  version: Bank,
  ...names: string[]
): Promise<(number | null)[]> {
  await using node = await openBank(fs, version);
  return await Promise.all(names.map((name) => node.query('balance', name)));
}

export async function rootOf(fs: FileSystem, version: Bank): Promise<string> {
  await using node = await openBank(fs, version);
  return (await node.root()).root;
}

export async function statusOf(
  fs: FileSystem,
): Promise<{ version: number; earlier: readonly EarlierVersion[] }> {
  const { status } = await readStatus(fs, DIR);
  return { version: status.machine.version, earlier: status.earlierVersions };
}

export async function refusal(fs: FileSystem, version: Bank): Promise<TidemarkError> {
  const error = await openBank(fs, version).then(
    () => new Error('it was opened'),
    (thrown: unknown) => thrown,
  );
  ok(isTidemarkError(error), String(error));
  return error;
}
