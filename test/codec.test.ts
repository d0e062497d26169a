/** The codec of users' values: what goes in comes back as it was, or is refused with its place. */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { isTidemarkError } from '../src/base/errors.ts';
import { decodeValue, encodeValue } from '../src/engine/codec.ts';

for (const value of [
  null,
  undefined,
  true,
  0,
  -1,
  1.5,
  2 ** 53 - 1,
  -(2 ** 40),
  Number.NaN,
  Number.POSITIVE_INFINITY,
  5n,
  2n ** 70n,
  '',
  'ä😀',
  new Date(1_700_000_000_123),
  new Uint8Array([1, 2]),
  [],
  [1, ['a', null]],
  {},
  { a: { b: [undefined] }, c: 1 },
]) {
  test(`codec: comes back as it was: ${inspect(value)}`, () => {
    const decoded = decodeValue(encodeValue(value, 'it'));
    deepStrictEqual(decoded instanceof Uint8Array ? new Uint8Array(decoded) : decoded, value);
  });
}

class Account {
  balance = 1;
}

const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

for (const { name, value, place } of [
  { name: 'a function', value: { a: [() => 1] }, place: 'it.a[0]' },
  { name: 'a symbol', value: Symbol('x'), place: 'it' },
  { name: 'an instance', value: [new Account()], place: 'it[0]' },
  { name: 'a map', value: { m: new Map() }, place: 'it.m' },
  { name: 'a set', value: new Set(), place: 'it' },
  { name: 'a key __proto__', value: JSON.parse('{"__proto__": 1}') as unknown, place: 'it' },
  { name: 'a cycle', value: cyclic, place: `it${'.self'.repeat(64)}` },
]) {
  test(`codec: refuses ${name} and says where`, () => {
    throws(
      () => encodeValue(value, 'it'),
      (error) => {
        ok(isTidemarkError(error, 'TIDEMARK_VALUE_UNENCODABLE'));
        strictEqual(error.facts['place'], place);
        return true;
      },
    );
  });
}
