/**
 * Slots for records (src/state/slab-store.ts, slot-class.ts). Goal: every size has the smallest class that
 * holds it, and the records of a slab that is emptied move along. Method: exhaustive over sizes, then cases.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { GRANULE_BYTES } from '../src/state/slab.ts';
import { SlabStore } from '../src/state/slab-store.ts';
import { classOf, SLOT_BYTES, SLOT_BYTES_MAX } from '../src/state/slot-class.ts';

function allocate(store: SlabStore, bytes: number, firstWord: number): number {
  const record = store.allocate(bytes);
  store.slabOf(record).words[store.offsetOf(record) / 4] = firstWord;
  return record;
}

function firstWordOf(store: SlabStore, record: number): number | undefined {
  return store.slabOf(record).words[store.offsetOf(record) / 4];
}

test('slot class: every size has the smallest class that holds it', () => {
  for (let bytes = 1; bytes <= SLOT_BYTES_MAX; bytes++) {
    const smallest = SLOT_BYTES.findIndex((slotBytes) => slotBytes >= bytes);
    if (classOf(bytes) !== smallest) strictEqual(classOf(bytes), smallest, `${bytes} bytes`);
  }
});

test('slot class: sizes are whole granules and lose at most an eighth above 256 bytes', () => {
  strictEqual(SLOT_BYTES.at(-1), SLOT_BYTES_MAX);
  for (const [at, slotBytes] of SLOT_BYTES.entries()) {
    strictEqual(slotBytes % GRANULE_BYTES, 0);
    const lost = slotBytes - (SLOT_BYTES[at - 1] ?? 0) - 1;
    ok(slotBytes <= 256 || lost < slotBytes / 8, `${slotBytes} loses up to ${lost}`);
  }
});

test('slab store: no reference is 0, none is given out twice', () => {
  const store = new SlabStore();
  const records = new Set<number>([0]);
  for (const bytes of [4, 16, 17, 288, SLOT_BYTES_MAX, SLOT_BYTES_MAX + 1, 1_000_000]) {
    for (let count = 0; count < 40; count++) records.add(allocate(store, bytes, count));
  }
  strictEqual(records.size, 7 * 40 + 1);
});

test('slab store: a record with a slab of its own gives all of it back', () => {
  const store = new SlabStore();
  const record = store.allocate(SLOT_BYTES_MAX + 1);
  ok(record < 0);
  strictEqual(store.allocatedBytes, SLOT_BYTES_MAX + GRANULE_BYTES);
  store.free(record);
  strictEqual(store.allocatedBytes, 0);
});

test('slab store: freeing twice is a bug', () => {
  const store = new SlabStore();
  const record = allocate(store, 100, 1);
  store.free(record);
  throws(() => store.free(record), InvariantViolation);
});

test('slab store: a sparse class is emptied into few slabs, a bounded number of slots at a time', () => {
  const store = new SlabStore();
  const byWord = new Map<number, number>();
  for (let word = 0; word < 20_000; word++) byWord.set(word, allocate(store, 200, word));
  for (const [word, record] of byWord) {
    if (word % 100 === 0) continue;
    store.free(record);
    byWord.delete(word);
  }

  const before = store.allocatedBytes;
  for (let round = 0; round < 10_000; round++) {
    const movedBefore = store.recordsMoved;
    store.compact(8, (source, target) => {
      const word = firstWordOf(store, target);
      ok(word !== undefined && byWord.get(word) === source, `record ${word} was not at ${source}`);
      byWord.set(word, target);
    });
    ok(store.recordsMoved - movedBefore <= 8);
  }

  for (const [word, record] of byWord) strictEqual(firstWordOf(store, record), word);
  ok(
    store.allocatedBytes < before / 50,
    `${before} bytes became ${store.allocatedBytes} for 1/100 of the records`,
  );
});

test('slab store: without free slots there is nothing to move', () => {
  const store = new SlabStore();
  for (let word = 0; word < 5_000; word++) allocate(store, 64, word);
  const moves: number[] = [];
  store.compact(1_000, (source) => moves.push(source));
  deepStrictEqual(moves, []);
});
