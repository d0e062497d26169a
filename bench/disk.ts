/** What the disk itself takes for one sync: the yardstick beside every figure of a database. */

import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';

const FILE_BYTES = 4 * 1024 * 1024;
const WRITE_BYTES = 4096;
const SAMPLES = 1000;

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
    const times: number[] = [];
    for (let sample = 0; sample < SAMPLES; sample++) {
      const began = performance.now();
      writeSync(file, block, 0, WRITE_BYTES, (sample * WRITE_BYTES) % FILE_BYTES);
      fdatasyncSync(file);
      times.push(performance.now() - began);
    }
    const total = times.reduce((sum, ms) => sum + ms, 0);
    return {
      p50Ms: percentile(times, 50),
      p99Ms: percentile(times, 99),
      perSecond: (1000 * SAMPLES) / total,
    };
  } finally {
    closeSync(file);
    rmSync(path);
  }
}

export function describeSyncs({ p50Ms, p99Ms, perSecond }: SyncTimes): string {
  const rate = Math.round(perSecond).toLocaleString('en');
  return `${p50Ms.toFixed(3)} ms (p50), ${p99Ms.toFixed(3)} ms (p99), ${rate}/s`;
}

/** Of at least one sample; nearest rank. */
export function percentile(samples: readonly number[], percent: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)]!;
}

export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
