/**
 * The log alone, on the real disk: from `append` to durable, for clients that each wait for their record
 * before they append the next, beside what the disk does by itself.
 *
 *     npm run bench -- log [--seconds N] [--dir PATH] [--json]
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { systemChance } from '../src/base/chance.ts';
import { type Index, toIndex, toTerm } from '../src/base/positions.ts';
import { systemClock } from '../src/base/time.ts';
import { describeSyncs, measureSyncs } from '../src/cli/bench/disk.ts';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import { SYNCED } from '../src/log/durability.ts';
import { Log } from '../src/log/log.ts';
import { LOG_DEFAULTS } from '../src/log/log-options.ts';
import { openDataDirectory } from '../src/node/data-directory.ts';
import { NodeFileSystem } from '../src/storage/node-file-system.ts';
import { percentile } from './percentile.ts';

const CLIENTS = [1, 16, 256, 4096];
const RECORD_BYTES = 128;
const WARM_UP_MS = 500;
const TERM = toTerm(0);

interface Measured {
  readonly clients: number;
  readonly recordsPerSecond: number;
  readonly syncsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly diskSyncsPerSecond: number;
}

const { values: options } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    dir: { type: 'string', default: tmpdir() },
    json: { type: 'boolean', default: false },
  },
});

async function measure(clients: number, folder: string): Promise<Measured> {
  const disk = measureSyncs(folder);
  console.error(`${clients} clients; sync of 4 KiB ${describeSyncs(disk)}`);
  const dir = join(folder, String(clients));
  const { log, start, close } = await openLog(dir);
  const load = new ClosedLoop(clients);
  start(load, log);
  await sleep(WARM_UP_MS);
  load.latencies.length = 0;
  const before = { ...log.stats, records: load.records };
  const began = performance.now();
  await sleep(Number(options.seconds) * 1000);
  const seconds = (performance.now() - began) / 1000;
  const records = load.records - before.records;
  const syncs = log.stats.syncs - before.syncs;
  load.isOver = true;
  await close();
  rmSync(dir, { recursive: true });
  return {
    clients,
    recordsPerSecond: records / seconds,
    syncsPerSecond: syncs / seconds,
    p50Ms: percentile(load.latencies, 50),
    p99Ms: percentile(load.latencies, 99),
    diskSyncsPerSecond: disk.perSecond,
  };
}

/**
 * Clients that append again as soon as their last record is durable. They go in step, as group commit makes
 * them: one batch holds a record of each.
 */
class ClosedLoop {
  readonly latencies: number[] = [];
  records = 0;
  isOver = false;
  readonly #clients: number;
  readonly #body = new Uint8Array(RECORD_BYTES).fill(7);
  /** When the batch in flight was appended. */
  #appendedAt = 0;
  #inFlight = 0;

  constructor(clients: number) {
    this.#clients = clients;
  }

  begin(log: Log): void {
    this.#append(log, this.#clients);
    log.flush();
  }

  onReleased(log: Log, index: Index): void {
    if (index < log.lastIndex) return;
    this.records += this.#inFlight;
    this.latencies.push(performance.now() - this.#appendedAt);
    if (!this.isOver) this.#append(log, this.#clients);
  }

  #append(log: Log, count: number): void {
    this.#appendedAt = performance.now();
    this.#inFlight = count;
    const time = Math.max(log.lastTime, systemClock.now());
    for (let client = 0; client < count; client++) log.append(TERM, time, this.#body);
  }
}

async function openLog(
  dir: string,
): Promise<{ log: Log; start: (load: ClosedLoop, log: Log) => void; close: () => Promise<void> }> {
  const doors = { fs: new NodeFileSystem(), clock: systemClock, chance: systemChance };
  const fail = (error: unknown): void => {
    throw error;
  };
  const { segmentBytes } = LOG_DEFAULTS;
  const machine = { name: 'bench', version: 1 };
  const directory = await openDataDirectory({ ...doors, dir, machine, segmentBytes, onStatusFailure: fail });
  const { status, lock } = directory;
  let load: ClosedLoop | null = null;
  const log = await Log.open({
    ...doors,
    dataDir: dir,
    identity: status.current,
    status: {
      promise: status.current,
      makeDurable: () => status.makeDurable(),
      persistSequence(segmentSequence) {
        status.update({ segmentSequence });
        return status.whenPersisted();
      },
      persistFirstIndex(firstIndex) {
        status.update({ firstIndex });
        return status.whenPersisted();
      },
    },
    options: { segmentBytes },
    replayAfter: toIndex(0),
    onKnown: () => undefined,
    onReplay: () => undefined,
    durability: SYNCED,
    onReleased: (index) => load?.onReleased(log, index),
    onDurable: () => undefined,
    onRefused: (_afterIndex, error) => fail(error),
    onPoisoned: fail,
  });
  return {
    log,
    start(started, opened) {
      load = started;
      started.begin(opened);
    },
    async close() {
      await log.close();
      await status.close();
      await lock.release();
    },
  };
}

function print(measured: readonly Measured[]): void {
  const head = ['clients', 'records/s', 'syncs/s', 'p50 ms', 'p99 ms', "disk's own syncs/s", 'share'];
  const rows = measured.map((row) => [
    row.clients,
    Math.round(row.recordsPerSecond),
    Math.round(row.syncsPerSecond),
    row.p50Ms.toFixed(3),
    row.p99Ms.toFixed(3),
    Math.round(row.diskSyncsPerSecond),
    (row.syncsPerSecond / row.diskSyncsPerSecond).toFixed(2),
  ]);
  console.log(`\nappend to durable, ${RECORD_BYTES} B records, every client waits for its own\n`);
  console.log(table([head, ...rows]));
  console.log(`\nmachine  ${describeSurroundings(surroundings())}`);
}

// Last: classes are not there before their line has run.
const folder = mkdtempSync(join(options.dir, 'tidemark-bench-'));
try {
  const measured: Measured[] = [];
  for (const clients of CLIENTS) measured.push(await measure(clients, folder));
  if (options.json) console.log(JSON.stringify({ measured, ...surroundings() }, null, 2));
  else print(measured);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
