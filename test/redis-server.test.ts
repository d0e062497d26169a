/**
 * The Redis port (src/server/). Goal: each client gets its answers in the order of its requests, whatever the
 * ordering, the chunks and the other clients do, in bounded memory. Method: cases and seeded runs over a
 * network in memory; then real sockets with the clients people use.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { TidemarkError } from '../src/base/errors.ts';
import { toIndex } from '../src/base/positions.ts';
import type { Clock } from '../src/base/time.ts';
import { Rejection } from '../src/engine/machine.ts';
import { keyValueMachine } from '../src/keyvalue/machine.ts';
import type { ReplyValue } from '../src/keyvalue/reply-value.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { CLOSE_WAIT_MS, type RedisServerOptions, startRedisServer } from '../src/server/redis-server.ts';
import { ReplyBuffer } from '../src/server/reply.ts';
import { MemoryNetwork } from '../src/testing/memory-network.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { MapState } from './support/map-state.ts';
import { MemoryOrdering, type MemoryOrderingOptions } from './support/memory-ordering.ts';
import { manualCheckpoints } from './support/port.ts';
import { seedOf } from './support/seed.ts';

type Setup = Partial<RedisServerOptions> & { readonly ordered?: MemoryOrderingOptions };

/** A server on a network in memory. By default the ordering applies only when told to. */
async function serve({ ordered = { isManual: true }, ...options }: Setup = {}) {
  const network = new MemoryNetwork();
  const ordering = new MemoryOrdering(ordered);
  const server = await startRedisServer({ ordering, port: 1, listen: network.listen, ...options });
  return { server, ordering, connect: () => network.connect() };
}

/** Lets the replies of the turn be written. */
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

const frame = (...words: (string | Uint8Array)[]) => encodeRequest(words);

function frames(...lines: string[]): Buffer {
  return Buffer.concat(lines.map((line) => encodeRequest(line.split(' '))));
}

test('redis-server: nothing is answered before it is applied, and then in order', async () => {
  const { ordering, connect } = await serve();
  const peer = connect();
  peer.send(
    frames('GET a', 'SET a 1', 'GET a', 'PING', 'INCR a', 'nosuch', 'GET', 'GET a', 'DEL a', 'ECHO x'),
  );
  await turn();
  strictEqual(peer.receive().toString(), '$-1\r\n', 'only the read that had nothing before it');
  ordering.applyBatch();
  await turn();
  strictEqual(
    peer.receive().toString(),
    '+OK\r\n$1\r\n1\r\n+PONG\r\n:2\r\n' +
      "-ERR unknown command 'nosuch', with args beginning with: \r\n" +
      "-ERR wrong number of arguments for 'get' command\r\n" +
      '$1\r\n2\r\n:1\r\n$1\r\nx\r\n',
  );
});

test('redis-server: a write that the machine refuses is answered with its error, in its place', async () => {
  const { ordering, connect } = await serve();
  const peer = connect();
  peer.send(frames('SET a x', 'INCR a', 'GET a'));
  ordering.applyBatch();
  await turn();
  strictEqual(
    peer.receive().toString(),
    '+OK\r\n-ERR value is not an integer or out of range\r\n$1\r\nx\r\n',
  );
});

test('redis-server: all replies of a turn leave in one write', async () => {
  const { ordering, connect } = await serve();
  const peer = connect();
  peer.send(frames('SET a 1', 'SET b 2', 'PING'));
  ordering.applyBatch();
  strictEqual(peer.writes, 0);
  await turn();
  strictEqual(peer.writes, 1);
});

test('redis-server: HELLO 3 behind a write changes the replies after it only', async () => {
  const { ordering, connect } = await serve();
  const peer = connect();
  peer.send(frames('SET a 1', 'GET none', 'HELLO 3', 'GET none'));
  ordering.applyBatch();
  await turn();
  const reply = peer.receive().toString();
  ok(reply.startsWith('+OK\r\n$-1\r\n%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n'), reply);
  ok(reply.endsWith('$7\r\nmodules\r\n*0\r\n_\r\n'), reply);
});

for (const { name, last, reply } of [
  { name: 'QUIT', last: frame('quit'), reply: '+OK\r\n' },
  {
    name: 'a malformed frame',
    last: Buffer.from('*1\r\n$x\r\n'),
    reply: '-ERR Protocol error: invalid bulk length\r\n',
  },
]) {
  test(`redis-server: ${name} closes after the answers before it, and takes nothing after it`, async () => {
    for (const isInFlight of [true, false]) {
      const { ordering, connect } = await serve();
      const peer = connect();
      if (isInFlight) peer.send(frame('SET', 'a', '1'));
      peer.send(Buffer.concat([last, frame('SET', 'b', '2')]));
      peer.send(frame('SET', 'c', '3'));
      await turn();
      strictEqual(peer.isClosed, !isInFlight);
      ordering.applyBatch();
      await turn();
      strictEqual(peer.receive().toString(), (isInFlight ? '+OK\r\n' : '') + reply);
      ok(peer.isClosed);
      deepStrictEqual(ordering.state.size, isInFlight ? 1 : 0);
    }
  });
}

test('redis-server: a client that shuts its side still gets its answers', async () => {
  const { ordering, connect } = await serve();
  const peer = connect();
  peer.send(Buffer.from('SET a 1\r\nGET a\r\nGET'));
  peer.shut();
  await turn();
  strictEqual(peer.isClosed, false);
  ordering.applyBatch();
  await turn();
  strictEqual(peer.receive().toString(), '+OK\r\n$1\r\n1\r\n');
  ok(peer.isClosed);
});

test('redis-server: SAVE is answered in its place once it is durable, and others go on', async () => {
  const checkpoints = manualCheckpoints();
  const { ordering, connect } = await serve({ checkpoints });
  const [saver, other] = [connect(), connect()];
  saver.send(frames('SET a 1', 'SAVE', 'GET a', 'SAVE', 'PING'));
  await turn();
  strictEqual(checkpoints.runs.length, 0, 'not before what was sent before it is applied');
  ordering.applyBatch();
  await turn();
  strictEqual(saver.receive().toString(), '+OK\r\n');
  strictEqual(checkpoints.runs.length, 1);
  other.send(frames('GET a', 'LASTSAVE', 'BGSAVE', 'BGSAVE schedule', 'BGSAVE now'));
  await turn();
  strictEqual(
    other.receive().toString(),
    '$1\r\n1\r\n:1700000000\r\n-ERR Background save already in progress\r\n' +
      '+Background saving scheduled\r\n-ERR syntax error\r\n',
  );
  checkpoints.runs[0]!.resolve({});
  await turn();
  strictEqual(saver.receive().toString(), '+OK\r\n$1\r\n1\r\n', 'and then the next SAVE');
  saver.shut();
  const full = new TidemarkError('TIDEMARK_DISK_FULL', 'no space', { remedy: 'retry' });
  checkpoints.runs.at(-1)!.reject(full);
  await turn();
  strictEqual(saver.receive().toString(), '-MISCONF TIDEMARK_DISK_FULL: no space\r\n+PONG\r\n');
  ok(saver.isClosed);

  other.send(frames('TIDEMARK CHECKPOINT', 'TIDEMARK NOSUCH', 'PING'));
  await turn();
  checkpoints.runs.at(-1)!.resolve({ index: 7, root: 'ab', pauseMs: 0.5 });
  await turn();
  strictEqual(
    other.receive().toString(),
    '*6\r\n$5\r\nindex\r\n:7\r\n$4\r\nroot\r\n$2\r\nab\r\n$7\r\npauseMs\r\n$3\r\n0.5\r\n' +
      "-ERR unknown subcommand 'NOSUCH'. Try TIDEMARK HELP.\r\n+PONG\r\n",
  );
});

test('redis-server: HELP of a container lists its subcommands, itself last', async () => {
  const client = (await serve()).connect();
  client.send(frames('TIDEMARK HELP'));
  await turn();
  const lines = client.receive().toString().split('\r\n');
  strictEqual(lines[1], '+TIDEMARK <subcommand> [<arg> ...]. Subcommands are:');
  ok(lines.includes('+CHECKPOINT') && lines.includes('+    Take a checkpoint, and tell of it.'));
  deepStrictEqual(lines.slice(-3), ['+HELP', '+    Print this help.', '']);
});

test('redis-server: a client that leaves during SAVE, and a server without checkpoints', async () => {
  const checkpoints = manualCheckpoints();
  const { server, connect } = await serve({ checkpoints });
  const peer = connect();
  peer.send(frames('SAVE', 'PING'));
  await turn();
  peer.close();
  await turn();
  deepStrictEqual([...server.sessions], []);
  checkpoints.runs[0]!.resolve({});
  await turn();

  const without = (await serve()).connect();
  without.send(frames('SAVE', 'BGSAVE', 'LASTSAVE', 'PING'));
  await turn();
  const refusal = '-ERR this server has no state to save\r\n';
  strictEqual(without.receive().toString(), `${refusal.repeat(3)}+PONG\r\n`);
});

test('redis-server: a client that went away leaves its writes in place and no trace', async () => {
  const { server, ordering, connect } = await serve();
  const peer = connect();
  peer.send(frames('SET a 1', 'GET a', 'PING', 'SET b 2'));
  peer.close();
  ordering.applyBatch();
  await turn();
  strictEqual(ordering.state.size, 2);
  strictEqual([...server.sessions].length, 0);
});

test('redis-server: an ordering that has enough stops all clients, and goes on when drained', async () => {
  const { ordering, connect } = await serve({ ordered: { isManual: true, pendingBytesMax: 1000 } });
  const peers = [connect(), connect(), connect()];
  const value = 'v'.repeat(100);
  for (const peer of peers) {
    for (let at = 0; at < 40; at++) peer.send(frames(`SET key${at} ${value}`, `STRLEN key${at}`));
  }
  ok(ordering.waitingCount < 20, `${ordering.waitingCount} wait`);
  ok(peers.every((peer) => peer.isPaused));
  for (let round = 0; round < 100 && ordering.waitingCount > 0; round++) {
    ordering.applyBatch();
    await turn();
  }
  for (const peer of peers) {
    strictEqual(peer.receive().toString(), '+OK\r\n:100\r\n'.repeat(40));
    strictEqual(peer.isPaused, false);
  }
});

test('redis-server: one chunk of many writes does not exceed the bound either', async () => {
  const { ordering, connect } = await serve({ ordered: { isManual: true, pendingBytesMax: 1000 } });
  const peer = connect();
  peer.send(Buffer.concat(Array.from({ length: 500 }, () => frame('INCR', 'n'))));
  peer.shut();
  for (let round = 0; round < 500 && ordering.waitingCount > 0; round++) {
    ok(ordering.waitingCount < 100);
    ordering.applyBatch();
    await turn();
  }
  strictEqual(peer.receive().toString(), Array.from({ length: 500 }, (_, at) => `:${at + 1}\r\n`).join(''));
  ok(peer.isClosed, 'closed after the last answer, since the client had shut its side');
});

test('redis-server: a client that does not read is not read either, until it does', async () => {
  const { ordering, connect } = await serve();
  const writer = connect();
  writer.send(frame('SET', 'a', Buffer.alloc(100_000, 'x')));
  ordering.applyBatch();
  const peer = connect();
  peer.isReading = false;
  peer.send(Buffer.concat(Array.from({ length: 1000 }, () => frame('GET', 'a'))));
  await turn();
  ok(peer.isPaused);
  ok(peer.bufferedBytes < 2_000_000, `${peer.bufferedBytes} bytes`);
  for (let round = 0; round < 200; round++) {
    peer.read();
    await turn();
  }
  strictEqual(peer.receive().length, 1000 * ('$100000\r\n'.length + 100_000 + 2));
  strictEqual(peer.isPaused, false);
});

test('redis-server: requests that wait are bounded', async () => {
  const { ordering, connect } = await serve();
  const peer = connect();
  peer.send(Buffer.concat([frame('SET', 'a', '1'), ...Array.from({ length: 20_000 }, () => frame('PING'))]));
  await turn();
  ok(peer.isPaused);
  ordering.applyBatch();
  await turn();
  strictEqual(peer.receive().toString(), `+OK\r\n${'+PONG\r\n'.repeat(20_000)}`);
});

test('redis-server: answers above the hard limit drop the client, and no other', async () => {
  const { server, ordering, connect } = await serve({ outputBytesMax: 4 * 1024 * 1024 });
  const other = connect();
  const peer = connect();
  const big = frame('SET', 'a', Buffer.alloc(1024 * 1024));
  peer.send(Buffer.concat([big, ...Array.from({ length: 100 }, () => frame('GET', 'a'))]));
  other.send(frame('GET', 'b'));
  ordering.applyBatch();
  await turn();
  ok(peer.isClosed);
  strictEqual(other.receive().toString(), '$-1\r\n');
  strictEqual(server.clientsDropped, 1);
});

test('redis-server: unfinished requests of all clients are bounded together', async () => {
  const { server, connect } = await serve({ inputBytesMax: 4 * 1024 * 1024 });
  const peers = Array.from({ length: 8 }, connect);
  for (const peer of peers) {
    peer.send('*2\r\n$3\r\nGET\r\n$16000000\r\n');
    for (let at = 0; at < 16; at++) peer.send(Buffer.alloc(64 * 1024));
  }
  ok(peers.some((peer) => peer.isClosed));
  ok(peers.some((peer) => !peer.isClosed));
  for (const peer of peers) peer.close();
  strictEqual(server.info()['stats']?.['client_input_bytes'], 0);
});

test('redis-server: replies not taken are bounded for all clients together, and spare others', async () => {
  const { server, ordering, connect } = await serve({ outputTotalBytesMax: 4 * 1024 * 1024 });
  const writer = connect();
  writer.send(frame('SET', 'a', Buffer.alloc(400 * 1024)));
  ordering.applyBatch();
  await turn();
  const slow = Array.from({ length: 20 }, connect);
  for (const peer of slow) {
    peer.isReading = false;
    peer.send(frames('GET a', 'GET a'));
    await turn();
  }
  strictEqual(slow.filter((peer) => !peer.isClosed).length, 5, 'five hold 800 KiB each');
  strictEqual(server.clientsDropped, 15);
  writer.receive();
  writer.send(frame('PING'));
  await turn();
  strictEqual(writer.receive().toString(), '+PONG\r\n');
  for (const peer of slow) peer.close();
  strictEqual(server.info()['stats']?.['client_output_bytes'], 0);
});

test('redis-server: requests that wait are bounded for all clients together', async () => {
  const { server, ordering, connect } = await serve({ outputTotalBytesMax: 1024 * 1024 });
  const peers = Array.from({ length: 10 }, connect);
  for (const peer of peers) {
    peer.send(
      Buffer.concat([frame('SET', 'a', '1'), ...Array.from({ length: 20_000 }, () => frame('PING'))]),
    );
  }
  const kept = peers.filter((peer) => !peer.isClosed);
  strictEqual(kept.length, 3, 'each holds a little more than 256 KiB');
  ordering.applyBatch();
  await turn();
  for (const peer of kept) strictEqual(peer.receive().toString(), `+OK\r\n${'+PONG\r\n'.repeat(20_000)}`);
  strictEqual(server.info()['stats']?.['client_output_bytes'], 0);
});

test('redis-server: names of clients and of their libraries have a bound', async () => {
  const { connect } = await serve();
  const peer = connect();
  const word = 'x'.repeat(256);
  const long = `${word}x`;
  for (const [request, reply] of [
    [['CLIENT', 'SETNAME', word], '+OK'],
    [['CLIENT', 'SETNAME', long], '-ERR Client names cannot be longer than 256 bytes.'],
    [['HELLO', '2', 'SETNAME', long], '-ERR Client names cannot be longer than 256 bytes.'],
    [['CLIENT', 'SETINFO', 'LIB-NAME', word], '+OK'],
    [['CLIENT', 'SETINFO', 'lib-name', long], '-ERR lib-name cannot be longer than 256 bytes.'],
    [['CLIENT', 'SETINFO', 'lib-ver', long], '-ERR lib-ver cannot be longer than 256 bytes.'],
    [
      ['CLIENT', 'SETINFO', 'lib-ver', 'a b'],
      '-ERR lib-ver cannot contain spaces, newlines or special characters.',
    ],
    [['CLIENT', 'SETINFO', long, 'x'], `-ERR Unrecognized option '${word}'`],
    [['CLIENT', 'GETNAME'], `$256\r\n${word}`],
  ] as const) {
    peer.send(frame(...request));
    await turn();
    strictEqual(peer.receive().toString(), `${reply}\r\n`);
  }
});

for (const { code, reply } of [
  { code: 'TIDEMARK_DISK_FULL', reply: '-MISCONF TIDEMARK_DISK_FULL: why\r\n' },
  { code: 'TIDEMARK_LOG_POISONED', reply: '-ERR TIDEMARK_LOG_POISONED: why\r\n' },
  { code: 'TIDEMARK_BUSY', reply: '-ERR TIDEMARK_BUSY: why\r\n' },
] as const) {
  test(`redis-server: ${code} is an answer in its place`, async () => {
    const { ordering, connect } = await serve();
    const peer = connect();
    peer.send(frames('SET a 1', 'GET a'));
    ordering.refusal = new TidemarkError(code, 'why', { remedy: 'retry' });
    peer.send(frames('SET b 2', 'PING'));
    ordering.applyBatch();
    await turn();
    strictEqual(peer.receive().toString(), `+OK\r\n$1\r\n1\r\n${reply}+PONG\r\n`);
    peer.send(frames('SET b 2', 'GET b'));
    await turn();
    strictEqual(peer.receive().toString(), `${reply}$-1\r\n`);
  });
}

test('redis-server: operations that the ordering gives up are answered in order', async () => {
  const { ordering, connect } = await serve();
  const peer = connect();
  peer.send(frames('SET a 1', 'GET a', 'PING', 'SET b 2'));
  ordering.failBatch(new TidemarkError('TIDEMARK_LOG_POISONED', 'why', { remedy: 'repair' }));
  await turn();
  const refused = '-ERR TIDEMARK_LOG_POISONED: why\r\n';
  strictEqual(peer.receive().toString(), `${refused}${refused}+PONG\r\n${refused}`);
});

test('redis-server: clients above the limit are turned away in words', async () => {
  const { connect } = await serve({ connectionsMax: 2 });
  const [first, , third] = [connect(), connect(), connect()];
  await turn();
  strictEqual(third.receive().toString(), '-ERR max number of clients reached\r\n');
  ok(third.isClosed);
  first.close();
  const fourth = connect();
  fourth.send('PING\r\n');
  await turn();
  strictEqual(fourth.receive().toString(), '+PONG\r\n');
});

test('redis-server: a browser is dropped before its request is taken apart', async () => {
  for (const line of ['POST / HTTP/1.1\r\n', 'Host: x\r\n']) {
    const { ordering, connect } = await serve();
    const peer = connect();
    peer.send(`${line}SET a 1\r\n`);
    await turn();
    ok(peer.isClosed);
    strictEqual(ordering.waitingCount, 0);
  }
});

test('redis-server: close answers what was taken, then closes', async () => {
  const { server, ordering, connect } = await serve();
  const peer = connect();
  const idle = connect();
  peer.send(frames('SET a 1', 'GET a'));
  const closing = server.close();
  peer.send(frame('SET', 'b', '2'));
  await turn();
  ok(idle.isClosed);
  ordering.applyBatch();
  await closing;
  strictEqual(peer.receive().toString(), '+OK\r\n$1\r\n1\r\n');
  strictEqual(ordering.state.size, 1);
});

test('redis-server: whoever closes it a second time waits as long', async () => {
  const { server, ordering, connect } = await serve();
  const peer = connect();
  peer.send(frame('SET', 'a', '1'));
  let closed = 0;
  const closings = [server.close(), server.close()].map((closing) => closing.then(() => closed++));
  await turn();
  strictEqual(closed, 0);
  ordering.applyBatch();
  await Promise.all(closings);
  strictEqual(peer.receive().toString(), '+OK\r\n');
});

test('redis-server: close drops a client that does not take its last answers', async () => {
  let expire = () => {};
  let waitedMs = 0;
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    after: (ms, run) => {
      waitedMs = ms;
      expire = run;
      return { cancel: () => {} };
    },
    soon: (run) => setImmediate(run),
  };
  const { server, connect } = await serve({ clock });
  const peer = connect();
  peer.isReading = false;
  peer.send('PING\r\n');
  const closing = server.close();
  await turn();
  strictEqual(peer.isClosed, false);
  strictEqual(waitedMs, CLOSE_WAIT_MS);
  expire();
  await closing;
  ok(peer.isClosed);
});

/** The replies that one client must get: its requests, one after the other. */
function replyOf(state: MapState, words: string[]): string {
  const reply = new ReplyBuffer();
  if (words[0] === 'PING') reply.append('PONG', 2);
  else {
    try {
      reply.append(
        keyValueMachine.apply(state, encodeRequest(words), { index: toIndex(1), time: 0 }) as ReplyValue,
        2,
      );
      state.commit();
    } catch (error) {
      ok(error instanceof Rejection);
      state.rollback();
      reply.appendError(error.message);
    }
  }
  return Buffer.from(reply.written()).toString('latin1');
}

function randomWords(random: SeededRandom): string[] {
  const key = () => `k${random.below(5)}`;
  return random.pick([
    () => ['SET', key(), String(random.below(100))],
    () => ['SET', key(), 'x'.repeat(random.below(3000))],
    () => ['GET', key()],
    () => ['MGET', key(), key()],
    () => ['INCR', key()],
    () => ['DEL', key(), key()],
    () => ['GETDEL', key()],
    () => ['PING'],
    () => ['DBSIZE'],
    () => ['nosuch', key()],
    () => ['GET'],
  ])();
}

test('redis-server: a pipeline in any chunks gives the replies of one request after the other', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  for (let run = 0; run < 100; run++) {
    const pendingBytesMax = random.pick([200, 2000, 1_000_000]);
    const { ordering, connect } = await serve({ ordered: { isManual: true, pendingBytesMax } });
    const peer = connect();
    const requests = Array.from({ length: random.between(1, 200) }, () => randomWords(random));
    const stream = Buffer.concat(requests.map((words) => encodeRequest(words)));
    for (let from = 0; from < stream.length; ) {
      const to = Math.min(stream.length, from + 1 + random.below(random.pick([5, 100, 10_000])));
      peer.send(stream.subarray(from, to));
      from = to;
      if (random.happens(0.2)) ordering.applyBatch();
      if (random.happens(0.2)) await turn();
      if (random.happens(0.1)) peer.isReading = !peer.isReading;
      if (peer.isReading) peer.read();
    }
    for (let round = 0; round < 500; round++) {
      ordering.applyBatch();
      peer.read();
      await turn();
    }
    const model = new MapState();
    const want = requests.map((words) => replyOf(model, words)).join('');
    strictEqual(peer.receive().toString('latin1'), want, `run ${run}`);
  }
});

test('redis-server: 20,000 random streams crash nothing and leave nothing behind', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const { server, ordering, connect } = await serve();
  const pieces = [
    '*1\r\n',
    '*3\r\n',
    '$3\r\nSET\r\n',
    '$1\r\na\r\n',
    '$4\r\nPING\r\n',
    '$5\r\nHELLO\r\n',
    '*2\r\n',
  ];
  const lines = [
    'INFO\r\n',
    'COMMAND\r\n',
    'CLIENT INFO\r\n',
    'CONFIG GET *\r\n',
    'HELLO 3\r\n',
    'QUIT\r\n',
    '"\r\n',
  ];
  for (let run = 0; run < 20_000; run++) {
    const peer = connect();
    for (let count = random.below(8); count > 0; count--) {
      const noise = random.fill(Buffer.alloc(random.below(6)));
      peer.send(random.happens(0.2) ? noise : random.pick([...pieces, ...lines]));
    }
    if (run % 100 === 0) ordering.applyBatch();
    if (run % 100 === 0) await turn();
    peer.close();
  }
  ordering.applyBatch();
  await turn();
  strictEqual(server.info()['clients']?.['connected_clients'], 0);
  strictEqual(server.info()['stats']?.['client_input_bytes'], 0);
});

test('redis-server: wrong options are refused', async () => {
  const ordering = new MemoryOrdering();
  await rejects(startRedisServer({ ordering, port: 0, inputByteMax: 1 } as never), {
    code: 'TIDEMARK_OPTION_INVALID',
  });
  await rejects(startRedisServer({ ordering, port: 70_000 }), { code: 'TIDEMARK_OPTION_INVALID' });
  await rejects(startRedisServer({ ordering, port: 0, connectionsMax: 0 }), {
    code: 'TIDEMARK_OPTION_INVALID',
  });
});
