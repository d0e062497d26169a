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
 * The commands of an entry, one after the other. The checksum of the record was checked, so a body that does
 * not parse was written by a broken program: that is a bug, not damage.
 */
export class EntryCommands {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  /** How many there are in all. */
  readonly count: number;
  #at = 0;
  #offset = COUNT_BYTES;

  constructor(body: Uint8Array) {
    // No Buffer: its views take three times as long to make, and there are three for each command.
    this.#bytes = new Uint8Array(body.buffer, body.byteOffset, body.length);
    this.#view = viewOf(this.#bytes);
    assert(body.length >= COUNT_BYTES, `an entry has at least ${COUNT_BYTES} bytes, got ${body.length}`);
    this.count = this.#view.getUint32(0, true);
    if (this.count === 0) this.#assertEnded();
  }

  /** How many `next` has given. */
  get taken(): number {
    return this.#at;
  }

  /** The next one, a view into the body; null behind the last. */
  next(): Uint8Array | null {
    const { count } = this;
    if (this.#at === count) return null;
    const { length } = this.#bytes;
    const start = this.#offset + LENGTH_BYTES;
    assert(start <= length, `command ${this.#at} of ${count} starts inside the entry`);
    this.#offset = start + this.#view.getUint32(start - LENGTH_BYTES, true);
    assert(this.#offset <= length, `command ${this.#at} of ${count} ends inside the entry`);
    this.#at++;
    if (this.#at === count) this.#assertEnded();
    return this.#bytes.subarray(start, this.#offset);
  }

  #assertEnded(): void {
    const rest = this.#bytes.length - this.#offset;
    assert(rest === 0, `an entry ends with its last command, not ${rest} bytes later`);
  }
}

/** Calls `visit` with each command of an entry, a view into `body`, in order; returns how many there are. */
export function forEachCommand(body: Uint8Array, visit: (command: Uint8Array, at: number) => void): number {
  const commands = new EntryCommands(body);
  for (let command = commands.next(); command !== null; command = commands.next()) {
    visit(command, commands.taken - 1);
  }
  return commands.count;
}
