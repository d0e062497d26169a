/**
 * Sizes and times as people write them: `32MiB`, `10s`, or a plain number of bytes or milliseconds. Units of
 * sizes are powers of 1024 and say so; `MB` would leave open which it is, and is refused.
 */

const BYTES = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4 } as const;
const MILLISECONDS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 } as const;

/** A number, with or without a fraction, and a unit or none. */
export const BYTES_TEXT = /^\d{1,16}(\.\d{1,6})? ?(B|KiB|MiB|GiB|TiB)?$/;
export const DURATION_TEXT = /^\d{1,16}(\.\d{1,6})? ?(ms|s|m|h)?$/;
export const NUMBER_TEXT = /^\d{1,16}$/;

/** Of a text that matches {@link BYTES_TEXT}; a fraction of a byte is left to whoever checks the range. */
export function parseBytes(text: string): number {
  return parse(text, BYTES);
}

/** Milliseconds of a text that matches {@link DURATION_TEXT}. */
export function parseDuration(text: string): number {
  return parse(text, MILLISECONDS);
}

/** The shortest way to write it: `32MiB`, `4097B`. */
export function writeBytes(bytes: number): string {
  return write(bytes, BYTES);
}

export function writeDuration(ms: number): string {
  return write(ms, MILLISECONDS);
}

function parse(text: string, units: Readonly<Record<string, number>>): number {
  const unit = /[A-Za-z]*$/.exec(text)?.[0] ?? '';
  const number = Number(text.slice(0, text.length - unit.length));
  return number * (units[unit] ?? 1);
}

function write(value: number, units: Readonly<Record<string, number>>): string {
  let best = String(value);
  for (const [unit, size] of Object.entries(units)) {
    if (value >= size && value % size === 0) best = `${value / size}${unit}`;
  }
  return best;
}
