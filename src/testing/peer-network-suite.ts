/**
 * What every network between replicas must do, as test cases: run against TCP, TLS and the simulated one
 * without faults. Needs a test runner with the shape of node:test's `test`.
 *
 * Frames may be lost by contract; on an undisturbed network between replicas that stay, and within the bounds
 * of a lane, none is.
 */

import { assert } from '../base/assert.ts';
import {
  type Lane,
  type PeerAddress,
  type PeerEvent,
  type PeerIdentity,
  type PeerNetwork,
  type PeerStatus,
  URGENT_FRAME_BYTES_MAX,
} from '../network/peer-network.ts';
import type { RegisterTest } from './file-system-suite.ts';

/** A replica of a case: its network, and what it was told. */
export interface SuiteReplica {
  readonly network: PeerNetwork;
  readonly address: PeerAddress;
  readonly frames: { readonly from: number; readonly bytes: Uint8Array; readonly lane: Lane }[];
  readonly events: PeerEvent[];
  /** Peers that there was room for again, in the order in which it was told. */
  readonly rooms: number[];
}

/** Where a case happens. */
export interface PeerSuiteSubject {
  /** Opens a replica that knows no peers yet. Its bulk lane holds `bulkBytesMax`. */
  open(identity: PeerIdentity, bulkBytesMax: number): Promise<SuiteReplica>;
  /** Lets time pass until it holds; rejects when it never does. */
  until(what: string, holds: () => boolean): Promise<void>;
  /** Lets everything happen that is under way. */
  settle(): Promise<void>;
  /** Closes what is open. */
  close(): Promise<void>;
}

/** An implementation of `PeerNetwork`, to be held to its contract. */
export interface PeerNetworkSuite {
  /** Of the implementation; begins the name of each case. */
  readonly name: string;
  readonly test: RegisterTest;
  open(): Promise<PeerSuiteSubject>;
}

/** Registers every case. */
export function registerPeerNetworkSuite(suite: PeerNetworkSuite): void {
  for (const [name, run] of Object.entries(CASES)) {
    suite.test(`${suite.name}: ${name}`, {}, async () => {
      const subject = await suite.open();
      try {
        await run(subject);
      } finally {
        await subject.close();
      }
    });
  }
}

const CLUSTER = 'c0ffee00c0ffee00c0ffee00c0ffee00';
const BULK_BYTES_MAX = 16 * 1024 * 1024;
const MEGABYTE = 1024 * 1024;

type Case = (subject: PeerSuiteSubject) => Promise<void>;

const CASES: Readonly<Record<string, Case>> = {
  async 'a frame arrives whole, once, from who sent it'(subject) {
    const [one, two] = await connected(subject, 2);
    send(one!, 2, 'bulk', bytesOf('to '), bytesOf('you'));
    send(two!, 1, 'urgent', bytesOf('to me'));
    await subject.until('both arrived', () => one!.frames.length > 0 && two!.frames.length > 0);
    await subject.settle();
    same(shown(two!), '1 bulk to you');
    same(shown(one!), '2 urgent to me');
  },

  async 'frames of every length come through both lanes'(subject) {
    const [one, two] = await connected(subject, 2);
    const cut = URGENT_FRAME_BYTES_MAX;
    const lengths = [0, 1, 15, 16, 17, 4095, 16_384, 16_385, cut - 1, cut];
    const bulkOnly = [cut + 1, 2 * cut, 2 * cut + 1, MEGABYTE, 5 * MEGABYTE + 3];
    for (const length of lengths) send(one!, 2, 'urgent', pattern(length));
    for (const length of [...lengths, ...bulkOnly]) send(one!, 2, 'bulk', pattern(length));
    const count = 2 * lengths.length + bulkOnly.length;
    await subject.until('all arrived', () => two!.frames.length >= count);
    const arrived = (lane: Lane): string =>
      two!.frames
        .filter((frame) => frame.lane === lane)
        .map(({ bytes }) => bytes.length)
        .sort((a, b) => a - b)
        .join(' ');
    same(arrived('urgent'), lengths.join(' '));
    same(arrived('bulk'), [...lengths, ...bulkOnly].join(' '));
    for (const { bytes } of two!.frames) same(isPattern(bytes), true);
  },

  async 'parts are joined, whatever their number and lengths'(subject) {
    const [one, two] = await connected(subject, 2);
    const whole = pattern(300_000);
    const ends = [0, 0, 1, 10, 70_000, 70_000, 299_999, 300_000, 300_000];
    const parts = ends.slice(1).map((end, at) => whole.subarray(ends[at], end));
    send(one!, 2, 'bulk', ...parts);
    send(one!, 2, 'bulk');
    await subject.until('both arrived', () => two!.frames.length === 2);
    same(isPattern(two!.frames[0]!.bytes), true);
    same(two!.frames.map(({ bytes }) => bytes.length).join(' '), '300000 0');
  },

  async 'every replica reaches every other one'(subject) {
    const replicas = await connected(subject, 4);
    for (const { network } of replicas) {
      for (const { replica } of network.peers()) {
        same(network.send(replica, [bytesOf(`${network.identity.replica}-${replica}`)], 'urgent'), true);
      }
    }
    await subject.until('all arrived', () => replicas.every(({ frames }) => frames.length === 3));
    for (const { network, frames } of replicas) {
      const self = network.identity.replica;
      const texts = frames.map(({ from, bytes }) => `${from}: ${textOf(bytes)}`).sort();
      const others = [1, 2, 3, 4].filter((other) => other !== self);
      same(texts.join(), others.map((other) => `${other}: ${other}-${self}`).join());
    }
  },

  async 'a peer that is not there is not reached, which is counted'(subject) {
    const one = await subject.open(identityOf(1), BULK_BYTES_MAX);
    const two = await subject.open(identityOf(2), BULK_BYTES_MAX);
    await two.network.close();
    one.network.setPeers([two.address]);
    same(one.network.send(2, [bytesOf('x')], 'bulk'), false);
    same(one.network.send(3, [bytesOf('x')], 'bulk'), false);
    same(one.network.room(2), 0);
    await subject.settle();
    const status = statusOf(one, 2);
    same(status.isReachable, false);
    assert(status.reason !== null && status.reason.length > 0, 'a reason is given');
    same(status.drops.unreachable, 1);
  },

  async 'what a lane has no room for is dropped, and who sent it is told of room'(subject) {
    const [one, two] = await connected(subject, 2, MEGABYTE);
    same(one!.network.room(2), MEGABYTE);
    const told = one!.rooms.length;
    let taken = 0;
    while (taken < 100 && one!.network.send(2, [pattern(100_000)], 'bulk')) taken++;
    same(taken, 10);
    same(one!.network.room(2), MEGABYTE - 1_000_000);
    same(statusOf(one!, 2).drops['no-room'], 1);
    send(one!, 2, 'urgent', bytesOf('still'));
    await subject.until('room was told', () => one!.rooms.length > told);
    await subject.until('all arrived', () => two!.frames.length === taken + 1);
    same(one!.network.room(2), MEGABYTE);
    // Alone, a frame may be longer than the lane.
    same(one!.network.send(2, [pattern(5 * MEGABYTE)], 'bulk'), true);
    await subject.until('it arrived', () => two!.frames.length === taken + 2);
  },

  async 'urgent frames pass bulk ones that wait'(subject) {
    const [one, two] = await connected(subject, 2);
    for (let count = 0; count < 15; count++) send(one!, 2, 'bulk', pattern(MEGABYTE));
    send(one!, 2, 'urgent', bytesOf('first'));
    await subject.until('all arrived', () => two!.frames.length === 16);
    const place = two!.frames.findIndex(({ lane }) => lane === 'urgent');
    assert(place <= 2, `an urgent frame comes before all but the bulk under way, not after ${place} frames`);
  },

  async 'counters and status say what went'(subject) {
    const [one, two] = await connected(subject, 2);
    send(one!, 2, 'bulk', pattern(1000));
    send(one!, 2, 'urgent', pattern(10));
    await subject.until('both arrived', () => two!.frames.length === 2);
    await subject.until('a ping was answered', () => statusOf(one!, 2).roundTripMs !== null);
    const sent = statusOf(one!, 2);
    same(`${sent.framesSent} ${sent.bytesSent} ${sent.connects} ${sent.isReachable}`, '2 1010 1 true');
    same(sent.reason, null);
    assert(sent.roundTripMs! >= 0, `a round trip takes time, got ${sent.roundTripMs}`);
    const received = statusOf(two!, 1);
    same(`${received.framesReceived} ${received.bytesReceived}`, '2 1010');
    same(kinds(one!), 'peer-connected');
  },

  async 'peers are added and removed while it runs'(subject) {
    const [one, two, three] = await connected(subject, 3);
    one!.network.setPeers([three!.address]);
    same(one!.network.send(2, [bytesOf('x')], 'bulk'), false);
    send(two!, 1, 'bulk', bytesOf('from a stranger'));
    await subject.until('it lost its peer', () => !statusOf(two!, 1).isReachable);
    send(one!, 3, 'bulk', bytesOf('x'));
    await subject.until('the other stayed', () => three!.frames.length === 1);
    same(statusOf(one!, 3).connects, 1);
    await subject.until('it was refused', () => one!.network.refusals()['unknown-replica'] > 0);
    same(shown(one!), '');
    one!.network.setPeers([two!.address, three!.address]);
    await subject.until('both again', () => statusOf(two!, 1).isReachable && statusOf(one!, 2).isReachable);
    send(two!, 1, 'bulk', bytesOf('back'));
    await subject.until('it arrived', () => one!.frames.length === 1);
  },

  async 'a replica that starts again is reached again'(subject) {
    const [one, two] = await connected(subject, 2);
    await two!.network.close();
    await subject.until('it is gone', () => !statusOf(one!, 2).isReachable);
    const again = await subject.open({ ...identityOf(2), start: 2 }, BULK_BYTES_MAX);
    introduce([one!, again]);
    await subject.until('it is back', () => statusOf(one!, 2).isReachable);
    await subject.until('both ways', () => statusOf(again, 1).isReachable);
    send(one!, 2, 'bulk', bytesOf('again'));
    await subject.until('it arrived', () => again.frames.length === 1);
    same(shown(two!), '');
  },

  async 'E4: an older start of a replica is refused, by whoever knows the newer one'(subject) {
    const one = await subject.open(identityOf(1), BULK_BYTES_MAX);
    const newer = await subject.open({ ...identityOf(2), start: 5 }, BULK_BYTES_MAX);
    introduce([one, newer]);
    await subject.until('the newer one is there', () => statusOf(one, 2).isReachable);
    await newer.network.close();
    const older = await subject.open({ ...identityOf(2), start: 4 }, BULK_BYTES_MAX);
    introduce([one, older]);
    await refusedFor(subject, one, 'older-start');
    await failureOf(subject, older, 1);
    same(statusOf(older, 1).isReachable, false);
  },

  async 'D9 E8: of two replicas with one identity only one is let in'(subject) {
    const [one, two] = await connected(subject, 2);
    const copy = await subject.open(identityOf(2), BULK_BYTES_MAX);
    copy.network.setPeers([one!.address]);
    await refusedFor(subject, one!, 'same-identity');
    await failureOf(subject, copy, 1);
    send(two!, 1, 'bulk', bytesOf('the first'));
    await subject.until('it arrived', () => one!.frames.length === 1);
    same(statusOf(copy, 1).isReachable, false);
  },

  async 'a replica that finds its own number elsewhere is told'(subject) {
    const one = await subject.open(identityOf(1), BULK_BYTES_MAX);
    const other = await subject.open(identityOf(1), BULK_BYTES_MAX);
    other.network.setPeers([{ ...one.address, replica: 2 }]);
    await refusedFor(subject, one, 'own-identity');
  },

  async 'a replica of another cluster is refused'(subject) {
    const other = { ...identityOf(2), clusterId: 'bad0'.repeat(8) };
    await mismatch(subject, other, 'other-cluster');
  },

  async 'a replica of another timeline is refused'(subject) {
    await mismatch(subject, { ...identityOf(2), timeline: 2 }, 'other-timeline');
  },

  async 'a replica that is no member is refused'(subject) {
    const one = await subject.open(identityOf(1), BULK_BYTES_MAX);
    const two = await subject.open(identityOf(2), BULK_BYTES_MAX);
    two.network.setPeers([one.address]);
    await refusedFor(subject, one, 'unknown-replica');
    await failureOf(subject, two, 1);
  },

  async 'a replica that is called by another number is not taken for it'(subject) {
    const one = await subject.open(identityOf(1), BULK_BYTES_MAX);
    const two = await subject.open(identityOf(2), BULK_BYTES_MAX);
    two.network.setPeers([one.address]);
    one.network.setPeers([{ ...two.address, replica: 3 }]);
    await refusedFor(subject, two, 'wrong-replica');
    same(statusOf(one, 3).isReachable, false);
  },

  async 'nothing is sent or told after the close'(subject) {
    const [one, two] = await connected(subject, 2);
    send(two!, 1, 'bulk', pattern(MEGABYTE));
    const closed = one!.network.close();
    const told = one!.events.length + one!.rooms.length + one!.frames.length;
    same(one!.network.send(2, [bytesOf('x')], 'bulk'), false);
    await closed;
    await one!.network.close();
    await subject.until('the other knows', () => !statusOf(two!, 1).isReachable);
    await subject.settle();
    same(one!.events.length + one!.rooms.length + one!.frames.length, told);
  },
};

/** Replicas that all reach each other. */
async function connected(
  subject: PeerSuiteSubject,
  count: number,
  bulkBytesMax = BULK_BYTES_MAX,
): Promise<SuiteReplica[]> {
  const replicas: SuiteReplica[] = [];
  for (let replica = 1; replica <= count; replica++) {
    replicas.push(await subject.open(identityOf(replica), bulkBytesMax));
  }
  introduce(replicas);
  await subject.until('all are connected', () =>
    replicas.every(({ network }) => network.peers().every(({ isReachable }) => isReachable)),
  );
  return replicas;
}

function introduce(replicas: readonly SuiteReplica[]): void {
  for (const { network, address } of replicas) {
    const others = replicas.map((other) => other.address);
    network.setPeers(others.filter(({ replica }) => replica !== address.replica));
  }
}

async function mismatch(
  subject: PeerSuiteSubject,
  other: PeerIdentity,
  reason: 'other-cluster' | 'other-timeline',
): Promise<void> {
  const one = await subject.open(identityOf(1), BULK_BYTES_MAX);
  const two = await subject.open(other, BULK_BYTES_MAX);
  introduce([one, two]);
  await refusedFor(subject, one, reason);
  await failureOf(subject, two, 1);
  same(statusOf(one, 2).isReachable, false);
  same(statusOf(two, 1).isReachable, false);
}

/** `replica` refused somebody, said so in an event, and counted it. */
async function refusedFor(subject: PeerSuiteSubject, one: SuiteReplica, reason: string): Promise<void> {
  await subject.until(`${reason} was told`, () =>
    one.events.some((event) => event.kind === 'peer-refused' && event.refusal === reason),
  );
  const counts: Readonly<Record<string, number>> = one.network.refusals();
  assert(counts[reason]! > 0, `${reason} was counted`);
}

/** The line to `to` says that somebody must act. */
async function failureOf(subject: PeerSuiteSubject, one: SuiteReplica, to: number): Promise<void> {
  await subject.until('it knows why', () => statusOf(one, to).failure?.code === 'TIDEMARK_PEER_REFUSED');
}

function identityOf(replica: number): PeerIdentity {
  return { clusterId: CLUSTER, replica, incarnation: 1, start: 1, timeline: 1 };
}

function send({ network }: SuiteReplica, to: number, lane: Lane, ...parts: Uint8Array[]): void {
  assert(network.send(to, parts, lane), `replica ${to} has room`);
}

function statusOf({ network }: SuiteReplica, replica: number): PeerStatus {
  const status = network.peers().find((peer) => peer.replica === replica);
  assert(status !== undefined, `${replica} is a peer`);
  return status;
}

function shown({ frames }: SuiteReplica): string {
  return frames.map(({ from, lane, bytes }) => `${from} ${lane} ${textOf(bytes)}`).join();
}

function kinds({ events }: SuiteReplica): string {
  return events.map(({ kind }) => kind).join();
}

/** Bytes that show where they are cut or moved. */
function pattern(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at++) bytes[at] = (at ^ (at >> 8) ^ (at >> 16)) & 255;
  return bytes;
}

function isPattern(bytes: Uint8Array): boolean {
  return Buffer.from(pattern(bytes.length)).equals(bytes);
}

function bytesOf(text: string): Uint8Array {
  return Buffer.from(text);
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function same(got: unknown, want: unknown): void {
  assert(got === want, `expected ${String(want)}, got ${String(got)}`);
}
