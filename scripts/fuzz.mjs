/**
 * `npm run fuzz`: malformed inputs at a port, until one goes wrong or there are enough.
 *
 *     npm run fuzz                                   a million at the Redis port, a seed of their own
 *     npm run fuzz -- peers                          the same at the port between replicas
 *     npm run fuzz -- --inputs 10000 --seed 7        fewer, those of an earlier run
 */

import { parseArgs } from 'node:util';
import { setUp } from './setup.mjs';

const PORTS = {
  redis: async () => (await import('../dist/test/support/port-fuzz.js')).fuzzPort,
  peers: async () => (await import('../dist/test/support/peer-fuzz.js')).fuzzPeers,
};

process.exitCode = await fuzz();

async function fuzz() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      inputs: { type: 'string', default: '1000000' },
      seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    },
  });
  if (!(await setUp())) return 1;
  const [port = 'redis'] = positionals;
  if (!(port in PORTS)) {
    console.error(`tidemark: no port is called ${port}; there are: ${Object.keys(PORTS).join(', ')}`);
    return 1;
  }
  const run = await PORTS[port]();
  console.log(`${values.inputs} malformed inputs, with seed ${values.seed}`);
  const started = performance.now();
  const tally = await run(Number(values.inputs), Number(values.seed));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`${JSON.stringify(tally)} in ${seconds} s: the server answered all along`);
  return 0;
}
