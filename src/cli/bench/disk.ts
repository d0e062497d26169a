/** What the disk itself takes for one sync: the yardstick beside every figure of a database. */

import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Latencies } from './latencies.ts';

const FILE_BYTES = 4 * 1024 * 1024;
const WRITE_BYTES = 4096;
const SAMPLES_MAX = 1000;

/** On a slow disk fewer samples do. */
const MEASURE_MS_MAX = 2_000;

export interface SyncTimes {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly perSecond: number;
}

/** Overwrites 4 KiB of a preallocated file and syncs it, a thousand times, one after the other. */
export function measureSyncs(dir: string): SyncTimes {
  const path = join(dir, 'sync-times');
  const file = openSync(path, 'w');
  try {
    writeSync(file, Buffer.alloc(FILE_BYTES), 0, FILE_BYTES, 0);
    fsyncSync(file);
    const block = Buffer.alloc(WRITE_BYTES, 7);
    const times = new Latencies();
    const began = performance.now();
    let now = began;
    while (times.count < SAMPLES_MAX && now - began < MEASURE_MS_MAX) {
      const sampleBegan = now;
      writeSync(file, block, 0, WRITE_BYTES, (times.count * WRITE_BYTES) % FILE_BYTES);
      fdatasyncSync(file);
      now = performance.now();
      times.record(now - sampleBegan);
    }
    const { p50Ms, p99Ms } = times.summary();
    return { p50Ms, p99Ms, perSecond: (1000 * times.count) / (now - began) };
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

export function describeSyncs({ p50Ms, p99Ms, perSecond }: SyncTimes): string {
  const rate = Math.round(perSecond).toLocaleString('en');
  return `${p50Ms.toFixed(3)} ms (p50), ${p99Ms.toFixed(3)} ms (p99), ${rate}/s`;
}
