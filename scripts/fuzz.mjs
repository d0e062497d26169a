/**
 * `npm run fuzz`: malformed inputs at the Redis port, until one goes wrong or there are enough.
 *
 *     npm run fuzz                                   a million, a seed of their own
 *     npm run fuzz -- --inputs 10000 --seed 7        fewer, those of an earlier run
 */

import { parseArgs } from 'node:util';
import { setUp } from './setup.mjs';

process.exitCode = await fuzz();

async function fuzz() {
  const { values } = parseArgs({
    options: {
      inputs: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    },
  });
  if (!(await setUp())) return 1;
  const { fuzzPort } = await import('../dist/test/support/port-fuzz.js');
  console.log(`${values.inputs} malformed inputs, with seed ${values.seed}`);
  const started = performance.now();
  const tally = await fuzzPort(Number(values.inputs), Number(values.seed));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${JSON.stringify(tally)} in ${seconds} s: the server answered all along`);
  return 0;
}
