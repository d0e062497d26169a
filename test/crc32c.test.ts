/** CRC32C (src/base/crc32c.ts) against the vectors of RFC 3720, appendix B.4; native and JavaScript alike. */

import { strictEqual } from 'node:assert';
import { test } from 'node:test';
import { crc32c, sliceBy8 } from '../src/base/crc32c.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const ascending = Uint8Array.from({ length: 32 }, (_, at) => at);

for (const { name, bytes, want } of [
  { name: '32 bytes of zeros', bytes: new Uint8Array(32), want: 0x8a9136aa },
  { name: '32 bytes of ones', bytes: new Uint8Array(32).fill(255), want: 0x62a8ab43 },
  { name: '32 ascending bytes', bytes: ascending, want: 0x46dd794e },
  { name: '32 descending bytes', bytes: ascending.toReversed(), want: 0x113fdb5c },
  { name: 'the digits 1 to 9', bytes: Buffer.from('123456789'), want: 0xe3069283 },
]) {
  test(`crc32c: ${name}`, () => {
    strictEqual(crc32c(bytes), want);
    strictEqual(sliceBy8(bytes, 0), want);
  });
}

test('crc32c: both implementations agree at every length, and may go on where they stopped', (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  for (let length = 0; length < 600; length++) {
    const bytes = random.fill(new Uint8Array(length));
    const initial = random.u32();
    const whole = crc32c(bytes, initial);
    strictEqual(sliceBy8(bytes, initial), whole, `${length} bytes`);
    const cut = random.between(0, length);
    strictEqual(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut), initial)), whole);
  }
});
