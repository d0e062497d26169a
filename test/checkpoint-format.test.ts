/**
 * What stands in checkpoint files, as bytes (docs/format.md §7): index file, header of a data file, records.
 * Goal: every prefix and every changed bit is noticed, and a length is never believed before it is checked.
 */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { viewOf } from '../src/base/bytes.ts';
import { crc32c } from '../src/base/crc32c.ts';
import { sha256 } from '../src/base/digest.ts';
import { type CheckpointInfo, decodeInfo, encodeInfo } from '../src/checkpoint/checkpoint-info.ts';
import { checkpointStem, isDataName, isIndexName, isPartName } from '../src/checkpoint/checkpoint-name.ts';
import { resolveCheckpointOptions } from '../src/checkpoint/checkpoint-options.ts';
import { decodeDataHeader, encodeDataHeader } from '../src/checkpoint/data-header.ts';
import { decodeIndexFile, encodeIndexFile } from '../src/checkpoint/index-file.ts';
import {
  decodePlaces,
  decodeRecordHeader,
  encodeRecordHead,
  isHeadWhole,
  PLACES_MAX,
  recordBytes,
  recordSeed,
} from '../src/checkpoint/node-record.ts';
import { ROOT } from './support/project.ts';

const golden = readFileSync(`${ROOT}test/fixtures/checkpoint-v1/1-20231114_221320_2.idx`);

function goldenInfo(): CheckpointInfo {
  const decoded = decodeIndexFile(golden);
  if (decoded.kind !== 'info') throw new Error(decoded.kind);
  return decoded.info;
}

const HEADER = {
  number: 7,
  id: '0123456789abcdef',
  clusterId: '00112233445566778899aabbccddeeff',
  timeline: 2,
  index: 12345,
};

test('checkpoint format: an index file is what was encoded; any cut and any flipped bit is noticed', () => {
  deepStrictEqual(Buffer.from(encodeIndexFile(goldenInfo())), golden);
  for (let length = 0; length < golden.length; length++) {
    strictEqual(decodeIndexFile(golden.subarray(0, length)).kind, 'invalid', `cut to ${length}`);
  }
  for (let bit = 0; bit < golden.length * 8; bit++) {
    const damaged = Uint8Array.from(golden);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    strictEqual(decodeIndexFile(damaged).kind, 'invalid', `bit ${bit}`);
  }
});

test('checkpoint format: a newer index file is told from a damaged one', () => {
  const newer = Buffer.from(golden);
  newer.writeUInt16LE(2, 8);
  strictEqual(decodeIndexFile(newer).kind, 'invalid', 'the digest does not hold');
  newer.set(sha256(newer.subarray(0, -32)), newer.length - 32);
  deepStrictEqual(decodeIndexFile(newer), { kind: 'newer', version: 2 });
});

test('checkpoint format: the fields of an index file are checked, and their text is canonical', () => {
  const info = goldenInfo();
  const [one, two] = [info.files[0]!, info.files[1]!];
  const wrong: readonly [field: string, value: unknown][] = [
    ['clusterId', 'x'],
    ['nodeId', 0],
    ['timeline', 2 ** 32],
    ['index', -1],
    ['time', 1.5],
    ['machine', { name: '', version: 1 }],
    ['members', []],
    ['root', 'A'.repeat(64)],
    ['rootPlace', null],
    ['rootPlace', { file: 3, offset: 64, bytes: 1 }],
    ['rootPlace', { file: 2, offset: 65, bytes: 1 }],
    ['rootPlace', { file: 2, offset: 3936, bytes: 17 }],
    ['level', 64],
    ['keys', 2 ** 53],
    ['kind', 'other'],
    ['files', [two, one]],
    ['files', [one, { ...two, name: '../escape.data' }]],
    ['files', [one, { ...two, chunks: '' }]],
    ['files', [one, { ...two, bytes: two.bytes + 1 }]],
    ['files', [one, { ...two, innerOffset: two.bytes + 16 }]],
    ['full', {}],
    ['cost', { ...info.cost, longestPauseMs: -1 }],
    ['certificate', {}],
  ];
  for (const [field, value] of wrong) {
    const bytes = Buffer.from(JSON.stringify({ ...info, [field]: value }));
    deepStrictEqual(decodeInfo(bytes), { kind: 'invalid', fault: field });
    throws(() => encodeInfo({ ...info, [field]: value }));
  }
  const text = Buffer.from(encodeInfo(info)).toString();
  for (const other of [` ${text}`, text.replace('{', '{"more":1,'), text.replace('"view":0', '"view":0.0')]) {
    deepStrictEqual(decodeInfo(Buffer.from(other)), { kind: 'invalid', fault: 'text' });
  }
});

test('checkpoint format: a data header is what was encoded; any cut and any flipped bit is noticed', () => {
  const bytes = encodeDataHeader(HEADER);
  deepStrictEqual(decodeDataHeader(bytes), { kind: 'header', header: HEADER });
  for (let length = 0; length < bytes.length; length++) {
    strictEqual(decodeDataHeader(bytes.subarray(0, length)).kind, 'invalid');
  }
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = Uint8Array.from(bytes);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    strictEqual(decodeDataHeader(damaged).kind, 'invalid', `bit ${bit}`);
  }
  const newer = Uint8Array.from(bytes);
  viewOf(newer).setUint16(8, 2, true);
  viewOf(newer).setUint32(60, crc32c(newer.subarray(0, 60)), true);
  deepStrictEqual(decodeDataHeader(newer), { kind: 'newer', version: 2 });
});

test('checkpoint format: the head of a record is as documented; any flipped bit is noticed', () => {
  const node = {
    kind: 'inner' as const,
    bytes: new Uint8Array(80),
    places: [
      { file: 1, offset: 9264, bytes: 300 },
      { file: 2, offset: 64, bytes: 2000 },
    ],
  };
  const target = new Uint8Array(100);
  const seed = recordSeed(HEADER.id);
  const head = target.subarray(0, encodeRecordHead(target, node, { offset: 3824, seed }));
  strictEqual(
    Buffer.from(head).toString('hex'),
    `02000200${'50000000'}${'ef000000'}${Buffer.from(head.subarray(12, 16)).toString('hex')}` +
      `01000000${'43020000'}${'2c010000'}02000000${'04000000'}${'d0070000'}`,
  );
  deepStrictEqual(decodeRecordHeader(head, 0), { kind: 'inner', placeCount: 2, bytes: 80, offset: 3824 });
  deepStrictEqual(decodePlaces(head), node.places);
  ok(isHeadWhole(head, seed));
  ok(!isHeadWhole(head, recordSeed('0123456789abcdee')), 'a record of another file is none of this one');
  strictEqual(recordBytes(2, 80), 128);
  for (let bit = 0; bit < head.length * 8; bit++) {
    const damaged = Uint8Array.from(head);
    damaged[bit >> 3]! ^= 1 << (bit & 7);
    ok(!isHeadWhole(damaged, seed), `bit ${bit}`);
  }
});

test('checkpoint format: a record never claims more than its kind may have', () => {
  const bytes = new Uint8Array(16);
  const view = viewOf(bytes);
  const set = (kind: number, places: number, length: number): void => {
    bytes[0] = kind;
    view.setUint16(2, places, true);
    view.setUint32(4, length, true);
  };
  set(1, 0, 256 * 1024);
  ok(decodeRecordHeader(bytes, 0) !== null);
  for (const [kind, places, length] of [
    [0, 0, 1],
    [4, 0, 1],
    [1, 0, 256 * 1024 + 1],
    [2, PLACES_MAX + 1, 1],
    [3, 0, 16 * 1024 * 1024 + 1],
  ] as const) {
    set(kind, places, length);
    strictEqual(decodeRecordHeader(bytes, 0), null);
  }
});

test('checkpoint format: names are in UTC and tell the kinds of files apart', () => {
  const stem = checkpointStem({ timeline: 1, index: 12345, takenAt: Date.UTC(2026, 10, 21, 10, 14, 0, 999) });
  strictEqual(stem, '1-20261121_101400_12345');
  deepStrictEqual(
    [`${stem}.idx`, `${stem}.idx.part`, `${stem}.data`, `x${stem}.data`].map((name) => [
      isIndexName(name),
      isPartName(name),
      isDataName(name),
    ]),
    [
      [true, false, false],
      [false, true, false],
      [false, false, true],
      [false, false, false],
    ],
  );
});

test('checkpoint options: defaults are filled in, and what cannot work is refused', () => {
  deepStrictEqual(resolveCheckpointOptions({}), {
    checkpointIntervalMs: 3_600_000,
    checkpointEntries: 0,
    checkpointLogBytes: 0,
    adaptive: { kind: 'off' },
    checkpointsKept: 3,
    checkpointAgeMs: 86_400_000,
    agedKept: 128,
    generations: { hourly: 0, daily: 0, weekly: 0, monthly: 0 },
    spacedKept: 0,
    checkpointBytesMax: 0,
    logAgeMs: 86_400_000,
    logBytesMax: 1024 ** 3,
    checkpointOnClose: true,
    compactLogAfterCheckpoint: true,
    loadConcurrency: 4,
    bufferBytes: 1_048_576,
    verifyBytesMax: 1024 ** 3,
  });
  for (const wrong of [
    { checkpointsKept: 0 },
    { checkpointsKept: 65 },
    { checkpointOnClose: 1 },
    { compactLogAfterCheckpoint: 'yes' },
    { loadConcurrency: 0 },
    { bufferBytes: 100 },
    { verifyBytesMax: -1 },
    { unknown: 1 },
    { checkpointAgeMs: -1 },
    { agedKept: 1 },
    { compactLogAfterCheckpoint: false, logBytesMax: 0 },
    { checkpointIntervalMs: 5000, adaptive: { kind: 'optimal', pauseMsMin: 6000 } },
    { generations: { daily: 1001 } },
    { generations: { yearly: 1 } },
    { spacedKept: 1 },
    { checkpointBytesMax: 1000 },
    { logAgeMs: 1.5 },
    { logBytesMax: '1 GiB' },
    { checkpointIntervalMs: 10 },
    { checkpointIntervalMs: 2 ** 31 },
    { checkpointEntries: -1 },
    { adaptive: { kind: 'off', rpoMs: 1000 } },
    { checkpointLogBytes: 10 },
    { adaptive: { kind: 'daily' } },
    { adaptive: { kind: 'stepwise', rpoMs: 1 } },
    { adaptive: { kind: 'optimal', pauseMsMin: 10 } },
  ]) {
    throws(() => resolveCheckpointOptions(wrong as object), { code: 'TIDEMARK_OPTION_INVALID' });
  }
});
