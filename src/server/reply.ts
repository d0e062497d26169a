/**
 * Replies as bytes: RESP2 and RESP3, into one growing buffer that is written once per turn and used again.
 *
 * Source: the Redis serialization protocol specification. What RESP2 lacks is sent in its older form: null as
 * a null bulk string, a map as an array of keys and values in turn, verbatim text as a bulk string.
 */

import { assert, unreachable } from '../base/assert.ts';
import { ErrorReply, NullArray, PairList, type ReplyValue, VerbatimText } from '../keyvalue/reply-value.ts';

/** The version of the protocol that a client speaks; 2 until it says HELLO 3. */
export type Protocol = 2 | 3;

/** A fresh buffer: some hundred short replies. */
const REPLY_BYTES_INITIAL = 4 * 1024;

/** A buffer that grew beyond this is not kept for the next turn. */
const REPLY_BYTES_KEPT_MAX = 64 * 1024;

/** Buffers kept: as many clients as are usually answered in one turn. */
const BUFFERS_KEPT_MAX = 128;

/** A sign, 19 digits, a type and \r\n. */
const NUMBER_LINE_BYTES_MAX = 24;

/** Below this many bytes a loop is faster than the call of a native copy. */
const COPY_BYTES_MIN = 24;

/** Deepest reply: arrays in maps in arrays. Ours need three; a deeper one is a bug. */
const DEPTH_MAX = 8;

const CR = 13;
const LF = 10;
const ZERO = 48;
const MINUS = 45;

const TYPE_STATUS = 43;
const TYPE_ERROR = 45;
const TYPE_INTEGER = 58;
const TYPE_BULK = 36;
const TYPE_ARRAY = 42;
const TYPE_MAP = 37;
const TYPE_VERBATIM = 61;

const OK_LINE = Buffer.from('+OK\r\n');
const NULL_BULK = Buffer.from('$-1\r\n');
const NULL_ARRAY_RESP2 = Buffer.from('*-1\r\n');
const NULL_RESP3 = Buffer.from('_\r\n');
const VERBATIM_FORMAT = 'txt:';

export class ReplyBuffer {
  #bytes: Buffer = Buffer.allocUnsafeSlow(REPLY_BYTES_INITIAL);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Whether its memory is small enough to be kept. */
  get isKeepable(): boolean {
    return this.#bytes.length <= REPLY_BYTES_KEPT_MAX;
  }

  /** What was appended, as a view. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  append(value: ReplyValue, protocol: Protocol): void {
    this.#append(value, protocol, 0);
  }

  /** @param text The error with its leading code, as in `ERR syntax error`; one line is made of it. */
  appendError(text: string): void {
    this.#appendLine(TYPE_ERROR, text.replace(/[\r\n]/g, ' '));
  }

  #append(value: ReplyValue, protocol: Protocol, depth: number): void {
    if (value === 'OK') this.#appendBytes(OK_LINE);
    else if (typeof value === 'number') this.#appendInteger(value);
    else if (value === null) this.#appendBytes(protocol === 3 ? NULL_RESP3 : NULL_BULK);
    else if (value instanceof Uint8Array) this.#appendBulk(value);
    else if (typeof value === 'string') this.#appendLine(TYPE_STATUS, value);
    else if (typeof value === 'bigint') this.#appendLine(TYPE_INTEGER, String(value));
    else this.#appendCompound(value, protocol, depth);
  }

  #appendCompound(value: ReplyValue & object, protocol: Protocol, depth: number): void {
    assert(depth < DEPTH_MAX, `a reply is at most ${DEPTH_MAX} deep`);
    if (value instanceof VerbatimText) {
      this.#appendVerbatim(value.text, protocol);
    } else if (value instanceof Map) {
      const entries = value as ReadonlyMap<ReplyValue, ReplyValue>;
      if (protocol === 3) this.#appendNumber(TYPE_MAP, entries.size);
      else this.#appendNumber(TYPE_ARRAY, entries.size * 2);
      for (const [key, item] of entries) {
        this.#append(key, protocol, depth + 1);
        this.#append(item, protocol, depth + 1);
      }
    } else if (value instanceof ErrorReply) {
      this.appendError(value.text);
    } else if (value instanceof NullArray) {
      this.#appendBytes(protocol === 3 ? NULL_RESP3 : NULL_ARRAY_RESP2);
    } else if (value instanceof PairList) {
      this.#appendPairs(value.items, protocol, depth);
    } else if (Array.isArray(value)) {
      const items = value as readonly ReplyValue[];
      this.#appendNumber(TYPE_ARRAY, items.length);
      for (const item of items) this.#append(item, protocol, depth + 1);
    } else {
      unreachable(value as never);
    }
  }

  #appendPairs(items: readonly ReplyValue[], protocol: Protocol, depth: number): void {
    this.#appendNumber(TYPE_ARRAY, protocol === 3 ? items.length / 2 : items.length);
    for (let at = 0; at < items.length; at++) {
      if (protocol === 3 && at % 2 === 0) this.#appendNumber(TYPE_ARRAY, 2);
      this.#append(items[at]!, protocol, depth + 1);
    }
  }

  #appendVerbatim(text: string, protocol: Protocol): void {
    const bytes = Buffer.from(protocol === 3 ? VERBATIM_FORMAT + text : text);
    this.#appendNumber(protocol === 3 ? TYPE_VERBATIM : TYPE_BULK, bytes.length);
    this.#appendBytes(bytes);
    this.#appendLineEnd();
  }

  #appendBulk(value: Uint8Array): void {
    this.#appendNumber(TYPE_BULK, value.length);
    this.#appendBytes(value);
    this.#appendLineEnd();
  }

  #appendInteger(value: number): void {
    assert(Number.isSafeInteger(value), 'a number in a reply is a safe integer');
    this.#appendNumber(TYPE_INTEGER, value);
  }

  /** A type and a decimal number, without making a string of it. */
  #appendNumber(type: number, value: number): void {
    this.#reserve(NUMBER_LINE_BYTES_MAX);
    const bytes = this.#bytes;
    let at = this.#length;
    bytes[at++] = type;
    if (value < 0) bytes[at++] = MINUS;
    let rest = Math.abs(value);
    const end = at + digitsOf(rest);
    // Beyond 31 bits `| 0` would lose digits.
    for (let digitAt = end - 1; digitAt >= at; digitAt--) {
      const quotient = rest < 0x7fff_ffff ? (rest / 10) | 0 : Math.floor(rest / 10);
      bytes[digitAt] = ZERO + (rest - quotient * 10); // In this order: the sum with ZERO could exceed 2^53.
      rest = quotient;
    }
    bytes[end] = CR;
    bytes[end + 1] = LF;
    this.#length = end + 2;
  }

  #appendLine(type: number, text: string): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = type;
    this.#appendBytes(Buffer.from(text));
    this.#appendLineEnd();
  }

  #appendLineEnd(): void {
    this.#reserve(2);
    this.#bytes[this.#length++] = CR;
    this.#bytes[this.#length++] = LF;
  }

  #appendBytes(source: Uint8Array): void {
    this.#reserve(source.length);
    if (source.length < COPY_BYTES_MIN) {
      for (let at = 0; at < source.length; at++) this.#bytes[this.#length + at] = source[at]!;
    } else {
      this.#bytes.set(source, this.#length);
    }
    this.#length += source.length;
  }

  #reserve(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2));
    grown.set(this.written());
    this.#bytes = grown;
  }
}

/** Reply buffers that wait for the next turn, so that an idle client has none. */
export class ReplyBufferPool {
  readonly #free: ReplyBuffer[] = [];

  take(): ReplyBuffer {
    return this.#free.pop() ?? new ReplyBuffer();
  }

  /** Only for a buffer that nobody reads any more. */
  give(buffer: ReplyBuffer): void {
    if (!buffer.isKeepable || this.#free.length >= BUFFERS_KEPT_MAX) return;
    buffer.clear();
    this.#free.push(buffer);
  }
}

function digitsOf(value: number): number {
  let digits = 1;
  for (let bound = 10; value >= bound; bound *= 10) digits++;
  return digits;
}
