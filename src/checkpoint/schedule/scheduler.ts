/**
 * When the next checkpoint is due: asks for one when the first of its reasons holds.
 *
 *  - the clock: `checkpointIntervalMs`, or what the adaptive schedule says, since the last was asked for;
 *  - entries, or bytes of log, since the last that was taken.
 *
 * None is asked for while one is being taken, nor when nothing has changed; after one that failed the next
 * comes by the clock, later and later: a disk that is full is not asked a thousand times a second.
 *
 * It also keeps the books: what checkpoints cost, how often the node failed, what share of the time that
 * took, and what the model had predicted.
 */

import type { Index } from '../../base/positions.ts';
import type { Clock, Timer } from '../../base/time.ts';
import { type FailureHistory, FailureRate } from './failure-rate.ts';
import { type Measured, OPTIMAL_DEFAULTS, Optimal } from './optimal.ts';
import type { Schedule } from './schedule-options.ts';
import { STEPWISE_DEFAULTS, Stepwise } from './stepwise.ts';

/** Where the log is. */
export interface LogPosition {
  /** Index of the last durable entry. */
  readonly entries: number;
  /** Bytes written since the start of the node. */
  readonly bytes: number;
  /** Commands applied since the start of the node. */
  readonly commands: number;
}

/** How this start went: the first measurement there is. */
export interface StartCost {
  /** Time that it took besides replaying, in milliseconds. */
  readonly restartMs: number;
  /** Commands replayed, and the time it took. */
  readonly commandsReplayed: number;
  readonly replayMs: number;
}

/** What was taken, and what it cost. */
export interface Taken {
  /** What the checkpoint holds: up to here nothing has to be taken again. */
  readonly held: LogPosition;
  /** Time that it held the event loop, in all, in milliseconds. */
  readonly busyMs: number;
  /** From its beginning to its end. */
  readonly durationMs: number;
}

export interface SchedulerConfig {
  readonly clock: Clock;
  readonly schedule: Schedule;
  readonly position: () => LogPosition;
  /**
   * Takes a checkpoint; never rejects. It tells `taken` or `attemptFailed` before it resolves; neither when
   * the newest one holds the state as it is.
   */
  readonly take: () => Promise<void>;
  /** Index of the last entry in the newest checkpoint at the start; 0 without one. */
  readonly newest: Index;
  readonly start: StartCost;
  /** What was seen of failures before this start. */
  readonly failures: FailureHistory;
}

/** How checkpoints are scheduled, and what they cost. */
export interface ScheduleStats {
  /** Interval by the clock that holds now, in milliseconds; null when there is none. */
  readonly intervalMs: number | null;
  /** When the clock will ask for the next, in milliseconds since 1970; null when it will not. */
  readonly nextAt: number | null;
  /** Mean time between failures by what was seen, in milliseconds. */
  readonly mtbfMs: number;
  /** Share of the time that checkpoints, restarts and replays take, by the model; null without one. */
  readonly predictedWaste: number | null;
  /** The same, measured since the start of the node, this start included. */
  readonly measuredWaste: number;
}

/** Half of what was seen of failures is forgotten after so long. */
const HALF_LIFE_MS = 30 * 24 * 3_600_000;

/** Weight of the newest checkpoint in what one is expected to cost. */
const COST_WEIGHT = 0.3;

/** Until a replay was measured: commands a second. */
const REPLAY_RATE_ASSUMED = 500_000;

/** A replay of fewer says nothing of the rate. */
const REPLAY_COMMANDS_MIN = 10_000;

const REPLAY_SHARE_MIN = 1e-4;

/** After a failed attempt: at first, doubled each time, up to an hour. */
const RETRY_MS = 10_000;
const RETRY_MS_MAX = 3_600_000;

export class Scheduler {
  readonly #config: SchedulerConfig;
  readonly #rate: FailureRate;
  readonly #startedAt: number;
  #schedule: Schedule;
  #stepwise: Stepwise | null = null;
  #optimal: Optimal | null = null;
  #timer: Timer | null = null;
  #nextAt: number | null = null;
  #isAsking = false;
  #isStopped = false;
  #failedAttempts = 0;
  /** How often it was told what became of an attempt. */
  #outcomes = 0;
  /** What the last one holds; bytes and commands are counted from the start of the node. */
  #last: LogPosition;
  /** When it was taken. */
  #lastAt: number;
  /** Whether any was taken since the start. */
  #isMeasured = false;
  #costMs = 0;
  #durationMs = 0;
  #busyMsTotal = 0;
  #replayShare: number;

  constructor(config: SchedulerConfig) {
    this.#config = config;
    this.#schedule = config.schedule;
    this.#rate = new FailureRate(HALF_LIFE_MS, config.failures);
    this.#startedAt = config.clock.monotonic();
    this.#last = { ...config.position(), entries: config.newest };
    this.#lastAt = this.#startedAt;
    this.#replayShare = REPLAY_SHARE_MIN;
    this.#adapt();
    this.#arm();
  }

  /** What was seen of failures, for the next start. */
  get failures(): FailureHistory {
    const rate = new FailureRate(HALF_LIFE_MS, this.#rate.history);
    rate.served(this.#config.clock.monotonic() - this.#startedAt);
    return rate.history;
  }

  get stats(): ScheduleStats {
    const { start, clock } = this.#config;
    const elapsedMs = clock.monotonic() - this.#startedAt;
    const startMs = start.restartMs + start.replayMs;
    return {
      intervalMs: this.#intervalMs,
      nextAt: this.#nextAt,
      mtbfMs: this.#mtbfMs,
      predictedWaste: this.#isMeasured ? (this.#optimal?.predictedWaste(this.#measured) ?? null) : null,
      measuredWaste: (this.#busyMsTotal + startMs) / Math.max(1, elapsedMs + startMs),
    };
  }

  get schedule(): Schedule {
    return this.#schedule;
  }

  /** Another schedule from now on; what was measured, and an adaptive one that is the same, stay. */
  change(schedule: Schedule): void {
    const isAsBefore = JSON.stringify(schedule.adaptive) === JSON.stringify(this.#schedule.adaptive);
    this.#schedule = schedule;
    if (!isAsBefore) this.#adapt(); // Else the interval that was found stays in force.
    this.#arm();
  }

  /** Entries were made durable: is one due because of them? Called often, and cheap. */
  advanced(): void {
    const { checkpointEntries, checkpointLogBytes } = this.#schedule;
    if (checkpointEntries === 0 && checkpointLogBytes === 0) return;
    if (this.#isAsking || this.#isStopped || this.#failedAttempts > 0) return;
    const { entries, bytes } = this.#config.position();
    const isDue =
      (checkpointEntries !== 0 && entries - this.#last.entries >= checkpointEntries) ||
      (checkpointLogBytes !== 0 && bytes - this.#last.bytes >= checkpointLogBytes);
    if (isDue) queueMicrotask(() => this.#ask()); // Behind what applies these entries.
  }

  /** One was taken, whoever asked for it. */
  taken({ held, busyMs, durationMs }: Taken): void {
    this.#outcomes++;
    const { clock } = this.#config;
    const elapsedMs = Math.max(1, clock.monotonic() - this.#lastAt);
    const rate = (held.commands - this.#last.commands) / (elapsedMs / 1000);
    this.#replayShare = Math.min(1, Math.max(REPLAY_SHARE_MIN, rate / this.#replayRate));
    this.#costMs = this.#isMeasured ? this.#costMs + COST_WEIGHT * (busyMs - this.#costMs) : busyMs;
    this.#isMeasured = true;
    this.#durationMs = Math.max(durationMs, this.#durationMs * (1 - COST_WEIGHT));
    this.#busyMsTotal += busyMs;
    this.#failedAttempts = 0;
    this.#last = held;
    this.#lastAt = clock.monotonic();
    this.#stepwise?.taken(busyMs);
    this.#optimal?.taken(this.#measured);
    this.#arm();
  }

  /** One could not be taken. */
  attemptFailed(): void {
    this.#outcomes++;
    this.#failedAttempts++;
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    this.#disarm();
  }

  get #mtbfMs(): number {
    const rate = new FailureRate(HALF_LIFE_MS, this.failures);
    return rate.mtbfMs;
  }

  /** Commands a second that a replay does. */
  get #replayRate(): number {
    const { commandsReplayed, replayMs } = this.#config.start;
    if (commandsReplayed < REPLAY_COMMANDS_MIN || replayMs === 0) return REPLAY_RATE_ASSUMED;
    return commandsReplayed / (replayMs / 1000);
  }

  get #measured(): Measured {
    return {
      costMs: Math.max(1, this.#costMs),
      mtbfMs: this.#mtbfMs,
      replayShare: this.#replayShare,
      durationMs: this.#durationMs,
      restartMs: this.#config.start.restartMs,
    };
  }

  get #intervalMs(): number | null {
    const fixed = this.#schedule.checkpointIntervalMs;
    const adaptive = this.#stepwise?.intervalMs ?? this.#optimal?.intervalMs ?? null;
    if (fixed === 0 || adaptive === null) return fixed === 0 ? adaptive : fixed;
    return Math.min(fixed, adaptive);
  }

  #adapt(): void {
    const { adaptive } = this.#schedule;
    this.#stepwise =
      adaptive.kind === 'stepwise' ? new Stepwise({ ...STEPWISE_DEFAULTS, ...adaptive }) : null;
    this.#optimal = adaptive.kind === 'optimal' ? new Optimal({ ...OPTIMAL_DEFAULTS, ...adaptive }) : null;
    for (let failure = Math.round(this.#rate.history.failures); failure > 0; failure--)
      this.#stepwise?.failed();
  }

  /** Sets the clock for the next one. */
  #arm(): void {
    this.#disarm();
    const { clock } = this.#config;
    const intervalMs = this.#failedAttempts > 0 ? this.#retryMs : this.#intervalMs;
    if (intervalMs === null || this.#isStopped) return;
    const sinceMs = this.#failedAttempts > 0 ? 0 : clock.monotonic() - this.#lastAt;
    const waitMs = Math.max(0, intervalMs - sinceMs);
    this.#nextAt = clock.now() + waitMs;
    this.#timer = clock.after(waitMs, () => this.#ask());
  }

  /**
   * The newest checkpoint holds what there was: entries came that change nothing, as parts of a rewind that
   * was given up. Were they still counted, they would make the next one due at once, for ever.
   */
  #nothingToTake(asked: LogPosition): void {
    this.#failedAttempts = 0;
    this.#last = asked;
    this.#lastAt = this.#config.clock.monotonic();
  }

  get #retryMs(): number {
    return Math.min(RETRY_MS_MAX, RETRY_MS * 2 ** (this.#failedAttempts - 1));
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = null;
    this.#nextAt = null;
  }

  #ask(): void {
    if (this.#isAsking || this.#isStopped) return;
    this.#disarm();
    const { clock, position, take } = this.#config;
    const asked = position();
    if (asked.entries === this.#last.entries && this.#failedAttempts === 0) {
      this.#lastAt = clock.monotonic();
      this.#arm();
      return;
    }
    this.#isAsking = true;
    const outcomes = this.#outcomes;
    void take().finally(() => {
      this.#isAsking = false;
      if (this.#outcomes === outcomes) this.#nothingToTake(asked);
      if (this.#timer === null) this.#arm();
      this.advanced();
    });
  }
}
