/**
 * The pace of work that nobody waits for: so many bytes a second, evenly, and never more to make up for a
 * pause. The rate may change while it runs.
 *
 * It follows the time that passes, not the time of day, which may jump.
 */

import type { Clock, Timer } from './time.ts';

/** Waits that are shorter are put off until they are not. */
const WAIT_MS_MIN = 2;

/** After this time the rate is asked for again: it may have changed. */
const WAIT_MS_MAX = 60_000;

export interface PaceConfig {
  readonly clock: Clock;
  /** Above 0. */
  readonly bytesPerSecond: () => number;
}

export class Pace {
  readonly #config: PaceConfig;
  /** Bytes that were spent, and whose time has not passed yet. */
  #owedBytes = 0;
  /** When that was so. */
  #at: number;
  #spentBytes = 0;
  #ended: Error | null = null;
  #timer: Timer | null = null;
  #wake: () => void = () => undefined;

  constructor(config: PaceConfig) {
    this.#config = config;
    this.#at = config.clock.monotonic();
  }

  /** Bytes spent so far. */
  get spentBytes(): number {
    return this.#spentBytes;
  }

  /** Resolves when it is time for `bytes` more: one call at a time. @throws What `end` was given. */
  async spend(bytes: number): Promise<void> {
    if (this.#ended !== null) throw this.#ended;
    for (let waitMs = this.#waitMs(); waitMs >= WAIT_MS_MIN; waitMs = this.#waitMs()) {
      await this.pause(Math.min(WAIT_MS_MAX, Math.ceil(waitMs)));
    }
    this.#owedBytes += bytes;
    this.#spentBytes += bytes;
  }

  /** Waits. @throws What `end` was given. */
  async pause(ms: number): Promise<void> {
    if (this.#ended === null) await this.#wait(ms);
    if (this.#ended !== null) throw this.#ended;
  }

  /** Ends the work: who waits, and who comes later, is told so. Idempotent. */
  end(reason: Error): void {
    this.#ended ??= reason;
    this.#timer?.cancel();
    this.#wake();
  }

  /** Time until nothing is owed. */
  #waitMs(): number {
    const now = this.#config.clock.monotonic();
    const rate = this.#config.bytesPerSecond();
    this.#owedBytes = Math.max(0, this.#owedBytes - (rate * (now - this.#at)) / 1000);
    this.#at = now;
    return (this.#owedBytes * 1000) / rate;
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#config.clock.after(ms, resolve);
    });
  }
}
