/**
 * The key-value machine (src/keyvalue/). Goal: every command answers as Redis 7.0 does. Method: a table of
 * command lines with their replies, run on the machine and, where a redis-server is installed, on that as
 * well.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { toIndex } from '../src/base/positions.ts';
import { Rejection } from '../src/engine/machine.ts';
import { REPLY_BYTES_MAX } from '../src/keyvalue/arguments.ts';
import { splitInline } from '../src/keyvalue/inline.ts';
import { addIntegers, negateInteger, parseInteger } from '../src/keyvalue/integer.ts';
import { STRING_BYTES_MAX, USER_KEY_BYTES_MAX } from '../src/keyvalue/layout.ts';
import { keyValueMachine } from '../src/keyvalue/machine.ts';
import type { ReplyValue } from '../src/keyvalue/reply-value.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { ReplyBuffer } from '../src/server/reply.ts';
import { MapState } from './support/map-state.ts';
import { RealRedis } from './support/real-redis.ts';

const CONTEXT = { index: toIndex(1), time: 0 };

/** Lines as one types them, each followed by its reply as RESP2 with \r\n written as a blank. */
const TABLE: readonly (readonly [
  name: string,
  lines: readonly (readonly [line: string, reply: string])[],
])[] = [
  [
    'set and get',
    [
      ['SET a hello', '+OK'],
      ['get a', '$5 hello'],
      ['GeT b', '$-1'],
      ['SET "" ""', '+OK'],
      ['GET ""', '$0 '],
      [String.raw`SET "\x00\r\n\xff" "\x80"`, '+OK'],
      [String.raw`GET "\x00\r\n\xff"`, '$1 \x80'],
    ],
  ],
  [
    'set with options',
    [
      ['SET a 1 NX', '+OK'],
      ['SET a 2 NX', '$-1'],
      ['SET b 2 xx', '$-1'],
      ['SET a 3 XX', '+OK'],
      ['SET a 4 GET', '$1 3'],
      ['SET b 1 GET', '$-1'],
      ['GET b', '$1 1'],
      ['SET b 2 NX GET', '$1 1'],
      ['SET c 2 XX GET', '$-1'],
      ['SET c 2 NX GET', '$-1'],
      ['SET a 5 KEEPTTL', '+OK'],
      ['SET a 5 KEEPTTL KEEPTTL GET NX', '$1 5'],
      ['MGET a b c', '*3 $1 5 $1 1 $1 2'],
      ['SET a 1 NX XX', '-ERR syntax error'],
      ['SET a 1 bad', '-ERR syntax error'],
      ['SET a 1 EX', '-ERR syntax error'],
      ['SET a 1 KEEPTTL EX 5', '-ERR syntax error'],
      ['SET a 1 EX 5 PX 5', '-ERR syntax error'],
      ['GET a', '$1 5'],
    ],
  ],
  [
    'old values',
    [
      ['SETNX a 1', ':1'],
      ['SETNX a 2', ':0'],
      ['GETSET a 3', '$1 1'],
      ['GETSET b 4', '$-1'],
      ['GETDEL a', '$1 3'],
      ['GETDEL a', '$-1'],
      ['EXISTS a b', ':1'],
    ],
  ],
  [
    'many keys',
    [
      ['MSET a 1 b 2 a 3', '+OK'],
      ['MGET a b c a', '*4 $1 3 $1 2 $-1 $1 3'],
      ['EXISTS a a c', ':2'],
      ['TOUCH a c b', ':2'],
      ['DBSIZE', ':2'],
      ['DEL a a c', ':1'],
      ['UNLINK b', ':1'],
      ['DBSIZE', ':0'],
      ['MSET a 1 b', "-ERR wrong number of arguments for 'mset' command"],
      ['DBSIZE', ':0'],
    ],
  ],
  [
    'strings',
    [
      ['APPEND a foo', ':3'],
      ['APPEND a bar', ':6'],
      ['APPEND a ""', ':6'],
      ['STRLEN a', ':6'],
      ['STRLEN b', ':0'],
      ['GET a', '$6 foobar'],
    ],
  ],
  [
    'integers',
    [
      ['INCR n', ':1'],
      ['INCRBY n 41', ':42'],
      ['DECR n', ':41'],
      ['DECRBY n 42', ':-1'],
      ['INCR n', ':0'],
      ['GET n', '$1 0'],
      ['DECRBY n 0', ':0'],
      ['DECRBY fresh 0', ':0'],
      ['GET fresh', '$1 0'],
      ['SET n 9007199254740991', '+OK'],
      ['INCR n', ':9007199254740992'],
      ['INCR n', ':9007199254740993'],
      ['DECRBY n 2', ':9007199254740991'],
      ['SET n 9223372036854775806', '+OK'],
      ['INCR n', ':9223372036854775807'],
      ['INCR n', '-ERR increment or decrement would overflow'],
      ['GET n', '$19 9223372036854775807'],
      ['INCRBY n -9223372036854775808', ':-1'],
      ['INCRBY n -9223372036854775807', ':-9223372036854775808'],
      ['DECR n', '-ERR increment or decrement would overflow'],
      ['DECRBY n -9223372036854775808', '-ERR decrement would overflow'],
      ['DECRBY n 9223372036854775808', '-ERR value is not an integer or out of range'],
      ['INCRBY n 1.5', '-ERR value is not an integer or out of range'],
      ['INCRBY n ""', '-ERR value is not an integer or out of range'],
      ...[
        '01',
        '+1',
        '-0',
        '" 1"',
        '1x',
        '-',
        '""',
        'abc',
        '9223372036854775808',
        '123456789012345678901',
      ].flatMap((value): [string, string][] => [
        [`SET n ${value}`, '+OK'],
        ['INCR n', '-ERR value is not an integer or out of range'],
      ]),
    ],
  ],
  [
    'names and arity',
    [
      ['GET', "-ERR wrong number of arguments for 'get' command"],
      ['GeT a b', "-ERR wrong number of arguments for 'get' command"],
      ['SET a', "-ERR wrong number of arguments for 'set' command"],
      ['MSET a', "-ERR wrong number of arguments for 'mset' command"],
      ['DEL', "-ERR wrong number of arguments for 'del' command"],
      ['nosuch', "-ERR unknown command 'nosuch', with args beginning with: "],
      ['nosuch a "b c"', "-ERR unknown command 'nosuch', with args beginning with: 'a' 'b c' "],
      [String.raw`"no\r\nsuch"`, "-ERR unknown command 'no  such', with args beginning with: "],
      [
        `nosuch ${'x'.repeat(100)} ${'y'.repeat(100)} z`,
        `-ERR unknown command 'nosuch', with args beginning with: '${'x'.repeat(100)}' '${'y'.repeat(25)}' `,
      ],
      ['x'.repeat(130), `-ERR unknown command '${'x'.repeat(128)}', with args beginning with: `],
    ],
  ],
];

function frameOf(line: string): Uint8Array {
  return encodeRequest(splitInline(Buffer.from(line, 'latin1')) ?? []);
}

/** Runs a frame as a node does, writes of a failed command undone; the reply as RESP2. */
function runOn(state: MapState, frame: Uint8Array): string {
  const reply = new ReplyBuffer();
  try {
    reply.append(keyValueMachine.apply(state, frame, CONTEXT) as ReplyValue, 2);
    state.commit();
  } catch (error) {
    ok(error instanceof Rejection, String(error));
    state.rollback();
    reply.appendError(error.message);
  }
  return Buffer.from(reply.written()).toString('latin1');
}

/** A reply as the table writes it. */
function shown(reply: string): string {
  return reply.replace(/\r\n$/, '').replaceAll('\r\n', ' ');
}

for (const [name, lines] of TABLE) {
  test(`keyvalue: ${name}`, () => {
    const state = new MapState();
    for (const [line, want] of lines) strictEqual(shown(runOn(state, frameOf(line))), want, line);
  });
}

test('keyvalue: a real Redis gives the same replies', async (t) => {
  const redis = await RealRedis.start();
  if (redis === null) return t.skip('no redis-server is installed');
  try {
    for (const [, lines] of TABLE) {
      await redis.ask(frameOf('FLUSHALL'));
      for (const [line, want] of lines) strictEqual(shown(await redis.ask(frameOf(line))), want, line);
    }
  } finally {
    await redis.stop();
  }
});

test('keyvalue: a key and a value as large as allowed are kept, larger ones refused', () => {
  const state = new MapState();
  const key = Buffer.alloc(USER_KEY_BYTES_MAX, 'k');
  const value = Buffer.alloc(STRING_BYTES_MAX, 'v');
  strictEqual(runOn(state, encodeRequest(['SET', key, value])), '+OK\r\n');
  strictEqual(runOn(state, encodeRequest(['STRLEN', key])), `:${STRING_BYTES_MAX}\r\n`);
  strictEqual(
    runOn(state, encodeRequest(['APPEND', key, 'x'])),
    '-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n',
  );
  const tooLong = Buffer.alloc(USER_KEY_BYTES_MAX + 1, 'k');
  for (const words of [
    ['SET', tooLong, 'x'],
    ['GET', tooLong],
    ['MSET', 'a', '1', tooLong, 'x'],
  ]) {
    strictEqual(runOn(state, encodeRequest(words)), '-ERR a key has at most 65534 bytes, got 65535\r\n');
  }
  strictEqual(state.size, 1, 'the MSET that failed left nothing behind');
});

test('keyvalue: a reply that would repeat large values without end is refused', () => {
  const state = new MapState();
  runOn(state, encodeRequest(['SET', 'a', Buffer.alloc(STRING_BYTES_MAX)]));
  const keys = Array.from({ length: Math.floor(REPLY_BYTES_MAX / STRING_BYTES_MAX) }, () => 'a');
  ok(runOn(state, encodeRequest(['MGET', ...keys])).startsWith('*4\r\n'));
  strictEqual(
    runOn(state, encodeRequest(['MGET', ...keys, 'a'])),
    `-ERR the reply would exceed ${REPLY_BYTES_MAX} bytes: ask for less at a time\r\n`,
  );
});

test('keyvalue: bytes that are no request frame are rejected and change nothing', () => {
  const state = new MapState();
  for (const bytes of ['', 'SET a 1\r\n', '*1\r\n', '*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\nx']) {
    throws(() => keyValueMachine.apply(state, Buffer.from(bytes), CONTEXT), Rejection);
  }
  deepStrictEqual(state.entries(), []);
});

for (const { words, want } of [
  { words: ['SET', 'key', 'value'], want: 'SET key value' },
  { words: ['SET', 'k y', ''], want: 'SET "k y" ""' },
  { words: ['SET', 'a', Buffer.from([0, 10, 34, 92, 200])], want: String.raw`SET a "\x00\n\"\\\xc8"` },
  { words: ['SET', 'a', 'x'.repeat(1000)], want: `SET a ${'x'.repeat(64)}… (1000 bytes)` },
  { words: ['DEL', ...'abcdefghijklmnopqr'.split('')], want: 'DEL a b c d e f g h i j k l m n o … (3 more)' },
]) {
  test(`keyvalue: describe ${want.slice(0, 40)}`, () => {
    strictEqual(keyValueMachine.describe(encodeRequest(words)), want);
  });
}

test('keyvalue: describe says so when the bytes are no request', () => {
  strictEqual(keyValueMachine.describe(Buffer.from('*x\r\n')), String.raw`(not a request: "*x\r\n")`);
  strictEqual(keyValueMachine.describe(Buffer.alloc(0)), '(not a request: "")');
});

test('keyvalue: integers are numbers while exact and bigints beyond', () => {
  const parse = (text: string) => parseInteger(Buffer.from(text), 0, text.length);
  strictEqual(parse('9007199254740991'), 9007199254740991);
  strictEqual(parse('9007199254740992'), 9007199254740992n);
  strictEqual(parse('-9223372036854775808'), -(2n ** 63n));
  strictEqual(parse('-9223372036854775809'), null);
  strictEqual(addIntegers(9007199254740991, 1), 9007199254740992n);
  strictEqual(addIntegers(9007199254740992n, -1), 9007199254740991);
  strictEqual(addIntegers(2n ** 63n - 1n, 1), null);
  ok(Object.is(negateInteger(0), 0), 'there is no minus zero');
});
