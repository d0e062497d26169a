/**
 * Every way a process ends (checklist L8, D8, F11): process.exit in the middle of a write, an uncaught
 * exception, an unhandled rejection, SIGTERM, SIGKILL. Goal: all of them are as good as a crash: the lock
 * is free, and what was acknowledged is there. Method: real processes over a real directory, in turn.
 */

import { ok, rejects, strictEqual } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isTidemarkError } from '../src/base/errors.ts';
import { open } from '../src/node/open.ts';
import { history } from './support/node-history.ts';

const DEADLINE_MS = 60_000;
const CHILD = fileURLToPath(
  new URL(`./support/exit-child${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url),
);
const LOG = { segmentBytes: 64 * 1024 };

async function scratch(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-exit-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'data');
}

/** A child over `dir`, and the lines that it has printed. */
function start(way: string, dir: string): { child: ChildProcess; lines: () => string[] } {
  const child = spawn(process.execPath, [CHILD, way, dir], { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  return { child, lines: () => output.split('\n').slice(0, -1) };
}

/** Lets the child acknowledge something first. */
async function started(child: ChildProcess, lines: () => string[]): Promise<void> {
  while (lines().length < 20) await once(child.stdout!, 'data');
}

async function checkAcknowledged(dir: string, lines: readonly string[]): Promise<number> {
  ok(lines.length >= 20, 'commands were acknowledged');
  const acknowledged = Number(lines.at(-1));
  const node = await open({ machine: history, dir, log: LOG });
  const last = await node.query('last');
  await node.close();
  ok(last >= acknowledged, `${acknowledged} was acknowledged, and ${last} is the last there`);
  ok(last <= acknowledged + 16, `${last} is there, and few more than ${acknowledged} were sent`);
  return last;
}

for (const { way, name, code } of [
  { way: 'exit', name: 'process.exit during a write', code: 3 },
  { way: 'throw', name: 'an uncaught exception', code: 1 },
  { way: 'reject', name: 'an unhandled rejection', code: 1 },
  { way: 'close', name: 'a close under load', code: 0 },
]) {
  test(`exit L8: ${name} loses nothing acknowledged`, { timeout: DEADLINE_MS }, async (t) => {
    const dir = await scratch(t);
    let last = 0;
    for (let round = 0; round < 3; round++) {
      const { child, lines } = start(way, dir);
      const [exitCode] = (await once(child, 'close')) as [number | null];
      strictEqual(exitCode, code);
      strictEqual(lines()[0], `open ${last}`, 'the next process finds what the last one left');
      last = await checkAcknowledged(dir, lines());
    }
  });
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL', 'SIGHUP'] as const) {
  test(`exit L8: ${signal} loses nothing acknowledged`, { timeout: DEADLINE_MS }, async (t) => {
    const dir = await scratch(t);
    for (let round = 0; round < 2; round++) {
      const { child, lines } = start('wait', dir);
      await started(child, lines);
      child.kill(signal);
      strictEqual(((await once(child, 'close')) as [unknown, string])[1], signal);
      await checkAcknowledged(dir, lines());
    }
  });
}

test('exit D8: a second process is refused while the first lives, running or stopped', async (t) => {
  const dir = await scratch(t);
  const { child, lines } = start('wait', dir);
  t.after(() => child.kill('SIGKILL'));
  await started(child, lines);
  const second = start('wait', dir);
  const [exitCode] = (await once(second.child, 'close')) as [number];
  strictEqual(exitCode, 1);
  strictEqual(second.lines().length, 0);
  child.kill('SIGSTOP');
  await rejects(open({ machine: history, dir, log: LOG }), (error) => {
    ok(isTidemarkError(error, 'TIDEMARK_LOCKED'));
    ok(String(error.facts['owner']).includes(String(child.pid)), 'the note names the owner');
    return true;
  });
  child.kill('SIGKILL');
  await once(child, 'close');
  await checkAcknowledged(dir, lines());
});
