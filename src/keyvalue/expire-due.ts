/**
 * The command that removes keys whose deadline has come. Nothing else does: whether a key is there depends on
 * the log alone, never on a clock. The node proposes it (node/expiring-ordering.ts); a key whose deadline was
 * put off meanwhile, or whose time an entry with a slow clock has not reached, stays.
 */

import type { StateWriter } from '../state/state.ts';
import { ALL_KEYS, commandsOf, type WriteRun } from './command.ts';
import { deadlineOfKey, keyAt, removeKey } from './key-space.ts';
import { NO_DEADLINE } from './layout.ts';
import type { ReplyValue } from './reply-value.ts';
import { encodeRequest, type Request } from './request.ts';

const { write } = commandsOf('generic');

const EXPIRE_NAME = 'tidemark.expire';

/** Keys of one command: some half a millisecond. */
export const EXPIRE_KEYS_MAX = 512;

/** Bytes of the keys of one command, unless one alone has more. */
export const EXPIRE_BYTES_MAX = 256 * 1024;

/** The port does not know it. */
export const EXPIRE_COMMAND = write(EXPIRE_NAME, -2, ALL_KEYS, 'Remove keys whose time has come', expireDue);

/** @param keys Without prefix. */
export function encodeExpiry(keys: readonly Uint8Array[]): Uint8Array {
  return encodeRequest([EXPIRE_NAME, ...keys]);
}

/** Answers how many it removed. */
function expireDue(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  let count = 0;
  for (let at = 1; at < request.count; at++) {
    const key = keyAt(request, at);
    const deadline = deadlineOfKey(state, key);
    if (deadline === NO_DEADLINE) continue;
    if (deadline > run.time) run.deadlines.note(key, deadline);
    else if (removeKey(state, key)) count++;
  }
  return count;
}
