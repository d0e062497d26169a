/**
 * Trace lines: what a running node tells programs and those who collect lines, as JSON on standard output.
 *
 * Every line has `level`, `time` (ISO 8601, UTC) and `event`, in kebab-case; the rest is of the event.
 */

import { type Level, pino } from 'pino';
import type { TraceLevel } from './trace-levels.ts';

export type TraceFields = Readonly<Record<string, unknown>>;

export class Trace {
  readonly #write: (level: Level, fields: TraceFields) => void;

  /** @param level Lines below it are left out; `silent` leaves out all. */
  constructor(level: TraceLevel) {
    // Not pino's own destination: one writer of standard output keeps the lines of all in order.
    const logger = pino(
      {
        level,
        base: null,
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (label) => ({ level: label }) },
      },
      process.stdout,
    );
    this.#write = (at, fields) => logger[at](fields);
  }

  write(level: Exclude<TraceLevel, 'silent'>, event: string, fields: TraceFields = {}): void {
    this.#write(level, { event, ...fields });
  }
}
