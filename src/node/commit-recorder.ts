/**
 * Writes down how far the log was acknowledged, soon after it was. After an unclean stop this tells damage
 * that reaches to the end of the newest segment from a torn write: an end before the committed index is
 * damage (log/recover.ts, step 3).
 */

import type { Index } from '../base/positions.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { StatusFile } from '../log/status.ts';

/** Longest time until an acknowledged entry is on record, in milliseconds, plus the time to write it. */
const RECORD_MS = 500;

export class CommitRecorder {
  readonly #status: Pick<StatusFile, 'current' | 'update' | 'persist'>;
  readonly #clock: Clock;
  #latest: Index;
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(status: Pick<StatusFile, 'current' | 'update' | 'persist'>, clock: Clock) {
    this.#status = status;
    this.#clock = clock;
    this.#latest = status.current.commitIndex;
  }

  /** Entries up to `index` are durable and committed. Cheap: called for every batch. */
  committed(index: Index): void {
    this.#latest = index;
    if (this.#isStopped) return;
    this.#timer ??= this.#clock.after(RECORD_MS, () => this.#record());
  }

  /** Nothing is written from now on. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /** A failure to write reaches the node through the status file. */
  #record(): void {
    this.#timer = null;
    this.#status.update({ commitIndex: this.#latest });
    this.#status.persist();
  }
}
