/**
 * Procedures (src/procedures/). Goal: what a run gives, how it fails, what is refused, and what each says.
 * Method: real nodes in memory, effects on plain variables.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError, type TidemarkError } from '../src/base/errors.ts';
import { toIndex } from '../src/base/positions.ts';
import { Rejection } from '../src/engine/machine.ts';
import { encodeProcedureRecord, type ProcedureRecord } from '../src/engine/procedure-record.ts';
import { refusal } from '../src/engine/refusal.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { buffered } from '../src/log/durability.ts';
import type { Node } from '../src/node/node.ts';
import { type OpenOptions, open } from '../src/node/open.ts';
import { type AnyProcedure, type EffectCall, procedure } from '../src/procedures/procedure.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';

const shop = machine({
  name: 'shop',
  tables: { stock: table<number>() },
  errors: { soldOut: refusal<{ item: string }>() },
  commands: {
    put({ stock }, { item, count }: { item: string; count: number }) {
      stock.set(item, (stock.get(item) ?? 0) + count);
    },
    take({ stock }, item: string, { reject }) {
      const left = (stock.get(item) ?? 0) - 1;
      stock.set(item, left);
      if (left < 0) reject('soldOut', { item });
      return left;
    },
  },
  queries: { left: ({ stock }, item: string) => stock.get(item) ?? 0 },
});

const RETRY = { attempts: 3, delayMs: 0 };

function openShop(procedures: readonly AnyProcedure[], options: Partial<OpenOptions> = {}) {
  return open({ machine: shop, dir: 'memory:', procedures, ...options });
}

/** Resolves when every procedure is stuck or over. */
async function settled(node: Node<never, never> | Awaited<ReturnType<typeof openShop>>): Promise<void> {
  await node.whenLoaded();
  while (node.procedures().some(({ status }) => status !== 'stuck')) {
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function withCode(code: string, message: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    ok(isTidemarkError(error), String(error));
    strictEqual(error.code, code, error.message);
    match(error.message, message);
    return true;
  };
}

test('procedure: its steps are done in order, and its id gives the same result again', async () => {
  const done: string[] = [];
  const buy = procedure('buy', { recovery: 'forward', machine: shop }, async (step, item: string) => {
    const paid = await step('pay', ({ key, attempt }) => {
      done.push(`${key} ${attempt}`);
      return { on: new Date(5), key };
    });
    const left = await step.submit(['take', item]);
    return { paid, left, id: step.id, isBegun: step.begunAt > 0 };
  });
  await using node = await openShop([buy]);
  await node.submit('put', { item: 'tea', count: 3 });
  const result = await node.run(buy, 'tea', { id: 'one' });
  const key = 'buy/one/1/pay';
  deepStrictEqual(result, { paid: { on: new Date(5), key }, left: 2, id: 'one', isBegun: true });
  deepStrictEqual(await node.run(buy, 'tea', { id: 'one' }), result);
  deepStrictEqual(done, [`${key} 1`]);
  strictEqual((await node.run(buy, 'tea', { id: 'two' })).left, 1);
  strictEqual(await node.query('left', 'tea'), 1);
  strictEqual(node.stats().keys, 1);
  deepStrictEqual(node.procedures(), []);
});

test('procedure: with the key-value machine, and checkDeterminism with another', async () => {
  const count = procedure('count', { recovery: 'backward' }, async (step, by: number) => {
    const drawn = await step('draw', () => by);
    return await step.submit(['INCRBY', 'counter', drawn], { undo: () => ['DECRBY', 'counter', by] });
  });
  await using node = await open({ dir: 'memory:', procedures: [count] });
  strictEqual(await node.run(count, 5, { id: 'a' }), 5);
  strictEqual(await node.run(count, 5, { id: 'b' }), 10);
  strictEqual(await node.query('DBSIZE'), 1);

  const take = procedure('take', { recovery: 'forward', machine: shop }, (step) =>
    step.submit(['take', 'x']),
  );
  await using checked = await open({
    machine: shop,
    dir: 'memory:',
    procedures: [take],
    checkDeterminism: true,
  });
  await rejects(checked.run(take, undefined, { id: 'a' }), Rejection);
});

test('procedure: many at once, and one id at once', async () => {
  let effects = 0;
  const buy = procedure('buy', { recovery: 'forward', machine: shop }, async (step, n: number) => {
    await step('pay', async () => {
      await new Promise((resolve) => setImmediate(resolve));
      effects++;
    });
    await step.submit(['take', 'tea']);
    return n;
  });
  await using node = await openShop([buy]);
  await node.submit('put', { item: 'tea', count: 1000 });
  const results = await Promise.all(
    Array.from({ length: 400 }, (_, at) => node.run(buy, at % 100, { id: `order ${at % 100}` })),
  );
  deepStrictEqual(
    results,
    Array.from({ length: 400 }, (_, at) => at % 100),
  );
  strictEqual(effects, 100);
  strictEqual(await node.query('left', 'tea'), 900);
});

test('procedure: an id with another argument is refused, while it runs and afterwards', async () => {
  let goOn = (): void => undefined;
  const wait = procedure('wait', { recovery: 'forward', machine: shop }, async (step, wanted: number) => {
    await step('wait', () => new Promise<void>((resolve) => (goOn = resolve)));
    return wanted;
  });
  await using node = await openShop([wait]);
  const first = node.run(wait, 1, { id: 'x' });
  while (node.procedures()[0]?.step === null || node.procedures().length === 0) await node.sync();
  await rejects(node.run(wait, 2, { id: 'x' }), withCode('TIDEMARK_PROCEDURE_ID_TAKEN'));
  const again = node.run(wait, 1, { id: 'x' });
  goOn();
  await Promise.all([first, again]);
  await rejects(node.run(wait, 2, { id: 'x' }), withCode('TIDEMARK_PROCEDURE_ID_TAKEN'));
});

test('procedure: what is remembered is bounded; a forgotten id begins anew, with the same key', async () => {
  const keys: string[] = [];
  const note = procedure('note', { recovery: 'forward', machine: shop }, (step) =>
    step('note', ({ key }) => keys.push(key)),
  );
  await using node = await openShop([note], { proceduresKept: 2 });
  for (const id of ['a', 'b', 'c', 'd']) await node.run(note, undefined, { id });
  strictEqual(await node.run(note, undefined, { id: 'c' }), 3);
  strictEqual(await node.run(note, undefined, { id: 'a' }), 5);
  deepStrictEqual(keys.at(-1), keys[0]);
});

test('procedure: an error is tried again; a Rejection is a result that the function may catch', async () => {
  let attempts = 0;
  const pay = procedure('pay', { recovery: 'forward', machine: shop, retry: RETRY }, async (step) => {
    const tried = await step('try', ({ attempt }) => {
      attempts++;
      if (attempt < 3) throw new Error('not yet');
      return attempt;
    });
    const card = await step('card', () => {
      throw new Rejection('declined');
    }).catch((error: unknown) => (error as Rejection).message);
    const taken = await step.submit(['take', 'tea']).catch((error: unknown) => {
      ok(shop.isRejection(error, 'soldOut'));
      return error.facts.item;
    });
    return [tried, card, taken];
  });
  await using node = await openShop([pay]);
  deepStrictEqual(await node.run(pay, undefined, { id: 'a' }), [3, 'declined', 'tea']);
  strictEqual(attempts, 3);
});

test('procedure: forward, a refusal ends it, and is what the id gives from then on', async () => {
  const buy = procedure('buy', { recovery: 'forward', machine: shop }, async (step) => {
    await step('pay', () => 'paid');
    await step.submit(['take', 'tea']);
  });
  await using node = await openShop([buy]);
  for (let time = 0; time < 2; time++) {
    await rejects(node.run(buy, undefined, { id: 'a' }), (error) => {
      ok(shop.isRejection(error, 'soldOut'));
      deepStrictEqual(error.facts, { item: 'tea' });
      return true;
    });
    strictEqual(await node.query('left', 'tea'), 0); // What the command had written is taken back.
  }
});

test('procedure: backward, what was done is taken back, the last step first', async () => {
  const log: string[] = [];
  const undo = (result: unknown, { key }: EffectCall): number => log.push(`undo ${key} ${String(result)}`);
  const buy = procedure('buy', { recovery: 'backward', machine: shop, retry: RETRY }, async (step) => {
    await step('reserve', () => 'r', { undo });
    await step('look', () => 'nothing to take back');
    await step.submit(['take', 'tea'], { undo: (left) => ['put', { item: 'tea', count: left + 1 - 2 }] });
    await step('pay', () => Promise.reject(new Error('no money')), { undo });
  });
  await using node = await openShop([buy]);
  await node.submit('put', { item: 'tea', count: 2 });
  const events: string[] = [];
  const watching = (async () => {
    for await (const event of node.events()) if (event.kind.startsWith('procedure')) events.push(event.kind);
  })();
  const failed = await node
    .run(buy, undefined, { id: 'a' })
    .catch((error: unknown) => error as TidemarkError);
  ok(withCode('TIDEMARK_PROCEDURE_UNDONE', /no money/)(failed));
  deepStrictEqual(log, ['undo buy/a/4/pay undefined', 'undo buy/a/1/reserve r']);
  strictEqual(await node.query('left', 'tea'), 1);
  await rejects(node.run(buy, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_UNDONE'));
  await node.close();
  await watching;
  deepStrictEqual(events, ['procedure-undone']);
});

test('procedure: forward, a step that keeps failing is stuck; it is listed, retried, abandoned', async () => {
  let isBroken = true;
  const pay = procedure('pay', { recovery: 'forward', machine: shop, retry: RETRY }, async (step) => {
    await step.submit(['put', { item: 'tea', count: 1 }]);
    return await step('pay', () => (isBroken ? Promise.reject(new Error('unreachable')) : 'paid'));
  });
  await using node = await openShop([pay]);
  await rejects(node.run(pay, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK', /unreachable/));
  await rejects(node.run(pay, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK'));
  const [listed] = node.procedures();
  const stats = { unfinished: 1, stuck: 1, oldestBegunAt: listed!.begunAt };
  deepStrictEqual(node.stats().procedures, stats);
  const { begunAt, ...rest } = listed!;
  ok(begunAt > 0);
  deepStrictEqual(rest, {
    procedure: 'pay',
    id: 'a',
    version: 1,
    direction: 'forward',
    status: 'stuck',
    step: { number: 2, name: 'pay' },
    attempts: 3,
    lastError: 'unreachable',
  });
  isBroken = false;
  node.retryProcedure({ procedure: 'pay', id: 'a' });
  strictEqual(await node.run(pay, undefined, { id: 'a' }), 'paid');
  isBroken = true;
  await rejects(node.run(pay, undefined, { id: 'b' }), withCode('TIDEMARK_PROCEDURE_STUCK'));
  await node.abandonProcedure({ procedure: 'pay', id: 'b' });
  deepStrictEqual(node.procedures(), []);
  deepStrictEqual(node.stats().procedures, { unfinished: 0, stuck: 0, oldestBegunAt: 0 });
  await rejects(node.run(pay, undefined, { id: 'b' }), withCode('TIDEMARK_PROCEDURE_ABANDONED'));
  await rejects(node.abandonProcedure({ procedure: 'pay', id: 'b' }), withCode('TIDEMARK_PROCEDURE_GONE'));
  strictEqual(await node.query('left', 'tea'), 2);
});

test('procedure: an undoing that keeps failing is stuck, and goes on when it is retried', async () => {
  let isBroken = true;
  const undone: string[] = [];
  const undo = (name: string) => () => {
    if (isBroken && name === 'one') throw new Error('unreachable');
    undone.push(name);
  };
  const pay = procedure('pay', { recovery: 'backward', machine: shop, retry: RETRY }, async (step) => {
    await step('one', () => 1, { undo: undo('one') });
    await step('two', () => 2, { undo: undo('two') });
    throw new Rejection('changed my mind');
  });
  await using node = await openShop([pay]);
  await rejects(node.run(pay, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK', /unreachable/));
  strictEqual(node.procedures()[0]?.direction, 'backward');
  isBroken = false;
  node.retryProcedure({ procedure: 'pay', id: 'a' });
  await rejects(node.run(pay, undefined, { id: 'a' }), /changed my mind/);
  deepStrictEqual(undone, ['two', 'one']);
});

test('procedure: an attempt that takes too long has failed, and is told so', async () => {
  const aborted: unknown[] = [];
  const retry = { attempts: 2, delayMs: 0, timeoutMs: 1 };
  const pay = procedure('pay', { recovery: 'forward', machine: shop, retry }, (step) =>
    step('pay', ({ attempt, signal }) => {
      if (attempt === 2) return 'paid';
      return new Promise<string>(() => signal.addEventListener('abort', () => aborted.push(signal.reason)));
    }),
  );
  await using node = await openShop([pay]);
  strictEqual(await node.run(pay, undefined, { id: 'a' }), 'paid');
  match(String(aborted), /no result after 1 ms/);
});

test('procedure: steps at once, and a step left behind, are refused', async () => {
  const both = procedure('both', { recovery: 'forward', machine: shop }, async (step) => {
    await Promise.all([step('one', () => 1), step('two', () => 2)]);
  });
  const left = procedure('left', { recovery: 'forward', machine: shop }, async (step) => {
    void step('one', () => 1);
  });
  await using node = await openShop([both, left]);
  await rejects(
    node.run(both, undefined, { id: 'a' }),
    withCode('TIDEMARK_PROCEDURE_MISUSED', /step two during another/),
  );
  await rejects(
    node.run(left, undefined, { id: 'a' }),
    withCode('TIDEMARK_PROCEDURE_MISUSED', /while one of its steps/),
  );
});

test('procedure: a result that cannot be recorded is no result', async () => {
  const large = procedure('large', { recovery: 'forward', machine: shop }, (step) =>
    step('make', () => 'x'.repeat(70_000)),
  );
  await using node = await openShop([large]);
  await rejects(node.run(large, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK', /65536/));
});

/** Opens a directory in which `run` is stuck behind two steps. */
async function stuckBehindTwo(recovery: 'forward' | 'backward', fs: MemoryFileSystem): Promise<void> {
  const before = procedure('buy', { recovery, machine: shop, retry: RETRY }, async (step) => {
    await step('reserve', () => 1, { undo: () => Promise.reject(new Error('not now')) });
    await step.submit(['put', { item: 'tea', count: 1 }]);
    await step('pay', () => Promise.reject(new Error('not now')));
  });
  await using node = await openShop([before], { dir: 'data', doors: { fs } });
  await rejects(node.run(before, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK'));
}

for (const recovery of ['forward', 'backward'] as const) {
  test(`procedure: ${recovery}, changed code is an error with both steps, and nothing is done`, async () => {
    const fs = new MemoryFileSystem();
    await stuckBehindTwo(recovery, fs);
    let effects = 0;
    const undo = (): number => effects++;
    const other = procedure('buy', { recovery, machine: shop, retry: RETRY }, async (step) => {
      await step('reserve', () => effects++, { undo });
      await step('weigh', () => effects++, { undo });
    });
    const short = procedure('buy', { recovery, machine: shop }, (step) =>
      step('reserve', () => effects++, { undo }),
    );
    for (const [changed, message] of [
      [other, /step 2 was the command put, and now it asks for weigh/],
      [short, /step 2 was put, and now it ends behind step 1/],
    ] as const) {
      await using node = await openShop([changed], { dir: 'data', doors: { fs } });
      await settled(node);
      await rejects(
        node.run<undefined, unknown>(changed, undefined, { id: 'a' }),
        withCode('TIDEMARK_PROCEDURE_CHANGED', message),
      );
    }
    strictEqual(effects, 0);
  });
}

test('procedure: a run goes on with the version that began it, or waits until that is there', async () => {
  const fs = new MemoryFileSystem();
  await stuckBehindTwo('forward', fs);
  const at = { dir: 'data', doors: { fs } };
  const v1 = procedure('buy', { recovery: 'forward', machine: shop }, async (step) => {
    await step('reserve', () => 1);
    await step.submit(['put', { item: 'tea', count: 1 }]);
    return await step('pay', () => 'by version 1');
  });
  const alone = procedure(
    'buy',
    { recovery: 'forward', machine: shop, version: 2 },
    async () => 'by version 2',
  );
  const chained = procedure(
    'buy',
    { recovery: 'forward', machine: shop, version: 2, previous: v1 },
    async () => 'by version 2',
  );
  for (const procedures of [[], [alone]]) {
    await using node = await openShop(procedures, at);
    await settled(node);
    match(node.procedures()[0]?.lastError ?? '', /needs version 1 of the procedure buy/);
  }
  await using node = await openShop([chained], at);
  strictEqual(await node.run(chained, undefined, { id: 'a' }), 'by version 1');
  strictEqual(await node.run(chained, undefined, { id: 'b' }), 'by version 2');
});

test('procedure: buffered durability waits for its records; closing lets the next start go on', async () => {
  const fs = new MemoryFileSystem();
  let seen = -1;
  const watch = procedure('watch', { recovery: 'forward', machine: shop }, async (step) => {
    await step.submit(['put', { item: 'tea', count: 1 }]);
    return await step('look', ({ attempt, signal }) => {
      seen = node.stats().commandsUnsynced;
      if (isOpenAgain) return `attempt ${attempt}`;
      return new Promise<string>((_, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error)),
      );
    });
  });
  let isOpenAgain = false;
  const options = { dir: 'data', doors: { fs }, durability: buffered() };
  let node = await openShop([watch], options);
  const run = node.run(watch, undefined, { id: 'a' });
  while (seen === -1) await new Promise((resolve) => setImmediate(resolve));
  strictEqual(seen, 0);
  const closing = node.close();
  await rejects(run, withCode('TIDEMARK_NOT_OPEN', /goes on/));
  await closing;
  isOpenAgain = true;
  node = await openShop([watch], options);
  strictEqual(await node.run(watch, undefined, { id: 'a' }), 'attempt 1');
  strictEqual(await node.query('left', 'tea'), 1);
  await node.close();
});

test('procedure: a rewind takes its records back with the tables, and it goes on from there', async () => {
  const effects: string[] = [];
  let isHeld = true;
  const buy = procedure('buy', { recovery: 'forward', machine: shop, retry: RETRY }, async (step) => {
    await step('pay', ({ key }) => effects.push(key));
    await step.submit(['take', 'tea']);
    await step('post', ({ key }) => {
      if (isHeld) throw new Error('held');
      effects.push(key);
    });
    return await step.submit(['take', 'tea']);
  });
  await using node = await openShop([buy]);
  await node.submit('put', { item: 'tea', count: 10 });
  await rejects(node.run(buy, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK'));
  const { index } = await node.root();
  isHeld = false;
  node.retryProcedure({ procedure: 'buy', id: 'a' });
  strictEqual(await node.run(buy, undefined, { id: 'a' }), 8);
  strictEqual(await node.run(buy, undefined, { id: 'b' }), 6);
  await node.rewind(index);
  strictEqual(await node.run(buy, undefined, { id: 'a' }), 8);
  strictEqual(await node.query('left', 'tea'), 8);
  strictEqual(await node.run(buy, undefined, { id: 'b' }), 6);
  deepStrictEqual([...new Set(effects)].sort(), [
    'buy/a/1/pay',
    'buy/a/3/post',
    'buy/b/1/pay',
    'buy/b/3/post',
  ]);
});

test('procedure: a record that does not go on where its run stands changes nothing', async () => {
  const fs = new MemoryFileSystem();
  await stuckBehindTwo('forward', fs);
  await using node = await openShop([], { dir: 'data', doors: { fs } });
  const result = Uint8Array.of(1);
  const run = { procedure: 'buy', id: 'a', begun: toIndex(1), steps: 2, next: null };
  const step = { kind: 'step', name: 'pay', outcome: { kind: 'done', result } } as const;
  const end = { kind: 'end', outcome: { kind: 'done', result }, kept: 1 } as const;
  const failure = { name: 'Error', message: 'late', rejection: null };
  const enqueue = (record: ProcedureRecord): Promise<unknown> =>
    new Promise((settle, fail) => node.ordering.enqueue(encodeProcedureRecord(record), { settle, fail }));
  const { root } = await node.root();
  for (const stale of [
    { ...run, ...step, steps: 1 },
    { ...run, ...step, steps: 3 },
    { ...run, ...step, begun: toIndex(2) },
    { ...run, ...step, id: 'b' },
    { ...run, ...step, next: 1 },
    { ...run, ...end, steps: 1 },
    { ...run, kind: 'undone', number: 2, command: null, next: 2 } as const,
    { ...run, kind: 'turn-back', from: 1, failure, steps: 1 } as const,
    { ...run, kind: 'command-step', name: 'take', command: Uint8Array.of(), steps: 0 } as const,
  ]) {
    await rejects(enqueue(stale), withCode('TIDEMARK_PROCEDURE_GONE'), JSON.stringify(stale));
    strictEqual((await node.root()).root, root);
  }
  await enqueue({ ...run, ...step });
  await enqueue({ ...run, ...end, steps: 3 });
  await rejects(enqueue({ ...run, ...end, steps: 3 }), withCode('TIDEMARK_PROCEDURE_GONE'));
});

test('procedure: the log tells commands that are steps, and what else was recorded', async () => {
  const buy = procedure('buy', { recovery: 'forward', machine: shop }, async (step) => {
    await step('pay', () => 1);
    await step.submit(['put', { item: 'tea', count: 1 }]);
  });
  await using node = await openShop([buy]);
  await node.run(buy, undefined, { id: 'a' });
  const commands: unknown[] = [];
  const records: string[] = [];
  for await (const entry of node.entries({ from: 1 })) {
    if (entry.kind !== 'commands') continue;
    commands.push(...entry.commands);
    for (const { at, record } of entry.procedures ?? []) records.push(`${at} ${record}`);
  }
  deepStrictEqual(commands, [{ name: 'put', argument: { item: 'tea', count: 1 } }]);
  deepStrictEqual(records, ['1 begin', '1 step', '1 command-step', '1 end']);
});

test('procedure: what cannot be is refused at once', async () => {
  const fine = procedure('fine', { recovery: 'forward', machine: shop }, async () => 1);
  const other = procedure('fine', { recovery: 'forward', machine: shop }, async () => 2);
  const keyValue = procedure('kv', { recovery: 'forward' }, async (step) => step.submit(['SET', 'a', 'b']));
  for (const make of [
    () => procedure('1st', { recovery: 'forward' }, async () => 1),
    () => procedure('x', { recovery: 'sideways' as 'forward' }, async () => 1),
    () => procedure('x', { recovery: 'forward', version: 0 }, async () => 1),
    () => procedure('x', { recovery: 'forward', previous: fine }, async () => 1),
    () => procedure('x', { recovery: 'forward', retry: { attempts: 0 } }, async () => 1),
  ]) {
    await rejects(async () => make(), withCode('TIDEMARK_OPTION_INVALID'));
  }
  for (const procedures of [[fine, other], [keyValue]]) {
    await rejects(openShop(procedures), withCode('TIDEMARK_OPTION_INVALID'));
  }
  await using node = await openShop([fine]);
  for (const id of ['', 'a\0b', 'x'.repeat(257)]) {
    await rejects(node.run(fine, undefined, { id }), withCode('TIDEMARK_OPTION_INVALID'));
  }
  await rejects(node.run(other, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_UNKNOWN'));
});
