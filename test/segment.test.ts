/**
 * Headers of segments, sparse indexes and recent places (src/log/segment.ts, sparse-index.ts,
 * recent-places.ts). Goal: every single-bit change is noticed. Method: exhaustive, a table of damages, round
 * trips from a seed.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { viewOf } from '../src/base/bytes.ts';
import { crc32c } from '../src/base/crc32c.ts';
import { toIndex, toTerm, toTimeline } from '../src/base/positions.ts';
import { RecentPlaces } from '../src/log/recent-places.ts';
import {
  decodeSegmentHeader,
  encodeSegmentHeader,
  isSegmentName,
  NO_SEGMENT,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
  segmentSeed,
} from '../src/log/segment.ts';
import { SparseIndex } from '../src/log/sparse-index.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const header: SegmentHeader = {
  clusterId: '00112233445566778899aabbccddeeff',
  nodeId: 1,
  incarnation: 2,
  timeline: toTimeline(3),
  sequence: 4,
  firstIndex: toIndex(5),
  id: '0102030405060708',
  previousId: '1112131415161718',
  previousEnd: 8192,
  previousCrc: 0xdeadbeef,
  previousTerm: toTerm(6),
  previousTime: 1_700_000_000_000,
  provenTo: 12288,
};

/** The header with other bytes and the checksum that goes with them. */
function forge(change: (view: DataView) => void): Uint8Array {
  const bytes = encodeSegmentHeader(header);
  const view = viewOf(bytes);
  change(view);
  view.setUint32(124, crc32c(bytes.subarray(0, 124)), true);
  return bytes;
}

test('segment: the bytes on disk do not change (format v1)', () => {
  const bytes = Buffer.from(encodeSegmentHeader(header));
  strictEqual(
    bytes.subarray(0, 128).toString('hex'),
    '544944454d4c4f47' +
      '0100' +
      '0000' +
      '03000000' +
      '0400000000000000' +
      '0500000000000000' +
      '00112233445566778899aabbccddeeff' +
      '0100000000000000' +
      '0200000000000000' +
      '0102030405060708' +
      '1112131415161718' +
      '00200000' +
      'efbeadde' +
      '0600000000000000' +
      '0068e5cf8b010000' +
      '00300000' +
      '00000000000000000000000000000000' +
      bytes.subarray(124, 128).toString('hex'),
  );
  strictEqual(bytes.length, SEGMENT_HEADER_BYTES);
  ok(bytes.subarray(128).every((byte) => byte === 0));
  deepStrictEqual(decodeSegmentHeader(bytes), { kind: 'header', header });
});

test('segment: every single-bit flip of the header block is noticed, its padding included', () => {
  const bytes = encodeSegmentHeader(header);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    strictEqual(decodeSegmentHeader(bytes).kind, 'invalid', `bit ${bit}`);
    bytes[bit >> 3]! ^= 1 << (bit & 7);
  }
});

for (const { name, bytes, want } of [
  { name: 'nothing', bytes: new Uint8Array(0), want: { kind: 'invalid', reason: 'short' } },
  {
    name: 'all but the last byte',
    bytes: encodeSegmentHeader(header).subarray(0, SEGMENT_HEADER_BYTES - 1),
    want: { kind: 'invalid', reason: 'short' },
  },
  { name: 'zeros', bytes: new Uint8Array(4096), want: { kind: 'invalid', reason: 'magic' } },
  {
    name: 'another magic',
    bytes: forge((view) => view.setUint8(0, 0)),
    want: { kind: 'invalid', reason: 'magic' },
  },
  {
    name: 'version 0',
    bytes: forge((view) => view.setUint16(8, 0, true)),
    want: { kind: 'invalid', reason: 'field' },
  },
  {
    name: 'version 2',
    bytes: forge((view) => view.setUint16(8, 2, true)),
    want: { kind: 'newer', version: 2 },
  },
  {
    name: 'version 2, and fields that this version would refuse',
    bytes: forge((view) => {
      view.setUint16(8, 2, true);
      view.setUint32(108, 7, true);
      view.setUint32(12, 0, true);
    }),
    want: { kind: 'newer', version: 2 },
  },
  {
    name: 'reserved bytes in use',
    bytes: forge((view) => view.setUint8(10, 1)),
    want: { kind: 'invalid', reason: 'field' },
  },
  {
    name: 'reserved bytes in use before the checksum',
    bytes: forge((view) => view.setUint8(123, 1)),
    want: { kind: 'invalid', reason: 'field' },
  },
  ...[
    { field: 'timeline', at: 12 },
    { field: 'sequence', at: 16 },
    { field: 'firstIndex', at: 24 },
  ].map(({ field, at }) => ({
    name: `${field} 0`,
    bytes: forge((view) => view.setUint32(at, 0, true)),
    want: { kind: 'invalid', reason: 'field' },
  })),
  ...[16, 24, 48, 56, 88, 96].map((at) => ({
    name: `2^53 at byte ${at}`,
    bytes: forge((view) => view.setUint32(at + 4, 2 ** 21, true)),
    want: { kind: 'invalid', reason: 'field' },
  })),
]) {
  test(`segment: a header block of ${name}`, () => deepStrictEqual(decodeSegmentHeader(bytes), want));
}

test('segment: names sort as their segments follow each other, and only exact names count', () => {
  const names = [1, 2, 9, 10, 99, 100, 2 ** 40, Number.MAX_SAFE_INTEGER].map((first) =>
    segmentName({ timeline: toTimeline(1), firstIndex: toIndex(first) }),
  );
  deepStrictEqual(names.toSorted(), names);
  ok(names.every(isSegmentName));
  for (const odd of [
    '1-00000000000000000001.LOG',
    '1-00000000000000000001.log~',
    '1-1.log',
    '-00000000000000000001.log',
    ' 1-00000000000000000001.log',
    '1-00000000000000000001.log.bak',
    '1-00000000000000000001.log\n',
  ]) {
    ok(!isSegmentName(odd), odd);
  }
});

test('segment: what is encoded is decoded', (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const u53 = (): number => random.u32() * 2 ** random.below(22);
  const hex = (bytes: number): string => Buffer.from(random.fill(new Uint8Array(bytes))).toString('hex');
  for (let run = 0; run < 500; run++) {
    const made: SegmentHeader = {
      clusterId: hex(16),
      nodeId: u53(),
      incarnation: u53(),
      timeline: toTimeline(1 + random.below(2 ** 32 - 1)),
      sequence: 1 + u53() / 2,
      firstIndex: toIndex(1 + Math.floor(u53() / 2)),
      id: hex(8),
      previousId: random.happens(0.1) ? NO_SEGMENT : hex(8),
      previousEnd: random.u32(),
      previousCrc: random.u32(),
      previousTerm: toTerm(u53()),
      previousTime: u53(),
      provenTo: random.u32(),
    };
    const whole = { ...made, sequence: Math.floor(made.sequence) };
    deepStrictEqual(decodeSegmentHeader(encodeSegmentHeader(whole)), { kind: 'header', header: whole });
  }
});

test('segment B4: the seed of a segment comes from its id alone', () => {
  const other = { ...header, id: '0102030405060709' };
  ok(segmentSeed(header) !== segmentSeed(other));
  strictEqual(segmentSeed(header), segmentSeed({ ...header, sequence: 99 }));
});

const STEP = 128 * 1024;

function position(at: number) {
  return {
    offset: 4096 + at * STEP,
    previousIndex: toIndex(10 * at),
    previousTerm: toTerm(2),
    previousTime: 1000 + at,
    previousCrc: at,
  };
}

function somePoints(): SparseIndex {
  const index = new SparseIndex();
  for (let at = 0; at < 5; at++) {
    index.offer(position(at));
    index.offer({ ...position(at), offset: position(at).offset + STEP - 1 }); // Too near: not kept.
  }
  return index;
}

test('sparse index: the last point before an entry is found, and only points far apart are kept', () => {
  const index = somePoints();
  strictEqual(index.before(toIndex(0)), null);
  for (let entry = 1; entry < 60; entry++) {
    const at = Math.min(4, Math.floor((entry - 1) / 10));
    deepStrictEqual(index.before(toIndex(entry)), position(at), `entry ${entry}`);
  }
  strictEqual(new SparseIndex().before(toIndex(1)), null);
});

test('sparse index: what is encoded is decoded, and the bytes on disk do not change (format v1)', () => {
  const bytes = somePoints().encode(header.id);
  strictEqual(
    Buffer.from(bytes).subarray(0, 100).toString('hex'),
    '544d4958' +
      '01000000' +
      '0102030405060708' +
      '05000000' +
      '0010000000000000000000000000000002000000000000' +
      '00e80300000000000000000000' +
      '00000000' +
      '00100200000000000a000000000000000200000000000000e90300000000000001000000' +
      '00000000',
  );
  const decoded = SparseIndex.decode(bytes, header.id);
  for (const entry of [1, 11, 21, 31, 41]) {
    deepStrictEqual(decoded?.before(toIndex(entry)), position((entry - 1) / 10));
  }
});

test('sparse index: every single-bit flip and every cut makes it as good as missing', () => {
  const bytes = somePoints().encode(header.id);
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Uint8Array.from(bytes);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    strictEqual(SparseIndex.decode(damaged, header.id), null, `bit ${bit}`);
  }
  for (let length = 0; length < bytes.length; length++) {
    strictEqual(SparseIndex.decode(bytes.subarray(0, length), header.id), null, `${length} bytes`);
  }
  strictEqual(SparseIndex.decode(bytes, '0102030405060709'), null, 'of another segment');
});

test('recent places: the last one before an entry is found, and old ones are forgotten', () => {
  const places = new RecentPlaces();
  strictEqual(places.before(toIndex(1)), null);
  for (let at = 0; at < 100; at++) places.add(position(at));
  for (const entry of [1, 10, 359, 360]) strictEqual(places.before(toIndex(entry)), null, `entry ${entry}`);
  for (const entry of [361, 370, 371, 991, 5000]) {
    const at = Math.min(99, Math.floor((entry - 1) / 10));
    deepStrictEqual(places.before(toIndex(entry)), position(at), `entry ${entry}`);
  }
});
