/**
 * Goes through the entries of an encoded node without making an object for any: for whoever reads a million
 * of them at a start. It accepts exactly what `decodeNode` accepts; a test holds the two against each other.
 */

import { NO_BYTES } from '../bytes.ts';
import { DIGEST_BYTES } from '../digest.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../limits.ts';
import { INLINE_VALUE_BYTES_MAX, LEVEL_MAX } from './node.ts';
import { NODE_BYTES_MAX, NODE_HEADER_BYTES } from './shape.ts';

export class NodeCursor {
  bytes: Uint8Array = NO_BYTES;
  level = 0;
  /** The key of the entry, in `bytes`. */
  keyOffset = 0;
  keyBytes = 0;
  /** In a leaf the length of the value; above, the number of keys below the child. */
  number = 0;
  /** Where the value stands, or its hash when it is large, or the hash of the child. */
  dataOffset = 0;
  /** Why there is no further entry; null at a proper end. */
  failure: string | null = null;
  #offset = 0;
  #isFirst = true;

  /** Starts before the first entry. */
  open(bytes: Uint8Array): void {
    this.bytes = bytes;
    this.failure = null;
    this.#offset = NODE_HEADER_BYTES;
    this.#isFirst = true;
    this.level = bytes[0] ?? 0;
    if (bytes.length < NODE_HEADER_BYTES) this.failure = 'short';
    else if (bytes.length > NODE_BYTES_MAX) this.failure = 'size';
    else if (this.level > LEVEL_MAX) this.failure = 'level';
  }

  /** Moves to the next entry. @returns Whether there is one. */
  next(): boolean {
    const { bytes } = this;
    if (this.failure !== null) return false;
    if (this.#offset >= bytes.length) return this.#isFirst && this.level > 0 ? this.#fail('empty') : false;
    const previousOffset = this.keyOffset;
    const previousBytes = this.keyBytes;
    this.keyBytes = this.#takeNumber(KEY_BYTES_MAX);
    this.keyOffset = this.#offset;
    this.#offset += this.keyBytes;
    if (this.failure !== null) return false;
    if (this.#offset > bytes.length) return this.#fail('short');
    if (!this.#isFirst && !this.#isAfter(previousOffset, previousBytes)) return this.#fail('order');
    this.#isFirst = false;
    this.number = this.#takeNumber(this.level === 0 ? VALUE_BYTES_MAX : Number.MAX_SAFE_INTEGER);
    this.dataOffset = this.#offset;
    const isInline = this.level === 0 && this.number <= INLINE_VALUE_BYTES_MAX;
    this.#offset += isInline ? this.number : DIGEST_BYTES;
    if (this.failure !== null) return false;
    if (this.#offset > bytes.length) return this.#fail('short');
    return this.level > 0 && this.number === 0 ? this.#fail('count') : true;
  }

  /** Whether the key is above the one that stands at `offset`. */
  #isAfter(offset: number, length: number): boolean {
    const { bytes, keyOffset, keyBytes } = this;
    const shared = length < keyBytes ? length : keyBytes;
    for (let at = 0; at < shared; at++) {
      const order = bytes[keyOffset + at]! - bytes[offset + at]!;
      if (order !== 0) return order > 0;
    }
    return keyBytes > length;
  }

  #takeNumber(max: number): number {
    const { bytes } = this;
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
      if (this.#offset >= bytes.length) this.#fail('short');
      if (this.failure !== null) return 0;
      const byte = bytes[this.#offset++]!;
      value += (byte & 0x7f) * scale;
      if (byte >= 0x80) continue;
      // Zero in the highest place: not in the fewest bytes.
      if ((byte !== 0 || scale === 1) && value <= max) return value;
      break;
    }
    this.#fail('number');
    return 0;
  }

  #fail(reason: string): false {
    this.failure ??= reason;
    return false;
  }
}
