/**
 * Codec of what users hand in: arguments of commands and values of tables, as MessagePack.
 *
 * Deterministic: equal values built the same way give equal bytes (no shared structures, no floats of 32
 * bits, keys of objects in their own order). Strict: what would not come back as it was is refused, with its
 * place, rather than stored as something else. One exception: -0 comes back as 0.
 */

import { Packr } from 'msgpackr';
import { assert } from '../base/assert.ts';
import { TidemarkError } from '../base/errors.ts';

/** Levels of arrays and objects in one value; a cycle is deeper than any. */
const DEPTH_MAX = 64;

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: true, copyBuffers: true });

/**
 * Encodes null, undefined, booleans, numbers, bigints, strings, dates, Uint8Arrays, and arrays and plain
 * objects of them, up to 64 levels deep. -0 becomes 0.
 * @param what How an error names the value.
 * @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE for anything else.
 */
export function encodeValue(value: unknown, what: string): Uint8Array {
  if (!isEncodable(value, 0)) throw unencodable(value, what);
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

/**
 * Whether there is no flaw anywhere. Apart from `flawOf`, which gives the reasons, because this runs for
 * every command: one pass, and no string is made, above all no place.
 */
function isEncodable(value: unknown, depth: number): boolean {
  if (typeof value === 'number') return true;
  if (typeof value === 'string') return value.isWellFormed();
  if (typeof value === 'function' || typeof value === 'symbol') return false;
  if (typeof value !== 'object' || value === null) return true;
  const isArray = Array.isArray(value);
  if (!isArray && !isPlain(value)) return isLeaf(value);
  if (depth === DEPTH_MAX || Object.getOwnPropertySymbols(value).length > 0) return false;
  return isArray ? areItemsEncodable(value, depth) : areFieldsEncodable(value, depth);
}

function areItemsEncodable(items: readonly unknown[], depth: number): boolean {
  for (let at = 0; at < items.length; at++) if (!isEncodable(items[at], depth + 1)) return false;
  return Object.keys(items).length === items.length;
}

function areFieldsEncodable(value: object, depth: number): boolean {
  for (const key in value) {
    if (key === '__proto__' || !key.isWellFormed()) return false;
    if (!isEncodable(value[key as keyof object], depth + 1)) return false;
  }
  return true;
}

/** What is wrong with the value itself, whatever is in it; or null. */
function flawOf(value: unknown, depth: number): string | null {
  if (typeof value === 'string') return value.isWellFormed() ? null : HALF_CHARACTER;
  if (typeof value === 'function' || typeof value === 'symbol') return `is a ${typeof value}`;
  if (typeof value !== 'object' || value === null) return null;
  const isArray = Array.isArray(value);
  if (!isArray && !isPlain(value)) {
    if (isLeaf(value)) return null;
    return `is a ${value.constructor.name}; only plain objects come back as they were`;
  }
  if (depth === DEPTH_MAX) return `is more than ${DEPTH_MAX} levels deep, or contains itself`;
  if (Object.getOwnPropertySymbols(value).length > 0) return 'has a symbol for a key';
  if (!isArray) return keyFlaw(value);
  return Object.keys(value).length === value.length ? null : 'has gaps, or keys that are no positions';
}

function keyFlaw(value: object): string | null {
  for (const key in value) {
    if (key === '__proto__') return 'has a key __proto__';
    if (!key.isWellFormed()) return `has a key that ${HALF_CHARACTER}`;
  }
  return null;
}

/** UTF-8 cannot say it: it would come back as another string, and two such keys as one. */
const HALF_CHARACTER = 'contains half a character (a lone surrogate)';

/** Not the classes made from these: they would come back as these, or not at all. */
function isLeaf(value: object): boolean {
  if (value instanceof Date) return Object.getPrototypeOf(value) === Date.prototype;
  return value instanceof Uint8Array && (value.constructor === Uint8Array || value.constructor === Buffer);
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The error for a value that is not encodable: goes down to the first flaw and names its place. */
function unencodable(value: unknown, what: string): TidemarkError {
  let place = what;
  let inner = value;
  for (let depth = 0; ; depth++) {
    const flaw = flawOf(inner, depth);
    if (flaw !== null) {
      return new TidemarkError('TIDEMARK_VALUE_UNENCODABLE', `${place} ${flaw}`, {
        remedy: 'fix-call',
        facts: { place },
      });
    }
    const found = Object.entries(inner as object).find(([, item]) => !isEncodable(item, depth + 1));
    assert(found !== undefined, `there is a flaw in ${place}`);
    place += Array.isArray(inner) ? `[${found[0]}]` : `.${found[0]}`;
    inner = found[1];
  }
}
