/**
 * The clients of a simulation (src/testing/workload). Goal: what they record is what they saw, and retries
 * are the same command. Method: a system under the test's hand that answers, is silent, refuses, or answers
 * late.
 */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { HistoryRecorder } from '../src/testing/history/history-recorder.ts';
import type { Json, Operation } from '../src/testing/history/operation.ts';
import { keyValueModel } from '../src/testing/linearizability/key-value-model.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { auditedBalances, CallSource } from '../src/testing/workload/call-source.ts';
import {
  runWorkload,
  type WorkloadReply,
  type WorkloadRequest,
} from '../src/testing/workload/run-workload.ts';
import {
  resolveWorkloadOptions,
  WORKLOAD_DEFAULTS,
  type WorkloadAction,
  type WorkloadOptions,
} from '../src/testing/workload/workload-options.ts';
import { seedOf } from './support/seed.ts';

type Send = (request: WorkloadRequest, reply: (reply: WorkloadReply) => void) => void;

const ONE_WRITE: WorkloadOptions = {
  clients: 1,
  operations: 2,
  mix: { write: 1 },
  thinkMs: [1, 1],
  timeoutMs: 10,
  retriesMax: 2,
};

function play(
  options: WorkloadOptions,
  send: Send,
  seed = 1,
): { requests: WorkloadRequest[]; operations: Operation[] } {
  const clock = new ManualClock(0);
  const recorder = new HistoryRecorder({ now: () => clock.now() });
  const requests: WorkloadRequest[] = [];
  let isDone = false;
  runWorkload(
    {
      seed,
      clock,
      recorder,
      onDone: () => (isDone = true),
      send(request, reply) {
        requests.push(request);
        send(request, reply);
      },
    },
    options,
  );
  for (let ms = 0; !isDone && ms < 100_000; ms++) clock.advance(1);
  ok(isDone, 'all clients come to an end');
  return { requests, operations: recorder.operations() };
}

test('workload: what is not answered is sent again as the same command, then given up', () => {
  const { requests, operations } = play(ONE_WRITE, () => undefined);
  deepStrictEqual(
    requests.map(({ attempt, command }) => [attempt, command?.session, command?.number]),
    [
      [1, 'c1.1', 1],
      [2, 'c1.1', 1],
      [3, 'c1.1', 1],
      [1, 'c1.2', 1],
      [2, 'c1.2', 1],
      [3, 'c1.2', 1],
    ],
  );
  deepStrictEqual(
    operations.map(({ outcome, invokedMs, returnedMs }) => [outcome.kind, returnedMs! - invokedMs]),
    [
      ['unknown', 30],
      ['unknown', 30],
    ],
  );
});

test('workload: a late answer to an earlier attempt is an answer, a second one is nothing', () => {
  const replies: ((reply: WorkloadReply) => void)[] = [];
  const { requests, operations } = play(ONE_WRITE, ({ attempt }, reply) => {
    replies.push(reply);
    if (attempt === 2) for (const each of [...replies, ...replies]) each({ kind: 'answer', answer: 'OK' });
  });
  strictEqual(requests.length, 4);
  deepStrictEqual(
    requests.map(({ command }) => command?.number),
    [1, 1, 2, 2],
  );
  deepStrictEqual(
    operations.map(({ outcome }) => outcome),
    Array.from({ length: 2 }, () => ({ kind: 'answered', answer: 'OK' })),
  );
});

test('workload: refused is only what every attempt was refused', () => {
  const refuse = (reply: (reply: WorkloadReply) => void): void => reply({ kind: 'refused', reason: 'busy' });
  const always = play(ONE_WRITE, (_, reply) => refuse(reply));
  deepStrictEqual(
    always.operations.map(({ outcome }) => outcome),
    Array.from({ length: 2 }, () => ({ kind: 'refused', reason: 'busy' })),
  );
  const silentOnce = play(ONE_WRITE, ({ attempt }, reply) => (attempt === 2 ? undefined : refuse(reply)));
  deepStrictEqual(
    silentOnce.operations.map(({ outcome }) => outcome.kind),
    ['unknown', 'unknown'],
  );
});

test('workload: a seed gives the same calls, another one others', () => {
  const answer: Send = (_, reply) => reply({ kind: 'answer', answer: null });
  const calls = (seed: number): Json[] =>
    play({ operations: 20 }, answer, seed).requests.map(({ call }) => call);
  deepStrictEqual(calls(5), calls(5));
  strictEqual(calls(5).length, 100);
  const shared = calls(5).filter((call) =>
    calls(6).some((other) => JSON.stringify(call) === JSON.stringify(other)),
  );
  ok(shared.length < 60, `${shared.length} of 100 calls are the same`);
});

test('workload: every value names its writer, and every call is one of the model', (t) => {
  const options = resolveWorkloadOptions({ keys: 7 });
  const random = new SeededRandom(seedOf(t));
  const source = new CallSource('c1', random, options);
  const written = new Map<Json, Json>();
  const names = new Set<Json>();
  for (let drawn = 0; drawn < 3000; drawn++) {
    const call = source.next() as readonly Json[];
    keyValueModel.step(keyValueModel.initial, call);
    names.add(call[0]!);
    if (call[0] === 'SET' || call[0] === 'APPEND') {
      strictEqual(written.get(call[2]!), undefined);
      written.set(call[2]!, call);
    }
    ok(keyValueModel.objectsOf(call).length <= options.keys);
    source.learn(['GET', 'value0'], 'seen');
  }
  deepStrictEqual([...names].map(String).toSorted(), ['APPEND', 'CAS', 'DEL', 'GET', 'INCR', 'MULTI', 'SET']);
});

test('workload: keys in front are used more, by the skew', () => {
  const share = (skew: number): number => {
    const options = resolveWorkloadOptions({ keys: 10, skew, mix: { increment: 1 } });
    const source = new CallSource('c1', new SeededRandom(1), options);
    const calls = Array.from({ length: 5000 }, () => source.next() as readonly Json[]);
    return calls.filter(([, key]) => key === 'counter0').length / calls.length;
  };
  const [even, skewed] = [share(0), share(1)];
  ok(even > 0.08 && even < 0.12, `${even}`);
  ok(skewed > 0.31 && skewed < 0.37, `${skewed}: 1 of 2.93`);
});

test('workload: transfers add up to nothing, and an audit sees it', () => {
  const options = resolveWorkloadOptions({ keys: 4, mix: { transfer: 3, audit: 1 } });
  const source = new CallSource('c1', new SeededRandom(1), options);
  let state = keyValueModel.initial;
  let audits = 0;
  for (let drawn = 0; drawn < 400; drawn++) {
    const call = source.next();
    const step = keyValueModel.step(state, call);
    state = step.state;
    const outcome = { kind: 'answered', answer: step.answer } as const;
    const rest = { client: 'c1', invokedAt: 1, returnedAt: 2, invokedMs: 1, returnedMs: 2, command: null };
    const balances = auditedBalances({ call, outcome, ...rest }, 4);
    if (balances === null) continue;
    audits++;
    strictEqual(
      balances.reduce((sum, balance) => sum + balance, 0),
      0,
    );
  }
  ok(audits > 50);
});

test('workload: options that cannot be are refused', () => {
  const wrong: readonly WorkloadOptions[] = [
    { clients: 0 },
    { keys: 0 },
    { skew: -1 },
    { mix: {} },
    { mix: { read: -1 } },
    { mix: { reed: 1 } as Partial<Record<WorkloadAction, number>> },
    { thinkMs: [5, 1] },
    { timeoutMs: 0 },
    { retries: 1 } as WorkloadOptions,
  ];
  for (const options of wrong) {
    throws(
      () => resolveWorkloadOptions(options),
      (error) => isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'),
      JSON.stringify(options),
    );
  }
  deepStrictEqual(resolveWorkloadOptions({}), WORKLOAD_DEFAULTS);
});
