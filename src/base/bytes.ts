/** Integers in byte buffers, little-endian, without BigInt: every u64 of ours fits 53 bits. */

import { assert } from './assert.ts';

const TWO_32 = 2 ** 32;

export const NO_BYTES: Uint8Array = new Uint8Array(0);

export function writeU64(view: DataView, offset: number, value: number): void {
  assert(Number.isSafeInteger(value) && value >= 0, `a u64 field holds 0 to 2^53-1, got ${value}`);
  view.setUint32(offset, value % TWO_32, true);
  view.setUint32(offset + 4, Math.floor(value / TWO_32), true);
}

/** Reads a u64, or returns null above 2^53-1: bytes from outside may claim anything. */
export function readU64(view: DataView, offset: number): number | null {
  const value = view.getUint32(offset + 4, true) * TWO_32 + view.getUint32(offset, true);
  return value <= Number.MAX_SAFE_INTEGER ? value : null;
}

/** A DataView over exactly the bytes of `bytes`. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A Buffer over the same memory: its fill, copy and indexOf are native. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A copy in memory of its own. Not `slice`, which on a Buffer is a view. */
export function copyOf(bytes: Uint8Array): Uint8Array {
  return Uint8Array.prototype.slice.call(bytes);
}

export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

const ZEROS = Buffer.alloc(64 * 1024);

export function isZero(bytes: Uint8Array): boolean {
  const buffer = bufferOf(bytes);
  for (let at = 0; at < buffer.length; at += ZEROS.length) {
    const end = Math.min(at + ZEROS.length, buffer.length);
    if (buffer.compare(ZEROS, 0, end - at, at, end) !== 0) return false;
  }
  return true;
}
