/**
 * Bytes in typed machines are memory of their own: a result that is kept, or changed by whoever got it, has
 * nothing to do with the state or with a command in flight any more.
 */

import { deepStrictEqual, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { decodeValue, encodeValue } from '../src/engine/codec.ts';
import { Rejection } from '../src/engine/machine.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';

interface Letter {
  readonly pages: readonly Uint8Array[];
}

const letters = machine({
  tables: { blobs: table<Uint8Array>(), letters: table<Letter>() },
  commands: {
    put({ blobs }, { key, blob }: { key: string; blob: Uint8Array }) {
      blobs.set(key, blob);
      return blob;
    },
    spoil({ blobs }, key: string) {
      blobs.get(key)!.fill(0xee);
    },
    spoilAndRefuse({ blobs }, key: string) {
      blobs.get(key)!.fill(0xee);
      throw new Rejection('no');
    },
    file({ letters }, letter: Letter) {
      letters.set('last', letter);
      return letter;
    },
    spoilLetter({ letters }) {
      letters.get('last')!.pages[0]!.fill(0xee);
    },
  },
  queries: {
    blob: ({ blobs }, key: string) => blobs.get(key),
    letter: ({ letters }) => letters.get('last'),
  },
});

const small = { log: { segmentBytes: 64 * 1024 } };

/** Both kinds of bytes that programs have are encoded each in its own way. */
const kinds = [
  { kind: 'Buffer', make: (byte: number, size: number): Uint8Array => Buffer.alloc(size, byte) },
  { kind: 'Uint8Array', make: (byte: number, size: number) => new Uint8Array(size).fill(byte) },
];

function plain(bytes: Uint8Array | undefined): number[] {
  return Array.from(bytes ?? []);
}

for (const { kind, make } of kinds) {
  test(`codec: decoded bytes of a ${kind} share no memory with what they were decoded from`, () => {
    const encoded = Buffer.from(encodeValue({ a: [make(1, 4)], b: make(2, 4) }, 'it'));
    const decoded = decodeValue(encoded) as { a: [Uint8Array]; b: Uint8Array };
    encoded.fill(0xee);
    deepStrictEqual([plain(decoded.a[0]), plain(decoded.b)], [plain(make(1, 4)), plain(make(2, 4))]);
  });

  test(`typed machine: a kept result of a query stays as it was: ${kind}`, async () => {
    await using node = await open({ machine: letters, dir: 'memory:', ...small });
    await node.submit('put', { key: 'a', blob: make(1, 40) });
    const kept = await node.query('blob', 'a');
    for (let round = 0; round < 200; round++) await node.submit('put', { key: 'a', blob: make(2, 40) });
    deepStrictEqual(plain(kept), plain(make(1, 40)));
  });

  test(`typed machine: changing what get returned changes no state: ${kind}`, async () => {
    await using node = await open({ machine: letters, dir: 'memory:', ...small });
    await node.submit('put', { key: 'a', blob: make(1, 8) });
    await node.submit('spoil', 'a');
    await node.submit('spoilAndRefuse', 'a').catch(() => undefined);
    (await node.query('blob', 'a'))!.fill(0xdd);
    deepStrictEqual(plain(await node.query('blob', 'a')), plain(make(1, 8)));
  });

  test(`typed machine: an argument that is returned stays as it was: ${kind}`, async () => {
    await using node = await open({ machine: letters, dir: 'memory:', ...small });
    const kept = await node.submit('put', { key: 'a', blob: make(1, 40) });
    for (let round = 0; round < 20; round++) await node.submit('put', { key: 'b', blob: make(2, 40) });
    deepStrictEqual(plain(kept), plain(make(1, 40)));
  });

  test(`typed machine: nested bytes are copies too: ${kind}`, async () => {
    await using node = await open({ machine: letters, dir: 'memory:', ...small });
    const returned = await node.submit('file', { pages: [make(1, 16)] });
    const kept = await node.query('letter');
    await node.submit('spoilLetter');
    strictEqual(plain((await node.query('letter'))!.pages[0])[0], 1);
    for (let round = 0; round < 200; round++) await node.submit('file', { pages: [make(2, 16)] });
    deepStrictEqual(
      [plain(returned.pages[0]), plain(kept!.pages[0])],
      [plain(make(1, 16)), plain(make(1, 16))],
    );
  });
}
