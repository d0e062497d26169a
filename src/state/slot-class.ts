/**
 * Size classes: a record lives in the smallest slot that holds it; slabs of a class have slots of one size.
 *
 * Slots are multiples of 16 bytes up to 256, then eight sizes to each doubling up to SLOT_BYTES_MAX: there at
 * most an eighth of a slot is lost. The size of new slabs follows the number of records in the class, so that
 * a small state stays small.
 */

import { assert } from '../base/assert.ts';
import type { Slab } from './slab.ts';

export const SLAB_BYTES_MAX = 256 * 1024;

/** Records above this have a slab of their own. Eight slots fill a slab of full size. */
export const SLOT_BYTES_MAX = 32 * 1024;

const FINE_STEP_BYTES = 16;
const FINE_BYTES_MAX = 256;
const FINE_CLASSES = FINE_BYTES_MAX / FINE_STEP_BYTES;
const CLASSES_PER_DOUBLING = 8;

/** Smallest slab, unless one slot is larger. */
const SLAB_BYTES_MIN = 4 * 1024;

/** A new slab has this share of the slots that the class uses. */
const SLAB_SHARE = 1 / 8;

/** A class is sparse when, beyond one new slab, more than this share of its slots is free. */
const FREE_SHARE_MAX = 1 / 4;

/** The size of the slots of each class, by its number. */
export const SLOT_BYTES: readonly number[] = makeSlotBytes();

/** The number of the class for records of `bytes`, from 1 to SLOT_BYTES_MAX. */
export function classOf(bytes: number): number {
  if (bytes <= FINE_BYTES_MAX) return (bytes - 1) >>> 4;
  const doubling = 31 - Math.clz32(bytes - 1); // 2^doubling < bytes <= 2^(doubling + 1), and at least 8.
  const step = (bytes - 1) >>> (doubling - 3); // 8 to 15: which eighth above 2^doubling.
  return FINE_CLASSES + (doubling - 8) * CLASSES_PER_DOUBLING + step - CLASSES_PER_DOUBLING;
}

/** The slabs of one class. */
export class SlotClass {
  readonly slotBytes: number;
  /** All slabs of the class, in no order. */
  readonly #slabs: Slab[] = [];
  /** Those to take slots from, the next one last: neither full nor being emptied. */
  readonly #openSlabs: Slab[] = [];
  usedCount = 0;
  slotCount = 0;
  /** Whether it waits in the queue of classes to compact; kept by slab-store.ts. */
  isQueued = false;

  constructor(slotBytes: number) {
    this.slotBytes = slotBytes;
  }

  /** The slab to take the next slot from, or undefined when all are full. */
  get openSlab(): Slab | undefined {
    return this.#openSlabs[this.#openSlabs.length - 1];
  }

  /** How many slots the next slab gets. */
  get nextSlabSlots(): number {
    const bytes = this.usedCount * SLAB_SHARE * this.slotBytes;
    const bounded = Math.min(Math.max(bytes, SLAB_BYTES_MIN, this.slotBytes), SLAB_BYTES_MAX);
    return Math.floor(bounded / this.slotBytes);
  }

  /** Whether emptying a slab pays. It frees more slots than the records that move can cost in new slabs. */
  get isSparse(): boolean {
    const freeCount = this.slotCount - this.usedCount;
    return freeCount > this.slotCount * FREE_SHARE_MAX + this.nextSlabSlots;
  }

  /** The slab with the smallest share of its slots in use. Looks at every slab: once for each one emptied. */
  findSparsest(): Slab {
    let sparsest = this.#slabs[0];
    assert(sparsest !== undefined, 'a sparse class has a slab');
    for (const slab of this.#slabs) {
      if (slab.usedCount * sparsest.slotCount < sparsest.usedCount * slab.slotCount) sparsest = slab;
    }
    return sparsest;
  }

  add(slab: Slab): void {
    slab.classAt = this.#slabs.push(slab) - 1;
    this.slotCount += slab.slotCount;
    this.open(slab);
  }

  remove(slab: Slab): void {
    const last = this.#slabs.pop();
    assert(last !== undefined, 'a class holds the slab it gives up');
    if (last !== slab) {
      this.#slabs[slab.classAt] = last;
      last.classAt = slab.classAt;
    }
    this.slotCount -= slab.slotCount;
  }

  open(slab: Slab): void {
    slab.openAt = this.#openSlabs.push(slab) - 1;
  }

  close(slab: Slab): void {
    const last = this.#openSlabs.pop();
    assert(last !== undefined, 'a slab is open when it is closed');
    if (last === slab) return;
    this.#openSlabs[slab.openAt] = last;
    last.openAt = slab.openAt;
  }
}

function makeSlotBytes(): number[] {
  const sizes: number[] = [];
  for (let bytes = FINE_STEP_BYTES; bytes <= FINE_BYTES_MAX; bytes += FINE_STEP_BYTES) sizes.push(bytes);
  for (let base = FINE_BYTES_MAX; base < SLOT_BYTES_MAX; base *= 2) {
    for (let step = 1; step <= CLASSES_PER_DOUBLING; step++) {
      sizes.push(base + (base / CLASSES_PER_DOUBLING) * step);
    }
  }
  return sizes;
}
