/**
 * Sessions: `TIDEMARK SESSION id n command …` runs the command once, however often it is sent.
 *
 *     02, id      number of the last command, its time, its slot: 8 bytes each; then its stored reply
 *     01, slot    id of the session in that slot (4 bytes, most significant first)
 *
 * A client numbers the commands of a session upwards from 1. The last number gets the stored answer again,
 * a higher one runs, a lower one is refused: its answer is forgotten. A session that is not known must begin
 * with 1; one that is refused with a higher number was forgotten, and its last command is not run again,
 * since it may have run before.
 *
 * Bounded: SESSIONS_MAX sessions in a ring of slots. A new one takes the place of the one that was not used
 * the longest among the next few slots of the ring, so that equal logs forget the same ones.
 */

import { assert } from '../base/assert.ts';
import { readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { TidemarkError } from '../base/errors.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { commandsOf, NO_KEYS, type WriteRun } from './command.ts';
import { readCounts, updateCounts } from './counts.ts';
import { parseInteger } from './integer.ts';
import { PREFIX_SESSION, PREFIX_SESSION_SLOT } from './layout.ts';
import { notAnInteger } from './refusals.ts';
import { ErrorReply, type ReplyValue } from './reply-value.ts';
import { type Request, RequestPart } from './request.ts';
import { decodeReply, encodeReply } from './stored-reply.ts';
import { executeOne } from './transaction.ts';

const { write } = commandsOf('tidemark');

export const SESSION_COMMAND = write(
  'tidemark|session',
  -5,
  NO_KEYS,
  'Run a command once, however often it is sent',
  runInSession,
);

/** Sessions that are remembered. */
export const SESSIONS_MAX = 65_536;

/** Slots looked at for the session to forget. */
const CANDIDATES = 16;

/** Longest id. */
const ID_BYTES_MAX = 256;

/** A larger answer is not kept: its retry is told so. */
export const STORED_REPLY_BYTES_MAX = 16 * 1024;

const HEAD_BYTES = 24;
const SLOT_KEY_BYTES = 5;

interface Session {
  readonly number: number;
  readonly time: number;
  readonly slot: number;
}

const FIRST_WORD = 4;

function runInSession(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  if (request.argumentLength(2) > ID_BYTES_MAX) {
    throw new Rejection(`ERR the id of a session has at most ${ID_BYTES_MAX} bytes`);
  }
  const key = Buffer.concat([Buffer.of(PREFIX_SESSION), request.argument(2)]);
  const number = parseInteger(request.bytes, request.argumentStart(3), request.argumentLength(3));
  if (typeof number !== 'number' || number < 1) throw notAnInteger();
  const record = state.get(key);
  const known = record === null ? null : sessionIn(record);
  if (known === null && number > 1) throw unknownSession(request.text(2), number);
  if (known !== null && number === known.number) return decodeReply(record!.subarray(HEAD_BYTES));
  if (known !== null && number < known.number) throw pastNumber(request.text(2), number, known.number);

  const command = new RequestPart().take(request, FIRST_WORD, request.count - FIRST_WORD);
  if (!run.isWrite(command)) throw new Rejection('ERR a session takes commands that write: others need none');
  const reply = executeOne(state, command, run);
  const slot = known === null ? takeSlot(state, key) : known.slot;
  state.set(key, sessionRecord({ number, time: run.time, slot }, reply));
  return reply;
}

/** A slot for a new session: a free one while there are some, else that of one that is forgotten for it. */
function takeSlot(state: StateWriter, key: Uint8Array): number {
  let slot = 0;
  updateCounts(state, (counts) => {
    if (counts.sessionHand < SESSIONS_MAX && state.get(slotKey(counts.sessionHand)) === null) {
      slot = counts.sessionHand;
      counts.sessionHand = (slot + 1) % SESSIONS_MAX;
      counts.auxiliary += 2;
      return;
    }
    slot = leastUsedFrom(state, counts.sessionHand);
    counts.sessionHand = (counts.sessionHand + CANDIDATES) % SESSIONS_MAX;
    state.delete(sessionKeyIn(state, slot));
  });
  state.set(slotKey(slot), key.subarray(1));
  return slot;
}

function leastUsedFrom(state: StateWriter, hand: number): number {
  let found = hand;
  let oldest = Infinity;
  for (let at = 0; at < CANDIDATES; at++) {
    const slot = (hand + at) % SESSIONS_MAX;
    const record = state.get(sessionKeyIn(state, slot));
    assert(record !== null, `slot ${slot} has a session`);
    const { time } = sessionIn(record);
    if (time < oldest) [found, oldest] = [slot, time];
  }
  return found;
}

/**
 * Leaves the sessions of `now` as they are in a state that comes back: a command that was answered does not
 * run again because what it did was taken back.
 */
export function keepSessions(then: StateWriter, now: StateReader): void {
  const [before, after] = [countSessions(then), countSessions(now)];
  if (before === 0 && after === 0) return;
  for (let slot = 0; slot < before; slot++) {
    then.delete(sessionKeyIn(then, slot));
    then.delete(slotKey(slot));
  }
  for (let slot = 0; slot < after; slot++) {
    const key = sessionKeyIn(now, slot);
    then.set(slotKey(slot), key.subarray(1));
    then.set(key, now.get(key)!);
  }
  updateCounts(then, (counts) => {
    counts.auxiliary += 2 * (after - before);
    counts.sessionHand = readCounts(now).sessionHand;
  });
}

/** Slots are taken from the first on, and never left. */
function countSessions(state: StateReader): number {
  const { sessionHand } = readCounts(state);
  if (state.get(slotKey(sessionHand)) === null) return sessionHand;
  return SESSIONS_MAX;
}

function sessionKeyIn(state: StateReader, slot: number): Uint8Array {
  const id = state.get(slotKey(slot));
  assert(id !== null, `slot ${slot} of the full ring is taken`);
  return Buffer.concat([Buffer.of(PREFIX_SESSION), id]);
}

function slotKey(slot: number): Uint8Array {
  const key = Buffer.allocUnsafe(SLOT_KEY_BYTES);
  key[0] = PREFIX_SESSION_SLOT;
  key.writeUInt32BE(slot, 1);
  return key;
}

function sessionIn(record: Uint8Array): Session {
  const view = viewOf(record);
  const [number, time, slot] = [0, 8, 16].map((at) => readU64(view, at));
  assert(number != null && time != null && slot != null, 'numbers of a session are at most 2^53-1');
  return { number, time, slot };
}

function sessionRecord({ number, time, slot }: Session, reply: ReplyValue): Uint8Array {
  let stored = encodeReply(reply);
  if (stored.length > STORED_REPLY_BYTES_MAX) stored = encodeReply(REPLY_NOT_KEPT);
  const head = new Uint8Array(HEAD_BYTES);
  const view = viewOf(head);
  writeU64(view, 0, number);
  writeU64(view, 8, time);
  writeU64(view, 16, slot);
  return Buffer.concat([head, stored]);
}

const REPLY_NOT_KEPT = new ErrorReply(
  `ERR the command has taken effect; its answer of more than ${STORED_REPLY_BYTES_MAX} bytes was not kept`,
);

function unknownSession(id: string, number: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_SESSION_EXPIRED',
    `session ${id} is not known and ${number} is not its first command: it was forgotten, and whether the ` +
      'command has run is not known either; begin a new session',
    { remedy: 'fix-call', facts: { id, number } },
  );
}

function pastNumber(id: string, number: number, last: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_SESSION_EXPIRED',
    `session ${id} is at command ${last}; the answer to command ${number} is forgotten`,
    { remedy: 'fix-call', facts: { id, number, last } },
  );
}
