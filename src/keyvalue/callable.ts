/**
 * The key-value machine for programs: `node.submit('SET', 'greeting', 'hello')`, `node.query('GET',
 * 'greeting')`.
 */

import { copyOf } from '../base/bytes.ts';
import { TidemarkError } from '../base/errors.ts';
import type { Clock } from '../base/time.ts';
import type { CallableMachine } from '../engine/machine.ts';
import type { PlainRejection } from '../engine/refusal.ts';
import type { DeadlineObserver, KeyValueCommand } from './command.ts';
import { CommandTable, fitsArity } from './command-table.ts';
import { KEY_VALUE_COMMANDS, type KeyValueReadName, type KeyValueWriteName } from './commands.ts';
import { createKeyValueMachine } from './machine.ts';
import { unknownCommand, wrongArity } from './refusals.ts';
import { PairList } from './reply-value.ts';
import { encodeRequest, RequestParser } from './request.ts';

/** A word of a command: text goes as UTF-8, numbers in decimal. */
export type Word = string | number | Uint8Array;

/** A result: null, a number, text of the machine's own ('OK'), or a stored value as bytes. */
export type KeyValueResult = null | number | bigint | string | Uint8Array | readonly KeyValueResult[];

/**
 * A command as it comes back from the log. Its name is in upper case; transactions, sessions and the removal
 * of keys whose time has come have names of their own, which begin with TIDEMARK.
 */
export interface LoggedRequest {
  readonly name: string;
  /** The words behind the name. */
  readonly words: readonly Uint8Array[];
}

export type KeyValueCall = {
  readonly arguments: readonly Word[];
  readonly result: KeyValueResult;
  readonly rejection: PlainRejection;
  readonly logged: LoggedRequest;
};

/** Commands that write, by their Redis names: SET, DEL, INCR, … At run time either case will do. */
export type KeyValueCommands = Readonly<Record<KeyValueWriteName, KeyValueCall>>;

/** Commands that only read: GET, EXISTS, MGET, DBSIZE, … At run time either case will do. */
export type KeyValueQueries = Readonly<Record<KeyValueReadName, KeyValueCall>>;

const table = new CommandTable<KeyValueCommand>(KEY_VALUE_COMMANDS);

/** What the machine of a node needs of it. */
export interface KeyValueParts {
  /** For the answers of TTL and PTTL. */
  readonly clock: Pick<Clock, 'now'>;
  readonly deadlines: DeadlineObserver;
}

export function createCallableKeyValueMachine(
  parts: KeyValueParts,
): CallableMachine<KeyValueCommands, KeyValueQueries> {
  const run = {
    get time() {
      return parts.clock.now();
    },
  };
  return {
    ...createKeyValueMachine(parts.deadlines),
    encodeCall(name, args) {
      if (table.findName(name)?.kind !== 'write') throw unknownCall(name, 'command');
      return requestOf(name, args);
    },
    decodeCall,
    query(state, name, args) {
      if (table.findName(name)?.kind !== 'read') throw unknownCall(name, 'query');
      const parser = new RequestParser();
      parser.parseWhole(requestOf(name, args));
      const found = table.find(parser);
      if (found?.kind !== 'read') throw unknownCommand(parser);
      if (!fitsArity(found, parser.count)) throw wrongArity(found.name);
      return found.run(state, parser, run);
    },
    detach,
  };
}

function decodeCall(command: Uint8Array): LoggedRequest {
  const parser = new RequestParser();
  if (!parser.parseWhole(command)) {
    throw new TidemarkError('TIDEMARK_VALUE_UNENCODABLE', 'a command is not one whole request', {
      remedy: 'fix-call',
    });
  }
  const words = Array.from({ length: parser.count - 1 }, (_, at) => copyOf(parser.argument(at + 1)));
  return { name: parser.text(0).toUpperCase(), words };
}

/** The call as a client would send it. */
function requestOf(name: string, args: readonly unknown[]): Uint8Array {
  return encodeRequest([name, ...args.map(wordOf)]);
}

function wordOf(word: unknown): Uint8Array | string {
  if (typeof word === 'string' || word instanceof Uint8Array) return word;
  if (typeof word === 'number') return String(word);
  throw new TidemarkError(
    'TIDEMARK_VALUE_UNENCODABLE',
    `a word of a command is text, a number or bytes, not ${typeof word}`,
    { remedy: 'fix-call' },
  );
}

/** Copies what is a view into the state; maps and pairs become lists, key and value in turn. */
function detach(result: unknown): unknown {
  if (result instanceof Uint8Array) return copyOf(result);
  if (result instanceof PairList) return result.items.map(detach);
  if (result instanceof Map) return [...result].flat().map(detach);
  return Array.isArray(result) ? result.map(detach) : result;
}

function unknownCall(name: string, kind: 'command' | 'query'): TidemarkError {
  return new TidemarkError('TIDEMARK_COMMAND_UNKNOWN', `the key-value machine has no ${kind} ${name}`, {
    remedy: 'fix-call',
    facts: { called: name },
  });
}
