/**
 * What the key-value machine leaves in the state (docs/format.md §8). Goal: whatever commands do to the keys
 * of large hashes, their fields and slots are those that the heads tell of, and the counts count them.
 * Method: seeded commands on few keys; after each, all records of the state are gone through.
 */
import { deepStrictEqual, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { toIndex } from '../src/base/positions.ts';
import { Rejection } from '../src/engine/machine.ts';
import { readCounts } from '../src/keyvalue/counts.ts';
import { encodeExpiry } from '../src/keyvalue/expire-due.ts';
import {
  contentStart,
  PREFIX_FIELD,
  PREFIX_FIELD_SLOT,
  PREFIX_KEY,
  TYPE_LARGE_HASH,
  typeOf,
} from '../src/keyvalue/layout.ts';
import { keyValueMachine } from '../src/keyvalue/machine.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { MapState } from './support/map-state.ts';
import { seedOf } from './support/seed.ts';

function randomWrite(random: SeededRandom): Uint8Array {
  const key = (): string => `k${random.below(5)}`;
  const fields = (): string[] =>
    Array.from({ length: random.between(1, random.pick([2, 300])) }, () => `f${random.below(120)}`);
  const words = (): string[] =>
    random.pick([
      () => ['HSET', key(), ...fields().flatMap((field) => [field, field])],
      () => ['HSET', key(), ...fields().flatMap((field) => [field, field])],
      () => ['HSET', key(), ...fields().flatMap((field) => [field, field])],
      () => ['HSET', key(), ...fields().flatMap((field) => [field, field])],
      () => ['HDEL', key(), ...fields()],
      () => ['HDEL', key(), ...Array.from({ length: 120 }, (_, at) => `f${at}`)],
      () => ['SET', key(), 'v', ...random.pick([[], ['NX'], ['PX', '20'], ['KEEPTTL'], ['PXAT', '1']])],
      () => [random.pick(['SETNX', 'APPEND', 'GETSET']), key(), 'v'],
      () => ['MSET', key(), 'v', key(), 'w'],
      () => ['SETEX', key(), '1', 'v'],
      () => ['SETRANGE', key(), '3', 'v'],
      () => ['BITOP', 'OR', key(), key()],
      () => [random.pick(['DEL', 'GETDEL', 'PERSIST', 'INCR']), key()],
      () => [random.pick(['RENAME', 'RENAMENX']), key(), key()],
      () => ['COPY', key(), key(), ...random.pick([[], ['REPLACE']])],
      () => ['PEXPIRE', key(), random.pick(['-1', '20'])],
      () => (random.happens(0.3) ? ['FLUSHALL'] : ['DEL', key(), key()]),
    ])();
  if (random.happens(0.1)) return encodeExpiry([Buffer.from(key()), Buffer.from(key())]);
  if (random.happens(0.1))
    return encodeRequest(['TIDEMARK', 'SESSION', `s${random.below(9)}`, '1', ...words()]);
  if (random.happens(0.8)) return encodeRequest(words());
  const parts = [words(), words(), words()];
  const flat = parts.flatMap((part) => [String(part.length), ...part]);
  return encodeRequest(['tidemark.exec', random.pick(['each', 'all']), '0', ...flat]);
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}

/** Slot and field of all fields that the records of one prefix tell of, by the number of their hash. */
function fieldsOf(state: MapState, prefix: number): Map<bigint, string[]> {
  const found = new Map<bigint, string[]>();
  for (const [keyText, valueText] of state.entries()) {
    const key = bytesOf(keyText);
    const value = bytesOf(valueText);
    if (key[0] !== prefix) continue;
    const number = key.readBigUInt64BE(1);
    const text =
      prefix === PREFIX_FIELD
        ? `${value.readUInt32LE(0)} ${key.toString('latin1', 9)}`
        : `${key.readUInt32BE(9)} ${value.toString('latin1')}`;
    found.set(number, [...(found.get(number) ?? []), text]);
  }
  for (const texts of found.values()) texts.sort();
  return found;
}

function checkLayout(state: MapState): void {
  const counts = readCounts(state);
  const fields = fieldsOf(state, PREFIX_FIELD);
  deepStrictEqual(fieldsOf(state, PREFIX_FIELD_SLOT), fields);
  const userRecords = state.entries().filter(([key]) => bytesOf(key)[0] === PREFIX_KEY);
  const heads = userRecords
    .map(([, value]) => bytesOf(value))
    .filter((record) => typeOf(record) === TYPE_LARGE_HASH)
    .map((record) => record.subarray(contentStart(record)));
  strictEqual(heads.length, counts.largeHashes);
  strictEqual(fields.size, heads.length);
  for (const head of heads) {
    const slots = (fields.get(head.readBigUInt64LE(0)) ?? []).map((text) => Number(text.split(' ')[0]));
    slots.sort((one, other) => one - other);
    deepStrictEqual(
      slots,
      Array.from({ length: Number(head.readBigUInt64LE(8)) }, (_, at) => at),
    );
  }
  strictEqual(state.size - userRecords.length, counts.auxiliary);
}

test('keyvalue layout: the records of large hashes and their counts agree, whatever commands do', (t) => {
  const random = new SeededRandom(seedOf(t));
  const state = new MapState();
  let time = 1_000;
  for (let step = 1; step <= 1_500; step++) {
    time += random.below(5);
    try {
      keyValueMachine.apply(state, randomWrite(random), { index: toIndex(step), time });
      state.commit();
    } catch (error) {
      if (!(error instanceof Rejection)) throw error;
      state.rollback();
    }
    checkLayout(state);
  }
});
