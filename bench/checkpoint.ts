/**
 * Checkpoints of a server under load, beside what Redis does for the same: bytes, time, stalls, latency; and
 * how long a start takes.
 *
 *     npm run bench -- checkpoint [--keys N] [--seconds N] [--dir PATH] [--json]
 *
 * The stall of Tidemark is the longest time that its event loop kept a timer of one millisecond waiting; that
 * of Redis is how long its fork took, by its own account. Both answer after their sync. Goals, for a million
 * keys of 256 bytes: no stall above 10 ms, p99.9 at most twice that of the same load without a checkpoint; at
 * most 20 % of a full checkpoint's bytes after 1 % of the keys changed, 2.5 % after 0.1 %; a start with
 * 100,000 commands behind the checkpoint answers within 0.5 s and has everything in memory within 2 s.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeSyncs, measureSyncs } from '../src/cli/bench/disk.ts';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { formatBytes, table } from '../src/cli/output.ts';
import { askOnce } from '../src/cli/resp-client.ts';
import { redisVersion, type Server, startRedis, startTidemark } from './servers.ts';
import type { SetLoad, SetLoadResult } from './set-load.ts';

const VALUE_BYTES = 256;
const CLIENTS = 50;
const SHARES = [0.01, 0.001];

/** Commands behind the checkpoint at a start. */
const LOG_COMMANDS = 100_000;

const POLL_MS = 10;

const { values: options } = parseArgs({
  options: {
    keys: { type: 'string', default: '1000000' },
    seconds: { type: 'string', default: '10' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});
const KEYS = Number(options.keys);

/** One checkpoint. */
interface Taken {
  readonly system: string;
  readonly changed: string;
  readonly bytes: number;
  readonly ms: number;
  readonly stallMs: number;
  /** Of the load without a checkpoint, and during it; null without load. */
  readonly p999Ms: { readonly before: number; readonly during: number } | null;
}

interface Started {
  readonly system: string;
  readonly firstReadMs: number;
  readonly loadedMs: number;
  readonly residentBytes: number;
}

/** What the benchmark needs of a server. */
interface System {
  readonly name: string;
  start(dir: string): Promise<Server>;
  /** Begins a checkpoint. */
  readonly begin: readonly string[];
  /** What makes a start load a checkpoint rather than all commands, when that is something else. */
  readonly prepareStart: readonly string[];
  bytesOf(dir: string, info: Info): number;
  stallMs(server: Server, info: Info): Promise<number>;
}

type Info = ReadonlyMap<string, string>;

const folder = mkdtempSync(join(options.dir, 'tidemark-bench-'));
const stallsPath = join(folder, 'stalls');

const TIDEMARK: System = {
  name: 'Tidemark',
  start: (dir) =>
    startTidemark(dir, {
      nodeOptions: ['--import', new URL('./stall-probe.js', import.meta.url).href],
      env: { TIDEMARK_STALLS: stallsPath },
    }),
  begin: ['BGSAVE'],
  prepareStart: ['SAVE'],
  bytesOf: (_, info) => Number(info.get('tidemark_checkpoint_bytes')),
  async stallMs({ pid }) {
    rmSync(stallsPath, { force: true });
    process.kill(pid, 'SIGUSR2');
    await sleep(200);
    return Number(readFileSync(stallsPath, 'utf8'));
  },
};

const REDIS: System = {
  name: `Redis ${redisVersion() ?? ''}`,
  start: startRedis,
  begin: ['BGSAVE'],
  prepareStart: ['BGREWRITEAOF'],
  bytesOf: (dir) => statSync(join(dir, 'dump.rdb')).size,
  stallMs: (_, info) => Promise.resolve(Number(info.get('latest_fork_usec')) / 1000),
};

try {
  await main();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const systems = redisVersion() === null ? [TIDEMARK] : [REDIS, TIDEMARK];
  if (systems.length === 1) console.error('redis-server is missing: Tidemark is measured alone.');
  const syncs = measureSyncs(folder);
  const taken: Taken[] = [];
  const started: Started[] = [];
  for (const system of systems) await measure(system, taken, started);
  if (options.json) console.log(JSON.stringify({ keys: KEYS, taken, started, syncs, ...surroundings() }));
  else printReport(taken, started);
  if (!options.json) console.log(`\nsync of 4 KiB          ${describeSyncs(syncs)}`);
  if (!options.json) console.log(`machine                ${describeSurroundings(surroundings())}`);
}

async function measure(system: System, taken: Taken[], started: Started[]): Promise<void> {
  const dir = join(folder, 'data');
  let server = await system.start(dir);
  try {
    console.error(`${system.name}: ${KEYS.toLocaleString('en')} keys`);
    await run(server, { requests: KEYS, depth: 64, order: 'ascending' });
    taken.push(await takeUnderLoad(system, server, dir));
    for (const share of SHARES) taken.push(await takeAfter(system, server, dir, share));
    if (system === TIDEMARK) console.error(`kept: ${formatBytes(bytesIn(join(dir, 'checkpoints')))}`);

    await askOnce(server.port, system.prepareStart);
    await untilSaved(server);
    await run(server, { requests: LOG_COMMANDS, depth: 64 });
    await server.kill();
    const began = performance.now();
    server = await system.start(dir);
    started.push(await measureStart(system, server, began));
  } finally {
    await server.stop();
  }
}

/** A first, full checkpoint while clients write. */
async function takeUnderLoad(system: System, server: Server, dir: string): Promise<Taken> {
  await run(server, { requests: KEYS / 4, depth: 1 });
  const before = await during(server, () => sleep(Number(options.seconds) * 1000));
  await system.stallMs(server, await infoOf(server));
  const { result, ms } = await during(server, () => take(system, server));
  const info = await infoOf(server);
  return {
    system: system.name,
    changed: 'all, under load',
    bytes: system.bytesOf(dir, info),
    ms,
    stallMs: await system.stallMs(server, info),
    p999Ms: { before: before.result.p999Ms, during: result.p999Ms },
  };
}

/** A checkpoint after a share of the keys changed, without load. */
async function takeAfter(system: System, server: Server, dir: string, share: number): Promise<Taken> {
  await take(system, server); // Whatever changed under load.
  await run(server, { requests: KEYS * share, depth: 16 });
  await sleep(1_000);
  await system.stallMs(server, await infoOf(server));
  const ms = await take(system, server);
  const info = await infoOf(server);
  return {
    system: system.name,
    changed: `${100 * share} %`,
    bytes: system.bytesOf(dir, info),
    ms,
    stallMs: await system.stallMs(server, info),
    p999Ms: null,
  };
}

/** Takes a checkpoint; returns how long it took. */
async function take(system: System, server: Server): Promise<number> {
  const began = performance.now();
  await askOnce(server.port, system.begin);
  await untilSaved(server);
  return performance.now() - began;
}

async function untilSaved(server: Server): Promise<void> {
  const flags = ['rdb_bgsave_in_progress', 'aof_rewrite_in_progress', 'aof_rewrite_scheduled'];
  for (;;) {
    const info = await infoOf(server);
    if (flags.every((flag) => (info.get(flag) ?? '0') === '0')) break;
    await sleep(POLL_MS);
  }
  const status = (await infoOf(server)).get('rdb_last_bgsave_status');
  if (status !== 'ok') throw new Error(`the checkpoint failed: ${status}`);
}

/** Runs the load until `work` is done; returns how long that took, and what the load saw. */
async function during(
  server: Server,
  work: () => Promise<unknown>,
): Promise<{ result: SetLoadResult; ms: number }> {
  const load = startLoad(server, { requests: Number.MAX_SAFE_INTEGER, depth: 1 });
  await sleep(500);
  const began = performance.now();
  await work();
  const ms = performance.now() - began;
  load.child.kill('SIGTERM');
  return { result: await load.result, ms };
}

type LoadShape = Pick<SetLoad, 'requests' | 'depth' | 'order'>;

function run(server: Server, shape: LoadShape): Promise<SetLoadResult> {
  return startLoad(server, shape).result;
}

function startLoad(
  { port }: Server,
  shape: LoadShape,
): { child: ChildProcess; result: Promise<SetLoadResult> } {
  const path = fileURLToPath(new URL('./set-load.js', import.meta.url));
  const load: SetLoad = { port, clients: CLIENTS, valueBytes: VALUE_BYTES, keys: KEYS, ...shape };
  const child = spawn(process.execPath, [path, JSON.stringify(load)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  const result = once(child, 'close').then(
    () => JSON.parse(Buffer.concat(chunks).toString()) as SetLoadResult,
  );
  return { child, result };
}

async function measureStart(system: System, server: Server, began: number): Promise<Started> {
  const key = `key:${'0'.repeat(12)}`;
  while (typeof (await askOnce(server.port, ['GET', key])) !== 'string') await sleep(POLL_MS);
  const firstReadMs = performance.now() - began;
  for (;;) {
    const info = await infoOf(server);
    if (info.get('loading') === '0' && (info.get('tidemark_keys_to_load') ?? '0') === '0') break;
    await sleep(POLL_MS);
  }
  const loadedMs = performance.now() - began;
  const pages = Number(readFileSync(`/proc/${server.pid}/statm`, 'utf8').split(' ')[1]);
  return { system: system.name, firstReadMs, loadedMs, residentBytes: pages * 4096 };
}

async function infoOf({ port }: Server): Promise<Info> {
  const text = await askOnce(port, ['INFO']);
  if (typeof text !== 'string') throw new Error('INFO is not answered');
  return new Map(
    text
      .split('\r\n')
      .filter((line) => line.includes(':'))
      .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
}

function bytesIn(dir: string): number {
  return readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0);
}

function printReport(taken: readonly Taken[], started: readonly Started[]): void {
  const fullOf = (system: string): number => taken.find((one) => one.system === system)!.bytes;
  const rows = taken.map(({ system, changed, bytes, ms, stallMs, p999Ms }) => [
    system,
    KEYS,
    changed,
    formatBytes(bytes),
    `${((100 * bytes) / fullOf(system)).toFixed(1)} %`,
    (ms / 1000).toFixed(2),
    stallMs.toFixed(1),
    p999Ms === null ? '-' : `${p999Ms.before.toFixed(2)} -> ${p999Ms.during.toFixed(2)}`,
  ]);
  const head = ['system', 'keys', 'changed', 'bytes', 'of a full one', 'seconds', 'stall ms', 'p99.9 ms'];
  console.log(`\nCheckpoints, values of ${VALUE_BYTES} B, ${CLIENTS} clients\n`);
  console.log(table([head, ...rows]));
  console.log(`\nStart with a checkpoint and ${LOG_COMMANDS.toLocaleString('en')} commands behind it\n`);
  const startRows = started.map(({ system, firstReadMs, loadedMs, residentBytes }) => [
    system,
    (firstReadMs / 1000).toFixed(2),
    (loadedMs / 1000).toFixed(2),
    formatBytes(residentBytes),
  ]);
  console.log(table([['system', 'first read, s', 'all in memory, s', 'resident'], ...startRows]));
}
