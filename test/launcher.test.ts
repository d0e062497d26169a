/**
 * The launcher (bin/tidemark.mjs) under npm. Goal: whatever ends npm ends the server, so that port and
 * directory are free again. Method: the real launcher and the real npm, in a package whose command line is a
 * stand-in.
 */

import { deepStrictEqual, match, strictEqual } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { manifest } from './support/entries.ts';
import { ROOT } from './support/project.ts';

const DEADLINE_MS = 20_000;

/** Prints its process id and waits for a signal; with `--exit 7` it ends at once. */
const STAND_IN = `
export async function main(argv) {
  // Before it says that it is there: a signal may follow at once.
  const signalled = new Promise((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM']) process.on(name, () => resolve(name));
  });
  console.log('pid ' + process.pid + ' ' + argv.join(' '));
  const at = argv.indexOf('--exit');
  if (at >= 0) return Number(argv[at + 1]);
  const keep = setInterval(() => {}, 1000);
  const signal = await signalled;
  clearInterval(keep);
  console.log('stopped by ' + signal);
  return 9;
}
`;

const folder = installed();
after(() => rmSync(folder, { recursive: true, force: true }));

test('launcher: arguments and exit code pass through npm', { timeout: DEADLINE_MS }, async () => {
  const { npm, output } = run(['start', '--', '--exit', '7']);
  deepStrictEqual(await once(npm, 'close'), [7, null]);
  match(output(), /^pid \d+ start --exit 7$/m);
});

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  test(`launcher: ${signal} to npm stops the server cleanly`, { timeout: DEADLINE_MS }, async () => {
    const { npm, output } = run(['start']);
    await serverOf(npm, output);
    npm.kill(signal);
    deepStrictEqual(await once(npm, 'close'), [9, null]);
    match(output(), new RegExp(`^stopped by ${signal}$`, 'm'));
  });
}

for (const words of [['start'], ['exec', '--offline', '--', 'tidemark', 'start']]) {
  test(`launcher: kill -9 of npm ${words[0]} ends the server`, { timeout: DEADLINE_MS }, async (t) => {
    const { npm, output } = run(words);
    const server = await serverOf(npm, output);
    let isOver = false;
    t.after(() => isOver || process.kill(server, 'SIGKILL'));
    npm.kill('SIGKILL');
    // The pipes close when the last process that holds them is gone: npm, its shell, the server.
    await once(npm, 'close');
    isOver = true;
    strictEqual(output().includes('stopped by'), false, `server ${server} was asked instead of killed`);
  });
}

/** A package as users get it: no sources, no scripts. */
function installed(): string {
  const path = realpathSync(mkdtempSync(join(tmpdir(), 'tidemark-launcher-')));
  mkdirSync(join(path, 'bin'));
  mkdirSync(join(path, 'dist/src/cli'), { recursive: true });
  copyFileSync(join(ROOT, 'bin/tidemark.mjs'), join(path, 'bin/tidemark.mjs'));
  writeFileSync(join(path, 'dist/src/cli/main.js'), STAND_IN);
  const { bin, scripts } = manifest();
  const start = {
    name: 'tidemark',
    version: '0.0.0',
    type: 'module',
    bin,
    scripts: { start: scripts['start'] },
  };
  writeFileSync(join(path, 'package.json'), JSON.stringify(start));
  return path;
}

function run(words: readonly string[]): { npm: ChildProcess; output: () => string } {
  const npm = spawn('npm', words, {
    cwd: folder,
    env: { ...process.env, npm_config_cache: join(folder, 'cache'), npm_config_update_notifier: 'false' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  npm.stdout.on('data', (chunk) => (text += String(chunk)));
  npm.stderr.on('data', (chunk) => (text += String(chunk)));
  return { npm, output: () => text };
}

/** Process id of the server, once it says so. */
async function serverOf(npm: ChildProcess, output: () => string): Promise<number> {
  for (;;) {
    const found = /^pid (\d+)/m.exec(output());
    if (found !== null) return Number(found[1]);
    strictEqual(npm.exitCode, null, `npm ended early:\n${output()}`);
    await sleep(20);
  }
}
