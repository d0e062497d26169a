/**
 * The checkers of replicas and clients (src/testing/checkers). Goal: each is silent where all is well, and
 * speaks where its one promise is broken. Method: what a small right system would report, then the same with
 * one thing wrong.
 */

import { deepStrictEqual, match, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { CommandLedger } from '../src/testing/checkers/command-ledger.ts';
import { checkConservedTotal } from '../src/testing/checkers/conserved-total.ts';
import { EqualRoots } from '../src/testing/checkers/equal-roots.ts';
import { checkLocalReads } from '../src/testing/checkers/local-reads.ts';
import { LogMatching } from '../src/testing/checkers/log-matching.ts';
import { OneLeaderPerTerm } from '../src/testing/checkers/one-leader-per-term.ts';
import { RecoveryTerminates } from '../src/testing/checkers/recovery-terminates.ts';
import { SessionGuarantees } from '../src/testing/checkers/session-guarantees.ts';
import { StateMachineSafety } from '../src/testing/checkers/state-machine-safety.ts';
import type { Violation } from '../src/testing/checkers/violation.ts';
import type { Json, Operation } from '../src/testing/history/operation.ts';
import { keyValueModel } from '../src/testing/linearizability/key-value-model.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { operation } from './support/operation.ts';
import { seedOf } from './support/seed.ts';

test('checkers: roots at one index are equal', () => {
  const roots = new EqualRoots();
  strictEqual(roots.observe({ replica: 'a', index: 5, root: 'f0' }), null);
  strictEqual(roots.observe({ replica: 'b', index: 5, root: 'f0' }), null);
  strictEqual(roots.observe({ replica: 'b', index: 6, root: 'f1' }), null);
  finds(roots.observe({ replica: 'c', index: 6, root: 'f2' }), 'equal-roots', /b has root f1 and c has f2/);
  roots.forgetBefore(7);
  strictEqual(roots.observe({ replica: 'c', index: 6, root: 'f2' }), null);
});

test('checkers: a term has one leader', () => {
  const leaders = new OneLeaderPerTerm();
  strictEqual(leaders.observe({ term: 1, replica: 'a' }), null);
  strictEqual(leaders.observe({ term: 1, replica: 'a' }), null);
  strictEqual(leaders.observe({ term: 2, replica: 'b' }), null);
  finds(leaders.observe({ term: 2, replica: 'a' }), 'one-leader-per-term', /both b and a/);
});

test('checkers: replicas apply the same entries, in order', () => {
  const safety = new StateMachineSafety();
  const apply = (replica: string, index: number, digest: string) =>
    safety.applied({ replica, index, digest });
  deepStrictEqual(
    [apply('a', 1, 'x'), apply('b', 1, 'x'), apply('a', 2, 'y'), apply('b', 2, 'y')],
    [null, null, null, null],
  );
  safety.restored({ replica: 'a', index: 1 });
  strictEqual(apply('a', 2, 'y'), null, 'again after a restart');
  safety.restored({ replica: 'c', index: 2 });
  strictEqual(apply('c', 3, 'z'), null, 'on a state from elsewhere');
  finds(apply('a', 3, 'other'), 'state-machine-safety', /c applied z and a applied other/);
  finds(apply('b', 4, 'w'), 'state-machine-safety', /at 4 after that at 2/);
  finds(apply('b', 4, 'w'), 'state-machine-safety', /at 4 after that at 4/);
});

test('checkers: logs with an entry in common are equal up to it', () => {
  const logs = new LogMatching();
  const append = (replica: string, index: number, term: number, digest = `${index}.${term}`) =>
    logs.observe({ replica, index, term, digest });
  for (const replica of ['a', 'b'])
    for (const index of [1, 2, 3]) strictEqual(append(replica, index, 1), null);
  strictEqual(append('a', 4, 2), null);
  strictEqual(append('c', 4, 2), null, 'a log that begins there');
  strictEqual(append('b', 3, 1), null, 'appended again');
  strictEqual(append('b', 4, 2), null);
  finds(append('c', 4, 2, 'other'), 'log-matching', /a has another with the same index and term/);
});

test('checkers: an entry that follows another term than elsewhere is found', () => {
  const logs = new LogMatching();
  const append = (replica: string, index: number, term: number) =>
    logs.observe({ replica, index, term, digest: 'same' });
  append('a', 1, 1);
  append('a', 2, 3);
  append('b', 1, 2);
  finds(append('b', 2, 3), 'log-matching', /after an entry of term 2, a after one of term 1/);
  append('c', 1, 4);
  finds(append('c', 2, 3), 'log-matching', /after an entry of term 4/);
});

test('checkers: truncating and compacting a log is not a mismatch', () => {
  const logs = new LogMatching();
  const append = (replica: string, index: number, term: number) =>
    logs.observe({ replica, index, term, digest: `${index}.${term}` });
  for (const index of [1, 2, 3]) append('a', index, 1);
  for (const index of [1, 2]) append('b', index, 1);
  strictEqual(append('b', 3, 2), null);
  strictEqual(append('a', 3, 2), null, 'overwritten');
  logs.compacted({ replica: 'a', index: 3 });
  strictEqual(append('a', 4, 2), null);
  strictEqual(append('b', 4, 2), null);
  logs.forget('a');
  strictEqual(append('a', 1, 1), null);
});

test('checkers: a command is acknowledged, kept, and applied once', () => {
  const ledger = new CommandLedger();
  const apply = (number: number, index: number) => ledger.applied({ session: 's', number, index });
  const acknowledge = (number: number, index: number | null) =>
    ledger.acknowledged({ session: 's', number, index, client: 'c' });
  deepStrictEqual([apply(1, 10), acknowledge(1, 10), apply(1, 10), apply(2, 11)], [null, null, null, null]);
  strictEqual(acknowledge(2, null), null);
  deepStrictEqual(ledger.end(), []);
  finds(apply(2, 13), 'applied-once', /at 11 and at 13/);
  finds(apply(0, 14), 'session-order', /command 0 .* took effect at 14, 2 at 11/);
  finds(acknowledge(1, 9), 'monotonic-index', /index 9 after c saw 10/);
  acknowledge(7, 20);
  deepStrictEqual(
    ledger.end().map(({ checker, facts }) => [checker, facts['number']]),
    [
      ['acknowledged-kept', 1],
      ['acknowledged-kept', 7],
    ],
  );
});

test('checkers: a replica that starts is ready in time, or down again', () => {
  const recovery = new RecoveryTerminates(100);
  recovery.started({ replica: 'a', ms: 0 });
  strictEqual(recovery.ready({ replica: 'a', ms: 100 }), null);
  recovery.started({ replica: 'a', ms: 200 });
  recovery.started({ replica: 'a', ms: 290 });
  finds(recovery.ready({ replica: 'a', ms: 301 }), 'recovery-terminates', /ready after 101 ms/);
  recovery.started({ replica: 'b', ms: 300 });
  recovery.started({ replica: 'c', ms: 300 });
  recovery.started({ replica: 'd', ms: 300 });
  recovery.down({ replica: 'b' });
  recovery.excuse({ replica: 'c', ms: 390 });
  deepStrictEqual(recovery.end(400), []);
  deepStrictEqual(
    recovery.end(401).map(({ facts }) => facts['replica']),
    ['d'],
  );
});

test('checkers: the total of a bank is conserved', () => {
  const look = (...balances: readonly number[]): Operation =>
    operation('c', ['audit'], { invokedAt: 1, returnedAt: 2, answer: balances });
  const balancesOf = ({ outcome }: Operation) =>
    outcome.kind === 'answered' ? (outcome.answer as number[]) : null;
  const check = (operations: readonly Operation[], debts: 'allowed' | 'forbidden') =>
    checkConservedTotal(operations, { total: 100, balancesOf, debts }).map(({ message }) => message);
  deepStrictEqual(check([look(60, 40), look(110, -10)], 'allowed'), []);
  deepStrictEqual(check([look(60, 40), look(110, -10)], 'forbidden'), [
    'c saw an account below 0 at 1 ms: 110, -10',
  ]);
  deepStrictEqual(check([look(60, 41)], 'allowed'), ['c saw a total of 101 instead of 100 at 1 ms: 60, 41']);
});

test('checkers: local reads keep what a session was promised', () => {
  const sessions = new SessionGuarantees();
  const read = (client: string, index: number, invokedMs?: number) =>
    sessions.read({ client, index, staleness: invokedMs === undefined ? null : { invokedMs, maxMs: 50 } });
  sessions.wrote({ client: 'a', index: 5 });
  strictEqual(read('b', 1), null);
  strictEqual(read('a', 5), null);
  finds(read('a', 4), 'read-your-writes', /index 4; it had a right to that at 5/);
  strictEqual(read('b', 9), null);
  finds(read('b', 8), 'monotonic-reads', /index 8; it had a right to that at 9/);
  for (const [index, ms] of [
    [10, 1000],
    [11, 1010],
    [12, 1020],
  ] as const)
    sessions.committed(index, ms);
  strictEqual(read('c', 10, 1059), null);
  finds(read('d', 10, 1060), 'staleness', /had a right to that at 11/);
  strictEqual(read('e', 0, 1049), null);
});

test('checkers: a local read is what the state was at its index', (t) => {
  const random = new SeededRandom(seedOf(t));
  const commands = Array.from({ length: 200 }, (_, at) => ({
    index: 1 + (at >> 1),
    call: random.pick([
      ['INCR', 'n'],
      ['SET', 'x', `v${at}`],
      ['DEL', 'x'],
    ]) as Json,
  }));
  let state = keyValueModel.initial;
  const reads = commands.flatMap(({ index, call }, at) => {
    state = keyValueModel.step(state, call).state;
    if (commands[at + 1]?.index === index) return [];
    return ['n', 'x'].map((key) => ({
      client: 'c',
      index,
      call: ['GET', key],
      answer: state.values.get(key) ?? null,
    }));
  });
  deepStrictEqual(checkLocalReads(keyValueModel, { commands, reads: random.shuffle([...reads]) }), []);
  const wrong = random.below(reads.length);
  const broken = reads.map((read, at) => (at === wrong ? { ...read, answer: 'other' } : read));
  deepStrictEqual(
    checkLocalReads(keyValueModel, { commands, reads: broken }).map(({ facts }) => facts['index']),
    [reads[wrong]!.index],
  );
});

function finds(violation: Violation | null, checker: string, message: RegExp): void {
  strictEqual(violation?.checker, checker);
  match(violation.message, message);
}
