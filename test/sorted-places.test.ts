/**
 * The order of a change set (src/state/sorted-places.ts). Goal: places in the order of their keys, those of
 * equal keys in that of time. Method: seeded keys that are hard to tell apart, against a plain sort.
 */
import { deepStrictEqual } from 'node:assert';
import { test } from 'node:test';
import { NO_BYTES } from '../src/base/bytes.ts';
import { ChangeSet } from '../src/state/change-set.ts';
import { LiveIndex } from '../src/state/live-index.ts';
import { NO_RECORD } from '../src/state/record-table.ts';
import { SortedPlaces } from '../src/state/sorted-places.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

function orderOf(keys: readonly Buffer[], from: number): number[] {
  const index = new LiveIndex({ seed: new Uint8Array(8) });
  const set = new ChangeSet(index);
  for (const key of keys) set.note(index.store(key, NO_BYTES), NO_RECORD, true);
  const places = new SortedPlaces(set, from, keys.length);
  for (const _ of places.sort()) continue;
  return [...places.order];
}

test('sorted places: keys that end within a word, zeros where others end, the same key many times', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 300; run++) {
    const bytesMax = random.pick([1, 3, 4, 5, 9, 20]);
    const prefix = Buffer.alloc(random.below(10), random.pick(['', 'table', '\0']) || '\0');
    const drawKey = (): Buffer => {
      const rest = Array.from({ length: random.below(bytesMax + 1) }, () => (random.happens(0.7) ? 0 : 1));
      return Buffer.concat([prefix, Buffer.from(rest)]);
    };
    const keys = Array.from({ length: random.below(random.pick([20, 1000])) }, drawKey);
    const from = random.below(Math.min(keys.length, 3) + 1);
    const want = keys.map((_, place) => place).slice(from);
    want.sort((one, other) => keys[one]!.compare(keys[other]!) || one - other);
    deepStrictEqual(orderOf(keys, from), want);
  }
});
