/** Simulated time (src/testing/simulated-clock.ts): everything at its time, in order, and the same again. */

import { deepStrictEqual, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { SimulatedClock } from '../src/testing/simulated-clock.ts';
import { seedOf } from './support/seed.ts';

test('simulated clock: what is due runs at its own time, and what it plans in its place', () => {
  const clock = new SimulatedClock(1_000);
  const ran: string[] = [];
  const note = (what: string) => () => ran.push(`${clock.now()} ${what}`);
  clock.after(20, note('twenty'));
  clock.after(10, () => {
    note('ten')();
    clock.soon(note('soon'));
    clock.after(5, note('fifteen'));
  });
  clock.after(10, note('also ten'));
  clock.after(31, note('too late'));
  clock.advance(30);
  deepStrictEqual(ran, ['1010 ten', '1010 also ten', '1010 soon', '1015 fifteen', '1020 twenty']);
  strictEqual(clock.now(), 1_030);
  strictEqual(clock.step(), true);
  strictEqual(clock.now(), 1_031);
  strictEqual(clock.step(), false);
  throws(() => clock.after(-1, () => undefined), /not in the past/);
});

test('simulated clock: what is cancelled does not run', () => {
  const clock = new SimulatedClock();
  const ran: number[] = [];
  const timers = [1, 2, 3].map((ms) => clock.after(ms, () => ran.push(ms)));
  timers[0]!.cancel();
  clock.after(0, () => timers[2]!.cancel());
  clock.advance(10);
  timers[1]!.cancel();
  deepStrictEqual(ran, [2]);
  strictEqual(clock.step(), false);
});

test('simulated clock: any plan runs in the order of time, and of planning', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 50; run++) {
    const clock = new SimulatedClock();
    const planned: { at: number; number: number; isCancelled: boolean }[] = [];
    const ran: number[] = [];
    const plan = (depth: number): void => {
      const ms = random.below(20);
      const entry = { at: clock.monotonic() + ms, number: planned.length, isCancelled: false };
      planned.push(entry);
      const timer = clock.after(ms, () => {
        strictEqual(clock.monotonic(), entry.at);
        ran.push(entry.number);
        for (let count = random.below(3); depth < 4 && count > 0; count--) plan(depth + 1);
      });
      if (!random.happens(0.1)) return;
      entry.isCancelled = true;
      timer.cancel();
    };
    for (let count = 0; count < 40; count++) plan(0);
    while (clock.step());
    const inOrder = planned
      .filter(({ isCancelled }) => !isCancelled)
      .sort((a, b) => a.at - b.at || a.number - b.number);
    deepStrictEqual(
      ran,
      inOrder.map(({ number }) => number),
    );
  }
});
