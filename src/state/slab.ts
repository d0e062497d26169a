/**
 * One ArrayBuffer cut into slots of one size, with a list of the free ones threaded through them.
 *
 * The first 32-bit word of a slot tells a free one (negative: the complement of the next free slot's granule)
 * from one in use (not negative). Whoever takes a slot writes that word before anything else reads the slab.
 */

import { assert } from '../base/assert.ts';

/** Slots start at multiples of this, so that words are aligned and a record's place fits a few bits. */
export const GRANULE_BYTES = 16;

/** In place of the next free slot: there is none. Its complement is still negative. */
const END_OF_LIST = 0x7fff_ffff;

export interface SlabShape {
  readonly id: number;
  /** A multiple of GRANULE_BYTES. */
  readonly slotBytes: number;
  readonly slotCount: number;
}

export class Slab {
  readonly bytes: Uint8Array;
  /** The same memory as 32-bit words. */
  readonly words: Int32Array;
  readonly slotBytes: number;
  readonly slotCount: number;
  /** The number that references to its records carry. */
  readonly id: number;
  /** Its places in the lists of its SlotClass, which alone changes them. */
  classAt = 0;
  openAt = 0;
  #usedCount = 0;
  #firstFree = END_OF_LIST;
  /** From here on no slot was ever taken. */
  #freshOffset = 0;

  constructor({ id, slotBytes, slotCount }: SlabShape) {
    assert(
      slotBytes % GRANULE_BYTES === 0,
      `slots are multiples of ${GRANULE_BYTES} bytes, got ${slotBytes}`,
    );
    const buffer = new ArrayBuffer(slotBytes * slotCount);
    this.id = id;
    this.bytes = new Uint8Array(buffer);
    this.words = new Int32Array(buffer);
    this.slotBytes = slotBytes;
    this.slotCount = slotCount;
  }

  get usedCount(): number {
    return this.#usedCount;
  }

  get isFull(): boolean {
    return this.#usedCount === this.slotCount;
  }

  /** Takes a slot and returns its offset. The one given back last comes first: it is warm in the cache. */
  take(): number {
    assert(!this.isFull, 'a slot is taken from a slab with a free one');
    this.#usedCount++;
    if (this.#firstFree === END_OF_LIST) {
      const offset = this.#freshOffset;
      this.#freshOffset += this.slotBytes;
      return offset;
    }
    const offset = this.#firstFree * GRANULE_BYTES;
    this.#firstFree = ~this.words[offset >>> 2]!;
    return offset;
  }

  give(offset: number): void {
    assert(this.isUsed(offset), `the slot at ${offset} is given back once`);
    this.#usedCount--;
    this.words[offset >>> 2] = ~this.#firstFree;
    this.#firstFree = offset / GRANULE_BYTES;
  }

  isUsed(offset: number): boolean {
    return offset < this.#freshOffset && this.words[offset >>> 2]! >= 0;
  }
}
