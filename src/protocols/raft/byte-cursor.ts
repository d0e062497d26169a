/**
 * Reading and writing fields one after the other, little-endian. A reader never fails: what is not there
 * reads as 0, and is remembered, so that a decoder looks once, at the end.
 */

import { readU64, viewOf, writeU64 } from '../../base/bytes.ts';

export class FieldWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;

  constructor(length: number) {
    this.bytes = new Uint8Array(length);
    this.#view = viewOf(this.bytes);
  }

  u8(value: number): void {
    this.#view.setUint8(this.#offset, value);
    this.#offset += 1;
  }

  u16(value: number): void {
    this.#view.setUint16(this.#offset, value, true);
    this.#offset += 2;
  }

  u32(value: number): void {
    this.#view.setUint32(this.#offset, value, true);
    this.#offset += 4;
  }

  u64(value: number): void {
    writeU64(this.#view, this.#offset, value);
    this.#offset += 8;
  }

  raw(bytes: Uint8Array): void {
    this.bytes.set(bytes, this.#offset);
    this.#offset += bytes.length;
  }
}

export class FieldReader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #offset = 0;
  /** What was wrong first; null while nothing was. */
  fault: 'short' | 'number' | null = null;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  get left(): number {
    return this.#bytes.length - this.#offset;
  }

  u8(): number {
    return this.#has(1) ? this.#view.getUint8(this.#offset++) : 0;
  }

  u16(): number {
    if (!this.#has(2)) return 0;
    this.#offset += 2;
    return this.#view.getUint16(this.#offset - 2, true);
  }

  u32(): number {
    if (!this.#has(4)) return 0;
    this.#offset += 4;
    return this.#view.getUint32(this.#offset - 4, true);
  }

  u64(): number {
    if (!this.#has(8)) return 0;
    this.#offset += 8;
    const value = readU64(this.#view, this.#offset - 8);
    if (value === null) this.fault ??= 'number';
    return value ?? 0;
  }

  /** A view, not a copy. */
  raw(length: number): Uint8Array {
    if (!this.#has(length)) return this.#bytes.subarray(0, 0);
    this.#offset += length;
    return this.#bytes.subarray(this.#offset - length, this.#offset);
  }

  #has(count: number): boolean {
    if (this.left >= count) return true;
    this.fault ??= 'short';
    return false;
  }
}
