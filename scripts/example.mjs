/**
 * `npm run example`: sets up, and runs one of the programs of examples/.
 *
 *     npm run example             lists them
 *     npm run example bank        runs one; further words go to it
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { setUp } from './setup.mjs';

const EXAMPLES = {
  bank: 'money moves between accounts while its process is killed; then everything is checked',
};

process.exitCode = await example(process.argv.slice(2));

async function example([name, ...args]) {
  if (name === undefined || !Object.hasOwn(EXAMPLES, name)) {
    const list = Object.entries(EXAMPLES).map(([known, text]) => `  ${known.padEnd(8)}${text}`);
    if (name !== undefined) console.error(`tidemark: no example is called ${name}.`);
    console.log(`Examples, run by npm run example NAME:\n${list.join('\n')}`);
    return name === undefined ? 0 : 1;
  }
  if (!(await setUp())) return 1;
  const path = fileURLToPath(new URL(`../dist/examples/${name}/main.js`, import.meta.url));
  const child = spawn(process.execPath, ['--enable-source-maps', path, ...args], { stdio: 'inherit' });
  const [code] = await once(child, 'exit');
  return code ?? 1;
}
