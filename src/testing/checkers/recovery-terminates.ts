/**
 * Recovery terminates: a replica that starts is ready within a bound, unless it goes down again first. The
 * bound holds where the conditions of recovery do; `excuse` says that for a replica they do not, as without a
 * majority.
 */

import type { Violation } from './violation.ts';

/** A replica began to start, became ready, or went down. */
export interface LifeObserved {
  readonly replica: string;
  readonly ms: number;
}

/** Checks starts; times are simulated ones, in milliseconds. */
export class RecoveryTerminates {
  readonly #withinMs: number;
  readonly #starting = new Map<string, number>();

  constructor(withinMs: number) {
    this.#withinMs = withinMs;
  }

  /** A start while one is under way counts from the first. */
  started({ replica, ms }: LifeObserved): void {
    if (!this.#starting.has(replica)) this.#starting.set(replica, ms);
  }

  ready({ replica, ms }: LifeObserved): Violation | null {
    const startedMs = this.#starting.get(replica) ?? ms;
    this.#starting.delete(replica);
    return ms - startedMs <= this.#withinMs
      ? null
      : this.#late(replica, startedMs, `ready after ${ms - startedMs} ms`);
  }

  /** It crashed, was stopped, or stopped itself and says why. */
  down({ replica }: { readonly replica: string }): void {
    this.#starting.delete(replica);
  }

  /** The bound counts from now on for a replica that could not recover until now. */
  excuse({ replica, ms }: LifeObserved): void {
    if (this.#starting.has(replica)) this.#starting.set(replica, ms);
  }

  /** Every replica that should have been ready by `ms`. */
  end(ms: number): Violation[] {
    return [...this.#starting]
      .filter(([, startedMs]) => ms - startedMs > this.#withinMs)
      .map(([replica, startedMs]) => this.#late(replica, startedMs, `not ready after ${ms - startedMs} ms`));
  }

  #late(replica: string, startedMs: number, what: string): Violation {
    return {
      checker: 'recovery-terminates',
      message: `${replica} was ${what}; ${this.#withinMs} ms are its bound`,
      facts: { replica, startedMs, withinMs: this.#withinMs },
    };
  }
}
