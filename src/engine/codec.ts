/**
 * Codec of what users hand in: arguments of commands and values of tables, as MessagePack.
 *
 * Deterministic: equal values built the same way give equal bytes (no shared structures, no floats of 32
 * bits, keys of objects in their own order). Strict: what would not come back as it was is refused, with its
 * place, rather than stored as something else.
 */

import { Packr } from 'msgpackr';
import { TidemarkError } from '../base/errors.ts';

/** Levels of arrays and objects in one value; a cycle is deeper than any. */
const DEPTH_MAX = 64;

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: true, copyBuffers: true });

/**
 * Encodes null, undefined, booleans, numbers, bigints, strings, dates, Uint8Arrays, and arrays and plain
 * objects of them, up to 64 levels deep.
 * @param what How an error names the value.
 * @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE for anything else.
 */
export function encodeValue(value: unknown, what: string): Uint8Array {
  requireEncodable(value, what, 0);
  return packr.pack(value);
}

/**
 * The value, which shares no memory with `bytes`: those are the state's or the log's, and whoever gets the
 * value may keep it and change it.
 * @throws Error when `bytes` are not MessagePack; a caller that reads outside bytes names it.
 */
export function decodeValue(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}

function requireEncodable(value: unknown, place: string, depth: number): void {
  if (typeof value !== 'object' || value === null) {
    if (typeof value === 'function' || typeof value === 'symbol')
      throw unencodable(place, `is a ${typeof value}`);
    return;
  }
  if (value instanceof Uint8Array || value instanceof Date) return;
  if (depth === DEPTH_MAX)
    throw unencodable(place, `is more than ${DEPTH_MAX} levels deep, or contains itself`);
  if (Array.isArray(value)) {
    for (const [at, item] of value.entries()) requireEncodable(item, `${place}[${at}]`, depth + 1);
    return;
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw unencodable(place, `is a ${value.constructor.name}; only plain objects come back as they were`);
  }
  for (const [key, item] of Object.entries(value)) {
    if (key === '__proto__') throw unencodable(place, 'has a key __proto__');
    requireEncodable(item, `${place}.${key}`, depth + 1);
  }
}

function unencodable(place: string, why: string): TidemarkError {
  return new TidemarkError('TIDEMARK_VALUE_UNENCODABLE', `${place} ${why}`, {
    remedy: 'fix-call',
    facts: { place },
  });
}
