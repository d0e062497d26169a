/**
 * Request framing (src/keyvalue/request.ts). Goal: the same requests whatever the chunks, every malformed
 * input an outcome and never a crash, no memory on the word of a length. Method: every split point, tables,
 * seeded fuzz.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { splitInline } from '../src/keyvalue/inline.ts';
import {
  ARGUMENTS_MAX,
  BULK_BYTES_MAX,
  encodeRequest,
  LINE_BYTES_MAX,
  REQUEST_BYTES_MAX,
  RequestParser,
  RequestProgress,
} from '../src/keyvalue/request.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

/** What a stream amounts to: its requests, then why it ended. */
type Parsed = { readonly requests: string[][]; readonly end: string };

/**
 * Feeds a stream in chunks that end at `cuts`, as a server would: unfinished bytes are kept and continued.
 */
function parseInChunks(parser: RequestParser, stream: Uint8Array, cuts: readonly number[]): Parsed {
  const requests: string[][] = [];
  const progress = new RequestProgress();
  let from = 0;
  for (const to of [...cuts, stream.length]) {
    while (from < to) {
      const outcome = parser.parse(stream, from, to, progress);
      if (outcome === 'invalid') return { requests, end: parser.reason };
      if (outcome === 'incomplete') break;
      requests.push(wordsOf(parser));
      from = parser.nextOffset;
    }
  }
  return { requests, end: from === stream.length ? 'all taken' : 'incomplete' };
}

function parseAll(stream: Uint8Array | string): Parsed {
  return parseInChunks(new RequestParser(), Buffer.from(stream as string, 'latin1'), []);
}

function wordsOf(parser: RequestParser): string[] {
  return Array.from({ length: parser.count }, (_, at) => Buffer.from(parser.argument(at)).toString('latin1'));
}

const PIPELINE = Buffer.concat([
  encodeRequest(['SET', 'key', 'value with\r\nline']),
  Buffer.from('PING\r\n'),
  encodeRequest(['MGET', '', 'b']),
  Buffer.from('\r\n*0\r\n*-1\r\n'),
  encodeRequest(['GET', Buffer.from([0, 13, 10, 255])]),
  Buffer.from('set "a b" \'c\'\n'),
]);
const PIPELINE_REQUESTS = [
  ['SET', 'key', 'value with\r\nline'],
  ['PING'],
  ['MGET', '', 'b'],
  [],
  [],
  [],
  ['GET', '\x00\r\n\xff'],
  ['set', 'a b', 'c'],
];

test('request: a pipeline split at every point, and at every pair of points, gives the same requests', () => {
  const parser = new RequestParser();
  const want = { requests: PIPELINE_REQUESTS, end: 'all taken' };
  for (let first = 0; first <= PIPELINE.length; first++) {
    for (let second = first; second <= PIPELINE.length; second++) {
      deepStrictEqual(parseInChunks(parser, PIPELINE, [first, second]), want, `split at ${first}, ${second}`);
    }
  }
});

test('request: byte by byte gives the same requests', () => {
  const cuts = Array.from({ length: PIPELINE.length }, (_, at) => at);
  deepStrictEqual(parseInChunks(new RequestParser(), PIPELINE, cuts).requests, PIPELINE_REQUESTS);
});

test('request: every prefix of a frame is incomplete', () => {
  const frame = encodeRequest(['SET', 'key', 'x'.repeat(100)]);
  for (let length = 1; length < frame.length; length++) {
    const got = new RequestParser().parse(frame.subarray(0, length), 0, length, new RequestProgress());
    strictEqual(got, 'incomplete', `${length} bytes`);
  }
});

for (const { name, stream, end } of [
  { name: 'count not a number', stream: '*x\r\n', end: 'invalid multibulk length' },
  { name: 'count with a plus', stream: '*+1\r\n', end: 'invalid multibulk length' },
  { name: 'count with a leading zero', stream: '*01\r\n', end: 'invalid multibulk length' },
  { name: 'count empty', stream: '*\r\n', end: 'invalid multibulk length' },
  { name: 'count without a line feed', stream: '*1\rx', end: 'invalid multibulk length' },
  { name: 'count out of range', stream: '*3000000000\r\n', end: 'invalid multibulk length' },
  { name: 'count above the limit', stream: `*${ARGUMENTS_MAX + 1}\r\n`, end: 'invalid multibulk length' },
  { name: 'count at the limit', stream: `*${ARGUMENTS_MAX}\r\n`, end: 'incomplete' },
  { name: 'count negative', stream: '*-10\r\n', end: 'all taken' },
  { name: 'no bulk', stream: '*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n', end: "expected '$', got 'f'" },
  { name: 'no bulk, not printable', stream: '*1\r\n\x01', end: "expected '$', got '\\x01'" },
  { name: 'bulk length negative', stream: '*1\r\n$-10\r\n', end: 'invalid bulk length' },
  { name: 'bulk length not a number', stream: '*1\r\n$blabla\r\n', end: 'invalid bulk length' },
  { name: 'bulk length out of range', stream: '*1\r\n$2000000000\r\n', end: 'invalid bulk length' },
  { name: 'bulk above the limit', stream: `*1\r\n$${BULK_BYTES_MAX + 1}\r\n`, end: 'invalid bulk length' },
  { name: 'bulk at the limit', stream: `*1\r\n$${BULK_BYTES_MAX}\r\n`, end: 'incomplete' },
  { name: 'bulk longer than it says', stream: '*1\r\n$1\r\nab\r\n', end: 'expected CRLF after a bulk' },
  {
    name: 'count without an end',
    stream: `*${'\0'.repeat(LINE_BYTES_MAX + 1)}`,
    end: 'too big mbulk count string',
  },
  {
    name: 'length without an end',
    stream: `*1\r\n$${'1'.repeat(LINE_BYTES_MAX + 1)}`,
    end: 'too big bulk count string',
  },
  { name: 'line without an end', stream: 'x'.repeat(LINE_BYTES_MAX + 1), end: 'too big inline request' },
  { name: 'line as long as allowed', stream: 'x'.repeat(LINE_BYTES_MAX), end: 'incomplete' },
  { name: 'quotes unbalanced', stream: 'set """key""" v\r\n', end: 'unbalanced quotes in request' },
  { name: 'quotes open', stream: "set 'key\r\n", end: 'unbalanced quotes in request' },
]) {
  test(`request: ${name}`, () => strictEqual(parseAll(stream).end, end));
}

test('request: a frame above the limit is refused at the header of the argument that exceeds it', () => {
  const bulk = Buffer.concat([
    Buffer.from(`$${BULK_BYTES_MAX}\r\n`),
    Buffer.alloc(BULK_BYTES_MAX),
    Buffer.from('\r\n'),
  ]);
  const stream = Buffer.concat([
    Buffer.from('*9\r\n'),
    bulk,
    bulk,
    bulk,
    Buffer.from(`$${BULK_BYTES_MAX}\r\n`),
  ]);
  ok(stream.length < REQUEST_BYTES_MAX);
  strictEqual(parseInChunks(new RequestParser(), stream, []).end, `request above ${REQUEST_BYTES_MAX} bytes`);
});

for (const { line, words } of [
  { line: '  a  b\tc ', words: ['a', 'b', 'c'] },
  { line: String.raw`"\x41\n\t\"\q" x`, words: ['A\n\t"q', 'x'] },
  { line: String.raw`"\xzz"`, words: ['xzz'] },
  { line: String.raw`'it\'s \n'`, words: [String.raw`it's \n`] },
  { line: '""', words: [''] },
  { line: 'a"b c"', words: ['ab c'] },
  { line: '"a"b', words: null },
  { line: String.raw`"a\"`, words: null },
  { line: String.raw`'a\'`, words: null },
  { line: '', words: [] },
]) {
  test(`request: inline ${line}`, () => {
    const got = splitInline(Buffer.from(line, 'latin1'));
    deepStrictEqual(got?.map((word) => Buffer.from(word).toString('latin1')) ?? null, words);
  });
}

test('request: an inline request becomes the frame it stands for', () => {
  const parser = new RequestParser();
  const line = Buffer.from('set a "b c"\r\nrest');
  strictEqual(parser.parse(line, 0, line.length, new RequestProgress()), 'complete');
  deepStrictEqual(Buffer.from(parser.frame()), encodeRequest(['set', 'a', 'b c']));
  strictEqual(parser.nextOffset, 13);
});

test('request: only one whole frame is a command', () => {
  const parser = new RequestParser();
  const frame = encodeRequest(['GET', 'a']);
  strictEqual(parser.parseWhole(frame), true);
  for (const bad of [
    Buffer.alloc(0),
    frame.subarray(1),
    frame.subarray(0, frame.length - 1),
    Buffer.concat([frame, frame]),
    Buffer.from('GET a\r\n'),
    Buffer.from('*0\r\n'),
  ]) {
    strictEqual(parser.parseWhole(bad), false, bad.toString());
  }
});

test('request: many small chunks of a large request cost linear time', () => {
  const words = Array.from({ length: 200_000 }, (_, at) => String(at));
  const frame = encodeRequest(words);
  const parser = new RequestParser();
  const progress = new RequestProgress();
  const started = performance.now();
  for (let to = 1; to < frame.length; to += 16) {
    strictEqual(parser.parse(frame, 0, to, progress), 'incomplete');
  }
  strictEqual(parser.parse(frame, 0, frame.length, progress), 'complete');
  strictEqual(parser.text(199_999), '199999');
  ok(performance.now() - started < 5000, 'quadratic time would take minutes');
});

const PIECES = [
  '*1\r\n',
  '*2\r\n',
  '$3\r\n',
  'GET\r\n',
  '$-1\r\n',
  '\r\n',
  '\n',
  '"',
  "'",
  '\\x4',
  ' a ',
  '*',
  '$',
  '9',
];

function malformedStream(random: SeededRandom): Uint8Array {
  if (random.happens(0.3)) {
    const pieces = Array.from({ length: random.between(1, 12) }, () => random.pick(PIECES));
    return Buffer.from(pieces.join(''), 'latin1');
  }
  const damaged = Uint8Array.from(PIPELINE.subarray(0, random.between(1, PIPELINE.length)));
  for (let change = random.between(1, 4); change > 0; change--) {
    damaged[random.below(damaged.length)] = random.happens(0.5)
      ? random.below(256)
      : random.pick([42, 36, 13, 10, 48, 45]);
  }
  return damaged;
}

test('request: 100,000 malformed streams end the same whatever the chunks, in bounded memory', (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const whole = new RequestParser();
  const cut = new RequestParser();
  for (let run = 0; run < 100_000; run++) {
    const stream = malformedStream(random);
    const cuts = Array.from({ length: random.below(4) }, () => random.below(stream.length + 1));
    const want = parseInChunks(whole, stream, []);
    const got = parseInChunks(
      cut,
      stream,
      cuts.sort((left, right) => left - right),
    );
    if (got.end !== want.end || got.requests.length !== want.requests.length)
      deepStrictEqual(got, want, `run ${run}`);
  }
  const { arrayBuffers } = process.memoryUsage();
  ok(arrayBuffers < 256 * 1024 * 1024, `${arrayBuffers} bytes of buffers`);
});
