/**
 * The Redis port over real sockets (src/network/tcp.ts, src/server/). Goal: the clients people use work
 * unchanged, and sockets behave as the server assumes. Method: ioredis, node-redis and redis-cli, then bare
 * sockets.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { createClient } from 'redis';
import { STRING_BYTES_MAX } from '../src/keyvalue/layout.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { type RedisServer, startRedisServer } from '../src/server/redis-server.ts';
import { MemoryOrdering } from './support/memory-ordering.ts';

const REDIS_CLI = '/usr/bin/redis-cli';

async function withServer(run: (server: RedisServer) => Promise<void>): Promise<void> {
  const server = await startRedisServer({ ordering: new MemoryOrdering(), port: 0 });
  try {
    await run(server);
  } finally {
    await server.close();
  }
}

/** Resolves with what has come once it is `length` bytes, or the connection has closed. */
function receive(socket: Socket, length: number): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const done = () => resolve(received);
    socket.on('close', done).on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
      if (received.length >= length) done();
    });
  });
}

for (const protocol of [2, 3] as const) {
  test(`clients: ioredis, RESP${protocol}`, () =>
    withServer(async ({ host, port }) => {
      const redis = new Redis({ host, port, protocol, connectionName: 'tests' });
      strictEqual(await redis.set('a', 'hello'), 'OK');
      strictEqual(await redis.get('a'), 'hello');
      strictEqual(await redis.get('none'), null);
      strictEqual(await redis.incr('n'), 1);
      deepStrictEqual(await redis.mget('a', 'none', 'n'), ['hello', null, '1']);
      strictEqual(await redis.client('GETNAME'), 'tests');
      await rejects(redis.incr('a'), { message: 'ERR value is not an integer or out of range' });

      const pipeline = redis.pipeline();
      for (let at = 0; at < 1000; at++) pipeline.set(`k${at}`, at).get(`k${at}`).ping();
      const results = (await pipeline.exec()) ?? [];
      const want = Array.from({ length: 1000 }, (_, at) => ['OK', String(at), 'PONG']).flat();
      deepStrictEqual(
        results.map(([, value]) => value),
        want,
      );
      strictEqual(await redis.dbsize(), 1002);
      strictEqual(await redis.quit(), 'OK');
    }));

  test(`clients: node-redis, RESP${protocol}`, () =>
    withServer(async ({ host, port }) => {
      const redis = createClient({ socket: { host, port }, RESP: protocol, name: 'tests' });
      await redis.connect();
      strictEqual(await redis.set('a', 'hello'), 'OK');
      strictEqual(await redis.get('a'), 'hello');
      strictEqual(await redis.get('none'), null);
      deepStrictEqual(await redis.mGet(['a', 'none']), ['hello', null]);
      strictEqual(await redis.setNX('a', 'x'), 0);
      ok((await redis.info('server')).includes('redis_version:7.'));
      strictEqual((await redis.configGet('maxclients'))['maxclients'], '10000');
      strictEqual(await redis.clientGetName(), 'tests');
      await rejects(redis.incr('a'), { message: 'ERR value is not an integer or out of range' });

      const asked = Array.from({ length: 1000 }, (_, at) => [
        redis.set(`k${at}`, String(at)),
        redis.get(`k${at}`),
      ]);
      const want = Array.from({ length: 1000 }, (_, at) => ['OK', String(at)]).flat();
      deepStrictEqual(await Promise.all(asked.flat()), want);
      await redis.close();
    }));
}

test('clients: redis-cli', async (t) => {
  if (!existsSync(REDIS_CLI)) return t.skip('no redis-cli is installed');
  await withServer(async ({ port }) => {
    const cli = async (...words: string[]) => {
      const { stdout } = await promisify(execFile)(REDIS_CLI, ['-p', String(port), ...words]);
      return stdout.trimEnd();
    };
    strictEqual(await cli('SET', 'greeting', 'hello'), 'OK');
    strictEqual(await cli('GET', 'greeting'), 'hello');
    strictEqual(await cli('-3', 'MGET', 'greeting', 'none'), 'hello');
    ok((await cli('-3', 'CLIENT', 'INFO')).endsWith('resp=3'));
    ok((await cli('COMMAND', 'DOCS', 'get')).includes('Get the value of a key'));
    ok(Number(await cli('COMMAND', 'COUNT')) > 20);
  });
});

test('clients: a value as large as allowed goes in and comes out', () =>
  withServer(async ({ host, port }) => {
    const socket = connect(port, host);
    const value = Buffer.alloc(STRING_BYTES_MAX, 'x');
    const replyLength = `+OK\r\n$${value.length}\r\n\r\n`.length + value.length;
    const received = receive(socket, replyLength);
    socket.write(Buffer.concat([encodeRequest(['SET', 'a', value]), encodeRequest(['GET', 'a'])]));
    const reply = await received;
    strictEqual(reply.length, replyLength);
    ok(reply.endsWith('x\r\n'));
    socket.destroy();
  }));

test('clients: a frame above the limit is answered, then the connection closes', () =>
  withServer(async ({ host, port }) => {
    const socket = connect(port, host);
    const received = receive(socket, Infinity);
    socket.write('*3\r\n$3\r\nSET\r\n$1\r\na\r\n$999999999\r\n');
    strictEqual(await received, '-ERR Protocol error: invalid bulk length\r\n');
  }));

test('clients: one that shuts its side first, as netcat does, gets its answers', () =>
  withServer(async ({ host, port }) => {
    const socket = connect(port, host);
    const received = receive(socket, Infinity);
    socket.end('SET a 1\r\nGET a\r\n');
    strictEqual(await received, '+OK\r\n$1\r\n1\r\n');
  }));

test('clients: a slow reader gets everything, and the server buffers little of it', () =>
  withServer(async (server) => {
    const socket = connect(server.port, server.host);
    const value = Buffer.alloc(1024 * 1024, 'x');
    const gets = Array.from({ length: 100 }, () => encodeRequest(['GET', 'a']));
    socket.write(Buffer.concat([encodeRequest(['SET', 'a', value]), ...gets.slice(0, 1)]));
    await receive(socket, value.length);
    socket.removeAllListeners('data').pause();
    const before = process.memoryUsage().arrayBuffers;
    socket.write(Buffer.concat(gets));
    await new Promise((resolve) => setTimeout(resolve, 200));
    ok(process.memoryUsage().arrayBuffers - before < 32 * 1024 * 1024, 'far from the 100 MiB asked for');
    const length = 100 * (`$${value.length}\r\n\r\n`.length + value.length);
    const received = receive(socket, length);
    socket.resume();
    ok((await received).length >= length);
    socket.destroy();
  }));

test('clients: a port in use is refused with what to do', () =>
  withServer(async ({ port }) => {
    const again = startRedisServer({ ordering: new MemoryOrdering(), port });
    await rejects(again, {
      code: 'TIDEMARK_ADDRESS_UNAVAILABLE',
      message: /^cannot listen on 127\.0\.0\.1:\d+: another program uses this port; stop it, or/,
    });
  }));

test('clients: an address of another machine is refused with what to do', async () => {
  const elsewhere = startRedisServer({ ordering: new MemoryOrdering(), host: '203.0.113.1', port: 0 });
  await rejects(elsewhere, { code: 'TIDEMARK_ADDRESS_UNAVAILABLE', remedy: 'fix-call' });
});

test('clients: a thousand connections that come and go', () =>
  withServer(async (server) => {
    const sockets = Array.from({ length: 1000 }, () => connect(server.port, server.host));
    const replies = sockets.map((socket) => receive(socket, 7));
    for (const socket of sockets) socket.write('PING\r\n');
    deepStrictEqual(new Set(await Promise.all(replies)), new Set(['+PONG\r\n']));
    strictEqual([...server.sessions].length, 1000);
    for (const socket of sockets) socket.resetAndDestroy();
    while ([...server.sessions].length > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }));
