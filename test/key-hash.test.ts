/**
 * The seeded hash of keys (src/state/key-hash.ts). Goal: it is HalfSipHash-1-3 and nothing home-made.
 * Method: known answers for the bytes 0, 1, 2, ... under the seed 00 01 ... 07, as the Linux kernel tests its
 * 32-bit hsiphash.
 */
import { deepStrictEqual, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { seededKeyHash } from '../src/state/key-hash.ts';

const seed = Uint8Array.from({ length: 8 }, (_, at) => at);
const message = Uint8Array.from({ length: 64 }, (_, at) => at);

for (const { length, want } of [
  { length: 0, want: 0x5814c896 },
  { length: 1, want: 0xe7e864ca },
  { length: 2, want: 0xbc4b0e30 },
  { length: 3, want: 0x01539939 },
  { length: 4, want: 0x7e059ea6 },
  { length: 5, want: 0x88e3d89b },
  { length: 7, want: 0x9d38d9d6 },
  { length: 8, want: 0x577999b1 },
  { length: 15, want: 0xd0257b04 },
  { length: 16, want: 0x8b31d501 },
  { length: 63, want: 0x87178304 },
]) {
  test(`key hash: known answer for ${length} bytes`, () => {
    strictEqual(seededKeyHash(seed)(message, 0, length) >>> 0, want);
  });
}

test('key hash: the offset selects the bytes and nothing else', () => {
  const moved = new Uint8Array(80).fill(0xee);
  moved.set(message, 5);
  const hash = seededKeyHash(seed);
  for (let length = 0; length < 64; length++) strictEqual(hash(moved, 5, length), hash(message, 0, length));
});

test('key hash: another seed gives other hashes', () => {
  const hash = seededKeyHash(seed);
  const other = seededKeyHash(seed.map((byte) => byte ^ 0x80));
  const equal = [...message.keys()].filter(
    (length) => hash(message, 0, length) === other(message, 0, length),
  );
  deepStrictEqual(equal, []);
});

test('key hash: a seed of the wrong length is a bug', () => {
  throws(() => seededKeyHash(new Uint8Array(7)), InvariantViolation);
});
