/**
 * The checker of linearizability against histories that are wrong. Goal: it finds every kind of mistake that
 * systems make. Method: right histories of one simulated object, each broken in one known way, at a place
 * where no order can explain it any more; and the explanation, compared with what was broken.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import type { Json, Operation } from '../src/testing/history/operation.ts';
import { checkLinearizability } from '../src/testing/linearizability/check-linearizability.ts';
import { drawUnorderable } from '../src/testing/linearizability/diagram.ts';
import { keyValueModel } from '../src/testing/linearizability/key-value-model.ts';
import { registerModel } from '../src/testing/linearizability/object-models.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { BREAKS } from './support/broken-histories.ts';
import { makeHistory } from './support/linearizable-object.ts';
import { operation } from './support/operation.ts';
import { seedOf } from './support/seed.ts';

const HISTORIES = 150;

for (const [name, breakHistory] of Object.entries(BREAKS)) {
  test(`linearizability: ${name} is found, every time`, (t) => {
    const random = new SeededRandom(seedOf(t));
    let [broken, shown, longest] = [0, 0, 0];
    for (let run = 0; run < HISTORIES; run++) {
      const history = rightHistory(random);
      strictEqual(checkLinearizability(keyValueModel, history).kind, 'linearizable');
      const wrong = breakHistory(history, random);
      if (wrong === null) continue; // No place for it.
      broken++;
      const found = checkLinearizability(keyValueModel, wrong);
      ok(found.kind === 'violation', JSON.stringify(wrong));
      const [first] = found.violations;
      strictEqual(checkLinearizability(keyValueModel, wrong).kind, 'violation', 'and again');
      shown += first!.operations.length;
      longest = Math.max(longest, first!.operations.length);
    }
    t.diagnostic(
      `${broken} of ${broken} found; ${(shown / broken).toFixed(1)} operations shown, at most ${longest}`,
    );
    ok(broken > HISTORIES / 3, `${broken} histories could be broken`);
  });
}

test('linearizability: the explanation of a stale read', () => {
  const history = [
    operation('c1', ['write', 'x', 'a'], { invokedAt: 0, returnedAt: 1 }),
    operation('c2', ['read', 'x'], { invokedAt: 2, returnedAt: 3, answer: 'a' }),
    operation('c1', ['write', 'x', 'b'], { invokedAt: 4, returnedAt: 7 }),
    operation('c2', ['read', 'x'], { invokedAt: 5, returnedAt: 6, answer: 'b' }),
    operation('c3', ['read', 'x'], { invokedAt: 8, returnedAt: 9, answer: 'a' }),
    operation('c3', ['read', 'x'], { invokedAt: 10, returnedAt: 11, answer: 'b' }),
  ];
  const found = checkLinearizability(registerModel, history);
  ok(found.kind === 'violation');
  deepStrictEqual(drawUnorderable('register', found.violations[0]!).split('\n'), [
    'register: no order of these 1 operations gives these answers',
    'before: x = "b"',
    '  c3  8.0–9.0 ms  ├──┤  read x → "a"  ✗ could be "b"',
  ]);
});

test('linearizability: the explanation of two reads that contradict each other', () => {
  const history = [
    operation('c1', ['write', 'x', 'a'], { invokedAt: 0, returnedAt: 1 }),
    operation('c1', ['write', 'x', 'b'], { invokedAt: 2, returnedAt: 20 }),
    operation('c4', ['write', 'y', 'b'], { invokedAt: 3, returnedAt: 21 }),
    operation('c2', ['read', 'x'], { invokedAt: 4, returnedAt: 5, answer: 'b' }),
    operation('c3', ['read', 'x'], { invokedAt: 6, returnedAt: 7, answer: 'a' }),
    operation('c3', ['write', 'x', 'c'], { invokedAt: 8 }),
  ];
  const found = checkLinearizability(registerModel, history);
  ok(found.kind === 'violation');
  deepStrictEqual(drawUnorderable('register', found.violations[0]!).split('\n'), [
    'register: no order of these 1 operations gives these answers',
    'before: x = "b"',
    '  c3  6.0–7.0 ms  ├──┤  read x → "a"  ✗ could be "b"',
  ]);
});

function rightHistory(random: SeededRandom): Operation[] {
  const call = (_: SeededRandom, number: number): Json => {
    const key = `k${random.below(3)}`;
    if (random.happens(0.25)) return ['INCR', `n${random.below(2)}`];
    return random.happens(0.6) ? ['GET', key] : ['SET', key, `v${number}`];
  };
  const eagerness = random.pick([0.1, 0.3, 1]);
  return makeHistory(random, keyValueModel, { clients: 5, operations: 120, unknown: 0, eagerness, call });
}
