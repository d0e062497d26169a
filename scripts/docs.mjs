/**
 * `npm run docs`: sets up, and runs every code block of the documents, or writes the API reference.
 *
 *     npm run docs             the blocks, as `npm test` does, and nothing else
 *     npm run docs -- api      dist/api/index.html, from types and their comments
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setUp } from './setup.mjs';

/** Both live in npm's own cache. TypeDoc brings no compiler, and knows none that is newer than this one. */
const TOOLS = ['typedoc@0.28.20', 'typescript@6.0.3'];

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const VERBS = { api: writeReference };

process.exitCode = await docs(process.argv.slice(2));

async function docs([verb, ...rest]) {
  if (rest.length > 0 || (verb !== undefined && !Object.hasOwn(VERBS, verb))) {
    console.error(`tidemark: npm run docs takes nothing, or one of: ${Object.keys(VERBS).join(', ')}`);
    return 1;
  }
  if (verb !== undefined) return (await setUp()) ? VERBS[verb]() : 1;
  return run(process.execPath, [join(ROOT, 'scripts/test.mjs'), '--only-tests', 'docs.test']);
}

function writeReference() {
  const packages = TOOLS.map((tool) => `--package=${tool}`);
  const typedoc = ['typedoc', '--options', 'scripts/typedoc.json', ...sourcesOfExports()];
  const npm = process.env.npm_execpath;
  const [command, before] = npm?.endsWith('npm-cli.js') ? [process.execPath, [npm]] : ['npm', []];
  return run(command, [...before, 'exec', '--yes', '--ignore-scripts', ...packages, '--', ...typedoc]);
}

/** Of every `exports` of package.json that leads to code. */
function sourcesOfExports() {
  const { exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return Object.values(exports)
    .filter((target) => typeof target !== 'string')
    .map((target) => target.default.replace('./dist/', '').replace(/\.js$/, '.ts'));
}

function run(command, args) {
  return spawnSync(command, args, { cwd: ROOT, stdio: 'inherit' }).status ?? 1;
}
