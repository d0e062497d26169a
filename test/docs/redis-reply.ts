/** A reply as redis-cli prints it. */

import { ErrorReply, type Reply } from '../../src/cli/resp-client.ts';

/** A reply as on a terminal; `indent` is where the items of an array stand. */
export function formatReply(reply: Reply, indent = ''): string {
  if (reply === null) return '(nil)';
  if (typeof reply === 'number') return `(integer) ${reply}`;
  if (typeof reply === 'string') return JSON.stringify(reply);
  if (reply instanceof ErrorReply) return `(error) ${reply.text}`;
  if (reply.length === 0) return '(empty array)';
  const width = String(reply.length).length;
  return reply
    .map((item, at) => {
      const number = `${String(at + 1).padStart(width)}) `;
      return number + formatReply(item, indent + ' '.repeat(number.length));
    })
    .join(`\n${indent}`);
}

/** The same for a program that reads it. */
export function rawReply(reply: Reply): string {
  if (reply === null) return '';
  if (reply instanceof ErrorReply) return reply.text;
  return typeof reply === 'object' ? reply.map(rawReply).join('\n') : String(reply);
}
