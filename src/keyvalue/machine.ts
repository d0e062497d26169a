/**
 * The built-in key-value machine: strings under keys, spoken to in Redis's commands.
 *
 * A command's bytes are the request frame exactly as the client sent it (request.ts): what was framed once at
 * the door is logged, sent to peers and replayed as the same bytes, and parsed again only here.
 */

import { bufferOf } from '../base/bytes.ts';
import { type Machine, Rejection } from '../engine/machine.ts';
import { CommandTable, fitsArity } from './command-table.ts';
import { KEY_VALUE_COMMANDS } from './commands.ts';
import { unknownCommand, wrongArity } from './refusals.ts';
import type { ReplyValue } from './reply-value.ts';
import { type Request, RequestParser } from './request.ts';

/** What `describe` shows of one argument, and of one command. */
const SHOWN_BYTES_MAX = 64;
const SHOWN_ARGUMENTS_MAX = 16;

const table = new CommandTable(KEY_VALUE_COMMANDS);

/** One for all calls: a command runs to its end before the next begins. */
const parser = new RequestParser();

export const keyValueMachine: Machine = {
  name: 'keyvalue',
  version: 1,

  apply(state, command): ReplyValue {
    if (!parser.parseWhole(command)) throw new Rejection('ERR the command is not one whole request frame');
    const found = table.find(parser);
    if (found === null) throw unknownCommand(parser);
    if (!fitsArity(found, parser.count)) throw wrongArity(found.name);
    return found.run(state, parser);
  },

  describe(command): string {
    if (!parser.parseWhole(command)) return `(not a request: ${shown(command)})`;
    return describeRequest(parser);
  },
};

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
