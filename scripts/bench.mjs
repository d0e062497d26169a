/**
 * `npm run bench`: sets up, and runs one of the benchmarks of bench/.
 *
 *     npm run bench                     the Redis port beside Redis
 *     npm run bench -- log              another one; an unknown name lists them
 *     npm run bench -- redis --json     further words go to the benchmark
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setUp } from './setup.mjs';

const BENCHMARKS = {
  redis: 'the Redis port beside Redis, both syncing before they answer',
  log: 'the log alone: append to durable, beside what the disk does by itself',
  checkpoint: 'checkpoints under load and starts, beside Redis: bytes, time, stalls, latency',
  replay: 'history replayed: views of the past, a rewind, a start; rates and stalls',
  tree: 'the state as a tree: bytes that change, folding, hashing, steps, memory',
  install: 'a state from its files: until it serves, until it is in memory, blind writes, memory',
  reconcile: 'two states that differ a little: bytes and rounds to find and to repair it',
  peers: 'frames between two replicas beside a bare socket, and how long an urgent one takes under load',
  'cli-start': 'the start of the command line beside an empty process, from checkout and package',
  'live-index': 'the live index beside a Map: rates, stalls, memory',
};

process.exitCode = await bench(process.argv.slice(2));

async function bench(words) {
  const isNamed = words[0] !== undefined && !words[0].startsWith('-');
  const [name, args] = isNamed ? [words[0], words.slice(1)] : ['redis', words];
  if (!(name in BENCHMARKS)) {
    const list = Object.entries(BENCHMARKS).map(([known, text]) => `  ${known.padEnd(12)}${text}`);
    console.error(`tidemark: no benchmark is called ${name}. There are:\n${list.join('\n')}`);
    return 1;
  }
  if (!(await setUp())) return 1;
  const path = fileURLToPath(new URL(`../dist/bench/${name}.js`, import.meta.url));
  const child = spawn(process.execPath, ['--enable-source-maps', path, ...args], { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}
