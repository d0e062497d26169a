/**
 * The scrub of a node: everything cold is read again and verified, once in a cycle, at a rate that spreads it
 * over the cycle. Rot is found while there are still copies: what memory can replace is written again at
 * once, and what cannot be is made dispensable by a new checkpoint.
 *
 * Invariants:
 *  - It never reads faster than `bytesPerSecondMax`, whatever the clock says: time of day decides only when
 *    the next cycle begins, and at most one begins for it.
 *  - How far it is survives a restart: a node that is restarted every day finishes its cycle all the same.
 *  - Nothing waits for it, and what it cannot do never stops the node.
 */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { Pace } from '../base/pace.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { CheckpointStore } from '../checkpoint/checkpoint-store.ts';
import type { Log } from '../log/log.ts';
import type { StatusFile } from '../log/status.ts';
import type { FileSystem } from '../storage/file-system.ts';
import type { NodeHappening } from './events.ts';
import type { NodeCheckpoints } from './node-checkpoints.ts';
import type { ProcessHold } from './process-hold.ts';
import { ScrubFindings } from './scrub-findings.ts';
import type { ScrubOptions } from './scrub-options.ts';
import { type PassConfig, ScrubPass } from './scrub-pass.ts';
import {
  FIRST_PLACE,
  NO_RECORD,
  readScrubRecord,
  type ScrubFinding,
  type ScrubRecord,
  writeScrubRecord,
} from './scrub-record.ts';

/** What one whole pass over everything found. */
export interface ScrubReport {
  /** Bytes that were read and verified; what was verified twice counts twice. */
  readonly bytes: number;
  readonly tookMs: number;
  /** Those that are new and those that were known. */
  readonly findings: readonly ScrubFinding[];
}

/** How the scrub of a node is doing. */
export interface ScrubStats {
  /** Part of the pass under way that is done, from 0 to 1; null between two. */
  readonly progress: number | null;
  /** Bytes read and verified since the start of the node. */
  readonly bytesVerified: number;
  /** When the last whole pass ended, in milliseconds since 1970; 0 before the first. */
  readonly finishedAt: number;
  /** What is not as it was written, until a whole pass does not meet it any more. */
  readonly findings: readonly ScrubFinding[];
  /** Why the last pass was given up, or its progress not saved; null when neither happened. */
  readonly failure: string | null;
}

export interface ScrubberConfig {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly dataDir: string;
  readonly options: Required<ScrubOptions>;
  readonly log: Log;
  readonly status: StatusFile;
  readonly store: CheckpointStore;
  readonly checkpoints: NodeCheckpoints;
  readonly isBusy: () => boolean;
  readonly hold: ProcessHold;
  readonly onEvent: (happening: NodeHappening) => void;
  /** The program failed. */
  readonly onFatal: (error: unknown) => void;
}

/** Time from the start of a node to its first read: clients come first. */
const START_MS = 10_000;

/** A cycle is done when so much of its time has passed, so that a late one is still in time. */
const CYCLE_SHARE = 0.9;

/** So much of everything counts as left until the end: how much there is to read is an estimate. */
const LEFT_SHARE_MIN = 0.05;

/** How often the place is saved, in milliseconds. */
const SAVE_MS = 60_000;

/** Time until a pass that was given up goes on, in milliseconds. */
const RETRY_MS = 600_000;

/** Longest timer. */
const SLEEP_MS_MAX = 24 * 3_600_000;

interface Waiter {
  readonly resolve: (report: ScrubReport) => void;
  readonly reject: (error: unknown) => void;
}

/** A pass of its own cycle, or one that somebody waits for. */
type PassKind = 'cycle' | 'requested';

export class Scrubber {
  readonly #config: ScrubberConfig;
  readonly #findings: ScrubFindings;
  #record: ScrubRecord = NO_RECORD;
  /** Of the pass under way. */
  #pace: Pace | null = null;
  #totalBytes = 0;
  /** In passes that are over. */
  #bytesBefore = 0;
  /** When the next cycle begins, in time that passes: what the time of day does meanwhile changes nothing. */
  #dueAt = 0;
  #savedAt = Number.NEGATIVE_INFINITY;
  #saving: Promise<void> = Promise.resolve();
  #failure: string | null = null;
  #waiters: Waiter[] = [];
  #stopped: 'closed' | 'failed' | null = null;
  #timer: Timer | null = null;
  #wake: () => void = () => undefined;
  readonly #running: Promise<void>;

  constructor(config: ScrubberConfig) {
    this.#config = config;
    const { clock, store, log, onEvent } = config;
    this.#findings = new ScrubFindings({
      clock,
      store,
      log,
      onChange: (kind, finding) => {
        onEvent({ kind, finding });
        this.#savedAt = Number.NEGATIVE_INFINITY;
      },
    });
    this.#running = this.#run().catch(config.onFatal);
  }

  get stats(): ScrubStats {
    const readBytes = this.#pace?.spentBytes ?? 0;
    const done = (this.#record.bytes + readBytes) / Math.max(1, this.#totalBytes);
    return {
      progress: this.#pace === null ? null : Math.min(1, done),
      bytesVerified: this.#bytesBefore + readBytes,
      finishedAt: this.#record.finishedAt,
      findings: this.#findings.all,
      failure: this.#failure,
    };
  }

  /** Verifies everything from the beginning, as fast as it may; calls that come meanwhile share the pass. */
  request(): Promise<ScrubReport> {
    if (this.#stopped !== null) return Promise.reject(notOpen());
    if (this.#waiters.length === 0) this.#pace?.end(HURRY);
    const report = new Promise<ScrubReport>((resolve, reject) => this.#waiters.push({ resolve, reject }));
    this.#wake();
    return this.#config.hold.during(report);
  }

  /** A checkpoint was taken: it may replace what was damaged. */
  checkpointTaken(): void {
    this.#findings.settle().catch((error: unknown) => this.#note(error));
  }

  /** Nothing is read any more once it resolves. A node that failed writes nothing either. Idempotent. */
  async stop(how: 'closed' | 'failed'): Promise<void> {
    this.#stopped ??= how;
    this.#pace?.end(STOPPED);
    this.#wake();
    for (const { reject } of this.#waiters.splice(0)) reject(notOpen());
    await this.#running;
  }

  async #run(): Promise<void> {
    const { checkpoints, fs, dataDir } = this.#config;
    const isLoaded = await checkpoints.whenLoaded().then(
      () => true,
      () => false, // The node stops.
    );
    if (isLoaded && this.#waiters.length === 0) await this.#sleep(START_MS);
    if (!isLoaded || this.#stopped !== null) return;
    await this.#attempt(async () => {
      this.#record = await readScrubRecord(fs, dataDir);
      this.#findings.remember(this.#record.findings);
      await this.#findings.settle();
    });
    this.#setDue();
    while (this.#stopped === null) {
      const waitMs = this.#msUntilDue();
      if (waitMs > 0) await this.#sleep(waitMs);
      else await this.#pass(this.#waiters.length > 0 ? 'requested' : 'cycle');
    }
  }

  #msUntilDue(): number {
    const { clock, options } = this.#config;
    if (this.#waiters.length > 0) return 0;
    return options.cycleMs === 0 ? SLEEP_MS_MAX : this.#dueAt - clock.monotonic();
  }

  /** A cycle that was cut short goes on at once; otherwise the next is never further away than a cycle. */
  #setDue(): void {
    const { clock, options } = this.#config;
    const { beganAt, place } = this.#record;
    const waitMs = Math.min(options.cycleMs, beganAt + options.cycleMs - clock.now());
    this.#dueAt = clock.monotonic() + (place === null ? Math.max(0, waitMs) : 0);
  }

  /** One pass: on request from the beginning, otherwise from where the last one was cut short. */
  async #pass(kind: PassKind): Promise<void> {
    const { clock } = this.#config;
    const began = clock.monotonic();
    this.#begin(kind);
    const pace = new Pace({ clock, bytesPerSecond: this.#rateOf(kind) });
    this.#pace = pace;
    const place = this.#record.place ?? FIRST_PLACE;
    const ended = await new ScrubPass(this.#passConfig(pace), place).run().then(
      () => null,
      (error: unknown) => error,
    );
    this.#pace = null;
    this.#bytesBefore += pace.spentBytes;
    this.#record = { ...this.#record, bytes: this.#record.bytes + pace.spentBytes };
    if (ended === null) this.#record = { ...this.#record, place: null, finishedAt: clock.now() };
    this.#setDue();
    if (ended !== null) {
      await this.#save();
      return this.#cutShort(ended);
    }
    this.#findings.end();
    await this.#save();
    const { bytes } = this.#record;
    const report = { bytes, tookMs: clock.monotonic() - began, findings: this.#findings.all };
    this.#config.onEvent({ kind: 'scrub-finished', report });
    for (const { resolve } of this.#waiters.splice(0)) resolve(report);
  }

  #begin(kind: PassKind): void {
    const { clock, log } = this.#config;
    const isResumed = kind === 'cycle' && this.#record.place !== null;
    this.#failure = null;
    if (!isResumed) {
      const beganAt = clock.now();
      this.#record = { ...this.#record, beganAt, lastIndex: log.durableIndex, place: FIRST_PLACE, bytes: 0 };
    }
    this.#findings.begin(this.#record.beganAt);
    this.#measure();
  }

  async #cutShort(error: unknown): Promise<void> {
    if (error === HURRY || error === STOPPED) return;
    this.#note(error);
    for (const { reject } of this.#waiters.splice(0)) reject(error);
    await this.#sleep(RETRY_MS);
  }

  /** Spreads what is left over the rest of the cycle, in time that passes. */
  #rateOf(kind: PassKind): () => number {
    const { clock, options } = this.#config;
    const { cycleMs, bytesPerSecondMin, bytesPerSecondMax } = options;
    if (kind === 'requested') return () => bytesPerSecondMax;
    const spreadMs = CYCLE_SHARE * cycleMs;
    const restMs = Math.min(spreadMs, this.#record.beganAt + spreadMs - clock.now());
    const endsAt = clock.monotonic() + restMs;
    return () => {
      const doneBytes = this.#record.bytes + (this.#pace?.spentBytes ?? 0);
      const leftBytes = Math.max(LEFT_SHARE_MIN * this.#totalBytes, this.#totalBytes - doneBytes);
      const leftMs = Math.max(1, endsAt - clock.monotonic());
      return Math.min(bytesPerSecondMax, Math.max(bytesPerSecondMin, (leftBytes * 1000) / leftMs));
    };
  }

  #passConfig(pace: Pace): PassConfig {
    const { checkpoints, status } = this.#config;
    return {
      ...this.#config,
      pace,
      clusterId: status.current.clusterId,
      findings: this.#findings,
      lastIndex: this.#record.lastIndex,
      renew: async () => {
        // One that fails is noted there, and leaves the finding open: the next replaces what is damaged.
        await checkpoints.renew().catch(() => undefined);
      },
      forgetLog: async (index) => {
        await this.#attempt(() => checkpoints.forgetLog(index));
      },
      onPlace: (place) => {
        if (place.index !== this.#record.place?.index) this.#measure();
        this.#record = { ...this.#record, place };
        if (this.#config.clock.monotonic() - this.#savedAt >= SAVE_MS) void this.#save();
      },
    };
  }

  #measure(): void {
    const { lastIndex } = this.#record;
    this.#totalBytes = ScrubPass.bytesOf({ ...this.#config, lastIndex });
  }

  /** Waits for those before it. What cannot be saved costs a restart its progress, and nothing else. */
  #save(): Promise<void> {
    const { fs, dataDir, clock } = this.#config;
    this.#savedAt = clock.monotonic();
    this.#saving = this.#saving.then(async () => {
      if (this.#stopped === 'failed') return;
      const bytes = this.#record.bytes + (this.#pace?.spentBytes ?? 0);
      const record = { ...this.#record, bytes, findings: this.#findings.all };
      await this.#attempt(() => writeScrubRecord(fs, dataDir, record));
    });
    return this.#saving;
  }

  /** What the disk refuses is noted. */
  async #attempt(what: () => Promise<unknown>): Promise<void> {
    try {
      await what();
    } catch (error) {
      this.#note(error);
    }
  }

  #note(error: unknown): void {
    if (isTidemarkError(error)) this.#failure = error.message;
    else this.#config.onFatal(error);
  }

  /** Until the time is over, a request comes, or the node stops. */
  async #sleep(ms: number): Promise<void> {
    if (this.#stopped !== null) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#timer = this.#config.clock.after(Math.min(ms, SLEEP_MS_MAX), resolve);
    });
    this.#timer?.cancel();
  }
}

/** Why a pass ends before its end: somebody wants a whole one now; the node stops. */
const HURRY = new Error('a scrub was asked for');
const STOPPED = new Error('the node stops');

function notOpen(): TidemarkError {
  const message = 'the node is closed: nothing more is verified';
  return new TidemarkError('TIDEMARK_NOT_OPEN', message, { remedy: 'fix-call' });
}
