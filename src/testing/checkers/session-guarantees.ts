/**
 * What a client may rely on that reads from a replica near it, without asking the leader (Terry et al. 1994):
 *  - read your writes: a read sees every command that its client had acknowledged before,
 *  - monotonic reads: a read sees at least what an earlier one of the same client saw,
 *  - staleness: a read that says how old its state may be is not older.
 *
 * A read says at which index its state is.
 */

import type { Violation } from './violation.ts';

/** A command of a client was acknowledged. */
export interface WriteSeen {
  readonly client: string;
  readonly index: number;
}

/** A client read from the state after the entry at `index`. */
export interface ReadSeen {
  readonly client: string;
  readonly index: number;
  /** When the read began, and how old its state may be; null for a read that does not say. */
  readonly staleness: { readonly invokedMs: number; readonly maxMs: number } | null;
}

/** Checks the reads and writes of clients, in the order in which each client sees them. */
export class SessionGuarantees {
  readonly #written = new Map<string, number>();
  readonly #read = new Map<string, number>();
  /** When entries were committed, in the order of both. */
  readonly #commits: { readonly index: number; readonly ms: number }[] = [];

  /** The entry at `index` is committed from `ms` on. The first to notice counts. */
  committed(index: number, ms: number): void {
    const last = this.#commits.at(-1);
    if (last === undefined || index > last.index) this.#commits.push({ index, ms });
  }

  wrote({ client, index }: WriteSeen): void {
    this.#written.set(client, Math.max(index, this.#written.get(client) ?? 0));
  }

  read({ client, index, staleness }: ReadSeen): Violation | null {
    const [written, read] = [this.#written.get(client) ?? 0, this.#read.get(client) ?? 0];
    this.#read.set(client, Math.max(index, read));
    if (index < written) return violation('read-your-writes', client, index, written);
    if (index < read) return violation('monotonic-reads', client, index, read);
    if (staleness === null) return null;
    const due = this.#committedBy(staleness.invokedMs - staleness.maxMs);
    return index < due ? violation('staleness', client, index, due) : null;
  }

  /** The last index that was committed by then. */
  #committedBy(ms: number): number {
    let [low, high] = [0, this.#commits.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#commits[middle]!.ms <= ms) low = middle + 1;
      else high = middle;
    }
    return this.#commits[low - 1]?.index ?? 0;
  }
}

function violation(checker: string, client: string, index: number, due: number): Violation {
  return {
    checker,
    message: `${client} read the state at index ${index}; it had a right to that at ${due}`,
    facts: { client, index, due },
  };
}
