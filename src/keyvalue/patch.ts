/**
 * TIDEMARK PATCH: changes records of the state as they are, to bring one state to another (docs/redis.md).
 *
 *     TIDEMARK PATCH (set key digest head rest | delete key digest)*
 *
 * Keys are those of the state, with their prefix; a value comes in two parts, since it may be longer than an
 * argument. `digest` is the SHA-256 of the value that the key has, empty for none: when one differs, nothing
 * of the command takes effect. So what was found by comparing two states never overwrites what came since.
 *
 * The counts of the state follow what records come and go. A record that is set is one by itself
 * (record-check.ts); that the fields of a large hash are those that its head tells of is up to the sender:
 * patch-plan.ts. Only operators may send this.
 */

import { copyOf, NO_BYTES, readU64, viewOf } from '../base/bytes.ts';
import { DIGEST_BYTES, isSha256 } from '../base/digest.ts';
import { Rejection } from '../engine/machine.ts';
import { isProcedureKey } from '../engine/procedure-store.ts';
import type { StateWriter } from '../state/state.ts';
import { commandsOf, NO_KEYS, type WriteRun } from './command.ts';
import { COUNTS_KEY, type Counts, countsIn, readCounts, updateCounts } from './counts.ts';
import {
  contentStart,
  deadlineOf,
  HEAD_BYTES_MAX,
  isUserKey,
  NO_DEADLINE,
  PREFIX_COUNTS,
  PREFIX_FIELD,
  PREFIX_FIELD_SLOT,
  scratch,
} from './layout.ts';
import { isLargeHead, isRecord } from './record-check.ts';
import type { ReplyValue } from './reply-value.ts';
import { encodeRequest, type Request } from './request.ts';

/** A change of one record: from the value with a digest, null for none, to another, null for none. */
export interface RecordChange {
  readonly key: Uint8Array;
  /** SHA-256 of the value before. */
  readonly before: Uint8Array | null;
  readonly after: Uint8Array | null;
}

const { write } = commandsOf('tidemark');

export const PATCH_COMMAND = write('tidemark|patch', -5, NO_KEYS, 'Change records as they are', patch);

/** How the refusal of a change begins whose record has another value by now. */
export const PATCH_CONFLICT = 'CONFLICT';

const FIRST_WORD = 2;

export function encodePatch(changes: readonly RecordChange[]): Uint8Array {
  return encodeRequest(patchWords(changes));
}

/** The words of a request for these changes. */
export function patchWords(changes: readonly RecordChange[]): (Uint8Array | string)[] {
  const words: (Uint8Array | string)[] = ['TIDEMARK', 'PATCH'];
  for (const { key, before, after } of changes) {
    const digest = before ?? NO_BYTES;
    if (after === null) words.push('delete', key, digest);
    else words.push('set', key, digest, after.subarray(0, HEAD_BYTES_MAX), after.subarray(HEAD_BYTES_MAX));
  }
  return words;
}

/** Answers how many records it changed. */
function patch(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  let count = 0;
  for (let at = FIRST_WORD; at < request.count; count++) {
    const isSet = request.isWord(at, 'set');
    const words = isSet ? 5 : 3;
    if ((!isSet && !request.isWord(at, 'delete')) || at + words > request.count) throw malformed();
    const key = copyOf(request.argument(at + 1));
    requireBefore(state, key, request.argument(at + 2));
    const after = isSet ? valueAt(request, at + 3) : null;
    if (key.length === 1 && key[0] === PREFIX_COUNTS) setCounts(state, after);
    else setRecord(state, key, after, run);
    at += words;
  }
  return count;
}

/** @throws Rejection when the key has another value than the one with this digest. */
function requireBefore(state: StateWriter, key: Uint8Array, digest: Uint8Array): void {
  if (digest.length !== 0 && digest.length !== DIGEST_BYTES) throw malformed();
  const found = state.get(key);
  const isAsKnown = found === null ? digest.length === 0 : digest.length > 0 && isSha256(found, digest);
  if (!isAsKnown)
    throw new Rejection(`${PATCH_CONFLICT} a record has another value by now; nothing was changed`);
}

/** Both parts of a value, in `scratch`. */
function valueAt(request: Request, at: number): Uint8Array {
  const head = request.argumentLength(at);
  const value = scratch(head + request.argumentLength(at + 1)).subarray(
    0,
    head + request.argumentLength(at + 1),
  );
  value.set(request.argument(at));
  value.set(request.argument(at + 1), head);
  return value;
}

function setRecord(state: StateWriter, key: Uint8Array, after: Uint8Array | null, run: WriteRun): void {
  if (isProcedureKey(key)) throw ofProcedures();
  if (after !== null && !isRecord(key, after)) throw malformed();
  const isUsers = isUserKey(key);
  const before = state.get(key);
  const auxiliary = isUsers ? 0 : Number(after !== null) - Number(before !== null);
  const isLarge = isUsers && after !== null && isLargeHead(after);
  const largeHashes = Number(isLarge) - Number(isUsers && before !== null && isLargeHead(before));
  const hash = isLarge ? headNumber(after) : fieldNumber(key);
  if (hash !== null && !Number.isSafeInteger(hash + 1)) throw malformed();
  const nextHash = hash === null ? 0 : hash + 1;
  const deadline = isUsers && after !== null ? deadlineOf(after) : NO_DEADLINE;
  if (deadline !== NO_DEADLINE) run.deadlines.note(key, deadline);
  if (after === null) state.delete(key);
  else state.set(key, after);
  if (auxiliary === 0 && largeHashes === 0 && nextHash <= readCounts(state).nextHash) return;
  updateCounts(state, (counts) => {
    counts.auxiliary += auxiliary;
    counts.largeHashes += largeHashes;
    counts.nextHash = Math.max(counts.nextHash, nextHash);
  });
}

/** Only what records do not tell may change: which hash and which session comes next. */
function setCounts(state: StateWriter, after: Uint8Array | null): void {
  const wanted = after === null ? NO_COUNTS : isRecord(COUNTS_KEY, after) ? countsIn(after) : null;
  if (wanted === null) throw malformed();
  const found = readCounts(state);
  const isAlone = after === null && found.auxiliary <= 1;
  const isRight =
    wanted.largeHashes === found.largeHashes && (isAlone || wanted.auxiliary === found.auxiliary);
  if (!isRight) {
    throw new Rejection(
      `${PATCH_CONFLICT} the counts are those of another number of records; nothing was changed`,
    );
  }
  if (after === null) state.delete(COUNTS_KEY);
  else state.set(COUNTS_KEY, after);
}

const NO_COUNTS: Counts = { nextHash: 0, largeHashes: 0, auxiliary: 0, sessionHand: 0 };

/** Number of the hash that a head tells of. */
function headNumber(head: Uint8Array): number | null {
  return readU64(viewOf(head.subarray(contentStart(head))), 0);
}

/** Number of the hash that the key of a field, or of a slot, belongs to; null of any other key. */
function fieldNumber(key: Uint8Array): number | null {
  if (key[0] !== PREFIX_FIELD && key[0] !== PREFIX_FIELD_SLOT) return null;
  const view = viewOf(key);
  return view.getUint32(1) * 2 ** 32 + view.getUint32(5);
}

/** A run belongs to the node that does it: elsewhere it would be done by two, or by nobody. */
function ofProcedures(): Rejection {
  return new Rejection('ERR records of procedures are not changed from outside; nothing was changed');
}

function malformed(): Rejection {
  return new Rejection('ERR this is no change of records that this server knows; nothing was changed');
}
