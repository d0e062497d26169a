/**
 * Floating point as Redis computes it for INCRBYFLOAT: the x87 type of 80 bits, with a significand of 64,
 * read and printed in decimal by exact rounding.
 *
 * In integers of arbitrary length, so that every processor and every version of Node gets the same digits.
 * Not here: subnormal numbers, which nobody adds, and hexadecimal ones.
 */

/** `significand` × 2^`exponent`; the significand has at most 64 bits and a sign. */
export interface LongDouble {
  readonly significand: bigint;
  readonly exponent: number;
}

const SIGNIFICAND_BITS = 64;
/** A value of 2^EXPONENT_MAX or more is infinite. */
const EXPONENT_MAX = 16_384;
const EXPONENT_MIN = -16_445;

/** Longest text: as Redis's MAX_LONG_DOUBLE_CHARS. */
const TEXT_BYTES_MAX = 5 * 1024;

/** Beyond it a decimal exponent cannot belong to a value in range, whatever the digits. */
const DECIMAL_EXPONENT_MAX = 20_000;

const FRACTION_DIGITS = 17;

const DECIMAL = /^([+-]?)(\d*)(?:\.(\d*))?(?:e([+-]?\d{1,9}))?$/i;

/** The value of a text; 'infinite' for a word that means that; null when it is no number, or out of range. */
export function parseLongDouble(text: string): LongDouble | 'infinite' | null {
  if (text.length === 0 || text.length >= TEXT_BYTES_MAX) return null;
  if (/^[+-]?inf(inity)?$/i.test(text)) return 'infinite';
  const parts = DECIMAL.exec(text);
  if (parts === null) return null;
  const [, sign, whole = '', fraction = '', power = '0'] = parts;
  if (whole.length + fraction.length === 0) return null;
  const digits = BigInt(whole + fraction);
  if (digits === 0n) return { significand: 0n, exponent: 0 };
  const exponent = Number(power) - fraction.length;
  if (Math.abs(exponent) > DECIMAL_EXPONENT_MAX) return null;
  const scale = 10n ** BigInt(Math.abs(exponent));
  const value = exponent >= 0 ? rounded(digits * scale, 1n) : rounded(digits, scale);
  if (isInfinite(value) || value.exponent < EXPONENT_MIN) return null;
  return sign === '-' ? { ...value, significand: -value.significand } : value;
}

/** The sum, or null when it is infinite. */
export function addLongDoubles(left: LongDouble, right: LongDouble): LongDouble | null {
  const exponent = Math.min(left.exponent, right.exponent);
  const sum =
    (left.significand << BigInt(left.exponent - exponent)) +
    (right.significand << BigInt(right.exponent - exponent));
  if (sum === 0n) return { significand: 0n, exponent: 0 };
  const value = rounded(sum < 0n ? -sum : sum, 1n);
  const placed = {
    significand: sum < 0n ? -value.significand : value.significand,
    exponent: value.exponent + exponent,
  };
  return isInfinite(placed) ? null : placed;
}

/** With at most 17 digits behind the point, and no zero at the end: printf's %.17Lf. */
export function formatLongDouble({ significand, exponent }: LongDouble): string {
  const scaled = (significand < 0n ? -significand : significand) * 10n ** BigInt(FRACTION_DIGITS);
  const units = exponent >= 0 ? scaled << BigInt(exponent) : dividedToEven(scaled, 1n << BigInt(-exponent));
  const digits = units.toString().padStart(FRACTION_DIGITS + 1, '0');
  const fraction = digits.slice(-FRACTION_DIGITS).replace(/0+$/, '');
  const text = digits.slice(0, -FRACTION_DIGITS) + (fraction === '' ? '' : `.${fraction}`);
  return significand < 0n && text !== '0' ? `-${text}` : text;
}

/** A positive fraction, rounded to the nearest value; of two equally near to the even one. */
function rounded(numerator: bigint, denominator: bigint): LongDouble {
  let shift = bitsOf(denominator) - bitsOf(numerator) + SIGNIFICAND_BITS;
  let significand = shifted(numerator, denominator, shift);
  if (bitsOf(significand) > SIGNIFICAND_BITS) significand = shifted(numerator, denominator, --shift);
  return { significand, exponent: -shift };
}

function shifted(numerator: bigint, denominator: bigint, shift: number): bigint {
  return shift >= 0
    ? dividedToEven(numerator << BigInt(shift), denominator)
    : dividedToEven(numerator, denominator << BigInt(-shift));
}

function dividedToEven(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  const twice = 2n * (numerator % denominator);
  const isUp = twice > denominator || (twice === denominator && (quotient & 1n) === 1n);
  return isUp ? quotient + 1n : quotient;
}

function isInfinite({ significand, exponent }: LongDouble): boolean {
  return (
    significand !== 0n && bitsOf(significand < 0n ? -significand : significand) + exponent > EXPONENT_MAX
  );
}

function bitsOf(value: bigint): number {
  const hexadecimal = value.toString(16);
  return (hexadecimal.length - 1) * 4 + (32 - Math.clz32(Number.parseInt(hexadecimal[0]!, 16)));
}
