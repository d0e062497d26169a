/**
 * The answer of a command as the state keeps it for a retry (sessions.ts): equal answers have equal bytes.
 *
 *     type      1 byte     what follows
 *     --------  ---------  -----------------------------------------------------------------
 *     null      n, N       nothing; N is NULL_ARRAY
 *     status    s          text, zero byte
 *     error     e          text, zero byte
 *     integer   i          decimal text, zero byte
 *     bytes     b          length in decimal, zero byte, bytes
 *     array     a, m, p    count in decimal, zero byte, items; m is a map, p a list of pairs
 */

import { assert, unreachable } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import { parseInteger } from './integer.ts';
import {
  ErrorReply,
  NULL_ARRAY,
  NullArray,
  PairList,
  type ReplyValue,
  ServerRequest,
  VerbatimText,
} from './reply-value.ts';

const ZERO = Buffer.from([0]);

export function encodeReply(value: ReplyValue): Uint8Array {
  const parts: Uint8Array[] = [];
  encodeInto(parts, value);
  return Buffer.concat(parts);
}

export function decodeReply(bytes: Uint8Array): ReplyValue {
  const reader = new Reader(bufferOf(bytes));
  const value = reader.next();
  assert(reader.isAtEnd, 'a stored reply is one value');
  return value;
}

function encodeInto(parts: Uint8Array[], value: ReplyValue): void {
  if (value === null) parts.push(Buffer.from('n'));
  else if (typeof value === 'string') parts.push(Buffer.from(`s${value}`), ZERO);
  else if (typeof value === 'number' || typeof value === 'bigint') parts.push(Buffer.from(`i${value}`), ZERO);
  else if (value instanceof Uint8Array) parts.push(Buffer.from(`b${value.length}`), ZERO, value);
  else if (value instanceof ErrorReply) parts.push(Buffer.from(`e${value.text}`), ZERO);
  else if (value instanceof NullArray) parts.push(Buffer.from('N'));
  else encodeItems(parts, value);
}

function encodeItems(parts: Uint8Array[], value: ReplyValue & object): void {
  if (value instanceof VerbatimText || value instanceof ServerRequest) {
    return unreachable('an answer of the server is not stored' as never);
  }
  const [type, items] = itemsOf(value);
  parts.push(Buffer.from(`${type}${items.length}`), ZERO);
  for (const item of items) encodeInto(parts, item);
}

function itemsOf(value: ReplyValue & object): readonly [type: string, items: readonly ReplyValue[]] {
  if (value instanceof PairList) return ['p', value.items];
  if (value instanceof Map) return ['m', [...(value as ReadonlyMap<ReplyValue, ReplyValue>)].flat()];
  assert(Array.isArray(value), 'what else there is is an array');
  return ['a', value as readonly ReplyValue[]];
}

class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  next(): ReplyValue {
    const type = String.fromCharCode(this.#bytes[this.#at++]!);
    switch (type) {
      case 'n':
        return null;
      case 'N':
        return NULL_ARRAY;
      case 's':
        return this.#text();
      case 'e':
        return new ErrorReply(this.#text());
      case 'i':
        return this.#integer();
      case 'b':
        return this.#take(Number(this.#text()));
      case 'a':
        return this.#items(Number(this.#text()));
      case 'p':
        return new PairList(this.#items(Number(this.#text())));
      case 'm':
        return mapOf(this.#items(Number(this.#text())));
      default:
        return unreachable(type as never);
    }
  }

  #integer(): ReplyValue {
    const text = Buffer.from(this.#text());
    return parseInteger(text, 0, text.length);
  }

  #items(count: number): ReplyValue[] {
    return Array.from({ length: count }, () => this.next());
  }

  #take(length: number): Uint8Array {
    this.#at += length;
    return Uint8Array.from(this.#bytes.subarray(this.#at - length, this.#at));
  }

  #text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    assert(end >= 0, 'a text of a stored reply ends with a zero byte');
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }
}

function mapOf(items: readonly ReplyValue[]): ReadonlyMap<ReplyValue, ReplyValue> {
  const map = new Map<ReplyValue, ReplyValue>();
  for (let at = 0; at < items.length; at += 2) map.set(items[at]!, items[at + 1]!);
  return map;
}
