/**
 * The stepwise rule: the interval shrinks by a fifth while failures are frequent, and grows by a fifth while
 * they are rare and checkpoints are dear. "Frequent" is a moving average over checkpoints and failures: each
 * failure moves it a tenth of the way to 1, each checkpoint a twentieth of the way to 0.
 *
 * Simple, and slow: it needs a dozen checkpoints to double. `optimal` computes instead.
 *
 * Pure: no clock.
 */

export interface StepwiseOptions {
  /** Where it begins, in milliseconds. */
  readonly intervalMs: number;
  readonly intervalMsMin: number;
  readonly intervalMsMax: number;
}

/** Ten seconds to five minutes, one minute to begin with. */
export const STEPWISE_DEFAULTS: StepwiseOptions = Object.freeze({
  intervalMs: 60_000,
  intervalMsMin: 10_000,
  intervalMsMax: 300_000,
});

/** Above the first failures are frequent, below the second they are rare. */
const FREQUENT = 0.1;
const RARE = 0.01;

/** A checkpoint that costs more is dear, in milliseconds. */
const DEAR_MS = 1000;

const SHRINK = 0.8;
const GROW = 1.2;

export class Stepwise {
  readonly #options: StepwiseOptions;
  #intervalMs: number;
  /** From 0, nothing fails, to 1, nothing else happens. */
  #failureAverage = 0;

  constructor(options: StepwiseOptions) {
    this.#options = options;
    this.#intervalMs = options.intervalMs;
  }

  get intervalMs(): number {
    return this.#intervalMs;
  }

  failed(): void {
    this.#failureAverage = this.#failureAverage * 0.9 + 0.1;
  }

  /** A checkpoint was taken, and cost so much: the next interval. */
  taken(costMs: number): number {
    this.#failureAverage *= 0.95;
    const { intervalMsMin, intervalMsMax } = this.#options;
    if (this.#failureAverage > FREQUENT) {
      this.#intervalMs = Math.max(intervalMsMin, this.#intervalMs * SHRINK);
    } else if (this.#failureAverage < RARE && costMs > DEAR_MS) {
      this.#intervalMs = Math.min(intervalMsMax, this.#intervalMs * GROW);
    }
    return this.#intervalMs;
  }
}
