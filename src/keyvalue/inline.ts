/**
 * Inline requests: a line of words, as a person types it into telnet or netcat.
 *
 * The words are split as Redis splits them (sdssplitargs): blanks separate; "…" knows \n \r \t \b \a \xHH and
 * \<any>; '…' knows \' only; a closing quote ends the word, so a blank or the end must follow.
 */

const DOUBLE_QUOTE = 34;
const SINGLE_QUOTE = 39;
const BACKSLASH = 92;
const LOWER_X = 120;
const SPACE = 32;
const TAB = 9;
const CARRIAGE_RETURN = 13;

/** What a letter after a backslash stands for, where it is not itself: \n \r \t \b \a. */
const ESCAPES = new Map([
  [110, 10],
  [114, 13],
  [116, 9],
  [98, 8],
  [97, 7],
]);

/** The words of `line`, or null when a quote is not closed, or closed in the middle of a word. */
export function splitInline(line: Uint8Array): Uint8Array[] | null {
  const words: Uint8Array[] = [];
  const splitter = new Splitter(line);
  for (;;) {
    const word = splitter.next();
    if (word === null) return splitter.isBalanced ? words : null;
    words.push(word);
  }
}

class Splitter {
  /** False once a quote was left open, or closed in the middle of a word. */
  isBalanced = true;

  readonly #line: Uint8Array;
  #at = 0;

  /** All words one after the other: together they are never longer than the line. */
  readonly #words: Uint8Array;
  #wordStart = 0;
  #wordEnd = 0;

  constructor(line: Uint8Array) {
    this.#line = line;
    this.#words = new Uint8Array(line.length);
  }

  /** The next word; null at the end of the line and at a quote that does not balance. */
  next(): Uint8Array | null {
    const line = this.#line;
    while (this.#at < line.length && isBlank(line[this.#at]!)) this.#at++;
    if (this.#at === line.length) return null;

    this.#wordStart = this.#wordEnd;
    while (this.#at < line.length && !isBlank(line[this.#at]!)) {
      const byte = line[this.#at]!;
      if (byte === DOUBLE_QUOTE || byte === SINGLE_QUOTE) {
        this.#takeQuoted(byte);
        break;
      }
      this.#words[this.#wordEnd++] = byte;
      this.#at++;
    }
    return this.isBalanced ? this.#words.subarray(this.#wordStart, this.#wordEnd) : null;
  }

  /** Takes what is between the quotes as the end of the word. */
  #takeQuoted(quote: number): void {
    const line = this.#line;
    this.#at++;
    while (this.#at < line.length) {
      const byte = line[this.#at]!;
      if (byte === quote) {
        this.#at++;
        this.isBalanced = this.#at === line.length || isBlank(line[this.#at]!);
        return;
      }
      this.#words[this.#wordEnd++] = byte === BACKSLASH ? this.#escaped(quote) : byte;
      this.#at++;
    }
    this.isBalanced = false;
  }

  /** The byte that the backslash at `#at` and what follows stand for; leaves `#at` at the last byte taken. */
  #escaped(quote: number): number {
    const line = this.#line;
    const next = line[this.#at + 1];
    if (quote === SINGLE_QUOTE) {
      if (next !== SINGLE_QUOTE) return BACKSLASH;
      this.#at++;
      return SINGLE_QUOTE;
    }
    if (next === undefined) return BACKSLASH;
    const high = hexDigit(line[this.#at + 2]);
    const low = hexDigit(line[this.#at + 3]);
    if (next === LOWER_X && high >= 0 && low >= 0) {
      this.#at += 3;
      return high * 16 + low;
    }
    this.#at++;
    return ESCAPES.get(next) ?? next;
  }
}

function isBlank(byte: number): boolean {
  return byte === SPACE || (byte >= TAB && byte <= CARRIAGE_RETURN);
}

/** The value of a hexadecimal digit; -1 for any other byte, and for none. */
function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 48 && byte <= 57) return byte - 48;
  const lower = byte | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
