/**
 * Versions of a machine: an entry activates a new one, replay uses the one that was active then, and a
 * program that lacks one that is needed stops and says which.
 */

import { deepStrictEqual, ok, rejects, strictEqual, throws } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { toIndex } from '../src/base/positions.ts';
import { systemClock } from '../src/base/time.ts';
import { decodeActivation, encodeActivation } from '../src/engine/activation.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { requireVersions, versionAfter } from '../src/engine/versions.ts';
import { EARLIER_VERSIONS_MAX } from '../src/log/status-content.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import {
  type Bank,
  balances,
  checkpoint,
  type Deposit,
  DIR,
  deposit,
  forgetCheckpoints,
  log,
  openBank,
  refusal,
  rootOf,
  statusOf,
  v1,
  v2,
  v3,
} from './support/bank-versions.ts';
import { ROOT } from './support/project.ts';

test('machine versions: 1, 2 and 3 in turn; each replay uses what was active then', async () => {
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'alice', 'bob');
  deepStrictEqual(await statusOf(fs), { version: 1, earlier: [] });
  await deposit(fs, v2, 'alice'); // Entry 3 activates version 2.
  deepStrictEqual(await statusOf(fs), { version: 2, earlier: [{ version: 1, lastIndex: 2 }] });
  deepStrictEqual(await balances(fs, v2, 'alice', 'bob'), [30, 10]);
  await deposit(fs, v3, 'bob'); // Entry 5 activates version 3.
  const earlier = [
    { version: 1, lastIndex: 2 },
    { version: 2, lastIndex: 4 },
  ];
  deepStrictEqual(await statusOf(fs), { version: 3, earlier });
  const root = await rootOf(fs, v3);
  await forgetCheckpoints(fs);
  deepStrictEqual(await balances(fs, v3, 'alice', 'bob'), [3030, 3040]);
  strictEqual(await rootOf(fs, v3), root);
  await using node = await open({ machine: v3, dir: DIR, log, checkpoint, doors: { fs } });
  deepStrictEqual(node.recovery.entriesReplayed, 6);
  strictEqual(await node.query('total'), 20);
  strictEqual(node.stats().lastIndex, 6, 'one entry for each activation');
  strictEqual(node.stats().keys, 3, 'the table that was given up is empty');
});

test('machine versions: from 1 to 3 at once, by an activation of each', async () => {
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'alice', 'bob');
  deepStrictEqual(await balances(fs, v3, 'alice', 'bob'), [3010, 3010]);
  const earlier = [
    { version: 1, lastIndex: 2 },
    { version: 2, lastIndex: 3 },
  ];
  deepStrictEqual(await statusOf(fs), { version: 3, earlier });
  await forgetCheckpoints(fs);
  deepStrictEqual(await balances(fs, v3, 'alice', 'bob'), [3010, 3010]);
});

test('machine versions: a new directory begins with the newest version, without an activation', async () => {
  const fs = new MemoryFileSystem();
  await deposit(fs, v3, 'alice');
  deepStrictEqual(await statusOf(fs), { version: 3, earlier: [] });
  deepStrictEqual(await balances(fs, v3, 'alice'), [30]);
});

test('machine versions: a directory without an entry is brought on too', async () => {
  const fs = new MemoryFileSystem();
  await deposit(fs, v1);
  await deposit(fs, v2, 'alice');
  deepStrictEqual(await statusOf(fs), { version: 2, earlier: [{ version: 1, lastIndex: 0 }] });
  deepStrictEqual(await balances(fs, v2, 'alice'), [20]);
});

test('machine versions: without a migration the state stays as it is', async () => {
  const tripling = machine({
    version: 2,
    previous: v1,
    tables: { accounts: table<number>() },
    commands: {
      deposit: ({ accounts }, { to, amount }: Deposit) =>
        accounts.set(to, (accounts.get(to) ?? 0) + 3 * amount),
    },
    queries: { balance: ({ accounts }, who: string) => accounts.get(who) ?? null },
  });
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'alice');
  await deposit(fs, tripling, 'alice');
  await forgetCheckpoints(fs);
  deepStrictEqual(await balances(fs, tripling, 'alice'), [40]);
});

test('machine versions: an earlier version is refused once a later one is active', async () => {
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'alice');
  await deposit(fs, v2);
  const root = await rootOf(fs, v2);
  strictEqual((await refusal(fs, v1)).code, 'TIDEMARK_MACHINE_MISMATCH');
  strictEqual(await rootOf(fs, v2), root);
});

test('machine versions: a version whose previous one is missing says so, and changes nothing', async () => {
  const alone = machine({
    name: 'bank',
    version: 2,
    tables: { accounts: table<{ balance: number }>() },
    commands: { deposit: (_tables, _deposit: Deposit) => undefined },
    queries: { balance: ({ accounts }, who: string) => accounts.get(who)?.balance ?? null },
  });
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'alice', 'bob');
  const active = await refusal(fs, alone);
  deepStrictEqual([active.code, active.facts['version']], ['TIDEMARK_VERSION_MISSING', 1]);
  ok(active.message.includes('version 1 of the machine bank is active'), active.message);
  await deposit(fs, v2, 'bob');
  // The checkpoint before the activation does not help: the activation itself needs both versions.
  strictEqual((await refusal(fs, alone)).message.includes('which the activation at 3 needs'), true);
  await forgetCheckpoints(fs);
  const needed = await refusal(fs, alone);
  strictEqual(needed.code, 'TIDEMARK_VERSION_MISSING');
  const { version, firstIndex, lastIndex, from } = needed.facts;
  deepStrictEqual([version, firstIndex, lastIndex, from], [1, 1, 2, 3]);
  ok(needed.message.includes('entries 1 to 2, and the activation at 3, need'), needed.message);
  deepStrictEqual(await balances(fs, v2, 'bob'), [30]);
  // One behind it does.
  const node = await openBank(fs, v2);
  await node.checkpoint();
  await node.close();
  deepStrictEqual(await balances(fs, alone, 'bob'), [30]);
});

test('machine versions: each activation is preceded by a checkpoint of what was before it', async () => {
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'alice', 'bob');
  await using node = await openBank(fs, v3);
  strictEqual(node.stats().lastIndex, 4);
  const names = (await fs.list(`${DIR}/checkpoints`)).filter((name) => name.endsWith('.idx'));
  deepStrictEqual(
    names.map((name) => Number(/_(\d+)\.idx$/.exec(name)?.[1])),
    [2, 3],
  );
});

test('machine versions: compaction forgets the versions that nothing needs any more', async () => {
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'alice');
  await deposit(fs, v2, 'alice');
  await deposit(fs, v3, 'alice');
  strictEqual((await statusOf(fs)).earlier.length, 2);
  for (let run = 0; run < 4; run++) {
    const checkpoint = { logAgeMs: 0 };
    await using node = await open({ machine: v3, dir: DIR, log, checkpoint, doors: { fs } });
    await node.submit('deposit', { to: 'alice', amount: 1 });
  }
  deepStrictEqual(await statusOf(fs), { version: 3, earlier: [] });
});

test('machine versions: what is needed depends on where the replay starts', () => {
  const skipping = { ...v3, previous: { ...v2, previous: undefined } } as unknown as Bank;
  const history = {
    active: 3,
    earlier: [
      { version: 1, lastIndex: toIndex(10) },
      { version: 2, lastIndex: toIndex(20) },
    ],
  };
  const checkpoints = [5, 10, 11, 30].map(toIndex);
  for (let after = 0; after <= 30; after++) {
    const active = versionAfter(history, toIndex(after));
    strictEqual(active, after <= 10 ? 1 : after <= 20 ? 2 : 3);
    requireVersions(v3, history, toIndex(after), []);
    if (after > 10) {
      requireVersions(skipping, history, toIndex(after), []);
      continue;
    }
    throws(
      () => requireVersions(skipping, history, toIndex(after), checkpoints),
      (error: unknown) => {
        ok(isTidemarkError(error, 'TIDEMARK_VERSION_MISSING'), String(error));
        const { version, firstIndex, lastIndex, from, checkpoints: usable } = error.facts;
        deepStrictEqual([version, firstIndex, lastIndex, from], [1, after + 1, 10, 11]);
        strictEqual(usable, '11 30');
        return error.message.includes('there are those at 11, 30');
      },
    );
  }
  const alone = { ...v3, previous: undefined } as unknown as Bank;
  throws(
    () => requireVersions(alone, history, toIndex(4), checkpoints),
    (error: unknown) => isTidemarkError(error) && error.facts['from'] === 21,
  );
  requireVersions(alone, history, toIndex(21), []);
  // A program whose version 3 comes right after version 1 cannot repeat two activations.
  const direct = { ...v3, previous: v1 } as unknown as Bank;
  throws(() => requireVersions(direct, history, toIndex(0), []), { code: 'TIDEMARK_VERSION_MISSING' });
});

for (const { name, migrate } of [
  {
    name: 'throws',
    migrate: () => {
      throw new Error('not today');
    },
  },
  { name: 'returns a promise', migrate: () => Promise.resolve() as unknown as undefined },
  { name: 'writes what cannot be encoded', migrate: (set: (value: unknown) => void) => set(() => 1) },
]) {
  test(`machine versions: a migration that ${name} changes nothing`, async () => {
    const broken = machine({
      version: 2,
      previous: v1,
      tables: { accounts: table<unknown>() },
      commands: { deposit: (_tables, _deposit: Deposit) => undefined },
      queries: { balance: (_tables, _who: string) => null },
      migrate({ accounts }, before) {
        for (const [who] of before.accounts.entries()) accounts.delete(who);
        return migrate((value) => accounts.set('alice', value));
      },
    });
    const fs = new MemoryFileSystem();
    await deposit(fs, v1, 'alice', 'bob');
    const root = await rootOf(fs, v1);
    const error = await refusal(fs, broken);
    strictEqual(error.code, 'TIDEMARK_MIGRATION_FAILED');
    ok(error.cause instanceof Error);
    deepStrictEqual(await statusOf(fs), { version: 1, earlier: [] });
    strictEqual(await rootOf(fs, v1), root);
    deepStrictEqual(await balances(fs, v2, 'alice', 'bob'), [10, 10], 'and a correct one can follow');
  });
}

test('machine versions: a migration reads what was there before it, whatever it has written', async () => {
  const rotating = machine({
    version: 2,
    previous: v1,
    tables: { accounts: table<number>() },
    commands: { deposit: (_tables, _deposit: Deposit) => undefined },
    queries: { balance: ({ accounts }, who: string) => accounts.get(who) ?? null },
    migrate({ accounts }, before) {
      for (const [who, balance] of before.accounts.entries()) {
        before.accounts.delete(who);
        accounts.set(`${who}${who}`, balance); // Comes later in the order, and is not met.
      }
    },
  });
  const fs = new MemoryFileSystem();
  await deposit(fs, v1, 'a', 'b', 'é', '');
  deepStrictEqual(await balances(fs, rotating, 'a', 'aa', 'bb', 'éé', ''), [null, 10, 10, 10, 10]);
});

for (const { name, definition } of [
  { name: 'an equal version', definition: { name: 'bank', version: 1 } },
  { name: 'a lower version', definition: { name: 'bank', version: 0 } },
  { name: 'no version', definition: { name: 'bank' } },
  { name: 'another name', definition: { name: 'shop', version: 2 } },
]) {
  test(`machine versions: ${name} than that of its previous one is refused`, () => {
    const make = () => machine({ ...definition, previous: v1, tables: {}, commands: {} });
    throws(make, { code: 'TIDEMARK_OPTION_INVALID' });
  });
}

test('machine versions: a migration without a previous version is refused', () => {
  const make = () => machine({ version: 2, tables: {}, commands: {}, migrate: () => undefined });
  throws(make, { code: 'TIDEMARK_OPTION_INVALID' });
});

test('machine versions: more versions than the status can name are refused', async () => {
  const fs = new MemoryFileSystem();
  let newest: Bank = v1;
  for (let version = 1; version <= EARLIER_VERSIONS_MAX + 1; version++) {
    newest = version === 1 ? v1 : { ...v1, version, previous: newest };
    await deposit(fs, newest, 'alice');
  }
  await forgetCheckpoints(fs);
  deepStrictEqual(await balances(fs, newest, 'alice'), [90]);
  const tooMany = { ...v1, version: EARLIER_VERSIONS_MAX + 2, previous: newest } as Bank;
  const error = await refusal(fs, tooMany);
  deepStrictEqual([error.code, error.facts['lastIndex']], ['TIDEMARK_OPTION_INVALID', 1]);
  deepStrictEqual(await balances(fs, newest, 'alice'), [90]);
});

test('machine versions: an activation is the same bytes for ever', () => {
  const activation = { name: 'bänk', from: 1, to: 2 ** 53 - 1 };
  const bytes = encodeActivation(activation);
  strictEqual(Buffer.from(bytes).toString('hex'), '0100000000000000ffffffffffff1f0062c3a46e6b');
  deepStrictEqual(decodeActivation(bytes), activation);
});

test('machine versions: inspect and verify show an activation', async (t: TestContext) => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  for (const version of [v1, v2] as Bank[]) {
    await using node = await open({ machine: version, dir, log, checkpoint });
    await node.submit('deposit', { to: 'alice', amount: 1 });
  }
  const run = (...args: string[]): string => {
    const { stdout, status } = spawnSync(process.execPath, [join(ROOT, 'bin/tidemark.mjs'), ...args], {
      encoding: 'utf8',
    });
    strictEqual(status, 0);
    return stdout;
  };
  const text = run('inspect', 'log', dir);
  ok(text.includes('version 2 of the machine bank is active from here on, after version 1'), text);
  const { entries } = JSON.parse(run('inspect', 'log', dir, '--json')) as { entries: object[] };
  strictEqual(entries.length, 3);
  deepStrictEqual((entries[1] as { activation: unknown }).activation, { name: 'bank', from: 1, to: 2 });
  ok(run('verify', dir).includes('2 commands in 3 entries'));
});

test('machine versions: the log may be proven between two activations, before the node serves', async () => {
  const fs = new MemoryFileSystem();
  const first = await open({ machine: v1, dir: DIR, log, doors: { fs } });
  await first.submit('deposit', { to: 'alice', amount: 10 });
  await first.close();
  // The log's idle time is over at once, as it is when a checkpoint or the status takes longer.
  const clock = { ...systemClock, after: (_: number, run: () => void) => systemClock.after(0, run) };
  await using node = await open({ machine: v3, dir: DIR, log, doors: { fs, clock } });
  strictEqual(await node.query('balance', 'alice'), 2010); // Version 2 is active from entry 2 on.
});

test('machine versions: damage met while one is activated ends the opening, and not the next', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  const node = await open({ machine: v1, dir, log });
  for (let at = 0; at < 3_000; at++) void node.submit('deposit', { to: `account ${at}`, amount: 1 });
  await node.submit('deposit', { to: 'alice', amount: 10 });
  await node.close();
  const folder = join(dir, 'checkpoints');
  const [name] = (await readdir(folder)).filter((file) => file.endsWith('.data'));
  const bytes = await readFile(join(folder, name!));
  bytes[bytes.length >> 1]! ^= 1;
  await writeFile(join(folder, name!), bytes);

  // Nothing is verified ahead: the leaf is met when all is loaded for the checkpoint before the activation.
  const unverified = { verifyBytesMax: 0, checkpointOnClose: false };
  await rejects(open({ machine: v2, dir, log, checkpoint: unverified }), (error) =>
    isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED'),
  );
  await using again = await open({ machine: v2, dir, log, checkpoint: unverified });
  strictEqual(again.recovery.checkpoint, null);
  deepStrictEqual([await again.query('balance', 'alice'), again.stats().keys], [10, 3_002]);
});

/** Never called: it is enough that the compiler refuses what is marked, and takes the rest. */
export function compiles(): void {
  machine({
    version: 2,
    previous: v1,
    tables: { accounts: table<string>(), more: table<boolean>() },
    commands: { deposit: ({ accounts }, to: string) => accounts.set(to, 'x') },
    migrate({ accounts, more }, before, { index, time }) {
      for (const [who, balance] of before.accounts.entries()) {
        accounts.set(who, balance.toFixed(index));
        more.set(who, time > 0);
        // @ts-expect-error the new table has other values
        accounts.set(who, balance);
        // @ts-expect-error the old one too
        before.accounts.set(who, 'x');
      }
      // @ts-expect-error the version before had no such table
      before.more.get('x');
    },
  });
}
