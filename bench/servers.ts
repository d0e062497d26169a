/** Servers to measure, each in a process of its own with an empty directory. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { askOnce } from '../src/cli/resp-client.ts';

const LAUNCHER = fileURLToPath(new URL('../../bin/tidemark.mjs', import.meta.url));

const START_MS_MAX = 10_000;
const POLL_MS = 20;

export interface Server {
  readonly port: number;
  readonly pid: number;
  /** Ends it and removes its directory. */
  stop(): Promise<void>;
  /** Ends it at once; its directory stays. */
  kill(): Promise<void>;
}

export interface TidemarkOptions {
  /** Node's own, such as `--cpu-prof`. */
  readonly nodeOptions?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** `redis-server --version`, or null where it is not installed. */
export function redisVersion(): string | null {
  return /v=(\S+)/.exec(outputOf('redis-server'))?.[1] ?? null;
}

export function hasRedisBenchmark(): boolean {
  return outputOf('redis-benchmark') !== '';
}

/** Redis as durable as Tidemark: an answer only after the sync, and nothing else that writes. */
export async function startRedis(dir: string): Promise<Server> {
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const options = {
    port: String(port),
    bind: '127.0.0.1',
    dir,
    save: '',
    appendonly: 'yes',
    appendfsync: 'always',
    'auto-aof-rewrite-percentage': '0',
  };
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
  const child = spawn('redis-server', args, { stdio: 'ignore' });
  const endsAt = performance.now() + START_MS_MAX;
  while ((await askOnce(port, ['PING']).catch(() => null)) !== 'PONG') {
    if (child.exitCode !== null || performance.now() > endsAt) throw new Error('redis-server does not start');
    await sleep(POLL_MS);
  }
  return serverOf(child, port, dir);
}

/** Tidemark as users start it. */
export async function startTidemark(
  dir: string,
  { nodeOptions = [], env = {} }: TidemarkOptions = {},
): Promise<Server> {
  const args = [...nodeOptions, LAUNCHER, 'start', '--dir', dir, '--port', '0', '--json'];
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...env },
  });
  const lines = createInterface({ input: child.stdout });
  const [line] = (await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error('tidemark does not start'))),
  ])) as [string];
  const { port } = JSON.parse(line) as { port: number };
  return serverOf(child, port, dir);
}

function serverOf(child: ChildProcess, port: number, dir: string): Server {
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    const exited = once(child, 'exit');
    child.kill(signal);
    await exited;
  };
  return {
    port,
    pid: child.pid ?? 0,
    stop: async () => {
      await end('SIGTERM');
      rmSync(dir, { recursive: true, force: true });
    },
    kill: () => end('SIGKILL'),
  };
}

function outputOf(program: string): string {
  try {
    return execFileSync(program, ['--version'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return ''; // Not installed, and the caller says so.
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
