/** The answers of COMMAND: what commands there are, in the form in which Redis 7.0 lists them. */

import { Rejection } from '../engine/machine.ts';
import { fitsArity } from '../keyvalue/command-table.ts';
import type { ReplyValue } from '../keyvalue/reply-value.ts';
import { type Request, RequestPart } from '../keyvalue/request.ts';
import type { PortCommand } from './connection-command.ts';

export function commandCount(commands: readonly PortCommand[]): ReplyValue {
  return commands.length;
}

export function commandList(commands: readonly PortCommand[]): ReplyValue {
  return commands.map(({ name }) => bulk(name));
}

/** @param names None means all. An unknown one answers null in its place. */
export function commandInfo(commands: readonly PortCommand[], names: readonly string[]): ReplyValue {
  if (names.length === 0) return commands.map(infoOf);
  return names.map((name) => {
    const found = commands.find((command) => command.name === name.toLowerCase());
    return found === undefined ? null : infoOf(found);
  });
}

/** @param names None means all. An unknown one is left out. */
export function commandDocs(commands: readonly PortCommand[], names: readonly string[]): ReplyValue {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  const found = commands.filter(({ name }) => wanted.size === 0 || wanted.has(name));
  return new Map<ReplyValue, ReplyValue>(found.map((command) => [bulk(command.name), docsOf(command)]));
}

/** COMMAND GETKEYS: the keys among the arguments of the command that follows. */
export function commandKeys(find: (request: Request) => PortCommand | null, request: Request): ReplyValue {
  const part = new RequestPart().take(request, 2, request.count - 2);
  const found = find(part);
  if (found === null) throw new Rejection('ERR Invalid command specified');
  if (found.keys.first === 0) throw new Rejection('ERR The command has no key arguments');
  if (!fitsArity(found, part.count)) {
    throw new Rejection('ERR Invalid number of arguments specified for command');
  }
  const { first, last, step } = found.keys;
  const end = last < 0 ? part.count + last : last;
  const keys: ReplyValue[] = [];
  for (let at = first; at <= end; at += step) keys.push(part.argument(at));
  return keys;
}

/** Name, arity, flags, first key, last key, step, categories, hints, key specifications, subcommands. */
function infoOf({ name, arity, kind, keys, group, subcommands = [] }: PortCommand): ReplyValue {
  const flags = { read: ['readonly'], write: ['write'], connection: ['noscript'], transaction: ['noscript'] }[
    kind
  ];
  const category = `@${group === 'generic' ? 'keyspace' : group}`;
  const categories = kind === 'read' || kind === 'write' ? [`@${kind}`, category] : [category];
  const inner = subcommands.map(infoOf);
  return [bulk(name), arity, flags, keys.first, keys.last, keys.step, categories, [], [], inner];
}

function docsOf({ group, summary, subcommands = [] }: PortCommand): ReplyValue {
  const docs = new Map<ReplyValue, ReplyValue>([
    [bulk('summary'), bulk(summary)],
    [bulk('group'), bulk(group)],
  ]);
  if (subcommands.length > 0) {
    docs.set(bulk('subcommands'), new Map(subcommands.map((each) => [bulk(each.name), docsOf(each)])));
  }
  return docs;
}

function bulk(text: string): Uint8Array {
  return Buffer.from(text);
}
