/**
 * The checker of linearizability (src/testing/linearizability). Goal: it says `linearizable` exactly where an
 * order exists. Method: every order of small random histories tried by brute force; the orders it gives
 * replayed; larger histories that are right by construction.
 */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import { isSameJson, type Json, type Operation } from '../src/testing/history/operation.ts';
import {
  checkLinearizability,
  type Linearizability,
} from '../src/testing/linearizability/check-linearizability.ts';
import { keyValueModel } from '../src/testing/linearizability/key-value-model.ts';
import type { Model } from '../src/testing/linearizability/model.ts';
import {
  counterModel,
  listModel,
  registerModel,
  setModel,
} from '../src/testing/linearizability/object-models.ts';
import { searchOrder } from '../src/testing/linearizability/search.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { makeHistory } from './support/linearizable-object.ts';
import { operation } from './support/operation.ts';
import { seedOf } from './support/seed.ts';

const HISTORIES = 4000;

/** A model with calls for it, few enough that wrong answers are often nearly right. */
interface Subject {
  readonly model: Model<never>;
  readonly call: (random: SeededRandom, number: number) => Json;
}

const OBJECTS = ['x', 'y'];
const pickOf =
  (...calls: ((object: string, random: SeededRandom, number: number) => Json)[]): Subject['call'] =>
  (random, number) =>
    random.pick(calls)(random.pick(OBJECTS), random, number);

const keyValueCalls = [
  (key: string) => ['GET', key],
  (key: string, random: SeededRandom) => ['SET', key, String(random.below(3))],
  (key: string) => ['DEL', key],
  (key: string) => ['INCR', key],
  (key: string) => ['APPEND', key, '1'],
  (key: string, random: SeededRandom) => [
    'CAS',
    key,
    random.pick([null, '0', '1']),
    random.pick([null, '2']),
  ],
];

const SUBJECTS: readonly Subject[] = [
  {
    model: registerModel as unknown as Model<never>,
    call: pickOf(
      (name) => ['read', name],
      (name, random) => ['write', name, random.below(3)],
      (name, random) => ['cas', name, random.below(3), random.below(3)],
    ),
  },
  {
    model: counterModel as unknown as Model<never>,
    call: pickOf(
      (name) => ['read', name],
      (name, random) => ['add', name, random.between(-1, 2)],
    ),
  },
  {
    model: listModel as unknown as Model<never>,
    call: pickOf(
      (name) => ['read', name],
      (name, random) => ['append', name, random.below(3)],
    ),
  },
  {
    model: setModel as unknown as Model<never>,
    call: pickOf(
      (name) => ['read', name],
      (name, random) => ['add', name, String(random.below(2))],
      (name, random) => ['remove', name, String(random.below(2))],
      (name, random) => ['contains', name, String(random.below(2))],
    ),
  },
  { model: keyValueModel as unknown as Model<never>, call: pickOf(...keyValueCalls) },
  {
    model: keyValueModel as unknown as Model<never>,
    call: pickOf(...keyValueCalls, (key, random) => [
      'MULTI',
      [random.pick(keyValueCalls)(key, random), random.pick(keyValueCalls)(random.pick(OBJECTS), random)],
    ]),
  },
];

test('linearizability: agrees with brute force on small histories, right and wrong', (t) => {
  const random = new SeededRandom(seedOf(t));
  const seen = { linearizable: 0, violation: 0, unknown: 0, again: 0 };
  for (const { model, call } of SUBJECTS) {
    for (let run = 0; run < HISTORIES; run++) {
      const history = disturbed(random, model, smallHistory(random, model, call), call);
      const found = checkLinearizability(model, history);
      const wanted = isLinearizableByBruteForce(model, history) ? 'linearizable' : 'violation';
      strictEqual(found.kind, wanted, `${model.name}: ${JSON.stringify(history)}`);
      seen[found.kind]++;
      seen.again += Number(isImpossibleAgain(model, history, wanted));
      checkProof(model, history, found);
    }
  }
  t.diagnostic(`${HISTORIES * SUBJECTS.length} histories: ${JSON.stringify(seen)}`);
  ok(seen.linearizable > HISTORIES && seen.violation > HISTORIES, 'both kinds were drawn');
  ok(seen.again > seen.violation / 2, 'what is wrong is mostly wrong even so');
});

test('linearizability: right histories of many clients pass, whatever overlaps', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (const { model, call } of SUBJECTS) {
    for (const unknown of [0, 0.01]) {
      const shape = { clients: 8, operations: 2000, unknown, eagerness: random.pick([0.1, 0.5, 1]), call };
      const history = makeHistory(random, model, shape);
      const found = checkLinearizability(model, history);
      strictEqual(found.kind, 'linearizable', model.name);
      checkProof(model, history, found);
    }
  }
});

test('linearizability: 100,000 operations of 20 clients are judged', (t) => {
  const call = (random: SeededRandom, number: number): Json => {
    const key = `k${random.below(100)}`;
    return random.happens(0.5) ? ['GET', key] : ['SET', key, `v${number}`];
  };
  const shape = { clients: 20, operations: 100_000, unknown: 0.002, eagerness: 0.5, call };
  const history = makeHistory(new SeededRandom(seedOf(t)), keyValueModel, shape);
  const started = performance.now();
  const { kind } = checkLinearizability(keyValueModel, history);
  t.diagnostic(`${history.length} operations in ${(performance.now() - started).toFixed(0)} ms`);
  strictEqual(kind, 'linearizable');
});

test('linearizability: a search that meets its bound says so, and passes nothing', () => {
  const writes = Array.from({ length: 12 }, (_, at) =>
    operation(`c${at}`, ['add', 'x', 2 ** at], { invokedAt: at, returnedAt: 100 + at, answer: -1 }),
  );
  const found = checkLinearizability(counterModel, writes, { movesMax: 5 });
  strictEqual(found.kind, 'violation', 'an answer that is wrong at once needs no search');

  const open = Array.from({ length: 16 }, (_, at) =>
    operation(`c${at}`, ['add', 'x', 2 ** at], { invokedAt: at }),
  );
  const read = operation('r', ['read', 'x'], { invokedAt: 50, returnedAt: 51, answer: 2 ** 15 + 0.5 });
  const undecided = checkLinearizability(counterModel, [...open, read], { movesMax: 1000 });
  deepStrictEqual(undecided, { kind: 'unknown', undecided: [['x']] });
});

test('linearizability: one part that is wrong counts, whatever another is', () => {
  const open = Array.from({ length: 16 }, (_, at) =>
    operation(`c${at}`, ['add', 'x', 2 ** at], { invokedAt: at }),
  );
  const hard = operation('r', ['read', 'x'], { invokedAt: 50, returnedAt: 51, answer: 2 ** 15 + 0.5 });
  const wrong = operation('r', ['read', 'y'], { invokedAt: 60, returnedAt: 61, answer: 7 });
  const found = checkLinearizability(counterModel, [...open, hard, wrong], { movesMax: 1000 });
  ok(found.kind === 'violation');
  deepStrictEqual(
    found.violations.map(({ objects }) => objects),
    [['y']],
  );
});

test('linearizability: what was refused has no effect, and what has no answer may have one', () => {
  const write = { invokedAt: 1, returnedAt: 2 };
  const read = operation('b', ['read', 'x'], { invokedAt: 3, returnedAt: 4, answer: 1 });
  const outcomes = ['refused', 'unknown'] as const;
  const kinds = outcomes.map((kind) => {
    const outcome = kind === 'refused' ? { kind, reason: 'full' } : { kind };
    const written = { ...operation('a', ['write', 'x', 1], write), outcome };
    return checkLinearizability(registerModel, [written, read]).kind;
  });
  deepStrictEqual(kinds, ['violation', 'linearizable']);
});

test('linearizability: a call that the model does not know is refused', () => {
  const strange = operation('a', ['FLUSHALL'], { invokedAt: 1, returnedAt: 2, answer: 'OK' });
  throws(
    () => checkLinearizability(keyValueModel, [strange]),
    (error) => isTidemarkError(error, 'TIDEMARK_OPTION_INVALID'),
  );
});

function smallHistory<State>(random: SeededRandom, model: Model<State>, call: Subject['call']): Operation[] {
  return makeHistory(random, model, {
    clients: random.between(1, 4),
    operations: random.between(1, 6),
    unknown: random.pick([0, 0, 0.1, 0.3]),
    eagerness: random.pick([0.3, 1]),
    call,
  });
}

/** Often one answer is that of another call, or that of the same call in another history. */
function disturbed<State>(
  random: SeededRandom,
  model: Model<State>,
  history: Operation[],
  call: Subject['call'],
): Operation[] {
  if (random.happens(0.3)) return history;
  const at = random.below(history.length);
  const others = smallHistory(random, model, call).flatMap(({ outcome }) =>
    outcome.kind === 'answered' ? [outcome] : [],
  );
  if (history[at]!.outcome.kind !== 'answered' || others.length === 0) return history;
  return history.map((one, place) => (place === at ? { ...one, outcome: random.pick(others) } : one));
}

/**
 * What is without an order even if operations without an outcome take effect again and again must be wrong.
 */
function isImpossibleAgain<State>(
  model: Model<State>,
  operations: readonly Operation[],
  kind: Linearizability['kind'],
): boolean {
  const input = { model, initial: model.initial, operations, until: Infinity, movesMax: 100_000 };
  const again = searchOrder({ ...input, unknown: 'again' });
  if (again.kind === 'impossible') strictEqual(kind, 'violation', JSON.stringify(operations));
  return again.kind === 'impossible';
}

/** Every order, one after the other: no memory, no parts, nothing taken early. */
function isLinearizableByBruteForce<State>(model: Model<State>, history: readonly Operation[]): boolean {
  const explains = (state: State, left: readonly Operation[]): boolean => {
    if (left.every(({ outcome }) => outcome.kind !== 'answered')) return true;
    return left.some((next) => {
      if (left.some(({ returnedAt }) => returnedAt < next.invokedAt)) return false;
      const step = model.step(state, next.call);
      if (next.outcome.kind === 'answered' && !isSameJson(step.answer, next.outcome.answer)) return false;
      return explains(
        step.state,
        left.filter((other) => other !== next),
      );
    });
  };
  return explains(model.initial, history);
}

/** An order must explain every answer; what is said to have none must have none by brute force either. */
function checkProof<State>(model: Model<State>, history: readonly Operation[], found: Linearizability): void {
  if (found.kind === 'violation') {
    for (const { operations, stuckAt } of found.violations) {
      ok(operations.includes(stuckAt) && operations.every((one) => history.includes(one)));
    }
    return;
  }
  ok(found.kind === 'linearizable');
  for (const order of found.orders) {
    let [state, latest] = [model.initial, -Infinity];
    for (const { call, outcome, invokedAt, returnedAt } of order) {
      const step = model.step(state, call);
      if (outcome.kind === 'answered') deepStrictEqual(step.answer, outcome.answer);
      ok(returnedAt > latest, 'nothing comes after what was invoked when it had returned');
      latest = Math.max(latest, invokedAt);
      state = step.state;
    }
  }
  const answered = history.filter(({ outcome }) => outcome.kind === 'answered');
  const ordered = new Set(found.orders.flat());
  ok(answered.every((one) => ordered.has(one)));
}
