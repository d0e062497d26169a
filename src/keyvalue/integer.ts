/**
 * Integers as Redis keeps them in strings: decimal, signed, 64 bits.
 *
 * A number where it is exact (up to 2^53-1 either way), a bigint beyond. Text and range are those of Redis's
 * string2ll: no plus sign, no blanks, no leading zeros, no minus zero.
 */

/** A signed integer of 64 bits; a number whenever it is a safe integer. */
export type Integer = number | bigint;

export const INTEGER_MIN = -(2n ** 63n);
export const INTEGER_MAX = 2n ** 63n - 1n;

/** Digits that always make a safe integer. */
const SAFE_DIGITS = 15;
/** The longest text: -9223372036854775808. */
const TEXT_BYTES_MAX = 20;

const MINUS = 45;
const ZERO = 48;

/** The integer that `bytes` spell in [start, start + length), or null. */
export function parseInteger(bytes: Uint8Array, start: number, length: number): Integer | null {
  if (length === 0 || length > TEXT_BYTES_MAX) return null;
  const isNegative = bytes[start] === MINUS;
  const digitsFrom = isNegative ? start + 1 : start;
  const end = start + length;
  if (digitsFrom === end) return null;
  if (bytes[digitsFrom] === ZERO) return length === 1 ? 0 : null;

  let value = 0;
  for (let at = digitsFrom; at < end; at++) {
    const digit = bytes[at]! - ZERO;
    if (digit < 0 || digit > 9) return null;
    value = value * 10 + digit;
  }
  if (end - digitsFrom <= SAFE_DIGITS) return isNegative ? -value : value;
  return fitting(BigInt(Buffer.from(bytes.subarray(start, end)).toString('latin1')));
}

/** The sum, or null when it does not fit 64 bits. */
export function addIntegers(left: Integer, right: Integer): Integer | null {
  if (typeof left === 'number' && typeof right === 'number') {
    const sum = left + right;
    if (Number.isSafeInteger(sum)) return sum;
  }
  return fitting(BigInt(left) + BigInt(right));
}

/** The negated integer, or null for the least one: its opposite does not fit. */
export function negateInteger(value: Integer): Integer | null {
  if (typeof value === 'number') return value === 0 ? 0 : -value;
  return fitting(-value);
}

/** The integer as a string value holds it. */
export function encodeInteger(value: Integer): Uint8Array {
  return Buffer.from(String(value), 'latin1');
}

function fitting(value: bigint): Integer | null {
  if (value < INTEGER_MIN || value > INTEGER_MAX) return null;
  const narrow = Number(value);
  return Number.isSafeInteger(narrow) ? narrow : value;
}
