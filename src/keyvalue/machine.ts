/**
 * The built-in key-value machine: strings and hashes under keys, spoken to in Redis's commands.
 *
 * A command's bytes are the request frame exactly as the client sent it (request.ts): what was framed once at
 * the door is logged, sent to peers and replayed as the same bytes, and parsed again only here.
 */

import { bufferOf, copyOf } from '../base/bytes.ts';
import { type CommandContext, type Machine, Rejection } from '../engine/machine.ts';
import type { StateWriter } from '../state/state.ts';
import type { DeadlineObserver, KeyValueCommand, WriteRun } from './command.ts';
import { CommandTable, fitsArity } from './command-table.ts';
import { INTERNAL_COMMANDS, KEY_VALUE_COMMANDS } from './commands.ts';
import { auxiliaryKeys } from './counts.ts';
import { unknownCommand, wrongArity } from './refusals.ts';
import { type ReplyValue, ServerRequest } from './reply-value.ts';
import { encodeRequest, type Request, RequestParser } from './request.ts';
import { keepSessions } from './sessions.ts';

/** What `describe` shows of one argument, and of one command. */
const SHOWN_BYTES_MAX = 64;
const SHOWN_ARGUMENTS_MAX = 16;

const table = new CommandTable<KeyValueCommand>([...KEY_VALUE_COMMANDS, ...INTERNAL_COMMANDS]);

/** Commands that no command of a client may hold. */
const internal = new Set(INTERNAL_COMMANDS);

/** One for all calls: a command runs to its end before the next begins. */
const parser = new RequestParser();

/** @param deadlines Told of every deadline that a command sets, also when the log is replayed. */
export function createKeyValueMachine(deadlines: DeadlineObserver): Machine {
  const run = new MachineRun(deadlines);
  return {
    name: 'keyvalue',
    version: 1,
    apply: (state, command, context) => run.apply(state, command, context),
    auxiliaryKeys,
    keepAtRewind: keepSessions,
    describe(command): string {
      if (!parser.parseWhole(command)) return `(not a request: ${shown(command)})`;
      return describeRequest(parser);
    },
  };
}

/** What commands know while they run: one object for all of them. */
class MachineRun implements WriteRun {
  time = 0;
  readonly deadlines: DeadlineObserver;

  constructor(deadlines: DeadlineObserver) {
    this.deadlines = deadlines;
  }

  apply(state: StateWriter, command: Uint8Array, context: CommandContext): ReplyValue {
    if (!parser.parseWhole(command)) throw new Rejection('ERR the command is not one whole request frame');
    this.time = context.time;
    const found = table.find(parser);
    if (found === null) throw unknownCommand(parser);
    if (!fitsArity(found, parser.count)) throw wrongArity(found.name);
    return found.run(state, parser, this);
  }

  execute(state: StateWriter, request: Request): ReplyValue {
    const found = table.find(request);
    if (found === null || internal.has(found)) return new ServerRequest(frameOf(request));
    if (!fitsArity(found, request.count)) throw wrongArity(found.name);
    return found.run(state, request, this);
  }

  isWrite(request: Request): boolean {
    const found = table.find(request);
    return found !== null && found.kind === 'write' && KEY_VALUE_COMMANDS.includes(found);
  }
}

function frameOf(request: Request): Uint8Array {
  return encodeRequest(Array.from({ length: request.count }, (_, at) => copyOf(request.argument(at))));
}

/** A machine that tells nobody of deadlines. */
export const keyValueMachine: Machine = createKeyValueMachine({ note: () => undefined });

/** A request as a person would type it into redis-cli. */
export function describeRequest(request: Request): string {
  const words: string[] = [];
  for (let at = 0; at < Math.min(request.count, SHOWN_ARGUMENTS_MAX); at++) {
    words.push(shown(request.argument(at)));
  }
  if (request.count > SHOWN_ARGUMENTS_MAX) {
    words.push(`… (${request.count - SHOWN_ARGUMENTS_MAX} more)`);
  }
  return words.join(' ');
}

/** Plain words as they are; anything else quoted and escaped as redis-cli does; long ones cut. */
function shown(bytes: Uint8Array): string {
  const text = bufferOf(bytes.subarray(0, SHOWN_BYTES_MAX)).toString('latin1');
  const word = /^[!#-&(-[\]-~]+$/.test(text) ? text : `"${text.replace(/[^ !#-[\]-~]/g, escaped)}"`;
  return bytes.length > SHOWN_BYTES_MAX ? `${word}… (${bytes.length} bytes)` : word;
}

function escaped(character: string): string {
  const named = { '\n': '\\n', '\r': '\\r', '\t': '\\t', '"': '\\"', '\\': '\\\\' }[character];
  return named ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
}
