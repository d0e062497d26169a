/**
 * Numbers on disk and in memory (checklist L6). Goal: what exceeds 2^53-1 is refused, wherever it comes from,
 * instead of being rounded.
 */

import { strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { readU64, viewOf, writeU64 } from '../src/base/bytes.ts';
import { crc32c } from '../src/base/crc32c.ts';
import { nextIndex, toIndex, toTerm, toTimeline } from '../src/base/positions.ts';
import { decodeHeader, encodeHeader, RECORD_HEADER_BYTES } from '../src/log/record.ts';
import { decodeSegmentHeader, encodeSegmentHeader, NO_SEGMENT } from '../src/log/segment.ts';

const MAX = Number.MAX_SAFE_INTEGER;
const BEYOND = [2n ** 53n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n];

test('positions L6: a u64 above 2^53-1 is refused when read, and when written', () => {
  const bytes = new Uint8Array(8);
  const view = viewOf(bytes);
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, MAX - 1, MAX]) {
    writeU64(view, 0, value);
    strictEqual(view.getBigUint64(0, true), BigInt(value));
    strictEqual(readU64(view, 0), value);
  }
  for (const value of BEYOND) {
    view.setBigUint64(0, value, true);
    strictEqual(readU64(view, 0), null, String(value));
  }
  for (const value of [MAX + 1, -1, 0.5, Number.NaN, Infinity]) {
    throws(() => writeU64(view, 0, value), InvariantViolation);
  }
});

test('positions L6: an index, term or timeline outside its range is a bug', () => {
  for (const make of [toIndex, toTerm, toTimeline]) {
    for (const value of [MAX + 1, -1, 0.5, Number.NaN]) throws(() => make(value), InvariantViolation);
    strictEqual(make(MAX), MAX);
  }
  throws(() => toTimeline(0), InvariantViolation);
  throws(() => nextIndex(toIndex(MAX)), InvariantViolation);
});

for (const { field, offset } of [
  { field: 'index', offset: 16 },
  { field: 'term', offset: 24 },
  { field: 'time', offset: 32 },
]) {
  test(`positions L6: a record whose ${field} exceeds 2^53-1 is none, although its checksum holds`, () => {
    const bytes = new Uint8Array(RECORD_HEADER_BYTES);
    const fields = {
      type: 'mark',
      timeline: toTimeline(1),
      index: toIndex(7),
      term: toTerm(0),
      time: 5,
      syncedTo: 4096,
      previous: 0,
      isBatchEnd: true,
    } as const;
    encodeHeader(bytes, 0, fields, 0, 1);
    strictEqual(decodeHeader(bytes, 0, 1).kind, 'header');
    for (const value of BEYOND) {
      viewOf(bytes).setBigUint64(offset, value, true);
      viewOf(bytes).setUint32(52, crc32c(bytes.subarray(0, 52), 1), true);
      const decoded = decodeHeader(bytes, 0, 1);
      strictEqual(decoded.kind === 'invalid' && decoded.reason, 'field', String(value));
    }
  });
}

for (const { field, offset } of [
  { field: 'sequence', offset: 16 },
  { field: 'firstIndex', offset: 24 },
  { field: 'nodeId', offset: 48 },
  { field: 'incarnation', offset: 56 },
  { field: 'previousTerm', offset: 88 },
  { field: 'previousTime', offset: 96 },
]) {
  test(`positions L6: a segment whose ${field} exceeds 2^53-1 is none, although its checksum holds`, () => {
    const bytes = encodeSegmentHeader({
      clusterId: '00112233445566778899aabbccddeeff',
      nodeId: 1,
      incarnation: 1,
      timeline: toTimeline(1),
      sequence: 1,
      firstIndex: toIndex(1),
      id: '0011223344556677',
      previousId: NO_SEGMENT,
      previousEnd: 0,
      previousCrc: 0,
      previousTerm: toTerm(0),
      previousTime: 0,
      provenTo: 4096,
    });
    strictEqual(decodeSegmentHeader(bytes).kind, 'header');
    viewOf(bytes).setBigUint64(offset, 2n ** 53n, true);
    viewOf(bytes).setUint32(124, crc32c(bytes.subarray(0, 124)), true);
    const decoded = decodeSegmentHeader(bytes);
    strictEqual(decoded.kind === 'invalid' && decoded.reason, 'field');
  });
}
