/** What a key held when it was watched, in few bytes: EXEC runs only if it still holds that. */

import { sha256 } from '../base/digest.ts';
import type { StateReader } from '../state/state.ts';

/** Half of a SHA-256: nobody finds two contents with the same. */
export const WATCH_DIGEST_BYTES = 16;

const ABSENT = new Uint8Array(WATCH_DIGEST_BYTES);

/** Of type, deadline and content; of a large hash, of its head, whose version changes with every field. */
export function digestOfKey(state: StateReader, key: Uint8Array): Uint8Array {
  const record = state.get(key);
  return record === null ? ABSENT : sha256(record).subarray(0, WATCH_DIGEST_BYTES);
}
