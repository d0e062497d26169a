/**
 * Bytes that no replica should send, at the port of a real one: a recorded conversation with bits, lengths,
 * kinds, order and cuts changed. Meanwhile two honest replicas go on talking through the same port, and after
 * all of it the process holds no more memory than before.
 */

import { ok, strictEqual } from 'node:assert';
import { connect, createServer, type Socket } from 'node:net';
import { crc32c } from '../../src/base/crc32c.ts';
import type { PeerAddress } from '../../src/network/peer-network.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { HOST, identityOf, openReplica, type PortReplica, until } from './peer-ports.ts';

/** Attackers at a time. */
const CONNECTIONS = 64;

/** What the process may hold more at the end than after the first inputs, for any number of them. */
const GROWTH_BYTES_MAX = 128 * 1024 * 1024;

/**
 * Inputs after which the starts seen so far are forgotten: one that claims a late start shuts out the rest.
 */
const FORGET_INPUTS = 100;

const HEADER_BYTES = 16;

/** Whom the attackers pass for. */
const NOBODY: PeerAddress = { replica: 3, host: HOST, port: 1 };

/** What came of it all. */
export interface FuzzTally {
  readonly inputs: number;
  /** Those that were refused; the others are harmless, or cut where nothing is wrong yet. */
  refused: number;
  /** Frames of the honest replicas that arrived meanwhile. */
  honestFrames: number;
  refusals: Readonly<Record<string, number>>;
  readonly growthBytes: number;
}

/** Sends so many inputs; throws when the port does something it should not. */
export async function fuzzPeers(inputs: number, seed: number): Promise<FuzzTally> {
  const random = new SeededRandom(seed);
  const recorded = await recordConversation();
  const [target, honest] = await honestPair();
  const talk = keepTalking(honest);
  const tally = { inputs, refused: 0, honestFrames: 0, refusals: {}, growthBytes: 0 };
  let left = inputs;
  let before = 0;
  const attack = async (): Promise<void> => {
    while (left-- > 0) {
      await attackOnce(target.network.port, mutate(recorded, random));
      if (before === 0 && left < inputs * 0.9) before = heldBytes();
      if (left % FORGET_INPUTS !== 0) continue;
      target.network.setPeers([honest.address]);
      target.network.setPeers([honest.address, NOBODY]);
      target.events.length = 0; // What the test itself keeps.
      target.frames.length = 0;
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, attack));
  talk.stop();
  tally.growthBytes = heldBytes() - before;
  ok(tally.growthBytes <= GROWTH_BYTES_MAX, `memory grew by ${tally.growthBytes} bytes`);
  tally.refusals = target.network.refusals();
  tally.refused = Object.values<number>(tally.refusals).reduce((sum, count) => sum + count);
  tally.honestFrames = talk.count();
  await stillTalks(target, honest);
  await Promise.all([target.network.close(), honest.network.close()]);
  return tally;
}

/** All bytes that one replica sends another: the greeting, pings, and frames of all kinds. */
async function recordConversation(): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const one = await openReplica(identityOf(3), { pingMs: 5 });
  const two = await openReplica(identityOf(1));
  const proxy = createServer((socket) => {
    const onward = connect(two.network.port, HOST);
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      onward.write(chunk);
    });
    onward.on('data', (chunk) => socket.write(chunk));
    for (const end of [socket, onward]) end.on('error', () => undefined);
    socket.on('close', () => onward.destroy());
  });
  await new Promise<void>((resolve) => void proxy.listen(0, HOST, resolve));
  const address = proxy.address();
  const port = address !== null && typeof address === 'object' ? address.port : 0;
  two.network.setPeers([one.address]);
  one.network.setPeers([{ replica: 1, host: HOST, port }]);
  await until('the recorded are connected', () => one.network.peers()[0]!.isReachable);
  for (const [lane, length] of [
    ['urgent', 40],
    ['bulk', 300],
    ['bulk', 150_000],
    ['urgent', 0],
    ['bulk', 5],
  ] as const) {
    one.network.send(1, [new Uint8Array(length).fill(length)], lane);
  }
  await until('all is recorded', () => two.frames.length === 5);
  await Promise.all([one.network.close(), two.network.close()]);
  proxy.close();
  return Buffer.concat(chunks);
}

/** Replica 1, whose port is attacked, and replica 2. Replica 3 is known, so that its greeting is taken. */
async function honestPair(): Promise<[PortReplica, PortReplica]> {
  const target = await openReplica(identityOf(1));
  const honest = await openReplica(identityOf(2));
  target.network.setPeers([honest.address, NOBODY]);
  honest.network.setPeers([target.address]);
  await until('the honest are connected', () => honest.network.peers()[0]!.isReachable);
  return [target, honest];
}

function keepTalking(honest: PortReplica): { stop(): void; count(): number } {
  const timer = setInterval(() => honest.network.send(1, [Buffer.from('honest')], 'bulk'), 10);
  return {
    stop: () => clearInterval(timer),
    count: () => honest.network.peers()[0]!.framesSent,
  };
}

async function stillTalks(target: PortReplica, honest: PortReplica): Promise<void> {
  await until('they are connected', () => honest.network.peers()[0]!.isReachable);
  const before = target.frames.length;
  const isLast = (): boolean => target.frames.slice(before).some(({ bytes }) => bytes.length === 99_999);
  await until('a frame still arrives', () => {
    if (honest.network.room(1) > 1_000_000) honest.network.send(1, [new Uint8Array(99_999)], 'bulk');
    return isLast();
  });
  strictEqual(honest.network.peers()[0]!.connects, 1, 'the honest never lost their connection');
}

/** One attacker: sends, says that it is done, and is gone when the port has closed. */
function attackOnce(port: number, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, HOST);
    socket.once('error', reject); // The machine is out of ports: it would test nothing.
    socket.once('connect', () => {
      socket.off('error', reject);
      socket.on('error', () => undefined); // `close` follows.
      socket.end(bytes);
    });
    socket.on('data', () => undefined);
    socket.once('close', () => resolve());
  });
}

/** The recorded bytes, with some things wrong. Longer ones only now and then. */
export function mutate(recorded: Uint8Array, random: SeededRandom): Uint8Array {
  const frames = framesOf(recorded);
  const count = random.happens(0.02) ? frames.length : random.between(1, 3);
  let chosen: Buffer[] = frames.slice(0, count).map((frame) => Buffer.from(frame));
  for (let changes = random.between(1, 3); changes > 0; changes--) chosen = change(chosen, random);
  const bytes = Buffer.concat(chosen);
  return random.happens(0.2) ? bytes.subarray(0, random.below(bytes.length + 1)) : bytes;
}

function change(frames: Buffer[], random: SeededRandom): Buffer[] {
  const at = random.below(frames.length);
  const frame = frames[at];
  if (frame === undefined) return [random.fill(Buffer.alloc(random.below(200)))];
  switch (random.below(8)) {
    case 0: // One bit.
      if (frame.length > 0) frame[random.below(frame.length)]! ^= 1 << random.below(8);
      return frames;
    case 1: // Another header, sealed as if it were right.
      if (frame.length >= HEADER_BYTES) reseal(frame, 8 + random.below(8), random.below(256));
      return frames;
    case 2: // Another payload, sealed.
      if (frame.length > HEADER_BYTES) {
        const offset = random.between(HEADER_BYTES, Math.min(frame.length, 120) - 1);
        reseal(frame, offset, random.below(256));
      }
      return frames;
    case 3:
      return frames.filter((_, other) => other !== at);
    case 4:
      return [...frames.slice(0, at), frame, ...frames.slice(at)];
    case 5:
      return random.shuffle(frames);
    case 6: // Bytes in between.
      return [...frames.slice(0, at), random.fill(Buffer.alloc(random.below(64))), ...frames.slice(at)];
    default: // A length from the edges, sealed.
      if (frame.length >= HEADER_BYTES) {
        frame.writeUInt32LE(
          random.pick([0, 1, 71, 72, 73, 65_535, 65_536, 65_537, 2 ** 31, 2 ** 32 - 1]),
          12,
        );
        frame.writeUInt32LE(crc32c(frame.subarray(8)), 4);
      }
      return frames;
  }
}

function reseal(frame: Buffer, offset: number, value: number): void {
  frame[offset] = value;
  frame.writeUInt32LE(crc32c(frame.subarray(8)), 4);
}

function framesOf(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const buffer = Buffer.from(bytes);
  for (let at = 0; at < bytes.length; ) {
    const end = at + HEADER_BYTES + buffer.readUInt32LE(at + 12);
    frames.push(buffer.subarray(at, end));
    at = end;
  }
  return frames;
}

/** What the process holds after a collection, if one can be asked for. */
function heldBytes(): number {
  globalThis.gc?.();
  return process.memoryUsage().rss;
}
