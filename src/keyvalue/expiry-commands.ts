/**
 * Commands about when keys expire. A key is there until an entry of the log removes it: expire-due.ts.
 */

import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { deadlineAt, type TimeUnit } from './arguments.ts';
import { commandsOf, ONE_KEY, type ReadRun, type WriteRun } from './command.ts';
import { deadlineOfKey, keyAt, removeKey, setDeadline } from './key-space.ts';
import { deadlineOf, NO_DEADLINE } from './layout.ts';
import { startOf } from './refusals.ts';
import type { ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read, write } = commandsOf('generic');

interface Expiry {
  readonly unit: TimeUnit;
  readonly command: string;
  readonly from: 'now' | '1970';
}

export const EXPIRY_COMMANDS = [
  write('expire', -3, ONE_KEY, 'Let a key expire after seconds', (state, request, run) =>
    expire(state, request, run, { unit: 's', command: 'expire', from: 'now' }),
  ),
  write('pexpire', -3, ONE_KEY, 'Let a key expire after milliseconds', (state, request, run) =>
    expire(state, request, run, { unit: 'ms', command: 'pexpire', from: 'now' }),
  ),
  write('expireat', -3, ONE_KEY, 'Let a key expire at a time in seconds', (state, request, run) =>
    expire(state, request, run, { unit: 's', command: 'expireat', from: '1970' }),
  ),
  write('pexpireat', -3, ONE_KEY, 'Let a key expire at a time in milliseconds', (state, request, run) =>
    expire(state, request, run, { unit: 'ms', command: 'pexpireat', from: '1970' }),
  ),
  write('persist', 2, ONE_KEY, 'Let a key not expire', persist),
  read('ttl', 2, ONE_KEY, 'Get the seconds until a key expires', (state, request, run) =>
    timeLeft(state, request, run, 1000),
  ),
  read('pttl', 2, ONE_KEY, 'Get the milliseconds until a key expires', (state, request, run) =>
    timeLeft(state, request, run, 1),
  ),
  read('expiretime', 2, ONE_KEY, 'Get when a key expires, in seconds', (state, request) =>
    expiryTime(state, request, 1000),
  ),
  read('pexpiretime', 2, ONE_KEY, 'Get when a key expires, in milliseconds', (state, request) =>
    expiryTime(state, request, 1),
  ),
] as const;

const NO_SUCH_KEY = -2;
const NEVER = -1;

function expire(state: StateWriter, request: Request, run: WriteRun, expiry: Expiry): ReplyValue {
  const conditions = conditionsOf(request);
  const base = expiry.from === 'now' ? run.time : 0;
  const deadline = deadlineAt(request, 2, { unit: expiry.unit, base, command: expiry.command });
  const key = keyAt(request, 1);
  if (!state.has(key)) return 0;
  const old = deadlineOfKey(state, key);
  if (conditions.has('nx') && old !== NO_DEADLINE) return 0;
  if (conditions.has('xx') && old === NO_DEADLINE) return 0;
  if (conditions.has('gt') && (old === NO_DEADLINE || deadline <= old)) return 0;
  if (conditions.has('lt') && old !== NO_DEADLINE && deadline >= old) return 0;
  if (deadline <= run.time) removeKey(state, key);
  else setDeadline(state, key, deadline, run);
  return 1;
}

function conditionsOf(request: Request): ReadonlySet<string> {
  const conditions = new Set<string>();
  for (let at = 3; at < request.count; at++) {
    const word = ['nx', 'xx', 'gt', 'lt'].find((each) => request.isWord(at, each));
    if (word === undefined) throw new Rejection(`ERR Unsupported option ${startOf(request, at, 128)}`);
    conditions.add(word);
  }
  if (conditions.has('nx') && conditions.size > 1) {
    throw new Rejection('ERR NX and XX, GT or LT options at the same time are not compatible');
  }
  if (conditions.has('gt') && conditions.has('lt')) {
    throw new Rejection('ERR GT and LT options at the same time are not compatible');
  }
  return conditions;
}

function persist(state: StateWriter, request: Request, run: WriteRun): ReplyValue {
  const key = keyAt(request, 1);
  if (deadlineOfKey(state, key) === NO_DEADLINE) return 0;
  setDeadline(state, key, NO_DEADLINE, run);
  return 1;
}

/** What a key whose time has come answers until it is removed: 0. */
function timeLeft(state: StateReader, request: Request, run: ReadRun, unitMs: number): ReplyValue {
  const record = state.get(keyAt(request, 1));
  if (record === null) return NO_SUCH_KEY;
  const deadline = deadlineOf(record);
  if (deadline === NO_DEADLINE) return NEVER;
  const leftMs = Math.max(deadline - run.time, 0);
  return unitMs === 1 ? leftMs : Math.floor((leftMs + unitMs / 2) / unitMs);
}

function expiryTime(state: StateReader, request: Request, unitMs: number): ReplyValue {
  const record = state.get(keyAt(request, 1));
  if (record === null) return NO_SUCH_KEY;
  const deadline = deadlineOf(record);
  if (deadline === NO_DEADLINE) return NEVER;
  return unitMs === 1 ? deadline : Math.floor((deadline + unitMs / 2) / unitMs);
}
