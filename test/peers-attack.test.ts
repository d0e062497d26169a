/**
 * The port between replicas under attack. Goal: whatever comes in, memory stays bounded, the process lives,
 * honest replicas go on talking, and each refusal is counted and told, but not a thousand times. Method: real
 * sockets; `npm run fuzz -- peers` sends more of the same.
 */

import { ok, strictEqual } from 'node:assert';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeFrame, sealFrame } from '../src/network/peer-frame.ts';
import { encodeHello } from '../src/network/peer-hello.ts';
import { fuzzPeers } from './support/peer-fuzz.ts';
import { HOST, identityOf, openReplica, type PortReplica, until } from './support/peer-ports.ts';
import { seedOf } from './support/seed.ts';

const HELLO = encodeFrame(
  'hello',
  encodeHello({ ...identityOf(3), protocolMin: 1, protocolMax: 1, to: 1, instance: 'ab'.repeat(16) }),
);

test('peers attack: malformed inputs are refused, and the honest go on', async (t) => {
  const tally = await fuzzPeers(3_000, seedOf(t));
  t.diagnostic(JSON.stringify(tally));
  ok(tally.refused > 1_500, 'most inputs are refused');
  for (const reason of ['garbled', 'oversized', 'out-of-turn', 'other-cluster']) {
    ok(tally.refusals[reason]! > 0, `some are refused as ${reason}`);
  }
});

test('peers attack: a thousand connections that say nothing keep nobody out', async (t) => {
  const [target, honest] = await pair(t, {});
  const sockets = await openMany(target, 1_000);
  await until('most were given up', () => target.network.refusals()['too-many'] >= 1_000 - 300);
  const late = await openReplica(identityOf(3));
  t.after(() => late.network.close());
  late.network.setPeers([target.address]);
  await until('a newcomer gets in', () => late.network.peers()[0]!.isReachable);
  await talks(honest, target);
  ok(target.events.filter(({ kind }) => kind === 'peer-refused').length <= 20, 'not told for each of them');
  for (const socket of sockets) socket.destroy();
});

test('peers attack: who says nothing is given up after the time to greet', async (t) => {
  const target = await openReplica(identityOf(1), { greetingMsMax: 50 });
  t.after(() => target.network.close());
  const [socket] = await openMany(target, 1);
  await until('it is closed', () => socket!.destroyed);
  strictEqual(target.network.refusals().silent, 1);
});

test('peers attack: a byte now and then is a silence, before the greeting and after it', async (t) => {
  const [target, honest] = await pair(t, { greetingMsMax: 300, silenceMsMax: 300 });
  const [before, after] = await openMany(target, 2);
  after!.write(HELLO);
  for (let at = 0; !(before!.destroyed && after!.destroyed); at++) {
    if (!before!.destroyed) before!.write(HELLO.subarray(at % 88, (at % 88) + 1));
    if (!after!.destroyed) after!.write(HELLO.subarray(at % 8, (at % 8) + 1));
    await sleep(60); // A header of 16 bytes takes far longer than the silence that is allowed.
  }
  await until('both are counted', () => target.network.refusals().silent >= 2);
  await talks(honest, target);
});

test('peers attack: who asks and never reads the answers is cut off', async (t) => {
  const [target, honest] = await pair(t, {});
  const socket = connect(target.network.port, HOST);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  socket.write(HELLO);
  const pings = Buffer.concat(Array.from({ length: 10_000 }, () => encodeFrame('ping', new Uint8Array(8))));
  await until('it is cut off', () => {
    if (!socket.destroyed && socket.writableLength < pings.length) socket.write(pings);
    return target.network.refusals().silent > 0;
  });
  await talks(honest, target);
  socket.destroy();
});

test('peers attack: a message without an end is oversized', async (t) => {
  const [target, honest] = await pair(t, { frameBytesMax: 1024 * 1024 });
  const [socket] = await openMany(target, 1);
  const piece = new Uint8Array(16 + 65_536);
  sealFrame(piece, 0, { kind: 'bulk', hasMore: true, length: 65_536 });
  socket!.write(HELLO);
  for (let count = 0; count < 17; count++) socket!.write(piece);
  await until('it is refused', () => target.network.refusals().oversized === 1);
  strictEqual(target.frames.filter(({ from }) => from === 3).length, 0);
  await talks(honest, target);
});

/** Replica 1, to be attacked, which knows 2 and 3; and replica 2, connected to it. */
async function pair(
  t: TestContext,
  options: Parameters<typeof openReplica>[1],
): Promise<[PortReplica, PortReplica]> {
  const target = await openReplica(identityOf(1), options);
  const honest = await openReplica(identityOf(2));
  t.after(() => Promise.all([target.network.close(), honest.network.close()]));
  target.network.setPeers([honest.address, { replica: 3, host: HOST, port: 1 }]);
  honest.network.setPeers([target.address]);
  await until('they are connected', () => honest.network.peers()[0]!.isReachable);
  return [target, honest];
}

async function talks(from: PortReplica, to: PortReplica): Promise<void> {
  const before = to.frames.length;
  await until('a frame arrives', () => {
    from.network.send(1, [Buffer.from('still here')], 'urgent');
    return to.frames.length > before;
  });
}

async function openMany({ network }: PortReplica, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let made = 0; made < count; made++) {
    const socket = connect(network.port, HOST);
    socket.on('error', () => undefined);
    socket.on('data', () => undefined);
    sockets.push(socket);
    if (made % 50 === 49) await once(socket, 'connect');
  }
  return sockets;
}
