/**
 * What a replay meets that it should not: commands that throw something else than a `Rejection`. They may
 * have done so when they were logged; or the machine was changed without a new version, and the state becomes
 * another than the one that was acknowledged. Nobody but its author can tell, so the start says so.
 */

import type { Outcomes } from './engine.ts';
import { Rejection } from './machine.ts';

export class ReplayFaults implements Outcomes {
  #index = 0;
  #count = 0;
  #first = '';

  /** The next outcomes are those of this entry. */
  of(index: number): this {
    this.#index = index;
    return this;
  }

  settled(): void {}

  failed(at: number, error: unknown): void {
    if (error instanceof Rejection) return;
    if (this.#count === 0) this.#first = `command ${at + 1} of entry ${this.#index}: ${String(error)}`;
    this.#count++;
  }

  /** A sentence for people; null when there is nothing to say. */
  get warning(): string | null {
    if (this.#count === 0) return null;
    const commands = this.#count === 1 ? 'one command' : `${this.#count} commands`;
    return (
      `${commands} of the log threw what is no Rejection (${this.#first}). If that is not how it was when ` +
      'they were taken, the machine has changed without a new version: go back to the one before, and see ' +
      '`version`'
    );
  }
}
