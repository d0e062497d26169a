/** Random commands on few keys, with few values, so that they meet. What they answer depends on no clock. */

import type { SeededRandom } from '../../src/testing/seeded-random.ts';

const VALUES = [
  '',
  '0',
  '1',
  '-1',
  '42',
  '9223372036854775807',
  '-9223372036854775808',
  '3.5',
  '1e3',
  'x',
  'hello',
  ' 7',
  'ab\r\ncd',
  '\x00\xff',
  '5.0e-3',
  'inf',
  '0.1',
  '123456789012345678901',
  'foobar',
  'ohmytext',
  'mynewtext',
];

const INDEXES = ['0', '1', '-1', '2', '-2', '5', '-5', '100', '-100', 'x', '', '1.5', '3'];

/** Far in the future, so that the time of neither server matters. */
const FAR = ['9999999999', '99999999999', '253402300799'];

/** Makes the parts of commands. */
class Parts {
  readonly random: SeededRandom;

  constructor(random: SeededRandom) {
    this.random = random;
  }

  readonly key = (): string => `k${this.random.below(6)}`;

  readonly field = (): string => `f${this.random.below(this.random.pick([3, 3, 200]))}`;

  readonly value = (): string =>
    this.random.happens(0.05) ? 'v'.repeat(this.random.below(2000)) : this.random.pick(VALUES);

  readonly index = (): string => this.random.pick(INDEXES);

  readonly some = (make: () => string, most = 3): string[] =>
    Array.from({ length: this.random.between(1, most) }, make);

  readonly option = (...words: string[]): string[] =>
    this.random.happens(0.5) ? [this.random.pick(words)] : [];
}

export function randomCommand(random: SeededRandom): string[] {
  const parts = new Parts(random);
  const make = random.pick([stringCommand, stringCommand, keyCommand, hashCommand]);
  return make(parts);
}

function stringCommand({ random, key, value, index, some, option }: Parts): string[] {
  return random.pick([
    () => ['SET', key(), value()],
    () => ['SET', key(), value(), ...option('NX', 'XX', 'GET', 'KEEPTTL', 'bad'), ...option('GET', 'XX')],
    () => [
      'SET',
      key(),
      value(),
      random.pick(['EXAT', 'exat']),
      random.pick(FAR),
      ...option('KEEPTTL', 'NX'),
    ],
    () => [
      'SET',
      key(),
      value(),
      random.pick(['EX', 'ex']),
      random.pick(['0', '-1', 'x', '10000000000000000']),
    ],
    () => ['GET', key()],
    () => ['GETSET', key(), value()],
    () => ['GETDEL', key()],
    () => ['GETEX', key(), ...option('PERSIST', 'KEEPTTL', 'EX')],
    () => ['GETEX', key(), 'EXAT', random.pick(FAR)],
    () => ['SETNX', key(), value()],
    () => ['MGET', ...some(key)],
    () => [
      'MSET',
      ...some(() => key()).flatMap((each) => [each, value()]),
      ...(random.happens(0.1) ? ['x'] : []),
    ],
    () => ['MSETNX', key(), value(), key(), value()],
    () => ['APPEND', key(), value()],
    () => ['STRLEN', key()],
    () => [random.pick(['INCR', 'DECR']), key()],
    () => [random.pick(['INCRBY', 'DECRBY']), key(), value()],
    () => ['INCRBYFLOAT', key(), value()],
    () => [random.pick(['GETRANGE', 'SUBSTR']), key(), index(), index()],
    () => ['SETRANGE', key(), random.pick(['0', '1', '7', '-1', 'x', '30']), value()],
    () => ['LCS', key(), key(), ...option('LEN', 'IDX', 'bad'), ...option('WITHMATCHLEN', 'MINMATCHLEN')],
    () => [
      'SETBIT',
      key(),
      random.pick(['0', '7', '8', '100', '-1', 'x']),
      random.pick(['0', '1', '2', 'x']),
    ],
    () => ['GETBIT', key(), random.pick(['0', '1', '7', '8', '100', '-1', 'x'])],
    () => ['BITCOUNT', key()],
    () => ['BITCOUNT', key(), index(), index(), ...option('BIT', 'BYTE', 'bad')],
    () => ['BITPOS', key(), random.pick(['0', '1', '2', 'x'])],
    () => ['BITPOS', key(), random.pick(['0', '1']), index()],
    () => ['BITPOS', key(), random.pick(['0', '1']), index(), index(), ...option('BIT', 'BYTE', 'bad')],
    () => ['BITOP', random.pick(['AND', 'OR', 'XOR', 'NOT', 'bad']), key(), ...some(key)],
  ])();
}

function keyCommand({ random, key, some, option }: Parts): string[] {
  return random.pick([
    () => ['DEL', ...some(key)],
    () => ['UNLINK', key()],
    () => ['EXISTS', ...some(key)],
    () => ['TYPE', key()],
    () => ['DBSIZE'],
    () => ['KEYS', random.pick(['*', 'k?', 'k[0-2]', 'k[^1]', 'k1', 'x*', 'k[', '\\k1', '*1', 'k[2-0]'])],
    () => ['RENAME', key(), key()],
    () => ['RENAMENX', key(), key()],
    () => ['COPY', key(), key(), ...option('REPLACE', 'bad')],
    () => [
      random.pick(['EXPIREAT', 'expireat']),
      key(),
      random.pick(FAR),
      ...option('NX', 'XX', 'GT', 'LT', 'bad'),
    ],
    () => ['EXPIREAT', key(), random.pick(FAR), ...option('NX', 'GT'), ...option('LT', 'XX')],
    () => ['EXPIRE', key(), random.pick(['-1', '0', 'x', '9223372036854775807', '-9223372036854776'])],
    () => [random.pick(['EXPIRETIME', 'PEXPIRETIME']), key()],
    () => ['PERSIST', key()],
    () =>
      random.happens(0.05)
        ? [random.pick(['FLUSHALL', 'FLUSHDB']), ...option('SYNC', 'ASYNC', 'bad')]
        : ['PING'],
    () => [random.pick(['nosuch', 'GET', 'HSET', 'SETEX', 'OBJECT', 'CLIENT']), ...option('a', 'bad')],
    () => [
      'OBJECT',
      random.pick(['ENCODING', 'nosuch', 'REFCOUNT']),
      ...(random.happens(0.2) ? [] : ['nokey']),
    ],
    () => [random.pick(['MULTI', 'EXEC', 'DISCARD', 'UNWATCH', 'MULTI'])],
  ])();
}

function hashCommand({ random, key, field, value, some }: Parts): string[] {
  return random.pick([
    () => ['HSET', key(), ...some(field, 6).flatMap((each) => [each, value()])],
    () => ['HSET', key(), field()],
    () => ['HMSET', key(), field(), value(), ...(random.happens(0.1) ? [field()] : [])],
    () => ['HSETNX', key(), field(), value()],
    () => ['HGET', key(), field()],
    () => ['HMGET', key(), ...some(field)],
    () => [random.pick(['HGETALL', 'HKEYS', 'HVALS', 'HLEN']), key()],
    () => ['HDEL', key(), ...some(field)],
    () => ['HEXISTS', key(), field()],
    () => ['HSTRLEN', key(), field()],
    () => ['HINCRBY', key(), field(), value()],
    () => ['HINCRBYFLOAT', key(), field(), value()],
    () => ['HRANDFIELD', key(), '0'],
  ])();
}
