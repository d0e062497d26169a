/**
 * Procedures whose functions do what none should (src/procedures/). Goal: whatever is thrown, given back or
 * asked for ends in an error that says so, with a bound, and never harms the node. Method: real nodes in
 * memory.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { copyOf } from '../src/base/bytes.ts';
import { sha256 } from '../src/base/digest.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { Rejection } from '../src/engine/machine.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { encodePatch } from '../src/keyvalue/patch.ts';
import { type OpenOptions, open } from '../src/node/open.ts';
import { type AnyProcedure, procedure } from '../src/procedures/procedure.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';

const notes = machine({
  name: 'notes',
  tables: { notes: table<string>() },
  commands: {
    note({ notes }, text: string) {
      notes.set(text, text);
      return text;
    },
  },
  queries: { has: ({ notes }, text: string) => notes.has(text) },
});

const RETRY = { attempts: 2, delayMs: 0 };

function openNotes(procedures: readonly AnyProcedure[], options: Partial<OpenOptions> = {}) {
  return open({ machine: notes, dir: 'memory:', procedures, ...options });
}

function withCode(code: string, message: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    ok(isTidemarkError(error), String(error));
    strictEqual(error.code, code, error.message);
    match(error.message, message);
    return true;
  };
}

/** Its prototype cannot even be asked for. */
function revokedProxy(): unknown {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

for (const { name, thrown, message } of [
  { name: 'no prototype', thrown: Object.create(null), message: /cannot be read/ },
  { name: 'a revoked proxy', thrown: revokedProxy(), message: /cannot be read/ },
  { name: 'a text that throws', thrown: { toString: () => assertNever() }, message: /cannot be read/ },
  { name: 'a message of two megabytes', thrown: new Error('x'.repeat(2e6)), message: /: x{1024}\b/ },
  { name: 'a message that is none', thrown: Object.assign(new Error(), { message: {} }), message: /object/ },
  { name: 'a name that is none', thrown: Object.assign(new Error('n'), { name: Symbol('s') }), message: /n/ },
  { name: 'nothing', thrown: undefined, message: /undefined/ },
]) {
  test(`procedure: ${name} is thrown, by a step, the function, an undo`, async () => {
    const raise = (): never => {
      throw thrown;
    };
    const options = { machine: notes, retry: RETRY };
    const inStep = procedure('in_step', { ...options, recovery: 'forward' }, (step) => step('a', raise));
    const inFunction = procedure('in_function', { ...options, recovery: 'forward' }, async () => raise());
    const inUndo = procedure('in_undo', { ...options, recovery: 'backward' }, async (step) => {
      await step('a', () => 1, { undo: raise });
      throw new Rejection('over');
    });
    const backward = procedure('backward', { ...options, recovery: 'backward' }, (step) => step('a', raise));
    await using node = await openNotes([inStep, inFunction, inUndo, backward]);
    for (const stuck of [inStep, inFunction, inUndo]) {
      const run = node.run<undefined, unknown>(stuck, undefined, { id: 'a' });
      await rejects(run, withCode('TIDEMARK_PROCEDURE_STUCK', message));
    }
    const undone = node.run<undefined, unknown>(backward, undefined, { id: 'a' });
    await rejects(undone, withCode('TIDEMARK_PROCEDURE_UNDONE', message));
    const listed = node.procedures().map(({ lastError }) => (lastError ?? '').length <= 1024);
    deepStrictEqual(listed, [true, true, true]);
  });
}

function assertNever(): never {
  throw new Error('not even this');
}

test('procedure: who waits is told, also when a run is abandoned while it ends', async () => {
  const note = procedure('note', { recovery: 'forward', machine: notes }, (step) => step('a', () => 1));
  await using node = await openNotes([note]);
  for (let turns = 0; turns < 60; turns++) {
    const id = `${turns}`;
    const first = node.run(note, undefined, { id });
    while (node.procedures().length === 0) await node.sync();
    for (let turn = 0; turn < turns; turn++) await Promise.resolve();
    if (node.procedures().length === 0) break;
    const abandoned = node.abandonProcedure({ procedure: 'note', id });
    const outcomes = await Promise.allSettled([first, node.run(note, undefined, { id }), abandoned]);
    strictEqual(outcomes[0].status, outcomes[1].status, `${turns}`);
    ok(outcomes[0].status === 'rejected' || outcomes[0].value === 1);
  }
});

for (const { name, ask, message } of [
  { name: 'a name with a slash', ask: ['1/pay', () => 1], message: /1\/pay/ },
  { name: 'a name without end', ask: ['x'.repeat(257), () => 1], message: /256 characters/ },
  { name: 'no name', ask: [undefined, () => 1], message: /name/ },
  { name: 'no effect', ask: ['pay'], message: /effect/ },
  { name: 'an option that is none', ask: ['pay', () => 1, { undoo: () => 1 }], message: /undoo/ },
  { name: 'an undo that is none', ask: ['pay', () => 1, { undo: 5 }], message: /undo/ },
]) {
  test(`procedure: a step with ${name} is refused, and not done`, async () => {
    const options = { recovery: 'forward', machine: notes, retry: RETRY } as const;
    const odd = procedure('odd', options, (step) => step(...(ask as unknown as ['pay', () => number])));
    await using node = await openNotes([odd]);
    await rejects(node.run(odd, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK', message));
    deepStrictEqual(node.procedures()[0]?.attempts, 0);
  });
}

test('procedure: an accident of a command is not recorded, and its result has a bound', async () => {
  let isMended = false;
  const faulty = machine({
    tables: { notes: table<number>() },
    commands: {
      note({ notes }) {
        notes.set('a', 1);
        if (!isMended) throw new TypeError('a bug');
      },
      large: () => 'x'.repeat(65_537),
    },
    queries: { has: ({ notes }) => notes.has('a') },
  });
  const options = { recovery: 'forward', machine: faulty } as const;
  const note = procedure('note', options, (step) => step.submit(['note']));
  const large = procedure('large', options, (step) => step.submit(['large']));
  await using node = await open({ machine: faulty, dir: 'memory:', procedures: [note, large] });
  await rejects(node.run(note, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK', /a bug/));
  strictEqual(await node.query('has'), false);
  isMended = true;
  node.retryProcedure({ procedure: 'note', id: 'a' });
  await node.run(note, undefined, { id: 'a' });
  await rejects(node.run(large, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK', /65536/));
});

test('procedure: backward, a result that cannot be recorded takes its steps back', async () => {
  const undone: number[] = [];
  const options = { recovery: 'backward', machine: notes } as const;
  const odd = procedure('odd', options, async (step) => {
    await step('a', () => 1, { undo: () => undone.push(1) });
    return 'x'.repeat(70_000);
  });
  await using node = await openNotes([odd]);
  await rejects(node.run(odd, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_UNDONE', /65536/));
  deepStrictEqual(undone, [1]);
});

test('procedure: errors of the procedures of another node are errors like any other', async () => {
  const gone = { procedure: 'none', id: 'none' };
  await using east = await openNotes([]);
  const options = { machine: notes, retry: RETRY } as const;
  const call = procedure('call', { ...options, recovery: 'forward' }, (step) =>
    step('call', () => east.abandonProcedure(gone)),
  );
  await using west = await openNotes([call]);
  const failed = west.run(call, undefined, { id: 'a' });
  await rejects(failed, withCode('TIDEMARK_PROCEDURE_STUCK', /no unfinished run none/));
  deepStrictEqual(west.procedures()[0]?.attempts, 2);
});

test('procedure: many that are left go on a few at a time, whoever asks for them', async () => {
  const fs = new MemoryFileSystem();
  let isDown = true;
  let [inFlight, most] = [0, 0];
  const options = { recovery: 'forward', machine: notes, retry: { attempts: 1 } } as const;
  const call = procedure('call', options, (step) =>
    step('call', async () => {
      if (isDown) throw new Error('down');
      most = Math.max(most, ++inFlight);
      await new Promise((resolve) => setImmediate(resolve));
      inFlight--;
    }),
  );
  const ids = Array.from({ length: 1500 }, (_, at) => `${at}`);
  {
    await using node = await openNotes([call], { dir: 'data', doors: { fs } });
    await Promise.allSettled(ids.map((id) => node.run(call, undefined, { id })));
  }
  isDown = false;
  await using node = await openNotes([call], { dir: 'data', doors: { fs } });
  await Promise.all(ids.slice(0, 100).map((id) => node.run(call, undefined, { id })));
  while (node.stats().procedures.unfinished > 0) await new Promise((resolve) => setImmediate(resolve));
  ok(most > 1 && most <= 256, `${most} at once`);
});

test('procedure: one that is left and abandoned before it was begun keeps nobody waiting', async () => {
  const fs = new MemoryFileSystem();
  let isDown = true;
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => {
    open = resolve;
  });
  const begun = new Set<string>();
  const options = { recovery: 'forward', machine: notes, retry: { attempts: 1 } } as const;
  const call = procedure('call', options, (step) =>
    step('call', async () => {
      if (isDown) throw new Error('down');
      begun.add(step.id);
      await gate;
    }),
  );
  const ids = Array.from({ length: 600 }, (_, at) => `${at}`);
  {
    await using node = await openNotes([call], { dir: 'data', doors: { fs } });
    await Promise.allSettled(ids.map((id) => node.run(call, undefined, { id })));
  }
  isDown = false;
  await using node = await openNotes([call], { dir: 'data', doors: { fs } });
  while (begun.size < 256) await new Promise((resolve) => setImmediate(resolve));
  const waiting = node.procedures().filter(({ id }) => !begun.has(id));
  await Promise.all(waiting.slice(0, 300).map((run) => node.abandonProcedure(run)));
  open();
  while (node.stats().procedures.unfinished > 0) await new Promise((resolve) => setImmediate(resolve));
  deepStrictEqual([begun.size, node.procedures()], [300, []]);
});

test('procedure: its records are not changed from outside', async () => {
  const held = procedure('held', { recovery: 'forward', retry: RETRY }, (step) =>
    step('a', () => Promise.reject(new Error('not now'))),
  );
  await using node = await open({ dir: 'memory:', procedures: [held] });
  await rejects(node.run(held, undefined, { id: 'a' }), withCode('TIDEMARK_PROCEDURE_STUCK'));
  const key = Buffer.from('\x03uheld\0a\0\0\0\0\0', 'latin1');
  const before = await new Promise<Uint8Array | null>((resolve, fail) =>
    node.ordering.enqueueRead({ read: (state) => resolve(copyOf(state.get(key)!)), fail }),
  );
  const { root } = await node.root();
  for (const after of [null, before]) {
    const patch = encodePatch([{ key, before: sha256(before!), after }]);
    const sent = new Promise((settle, fail) => node.ordering.enqueue(patch, { settle, fail }));
    await rejects(sent, /records of procedures are not changed from outside/);
  }
  deepStrictEqual([(await node.root()).root, node.procedures().length], [root, 1]);
});

test('procedure: more at once than may be unfinished are refused without a delay', async () => {
  const note = procedure('note', { recovery: 'forward', machine: notes }, (step) => step('a', () => 1));
  await using node = await openNotes([note]);
  const ids = Array.from({ length: 11_000 }, (_, at) => `${at}`);
  const ends = await Promise.allSettled(ids.map((id) => node.run(note, undefined, { id })));
  strictEqual(ends.filter(({ status }) => status === 'rejected').length, 1000);
});
