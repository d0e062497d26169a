/**
 * The connection that a replica makes (src/network/peer-line.ts), what waits for it (outbox.ts), and the
 * waits between attempts (base/backoff.ts). Goal: whatever the other side does, the line notices and tries
 * again, and bounds hold. Method: a side that misbehaves, on real ports; seeded plans for the outbox.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { createServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { Backoff } from '../src/base/backoff.ts';
import { Outbox } from '../src/network/outbox.ts';
import { encodeFrame, type Frame, FrameReader, PAYLOAD_BYTES_MAX } from '../src/network/peer-frame.ts';
import { encodeHello, encodeRefusal } from '../src/network/peer-hello.ts';
import type { PeerStatus } from '../src/network/peer-network.ts';
import type { PeerOptions } from '../src/network/peer-options.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { HOST, identityOf, openReplica, type PortReplica, until } from './support/peer-ports.ts';
import { seedOf } from './support/seed.ts';

const WELCOME = encodeFrame(
  'welcome',
  encodeHello({ ...identityOf(2), protocolMin: 1, protocolMax: 1, to: 1, instance: 'cd'.repeat(16) }),
);

/** Replica 1, whose peer 2 does what `behave` says with each connection. */
async function lineTo(
  t: TestContext,
  behave: (socket: Socket, attempt: number) => void,
  options: Partial<PeerOptions> = { greetingMsMax: 200, silenceMsMax: 200 },
): Promise<{ one: PortReplica; status: () => PeerStatus; attempts: () => number }> {
  let attempts = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    behave(socket, ++attempts);
  });
  await new Promise<void>((resolve) => void server.listen(0, HOST, resolve));
  const address = server.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  const one = await openReplica(identityOf(1), options);
  t.after(async () => {
    await one.network.close();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  one.network.setPeers([{ replica: 2, host: HOST, port }]);
  return { one, status: () => one.network.peers()[0]!, attempts: () => attempts };
}

test('peer line: who accepts and says nothing is tried again and again', async (t) => {
  const { status, attempts } = await lineTo(t, () => undefined);
  await until('there are three attempts', () => attempts() >= 3);
  strictEqual(status().reason, 'no answer within 200 ms');
  strictEqual(status().connects, 0);
});

test('peer line: who welcomes and falls silent is given up, as a half-open connection is', async (t) => {
  const { one, status } = await lineTo(t, (socket) => socket.write(WELCOME));
  await until('it was reached twice', () => status().connects >= 2);
  const lost = one.events.find(({ kind }) => kind === 'peer-disconnected');
  strictEqual(lost?.kind === 'peer-disconnected' && lost.reason, 'silent for 200 ms');
});

test('peer line: what the other side refuses is told with its reason', async (t) => {
  const refusal = encodeFrame('refusal', encodeRefusal('unknown-replica'));
  const { status } = await lineTo(t, (socket) => socket.end(refusal));
  await until('the reason is known', () => status().failure !== null);
  strictEqual(status().failure!.code, 'TIDEMARK_PEER_REFUSED');
  strictEqual(status().failure!.facts['reason'], 'unknown-replica');
  strictEqual(status().reason, 'refused: unknown-replica');
});

for (const [what, bytes, reason] of [
  ['no frames', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'garbled'],
  ['a frame that is not its turn', encodeFrame('pong', new Uint8Array(8)), 'out-of-turn'],
  [
    'a confirmation of what it never got',
    Buffer.concat([WELCOME, encodeFrame('taken', Buffer.alloc(8, 1))]),
    'out-of-turn',
  ],
  ['frames of its own', Buffer.concat([WELCOME, encodeFrame('bulk', new Uint8Array(8))]), 'out-of-turn'],
] as const) {
  test(`peer line: who answers with ${what} is refused`, async (t) => {
    const { one, status } = await lineTo(t, (socket) => socket.write(bytes));
    await until('it is refused', () => one.network.refusals()[reason] > 0);
    await until('attempts go on', () => one.network.refusals()[reason] > 1);
    strictEqual(status().isReachable, false);
    strictEqual(one.events.filter(({ kind }) => kind === 'peer-refused').length, 1);
  });
}

test('peer line: who does not read keeps no more than the window and the lanes', async (t) => {
  const deaf = (socket: Socket): void => {
    socket.pause();
    socket.write(WELCOME);
  };
  const { one, status } = await lineTo(t, deaf, { silenceMsMax: 600_000 });
  await until('it is reached', () => status().isReachable);
  const megabyte = new Uint8Array(1024 * 1024);
  let taken = 0;
  for (let turn = 0; turn < 50; turn++) {
    while (one.network.send(2, [megabyte], 'bulk')) taken++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  ok(taken >= 64 && taken <= 66, `64 MiB wait, and at most the window has left; ${taken} MiB were taken`);
  strictEqual(one.network.send(2, [new Uint8Array(100)], 'urgent'), true);
});

test('outbox: everything leaves once, in the order of its lane, whatever its size', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 60; run++) {
    const outbox = new Outbox({
      framesMax: 1000,
      bulkBytesMax: 4e6,
      urgentBytesMax: 1e6,
      windowBytes: random.pick([300_000, 1_000_000]),
    });
    const want = { urgent: [] as Uint8Array[], bulk: [] as Uint8Array[] };
    const got = { urgent: [] as Uint8Array[], bulk: [] as Uint8Array[] };
    const wire = new FrameReader(PAYLOAD_BYTES_MAX);
    let pieces: Uint8Array[] = [];
    let bulkBytes = 0;
    const take = ({ kind, hasMore, payload }: Frame): 'more' => {
      const lane = kind === 'urgent' ? 'urgent' : 'bulk';
      if (lane === 'bulk') bulkBytes += payload.length;
      pieces.push(payload);
      if (hasMore) return 'more';
      got[lane].push(Buffer.concat(lane === 'bulk' ? pieces : [payload]));
      if (lane === 'bulk') pieces = [];
      else pieces.pop();
      return 'more';
    };
    for (let step = 0; step < 80 || outbox.frameCount > 0; step++) {
      if (step < 80 && random.happens(0.6)) {
        const lane = random.pick(['urgent', 'bulk'] as const);
        const length =
          random.pick([0, 1, 100, 16_384, 16_385, 65_535, 65_536]) *
          (lane === 'bulk' ? random.between(1, 5) : 1);
        const frame = random.fill(Buffer.alloc(Math.min(length, 300_000)));
        const cut = random.below(frame.length + 1);
        if (outbox.push([frame.subarray(0, cut), frame.subarray(cut)], frame.length, lane))
          want[lane].push(frame);
      }
      if (random.happens(0.5) && outbox.isReady) {
        // Copied at once: the memory is used again when all of it has left.
        const write = Buffer.concat(outbox.take().pieces);
        if (random.happens(0.7)) outbox.reuse();
        strictEqual(wire.push(write, take), null);
      }
      if (random.happens(0.4)) strictEqual(outbox.confirm(bulkBytes), true);
    }
    deepStrictEqual(got, want);
    strictEqual(outbox.confirm(bulkBytes + 1), false);
  }
});

test('outbox: of bulk no more than the window leaves unconfirmed, while urgent frames pass', () => {
  const limits = { framesMax: 10, bulkBytesMax: 1e9, urgentBytesMax: 1e6, windowBytes: 262_144 };
  const outbox = new Outbox(limits);
  outbox.push([new Uint8Array(1_000_000)], 1_000_000, 'bulk');
  let left = 0;
  while (outbox.isReady) left += outbox.take().byteCount;
  strictEqual(left, 262_144);
  outbox.push([new Uint8Array(10)], 10, 'urgent');
  strictEqual(outbox.take().byteCount, 10);
  strictEqual(outbox.confirm(65_536), true);
  while (outbox.isReady) left += outbox.take().byteCount;
  strictEqual(left, 262_144 + 65_536);
  strictEqual(outbox.confirm(65_535), false);
  for (let more = 1; more < 10; more++) strictEqual(outbox.push([], 0, 'bulk'), true);
  strictEqual(outbox.push([], 0, 'bulk'), false);
  strictEqual(outbox.room, 0);
});

test('backoff: waits are drawn below a bound that doubles up to its end, and begins anew', (t) => {
  const backoff = new Backoff({ firstMs: 50, mostMs: 3_000 }, new SeededRandom(seedOf(t)));
  for (let round = 0; round < 20; round++) {
    for (const bound of [50, 100, 200, 400, 800, 1_600, 3_000, 3_000, 3_000]) {
      const wait = backoff.nextMs();
      ok(Number.isInteger(wait) && wait >= 0 && wait < bound, `${wait} of ${bound}`);
    }
    backoff.reset();
  }
  const drawn = new Backoff({ firstMs: 1_000, mostMs: 1_000 }, new SeededRandom(1));
  const waits = Array.from({ length: 2_000 }, () => drawn.nextMs());
  const mean = waits.reduce((sum, wait) => sum + wait) / waits.length;
  ok(mean > 450 && mean < 550, `full jitter has its mean in the middle, got ${mean}`);
});
