/**
 * Makes a checkout ready to run: installs what package-lock.json names, and compiles. `npm start`, `npm test`
 * and the other scripts call it first, so that a fresh clone needs no step of its own; with nothing to do it
 * costs a few milliseconds.
 *
 * Two stamps say what is there: `node_modules/.tidemark-stamp` holds the hash of what was installed, and
 * `dist/.stamp` that of what was compiled. A stamp is removed before its work begins and written after all of
 * it succeeded, so that an interrupted or failed set-up is simply repeated. `dist/.setup-lock` keeps two
 * set-ups apart.
 *
 * Plain JavaScript with Node's own modules only: it runs before anything is installed.
 */

import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, sep } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const INSTALL_STAMP = join(ROOT, 'node_modules/.tidemark-stamp');
const BUILD_STAMP = join(ROOT, 'dist/.stamp');
const LOOKED_AT = join(ROOT, 'dist/.looked-at');
const BUILD_INFO = join(ROOT, 'dist/.tsbuildinfo');
const LOCK = join(ROOT, 'dist/.setup-lock');

/** What `npm run docs -- api` writes has no source of ours. */
const REFERENCE = join('dist', 'api', sep);

const SOURCE_FOLDERS = ['src', 'test', 'bench', 'examples'];
const SOURCE_FILES = ['package.json', 'package-lock.json', 'tsconfig.json'];

/** A lock without an owner's name is one that is being taken, or whose taker died between two lines. */
const NAMELESS_LOCK_MS_MAX = 5_000;
const LOCK_POLL_MS = 100;

/** A file that changed so shortly ago may change again without the file system's clock telling. */
const SETTLED_MS = 1_000;

/** A step that failed, with what its tool printed and what the reader can do. */
class SetUpFailure extends Error {}

/**
 * Installs and compiles whatever is missing or stale.
 *
 * @param options.quiet Says nothing while all goes well. Failures are always shown, on stderr.
 * @returns Whether the checkout is ready.
 */
export async function setUp({ quiet = false } = {}) {
  const say = (line) => {
    if (!quiet) console.error(`tidemark: ${line}`);
  };
  try {
    if (isInstalled() && isBuilt()) return true;
    await takeLock(say);
    try {
      if (!isInstalled()) await install(say);
      if (!isBuilt()) await build(say);
    } finally {
      rmSync(LOCK, { recursive: true, force: true });
    }
    return true;
  } catch (error) {
    const isOurs = error instanceof SetUpFailure || error.code === 'EACCES' || error.code === 'EROFS';
    console.error(`tidemark: ${isOurs ? error.message : error.stack}`);
    return false;
  }
}

function isInstalled() {
  return (
    existsSync(join(ROOT, 'node_modules/.package-lock.json')) && stampAt(INSTALL_STAMP) === installHash()
  );
}

/** Covers what `npm ci` reads, and the platform, as some packages hold native code. */
function installHash() {
  const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  const { dependencies, devDependencies, optionalDependencies } = manifest;
  return createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .update(JSON.stringify([dependencies, devDependencies, optionalDependencies]))
    .update(`${process.platform} ${process.arch}`)
    .digest('hex');
}

async function install(say) {
  say('installing dependencies (npm ci), once');
  rmSync(INSTALL_STAMP, { force: true });
  const hash = installHash();
  // No dependency needs its install script: native code comes in prebuilt packages.
  const flags = ['--ignore-scripts', '--include=dev', '--include=optional', '--no-audit', '--no-fund'];
  const [command, ...args] = npmCommand();
  const { isOk, output } = await run(command, [...args, 'ci', ...flags]);
  if (!isOk) {
    const remedy = output.includes('from lock file')
      ? 'The lock file is incomplete. After npm install, run: node scripts/complete-lock.mjs'
      : 'Check the network and the registry (npm ping), then run the same command again.';
    throw new SetUpFailure(`npm ci failed:\n\n${output}\n\n${remedy}`);
  }
  writeFileSync(INSTALL_STAMP, hash);
}

/** The npm that runs this script, or the one on the path. */
function npmCommand() {
  const path = process.env.npm_execpath;
  if (path !== undefined && basename(path) === 'npm-cli.js') return [process.execPath, path];
  return ['npm'];
}

function isBuilt() {
  if (!existsSync(BUILD_STAMP)) return false;
  const { facts, changedAt } = sourceFacts();
  if (stampAt(LOOKED_AT) === facts) return true;
  if (stampAt(BUILD_STAMP) !== buildHash()) return false;
  if (Date.now() - changedAt > SETTLED_MS) noteLookedAt(facts);
  return true;
}

/** What the file system says of the sources, and when the last of them changed. Any change changes it. */
function sourceFacts() {
  const hash = createHash('sha256').update(stampAt(BUILD_STAMP) ?? '');
  let changedAt = 0;
  for (const path of [...SOURCE_FILES, ...sourcePaths()]) {
    const { size, mtimeMs, ctimeMs, ino } = statSync(join(ROOT, path));
    hash.update(`${path} ${size} ${mtimeMs} ${ctimeMs} ${ino}\n`);
    changedAt = Math.max(changedAt, ctimeMs);
  }
  return { facts: hash.digest('hex'), changedAt };
}

function noteLookedAt(facts) {
  try {
    writeFileSync(LOOKED_AT, facts);
  } catch (error) {
    // A checkout that cannot be written to is as ready; only looking takes longer.
    if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
  }
}

function buildHash() {
  const hash = createHash('sha256');
  for (const path of [...SOURCE_FILES, ...sourcePaths()]) {
    const text = readFileSync(join(ROOT, path));
    hash.update(`${path} ${text.length}\n`).update(text);
  }
  return hash.digest('hex');
}

function sourcePaths() {
  return SOURCE_FOLDERS.flatMap((folder) =>
    filesUnder(folder)
      .filter((path) => path.endsWith('.ts'))
      .sort(),
  );
}

async function build(say) {
  say('compiling (tsc)');
  // Without a stamp the last build did not finish, and what it remembers of its output may be wrong.
  if (!existsSync(BUILD_STAMP)) rmSync(BUILD_INFO, { force: true });
  rmSync(BUILD_STAMP, { force: true });
  const hash = buildHash();
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { isOk, output } = await run(process.execPath, [tsc, '-p', 'tsconfig.json', '--pretty', 'false']);
  if (!isOk) {
    throw new SetUpFailure(
      `the sources do not compile:\n\n${output}\n\nCorrect them, then run the same command again.`,
    );
  }
  removeOrphans();
  writeFileSync(BUILD_STAMP, hash);
}

/** Removes output whose source is gone: a deleted test must not run on. */
function removeOrphans() {
  for (const path of filesUnder('dist')) {
    const stem = path.replace(/(\.d\.ts|\.js|\.js\.map)$/, '');
    if (stem === path || path.startsWith(REFERENCE)) continue;
    const source = stem.slice('dist/'.length);
    if (!['.ts', '.js', '.mjs'].some((ending) => existsSync(join(ROOT, source + ending)))) {
      rmSync(join(ROOT, path));
    }
  }
}

/** Paths of all files below a folder of the project, relative to its root. */
function filesUnder(folder) {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(ROOT.length));
}

function stampAt(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

/**
 * Runs a tool to its end. Its process joins the owners of the lock: it may outlive a set-up that is killed.
 */
async function run(command, args) {
  const { spawn } = await import('node:child_process'); // Costs more to load than all the rest to do.
  return new Promise((resolve) => {
    const env = { ...process.env };
    // Settings of the npm run we are inside of, which are about that run and not about this one.
    for (const name of Object.keys(env)) {
      if (/^npm_config_(omit|include|package|call|global|local_prefix|production|dry_run)$/i.test(name)) {
        delete env[name];
      }
    }
    const isShellNeeded = process.platform === 'win32' && command === 'npm';
    const child = spawn(command, args, {
      cwd: ROOT,
      env,
      shell: isShellNeeded,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (child.pid !== undefined) writeOwners([process.pid, child.pid]);
    let output = '';
    child.stdout.on('data', (chunk) => (output += chunk));
    child.stderr.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => {
      resolve({ isOk: false, output: `${command} could not be started: ${error.message}` });
    });
    child.on('close', (code) => resolve({ isOk: code === 0, output: output.trim() }));
  });
}

/** Creates the lock directory, waiting for a living owner and taking over from a dead one. */
async function takeLock(say) {
  mkdirSync(join(ROOT, 'dist'), { recursive: true });
  for (let isFirst = true; ; isFirst = false) {
    try {
      mkdirSync(LOCK);
      writeOwners([process.pid]);
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const owners = readOwners();
    if (isAbandoned(owners)) {
      breakLock(owners);
    } else {
      if (isFirst) say(`waiting for another set-up (process ${owners.split(' ')[0] || 'unknown'})`);
      await sleep(LOCK_POLL_MS);
    }
  }
}

function writeOwners(pids) {
  writeFileSync(join(LOCK, 'owners'), pids.join(' '));
}

/** Process ids, or nothing when the lock is just being taken or freed. */
function readOwners(lock = LOCK) {
  try {
    return readFileSync(join(lock, 'owners'), 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return '';
  }
}

function isAbandoned(owners) {
  if (owners !== '') return !owners.split(' ').some((pid) => isAlive(Number(pid)));
  const stat = statSync(LOCK, { throwIfNoEntry: false });
  return stat !== undefined && Date.now() - stat.mtimeMs > NAMELESS_LOCK_MS_MAX;
}

/** Renaming lets one of several waiters win; a lock that was renewed meanwhile is put back. */
function breakLock(owners) {
  const aside = `${LOCK}-${process.pid}`;
  try {
    renameSync(LOCK, aside);
    if (readOwners(aside) === owners) rmSync(aside, { recursive: true, force: true });
    else renameSync(aside, LOCK);
  } catch (error) {
    if (!['ENOENT', 'EEXIST', 'ENOTEMPTY'].includes(error.code)) throw error;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.exitCode = (await setUp()) ? 0 : 1;
