/**
 * Codec of what users hand in: arguments of commands and values of tables, as MessagePack.
 *
 * Deterministic for equal values built the same way: no shared structures, no floats of 32 bits, keys of
 * objects in their own order. Not for results of queries, which never leave the process as bytes.
 */

import { Packr } from 'msgpackr';
import { TidemarkError } from '../base/errors.ts';

const packr = new Packr({ useRecords: false, variableMapSize: true, moreTypes: true });

/** @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE for functions, symbols and cyclic values. */
export function encodeValue(value: unknown, what: string): Uint8Array {
  try {
    return packr.pack(value);
  } catch (error) {
    throw new TidemarkError('TIDEMARK_VALUE_UNENCODABLE', `${what} cannot be encoded: ${String(error)}`, {
      remedy: 'fix-call',
      cause: error,
      facts: { what },
    });
  }
}

/** @throws Error when `bytes` are not MessagePack; a caller that reads outside bytes names it. */
export function decodeValue(bytes: Uint8Array): unknown {
  return packr.unpack(bytes);
}
