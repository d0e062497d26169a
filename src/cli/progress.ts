/**
 * How far something is that takes long: on a terminal a bar with percentage, rate and time left, elsewhere a
 * quiet line now and then. All of it goes to standard error, and nothing of it appears for what is over soon.
 *
 * Driven by whoever does the work, without a timer: that also works where the event loop is held.
 */

import { count, formatBytes, formatDuration } from './output.ts';

/** What is over sooner needs no bar. */
const SILENT_MS = 500;
const REDRAW_MS = 100;
/** Where nobody watches, lines are for logs. */
const LINE_MS = 10_000;

const BAR_CHARS = 24;
const ERASE_LINE = '\r\u001b[K';

/** Of what `done` and `total` count. */
export type ProgressUnit = 'bytes' | { readonly one: string; readonly many: string };

/** Where it goes, and what time it is: standard error and the clock of the process. */
export interface ProgressDoors {
  readonly stream: { readonly isTTY?: boolean; write(text: string): unknown };
  readonly now: () => number;
}

const REAL_DOORS: ProgressDoors = { stream: process.stderr, now: () => performance.now() };

export class Progress {
  readonly #title: string;
  readonly #unit: ProgressUnit;
  readonly #doors: ProgressDoors;
  readonly #startedAt: number;
  #nextAt: number;
  #isDrawn = false;

  constructor(title: string, unit: ProgressUnit, doors: ProgressDoors = REAL_DOORS) {
    this.#title = title;
    this.#unit = unit;
    this.#doors = doors;
    this.#startedAt = doors.now();
    this.#nextAt = this.#startedAt + (this.#isWatched ? SILENT_MS : LINE_MS);
  }

  /** Cheap when there is nothing to draw yet. `done` may exceed `total`, which is then an estimate. */
  update(done: number, total: number): void {
    const now = this.#doors.now();
    if (now < this.#nextAt) return;
    const part = total <= 0 ? 1 : Math.min(1, done / total);
    const text = this.#describe(part, done, (now - this.#startedAt) / 1000);
    if (this.#isWatched) {
      this.#doors.stream.write(`${ERASE_LINE}${this.#title} ${bar(part)} ${text}`);
      this.#isDrawn = true;
      this.#nextAt = now + REDRAW_MS;
    } else {
      this.#doors.stream.write(`tidemark: ${this.#title}: ${text}\n`);
      this.#nextAt = now + LINE_MS;
    }
  }

  /** Takes the bar away: what was done is told elsewhere. */
  end(): void {
    if (this.#isDrawn) this.#doors.stream.write(ERASE_LINE);
    this.#isDrawn = false;
  }

  get #isWatched(): boolean {
    return this.#doors.stream.isTTY === true;
  }

  #describe(part: number, done: number, seconds: number): string {
    const perSecond = seconds > 0 ? done / seconds : 0;
    const rate =
      this.#unit === 'bytes'
        ? `${formatBytes(Math.round(perSecond))}/s`
        : `${count(Math.round(perSecond), this.#unit.one, this.#unit.many)}/s`;
    const left = part > 0 && part < 1 ? `, ${formatDuration(((1 - part) / part) * seconds)} left` : '';
    return `${Math.floor(part * 100)} %, ${rate}${left}`;
  }
}

function bar(part: number): string {
  const full = Math.round(part * BAR_CHARS);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CHARS - full)}]`;
}
