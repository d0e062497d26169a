/**
 * Frames between two replicas over loopback, each in a thread of its own, beside a bare socket that carries
 * the same bytes; and how long an urgent frame takes, there and back, while bulk fills the connection.
 *
 *     npm run bench -- peers [--seconds N] [--json]
 *
 * The bare socket does what a program by hand would: a length before each frame, one write per turn, and no
 * more while the socket holds back. It has no checksums, no lanes and no window.
 */

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { systemChance } from '../src/base/chance.ts';
import { systemClock } from '../src/base/time.ts';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import type { PeerHandler } from '../src/network/peer-network.ts';
import type { PeerTls } from '../src/network/peer-options.ts';
import { type ListeningPeerNetwork, openPeers } from '../src/network/tcp-peers.ts';
import { Authority } from '../test/support/peer-certificates.ts';
import { percentile } from './percentile.ts';

const HOST = '127.0.0.1';
const CLUSTER = 'b0'.repeat(16);
const PAYLOADS = [100, 4096, 1024 * 1024];
const WARM_UP_MS = 300;

/** Bytes that the bare socket writes in one turn, as a write of ours. */
const TURN_BYTES = 256 * 1024;

type Transport = 'peers' | 'peers with TLS' | 'bare socket';

interface Setup {
  readonly transport: Transport;
  /** Certificates of replica 1, the sender, and 2; null without TLS. */
  readonly tls: readonly [PeerTls, PeerTls] | null;
}

interface Rate {
  readonly transport: Transport;
  readonly payloadBytes: number;
  readonly framesPerSecond: number;
  readonly megabytesPerSecond: number;
  /** Processor time of both ends for one frame: what a machine that does much else does not change. */
  readonly cpuMicroseconds: number;
}

/** A way to send, from the main thread to the other one. */
interface Sender {
  /** Sends frames of so many bytes until `stop`. */
  fill(payload: Uint8Array): { stop(): void };
  /** Milliseconds for a small frame, there and back. */
  roundTrip(): Promise<number>;
  close(): Promise<void>;
}

function identityOf(replica: number): {
  clusterId: string;
  replica: number;
  incarnation: number;
  start: number;
  timeline: number;
} {
  return { clusterId: CLUSTER, replica, incarnation: 1, start: 1, timeline: 1 };
}

function openNetwork(
  replica: number,
  tls: PeerTls | null,
  handler: Partial<PeerHandler>,
): Promise<ListeningPeerNetwork> {
  return openPeers({
    identity: identityOf(replica),
    peers: [],
    options: { host: HOST, port: 0, ...(tls === null ? {} : { tls }) },
    handler: { frame: () => undefined, room: () => undefined, event: () => undefined, ...handler },
    clock: systemClock,
    chance: systemChance,
  });
}

/** The other thread: counts what comes, and sends small frames back. */
async function receive({ transport, tls }: Setup): Promise<void> {
  const port = parentPort!;
  const count = { frames: 0 };
  if (transport === 'bare socket') {
    const server = createServer({ noDelay: true }, (socket) => countFrames(socket, count));
    server.listen(0, HOST, () => {
      const address = server.address();
      port.postMessage({ port: typeof address === 'object' ? address!.port : 0 });
    });
  } else {
    const network = await openNetwork(2, tls?.[1] ?? null, {
      frame(from, bytes, lane) {
        if (lane === 'bulk') count.frames++;
        else network.send(from, [bytes], 'urgent');
      },
    });
    port.on('message', (message: { peer?: number }) => {
      if (message.peer !== undefined) network.setPeers([{ replica: 1, host: HOST, port: message.peer }]);
    });
    port.postMessage({ port: network.port });
  }
  port.on('message', (message: { ask?: boolean }) => {
    if (message.ask === true) port.postMessage({ frames: count.frames });
  });
}

/** Frames with a length before each; those of no bytes are sent back. */
function countFrames(socket: Socket, count: { frames: number }): void {
  let left = 0;
  let header = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    let bytes = header.length === 0 ? chunk : Buffer.concat([header, chunk]);
    while (bytes.length > 0) {
      if (left > 0) {
        const taken = Math.min(left, bytes.length);
        left -= taken;
        bytes = bytes.subarray(taken);
        if (left === 0) count.frames++;
        continue;
      }
      if (bytes.length < 4) break;
      left = bytes.readUInt32LE(0);
      if (left === 0) socket.write(bytes.subarray(0, 4));
      bytes = bytes.subarray(4);
    }
    header = Buffer.from(bytes);
  });
}

async function peersSender(port: number, tls: PeerTls | null, worker: Worker): Promise<Sender> {
  let onRoom = (): void => undefined;
  let onEcho = (): void => undefined;
  const network = await openNetwork(1, tls, { room: () => onRoom(), frame: () => onEcho() });
  worker.postMessage({ peer: network.port });
  network.setPeers([{ replica: 2, host: HOST, port }]);
  while (!network.peers()[0]!.isReachable) await sleep(5);
  return {
    fill(payload) {
      let isOver = false;
      onRoom = () => {
        while (!isOver && network.send(2, [payload], 'bulk'));
      };
      onRoom();
      return {
        stop() {
          isOver = true;
        },
      };
    },
    async roundTrip() {
      const sentAt = performance.now();
      const echoed = new Promise<void>((resolve) => {
        onEcho = resolve;
      });
      while (!network.send(2, [Buffer.from('ping')], 'urgent')) await sleep(1);
      await echoed;
      return performance.now() - sentAt;
    },
    close: () => network.close(),
  };
}

async function socketSender(port: number): Promise<Sender> {
  const socket = connect({ host: HOST, port, noDelay: true });
  await once(socket, 'connect');
  return {
    fill(payload) {
      let isOver = false;
      const header = Buffer.alloc(4);
      header.writeUInt32LE(payload.length, 0);
      const turn = (): void => {
        if (isOver) return;
        socket.cork();
        for (let sent = 0; sent < TURN_BYTES; sent += payload.length) {
          socket.write(header);
          socket.write(payload);
        }
        socket.uncork();
        if (socket.writableNeedDrain) socket.once('drain', turn);
        else setImmediate(turn);
      };
      turn();
      return {
        stop() {
          isOver = true;
        },
      };
    },
    async roundTrip() {
      const sentAt = performance.now();
      socket.write(Buffer.alloc(4));
      await once(socket, 'data');
      return performance.now() - sentAt;
    },
    close() {
      socket.destroy();
      return Promise.resolve();
    },
  };
}

async function withSender(
  setup: Setup,
  run: (sender: Sender, worker: Worker) => Promise<void>,
): Promise<void> {
  const worker = new Worker(new URL(import.meta.url), { workerData: setup });
  const [{ port }] = (await once(worker, 'message')) as [{ port: number }];
  const sender = await (setup.transport === 'bare socket'
    ? socketSender(port)
    : peersSender(port, setup.tls?.[0] ?? null, worker));
  try {
    await run(sender, worker);
  } finally {
    await sender.close();
    await worker.terminate();
  }
}

async function framesOf(worker: Worker): Promise<number> {
  worker.postMessage({ ask: true });
  const [{ frames }] = (await once(worker, 'message')) as [{ frames: number }];
  return frames;
}

async function measureRate(setup: Setup, payloadBytes: number, seconds: number): Promise<Rate> {
  let rate: Rate | null = null;
  await withSender(setup, async (sender, worker) => {
    const filling = sender.fill(systemChance.fill(Buffer.alloc(payloadBytes)));
    await sleep(WARM_UP_MS);
    const before = await framesOf(worker);
    const began = performance.now();
    const cpuBefore = process.cpuUsage();
    await sleep(1000 * seconds);
    const cpu = process.cpuUsage(cpuBefore);
    const frames = (await framesOf(worker)) - before;
    const took = (performance.now() - began) / 1000;
    filling.stop();
    rate = {
      transport: setup.transport,
      payloadBytes,
      framesPerSecond: frames / took,
      megabytesPerSecond: (frames * payloadBytes) / took / 1e6,
      cpuMicroseconds: (cpu.user + cpu.system) / frames,
    };
  });
  return rate!;
}

interface Latency {
  readonly transport: Transport;
  readonly load: 'idle' | 'full of bulk';
  readonly p50Ms: number;
  readonly p99Ms: number;
}

async function measureLatency(setup: Setup, load: Latency['load'], seconds: number): Promise<Latency> {
  const samples: number[] = [];
  await withSender(setup, async (sender) => {
    const filling = load === 'idle' ? null : sender.fill(Buffer.alloc(1024 * 1024));
    await sleep(WARM_UP_MS);
    const until = performance.now() + 1000 * seconds;
    while (performance.now() < until) {
      samples.push(await sender.roundTrip());
      await sleep(2);
    }
    filling?.stop();
  });
  const { transport } = setup;
  return { transport, load, p50Ms: percentile(samples, 50), p99Ms: percentile(samples, 99) };
}

async function certificates(): Promise<readonly [PeerTls, PeerTls]> {
  const authority = await Authority.create();
  const issue = (replica: number): Promise<PeerTls> => authority.issue(`URI:tidemark:${CLUSTER}:${replica}`);
  return [await issue(1), await issue(2)];
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { seconds: { type: 'string', default: '3' }, json: { type: 'boolean', default: false } },
  });
  const seconds = Number(values.seconds);
  const setups: Setup[] = [
    { transport: 'bare socket', tls: null },
    { transport: 'peers', tls: null },
    { transport: 'peers with TLS', tls: await certificates() },
  ];
  const rates: Rate[] = [];
  for (const payloadBytes of PAYLOADS) {
    for (const setup of setups) rates.push(await measureRate(setup, payloadBytes, seconds));
  }
  const latencies: Latency[] = [];
  for (const load of ['idle', 'full of bulk'] as const) {
    for (const setup of setups) latencies.push(await measureLatency(setup, load, seconds));
  }
  if (values.json) console.log(JSON.stringify({ rates, latencies, ...surroundings() }, null, 2));
  else print(rates, latencies);
}

function print(rates: readonly Rate[], latencies: readonly Latency[]): void {
  const rows = rates.map((rate) => [
    rate.payloadBytes,
    rate.transport,
    Math.round(rate.framesPerSecond),
    Math.round(rate.megabytesPerSecond),
    rate.cpuMicroseconds.toFixed(2),
  ]);
  console.log(table([['payload, B', 'over', 'frames/s', 'MB/s', 'µs of processor each'], ...rows]));
  console.log('\na small frame, there and back\n');
  const times = latencies.map(({ transport, load, p50Ms, p99Ms }) => [
    transport,
    load,
    p50Ms.toFixed(3),
    p99Ms.toFixed(3),
  ]);
  console.log(table([['over', 'which is', 'p50 ms', 'p99 ms'], ...times]));
  console.log(`\nmachine  ${describeSurroundings(surroundings())}`);
}

if (isMainThread) await main();
else await receive(workerData as Setup);
