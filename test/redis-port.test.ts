/**
 * The Redis port as a whole (src/server/ on a node). Goal: what Redis does not have, and what transcripts
 * cannot show: large hashes, scans while keys change, sessions, transactions of several clients, passwords.
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { splitInline } from '../src/keyvalue/inline.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { SESSIONS_MAX } from '../src/keyvalue/sessions.ts';
import { buffered } from '../src/log/durability.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { type Client, type Port, withPort } from './support/port.ts';

async function say(client: Client, ...lines: string[]): Promise<string[]> {
  const replies: string[] = [];
  for (const line of lines) {
    const reply = await client.ask(encodeRequest(splitInline(Buffer.from(line, 'latin1')) ?? []));
    replies.push(reply.trimEnd().replaceAll('\r\n', ' '));
  }
  return replies;
}

/** The strings of an array, or of an array in an array. */
function stringsIn(reply: string): string[] {
  return [...reply.matchAll(/\$\d+ ([^ ]*)/g)].map(([, text]) => text!);
}

test('redis port: a hash grows large, is scanned while it changes, shrinks and goes without a trace', () =>
  withPort(async (port) => {
    const client = port.connect();
    const random = new SeededRandom(3);
    const model = new Map<string, string>();
    const fieldOf = (at: number) => `field${at}`;
    for (let at = 0; at < 2_000; at++) {
      const field = fieldOf(random.below(600));
      if (random.happens(0.3)) {
        deepStrictEqual(await say(client, `HDEL h ${field}`), [model.delete(field) ? ':1' : ':0']);
      } else {
        deepStrictEqual(await say(client, `HSET h ${field} v${at}`), [model.has(field) ? ':0' : ':1']);
        model.set(field, `v${at}`);
      }
    }
    deepStrictEqual(await say(client, 'HLEN h', 'OBJECT ENCODING h', 'DBSIZE'), [
      `:${model.size}`,
      '$9 hashtable',
      ':1',
    ]);
    const [all] = await say(client, 'HGETALL h');
    deepStrictEqual(new Map(pairs(stringsIn(all!))), model);

    const steady = [...model.keys()].filter((_, at) => at % 3 === 0);
    const found = new Set<string>();
    let cursor = '0';
    do {
      const [next, ...items] = stringsIn((await say(client, `HSCAN h ${cursor} COUNT 7`))[0]!);
      for (const [field] of pairs(items)) found.add(field);
      cursor = next!;
      const field = fieldOf(random.below(600));
      if (!steady.includes(field))
        await say(client, random.happens(0.7) ? `HDEL h ${field}` : `HSET h ${field} x`);
    } while (cursor !== '0');
    deepStrictEqual(
      steady.filter((field) => !found.has(field)),
      [],
    );

    await say(client, 'COPY h copy', 'RENAME h g', 'SET copy plain');
    deepStrictEqual(await say(client, 'TYPE g', 'DBSIZE', 'DEL g copy', 'DBSIZE', 'SCAN 0 COUNT 1000'), [
      '+hash',
      ':2',
      ':2',
      ':0',
      '*2 $1 0 *0',
    ]);
  }));

test('redis port: SCAN finds every key that is there all the time, while others come and go', () =>
  withPort(async (port) => {
    const client = port.connect();
    const random = new SeededRandom(5);
    for (let at = 0; at < 3_000; at++) client.send(encodeRequest(['SET', `steady${at}`, 'x']));
    for (let at = 0; at < 3_000; at++) await client.reply();
    const found = new Set<string>();
    let cursor = '0';
    let calls = 0;
    do {
      const [next, ...keys] = stringsIn((await say(client, `SCAN ${cursor} MATCH steady* COUNT 50`))[0]!);
      for (const key of keys) found.add(key);
      cursor = next!;
      calls++;
      await say(client, `SET other${random.below(20_000)} y`, `DEL other${random.below(20_000)}`);
      if (calls === 20) {
        const many = Array.from({ length: 20_000 }, (_, at) => [`other${at}`, 'z']).flat();
        strictEqual(await client.ask(encodeRequest(['MSET', ...many])), '+OK\r\n');
      }
    } while (cursor !== '0');
    strictEqual(found.size, 3_000);
    ok(calls > 50, `${calls} calls`);
    // A cursor of another run begins anew, rather than leaving out what it cannot know.
    const [next, ...first] = stringsIn((await say(client, 'SCAN 12345 COUNT 10'))[0]!);
    deepStrictEqual([next, ...first], stringsIn((await say(client, 'SCAN 0 COUNT 10'))[0]!));
  }));

test('redis port: FLUSHALL leaves nothing of large hashes, and sessions', () =>
  withPort(async (port) => {
    const client = port.connect();
    const fields = Array.from({ length: 300 }, (_, at) => [`f${at}`, 'v']).flat();
    await client.ask(encodeRequest(['HSET', 'h', ...fields]));
    await say(client, 'SET a 1', 'TIDEMARK SESSION s 1 INCR n', 'FLUSHALL');
    deepStrictEqual(await say(client, 'DBSIZE', 'KEYS *', 'TIDEMARK SESSION s 1 INCR n', 'EXISTS n'), [
      ':0',
      '*0',
      ':1',
      ':0',
    ]);
    await client.ask(encodeRequest(['HSET', 'h', ...fields]));
    deepStrictEqual(await say(client, 'HLEN h', 'DEL h', 'DBSIZE'), [':300', ':1', ':0']);
  }));

test('redis port: a command of a session runs once, and its answer is given again', () =>
  withPort(async (port) => {
    const client = port.connect();
    const unknown = /^-ERR TIDEMARK_SESSION_EXPIRED: /;
    deepStrictEqual(
      await say(
        client,
        ...Array(3).fill('TIDEMARK SESSION s 1 INCR n'),
        'TIDEMARK SESSION s 2 INCRBY n 5',
        'GET n',
      ),
      [':1', ':1', ':1', ':6', '$1 6'],
    );
    match((await say(client, 'TIDEMARK SESSION s 1 INCR n'))[0]!, unknown);
    match((await say(client, 'TIDEMARK SESSION new 2 INCR n'))[0]!, unknown);
    const wrong = '-ERR value is not an integer or out of range';
    await say(client, 'SET text x');
    deepStrictEqual(
      await say(
        client,
        'TIDEMARK SESSION s 3 INCR text',
        'SET text 1',
        'TIDEMARK SESSION s 3 INCR text',
        'GET text',
      ),
      [wrong, '+OK', wrong, '$1 1'],
    );
    deepStrictEqual(
      await say(client, 'TIDEMARK SESSION s 4 HSET h a 1 b 2', 'TIDEMARK SESSION s 4 HSET h c 3', 'HLEN h'),
      [':2', ':2', ':2'],
    );
    deepStrictEqual(await say(client, 'TIDEMARK SESSION s 5 GET n', 'TIDEMARK SESSION s 0 INCR n'), [
      '-ERR a session takes commands that write: others need none',
      wrong,
    ]);
    match(
      (await say(client, 'TIDEMARK SESSION s 6 TIDEMARK SESSION t 1 INCR n'))[0]!,
      /takes commands that write/,
    );
    match(
      (await say(client, 'TIDEMARK SESSION s 6 tidemark.exec each 0 2 INCR n'))[0]!,
      /takes commands that write/,
    );
    const large = 'v'.repeat(20_000);
    await say(client, `SET big ${large}`);
    strictEqual((await say(client, 'TIDEMARK SESSION s 7 GETDEL big'))[0]!.length, `$20000 ${large}`.length);
    match((await say(client, 'TIDEMARK SESSION s 7 GETDEL big'))[0]!, /^-ERR the command has taken effect/);
  }));

test('redis port: sessions are bounded: the oldest is forgotten, and refused rather than run again', () =>
  withPort(async (port) => {
    const client = port.connect();
    for (let at = 0; at <= SESSIONS_MAX; at++) {
      client.send(encodeRequest(['TIDEMARK', 'SESSION', `s${at}`, '1', 'INCR', 'n']));
    }
    for (let at = 0; at <= SESSIONS_MAX; at++) strictEqual(await client.reply(), `:${at + 1}\r\n`);
    match((await say(client, 'TIDEMARK SESSION s0 2 INCR n'))[0]!, /^-ERR TIDEMARK_SESSION_EXPIRED/);
    deepStrictEqual(await say(client, `TIDEMARK SESSION s${SESSIONS_MAX} 1 INCR n`, 'DBSIZE'), [
      `:${SESSIONS_MAX + 1}`,
      ':1',
    ]);
  }));

test('redis port: a transaction of one client fails when another changes what it watches', () =>
  withPort(async (port) => {
    const [one, two] = [port.connect(), port.connect()];
    const fields = Array.from({ length: 300 }, (_, at) => [`f${at}`, 'v']).flat();
    await one.ask(encodeRequest(['HSET', 'h', ...fields]));
    for (const change of ['SET a 2', 'EXPIRE a 100', 'DEL a', 'HSET h f0 w', 'HDEL h f1', 'FLUSHALL']) {
      await say(one, 'SET a 1', 'HSET h f1 v', 'WATCH a h');
      await say(two, change);
      deepStrictEqual(
        await say(one, 'MULTI', 'SET b 1', 'EXEC', 'EXISTS b'),
        ['+OK', '+QUEUED', '*-1', ':0'],
        change,
      );
    }
    // All in one go: EXEC waits until WATCH has seen the keys.
    one.send(
      Buffer.concat(
        [['SET', 'a', '1'], ['WATCH', 'a'], ['MULTI'], ['INCR', 'a'], ['EXEC'], ['GET', 'a']].map((words) =>
          encodeRequest(words),
        ),
      ),
    );
    const replies: string[] = [];
    for (let at = 0; at < 6; at++) replies.push(await one.reply());
    deepStrictEqual(replies, ['+OK\r\n', '+OK\r\n', '+OK\r\n', '+QUEUED\r\n', '*1\r\n:2\r\n', '$1\r\n2\r\n']);
  }));

test('redis port: TIDEMARK ATOMIC undoes all commands when one fails', () =>
  withPort(async (port) => {
    const client = port.connect();
    deepStrictEqual(
      await say(
        client,
        'SET a x',
        'MULTI',
        'SET b 1',
        'INCR b',
        'INCR a',
        'SET c 1',
        'TIDEMARK ATOMIC',
        'EXISTS b c',
      ),
      [
        '+OK',
        '+OK',
        '+QUEUED',
        '+QUEUED',
        '+QUEUED',
        '+QUEUED',
        '-EXECABORT Transaction undone because command 3 failed: ERR value is not an integer or out of range',
        ':0',
      ],
    );
    deepStrictEqual(await say(client, 'MULTI', 'SET b 1', 'PING', 'TIDEMARK ATOMIC', 'GET b'), [
      '+OK',
      '+QUEUED',
      '+QUEUED',
      '*2 +OK +PONG',
      '$1 1',
    ]);
    deepStrictEqual(await say(client, 'TIDEMARK ATOMIC'), ['-ERR ATOMIC without MULTI']);
  }));

test('redis port: TIDEMARK RANGE gives keys in order', () =>
  withPort(async (port) => {
    const client = port.connect();
    await say(client, 'MSET b 1 a 1 d 1 c 1 aa 1', 'HSET h f v');
    deepStrictEqual(
      await say(
        client,
        'TIDEMARK RANGE "" ""',
        'TIDEMARK RANGE aa d',
        'TIDEMARK RANGE a "" LIMIT 2',
        'TIDEMARK RANGE x z',
        'TIDEMARK RANGE a b LIMIT x',
      ),
      [
        '*6 $1 a $2 aa $1 b $1 c $1 d $1 h',
        '*3 $2 aa $1 b $1 c',
        '*2 $1 a $2 aa',
        '*0',
        '-ERR value is not an integer or out of range',
      ],
    );
  }));

test('redis port: without the password nothing is answered', () =>
  withPort(
    async (port) => {
      const client = port.connect();
      const refused = '-NOAUTH Authentication required.';
      deepStrictEqual(
        await say(
          client,
          'GET a',
          'MULTI',
          'PING',
          'AUTH wrong',
          'HELLO 3 AUTH default wrong',
          'AUTH secret',
          'PING',
        ),
        [
          refused,
          refused,
          refused,
          '-WRONGPASS invalid username-password pair or user is disabled.',
          '-WRONGPASS invalid username-password pair or user is disabled.',
          '+OK',
          '+PONG',
        ],
      );
      deepStrictEqual(await say(client, 'RESET', 'GET a'), ['+RESET', refused]);
      match((await say(client, 'HELLO 2'))[0]!, /^-NOAUTH HELLO must be called/);
      ok((await say(client, 'HELLO 2 AUTH default secret'))[0]!.startsWith('*14'));
      deepStrictEqual(await say(client, 'GET a'), ['$-1']);
    },
    { password: 'secret' },
  ));

test('redis port: status, memory and what is refused say so', () =>
  withPort(async (port) => {
    const client = port.connect();
    const [status] = await say(client, 'TIDEMARK STATUS');
    for (const name of ['applied_index', 'connected_clients', 'state_bytes'])
      ok(status!.includes(name), name);
    await say(client, 'SET a 1');
    match((await say(client, 'MEMORY USAGE a'))[0]!, /^:\d+$/);
    for (const line of ['EVAL x 0', 'EVALSHA x 0', 'SCRIPT LOAD x', 'FUNCTION LOAD x']) {
      match((await say(client, line))[0]!, /^-ERR this server runs no scripts/, line);
    }
    match((await say(client, 'CONFIG SET appendonly no'))[0]!, /can't set immutable config$/);
    deepStrictEqual(await say(client, 'CONFIG SET hz 5', 'CONFIG GET hz'), ['+OK', '*2 $2 hz $1 5']);
  }));

test('redis port: TIDEMARK SYNC answers when everything before it is durable, and says so', async () => {
  const unsynced = (port: Port): number => port.node.stats().commandsUnsynced;
  await withPort(
    async (port) => {
      const client = port.connect();
      deepStrictEqual(await say(client, 'CONFIG GET appendfsync'), ['*2 $11 appendfsync $8 everysec']);
      deepStrictEqual(await say(client, 'SET a 1', 'INCR a'), ['+OK', ':2']);
      strictEqual(unsynced(port), 2);
      match((await say(client, 'TIDEMARK STATUS'))[0]!, /durability \$8 buffered.*commands_unsynced :2/);
      for (const line of ['INCR a', 'TIDEMARK SYNC'])
        client.send(encodeRequest(line.split(' ').map((word) => Buffer.from(word))));
      deepStrictEqual([await client.reply(), await client.reply()], [':3\r\n', '+OK\r\n']);
      strictEqual(unsynced(port), 0);
      match((await say(client, 'TIDEMARK SYNC now'))[0]!, /^-ERR wrong number of arguments/);
    },
    { durability: buffered({ intervalMs: 60_000 }) },
  );
  await withPort(async (port) => {
    const client = port.connect();
    deepStrictEqual(await say(client, 'CONFIG GET appendfsync'), ['*2 $11 appendfsync $6 always']);
    deepStrictEqual(await say(client, 'SET a 1', 'TIDEMARK SYNC'), ['+OK', '+OK']);
    strictEqual(unsynced(port), 0);
  });
});

function pairs(items: readonly string[]): [string, string][] {
  return Array.from({ length: items.length / 2 }, (_, at) => [items[2 * at]!, items[2 * at + 1]!]);
}
