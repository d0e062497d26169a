/**
 * Procedures whose functions do what none should (src/procedures/). Goal: whatever is thrown, given back or
 * asked for ends in an error that says so, with a bound, and never harms the node. Method: real nodes in
 * memory.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { Rejection } from '../src/engine/machine.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { type OpenOptions, open } from '../src/node/open.ts';
import { type AnyProcedure, procedure } from '../src/procedures/procedure.ts';

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
