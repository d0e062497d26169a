/**
 * Raft messages as bytes (src/protocols/raft/codec.ts). Goal: what is encoded is decoded, bodies are not
 * copied, and whatever else arrives is `invalid`. Method: one message of each kind, cut at every byte and
 * with every bit flipped; random bytes; the bytes of one message as they are on the wire.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { toIndex, toTerm } from '../src/base/positions.ts';
import {
  decodeMembership,
  decodeMessage,
  encodeMembership,
  encodeMessage,
  MESSAGE_HEADER_BYTES,
  type Message,
  membershipOf,
} from '../src/protocols/raft/index.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

const head = { from: 1, to: 2, incarnation: 7, term: toTerm(5) };
const joint = { ...membershipOf([1, 2, 3], [4, 5]), outgoing: [1, 2, 5], promoting: [4] };
const BODIES = [Buffer.from('first'), Buffer.alloc(0), Buffer.from('third entry')];

const MESSAGES: Message[] = [
  { ...head, kind: 'pre-vote', lastIndex: toIndex(9), lastTerm: toTerm(4) },
  { ...head, kind: 'pre-vote-reply', isGranted: true },
  { ...head, kind: 'vote', lastIndex: toIndex(9), lastTerm: toTerm(4), cause: 'transfer' },
  { ...head, kind: 'vote', lastIndex: toIndex(2 ** 53 - 1), lastTerm: toTerm(4), cause: 'timeout' },
  { ...head, kind: 'vote-reply', isGranted: false },
  {
    ...head,
    kind: 'append',
    previousIndex: toIndex(10),
    previousTerm: toTerm(3),
    runs: [
      { first: toIndex(11), term: toTerm(3) },
      { first: toIndex(13), term: toTerm(5) },
    ],
    sizes: BODIES.map(({ length }) => length),
    memberships: [{ index: toIndex(12), membership: joint }],
    committed: toIndex(10),
  },
  { ...head, kind: 'append-reply', match: toIndex(8), received: toIndex(9), isRecovering: true },
  {
    ...head,
    kind: 'append-reject',
    rejected: toIndex(8),
    hintIndex: toIndex(6),
    hintTerm: toTerm(2),
    lastIndex: toIndex(7),
    isRecovering: false,
  },
  { ...head, kind: 'heartbeat', committed: toIndex(4), round: 77 },
  {
    ...head,
    kind: 'heartbeat-reply',
    round: 77,
    match: toIndex(4),
    received: toIndex(5),
    isRecovering: false,
  },
  { ...head, kind: 'read-index', ask: 3 },
  { ...head, kind: 'read-index-reply', ask: 3, forIncarnation: 2, index: toIndex(6) },
  { ...head, kind: 'read-index-reply', ask: 3, forIncarnation: 2, index: null },
  { ...head, kind: 'timeout-now' },
  {
    ...head,
    kind: 'offer-state',
    state: { index: toIndex(40), term: toTerm(4), root: 'ab'.repeat(32) },
    membership: { index: toIndex(12), membership: joint },
  },
  { ...head, kind: 'readmit', forIncarnation: 9, index: toIndex(41) },
  { ...head, kind: 'contradict', knownIncarnation: 9, acknowledged: toIndex(41) },
];

function bytesOf(message: Message): Uint8Array {
  return Buffer.concat(encodeMessage(message, message.kind === 'append' ? BODIES : []));
}

for (const message of MESSAGES) {
  test(`raft codec: ${message.kind} is decoded as it was encoded`, () => {
    const decoded = decodeMessage(bytesOf(message));
    strictEqual(decoded.kind, 'message');
    ok(decoded.kind === 'message');
    deepStrictEqual(decoded.message, message);
    deepStrictEqual(
      decoded.bodies.map((body) => Buffer.from(body).toString()),
      message.kind === 'append' ? BODIES.map(String) : [],
    );
  });

  test(`raft codec: ${message.kind} cut short or followed by more is invalid`, () => {
    const bytes = bytesOf(message);
    for (let length = 0; length < bytes.length; length++) {
      strictEqual(decodeMessage(bytes.subarray(0, length)).kind, 'invalid', `${length} bytes`);
    }
    deepStrictEqual(decodeMessage(Buffer.concat([bytes, Buffer.alloc(1)])), {
      kind: 'invalid',
      reason: 'long',
    });
  });

  test(`raft codec: ${message.kind} with a flipped bit is invalid or another message`, () => {
    const bytes = bytesOf(message);
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const damaged = Uint8Array.from(bytes);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const decoded = decodeMessage(damaged);
      if (decoded.kind === 'invalid') continue;
      const again = Buffer.concat(encodeMessage(decoded.message, decoded.bodies));
      deepStrictEqual(again, Buffer.from(damaged), `bit ${bit}: what is decoded is all that was there`);
    }
  });
}

test('raft codec: the bytes on the wire do not change (version 1)', () => {
  strictEqual(
    Buffer.from(bytesOf({ ...head, kind: 'heartbeat', committed: toIndex(4), round: 77 })).toString('hex'),
    '01080000' +
      '01000000' +
      '02000000' +
      '00000000' +
      '0700000000000000' +
      '0500000000000000' +
      '0400000000000000' +
      '4d00000000000000',
  );
});

test('raft codec: bodies are neither copied in nor out', () => {
  const append = MESSAGES.find(({ kind }) => kind === 'append')!;
  const parts = encodeMessage(append, BODIES);
  for (const [at, body] of BODIES.entries()) strictEqual(parts[at + 1], body);
  const bytes = bytesOf(append);
  const decoded = decodeMessage(bytes);
  ok(decoded.kind === 'message');
  for (const body of decoded.bodies) strictEqual(body.buffer, bytes.buffer);
});

test('raft codec: a count that the bytes cannot hold is refused without being believed', () => {
  const append = MESSAGES.find(({ kind }) => kind === 'append')!;
  for (const offset of [24, 28, 32]) {
    const bytes = Uint8Array.from(bytesOf(append));
    bytes.fill(0xff, MESSAGE_HEADER_BYTES + offset, MESSAGE_HEADER_BYTES + offset + 4);
    strictEqual(decodeMessage(bytes).kind, 'invalid');
  }
});

test('raft codec: random bytes are invalid, and never throw', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 20_000; run++) {
    const bytes = random.fill(new Uint8Array(random.below(200)));
    bytes[0] = random.happens(0.9) ? 1 : bytes[0]!;
    if (bytes.length > 16 && random.happens(0.8)) {
      bytes[1] = 1 + random.below(15);
      bytes.fill(0, 2, 4);
      bytes.fill(0, 12, 16);
    }
    const decoded = decodeMessage(bytes);
    if (decoded.kind === 'message') deepStrictEqual(bytesAgain(decoded), Buffer.from(bytes));
  }
});

test('raft codec: a host that hands over other bodies than it announced is stopped', () => {
  const append = MESSAGES.find(({ kind }) => kind === 'append')!;
  throws(() => encodeMessage(append, BODIES.slice(1)), { name: 'InvariantViolation' });
});

test('raft codec: a membership is decoded as it was encoded, and nothing else is one', () => {
  const bytes = encodeMembership(joint);
  deepStrictEqual(decodeMembership(bytes), joint);
  for (let length = 0; length < bytes.length; length++) {
    strictEqual(decodeMembership(bytes.subarray(0, length)), null);
  }
  strictEqual(decodeMembership(encodeMembership({ ...joint, voters: [3, 2] })), null);
  strictEqual(decodeMembership(encodeMembership(membershipOf([]))), null);
});

function bytesAgain(decoded: Extract<ReturnType<typeof decodeMessage>, { kind: 'message' }>): Buffer {
  return Buffer.concat(encodeMessage(decoded.message, decoded.bodies));
}
