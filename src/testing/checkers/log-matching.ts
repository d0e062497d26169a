/**
 * Log matching (Ongaro & Ousterhout 2014, figure 3): two logs that have an entry with the same index and term
 * are equal up to and with it.
 *
 * By induction it is enough that entries with the same index and term are equal, and that the terms of the
 * entries before them are: that is what is remembered, once for each pair of index and term, whatever the
 * number of replicas.
 */

import type { Violation } from './violation.ts';

/**
 * A replica has an entry in its log; it takes the place of one of another term there, and of all behind that.
 */
export interface EntryObserved {
  readonly replica: string;
  readonly index: number;
  readonly term: number;
  /** Tells contents apart. */
  readonly digest: string;
}

interface Known {
  readonly replica: string;
  readonly digest: string;
  /** Null when the replica that reported it first had nothing before it. */
  previousTerm: number | null;
}

/** Checks entries as they are appended. */
export class LogMatching {
  readonly #entries = new Map<string, Known>();
  /** The terms of each replica's log, by index. */
  readonly #terms = new Map<string, Map<number, number>>();

  observe(entry: EntryObserved): Violation | null {
    const previousTerm = this.#append(entry);
    const key = `${entry.index}/${entry.term}`;
    const known = this.#entries.get(key);
    if (previousTerm !== null && previousTerm > entry.term) {
      return violation(entry, `after an entry of term ${previousTerm}`, { previousTerm });
    }
    if (known === undefined) {
      this.#entries.set(key, { replica: entry.replica, digest: entry.digest, previousTerm });
      return null;
    }
    if (known.digest !== entry.digest) {
      return violation(entry, `where ${known.replica} has another with the same index and term`, {
        otherReplica: known.replica,
        otherDigest: known.digest,
      });
    }
    known.previousTerm ??= previousTerm;
    if (previousTerm === null || known.previousTerm === previousTerm) return null;
    const other = `${known.replica} after one of term ${known.previousTerm}`;
    return violation(entry, `after an entry of term ${previousTerm}, ${other}`, {
      previousTerm,
      otherPreviousTerm: known.previousTerm,
    });
  }

  /** A replica has nothing in its log up to and with `index`: compacted, or never had. */
  compacted({ replica, index }: { readonly replica: string; readonly index: number }): void {
    const terms = this.#termsOf(replica);
    for (const at of terms.keys()) if (at < index) terms.delete(at);
  }

  /** A replica lost its log, or has another one; what it has is reported again. */
  forget(replica: string): void {
    this.#terms.delete(replica);
  }

  /** Writes the entry into the replica's log; returns the term of the entry before it, or null. */
  #append({ replica, index, term }: EntryObserved): number | null {
    const terms = this.#termsOf(replica);
    if (terms.get(index) !== term) for (let at = index + 1; terms.delete(at); at++);
    terms.set(index, term);
    return terms.get(index - 1) ?? null;
  }

  #termsOf(replica: string): Map<number, number> {
    const terms = this.#terms.get(replica) ?? new Map<number, number>();
    this.#terms.set(replica, terms);
    return terms;
  }
}

function violation(
  { replica, index, term, digest }: EntryObserved,
  what: string,
  facts: Violation['facts'],
): Violation {
  return {
    checker: 'log-matching',
    message: `${replica} has entry ${digest} at index ${index}, term ${term}, ${what}`,
    facts: { replica, index, term, digest, ...facts },
  };
}
