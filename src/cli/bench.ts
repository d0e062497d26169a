/**
 * `tidemark bench`: what this machine does. First its disk alone, because a database that syncs before it
 * answers is as fast as its disk; then SET and GET over the Redis port. Nothing stays behind, also not when
 * it is interrupted.
 */

import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { describeSyncs, measureSyncs, type SyncTimes } from './bench/disk.ts';
import { type Load, type LoadResult, runLoad } from './bench/load.ts';
import {
  type MeasuredNode,
  makeBenchDirectory,
  startOwnNode,
  useRunningNode,
} from './bench/measured-node.ts';
import { describeSurroundings, surroundings } from './bench/surroundings.ts';
import type { ConfigFlags } from './config/flags.ts';
import { EXIT_CODES } from './exit-code.ts';
import { nodeAddress } from './node-client.ts';
import { print, printWarning, table } from './output.ts';
import { Progress } from './progress.ts';

export interface BenchOptions extends Pick<ConfigFlags, 'host' | 'port' | 'passwordFile'> {
  /** Of each measurement. */
  readonly seconds: number;
  readonly clients: number;
  /** Commands at a time; a run of SET and one of GET for each. */
  readonly pipeline: readonly number[];
  readonly valueBytes: number;
  readonly dir?: string;
  readonly json: boolean;
}

interface BenchRun extends LoadResult {
  readonly command: 'SET' | 'GET';
  readonly pipeline: number;
}

export async function bench(options: BenchOptions): Promise<number> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, interrupt);
  const isOwn = options.port === undefined;
  const place = isOwn || options.dir !== undefined ? makeBenchDirectory(options.dir ?? tmpdir()) : null;
  try {
    const disk = place === null ? null : measureSyncs(place.dir);
    if (!options.json) printHead(options, disk, place?.isInMemory ?? false);
    const node =
      isOwn && place !== null ? await startOwnNode(place.dir) : useRunningNode(await nodeAddress(options));
    try {
      const runs = await measure(node, options, interrupted.signal);
      if (interrupted.signal.aborted) return tellInterrupted();
      if (options.json) printJson(options, disk, runs);
      else printRuns(runs, disk);
    } finally {
      await node.remove();
    }
    return EXIT_CODES.done;
  } finally {
    if (place !== null) rmSync(place.dir, { recursive: true, force: true });
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, interrupt);
  }
}

async function measure(
  { address, keys }: MeasuredNode,
  { clients, pipeline, valueBytes, seconds }: BenchOptions,
  signal: AbortSignal,
): Promise<BenchRun[]> {
  const load = { address, keys, clients, valueBytes, signal };
  // Every key is there before it is asked for; and the server has seen some load.
  await runLoad({ ...load, command: 'SET', depth: 16, until: 'every-key' });
  const plan = pipeline.flatMap((depth) => (['SET', 'GET'] as const).map((command) => ({ command, depth })));
  const progress = new Progress('measuring', { one: 'second', many: 'seconds' });
  const began = performance.now();
  const timer = setInterval(() => {
    progress.update((performance.now() - began) / 1000, plan.length * seconds);
  }, 100);
  try {
    const runs: BenchRun[] = [];
    for (const { command, depth } of plan) {
      const step: Load = { ...load, command, depth, until: { seconds } };
      runs.push({ command, pipeline: depth, ...(await runLoad(step)) });
    }
    return runs;
  } finally {
    clearInterval(timer);
    progress.end();
  }
}

function tellInterrupted(): number {
  process.stderr.write('tidemark: interrupted; nothing stays behind\n');
  return EXIT_CODES.retry;
}

function printHead(options: BenchOptions, disk: SyncTimes | null, isInMemory: boolean): void {
  print(describeSurroundings(surroundings()));
  if (disk !== null) print(`the disk alone, 4 KiB written and synced: ${describeSyncs(disk)}`);
  if (isInMemory) printWarning('this directory is in memory; --dir names one on the disk that you mean');
  const { clients, valueBytes, seconds } = options;
  print(`${clients} clients, values of ${valueBytes} B, ${seconds} s for each line`);
}

function printRuns(runs: readonly BenchRun[], disk: SyncTimes | null): void {
  const head = ['command', 'at a time', 'per second', 'per sync of the disk', 'p50 ms', 'p99 ms', 'p99.9 ms'];
  const rows = runs.map(({ command, pipeline, perSecond, p50Ms, p99Ms, p999Ms }) => [
    command,
    String(pipeline).padStart('at a time'.length),
    Math.round(perSecond).toLocaleString('en').padStart('per second'.length),
    perSync(command, perSecond, disk)?.toFixed(1).padStart('per sync of the disk'.length) ?? '',
    ...[p50Ms, p99Ms, p999Ms].map((ms) => ms.toFixed(2).padStart(8)),
  ]);
  print(`\n${table([head, ...rows])}`);
}

function printJson(options: BenchOptions, disk: SyncTimes | null, runs: readonly BenchRun[]): void {
  const { clients, valueBytes, seconds } = options;
  const listed = runs.map((run) => ({ ...run, perSync: perSync(run.command, run.perSecond, disk) }));
  print(JSON.stringify({ surroundings: surroundings(), disk, clients, valueBytes, seconds, runs: listed }));
}

/** Commands for each sync that the disk could do in that time; reads need none. */
function perSync(command: BenchRun['command'], perSecond: number, disk: SyncTimes | null): number | null {
  return command === 'GET' || disk === null ? null : perSecond / disk.perSecond;
}
