#!/usr/bin/env node
/**
 * The `tidemark` command: `npm start`, `npx tidemark …` and the installed package all begin here.
 *
 * In a checkout it sets up first (scripts/setup.mjs). Then the command line runs in this very process, so
 * that the process one sees, signals and kills is the server.
 */

import { existsSync, readFileSync } from 'node:fs';

const NODE_MIN = [20, 19];

/** How often the ancestors are looked at, and how long a server may take to stop when asked to. */
const WATCH_MS = 150;
const STOP_MS_MAX = 10_000;

async function start() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
    console.error(`tidemark: needs Node ${NODE_MIN.join('.')} or newer; this is ${process.version}`);
    return 1;
  }
  if (process.env.npm_lifecycle_event !== undefined) endWithNpm();
  const isCheckout = ['../scripts/setup.mjs', '../src/'].every((path) =>
    existsSync(new URL(path, import.meta.url)),
  );
  if (isCheckout) {
    const { setUp } = await import('../scripts/setup.mjs');
    if (!(await setUp())) return 1;
  }
  const { main } = await import('../dist/src/cli/main.js');
  return main(process.argv.slice(2));
}

/**
 * Makes ending npm mean the same as ending this process. `kill -9` of npm reaches neither the shell between
 * npm and us nor us; without this the server would live on and hold its port and directory. Ending by SIGKILL
 * is safe: surviving exactly that is what Tidemark is for.
 *
 * `npm start` leaves no shell between (package.json says `exec node …`), and passes signals on. `npx` leaves
 * one, which ends on the SIGTERM that npm passes on, without telling us: then we ask ourselves to stop.
 */
function endWithNpm() {
  const parent = process.ppid;
  const isShellBetween = /(^|\/)-?(|ba|da|z|k|a)sh$/.test(commandOf(parent));
  const npm = isShellBetween ? parentOf(parent) : parent;
  const watch = setInterval(() => {
    if (process.ppid !== parent) {
      clearInterval(watch);
      if (!isShellBetween) process.kill(process.pid, 'SIGKILL');
      setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_MS_MAX).unref();
      process.kill(process.pid, 'SIGTERM');
    } else if (isShellBetween && isOrphan(parent, npm)) {
      process.kill(process.pid, 'SIGKILL');
    }
  }, WATCH_MS);
  watch.unref();
}

/** Whether `pid` lost `parent`. A parent that died and was not waited for still has its process id. */
function isOrphan(pid, parent) {
  if (process.platform === 'linux') {
    const now = parentOf(pid);
    return now !== null && now !== parent;
  }
  try {
    process.kill(parent, 0);
    return false;
  } catch (error) {
    return error.code === 'ESRCH';
  }
}

/** Name of a process's program; empty when it cannot be found out. */
function commandOf(pid) {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    return ps('comm=', pid).trim();
  } catch {
    return ''; // The process just ended, or this system has no ps: then only our own parent is watched.
  }
}

/** Process id of a process's parent; null when it cannot be found out. */
function parentOf(pid) {
  try {
    if (process.platform === 'linux') {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    }
    return Number(ps('ppid=', pid));
  } catch {
    return null; // As above.
  }
}

/** Loaded only here: most starts do without, and it costs more to load than the rest of this file. */
function ps(column, pid) {
  const { execFileSync } = process.getBuiltinModule('node:child_process');
  return execFileSync('ps', ['-o', column, '-p', String(pid)], { encoding: 'utf8' });
}

process.exitCode = await start();
