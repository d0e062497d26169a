/**
 * Errors that a machine declares: what a command and a query may reject with, what the caller gets, and what
 * the compiler refuses.
 */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { Rejection } from '../src/engine/machine.ts';
import { type Reject, refusal } from '../src/engine/refusal.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';

const log = { segmentBytes: 64 * 1024 };

const bank = machine({
  tables: { accounts: table<number>() },
  errors: {
    insufficientFunds: refusal<{ missing: number }>('the account lacks the money'),
    noAccount: refusal(),
  },
  commands: {
    deposit({ accounts }, { to, amount }: { to: string; amount: number }) {
      accounts.set(to, (accounts.get(to) ?? 0) + amount);
    },
    withdraw({ accounts }, { from, amount }: { from: string; amount: number }, { reject }) {
      const balance = accounts.get(from) ?? reject('noAccount');
      accounts.set(from, balance - amount);
      if (balance < amount) reject('insufficientFunds', { missing: amount - balance });
      return balance - amount;
    },
    close({ accounts }, who: string) {
      if (!accounts.delete(who)) throw new Rejection(`there is no ${who}`);
    },
    blame(_, facts: unknown, context) {
      const reject = context.reject as Reject<{ any: ReturnType<typeof refusal<unknown>> }>;
      reject('any', facts);
    },
    accuse(_, bad: 'function' | 'cycle', { reject }) {
      const cycle: { missing: number; again?: unknown } = { missing: 1 };
      cycle.again = cycle;
      reject('insufficientFunds', bad === 'cycle' ? cycle : { missing: (() => 1) as never });
    },
  },
  queries: {
    balance: ({ accounts }, who: string, { reject }) => accounts.get(who) ?? reject('noAccount'),
  },
});

async function openWithTen() {
  const node = await open({ machine: bank, dir: 'memory:', log });
  await node.submit('deposit', { to: 'alice', amount: 10 });
  return node;
}

test('machine errors: a caller gets code, facts and message, and the writes are undone', async () => {
  await using node = await openWithTen();
  try {
    await node.submit('withdraw', { from: 'alice', amount: 30 });
    ok(false, 'it was rejected');
  } catch (error) {
    ok(error instanceof Rejection);
    strictEqual(error.message, 'the account lacks the money');
    ok(!bank.isRejection(error, 'noAccount'));
    ok(bank.isRejection(error, 'insufficientFunds'));
    const missing: number = error.facts.missing;
    strictEqual(missing, 20);
  }
  strictEqual(await node.query('balance', 'alice'), 10);
});

test('machine errors: an error without a text says its code, and has no facts', async () => {
  await using node = await openWithTen();
  await rejects(node.submit('withdraw', { from: 'bob', amount: 1 }), {
    name: 'Rejection',
    message: 'noAccount',
    code: 'noAccount',
    facts: undefined,
  });
});

test('machine errors: a query rejects like a command', async () => {
  await using node = await openWithTen();
  await rejects(node.query('balance', 'bob'), (error) => bank.isRejection(error, 'noAccount'));
});

test('machine errors: attempt tells a rejection from a result, and throws everything else', async () => {
  await using node = await openWithTen();
  const done = await node.attempt('withdraw', { from: 'alice', amount: 1 });
  deepStrictEqual(done, { kind: 'done', result: 9 });
  const refused = await node.attempt('withdraw', { from: 'alice', amount: 10 });
  ok(refused.kind === 'rejected' && refused.rejection.code === 'insufficientFunds');
  deepStrictEqual(refused.rejection.facts, { missing: 1 });
  const plain = await node.attempt('close', 'bob');
  ok(plain.kind === 'rejected' && plain.rejection.code === null);
  strictEqual(plain.rejection.message, 'there is no bob');
  await rejects(node.attempt('nothing' as 'close', 'bob'), { code: 'TIDEMARK_COMMAND_UNKNOWN' });
});

test('machine errors: facts are plain data, copied, of a declared code', async () => {
  await using node = await openWithTen();
  for (const bad of ['function', 'cycle'] as const) {
    await rejects(node.submit('accuse', bad), (error) =>
      isTidemarkError(error, 'TIDEMARK_VALUE_UNENCODABLE'),
    );
  }
  await rejects(node.submit('blame', 1), {
    code: 'TIDEMARK_REJECTION_UNDECLARED',
    message: /machine machine rejected with the code any; it declares insufficientFunds, noAccount/,
  });
  const kept = { missing: 1 };
  const keeper = machine({
    tables: {},
    errors: { no: refusal<{ missing: number }>() },
    commands: { refuse: (_, __: undefined, { reject }) => reject('no', kept) },
  });
  await using other = await open({ machine: keeper, dir: 'memory:', log });
  const outcome = await other.attempt('refuse', undefined);
  ok(outcome.kind === 'rejected' && outcome.rejection.code === 'no');
  kept.missing = 2;
  deepStrictEqual(outcome.rejection.facts, { missing: 1 });
});

test('machine errors: rejected commands leave the same state after a restart', async () => {
  const fs = new MemoryFileSystem();
  const options = {
    machine: bank,
    dir: '/data',
    doors: { fs },
    log,
    checkpoint: { checkpointOnClose: false },
  };
  const first = await open(options);
  await first.submit('deposit', { to: 'alice', amount: 10 });
  strictEqual((await first.attempt('withdraw', { from: 'alice', amount: 11 })).kind, 'rejected');
  const { root } = await first.root();
  await first.close();
  await using second = await open(options);
  strictEqual(second.recovery.commandsReplayed, 2);
  strictEqual((await second.root()).root, root);
});

/** Never called: it is enough that the compiler refuses what is marked, and takes the rest. */
export function makesMachine() {
  const tables = { all: table<number>() };
  return machine({
    tables,
    errors: { missing: refusal<{ key: string }>(), never: refusal() },
    commands: {
      wrongCode(_, __: string, { reject }) {
        // @ts-expect-error no such code
        reject('mising', { key: 'a' });
      },
      wrongFacts(_, key: string, { reject }) {
        // @ts-expect-error facts of another type
        reject('missing', { key: 1 });
        // @ts-expect-error no facts
        reject('missing');
        // @ts-expect-error facts where there are none
        reject('never', { key });
      },
      // @ts-expect-error no such table
      wrongTable({ al }, key: string) {
        return al.get(key);
      },
      wrongValue({ all }, key: string) {
        // @ts-expect-error the values are numbers
        all.set(key, 'one');
      },
      narrowed({ all }, key: string, { reject, index, time }) {
        const value = all.get(key);
        if (value === undefined) throw reject('missing', { key });
        return value + index + time;
      },
      always: (_, key: string, { reject }) => reject('missing', { key }),
      plain: () => 1,
    },
    queries: {
      found: ({ all }, key: string, { reject }) => all.get(key) ?? reject('missing', { key }),
      timeless(_, __: string, context) {
        // @ts-expect-error a query has no entry
        return context.time;
      },
      writing({ all }, key: string) {
        // @ts-expect-error a query writes nothing
        all.set(key, 1);
      },
    },
  });
}

/** Never called, like the one above. */
export async function callsMachine(): Promise<void> {
  const one = makesMachine();
  const node = await open({ machine: one, dir: 'memory:' });
  const narrowed: number = await node.submit('narrowed', 'a');
  const never: never = await node.submit('always', 'a');
  const found: number = await node.query('found', 'a');
  deepStrictEqual([narrowed, never, found], []);

  const outcome = await node.attempt('narrowed', 'a');
  // @ts-expect-error it may be rejected
  deepStrictEqual(outcome.result, 1);
  if (outcome.kind === 'done') {
    const result: number = outcome.result;
    deepStrictEqual(result, 1);
    return;
  }
  const { rejection } = outcome;
  const code: 'missing' | 'never' | null = rejection.code;
  // @ts-expect-error only one of the codes has them
  deepStrictEqual(rejection.facts.key, code);
  if (rejection.code === 'missing') {
    const key: string = rejection.facts.key;
    deepStrictEqual(key, 'a');
  }
  // @ts-expect-error no such code
  one.isRejection(rejection, 'mising');

  const silent = machine({
    tables: {},
    commands: {
      // @ts-expect-error nothing is declared
      refuse: (_, __: string, { reject }) => reject('missing'),
    },
  });
  // @ts-expect-error nothing is declared
  silent.isRejection(rejection, 'missing');
  const refused = await (await open({ machine: silent, dir: 'memory:' })).attempt('refuse', 'a');
  if (refused.kind === 'rejected') {
    const none: null = refused.rejection.code;
    deepStrictEqual(none, null);
  }
}
