/**
 * Activation: the entry from which on another version of a machine applies what comes (docs/format.md §4).
 *
 *     offset  0      8    16
 *             +------+----+--------------------
 *             | from | to | name, to the end …
 *             +------+----+--------------------
 */

import { assert } from '../base/assert.ts';
import { bufferOf, readU64, viewOf, writeU64 } from '../base/bytes.ts';

const NAME_OFFSET = 16;

export interface Activation {
  /** Of the machine. */
  readonly name: string;
  /** Version that was active before. */
  readonly from: number;
  /** Version that is active from here on. */
  readonly to: number;
}

export function encodeActivation({ name, from, to }: Activation): Uint8Array {
  const nameBytes = Buffer.from(name, 'utf8');
  const bytes = new Uint8Array(NAME_OFFSET + nameBytes.length);
  const view = viewOf(bytes);
  writeU64(view, 0, from);
  writeU64(view, 8, to);
  bytes.set(nameBytes, NAME_OFFSET);
  return bytes;
}

/** The checksum of the record was checked, so a body that does not parse is a bug, not damage. */
export function decodeActivation(body: Uint8Array): Activation {
  assert(body.length > NAME_OFFSET, `an activation has more than ${NAME_OFFSET} bytes, got ${body.length}`);
  const view = viewOf(body);
  const from = readU64(view, 0);
  const to = readU64(view, 8);
  const isUpwards = from !== null && to !== null && from >= 1 && from < to;
  assert(isUpwards, `an activation goes from a version to a later one, not from ${from} to ${to}`);
  return { name: bufferOf(body).toString('utf8', NAME_OFFSET), from, to };
}

/** As people read it (`inspect log`). */
export function describeActivation({ name, from, to }: Activation): string {
  return `version ${to} of the machine ${name} is active from here on, after version ${from}`;
}
