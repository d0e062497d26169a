/**
 * Record framing (src/log/record.ts). Goal: every prefix and every single-bit change of a record is noticed,
 * and so is every header that no writer of ours could have made. Method: exhaustive for a small record, then
 * seeded.
 */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { viewOf } from '../src/base/bytes.ts';
import { crc32c } from '../src/base/crc32c.ts';
import { toIndex, toTerm, toTimeline } from '../src/base/positions.ts';
import { EntryBuilder } from '../src/engine/entry.ts';
import {
  BLOCK_BYTES,
  BODY_BYTES_MAX,
  bodyEnd,
  decodeHeader,
  encodeHeader,
  RECORD_HEADER_BYTES,
  type RecordFields,
  recordEnd,
} from '../src/log/record.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { hexDump } from './support/hex-dump.ts';
import { textOf } from './support/project.ts';
import { seedOf } from './support/seed.ts';

const SEED = crc32c(Buffer.from('0102030405060708', 'hex'));

const FIELDS: RecordFields = {
  type: 'commands',
  timeline: toTimeline(1),
  index: toIndex(1),
  term: toTerm(0),
  time: 1_700_000_000_000,
  syncedTo: 4096,
  previous: 0,
  isBatchEnd: true,
};

function encode(fields: RecordFields, body: Uint8Array, seed = SEED): Uint8Array {
  const bytes = new Uint8Array(RECORD_HEADER_BYTES + body.length);
  bytes.set(body, RECORD_HEADER_BYTES);
  encodeHeader(bytes, 0, fields, body.length, seed);
  return bytes;
}

/** What a reader makes of it: the header when both checksums hold, else why not. */
function decode(bytes: Uint8Array, seed = SEED): string {
  const decoded = decodeHeader(bytes, 0, seed);
  if (decoded.kind !== 'header') return decoded.kind === 'end' ? 'end' : decoded.reason;
  const { length, bodyCrc } = decoded.header;
  const body = bytes.subarray(RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + length);
  return body.length === length && crc32c(body) === bodyCrc ? 'record' : 'body';
}

/** The record with other bytes in its header and the checksum that goes with them. */
function forge(change: (view: DataView) => void): Uint8Array {
  const bytes = encode(FIELDS, Buffer.from('abc'));
  const view = viewOf(bytes);
  change(view);
  view.setUint32(52, crc32c(bytes.subarray(0, 52), SEED), true);
  return bytes;
}

const entry = new EntryBuilder();
entry.add(Buffer.from('abc'));
const example = encode(FIELDS, entry.body());

test('record: the bytes on disk do not change (format v1)', () => {
  strictEqual(
    Buffer.from(example).toString('hex'),
    '544d523101010000' +
      '0b00000001000000' +
      '0100000000000000' +
      '0000000000000000' +
      '0068e5cf8b010000' +
      '0010000000000000' +
      'aca88ad3da9523cc' +
      '0100000003000000616263',
  );
});

test('record: the example of docs/format.md is what the code writes', () => {
  ok(textOf('docs/format.md').includes(hexDump(example)), `docs/format.md shows\n${hexDump(example)}`);
});

test('record C9: every single-bit flip of header and body is noticed', () => {
  strictEqual(decode(example), 'record');
  for (let bit = 0; bit < example.length * 8; bit++) {
    const damaged = Uint8Array.from(example);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    ok(decode(damaged) !== 'record', `bit ${bit}`);
    if (bit < RECORD_HEADER_BYTES * 8)
      strictEqual(decodeHeader(damaged, 0, SEED).kind, 'invalid', `bit ${bit}`);
  }
});

test('record: every prefix is noticed', () => {
  for (let length = 0; length < example.length; length++) {
    strictEqual(decode(example.subarray(0, length)), length < RECORD_HEADER_BYTES ? 'short' : 'body');
  }
});

test('record B4: a record of another segment is refused, whatever it holds', () => {
  strictEqual(decode(example, crc32c(Buffer.from('0102030405060709', 'hex'))), 'checksum');
  strictEqual(decode(example, 0), 'checksum');
});

for (const { name, bytes, want } of [
  { name: 'zeros', bytes: new Uint8Array(RECORD_HEADER_BYTES), want: 'end' },
  { name: 'zeros with one bit', bytes: new Uint8Array(RECORD_HEADER_BYTES).fill(128, 55), want: 'magic' },
  { name: 'ones', bytes: new Uint8Array(RECORD_HEADER_BYTES).fill(255), want: 'magic' },
  { name: 'type 0', bytes: forge((view) => view.setUint8(4, 0)), want: 'field' },
  { name: 'type 5', bytes: forge((view) => view.setUint8(4, 5)), want: 'field' },
  { name: 'an unknown flag', bytes: forge((view) => view.setUint8(5, 3)), want: 'field' },
  { name: 'a field that must be 0', bytes: forge((view) => view.setUint16(6, 1, true)), want: 'field' },
  { name: 'timeline 0', bytes: forge((view) => view.setUint32(12, 0, true)), want: 'field' },
  { name: 'index 2^53', bytes: forge((view) => view.setUint32(20, 2 ** 21, true)), want: 'field' },
  { name: 'term 2^53', bytes: forge((view) => view.setUint32(28, 2 ** 21, true)), want: 'field' },
  { name: 'time 2^53', bytes: forge((view) => view.setUint32(36, 2 ** 21, true)), want: 'field' },
  {
    name: 'one byte more than a body may have',
    bytes: forge((view) => view.setUint32(8, BODY_BYTES_MAX + 1, true)),
    want: 'field',
  },
  { name: 'a length of 2^32-1', bytes: forge((view) => view.setUint32(8, 2 ** 32 - 1, true)), want: 'field' },
  { name: 'a length of 0', bytes: forge((view) => view.setUint32(8, 0, true)), want: 'body' },
  { name: 'another body', bytes: forge((view) => view.setUint8(56, 0)), want: 'body' },
]) {
  test(`record C8, C9: ${name} is no record, although its checksum holds`, () =>
    strictEqual(decode(bytes), want));
}

test('record: what is encoded is decoded', (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const u53 = (): number => random.u32() * 2 ** random.below(22);
  for (let run = 0; run < 2000; run++) {
    const body = random.fill(new Uint8Array(random.below(300)));
    const fields: RecordFields = {
      type: random.pick(['commands', 'mark', 'activation', 'rewind'] as const),
      timeline: toTimeline(1 + random.below(2 ** 32 - 1)),
      index: toIndex(u53()),
      term: toTerm(u53()),
      time: u53(),
      syncedTo: random.u32(),
      previous: random.u32(),
      isBatchEnd: random.happens(0.5),
    };
    const recordSeed = random.u32();
    const offset = 8 * random.below(10);
    const target = random.fill(new Uint8Array(offset + RECORD_HEADER_BYTES + body.length + random.below(9)));
    target.set(body, offset + RECORD_HEADER_BYTES);
    const headerCrc = encodeHeader(target, offset, fields, body.length, recordSeed);
    const header = { ...fields, length: body.length, bodyCrc: crc32c(body), headerCrc };
    deepStrictEqual(decodeHeader(target, offset, recordSeed), { kind: 'header', header });
  }
});

test('record: a body above the bound, or beyond the buffer, is never written', () => {
  throws(() => encodeHeader(new Uint8Array(64), 0, FIELDS, BODY_BYTES_MAX + 1, SEED), InvariantViolation);
  throws(() => encodeHeader(new Uint8Array(64), 0, FIELDS, 9, SEED), InvariantViolation);
});

test('record: records stand on multiples of 8, batches on blocks', () => {
  for (const length of [0, 1, 7, 8, 4039, 4040, 4041, 9000]) {
    strictEqual(bodyEnd(4096, length), 4096 + 56 + length);
    for (const [isBatchEnd, step] of [[false, 8] as const, [true, BLOCK_BYTES] as const]) {
      const end = recordEnd(4096, length, isBatchEnd);
      ok(end % step === 0 && end >= bodyEnd(4096, length) && end < bodyEnd(4096, length) + step);
    }
  }
});
