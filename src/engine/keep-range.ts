/** Keeps a range of keys as it is, while the rest of the state goes back to what it was. */

import { bufferOf } from '../base/bytes.ts';
import type { StateReader } from '../state/state.ts';
import type { MigrationState } from './machine.ts';

/** Makes the keys of `then` that begin with `prefix` those of `now`. */
export function keepRange(prefix: Uint8Array, then: MigrationState, now: StateReader): void {
  for (const { key } of entriesOf(prefix, then)) then.delete(key);
  for (const { key, value } of entriesOf(prefix, now)) then.set(key, value);
}

function* entriesOf(
  prefix: Uint8Array,
  state: StateReader,
): Generator<{ readonly key: Uint8Array; readonly value: Uint8Array }, void> {
  for (const entry of state.orderedEntries(prefix)) {
    if (!bufferOf(entry.key).subarray(0, prefix.length).equals(prefix)) return;
    yield entry;
  }
}
