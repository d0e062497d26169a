/**
 * The Redis port against transcripts of a real Redis 7.0 (test/transcripts/). Goal: the same reply, byte for
 * byte, to every line. Method: the files hold lines as one types them, each followed by what Redis 7.0.15
 * replied; `REWRITE=1 npm test -- transcripts` asks an installed Redis again. Where one is installed, a
 * random stream of commands goes to both as well.
 */
import { strictEqual } from 'node:assert';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { splitInline } from '../src/keyvalue/inline.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { type Client, withPort } from './support/port.ts';
import { isRewriting, ROOT } from './support/project.ts';
import { RealRedis } from './support/real-redis.ts';
import { randomCommand } from './support/redis-stream.ts';
import { seedOf } from './support/seed.ts';

const FOLDER = join(ROOT, 'test/transcripts');
const PROMPT = '> ';

type Asked = Pick<Client, 'ask'>;

/** Commands to both in the random test. */
const STREAM_COMMANDS = 20_000;

for (const file of readdirSync(FOLDER).sort()) {
  const path = join(FOLDER, file);
  const text = readFileSync(path, 'utf8');

  test(`redis transcripts: ${file}`, () =>
    withPort(async (port) => {
      const said = await transcriptOf(port.connect(), text);
      if (!isRewriting) strictEqual(said, text);
    }));

  test(`redis transcripts: ${file} is what a real Redis says`, async (t) => {
    const redis = await RealRedis.start();
    if (redis === null) return t.skip('no redis-server is installed');
    try {
      const said = await transcriptOf(redis, text);
      if (isRewriting) writeFileSync(path, said);
      else strictEqual(said, text);
    } finally {
      await redis.stop();
    }
  });
}

test('redis transcripts: a random stream of commands gets the same replies from a real Redis', async (t) => {
  const redis = await RealRedis.start();
  if (redis === null) return t.skip('no redis-server is installed');
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  try {
    await withPort(async (port) => {
      const client = port.connect();
      for (let at = 0; at < STREAM_COMMANDS; at++) {
        const words = randomCommand(random);
        const [ours, theirs]: string[] = await Promise.all([
          client.ask(encodeRequest(words)),
          redis.ask(encodeRequest(words)),
        ]);
        const shownWords = words.map((word) => JSON.stringify(word)).join(' ');
        strictEqual(comparable(ours!, words), comparable(theirs!, words), `command ${at}: ${shownWords}`);
      }
    });
  } finally {
    await redis.stop();
  }
});

/** The file again, with the replies that `asked` gives. */
async function transcriptOf(asked: Asked, text: string): Promise<string> {
  const said: string[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('#') || line === '') said.push(line);
    if (!line.startsWith(PROMPT)) continue;
    const words = splitInline(Buffer.from(line.slice(PROMPT.length), 'latin1'));
    said.push(line, shown(await asked.ask(encodeRequest(words ?? []))));
  }
  return said.join('\n');
}

/** A reply on one line: line ends as blanks, what does not print as \xHH. */
function shown(reply: string): string {
  return reply
    .replace(/\r\n$/, '')
    .replaceAll('\r\n', ' ')
    .replace(/[^ -~]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** The order of fields is each server's own once a hash is large, and so is that of keys. */
function comparable(reply: string, words: readonly string[]): string {
  const command = words[0]!.toUpperCase();
  if (command === 'HGETALL') return sortedItems(reply, 2);
  if (command === 'EXEC') return reply.split('\r\n').sort().join('\r\n'); // It may hold any of them.
  return ['HKEYS', 'HVALS', 'KEYS'].includes(command) ? sortedItems(reply, 1) : reply;
}

/** The items of an array of strings, `width` of them together, in order. */
function sortedItems(reply: string, width: number): string {
  // The line end of the last item is that of the reply: an empty item has none of its own.
  const parts = reply.replace(/\r\n$/, '').split(/\r\n(?=\$\d+\r\n)/);
  const items: string[] = [];
  for (let at = 1; at < parts.length; at += width) items.push(parts.slice(at, at + width).join(' '));
  return [parts[0], ...items.sort()].join('\r\n');
}
