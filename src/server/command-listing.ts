/** The answers of COMMAND: what commands there are, in the form in which Redis 7.0 lists them. */

import type { ReplyValue } from '../keyvalue/reply-value.ts';
import type { ListedCommand } from './connection-commands.ts';

export function commandCount(commands: readonly ListedCommand[]): ReplyValue {
  return commands.length;
}

export function commandList(commands: readonly ListedCommand[]): ReplyValue {
  return commands.map(({ name }) => bulk(name));
}

/** @param names None means all. An unknown one answers null in its place. */
export function commandInfo(commands: readonly ListedCommand[], names: readonly string[]): ReplyValue {
  if (names.length === 0) return commands.map(infoOf);
  return names.map((name) => {
    const found = commands.find((command) => command.name === name.toLowerCase());
    return found === undefined ? null : infoOf(found);
  });
}

/** @param names None means all. An unknown one is left out. */
export function commandDocs(commands: readonly ListedCommand[], names: readonly string[]): ReplyValue {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  const found = commands.filter(({ name }) => wanted.size === 0 || wanted.has(name));
  return new Map<ReplyValue, ReplyValue>(found.map((command) => [bulk(command.name), docsOf(command)]));
}

/** Name, arity, flags, first key, last key, step, categories, hints, key specifications, subcommands. */
function infoOf({ name, arity, kind, keys }: ListedCommand): ReplyValue {
  const category = { read: '@read', write: '@write', connection: '@connection' }[kind];
  return [bulk(name), arity, [flagOf(kind)], keys.first, keys.last, keys.step, [category], [], [], []];
}

function flagOf(kind: ListedCommand['kind']): string {
  return { read: 'readonly', write: 'write', connection: 'noscript' }[kind];
}

function docsOf({ kind, keys, summary }: ListedCommand): ReplyValue {
  const group = kind === 'connection' ? 'connection' : keys.first === 0 ? 'server' : 'string';
  return new Map<ReplyValue, ReplyValue>([
    [bulk('summary'), bulk(summary)],
    [bulk('group'), bulk(group)],
  ]);
}

function bulk(text: string): Uint8Array {
  return Buffer.from(text);
}
