/**
 * The syncs of the log: what was written and is not durable yet, and when that changes.
 *
 * A sync covers what was written before it began; meanwhile writing goes on. One begins
 *  - when half of what may be at stake is (with bounds of 0: after every write),
 *  - when somebody waits for it,
 *  - at the latest `intervalMs` after the oldest of it was written.
 *
 * Invariants:
 *  - What is durable is a prefix of what was written: one sync at a time, each of the whole file.
 *  - A sync that failed is final: nothing is synced any more, and nobody is told that anything is durable
 *    (checklist F1).
 */

import { assert } from '../base/assert.ts';
import type { TidemarkError } from '../base/errors.ts';
import type { Index, Term } from '../base/positions.ts';
import type { Clock, Timer } from '../base/time.ts';
import type { Durability } from './durability.ts';

/** The last entry of some part of the log. */
export interface Position {
  readonly index: Index;
  readonly term: Term;
  readonly time: number;
}

/** A part of the log that was written, from its beginning. */
export interface Written extends Position {
  /** Where it ends in the tail. */
  readonly offset: number;
}

/** An amount of log. */
export interface Amount {
  readonly commands: number;
  readonly bytes: number;
}

export interface SyncerConfig {
  readonly clock: Clock;
  readonly durability: Durability;
  /** Makes everything written so far durable. */
  readonly sync: () => Promise<void>;
  /** Called after each sync, with what it took. */
  readonly onDurable: (written: Written, amount: Amount, tookMs: number) => void;
  /** A sync failed: the log must stop. */
  readonly onFailure: (error: unknown) => void;
}

interface Waiter {
  readonly index: Index;
  readonly resolve: () => void;
  readonly reject: (error: TidemarkError) => void;
}

export class Syncer {
  readonly #config: SyncerConfig;
  #written: Written;
  #durable: Written;
  /** Written and not durable. */
  #commands = 0;
  #bytes = 0;
  /** When the oldest of what no sync covers was written; null when there is none. */
  #uncoveredSince: number | null = null;
  #running: Promise<void> | null = null;
  #timer: Timer | null = null;
  #waiters: Waiter[] = [];
  #failure: TidemarkError | null = null;

  constructor(config: SyncerConfig, end: Written) {
    this.#config = config;
    this.#written = end;
    this.#durable = end;
  }

  get written(): Written {
    return this.#written;
  }

  get durable(): Written {
    return this.#durable;
  }

  get unsynced(): Amount {
    return { commands: this.#commands, bytes: this.#bytes };
  }

  /** Whether a sync runs, or one more is needed until everything written is durable. */
  get isBehind(): boolean {
    return this.#running !== null || (this.#bytes > 0 && this.#failure === null);
  }

  /** Whether more is at stake than may be. */
  get isOverBounds(): boolean {
    const { commandsMax, bytesMax } = this.#config.durability;
    return this.#commands > commandsMax || this.#bytes > bytesMax;
  }

  /** A batch was written. */
  wrote(written: Written, { commands, bytes }: Amount): void {
    assert(bytes > 0, 'a batch has bytes');
    this.#written = written;
    this.#commands += commands;
    this.#bytes += bytes;
    this.#uncoveredSince ??= this.#config.clock.monotonic();
    this.#pace();
  }

  /** Resolves when no more is at stake than may be, or the log has stopped. */
  async whenWithinBounds(): Promise<void> {
    while (this.isOverBounds && this.#failure === null) await this.#begin();
  }

  /** Resolves when everything written is durable, or the log has stopped and no sync runs. */
  async settle(): Promise<void> {
    while (this.isBehind) await this.#begin();
  }

  /** Resolves when everything up to `index` is durable, with no wait that is not needed. */
  whenDurable(index: Index): Promise<void> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    if (index <= this.#durable.index) return Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#waiters.push({ index, resolve, reject });
      this.#pace();
    });
  }

  /** What is not written by now never will be: nobody waits for it. */
  refused(): void {
    const { index: last } = this.#written;
    this.#waiters = this.#waiters.map((waiter) =>
      waiter.index > last ? { ...waiter, index: last } : waiter,
    );
    this.#tellWaiters();
  }

  /** The log goes on from another place; everything up to there is durable. */
  restart(end: Written): void {
    assert(!this.isBehind, 'what was written is durable before the log goes on elsewhere');
    this.#written = end;
    this.#durable = end;
  }

  /** The log has stopped. */
  stop(failure: TidemarkError): void {
    this.#failure = failure;
    this.#timer?.cancel();
    for (const { reject } of this.#waiters.splice(0)) reject(failure);
  }

  /** Begins a sync when one is due, or sees to it that one will begin in time. */
  #pace(): void {
    if (this.#running !== null || this.#bytes === 0 || this.#failure !== null) return;
    const { clock, durability } = this.#config;
    const isHalf = this.#commands > durability.commandsMax / 2 || this.#bytes > durability.bytesMax / 2;
    if (isHalf || this.#waiters.length > 0) {
      void this.#begin();
    } else if (this.#timer === null && this.#uncoveredSince !== null) {
      const ms = this.#uncoveredSince + durability.intervalMs - clock.monotonic();
      // Acknowledged commands wait for it: a program that ends waits too.
      this.#timer = clock.after(Math.max(0, ms), () => void this.#begin(), 'keep-alive');
    }
  }

  /** Begins a sync, unless one runs; resolves when it is over. */
  #begin(): Promise<void> {
    this.#running ??= this.#sync();
    return this.#running;
  }

  async #sync(): Promise<void> {
    const { clock, sync, onFailure } = this.#config;
    const covered = this.#written;
    const amount = this.unsynced;
    this.#timer?.cancel();
    this.#timer = null;
    this.#uncoveredSince = null;
    const began = clock.monotonic();
    try {
      await sync();
      this.#running = null;
      // Unless the log stopped meanwhile for another reason: then everybody has been told.
      if (this.#failure === null) this.#advance(covered, amount, clock.monotonic() - began);
    } catch (error) {
      this.#running = null;
      onFailure(error);
    }
  }

  #advance(covered: Written, amount: Amount, tookMs: number): void {
    this.#durable = covered;
    this.#commands -= amount.commands;
    this.#bytes -= amount.bytes;
    this.#config.onDurable(covered, amount, tookMs);
    this.#tellWaiters();
    this.#pace();
  }

  #tellWaiters(): void {
    const { index: durable } = this.#durable;
    const done = this.#waiters.filter(({ index }) => index <= durable);
    if (done.length === 0) return;
    this.#waiters = this.#waiters.filter(({ index }) => index > durable);
    for (const { resolve } of done) resolve();
  }
}
