/**
 * The optimal interval kept up to date: computed from what checkpoints were measured to cost and how often
 * the node was seen to fail, held inside bounds, and changed only when it pays.
 *
 * Bounds, the tightest wins, and the lower ones win over the upper ones:
 *  - at most `intervalMsMax`; at most `rpoMs`, the age that the newest checkpoint may reach;
 *  - at most what can be replayed in the time that `rtoMs` leaves when a start has loaded the state;
 *  - at least `pauseMsMin`, and at least the time that writing one takes, and a fifth more.
 *
 * Pure: no clock.
 */

import { type CheckpointEconomy, expectedWaste, optimalIntervalMs } from './optimal-interval.ts';

export interface OptimalOptions {
  /** Shortest time between two checkpoints, in milliseconds. */
  readonly pauseMsMin: number;
  /** Longest time between two checkpoints, in milliseconds. */
  readonly intervalMsMax: number;
  /** How old the newest checkpoint may become, in milliseconds; 0: as old as it pays. */
  readonly rpoMs: number;
  /** How long a start may take, in milliseconds; 0: as long as it pays. */
  readonly rtoMs: number;
}

export const OPTIMAL_DEFAULTS: OptimalOptions = Object.freeze({
  pauseMsMin: 10_000,
  intervalMsMax: 3_600_000,
  rpoMs: 0,
  rtoMs: 0,
});

/** What is known of the node when the interval is computed. */
export interface Measured extends CheckpointEconomy {
  /** How long writing one takes, from its beginning to its end, in milliseconds. */
  readonly durationMs: number;
  /** How long a start takes without anything to replay, in milliseconds. */
  readonly restartMs: number;
}

/** A new interval is taken only when it differs by more than this from the one in force. */
const HYSTERESIS = 0.2;

/** Room above the time that writing takes: checkpoints must not follow one another without end. */
const HEADROOM = 1.2;

export class Optimal {
  readonly #options: OptimalOptions;
  #intervalMs: number;

  constructor(options: OptimalOptions) {
    this.#options = options;
    this.#intervalMs = options.pauseMsMin;
  }

  /** The interval in force, in milliseconds. */
  get intervalMs(): number {
    return this.#intervalMs;
  }

  /** A checkpoint was taken: the interval until the next. */
  taken(measured: Measured): number {
    const wanted = this.#clamp(optimalIntervalMs(measured), measured);
    const change = Math.abs(wanted - this.#intervalMs) / this.#intervalMs;
    const isOutside = this.#clamp(this.#intervalMs, measured) !== this.#intervalMs;
    if (change > HYSTERESIS || isOutside) this.#intervalMs = wanted;
    return this.#intervalMs;
  }

  /** Share of the time that checkpoints, restarts and replays take at the interval in force, by the model. */
  predictedWaste(measured: Measured): number {
    return expectedWaste(measured, { intervalMs: this.#intervalMs, restartMs: measured.restartMs });
  }

  #clamp(intervalMs: number, { durationMs, restartMs, replayShare }: Measured): number {
    const { pauseMsMin, intervalMsMax, rpoMs, rtoMs } = this.#options;
    const replayable = rtoMs === 0 ? Infinity : Math.max(0, rtoMs - restartMs) / replayShare;
    const upper = Math.min(intervalMsMax, rpoMs === 0 ? Infinity : rpoMs, replayable);
    const lower = Math.max(pauseMsMin, durationMs * HEADROOM);
    return Math.max(lower, Math.min(upper, intervalMs));
  }
}
