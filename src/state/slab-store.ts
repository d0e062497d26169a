/**
 * Places for records outside the JavaScript heap, and what keeps them from fragmenting.
 *
 * A record up to SLOT_BYTES_MAX lives in a slot of a shared slab, a larger one in a slab of its own. Its
 * place is a signed 32-bit reference:
 *
 *     positive     17 bits slab, 14 bits granule in the slab
 *     negative     complement of the number of a slab of its own
 *
 * Slots alone would calcify: when sizes shift, slabs of the old class keep a few records each and no other
 * class can use them. So a class with too many free slots is compacted: its sparsest slab is emptied into the
 * others, a few slots a write, and dropped. Only `compact` ever moves a record.
 *
 * Bounds, once compaction has caught up: a class has at most 4/3 of the slots that it uses and of one slab of
 * the size that it would make next. Were every class used once and emptied, that would be 0.6 MiB in all. It
 * does catch up: a write frees one slot and visits RECLAIM_SLOTS slots, of which at least a quarter is free.
 */

import { assert } from '../base/assert.ts';
import { alignUp } from '../base/bytes.ts';
import { GRANULE_BYTES, Slab } from './slab.ts';
import { classOf, SLAB_BYTES_MAX, SLOT_BYTES, SLOT_BYTES_MAX, SlotClass } from './slot-class.ts';

/** Told that the record at `source` is now at `target`; its bytes are in both places. */
export type Relocate = (source: number, target: number) => void;

/** Slots to visit in `compact` for each write: enough to keep up with a run of deletes. */
export const RECLAIM_SLOTS = 8;

const GRANULE_BITS = Math.log2(SLAB_BYTES_MAX / GRANULE_BYTES);
const GRANULE_MASK = (1 << GRANULE_BITS) - 1;

/** 32 GiB of records in shared slabs. Number 0 is not used, so that no reference is 0. */
const SLABS_MAX = 2 ** (31 - GRANULE_BITS);

/** Stands where a number has no slab, so that the arrays stay dense. */
const NO_SLAB = new Slab({ id: 0, slotBytes: GRANULE_BYTES, slotCount: 0 });

export class SlabStore {
  readonly #classes = SLOT_BYTES.map((slotBytes) => new SlotClass(slotBytes));
  readonly #shared = new SlabList(SLABS_MAX);
  readonly #own = new SlabList(2 ** 31);
  #allocatedBytes = 0;

  /** Classes that were sparse when a slot of theirs became free. */
  readonly #sparseClasses: SlotClass[] = [];
  /** The slab being emptied: closed, so that nothing new goes there, and never full. */
  #emptying: Slab | null = null;
  /** Slots before this offset of `#emptying` are done. */
  #emptyingOffset = 0;
  #recordsMoved = 0;

  get allocatedBytes(): number {
    return this.#allocatedBytes;
  }

  /** Records moved by compaction, ever: what bounds a stall, counted instead of timed. */
  get recordsMoved(): number {
    return this.#recordsMoved;
  }

  /** Finds a place for `bytes` bytes, at least 4. The caller writes its first word first, not negative. */
  allocate(bytes: number): number {
    return bytes <= SLOT_BYTES_MAX ? this.#takeSlot(this.#classes[classOf(bytes)]!) : this.#addOwnSlab(bytes);
  }

  free(record: number): void {
    if (record < 0) {
      this.#drop(this.#own, this.slabOf(record));
      return;
    }
    const slab = this.slabOf(record);
    const slotClass = this.#classes[classOf(slab.slotBytes)]!;
    if (slab.isFull) slotClass.open(slab);
    slab.give(this.offsetOf(record));
    slotClass.usedCount--;
    if (!slotClass.isQueued && slotClass.isSparse) {
      slotClass.isQueued = true;
      this.#sparseClasses.push(slotClass);
    }
  }

  slabOf(record: number): Slab {
    return record < 0 ? this.#own.at(~record) : this.#shared.at(record >>> GRANULE_BITS);
  }

  offsetOf(record: number): number {
    return record < 0 ? 0 : (record & GRANULE_MASK) * GRANULE_BYTES;
  }

  /** Visits at most `slots` slots of sparse slabs and moves the records there to other slabs. */
  compact(slots: number, relocate: Relocate): void {
    for (let visited = 0; visited < slots; visited++) {
      const slab = this.#emptying ?? this.#startEmptying();
      if (slab === null) return;
      if (slab.usedCount === 0) {
        this.#finishEmptying(slab);
      } else {
        this.#emptySlot(slab, relocate);
      }
    }
  }

  #startEmptying(): Slab | null {
    const slotClass = this.#nextSparseClass();
    if (slotClass === null) return null;
    const slab = slotClass.findSparsest();
    assert(!slab.isFull, 'a sparse class has a slab with free slots');
    slotClass.close(slab);
    this.#emptying = slab;
    this.#emptyingOffset = 0;
    return slab;
  }

  #nextSparseClass(): SlotClass | null {
    for (;;) {
      const slotClass = this.#sparseClasses.at(-1);
      if (slotClass === undefined) return null;
      if (slotClass.isSparse) return slotClass;
      slotClass.isQueued = false;
      this.#sparseClasses.pop();
    }
  }

  #emptySlot(slab: Slab, relocate: Relocate): void {
    const { slotBytes } = slab;
    const offset = this.#emptyingOffset;
    assert(offset < slotBytes * slab.slotCount, `slab ${slab.id} is empty after its last slot`);
    this.#emptyingOffset += slotBytes;
    if (!slab.isUsed(offset)) return;
    const slotClass = this.#classes[classOf(slotBytes)]!;
    const target = this.#takeSlot(slotClass);
    this.slabOf(target).bytes.set(slab.bytes.subarray(offset, offset + slotBytes), this.offsetOf(target));
    relocate(referenceTo(slab, offset), target);
    slab.give(offset);
    slotClass.usedCount--;
    this.#recordsMoved++;
  }

  #finishEmptying(slab: Slab): void {
    this.#classes[classOf(slab.slotBytes)]!.remove(slab);
    this.#drop(this.#shared, slab);
    this.#emptying = null;
  }

  #takeSlot(slotClass: SlotClass): number {
    const slab = slotClass.openSlab ?? this.#addSharedSlab(slotClass);
    const offset = slab.take();
    slotClass.usedCount++;
    if (slab.isFull) slotClass.close(slab);
    return referenceTo(slab, offset);
  }

  #addSharedSlab(slotClass: SlotClass): Slab {
    const { slotBytes, nextSlabSlots: slotCount } = slotClass;
    const slab = this.#shared.add(slotBytes, slotCount);
    this.#allocatedBytes += slab.bytes.length;
    slotClass.add(slab);
    return slab;
  }

  #addOwnSlab(bytes: number): number {
    const slab = this.#own.add(alignUp(bytes, GRANULE_BYTES), 1);
    slab.take();
    this.#allocatedBytes += slab.bytes.length;
    return ~slab.id;
  }

  #drop(list: SlabList, slab: Slab): void {
    this.#allocatedBytes -= slab.bytes.length;
    list.remove(slab);
  }
}

function referenceTo(slab: Slab, offset: number): number {
  return (slab.id << GRANULE_BITS) | (offset / GRANULE_BYTES);
}

/** Slabs by number, from 1. A number that becomes free is used again. */
class SlabList {
  readonly #slabs: Slab[] = [NO_SLAB];
  readonly #freeIds: number[] = [];
  readonly #slabsMax: number;

  constructor(slabsMax: number) {
    this.#slabsMax = slabsMax;
  }

  at(id: number): Slab {
    return this.#slabs[id]!;
  }

  add(slotBytes: number, slotCount: number): Slab {
    const id = this.#freeIds.at(-1) ?? this.#slabs.length;
    assert(id < this.#slabsMax, `the live index has room for ${this.#slabsMax} slabs`);
    const slab = new Slab({ id, slotBytes, slotCount }); // Throws when memory runs out: nothing changed yet.
    if (id === this.#slabs.length) this.#slabs.push(slab);
    else this.#slabs[this.#freeIds.pop()!] = slab;
    return slab;
  }

  remove(slab: Slab): void {
    this.#slabs[slab.id] = NO_SLAB;
    this.#freeIds.push(slab.id);
  }
}
