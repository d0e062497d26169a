/**
 * What the key-value machine counts: one record of the state, written when a count changes.
 *
 *     offset  0                8              16           24             32
 *             +----------------+--------------+------------+--------------+
 *             | next hash      | large hashes | auxiliary  | session hand |
 *             +----------------+--------------+------------+--------------+
 *
 * `auxiliary` counts the records that are no user keys, this one included: what DBSIZE leaves out. While
 * there is no such record, all counts are 0.
 */

import { assert } from '../base/assert.ts';
import { readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { procedureKeys } from '../engine/procedure-store.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { PREFIX_COUNTS } from './layout.ts';

export interface Counts {
  /** Number of the hash that becomes large next; none is given twice. */
  nextHash: number;
  largeHashes: number;
  auxiliary: number;
  /** Where the ring of sessions is looked at next for one to forget. */
  sessionHand: number;
}

export const COUNTS_KEY: Uint8Array = Uint8Array.of(PREFIX_COUNTS);
const FIELD_BYTES = 8;
const COUNTS_BYTES = 4 * FIELD_BYTES;

const written = new Uint8Array(COUNTS_BYTES);

export function readCounts(state: StateReader): Counts {
  const record = state.get(COUNTS_KEY);
  return record === null ? { nextHash: 0, largeHashes: 0, auxiliary: 0, sessionHand: 0 } : countsIn(record);
}

export function countsIn(record: Uint8Array): Counts {
  return {
    nextHash: fieldOf(record, 0),
    largeHashes: fieldOf(record, 1),
    auxiliary: fieldOf(record, 2),
    sessionHand: fieldOf(record, 3),
  };
}

/** Changes the counts in the state by `change`. */
export function updateCounts(state: StateWriter, change: (counts: Counts) => void): void {
  const counts = readCounts(state);
  if (!state.has(COUNTS_KEY)) counts.auxiliary = 1;
  change(counts);
  const view = viewOf(written);
  writeU64(view, 0, counts.nextHash);
  writeU64(view, FIELD_BYTES, counts.largeHashes);
  writeU64(view, 2 * FIELD_BYTES, counts.auxiliary);
  writeU64(view, 3 * FIELD_BYTES, counts.sessionHand);
  state.set(COUNTS_KEY, written);
}

/** Whether a key may be a large hash: only then must a write that replaces a key read it first. */
export function hasLargeHashes(state: StateReader): boolean {
  const record = state.get(COUNTS_KEY);
  return record !== null && fieldOf(record, 1) > 0;
}

/** Keys of the state that are no user keys. */
export function auxiliaryKeys(state: StateReader): number {
  const record = state.get(COUNTS_KEY);
  return record === null ? 0 : fieldOf(record, 2);
}

/** Number of user keys. */
export function countKeys(state: StateReader): number {
  return state.size - auxiliaryKeys(state) - procedureKeys(state);
}

function fieldOf(record: Uint8Array, field: number): number {
  assert(record.length === COUNTS_BYTES, `the counts have ${COUNTS_BYTES} bytes, not ${record.length}`);
  const value = readU64(viewOf(record), field * FIELD_BYTES);
  assert(value !== null, 'a count is at most 2^53-1');
  return value;
}
