/** OBJECT and MEMORY: how keys are stored, in Redis's words as far as they mean something here. */

import { Rejection } from '../engine/machine.ts';
import type { StateReader } from '../state/state.ts';
import { integerAt } from './arguments.ts';
import { commandsOf, type KeyValueCommand, NO_KEYS } from './command.ts';
import type { KeyPositions } from './command-table.ts';
import { type HashReader, readerOf } from './hash-value.ts';
import { parseInteger } from './integer.ts';
import { keyAt, stringIn } from './key-space.ts';
import { TYPE_STRING, typeOf } from './layout.ts';
import { syntaxError, unknownSubcommand } from './refusals.ts';
import type { ReplyValue } from './reply-value.ts';
import type { Request } from './request.ts';

const { read } = commandsOf('generic');

const SECOND_KEY: KeyPositions = { first: 2, last: 2, step: 1 };

const OBJECT_SUBCOMMANDS: readonly KeyValueCommand[] = [
  read('object|encoding', 3, SECOND_KEY, 'Tell how a key is stored', encoding),
  read('object|freq', 3, SECOND_KEY, 'Tell how often a key is used', frequency),
  read('object|idletime', 3, SECOND_KEY, 'Tell since when a key is not used', (state, request) =>
    answerFor(state, request, 0),
  ),
  read('object|refcount', 3, SECOND_KEY, 'Tell how many share a value', (state, request) =>
    answerFor(state, request, 1),
  ),
];

const MEMORY_SUBCOMMANDS: readonly KeyValueCommand[] = [
  read('memory|usage', -3, SECOND_KEY, 'Tell how much memory a key takes', memoryUsage),
];

export const OBJECT_COMMANDS = [
  {
    ...read('object', -2, NO_KEYS, 'Tell how keys are stored', (_, request) => {
      throw unknownSubcommand('object', request);
    }),
    subcommands: OBJECT_SUBCOMMANDS,
  },
  {
    ...read('memory', -2, NO_KEYS, 'Tell how much memory keys take', (_, request) => {
      throw unknownSubcommand('memory', request);
    }),
    subcommands: MEMORY_SUBCOMMANDS,
  },
] as const;

/** Up to it Redis keeps a string beside its header. */
const EMBEDDED_BYTES_MAX = 44;

/** Of a record: its header in the slab, its number, and its slot in the hash table at the usual load. */
const RECORD_OVERHEAD_BYTES = 12 + 12 + 12;

/** Fields of a large hash whose size stands for that of all. */
const FIELDS_SAMPLED = 5;

function encoding(state: StateReader, request: Request): ReplyValue {
  const record = state.get(keyAt(request, 2));
  if (record === null) return null;
  if (typeOf(record) !== TYPE_STRING) {
    return Buffer.from(readerOf(state, record).encoding === 'packed' ? 'listpack' : 'hashtable');
  }
  const value = stringIn(record);
  if (parseInteger(value, 0, value.length) !== null) return Buffer.from('int');
  return Buffer.from(value.length <= EMBEDDED_BYTES_MAX ? 'embstr' : 'raw');
}

function answerFor(state: StateReader, request: Request, answer: number): ReplyValue {
  return state.has(keyAt(request, 2)) ? answer : null;
}

function frequency(state: StateReader, request: Request): ReplyValue {
  if (!state.has(keyAt(request, 2))) return null;
  throw new Rejection(
    'ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when ' +
      'switching between policies at runtime LRU and LFU data will take some time to adjust.',
  );
}

/** About: of a large hash some fields are measured. */
function memoryUsage(state: StateReader, request: Request): ReplyValue {
  let samples = FIELDS_SAMPLED;
  for (let at = 3; at < request.count; at += 2) {
    if (!request.isWord(at, 'samples') || at + 1 === request.count) throw syntaxError();
    samples = Number(integerAt(request, at + 1));
    if (samples < 0) throw syntaxError();
  }
  const key = keyAt(request, 2);
  const record = state.get(key);
  if (record === null) return null;
  const own = key.length + record.length + RECORD_OVERHEAD_BYTES;
  if (typeOf(record) === TYPE_STRING) return own;
  const hash = readerOf(state, record);
  return hash.encoding === 'packed' ? own : own + fieldsUsage(hash, samples);
}

/** @param samples 0 measures all. */
function fieldsUsage(hash: HashReader, samples: number): number {
  const measured = samples === 0 ? hash.count : Math.min(samples, hash.count);
  let bytes = 0;
  for (let slot = 0; slot < measured; slot++) {
    const { field, value } = hash.entry(slot);
    bytes += 2 * (field.length + RECORD_OVERHEAD_BYTES) + value.length;
  }
  return Math.round((bytes / measured) * hash.count);
}
