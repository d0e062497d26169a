/**
 * Preloaded into a server (`node --import`): how long its event loop kept a timer of one millisecond waiting.
 * SIGUSR2 writes the longest wait since the last one to the file that TIDEMARK_STALLS names.
 */

import { writeFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const RESOLUTION_MS = 1;

const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
delays.enable();

process.on('SIGUSR2', () => {
  const longestMs = Math.max(0, delays.max / 1e6 - RESOLUTION_MS);
  delays.reset();
  writeFileSync(process.env['TIDEMARK_STALLS'] ?? '/dev/null', `${longestMs}\n`);
});
