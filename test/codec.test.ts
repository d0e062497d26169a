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

test('codec: -0 comes back as 0', () => strictEqual(decodeValue(encodeValue(-0, 'it')), 0));

class Account {
  balance = 1;
}

class Digest extends Uint8Array {}

class Day extends Date {}

const withGap: number[] = [];
withGap[1] = 2;

const cyclic: { self?: unknown } = {};
cyclic.self = cyclic;

for (const { name, value, place } of [
  { name: 'a function', value: { a: [() => 1] }, place: 'it.a[0]' },
  { name: 'a symbol', value: Symbol('x'), place: 'it' },
  { name: 'an instance', value: [new Account()], place: 'it[0]' },
  { name: 'a map', value: { m: new Map() }, place: 'it.m' },
  { name: 'a set', value: new Set(), place: 'it' },
  { name: 'a class of bytes', value: [new Digest(2)], place: 'it[0]' },
  { name: 'a class of dates', value: new Day(1), place: 'it' },
  { name: 'half a character', value: { a: ['fine', 'half \ud83d'] }, place: 'it.a[1]' },
  { name: 'the other half, in a long text', value: `${'x'.repeat(100)}\ude00`, place: 'it' },
  { name: 'half a character in a key', value: [{ '\ud83d': 1 }], place: 'it[0]' },
  { name: 'a symbol for a key', value: { a: { [Symbol('x')]: 1 } }, place: 'it.a' },
  { name: 'an array with a symbol for a key', value: Object.assign([1], { [Symbol('x')]: 1 }), place: 'it' },
  { name: 'an array with a name', value: { a: Object.assign([1], { name: 'x' }) }, place: 'it.a' },
  { name: 'an array with a gap', value: withGap, place: 'it' },
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
