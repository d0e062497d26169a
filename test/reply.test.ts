/**
 * Replies as bytes (src/server/reply.ts). Goal: every kind of value in both protocols. Method: table, then
 * seeded.
 */
import { strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { type ReplyValue, VerbatimText } from '../src/keyvalue/reply-value.ts';
import { type Protocol, ReplyBuffer, ReplyBufferPool } from '../src/server/reply.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

function encoded(value: ReplyValue, protocol: Protocol): string {
  const reply = new ReplyBuffer();
  reply.append(value, protocol);
  return Buffer.from(reply.written()).toString();
}

const bytes = (text: string) => Buffer.from(text);

for (const { name, value, resp2, resp3 } of [
  { name: 'OK', value: 'OK', resp2: '+OK\r\n', resp3: '+OK\r\n' },
  { name: 'status', value: 'PONG', resp2: '+PONG\r\n', resp3: '+PONG\r\n' },
  { name: 'null', value: null, resp2: '$-1\r\n', resp3: '_\r\n' },
  { name: 'bulk', value: bytes('a\r\nb'), resp2: '$4\r\na\r\nb\r\n', resp3: '$4\r\na\r\nb\r\n' },
  { name: 'empty bulk', value: bytes(''), resp2: '$0\r\n\r\n', resp3: '$0\r\n\r\n' },
  {
    name: 'big integer',
    value: 2n ** 63n - 1n,
    resp2: `:${2n ** 63n - 1n}\r\n`,
    resp3: `:${2n ** 63n - 1n}\r\n`,
  },
  {
    name: 'array',
    value: [1, null, bytes('x')],
    resp2: '*3\r\n:1\r\n$-1\r\n$1\r\nx\r\n',
    resp3: '*3\r\n:1\r\n_\r\n$1\r\nx\r\n',
  },
  { name: 'empty array', value: [], resp2: '*0\r\n', resp3: '*0\r\n' },
  {
    name: 'nested array',
    value: [[1], []],
    resp2: '*2\r\n*1\r\n:1\r\n*0\r\n',
    resp3: '*2\r\n*1\r\n:1\r\n*0\r\n',
  },
  {
    name: 'map',
    value: new Map([[bytes('k'), 1]]),
    resp2: '*2\r\n$1\r\nk\r\n:1\r\n',
    resp3: '%1\r\n$1\r\nk\r\n:1\r\n',
  },
  { name: 'text', value: new VerbatimText('é'), resp2: '$2\r\né\r\n', resp3: '=6\r\ntxt:é\r\n' },
] as { name: string; value: ReplyValue; resp2: string; resp3: string }[]) {
  test(`reply: ${name}`, () => {
    strictEqual(encoded(value, 2), resp2);
    strictEqual(encoded(value, 3), resp3);
  });
}

test('reply: integers of every length', () => {
  for (let power = 1; power <= Number.MAX_SAFE_INTEGER; power *= 10) {
    for (const value of [power - 1, power, power + 1, -power])
      strictEqual(encoded(value, 2), `:${value}\r\n`);
  }
  for (const value of [2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER]) {
    strictEqual(encoded(value, 2), `:${value}\r\n`);
  }
  strictEqual(encoded(-0, 2), ':0\r\n');
  throws(() => encoded(0.5, 2));
});

test('reply: an error is one line, whatever its text', () => {
  const reply = new ReplyBuffer();
  reply.appendError('ERR a\r\nb\nc');
  strictEqual(Buffer.from(reply.written()).toString(), '-ERR a  b c\r\n');
});

test('reply: what is appended stays as the buffer grows', (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const reply = new ReplyBuffer();
  let want = '';
  for (let run = 0; run < 2000; run++) {
    const text = 'x'.repeat(random.below(random.pick([4, 40, 4000])));
    reply.append(bytes(text), 2);
    want += `$${text.length}\r\n${text}\r\n`;
  }
  strictEqual(Buffer.from(reply.written()).toString(), want);
});

test('reply: a pool gives buffers back empty, and keeps none that grew large', () => {
  const pool = new ReplyBufferPool();
  const small = pool.take();
  small.append(1, 2);
  pool.give(small);
  strictEqual(pool.take(), small);
  strictEqual(small.length, 0);
  const large = pool.take();
  large.append(Buffer.alloc(100_000), 2);
  pool.give(large);
  strictEqual(pool.take() === large, false);
});
