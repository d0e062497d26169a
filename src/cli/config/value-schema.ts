/**
 * What the value of one key may be. Every kind takes its value also as text, because the environment and
 * flags know nothing else; so one schema serves all sources.
 *
 * Each carries what it wants, in words, for messages and for the documentation.
 */

import * as v from 'valibot';
import {
  BYTES_TEXT,
  DURATION_TEXT,
  NUMBER_TEXT,
  parseBytes,
  parseDuration,
  writeBytes,
  writeDuration,
} from './units.ts';

/** What is known of a key besides its value's type. */
export interface KeyFacts {
  /** Completes "wanted …". */
  readonly wanted: string;
  /** What the key is for: completes a row of the table in docs/operations.md. */
  readonly about: string;
  /** Whether its value must never be printed. */
  readonly isSecret: boolean;
  /** How its value is best written. */
  readonly write: (value: unknown) => string;
}

interface Range {
  readonly min: number;
  readonly max: number;
  readonly multipleOf?: number;
  /** Whether 0 is taken too, below `min`. */
  readonly orZero?: boolean;
}

export function text(about: string, wanted = 'a text') {
  return v.pipe(v.string(), v.minLength(1), facts({ wanted, about }));
}

/** A text that is never printed. */
export function secret(about: string, wanted: string) {
  return v.pipe(v.string(), v.minLength(1), facts({ wanted, about, isSecret: true }));
}

export function choice<const Word extends string>(about: string, words: readonly Word[]) {
  return v.pipe(v.picklist(words), facts({ wanted: `one of ${words.join(', ')}`, about }));
}

export function flag(about: string) {
  const written = v.pipe(
    v.picklist(['true', 'false']),
    v.transform((value) => value === 'true'),
  );
  return v.pipe(v.union([v.boolean(), written]), facts({ wanted: 'true or false', about }));
}

export function count(about: string, range: Range, what = 'a whole number') {
  const wanted = orZero(range, `${what} from ${range.min} to ${range.max}`);
  return number(about, wanted, range, { pattern: NUMBER_TEXT, parse: Number, write: String });
}

export function bytes(about: string, range: Range) {
  const multiple = range.multipleOf === undefined ? '' : `, a multiple of ${writeBytes(range.multipleOf)}`;
  const limits =
    range.max === Number.MAX_SAFE_INTEGER ? '' : ` from ${writeBytes(range.min)} to ${writeBytes(range.max)}`;
  const wanted = orZero(range, `a size${limits}${multiple}, as in 1MiB`);
  return number(about, wanted, range, { pattern: BYTES_TEXT, parse: parseBytes, write: writeBytes });
}

export function duration(about: string, range: Range) {
  const limits = `from ${writeDuration(range.min)} to ${writeDuration(range.max)}`;
  const wanted = orZero(range, `a time ${limits}, as in 10s`);
  return number(about, wanted, range, { pattern: DURATION_TEXT, parse: parseDuration, write: writeDuration });
}

function orZero(range: Range, wanted: string): string {
  return range.orZero === true ? `0, or ${wanted}` : wanted;
}

interface Notation {
  readonly pattern: RegExp;
  readonly parse: (text: string) => number;
  readonly write: (value: number) => string;
}

function number(about: string, wanted: string, range: Range, { pattern, parse, write }: Notation) {
  const { min, max, multipleOf } = range;
  const inRange = v.pipe(v.number(), v.integer(), v.minValue(min), v.maxValue(max));
  const multiple = multipleOf === undefined ? inRange : v.pipe(inRange, v.multipleOf(multipleOf));
  const plain = range.orZero === true ? v.union([v.literal(0), multiple]) : multiple;
  const written = v.pipe(v.string(), v.regex(pattern), v.transform(parse), plain);
  return v.pipe(
    v.union([plain, written]),
    facts({ wanted, about, write: (value) => write(value as number) }),
  );
}

function facts<Value>(known: Partial<KeyFacts> & Pick<KeyFacts, 'wanted' | 'about'>) {
  const complete: KeyFacts = { isSecret: false, write: String, ...known };
  return v.metadata<Value, { readonly facts: KeyFacts }>({ facts: complete });
}
