/**
 * The order of a change set (src/state/sorted-places.ts). Goal: places in the order of their keys, those of
 * equal keys in that of time. Method: seeded keys that are hard to tell apart, against a plain sort.
 */
import { deepStrictEqual, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { NO_BYTES } from '../src/base/bytes.ts';
import { ChangeSet } from '../src/state/change-set.ts';
import { LiveIndex } from '../src/state/live-index.ts';
import { NO_RECORD } from '../src/state/record-table.ts';
import { SortedPlaces } from '../src/state/sorted-places.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

function placesOf(keys: readonly Buffer[], from: number): SortedPlaces {
  const index = new LiveIndex({ seed: new Uint8Array(8) });
  const set = new ChangeSet(index);
  for (const key of keys) set.note(index.store(key, NO_BYTES), NO_RECORD, true);
  return new SortedPlaces(set, from, keys.length);
}

function finish(places: SortedPlaces): number {
  return [...places.sort()].length;
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
    const places = placesOf(keys, from);
    finish(places);
    deepStrictEqual([...places.order], want);
    const key = drawKey();
    strictEqual(places.firstFrom(key), want.filter((place) => keys[place]!.compare(key) < 0).length);
  }
});

test('sorted places: two may sort them in turn, and nobody does it again', () => {
  const keys = Array.from({ length: 20_000 }, (_, at) => Buffer.from(`key ${(at * 7919) % 20_011}`));
  const alone = placesOf(keys, 0);
  const steps = finish(alone);
  const shared = placesOf(keys, 0);
  const first = shared.sort();
  first.next();
  strictEqual(finish(shared), steps - 1);
  strictEqual(first.next().done, true);
  strictEqual(finish(shared), 0);
  deepStrictEqual(shared.order, alone.order);
});
