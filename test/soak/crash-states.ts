/**
 * `npm run soak -- --states N --seed S`: crash states without end, or nearly: a quarter of them of a node, a
 * quarter of a log alone, and as many of each with `buffered` durability; and a chaos run for every hundred
 * of them. Prints how many were tried, and the first that breaks an invariant.
 */

import { parseArgs } from 'node:util';
import { bufferedNodeSubject } from '../support/buffered-history.ts';
import { newTally, runChaos } from '../support/chaos.ts';
import { type CrashSubject, exploreCrashes } from '../support/crash-explorer.ts';
import { bufferedLogSubject, logSubject } from '../support/log-explorer.ts';
import { nodeSubject } from '../support/node-history.ts';

const { values } = parseArgs({
  options: { states: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } },
});
const seed = Number(values.seed);

const quarter = Math.ceil(Number(values.states) / 4);
await soak(nodeSubject, quarter);
await soak(logSubject, quarter);
await soak(bufferedNodeSubject, quarter);
await soak(bufferedLogSubject, quarter);
await soakChaos(Math.ceil(Number(values.states) / 100));

async function soakChaos(seeds: number): Promise<void> {
  const started = performance.now();
  const tally = newTally();
  for (let run = 0; run < seeds; run++) await runChaos(seed + run, tally);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `seeds ${seed} to ${seed + seeds - 1}: chaos: ${JSON.stringify(tally)}, ` +
      `${seconds.toFixed(0)} s: 0 violations`,
  );
}

async function soak<Known>(subject: CrashSubject<Known>, states: number): Promise<void> {
  const started = performance.now();
  let printedAt = 0;
  const done = await exploreCrashes(subject, {
    seed,
    states,
    crashesPerWorkload: 'every',
    images: { subsetUnitsMax: 4, randomSubsets: 6, byteTearsMax: 2 },
    imageShare: 1,
    onProgress(explored, crashes) {
      if (explored.states < printedAt + states / 20) return;
      printedAt = explored.states;
      console.log(
        `${subject.name}: ${explored.states} states, ${crashes} crashes, ${explored.nested} in recovery: ` +
          '0 violations',
      );
    },
  });
  const seconds = (performance.now() - started) / 1000;
  const { crashes, calls, nested } = done;
  console.log(
    `seed ${seed}: ${subject.name}: ${done.states} crash states after ${crashes} crashes at ${calls} ` +
      `I/O calls, ${nested} of them after a crash in recovery, ${seconds.toFixed(0)} s: 0 violations`,
  );
}
