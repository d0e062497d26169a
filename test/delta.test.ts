/**
 * Deltas as JSON lines (src/cli/delta*.ts, src/keyvalue/record-json.ts). Goal: records survive the way
 * through JSON to the byte, and a delta that was cut or changed anywhere is refused. Method: every kind of
 * record and seeded ones; every cut and flipped bits of a small delta.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isTidemarkError } from '../src/base/errors.ts';
import type { DecidedDifference } from '../src/base/merkle/difference.ts';
import type { StoredValue } from '../src/base/merkle/node.ts';
import { toIndex } from '../src/base/positions.ts';
import { DeltaWriter } from '../src/cli/delta.ts';
import { openDelta } from '../src/cli/delta-file.ts';
import { COUNTS_KEY } from '../src/keyvalue/counts.ts';
import { stateKeyOf } from '../src/keyvalue/layout.ts';
import { isRecord } from '../src/keyvalue/record-check.ts';
import { keyFromJson, keyToJson, valueFromJson, valueToJson } from '../src/keyvalue/record-json.ts';
import type { StoredState } from '../src/node/stored-state.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const hex = (text: string): Uint8Array => Buffer.from(text, 'hex');

/** Record and what a line has of it. */
const RECORDS: readonly (readonly [what: string, key: Uint8Array, value: Uint8Array, json: string])[] = [
  ['a string', stateKeyOf(Buffer.from('k')), Buffer.from('\nhällo'), '{"key":"k"} {"string":"hällo"}'],
  [
    'a string that expires',
    stateKeyOf(Buffer.from('k')),
    hex('0b40e2010000000000' + '76'),
    '{"key":"k"} {"string":"v","expiresAt":123456}',
  ],
  [
    'bytes that are no text',
    stateKeyOf(hex('ff')),
    hex('0affc0'),
    '{"key":{"base64":"/w=="}} {"string":{"base64":"/8A="}}',
  ],
  [
    'a small hash',
    stateKeyOf(Buffer.from('h')),
    hex('0c02' + '0100610100310100620000'),
    '{"key":"h"} {"hash":[["a","1"],["b",""]]}',
  ],
  [
    'a large hash',
    stateKeyOf(Buffer.from('h')),
    hex('0f0100000000000000' + '0300000000000000' + '0500000000000000' + '0900000000000000'),
    '{"key":"h"} {"largeHash":3,"fields":5,"version":9,"expiresAt":1}',
  ],
  [
    'a field',
    hex('0b000000000000000361'),
    hex('0700000076'),
    '{"hash":3,"field":"a"} {"slot":7,"value":"v"}',
  ],
  ['a slot', hex('0c000000000000000300000007'), hex('61'), '{"hash":3,"slot":7} {"field":"a"}'],
  [
    'a session in a slot',
    hex('0100000002'),
    hex('6d65'),
    '{"record":{"base64":"AQAAAAI="}} {"base64":"bWU="}',
  ],
  ['what is no record', hex('0a6b'), hex('55'), '{"key":"k"} {"base64":"VQ=="}'],
  [
    'a key of another machine',
    hex('7461626c65006b'),
    hex('93'),
    '{"record":{"base64":"dGFibGUAaw=="}} {"base64":"kw=="}',
  ],
];

for (const [what, key, value, json] of RECORDS) {
  test(`delta: ${what} is a line of JSON, and the same bytes again`, () => {
    const [keyJson, valueJson] = [keyToJson(key), valueToJson(key, value)];
    strictEqual(`${JSON.stringify(keyJson)} ${JSON.stringify(valueJson)}`, json);
    deepStrictEqual(hexOf(keyFromJson(keyJson)), hexOf(key));
    deepStrictEqual(hexOf(valueFromJson(valueJson)), hexOf(value));
  });
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('delta: any bytes survive the way through JSON, records or not', (t) => {
  const random = new SeededRandom(seedOf(t));
  let records = 0;
  for (let run = 0; run < 20_000; run++) {
    const [, key, value] = RECORDS[random.below(RECORDS.length)]!;
    const [otherKey, otherValue] = [damaged(key, random), damaged(value, random)];
    if (isRecord(otherKey, otherValue)) records++;
    strictEqual(hexOf(keyFromJson(JSON.parse(JSON.stringify(keyToJson(otherKey))))), hexOf(otherKey));
    const json = JSON.parse(JSON.stringify(valueToJson(otherKey, otherValue)));
    strictEqual(hexOf(valueFromJson(json)), hexOf(otherValue));
  }
  ok(records > 1000, `${records} of them were records`);
});

function damaged(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const copy = Uint8Array.from(bytes);
  if (random.happens(0.5) && copy.length > 0) copy[random.below(copy.length)]! ^= 1 << random.below(8);
  if (random.happens(0.2)) return copy.subarray(0, random.below(copy.length + 1));
  return random.happens(0.2) ? Uint8Array.from([...copy, random.below(256)]) : copy;
}

function stateOf(name: string, root: string): StoredState {
  return {
    name,
    root: hex(root.repeat(64)),
    keys: 3,
    facts: { clusterId: 'c', machine: { name: 'keyvalue', version: 1 }, index: toIndex(7), time: 9 },
    read: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  };
}

const inline = (bytes: Uint8Array): StoredValue => ({ kind: 'inline', bytes });

const CHANGES: readonly DecidedDifference[] = [
  { kind: 'added', key: COUNTS_KEY, target: inline(Buffer.alloc(32)) },
  { kind: 'changed', key: RECORDS[0]![1], source: inline(RECORDS[0]![2]), target: inline(RECORDS[1]![2]) },
  { kind: 'deleted', key: RECORDS[3]![1], source: inline(RECORDS[3]![2]) },
];

function deltaText(complete = true): string {
  const lines: string[] = [];
  const writer = new DeltaWriter((line) => lines.push(`${line}\n`));
  writer.header(stateOf('one', 'a'), stateOf('other', 'b'), complete);
  for (const change of CHANGES) writer.change(change, 'full');
  writer.end({
    rounds: 1,
    nodes: { source: 1, target: 2 },
    bytes: { source: 3, target: 4 },
    keysPassed: 0,
    keysTotal: 0,
  });
  return lines.join('');
}

async function fileFor(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'delta.jsonl');
}

test('delta: what was written is read, and can be read again', async (t) => {
  const path = await fileFor(t);
  await writeFile(path, deltaText());
  const delta = await openDelta(path);
  strictEqual(delta.header.source.root, 'a'.repeat(64));
  deepStrictEqual([delta.counts.added, delta.counts.changed, delta.counts.deleted], [1, 1, 1]);
  for (let run = 0; run < 2; run++) {
    const read: string[] = [];
    for await (const { key, before, after } of delta.changes()) {
      read.push(`${hexOf(key)} ${before && hexOf(before.bytes)} ${after && hexOf(after)}`);
    }
    deepStrictEqual(
      read,
      CHANGES.map((change) => {
        const source =
          'source' in change && change.source.kind === 'inline' ? hexOf(change.source.bytes) : null;
        const target =
          'target' in change && change.target.kind === 'inline' ? hexOf(change.target.bytes) : null;
        return `${hexOf(change.key)} ${source} ${target}`;
      }),
    );
  }
});

test('delta: one that was cut anywhere is refused', async (t) => {
  const path = await fileFor(t);
  const text = Buffer.from(deltaText());
  for (let end = 0; end < text.length; end++) {
    await writeFile(path, text.subarray(0, end));
    await rejects(
      openDelta(path),
      (error) => isTidemarkError(error, 'TIDEMARK_DELTA_INVALID'),
      `cut at ${end}`,
    );
  }
});

test('delta: a flipped bit anywhere is noticed, but in what the end tells of its cost', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const path = await fileFor(t);
  const text = Buffer.from(deltaText());
  const checkedTo = text.lastIndexOf('","rounds"');
  for (let at = 0; at < checkedTo; at++) {
    const flipped = Buffer.from(text);
    flipped[at]! ^= 1 << random.below(8);
    await writeFile(path, flipped);
    await rejects(
      openDelta(path),
      (error) =>
        isTidemarkError(error, 'TIDEMARK_DELTA_INVALID') || isTidemarkError(error, 'TIDEMARK_FORMAT_NEWER'),
      `flipped at ${at}`,
    );
  }
});

for (const [what, text, message] of [
  ['nothing', '', /it was cut/],
  ['text', 'hello\n', /line 1: it is no JSON object/],
  ['a list', '[]\n', /it is no delta of Tidemark/],
  ['another document', '{"a":1}\n', /it is no delta of Tidemark/],
  ['a delta with something behind it', `${deltaText()}{}\n`, /something stands behind its end/],
  ['a part of a difference', deltaText(false), /cannot be applied/],
] as const) {
  test(`delta: ${what} is refused by its reason`, async (t) => {
    const path = await fileFor(t);
    await writeFile(path, text);
    await rejects(openDelta(path), (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_DELTA_INVALID'));
      match(error.message, message);
      return true;
    });
  });
}

test('delta: one of a later version is refused as such, and one that is missing as missing', async (t) => {
  const path = await fileFor(t);
  await rejects(openDelta(path), (error) => isTidemarkError(error, 'TIDEMARK_FILE_MISSING'));
  await rejects(openDelta(dirname(path)), (error) => isTidemarkError(error, 'TIDEMARK_DELTA_INVALID'));
  await writeFile(path, deltaText().replace('"tidemarkDelta":1', '"tidemarkDelta":2'));
  await rejects(openDelta(path), (error) => isTidemarkError(error, 'TIDEMARK_FORMAT_NEWER'));
});
