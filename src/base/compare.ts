/** Values of somebody else's program, compared and shown to people: with Node's own eyes. */

import { inspect, isDeepStrictEqual } from 'node:util';
import { copyOf } from './bytes.ts';

/** Length of a value that is shown, in UTF-16 units. */
const SHOWN_MAX = 120;

/** Whether two values are alike all the way down: types, contents, and for errors their name and message. */
export function isAlike(one: unknown, other: unknown): boolean {
  return isDeepStrictEqual(one, other);
}

/** The value as a program would write it, on one line, cut short. */
export function shown(value: unknown): string {
  const text = inspect(value, { depth: 4, breakLength: Infinity, maxArrayLength: 16, maxStringLength: 80 });
  const line = (value instanceof Error ? `${value.name}: ${value.message}` : text).replace(/\s+/g, ' ');
  return line.length > SHOWN_MAX ? `${line.slice(0, SHOWN_MAX)}…` : line;
}

/** The value as it is now, whatever becomes of it: a copy, unless it holds what cannot be copied. */
export function copyOfValue(value: unknown): unknown {
  if (value instanceof Uint8Array) return copyOf(value); // Perhaps a view of far more.
  try {
    return structuredClone(value);
  } catch {
    return value; // A function, for instance.
  }
}
