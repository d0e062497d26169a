/**
 * What a client sent and the server has not taken yet: the beginning of a request, or requests that must
 * wait.
 *
 * Grows with the bytes that arrived and never ahead of them; holds no memory while it is empty.
 */

import { assert } from '../base/assert.ts';
import { NO_BYTES } from '../base/bytes.ts';

/** A larger memory that is mostly empty is given back. */
const KEPT_BYTES_MAX = 64 * 1024;

export class InputBuffer {
  /** Valid from `start` to `end`, until the next `append`. */
  bytes: Uint8Array = NO_BYTES;
  start = 0;
  end = 0;

  get length(): number {
    return this.end - this.start;
  }

  /** Memory held. */
  get allocatedBytes(): number {
    return this.bytes.length;
  }

  append(chunk: Uint8Array): void {
    if (this.end + chunk.length > this.bytes.length) this.#makeRoom(chunk.length);
    this.bytes.set(chunk, this.end);
    this.end += chunk.length;
  }

  /** Drops the first `count` bytes. */
  consume(count: number): void {
    assert(count <= this.length, 'no more is consumed than there is');
    this.start += count;
    if (this.length === 0) this.clear();
    else if (this.bytes.length > KEPT_BYTES_MAX && this.length < this.bytes.length / 4)
      this.#move(this.length);
  }

  clear(): void {
    this.bytes = NO_BYTES;
    this.start = 0;
    this.end = 0;
  }

  #makeRoom(bytes: number): void {
    const needed = this.length + bytes;
    // Moving down pays only when it frees half: otherwise small chunks would move everything each time.
    if (needed <= this.bytes.length / 2) this.#moveDown();
    else this.#move(this.length === 0 ? needed : Math.max(needed, this.length * 2));
  }

  #moveDown(): void {
    this.bytes.copyWithin(0, this.start, this.end);
    this.end -= this.start;
    this.start = 0;
  }

  #move(capacity: number): void {
    const moved = Buffer.allocUnsafeSlow(capacity);
    moved.set(this.bytes.subarray(this.start, this.end));
    this.end -= this.start;
    this.start = 0;
    this.bytes = moved;
  }
}
