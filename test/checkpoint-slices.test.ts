/** Work in slices (src/checkpoint/slices.ts): how long the event loop is held, and how long it rests. */

import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { type SlicedWork, Slices } from '../src/checkpoint/slices.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';

/** Steps of a quarter of a millisecond. */
function* quarterSteps(clock: ManualClock, count: number, done: number[] = []): SlicedWork<string> {
  for (let at = 0; at < count; at++) {
    clock.advance(0.25);
    done.push(clock.now());
    yield undefined;
  }
  return 'done';
}

test('slices: a busy node is held for a millisecond, and rests for 70 % of the time', async () => {
  const clock = new ManualClock(0);
  const slices = new Slices({ clock, isBusy: () => true });
  const done: number[] = [];
  const result = slices.run(quarterSteps(clock, 40, done));
  let isDone = false;
  void result.then(() => (isDone = true));
  while (!isDone) {
    await turn();
    if (!isDone) clock.advance(1);
  }
  strictEqual(await result, 'done');
  strictEqual(slices.longestMs, 1);
  strictEqual(done.length, 40);
  ok(slices.count >= 10, `${slices.count} slices`);
  const workMs = 10;
  ok(workMs / clock.now() <= 0.32, `${workMs} of ${clock.now()} ms`);
});

test('slices: an idle node is held longer, and does not rest', async () => {
  const clock = new ManualClock(0);
  const slices = new Slices({ clock, isBusy: () => false });
  strictEqual(await slices.run(quarterSteps(clock, 40)), 'done');
  deepStrictEqual([clock.now(), slices.longestMs, slices.count], [10, 2, 6]);
});

test('slices: work waits for what it yields, and what fails comes out', async () => {
  const clock = new ManualClock(0);
  const slices = new Slices({ clock, isBusy: () => false });
  let release = (): void => undefined;
  const gate = new Promise<void>((resolve) => (release = resolve));
  const seen: string[] = [];
  function* work(): SlicedWork<void> {
    seen.push('before');
    yield gate;
    seen.push('after');
    yield Promise.reject(new Error('failed on purpose'));
    seen.push('never');
  }
  const running = slices.run(work());
  await turn();
  deepStrictEqual(seen, ['before']);
  release();
  await rejects(running, /failed on purpose/);
  deepStrictEqual(seen, ['before', 'after']);
});
