/**
 * `npm test`: set-up, format, lint, tests. Every part runs even when one before it failed, and the exit code
 * is 0 only when all of them passed; only without a set-up there is nothing to go on with.
 *
 *     npm test                       everything
 *     npm test -- log state          the test files whose path contains `log` or `state`
 *     npm test -- --test-name-pattern=torn     options go to Node's test runner
 *     npm test -- --only-tests       neither format nor lint
 */

import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { setUp } from './setup.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TESTS = join(ROOT, 'dist/test');

/** Longest time for one test; one that hangs must not hold up a build for ever. */
const TEST_MS_MAX = 300_000;

const startMs = Date.now();
const given = process.argv.slice(2);
const options = given.filter((word) => word.startsWith('-') && word !== '--only-tests');
const names = given.filter((word) => !word.startsWith('-'));

process.exitCode = (await testAll()) ? 0 : 1;

async function testAll() {
  if (!(await setUp())) return false;
  const failed = [];
  if (!given.includes('--only-tests')) {
    if (!(await runTool('format', '@biomejs/biome/bin/biome', ['format', '.']))) failed.push('format');
    if (!(await runTool('lint', 'oxlint/bin/oxlint', ['--type-aware', '--deny-warnings'])))
      failed.push('lint');
  }
  const files = testFiles();
  if (files.length === 0) {
    console.error(`tidemark: no test file matches ${names.join(' ') || 'test/**/*.test.ts'}`);
    return false;
  }
  return (await runTests(files, failed)) && failed.length === 0;
}

/** Compiled test files, those asked for by name if any. */
function testFiles() {
  if (!existsSync(TESTS)) return [];
  return readdirSync(TESTS, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.test.js'))
    .filter((path) => names.length === 0 || names.some((name) => path.split(sep).join('/').includes(name)))
    .sort()
    .map((path) => join(TESTS, path));
}

function runTests(files, failed) {
  const args = [
    '--enable-source-maps',
    '--test',
    '--test-reporter=./scripts/reporter.mjs',
    '--test-reporter-destination=stdout',
    `--test-concurrency=${availableParallelism()}`,
    `--test-timeout=${TEST_MS_MAX}`,
    ...options,
    ...files,
  ];
  return run(args, { TIDEMARK_TEST_START_MS: String(startMs), TIDEMARK_TEST_FAILED: failed.join(' ') });
}

async function runTool(name, path, args) {
  console.log(`tidemark: ${name}`);
  return run([join(ROOT, 'node_modules', path), ...args]);
}

/** Runs a script of Node to its end, on our own output; returns whether it succeeded. */
function run(args, env = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    child.on('error', reject);
    child.on('close', (code) => resolve(code === 0));
  });
}
