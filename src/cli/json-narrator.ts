/** What a running node tells programs: one trace line for each event, and nothing else. */

import type { NodeEvent, NodeHappening } from '../node/events.ts';
import { describeError } from './output.ts';
import type { Listening, Narrator } from './run-node.ts';
import { Trace } from './trace.ts';
import type { TraceLevel } from './trace-levels.ts';

/** A line in `debug` tells what happens all the time and is well; in `warn` what somebody should look at. */
const LEVELS: Readonly<Record<NodeHappening['kind'], 'debug' | 'info' | 'warn'>> = {
  'checkpoint-failed': 'warn',
  'checkpoint-started': 'debug',
  'checkpoint-taken': 'info',
  'checkpoints-removed': 'debug',
  'cleanup-failed': 'warn',
  'damage-found': 'warn',
  late: 'warn',
  loaded: 'info',
  'log-compacted': 'debug',
  missed: 'warn',
  'procedure-stuck': 'warn',
  'procedure-undone': 'info',
  'scrub-finding': 'warn',
  'scrub-finished': 'info',
  'scrub-outcome': 'info',
  'segment-sealed': 'debug',
  'shortage-began': 'warn',
  'shortage-ended': 'info',
  'slow-sync': 'warn',
  stopped: 'info',
  stopping: 'info',
};

export class JsonNarrator implements Narrator {
  readonly #trace: Trace;

  constructor(level: TraceLevel) {
    this.#trace = new Trace(level);
  }

  opening(dir: string): void {
    this.#trace.write('debug', 'opening', { dir, pid: process.pid });
  }

  /** Progress is for people: a program sees `keysToLoad` and the like in the status. */
  recovering(): void {}

  listening(listening: Listening): void {
    this.#trace.write('info', 'listening', { ...listening, pid: process.pid });
    for (const message of listening.recovery.warnings)
      this.#trace.write('warn', 'recovery-warning', { message });
  }

  happened(event: NodeEvent): void {
    const { kind, at: _, ...fields } = event; // The line has its own time.
    this.#trace.write(LEVELS[kind], kind, fields);
  }

  stopping(): void {
    this.#trace.write('info', 'stopping');
  }

  stopped(): void {
    this.#trace.write('info', 'stopped');
  }

  failed(error: unknown): void {
    this.#trace.write('fatal', 'failed', { error: describeError(error) });
  }
}
