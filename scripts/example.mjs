/**
 * `npm run example`: sets up, and runs one of the programs of examples/.
 *
 *     npm run example             the bank, and then which others there are
 *     npm run example job-queue   another one; further words go to it
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setUp } from './setup.mjs';

const EXAMPLES = {
  bank: 'money moves between accounts',
  'job-queue': 'jobs are claimed, worked on, tried again, and given up',
  'leader-board': 'games are reported, seasons end, everybody has a rank',
  'rate-limiter': 'clients use up what they may',
  rewind: 'a bad deploy deletes orders; the node is taken back to the second before',
  transfer: 'money moves between two banks; tellers are killed in the middle of transfers',
};
const FIRST = 'bank';

process.exitCode = await example(process.argv.slice(2));

async function example([name, ...args]) {
  if (name !== undefined && !Object.hasOwn(EXAMPLES, name)) {
    console.error(`tidemark: no example is called ${name}.`);
    console.log(`Examples, run by npm run example NAME:\n${listOf(Object.keys(EXAMPLES))}`);
    return 1;
  }
  if (!(await setUp())) return 1;
  const path = fileURLToPath(new URL(`../dist/examples/${name ?? FIRST}/main.js`, import.meta.url));
  const child = spawn(process.execPath, ['--enable-source-maps', path, ...args], { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  if (name === undefined) {
    const others = Object.keys(EXAMPLES).filter((other) => other !== FIRST);
    console.log(`\nOther programs that are killed, run by npm run example NAME:\n${listOf(others)}`);
  }
  return code ?? 1;
}

function listOf(names) {
  return names.map((name) => `  ${name.padEnd(14)}${EXAMPLES[name]}`).join('\n');
}
