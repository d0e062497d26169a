/**
 * Keeps the process alive while somebody waits for what only a node can tell: an open node by itself does
 * not, and Node ends a program that waits for nothing else, without a word.
 */

import type { Clock, Timer } from '../base/time.ts';

/** As long as timers reach, about; it is set anew when it is over. */
const LONG_MS = 24 * 24 * 3_600_000;

export class ProcessHold {
  readonly #clock: Clock;
  #waiting = 0;
  #timer: Timer | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Returns `promise`; the process stays until it has settled. */
  during<Value>(promise: Promise<Value>): Promise<Value> {
    if (this.#waiting++ === 0) this.#arm();
    promise.then(this.#settled, this.#settled);
    return promise;
  }

  readonly #settled = (): void => {
    if (--this.#waiting === 0) this.#timer?.cancel();
  };

  #arm(): void {
    this.#timer = this.#clock.after(LONG_MS, () => this.#arm(), 'keep-alive');
  }
}
