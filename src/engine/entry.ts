/**
 * Entry body: a batch of commands (docs/format.md §4).
 *
 *     offset  0       4          8
 *             +-------+----------+-------+----------+-------+---
 *             | count | length 1 | bytes | length 2 | bytes | …
 *             +-------+----------+-------+----------+-------+---
 *
 * The bytes of a command are the same in batch, log and replay; only `Machine.apply` looks inside.
 */

import { assert } from '../base/assert.ts';
import { viewOf } from '../base/bytes.ts';

const COUNT_BYTES = 4;
const LENGTH_BYTES = 4;
const INITIAL_BYTES = 16 * 1024;

/** Collects commands into the body of one entry. Reused from entry to entry. */
export class EntryBuilder {
  #bytes: Buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #size = COUNT_BYTES;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** Size of the body so far, in bytes. */
  get size(): number {
    return this.#size;
  }

  add(command: Uint8Array): void {
    const end = this.#size + LENGTH_BYTES + command.length;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.writeUInt32LE(command.length, this.#size);
    this.#bytes.set(command, this.#size + LENGTH_BYTES);
    this.#size = end;
    this.#count++;
  }

  /** The body, valid until the next `add` or `clear`. */
  body(): Uint8Array {
    this.#bytes.writeUInt32LE(this.#count, 0);
    return this.#bytes.subarray(0, this.#size);
  }

  clear(): void {
    this.#size = COUNT_BYTES;
    this.#count = 0;
  }

  /** Bytes held in memory, whatever is in use of them. */
  get capacity(): number {
    return this.#bytes.length;
  }

  #grow(bytes: number): void {
    const grown = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#size);
    this.#bytes = grown;
  }
}

/**
 * Calls `visit` with each command, a view into `body`, in order. The checksum of the record was checked, so a
 * body that does not parse was written by a broken program: that is a bug, not damage.
 */
export function forEachCommand(body: Uint8Array, visit: (command: Uint8Array, at: number) => void): number {
  // No Buffer: its views take three times as long to make, and there are three for each command.
  const bytes = new Uint8Array(body.buffer, body.byteOffset, body.length);
  const view = viewOf(bytes);
  assert(bytes.length >= COUNT_BYTES, `an entry has at least ${COUNT_BYTES} bytes, got ${bytes.length}`);
  const count = view.getUint32(0, true);
  let offset = COUNT_BYTES;
  for (let at = 0; at < count; at++) {
    assert(offset + LENGTH_BYTES <= bytes.length, `command ${at} of ${count} starts inside the entry`);
    const start = offset + LENGTH_BYTES;
    offset = start + view.getUint32(offset, true);
    assert(offset <= bytes.length, `command ${at} of ${count} ends inside the entry`);
    visit(bytes.subarray(start, offset), at);
  }
  assert(
    offset === bytes.length,
    `an entry ends with its last command, not ${bytes.length - offset} bytes later`,
  );
  return count;
}
