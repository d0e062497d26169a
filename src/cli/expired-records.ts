/**
 * Differences that a running node would undo at once: records of keys whose deadline has passed by its clock,
 * with all that belongs to them. To who compares two states such keys are as good as gone.
 */

import type { DecidedDifference } from '../base/merkle/difference.ts';
import { deadlineOf, isUserKey, NO_DEADLINE } from '../keyvalue/layout.ts';
import { keyToJson, valueToJson } from '../keyvalue/record-json.ts';

/** Asked about every difference, in the order of keys: heads of large hashes come before their fields. */
export class ExpiredRecords {
  readonly #now: number;
  /** Numbers of large hashes that have expired. */
  readonly #hashes = new Set<number>();

  /** @param now By the clock of the node; 0 where time stands still. */
  constructor(now: number) {
    this.#now = now;
  }

  has(found: DecidedDifference): boolean {
    const { key } = found;
    if (!isUserKey(key)) return this.#isOfGoneHash(key);
    const value = 'target' in found ? found.target : null;
    if (value?.kind !== 'inline') return false;
    const deadline = deadlineOf(value.bytes);
    if (deadline === NO_DEADLINE || deadline > this.#now) return false;
    const json = valueToJson(key, value.bytes);
    if ('largeHash' in json) this.#hashes.add(json.largeHash);
    return true;
  }

  /** Whether what the state counts differs for that alone: known once all differences were asked about. */
  get hasHashes(): boolean {
    return this.#hashes.size > 0;
  }

  #isOfGoneHash(key: Uint8Array): boolean {
    const json = keyToJson(key);
    return 'hash' in json && this.#hashes.has(json.hash);
  }
}
