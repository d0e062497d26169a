/**
 * The Redis port beside Redis itself, both syncing before they answer.
 *
 *     npm run bench -- redis [--pairs N] [--scale F] [--own-load] [--dir PATH] [--json]
 *
 * Each run has a server of its own on an empty directory, and a warm-up of a quarter of its requests: the
 * first of them measure how fast memory grows and code is compiled. The two take turns, and what counts is
 * the ratio within a pair, since the machine may have other work.
 */

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { describeSyncs, measureSyncs, type SyncTimes } from '../src/cli/bench/disk.ts';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import { median } from './percentile.ts';
import { hasRedisBenchmark, redisVersion, type Server, startRedis, startTidemark } from './servers.ts';
import type { LoadResult, SetLoad } from './set-load.ts';

const CLIENTS = 50;
const VALUE_BYTES = 256;
const KEYS = 1_000_000;

/** So many that one run takes a few seconds. */
const CASES = [
  { depth: 16, requests: 1_000_000, ratioWanted: 0.7 },
  { depth: 1, requests: 160_000, ratioWanted: 0.8 },
] as const;

/** What a server does after its start, such as allocating files, is not what is measured. */
const SETTLE_MS = 500;

const HOW_TO_GET_REDIS =
  'To compare, install it: apt-get install redis-server redis-tools (Debian), brew install redis (macOS).';

type Load = (load: SetLoad) => Promise<LoadResult>;

interface Measured {
  readonly depth: number;
  readonly ratioWanted: number;
  readonly tidemark: LoadResult;
  readonly redis: LoadResult | null;
  /** Tidemark's requests per second over those of Redis, pair by pair. */
  readonly ratios: readonly number[];
}

const { values: options } = parseArgs({
  options: {
    pairs: { type: 'string', default: '3' },
    scale: { type: 'string', default: '1' },
    dir: { type: 'string', default: tmpdir() },
    'own-load': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

const folder = mkdtempSync(join(options.dir, 'tidemark-bench-'));
try {
  await compare();
} finally {
  rmSync(folder, { recursive: true, force: true });
}

async function compare(): Promise<void> {
  const redis = redisVersion();
  const isOurLoad = options['own-load'] || !hasRedisBenchmark();
  if (redis === null)
    console.error(`redis-server is missing: Tidemark is measured alone.\n${HOW_TO_GET_REDIS}`);
  else if (isOurLoad && !options['own-load'])
    console.error(`redis-benchmark is missing: the load comes from bench/set-load.ts.\n${HOW_TO_GET_REDIS}`);
  const load = isOurLoad ? runOwnLoad : runRedisBenchmark;
  const syncsBefore = measureSyncs(folder);
  const measured: Measured[] = [];
  for (const wanted of CASES) measured.push(await measureCase(wanted, load, redis !== null));
  const syncs = { before: syncsBefore, after: measureSyncs(folder) };
  const report = { redis, load: isOurLoad ? 'own' : 'redis-benchmark', measured, syncs, ...surroundings() };
  if (options.json) console.log(JSON.stringify(report, null, 2));
  else printReport(redis, measured, syncs);
}

async function measureCase(
  { depth, requests, ratioWanted }: (typeof CASES)[number],
  load: Load,
  hasRedis: boolean,
): Promise<Measured> {
  const tidemark: LoadResult[] = [];
  const redis: LoadResult[] = [];
  for (let pair = 0; pair < Number(options.pairs); pair++) {
    const wanted = { depth, requests: Math.round(requests * Number(options.scale)) };
    if (hasRedis) redis.push(await measureServer(startRedis, wanted, load));
    tidemark.push(await measureServer(startTidemark, wanted, load));
    console.error(
      `pipeline of ${depth}, run ${pair + 1}:${rateOf('Redis', redis)}${rateOf('Tidemark', tidemark)}`,
    );
  }
  const ratios = redis.map((other, at) => tidemark[at]!.requestsPerSecond / other.requestsPerSecond);
  const other = hasRedis ? medianOf(redis) : null;
  return { depth, ratioWanted, ratios, tidemark: medianOf(tidemark), redis: other };
}

function rateOf(name: string, results: readonly LoadResult[]): string {
  const last = results.at(-1);
  return last === undefined ? '' : `  ${name} ${Math.round(last.requestsPerSecond).toLocaleString('en')}/s`;
}

async function measureServer(
  start: (dir: string) => Promise<Server>,
  { depth, requests }: { readonly depth: number; readonly requests: number },
  load: Load,
): Promise<LoadResult> {
  const server = await start(join(folder, 'data'));
  try {
    await sleep(SETTLE_MS);
    const wanted = { port: server.port, clients: CLIENTS, depth, valueBytes: VALUE_BYTES, keys: KEYS };
    await load({ ...wanted, requests: Math.ceil(requests / 4) });
    return await load({ ...wanted, requests });
  } finally {
    await server.stop();
  }
}

async function runRedisBenchmark(load: SetLoad): Promise<LoadResult> {
  const { port, clients, depth, requests, valueBytes, keys } = load;
  const values = { p: port, c: clients, P: depth, n: requests, d: valueBytes, r: keys };
  const args = Object.entries(values).flatMap(([name, value]) => [`-${name}`, String(value)]);
  const { stdout } = await promisify(execFile)('redis-benchmark', ['-t', 'set', '--csv', ...args]);
  const [head, row] = stdout
    .trim()
    .split('\n')
    .map((line) => line.split(',').map((cell) => cell.replaceAll('"', '')));
  const cell = (name: string): number => Number(row?.[head?.indexOf(name) ?? -1]);
  return { requestsPerSecond: cell('rps'), p50Ms: cell('p50_latency_ms'), p99Ms: cell('p99_latency_ms') };
}

async function runOwnLoad(load: SetLoad): Promise<LoadResult> {
  const path = fileURLToPath(new URL('./set-load.js', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [path, JSON.stringify(load)]);
  return JSON.parse(stdout) as LoadResult;
}

function medianOf(results: readonly LoadResult[]): LoadResult {
  return {
    requestsPerSecond: median(results.map((result) => result.requestsPerSecond)),
    p50Ms: median(results.map((result) => result.p50Ms)),
    p99Ms: median(results.map((result) => result.p99Ms)),
  };
}

function printReport(
  redis: string | null,
  measured: readonly Measured[],
  syncs: { readonly before: SyncTimes; readonly after: SyncTimes },
): void {
  const head = ['pipeline', 'server', 'requests/s', 'p50 ms', 'p99 ms', 'ratio', 'of pairs', 'wanted'];
  const rows = measured.flatMap(({ depth, tidemark, redis: other, ratios, ratioWanted }) => [
    ...(other === null ? [] : [[depth, `Redis ${redis}`, ...cellsOf(other)]]),
    [depth, 'Tidemark', ...cellsOf(tidemark), ...(other === null ? [] : ratioCells(ratios, ratioWanted))],
  ]);
  console.log(
    `\nSET of ${VALUE_BYTES} B, ${CLIENTS} clients, ${KEYS.toLocaleString('en')} keys; every answer`,
  );
  console.log(`after its sync; median of ${options.pairs} runs, each on an empty directory\n`);
  console.log(table([head, ...rows]));
  console.log(`\nsync of 4 KiB, before  ${describeSyncs(syncs.before)}`);
  console.log(`sync of 4 KiB, after   ${describeSyncs(syncs.after)}`);
  console.log(`machine                ${describeSurroundings(surroundings())}`);
}

function cellsOf({ requestsPerSecond, p50Ms, p99Ms }: LoadResult): (string | number)[] {
  return [Math.round(requestsPerSecond), p50Ms.toFixed(2), p99Ms.toFixed(2)];
}

function ratioCells(ratios: readonly number[], wanted: number): string[] {
  const range = `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`;
  return [median(ratios).toFixed(2), range, `>= ${wanted}`];
}
