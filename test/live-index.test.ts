/**
 * The live index (src/state/live-index.ts). Goal: it holds what a plain `Map` would, whatever the sizes and
 * however keys collide; memory follows content; no single write does unbounded work. Method: seeded
 * operations against a `Map`, and counts of moved slots and records instead of times.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { NO_BYTES } from '../src/base/bytes.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../src/base/limits.ts';
import { SHARD_SLOTS_MAX } from '../src/state/hash-table.ts';
import { type KeyHash, seededKeyHash } from '../src/state/key-hash.ts';
import { LiveIndex } from '../src/state/live-index.ts';
import { RECORD_BYTES } from '../src/state/record-table.ts';
import { RECLAIM_SLOTS } from '../src/state/slab-store.ts';
import { SLAB_BYTES_MAX, SLOT_BYTES, SLOT_BYTES_MAX } from '../src/state/slot-class.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const HASH_SEED = Uint8Array.from({ length: 8 }, (_, at) => 3 * at);
const strongHash = seededKeyHash(HASH_SEED);

/** Memory that a small index may take beyond twice its content. */
const SMALL_BYTES = 128 * 1024;

const randomBytes = new SeededRandom(11).fill(new Uint8Array(VALUE_BYTES_MAX / 16));

function seededRandom(t: TestContext): SeededRandom {
  const seed = seedOf(t);
  return new SeededRandom(seed);
}

function newIndex(hash: KeyHash = strongHash): LiveIndex {
  return new LiveIndex({ seed: HASH_SEED, hash });
}

function keyOf(number: number): Uint8Array {
  return Buffer.from(`key:${number}`);
}

/** Sizes that users have, those around the classes of slots, and now and then a large one. */
function randomSize(random: SeededRandom): number {
  const chance = random.below(1000);
  if (chance < 2) return random.between(SLOT_BYTES_MAX - 100, 4 * SLOT_BYTES_MAX);
  if (chance < 300) return Math.max(0, random.pick(SLOT_BYTES.slice(0, 48)) - random.below(24));
  if (chance < 400) return 0;
  return random.below(400);
}

function randomValue(random: SeededRandom): Uint8Array {
  const bytes = randomSize(random);
  const offset = random.below(randomBytes.length - bytes);
  return randomBytes.subarray(offset, offset + bytes);
}

function assertSameContent(index: LiveIndex, model: ReadonlyMap<string, Uint8Array>): void {
  let liveBytes = 0;
  const seen = new Set<string>();
  for (const { key, value } of index.entries()) {
    const name = Buffer.from(key).toString('latin1');
    const want = model.get(name);
    ok(want !== undefined, `${name} is not in the model`);
    strictEqual(Buffer.compare(value, want), 0, `value of ${name}`);
    seen.add(name);
    liveBytes += key.length + value.length;
  }
  strictEqual(seen.size, model.size);
  strictEqual(index.size, model.size);
  strictEqual(index.liveBytes, liveBytes);
}

interface Churn {
  readonly random: SeededRandom;
  readonly keys: number;
  readonly operations: number;
}

function churnAgainstMap(index: LiveIndex, { random, keys, operations }: Churn): void {
  const model = new Map<string, Uint8Array>();
  // Deletes win and sets win in turn, so that the index grows, shrinks and grows again.
  for (let operation = 0; operation < operations; operation++) {
    const name = `${random.below(keys)}${'k'.repeat(random.below(3))}`.slice(random.happens(0.001) ? 99 : 0);
    const key = Buffer.from(name, 'latin1');
    const deleting = (operation / (operations / 6)) & 1 ? 0.7 : 0.2;
    if (random.happens(deleting)) {
      strictEqual(index.delete(key), model.delete(name));
    } else {
      const value = randomValue(random);
      index.set(key, value);
      model.set(name, value);
    }
    const probe = String(random.below(keys));
    const got = index.get(Buffer.from(probe, 'latin1'));
    const want = model.get(probe);
    strictEqual(got === null, want === undefined, `presence of ${probe}`);
    if (got !== null && want !== undefined) strictEqual(Buffer.compare(got, want), 0, `value of ${probe}`);
    if (operation % 20_000 === 0) assertSameContent(index, model);
  }
  assertSameContent(index, model);
}

test('live index: 150,000 random operations leave what a Map holds', (t) => {
  churnAgainstMap(newIndex(), { random: seededRandom(t), keys: 4_000, operations: 150_000 });
});

for (const { name, hash, keys } of [
  { name: 'every hash is 0', hash: () => 0, keys: 100 },
  { name: 'only the lowest bits differ', hash: weakened(0x1f), keys: 800 },
  { name: 'only the highest bits differ', hash: weakened(0xf800_0000), keys: 800 },
  { name: 'hashes wrap around the end of a shard', hash: weakened(0x7, 0x7fff_fff8), keys: 200 },
]) {
  test(`live index: 30,000 random operations when ${name}`, (t) => {
    churnAgainstMap(newIndex(hash), { random: seededRandom(t), keys, operations: 30_000 });
  });
}

function weakened(kept: number, set = 0): KeyHash {
  return (bytes, offset, length) => (strongHash(bytes, offset, length) & kept) | set;
}

test('live index: shards that splitting does not help grow in place', () => {
  const index = newIndex(weakened(0xffff));
  for (let number = 0; number < 30_000; number++) index.set(keyOf(number), keyOf(-number));
  for (let number = 0; number < 30_000; number++)
    deepStrictEqual(index.get(keyOf(number)), Uint8Array.from(keyOf(-number)));
  strictEqual(index.size, 30_000);
});

test('live index: with room made ahead nothing moves, and records are linked together', () => {
  const index = newIndex();
  for (const _ of index.reserve(100_000)) continue;
  for (let number = 0; number < 100_000; number += 8) {
    if (number % 3 === 0) index.set(keyOf(number), keyOf(-number));
    const records = Array.from({ length: 8 }, (_, at) => index.store(keyOf(number + at), keyOf(at)));
    const known: number[] = [];
    index.linkNew(records, known);
    deepStrictEqual(known, number % 3 === 0 ? [records[0]] : []);
    for (const record of known) index.free(record);
  }
  strictEqual(index.maintenance.slotsMoved, 0);
  strictEqual(index.size, 100_000);
  strictEqual(index.recordCount, 100_000);
  for (let number = 0; number < 100_000; number++) {
    const value = number % 24 === 0 ? keyOf(-number) : keyOf(number % 8);
    deepStrictEqual(index.get(keyOf(number)), Uint8Array.from(value));
  }
});

test('live index: empty and largest keys and values', () => {
  const index = newIndex();
  const largestKey = randomBytes.subarray(0, KEY_BYTES_MAX);
  const largestValue = new Uint8Array(VALUE_BYTES_MAX).fill(5);
  index.set(NO_BYTES, largestValue);
  index.set(largestKey, NO_BYTES);
  strictEqual(index.get(NO_BYTES)?.length, VALUE_BYTES_MAX);
  strictEqual(index.get(NO_BYTES)?.at(-1), 5);
  strictEqual(index.get(largestKey)?.length, 0);
  strictEqual(index.has(largestKey.subarray(1)), false);
  strictEqual(index.liveBytes, KEY_BYTES_MAX + VALUE_BYTES_MAX);
  strictEqual(index.delete(NO_BYTES), true);
  strictEqual(index.get(NO_BYTES), null);
  throws(() => index.set(randomBytes.subarray(0, KEY_BYTES_MAX + 1), NO_BYTES), InvariantViolation);
});

test('live index: key and value may be views into the index', () => {
  const index = newIndex();
  for (let number = 0; number < 3_000; number++)
    index.set(keyOf(number), randomBytes.subarray(number, number + 200));
  for (let number = 1; number < 3_000; number++) {
    index.set(keyOf(number), index.get(keyOf(number - 1)) ?? NO_BYTES);
    index.delete(keyOf(number - 1));
  }
  strictEqual(index.size, 1);
  const [entry] = [...index.entries()];
  ok(entry !== undefined);
  index.set(entry.key, entry.value);
  deepStrictEqual(index.get(keyOf(2_999)), randomBytes.slice(0, 200));
});

test('live index: a view holds until the next write', () => {
  const index = newIndex();
  index.set(keyOf(1), Buffer.from('one'));
  const view = index.get(keyOf(1));
  index.get(keyOf(2));
  strictEqual(Buffer.from(view ?? NO_BYTES).toString(), 'one');
});

test('live index: a change during an iteration is a bug', () => {
  const index = newIndex();
  for (let number = 0; number < 10; number++) index.set(keyOf(number), NO_BYTES);
  throws(() => {
    for (const _ of index.entries()) index.set(keyOf(3), NO_BYTES);
  }, InvariantViolation);
});

test('live index: clear leaves nothing and takes new content', () => {
  const index = newIndex();
  for (let number = 0; number < 5_000; number++) index.set(keyOf(number), randomBytes.subarray(0, 300));
  index.clear();
  strictEqual(index.size, 0);
  strictEqual(index.liveBytes, 0);
  ok(index.allocatedBytes < 10_000);
  strictEqual(index.get(keyOf(1)), null);
  index.set(keyOf(1), keyOf(2));
  deepStrictEqual(index.get(keyOf(1)), Uint8Array.from(keyOf(2)));
});

test('live index: no write moves more slots than a shard has, nor more records than the budget', () => {
  const index = newIndex();
  let before = index.maintenance;
  const step = (write: () => unknown): void => {
    write();
    const after = index.maintenance;
    if (after.slotsMoved - before.slotsMoved > SHARD_SLOTS_MAX) throw new Error('moved too many slots');
    if (after.recordsMoved - before.recordsMoved > RECLAIM_SLOTS) throw new Error('moved too many records');
    before = after;
  };
  for (let number = 0; number < 200_000; number++) step(() => index.set(keyOf(number), NO_BYTES));
  ok(before.slotsMoved < 4 * 200_000, `${before.slotsMoved} slots moved for 200,000 inserts`);
  for (let number = 0; number < 200_000; number++) step(() => index.delete(keyOf(number)));
  ok(index.allocatedBytes < SMALL_BYTES, `${index.allocatedBytes} bytes are left for nothing`);
});

test('live index: overwrites of the same sizes take no more memory', (t) => {
  const random = seededRandom(t);
  const index = newIndex();
  const overwrite = (): void =>
    index.set(keyOf(random.below(10_000)), randomBytes.subarray(0, random.below(500)));
  for (let write = 0; write < 100_000; write++) overwrite();
  const before = index.allocatedBytes;
  for (let write = 0; write < 200_000; write++) overwrite();
  ok(index.allocatedBytes < 1.1 * before, `${before} bytes grew to ${index.allocatedBytes}`);
  ok(index.allocatedBytes < 2 * index.liveBytes, `${index.allocatedBytes} bytes for ${index.liveBytes}`);
});

test('live index: memory follows when sizes shift', () => {
  const index = newIndex();
  for (const bytes of [300, 100, 1_000, 256, 5_000, 200, 20_000, 64, 700]) {
    for (let number = 0; number < 6_000; number++) index.set(keyOf(number), randomBytes.subarray(0, bytes));
    const ratio = index.allocatedBytes / index.liveBytes;
    ok(index.allocatedBytes < 2 * index.liveBytes + SMALL_BYTES, `values of ${bytes} bytes take ${ratio} x`);
  }
});

test('live index: a few records left in every slab do not keep the slabs', (t) => {
  const random = seededRandom(t);
  const index = newIndex();
  // The numbers of records are never given up (record-table.ts).
  const limit = (): number => 2 * index.liveBytes + SMALL_BYTES + 50_000 * RECORD_BYTES;
  for (let number = 0; number < 50_000; number++) index.set(keyOf(number), randomBytes.subarray(0, 200));
  for (const number of random.shuffle([...Array(50_000).keys()])) {
    if (number % 50 !== 0) index.delete(keyOf(number));
    // One slab is being emptied, with as many slots still to visit as it has.
    const bytes = index.allocatedBytes - 2 * SLAB_BYTES_MAX;
    ok(bytes < limit(), `${index.allocatedBytes} bytes for ${index.liveBytes}`);
  }
  index.compact(2 * (SLAB_BYTES_MAX / 200));
  ok(index.allocatedBytes < limit(), `${index.allocatedBytes} bytes for ${index.liveBytes}`);
  for (let number = 0; number < 50_000; number++) index.set(keyOf(number), randomBytes.subarray(0, 330));
  ok(index.allocatedBytes < limit(), `${index.allocatedBytes} bytes for ${index.liveBytes}`);
});
