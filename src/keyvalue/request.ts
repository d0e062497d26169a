/**
 * Request framing: how the bytes of a client become requests, without copying them.
 *
 *     *2\r\n $3\r\nGET\r\n $5\r\nhello\r\n        an array of bulk strings: the frame
 *     GET hello\r\n                               inline: a line of words, turned into a frame
 *
 * A frame is found once at the door and then travels as the same bytes through batch, log and replay; the
 * machine parses it again, with the same code.
 *
 * Invariants:
 *  - The outcome depends on the bytes alone, never on how they were cut into chunks.
 *  - Memory follows the bytes that arrived, never a length that a client claims.
 *  - The work on a request is linear in its bytes, however small the chunks: `RequestProgress` remembers.
 *
 * Limits and error texts are those of Redis 7.0 (networking.c), except where a constant below says otherwise.
 * Stricter than Redis in one point: the two bytes after a bulk string must be \r\n.
 */

import { assert } from '../base/assert.ts';
import { bufferOf, NO_BYTES } from '../base/bytes.ts';
import { splitInline } from './inline.ts';
import { STRING_BYTES_MAX } from './layout.ts';

/** Arguments of one request, its name included: Redis's own limit until 7.0. */
export const ARGUMENTS_MAX = 1024 * 1024;

/** One argument: as large as the largest string. */
export const BULK_BYTES_MAX = STRING_BYTES_MAX;

/** One whole request: room for several of the largest values, and little enough to hold for one client. */
export const REQUEST_BYTES_MAX = 64 * 1024 * 1024;

/** A line: of an inline request, or of a length. As Redis. */
export const LINE_BYTES_MAX = 64 * 1024;

const ASTERISK = 42;
const DOLLAR = 36;
const MINUS = 45;
const ZERO = 48;
const CR = 13;
const LF = 10;

/** Digits that the fast path reads: any length within the limits has fewer. */
const DIGITS_MAX = 10;

/** What `#readLength` returns instead of a length. */
const LENGTH_INCOMPLETE = -1;
const LENGTH_LINE_TOO_LONG = -2;
const LENGTH_INVALID = -3;
const LENGTH_NEGATIVE = -4;

/** Argument positions kept for the next request; a request with more makes them grow. */
const ARGUMENTS_INITIAL = 64;

/**
 * - `complete`: a request; with `count` 0 it asks nothing (an empty line, `*0`) and is skipped.
 * - `incomplete`: more bytes are needed.
 * - `invalid`: `reason` says why. Nothing after it can be trusted: answer and close.
 */
export type RequestOutcome = 'complete' | 'incomplete' | 'invalid';

/** How far the request at the front of a stream was read. One per stream; all zero between requests. */
export class RequestProgress {
  /** Bytes of the request that were seen and found good. */
  scannedBytes = 0;
  /** Arguments that begin after `scannedBytes`; counts only when `scannedBytes` is above 0. */
  argumentsLeft = 0;
}

/** A parsed request, as commands see it. Views in it are valid until the next parse. */
export interface Request {
  /** Number of arguments, the command's name included. */
  readonly count: number;
  /** The argument at `at`, 0 being the command's name, as a view. */
  argument(at: number): Uint8Array;
  /** The argument with the line feed that always stands before it, as a view: see layout.ts. */
  withLineFeed(at: number): Uint8Array;
  /** The memory that holds the arguments, and where in it one begins. */
  readonly bytes: Uint8Array;
  argumentStart(at: number): number;
  argumentLength(at: number): number;
  /** Whether the argument is `word`, upper or lower case alike; `word` is in lower case. */
  isWord(at: number, word: string): boolean;
  /** The argument as text, its bytes taken as UTF-8. */
  text(at: number): string;
}

/**
 * Parses requests one at a time into itself. One object serves many streams: between calls it keeps nothing.
 */
export class RequestParser implements Request {
  /** The memory that holds the frame: the input, or memory of its own when the request came inline. */
  bytes: Uint8Array = NO_BYTES;
  /** Where in `bytes` the frame begins and where it has ended. */
  start = 0;
  end = 0;
  count = 0;
  /** Where in the input the next request begins. */
  nextOffset = 0;
  /** Why the request is invalid, as Redis words it. */
  reason = '';

  #starts = new Int32Array(ARGUMENTS_INITIAL);
  #lengths = new Int32Array(ARGUMENTS_INITIAL);
  /** Where the line that `#readLength` read has ended, its \r\n included. */
  #lineEnd = 0;

  /** Parses the request that begins at `from`, of a stream whose bytes so far end at `to`. */
  parse(bytes: Uint8Array, from: number, to: number, progress: RequestProgress): RequestOutcome {
    assert(from < to && to <= bytes.length, 'there are bytes to parse');
    if (bytes[from] !== ASTERISK) return this.#parseInline(bytes, from, to);
    if (progress.scannedBytes === 0) return this.#parseFrame(bytes, from, to, progress);

    const outcome = this.#parseArguments(bytes, from, to, progress);
    if (outcome !== 'complete') return outcome;
    // Now that the frame is whole, one more pass from its start finds the positions of all arguments.
    return this.#parseFrame(bytes, from, to, progress);
  }

  /** Parses bytes that must be exactly one frame with at least one argument: what `frame` returned once. */
  parseWhole(frame: Uint8Array): boolean {
    if (frame.length === 0 || frame[0] !== ASTERISK) return false;
    const outcome = this.#parseFrame(frame, 0, frame.length, new RequestProgress());
    return outcome === 'complete' && this.count > 0 && this.end === frame.length;
  }

  /** The frame as a view. */
  frame(): Uint8Array {
    if (this.start === 0 && this.end === this.bytes.length) return this.bytes;
    return this.bytes.subarray(this.start, this.end);
  }

  get frameBytes(): number {
    return this.end - this.start;
  }

  argument(at: number): Uint8Array {
    assert(at >= 0 && at < this.count, 'an argument is asked for that the request has');
    const start = this.#starts[at]!;
    return this.bytes.subarray(start, start + this.#lengths[at]!);
  }

  withLineFeed(at: number): Uint8Array {
    assert(at >= 0 && at < this.count, 'an argument is asked for that the request has');
    const start = this.#starts[at]!;
    return this.bytes.subarray(start - 1, start + this.#lengths[at]!);
  }

  argumentStart(at: number): number {
    assert(at >= 0 && at < this.count, 'an argument is asked for that the request has');
    return this.#starts[at]!;
  }

  argumentLength(at: number): number {
    assert(at >= 0 && at < this.count, 'an argument is asked for that the request has');
    return this.#lengths[at]!;
  }

  isWord(at: number, word: string): boolean {
    if (this.argumentLength(at) !== word.length) return false;
    const start = this.#starts[at]!;
    for (let letter = 0; letter < word.length; letter++) {
      if (lowerCase(this.bytes[start + letter]!) !== word.charCodeAt(letter)) return false;
    }
    return true;
  }

  text(at: number): string {
    return bufferOf(this.argument(at)).toString();
  }

  #parseFrame(bytes: Uint8Array, from: number, to: number, progress: RequestProgress): RequestOutcome {
    const count = this.#readLength(bytes, from + 1, to);
    if (count === LENGTH_INCOMPLETE) return 'incomplete';
    if (count === LENGTH_LINE_TOO_LONG) return this.#invalid('too big mbulk count string');
    if (count === LENGTH_INVALID || count > ARGUMENTS_MAX) return this.#invalid('invalid multibulk length');

    this.bytes = bytes;
    this.start = from;
    this.count = Math.max(count, 0);
    progress.scannedBytes = this.#lineEnd - from;
    progress.argumentsLeft = this.count;
    return this.#parseArguments(bytes, from, to, progress);
  }

  /** Goes on where `progress` stands, and empties it at the end of the frame. */
  #parseArguments(bytes: Uint8Array, from: number, to: number, progress: RequestProgress): RequestOutcome {
    let at = from + progress.scannedBytes;
    let left = progress.argumentsLeft;
    // A resumed parse begins at 0 too: its positions are of no use, and `parse` makes another pass for them.
    for (let argument = 0; left > 0; left--, argument++) {
      const length =
        at < to && bytes[at] === DOLLAR ? this.#readLength(bytes, at + 1, to) : LENGTH_INCOMPLETE;
      const bulkStart = this.#lineEnd;
      const bulkEnd = bulkStart + length;
      if (
        length < 0 ||
        length > BULK_BYTES_MAX ||
        bulkEnd + 2 - from > REQUEST_BYTES_MAX ||
        bulkEnd + 2 > to
      ) {
        progress.scannedBytes = at - from;
        progress.argumentsLeft = left;
        return this.#judge(bytes, at, to, length, bulkEnd + 2 - from);
      }
      if (bytes[bulkEnd] !== CR || bytes[bulkEnd + 1] !== LF)
        return this.#invalid('expected CRLF after a bulk');
      this.#place(argument, bulkStart, length);
      at = bulkEnd + 2;
    }
    progress.scannedBytes = 0;
    progress.argumentsLeft = 0;
    this.end = at;
    this.nextOffset = at;
    return 'complete';
  }

  /** What to make of an argument that begins at `at` and is not there, or not there yet. */
  #judge(bytes: Uint8Array, at: number, to: number, length: number, frameBytes: number): RequestOutcome {
    if (at === to) return 'incomplete';
    if (bytes[at] !== DOLLAR) return this.#invalid(`expected '$', got '${printable(bytes[at]!)}'`);
    if (length === LENGTH_INCOMPLETE) return 'incomplete';
    if (length === LENGTH_LINE_TOO_LONG) return this.#invalid('too big bulk count string');
    if (length < 0 || length > BULK_BYTES_MAX) return this.#invalid('invalid bulk length');
    if (frameBytes > REQUEST_BYTES_MAX) return this.#invalid(`request above ${REQUEST_BYTES_MAX} bytes`);
    return 'incomplete';
  }

  #place(argument: number, start: number, length: number): void {
    if (argument >= this.#starts.length) this.#grow();
    this.#starts[argument] = start;
    this.#lengths[argument] = length;
  }

  /** Doubling is safe: every position stands for an argument that has arrived. */
  #grow(): void {
    const starts = new Int32Array(this.#starts.length * 2);
    const lengths = new Int32Array(this.#starts.length * 2);
    starts.set(this.#starts);
    lengths.set(this.#lengths);
    this.#starts = starts;
    this.#lengths = lengths;
  }

  /** Reads a decimal number and its \r\n. Returns one of the LENGTH_ codes when that is not what is there. */
  #readLength(bytes: Uint8Array, at: number, to: number): number {
    const digitsEnd = Math.min(to, at + DIGITS_MAX);
    let cursor = at;
    let value = 0;
    for (; cursor < digitsEnd; cursor++) {
      const digit = bytes[cursor]! - ZERO;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    const isPlain = cursor === at + 1 || (cursor > at && bytes[at] !== ZERO);
    if (isPlain && cursor + 1 < to && bytes[cursor] === CR && bytes[cursor + 1] === LF) {
      this.#lineEnd = cursor + 2;
      return value;
    }
    return this.#readOddLength(bytes, at, to);
  }

  /** The slow path: a line that is not whole, not a number, negative, or a number beyond all limits. */
  #readOddLength(bytes: Uint8Array, at: number, to: number): number {
    const lineEnd = indexOfByte(bytes, CR, at, Math.min(to, at + LINE_BYTES_MAX));
    if (lineEnd < 0) return to - at > LINE_BYTES_MAX ? LENGTH_LINE_TOO_LONG : LENGTH_INCOMPLETE;
    if (lineEnd + 1 === to) return LENGTH_INCOMPLETE;
    if (bytes[lineEnd + 1] !== LF || bytes[at] !== MINUS || lineEnd - at > 19) return LENGTH_INVALID;
    if (!/^-[1-9][0-9]*$/.test(bufferOf(bytes).toString('latin1', at, lineEnd))) return LENGTH_INVALID;
    this.#lineEnd = lineEnd + 2;
    return LENGTH_NEGATIVE;
  }

  #parseInline(bytes: Uint8Array, from: number, to: number): RequestOutcome {
    const newline = indexOfByte(bytes, LF, from, Math.min(to, from + LINE_BYTES_MAX));
    if (newline < 0)
      return to - from > LINE_BYTES_MAX ? this.#invalid('too big inline request') : 'incomplete';
    const lineEnd = newline > from && bytes[newline - 1] === CR ? newline - 1 : newline;
    const words = splitInline(bytes.subarray(from, lineEnd));
    if (words === null) return this.#invalid('unbalanced quotes in request');

    const frame = encodeRequest(words);
    const outcome = this.#parseFrame(frame, 0, frame.length, new RequestProgress());
    assert(outcome === 'complete', `a frame of ${words.length} words is complete, got ${outcome}`);
    this.nextOffset = newline + 1;
    return 'complete';
  }

  #invalid(reason: string): RequestOutcome {
    this.reason = reason;
    return 'invalid';
  }
}

/** A part of a request that is a request of its own: a command inside of another one. */
export class RequestPart implements Request {
  count = 0;
  #whole: Request | null = null;
  #first = 0;

  /** Makes it the `count` arguments from `first` on. */
  take(whole: Request, first: number, count: number): this {
    assert(first >= 0 && count > 0 && first + count <= whole.count, 'a part lies in the request');
    this.#whole = whole;
    this.#first = first;
    this.count = count;
    return this;
  }

  get bytes(): Uint8Array {
    return this.#of(0).bytes;
  }

  argument(at: number): Uint8Array {
    return this.#of(at).argument(this.#first + at);
  }

  withLineFeed(at: number): Uint8Array {
    return this.#of(at).withLineFeed(this.#first + at);
  }

  argumentStart(at: number): number {
    return this.#of(at).argumentStart(this.#first + at);
  }

  argumentLength(at: number): number {
    return this.#of(at).argumentLength(this.#first + at);
  }

  isWord(at: number, word: string): boolean {
    return this.#of(at).isWord(this.#first + at, word);
  }

  text(at: number): string {
    return this.#of(at).text(this.#first + at);
  }

  #of(at: number): Request {
    assert(this.#whole !== null && at >= 0 && at < this.count, 'an argument is asked for that the part has');
    return this.#whole;
  }
}

/** The frame of a request with these arguments. */
export function encodeRequest(words: readonly (Uint8Array | string)[]): Uint8Array {
  const parts: Uint8Array[] = [Buffer.from(`*${words.length}\r\n`)];
  for (const word of words) {
    const bytes = typeof word === 'string' ? Buffer.from(word) : word;
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'));
  }
  return Buffer.concat(parts);
}

/** ASCII only, as Redis compares command names and options. */
export function lowerCase(byte: number): number {
  return byte >= 65 && byte <= 90 ? byte + 32 : byte;
}

/** The offset of the first `byte` in [from, to), or -1. */
function indexOfByte(bytes: Uint8Array, byte: number, from: number, to: number): number {
  const found = bufferOf(bytes.subarray(from, to)).indexOf(byte);
  return found < 0 ? -1 : from + found;
}

function printable(byte: number): string {
  return byte >= 32 && byte < 127 ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
}
