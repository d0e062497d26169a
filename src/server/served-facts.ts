/** Facts of a node as a reply: names and values. */

import type { ReplyValue } from '../keyvalue/reply-value.ts';
import type { ServedFacts } from './connection-command.ts';

/** Whole numbers as such, all else as text; what is null or an empty list is left out. */
export function factsOf(facts: ServedFacts): Map<ReplyValue, ReplyValue> {
  const fields = new Map<ReplyValue, ReplyValue>();
  for (const [name, value] of Object.entries(facts)) {
    const isThere = value !== null && (typeof value !== 'object' || value.length > 0);
    if (isThere) fields.set(bulk(name), plain(value));
  }
  return fields;
}

function plain(value: string | number | readonly string[]): ReplyValue {
  if (typeof value === 'object') return bulk(value.join('; '));
  return Number.isSafeInteger(value) ? Number(value) : bulk(String(value));
}

function bulk(text: string): Uint8Array {
  return Buffer.from(text);
}
