/**
 * Tree nodes as bytes (src/base/merkle/node.ts; docs/format.md §6.2). Goal: one content has one encoding,
 * any other bytes are refused or mean something else; and who goes through the entries (cursor.ts) meets the
 * same. Method: golden bytes, every prefix, every flipped bit, then seeded.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { isSha256, sha256, sha256Into, sha256Prefix } from '../src/base/digest.ts';
import { NodeCursor } from '../src/base/merkle/cursor.ts';
import {
  decodeNode,
  EMPTY_NODE,
  EMPTY_ROOT,
  encodeNode,
  INLINE_VALUE_BYTES_MAX,
  type InnerEntry,
  type InvalidNode,
  type LeafEntry,
  type TreeNode,
} from '../src/base/merkle/node.ts';
import { NODE_BYTES_MAX } from '../src/base/merkle/shape.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';
import { bytesOf, hexOf } from './support/stored-trees.ts';

const hash = Uint8Array.from({ length: 32 }, (_, at) => at);
const leaf: TreeNode = {
  kind: 'leaf',
  entries: [
    { key: bytesOf(''), value: { kind: 'inline', bytes: bytesOf('empty key') } },
    { key: bytesOf('a'), value: { kind: 'inline', bytes: bytesOf('') } },
    { key: bytesOf('a\0'), value: { kind: 'node', length: 300_000, hash } },
  ],
};
const inner: TreeNode = {
  kind: 'inner',
  level: 2,
  entries: [
    { key: bytesOf('a'), count: 127, hash },
    { key: bytesOf('b'), count: 128, hash },
  ],
};

test('merkle node: the bytes do not change (format v1)', () => {
  const hashHex = hexOf(hash);
  strictEqual(hexOf(encodeNode(leaf)), `00${'0009656d707479206b6579'}${'016100'}${'026100e0a712'}${hashHex}`);
  strictEqual(hexOf(encodeNode(inner)), `02${'01617f'}${hashHex}${'01628001'}${hashHex}`);
  strictEqual(hexOf(EMPTY_NODE), '00');
  strictEqual(hexOf(EMPTY_ROOT), '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
});

test('merkle node: what is encoded is decoded', () => {
  for (const node of [leaf, inner, { kind: 'leaf', entries: [] } as const]) {
    const decoded = decodeBothWays(encodeNode(node));
    deepStrictEqual(hexNode(decoded as TreeNode), hexNode(node));
  }
});

for (const [name, node] of Object.entries({ leaf, inner })) {
  test(`merkle node: no prefix of a ${name} but whole entries decodes`, () => {
    const bytes = encodeNode(node);
    for (let length = 0; length < bytes.length; length++) {
      const decoded = decodeBothWays(bytes.subarray(0, length));
      if (decoded.kind !== 'invalid')
        strictEqual(hexOf(encodeNode(decoded)), hexOf(bytes.subarray(0, length)));
    }
  });

  test(`merkle node: any flipped bit of a ${name} makes another node or none`, () => {
    const bytes = encodeNode(node);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Uint8Array.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const decoded = decodeBothWays(damaged);
      if (decoded.kind !== 'invalid') strictEqual(hexOf(encodeNode(decoded)), hexOf(damaged), `bit ${bit}`);
    }
  });
}

for (const { name, hex, reason } of [
  { name: 'nothing', hex: '', reason: 'short' },
  { name: 'a level above the highest', hex: '40', reason: 'level' },
  { name: 'an inner node without children', hex: '01', reason: 'empty' },
  { name: 'a child without keys', hex: `01016100${hexOf(hash)}`, reason: 'count' },
  { name: 'a number with a byte too many', hex: '00810061', reason: 'number' },
  { name: 'a number that never ends', hex: `00${'ff'.repeat(12)}`, reason: 'number' },
  { name: 'a key longer than the bytes', hex: '00056162', reason: 'short' },
  { name: 'a key longer than any', hex: '00808004', reason: 'number' },
  { name: 'a value larger than any', hex: '000081808008', reason: 'number' },
  { name: 'keys that do not ascend', hex: '0001620001610001', reason: 'order' },
  { name: 'the same key twice', hex: '00016100016100', reason: 'order' },
]) {
  test(`merkle node: ${name} is invalid`, () => {
    deepStrictEqual(decodeBothWays(Buffer.from(hex, 'hex')), { kind: 'invalid', reason });
  });
}

test('merkle node: one above the size limit is invalid', () => {
  deepStrictEqual(decodeBothWays(new Uint8Array(NODE_BYTES_MAX + 1)), { kind: 'invalid', reason: 'size' });
});

test('merkle node: random bytes decode to nothing, or to what encodes to them', (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  let decodedCount = 0;
  for (let run = 0; run < 20_000; run++) {
    // Small numbers, so that lengths often fit.
    const bytes = Uint8Array.from({ length: random.below(40) }, (_, at) => random.below(at === 0 ? 2 : 6));
    const decoded = decodeBothWays(bytes);
    if (decoded.kind === 'invalid') continue;
    decodedCount++;
    strictEqual(hexOf(encodeNode(decoded)), hexOf(bytes));
  }
  ok(decodedCount > 100, `${decodedCount} decoded`);
});

test('merkle node: a value at the limit stands in its leaf', () => {
  const entry: LeafEntry = {
    key: bytesOf('k'),
    value: { kind: 'inline', bytes: new Uint8Array(INLINE_VALUE_BYTES_MAX) },
  };
  const decoded = decodeBothWays(encodeNode({ kind: 'leaf', entries: [entry] }));
  strictEqual(decoded.kind === 'leaf' && decoded.entries[0]?.value.kind, 'inline');
});

test('digest: the ways to take one agree', () => {
  const random = new SeededRandom(5);
  const target = new Uint8Array(40);
  for (const length of [0, 1, 55, 56, 64, 1000]) {
    const bytes = random.fill(new Uint8Array(length));
    const digest = sha256(bytes);
    sha256Into(bytes, target, 4);
    strictEqual(hexOf(target.subarray(4, 36)), hexOf(digest));
    strictEqual(isSha256(bytes, digest), true);
    digest[length % 32]! ^= 1;
    strictEqual(isSha256(bytes, digest), false);
    digest[length % 32]! ^= 1;
    strictEqual(sha256Prefix(bytes), Buffer.from(digest).readUInt32BE());
  }
});

/** Holds the cursor against what is decoded. */
function decodeBothWays(bytes: Uint8Array): TreeNode | InvalidNode {
  const decoded = decodeNode(bytes);
  const cursor = new NodeCursor();
  const met: string[] = [];
  cursor.open(bytes);
  while (cursor.next()) met.push(metAt(cursor));
  if (decoded.kind === 'invalid') {
    strictEqual(cursor.failure, decoded.reason);
    return decoded;
  }
  strictEqual(cursor.failure, null);
  strictEqual(cursor.level, decoded.kind === 'leaf' ? 0 : decoded.level);
  deepStrictEqual(met, decoded.entries.map(entryText));
  return decoded;
}

function metAt({ bytes, level, keyOffset, keyBytes, number, dataOffset }: NodeCursor): string {
  const isInline = level === 0 && number <= INLINE_VALUE_BYTES_MAX;
  const data = bytes.subarray(dataOffset, dataOffset + (isInline ? number : 32));
  return `${hexOf(bytes.subarray(keyOffset, keyOffset + keyBytes))} ${number} ${hexOf(data)}`;
}

function entryText(entry: LeafEntry | InnerEntry): string {
  if ('count' in entry) return `${hexOf(entry.key)} ${entry.count} ${hexOf(entry.hash)}`;
  const { key, value } = entry;
  const [number, data] =
    value.kind === 'inline' ? [value.bytes.length, value.bytes] : [value.length, value.hash];
  return `${hexOf(key)} ${number} ${hexOf(data)}`;
}

function hexNode(node: TreeNode): unknown {
  return JSON.parse(
    JSON.stringify(node, (_, value) => (value instanceof Uint8Array ? hexOf(value) : value)).replace(
      /\{"type":"Buffer","data":(\[[^\]]*\])\}/g,
      (_, list: string) => JSON.stringify(hexOf(Uint8Array.from(JSON.parse(list) as number[]))),
    ),
  );
}
