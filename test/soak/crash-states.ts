/**
 * `npm run soak -- --states N --seed S`: crash states without end, or nearly. Prints how many were tried, and
 * the first that breaks an invariant.
 */

import { parseArgs } from 'node:util';
import { exploreCrashes } from '../support/crash-explorer.ts';

const { values } = parseArgs({
  options: { states: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } },
});
const states = Number(values.states);
const seed = Number(values.seed);
const started = performance.now();
let printedAt = 0;

const done = await exploreCrashes({
  seed,
  states,
  crashesPerWorkload: 'every',
  images: { subsetUnitsMax: 4, randomSubsets: 6, byteTearsMax: 2 },
  imageShare: 1,
  onProgress(explored, crashes) {
    if (explored.states < printedAt + states / 20) return;
    printedAt = explored.states;
    console.log(
      `${explored.states} states, ${crashes} crashes, ${explored.nested} in recovery: 0 violations`,
    );
  },
});
const seconds = (performance.now() - started) / 1000;
const { crashes, calls, nested } = done;
console.log(
  `seed ${seed}: ${done.states} crash states after ${crashes} crashes at ${calls} I/O calls, ` +
    `${nested} of them after a crash in recovery, ${seconds.toFixed(0)} s: 0 violations`,
);
