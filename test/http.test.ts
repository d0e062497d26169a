/**
 * HTTP as a door (src/network/http.ts). Goal: whatever comes in gets an answer or an end, within bounds, and
 * nothing of a body is read. Method: bytes over real sockets.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type HttpRequest, listenHttp } from '../src/network/http.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const HOST = '127.0.0.1';

/** As in src/network/http.ts. */
const CONNECTIONS_MAX = 64;

interface Port {
  readonly port: number;
  readonly asked: HttpRequest[];
}

/** A port that says what it was asked. */
async function openPort(t: TestContext, headersMs?: number): Promise<Port> {
  const asked: HttpRequest[] = [];
  const listener = await listenHttp({
    host: HOST,
    port: 0,
    ...(headersMs === undefined ? {} : { headersMs }),
    answer(request) {
      asked.push(request);
      const headers = { 'content-type': 'text/plain' };
      return Promise.resolve({ status: 200, headers, body: `${request.method} ${request.path}` });
    },
  });
  t.after(() => listener.close());
  return { port: listener.port, asked };
}

async function connectTo(port: number): Promise<Socket> {
  const socket = connect(port, HOST);
  socket.on('error', () => undefined); // `close` follows.
  await once(socket, 'connect');
  return socket;
}

/** Everything that comes until the other side closes. */
async function readAll(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  // Not `once`: a reset is an end, too.
  await new Promise((resolve) => void socket.once('close', resolve));
  return text;
}

async function exchange(port: number, bytes: string): Promise<string> {
  const socket = await connectTo(port);
  const answer = readAll(socket);
  socket.write(bytes, 'latin1');
  return answer;
}

const CLOSE = 'Host: x\r\nConnection: close\r\n';

const CASES = [
  { name: 'a request', sent: `GET /a?b=c HTTP/1.1\r\n${CLOSE}\r\n`, want: /200 OK[^]*\r\n\r\nGET \/a$/ },
  { name: 'a request of HTTP/1.0', sent: 'GET /a HTTP/1.0\r\n\r\n', want: /200 OK[^]*GET \/a$/ },
  { name: 'HEAD', sent: `HEAD /abc HTTP/1.1\r\n${CLOSE}\r\n`, want: /content-length: 9\r\n[^]*\r\n\r\n$/i },
  { name: 'no HTTP', sent: '*1\r\n$4\r\nPING\r\n', want: /^HTTP\/1.1 400 / },
  { name: 'TLS', sent: '\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03', want: /^HTTP\/1.1 400 / },
  { name: 'a header without a colon', sent: 'GET / HTTP/1.1\r\nHost\r\n\r\n', want: /^HTTP\/1.1 400 / },
  { name: 'no host', sent: 'GET / HTTP/1.1\r\n\r\n', want: /^HTTP\/1.1 400 / },
  { name: 'HTTP/2', sent: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', want: /^HTTP\/1.1 [45]/ },
  {
    name: 'headers that are too large',
    sent: `GET / HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(9000)}\r\n\r\n`,
    want: /^HTTP\/1.1 431 /,
  },
  { name: 'a path that is too long', sent: `GET /${'x'.repeat(20_000)}`, want: /^HTTP\/1.1 431 / },
  {
    name: 'two lengths',
    sent: `POST / HTTP/1.1\r\n${CLOSE}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    want: /^HTTP\/1.1 400 /,
  },
  {
    name: 'a body that never comes',
    sent: 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n',
    want: /200 OK[^]*connection: close[^]*POST \/$/i,
  },
  {
    name: 'a body in chunks without end',
    sent: `GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(100)}`,
    want: /200 OK[^]*connection: close/i,
  },
  {
    name: 'the question whether to send a body',
    sent: 'PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n',
    want: /^HTTP\/1.1 200 OK[^]*connection: close/i,
  },
  {
    name: 'an upgrade',
    sent: 'GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n\r\n',
    want: /^HTTP\/1.1 200 OK/,
  },
  { name: 'a proxy', sent: 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n', want: /^$/ },
] as const;

for (const { name, sent, want } of CASES) {
  test(`http: ${name} is answered, or ends`, async (t) => {
    const { port } = await openPort(t);
    match(await exchange(port, sent), want);
  });
}

test('http: requests behind one another are answered in order', async (t) => {
  const { port, asked } = await openPort(t);
  const paths = Array.from({ length: 50 }, (_, at) => `/${at}`);
  const sent = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join('');
  const received = await exchange(port, `${sent}GET /last HTTP/1.1\r\n${CLOSE}\r\n`);
  const answers = [...received.matchAll(/\r\n\r\nGET (\/[a-z0-9]+)/g)].map((found) => found[1]);
  deepStrictEqual(answers, [...paths, '/last']);
  strictEqual(asked.length, 51);
});

test('http: who has shut its side gets the answer', async (t) => {
  const { port } = await openPort(t);
  const socket = await connectTo(port);
  const answer = readAll(socket);
  socket.end('GET /half HTTP/1.1\r\nHost: x\r\n\r\n');
  match(await answer, /GET \/half$/);
});

test('http: headers that come too slowly end with 408', async (t) => {
  const { port, asked } = await openPort(t, 100);
  const socket = await connectTo(port);
  const answer = readAll(socket);
  socket.write('GET / HTTP/1.1\r\n');
  while (!socket.closed) {
    if (socket.writable) socket.write('X: y\r\n');
    await sleep(20);
  }
  match(await answer, /^HTTP\/1.1 408 /);
  deepStrictEqual(asked, []);
});

test('http: there is room for so many connections, and again when one closes', async (t) => {
  const { port } = await openPort(t);
  const sockets: Socket[] = [];
  for (let count = 0; count < CONNECTIONS_MAX; count++) sockets.push(await connectTo(port));
  const request = `GET / HTTP/1.1\r\n${CLOSE}\r\n`;
  strictEqual(await exchange(port, request), '', 'one more is closed without a word');
  match(await exchangeOn(sockets.pop()!, request), /200 OK/);
  match(await exchangeOn(sockets.pop()!, request), /200 OK/);
  let answer = '';
  while (answer === '') answer = await exchange(port, request); // The server sees the ends a little later.
  match(answer, /200 OK/);
  for (const socket of sockets) socket.destroy();
});

async function exchangeOn(socket: Socket, bytes: string): Promise<string> {
  const answer = readAll(socket);
  socket.write(bytes);
  return answer;
}

test('http: closing cuts who is connected, and does not wait', async (t) => {
  const listener = await listenHttp({ host: HOST, port: 0, answer: () => new Promise(() => undefined) });
  t.after(() => listener.close());
  const [idle, waiting] = [await connectTo(listener.port), await connectTo(listener.port)];
  waiting.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  const ends = [readAll(idle), readAll(waiting)];
  await listener.close();
  deepStrictEqual(await Promise.all(ends), ['', '']);
});

test('http: a port that is taken is one clear error', async (t) => {
  const { port } = await openPort(t);
  const again = listenHttp({ host: HOST, port, answer: () => Promise.reject(new Error('never asked')) });
  await rejects(again, { code: 'TIDEMARK_ADDRESS_UNAVAILABLE', remedy: 'fix-call' });
});

test('http: garbage from a seed is survived', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const { port } = await openPort(t, 1000);
  for (let round = 0; round < 20; round++) {
    const sent = Array.from({ length: 10 }, () => mangled(random));
    // Shut, so that what looks unfinished is over, and nobody waits for more.
    await Promise.all(
      sent.map(async (bytes) => {
        const socket = await connectTo(port);
        const answer = readAll(socket);
        socket.end(bytes);
        await answer;
      }),
    );
  }
  const after = await exchange(port, `GET /after HTTP/1.1\r\n${CLOSE}\r\n`);
  ok(after.endsWith('GET /after'), after);
});

/** A request with some bytes changed, cut or doubled. */
function mangled(random: SeededRandom): Buffer {
  const { sent } = CASES[random.below(CASES.length)]!;
  const bytes = Buffer.from(sent, 'latin1');
  for (let count = random.below(5); count > 0; count--) {
    bytes[random.below(bytes.length)] = random.below(256);
  }
  const from = random.below(bytes.length);
  return random.below(2) === 0 ? bytes.subarray(0, from) : Buffer.concat([bytes, bytes.subarray(from)]);
}
