/**
 * Frames between replicas (src/network/peer-frame.ts) and the greeting (peer-hello.ts). Goal: every flipped
 * bit is noticed, however the bytes are cut, and every misfit has its reason. Method: exhaustive for small
 * frames, seeded for cuts, a table for greetings.
 */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  FRAME_KINDS,
  type Frame,
  FrameReader,
  PAYLOAD_BYTES_MAX,
  sealFrame,
  writeHeaderFor,
} from '../src/network/peer-frame.ts';
import {
  Acquaintances,
  decodeHello,
  decodeRefusal,
  encodeHello,
  encodeRefusal,
  HELLO_BYTES,
  type Hello,
} from '../src/network/peer-hello.ts';
import { REFUSAL_REASONS } from '../src/network/peer-network.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { textOf } from './support/project.ts';
import { seedOf } from './support/seed.ts';

/** Reads `bytes` cut at every length of `cuts`, again and again. */
function read(bytes: Uint8Array, cuts: readonly number[] = [bytes.length], max = PAYLOAD_BYTES_MAX) {
  const reader = new FrameReader(max);
  const frames: Frame[] = [];
  let turn = 0;
  for (let at = 0; at < bytes.length; turn++) {
    const chunk = bytes.slice(at, at + Math.max(1, cuts[turn % cuts.length]!));
    const fault = reader.push(chunk, (frame) => {
      frames.push({ ...frame, payload: Uint8Array.from(frame.payload) });
      return 'more';
    });
    if (fault !== null) return { frames, fault };
    at += chunk.length;
  }
  return { frames, fault: null };
}

test('peer frame: the bytes on the wire do not change (protocol v1), and are those of the document', () => {
  const hex = Buffer.from(encodeFrame('ping', Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0))).toString('hex');
  strictEqual(hex, '544d5046' + '94c7905f' + '01040000' + '08000000' + '0700000000000000');
  const [, documented] = /```text\n([0-9a-f ]+)\nmagic/.exec(textOf('docs/network.md'))!;
  strictEqual(documented!.replaceAll(' ', ''), hex);
});

test('peer frame: any flipped bit is noticed, and nothing behind it is read', () => {
  for (const kind of Object.keys(FRAME_KINDS) as (keyof typeof FRAME_KINDS)[]) {
    const frame = encodeFrame(kind, Buffer.from('some payload'));
    const next = encodeFrame('urgent', Buffer.alloc(PAYLOAD_BYTES_MAX));
    for (let bit = 0; bit < frame.length * 8; bit++) {
      const damaged = Buffer.concat([frame, next]);
      damaged[bit >> 3]! ^= 1 << (bit & 7);
      const { frames, fault } = read(damaged);
      ok(fault !== null, `bit ${bit} of ${kind}`);
      deepStrictEqual(frames, []);
    }
  }
});

test('peer frame: what is sealed is read, however it is cut', (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 200; run++) {
    const sent: Frame[] = Array.from({ length: random.between(1, 12) }, () => ({
      kind: random.pick(Object.keys(FRAME_KINDS) as (keyof typeof FRAME_KINDS)[]),
      hasMore: random.happens(0.3),
      payload: random.fill(
        new Uint8Array(random.happens(0.1) ? random.below(70_000) & 65_535 : random.below(60)),
      ),
    }));
    const bytes = Buffer.concat(
      sent.flatMap(({ kind, hasMore, payload }) => encodeBy(random, kind, hasMore, payload)),
    );
    const cuts = Array.from({ length: 5 }, () => random.below(random.happens(0.5) ? 20 : 70_000));
    const { frames, fault } = read(bytes, cuts);
    strictEqual(fault, null);
    deepStrictEqual(frames, sent);
  }
});

/** Either way of writing a frame. */
function encodeBy(
  random: SeededRandom,
  kind: Frame['kind'],
  hasMore: boolean,
  payload: Uint8Array,
): Uint8Array[] {
  const { length } = payload;
  if (random.happens(0.5)) {
    const header = new Uint8Array(FRAME_HEADER_BYTES);
    const cut = random.below(length + 1);
    const pieces = [payload.subarray(0, cut), payload.subarray(cut)];
    writeHeaderFor(header, 0, { kind, hasMore, pieces });
    return [header, ...pieces];
  }
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + length);
  bytes.set(payload, FRAME_HEADER_BYTES);
  sealFrame(bytes, 0, { kind, hasMore, length });
  return [bytes];
}

test('peer frame: a length above the limit is refused before anything of it is kept', () => {
  const frame = encodeFrame('bulk', new Uint8Array(HELLO_BYTES + 1));
  deepStrictEqual(read(frame.subarray(0, FRAME_HEADER_BYTES), [1], HELLO_BYTES).fault, 'oversized');
  deepStrictEqual(read(frame, [1000], HELLO_BYTES).fault, 'oversized');
  deepStrictEqual(read(frame, [1000]).fault, null);
  throws(() => encodeFrame('bulk', new Uint8Array(PAYLOAD_BYTES_MAX + 1)), /at most 65536 bytes/);
});

const SELF = { clusterId: 'ab'.repeat(16), replica: 1, incarnation: 1, start: 1, timeline: 1 };
const HELLO: Hello = {
  ...SELF,
  replica: 2,
  start: 7,
  incarnation: 3,
  protocolMin: 1,
  protocolMax: 1,
  to: 1,
  instance: '01'.repeat(16),
};

test('peer hello: the bytes on the wire do not change, in this and every later version', () => {
  const bytes = encodeHello({ ...HELLO, timeline: 5, protocolMax: 9 });
  const fields = ['0100', '0900', '05000000', 'ab'.repeat(16), '02', '01', '03', '07', '01'.repeat(16)];
  const wide = fields.map((field) => (field.length === 2 ? field.padEnd(16, '0') : field));
  strictEqual(Buffer.from(bytes).toString('hex'), wide.join(''));
  deepStrictEqual(decodeHello(bytes), { ...HELLO, timeline: 5, protocolMax: 9 });
  for (let length = 0; length < HELLO_BYTES; length++) strictEqual(decodeHello(bytes.slice(0, length)), null);
  for (const offset of [24, 32, 40, 48]) {
    strictEqual(decodeHello(Buffer.from(bytes).fill(0, offset, offset + 8)), null);
    strictEqual(decodeHello(Buffer.from(bytes).fill(255, offset, offset + 8)), null);
  }
});

test('peer hello: a refusal says its reason, and the places of reasons are those of the document', () => {
  const rows = [...textOf('docs/network.md').matchAll(/^\| (\d+) \| `([a-z-]+)` \|/gm)];
  deepStrictEqual(
    rows.map(([, place, reason]) => `${place} ${reason}`),
    REFUSAL_REASONS.map((reason, place) => `${place} ${reason}`),
  );
  for (const reason of REFUSAL_REASONS) strictEqual(decodeRefusal(encodeRefusal(reason)), reason);
  for (const bytes of [[], [200], [1, 1]]) strictEqual(decodeRefusal(Uint8Array.from(bytes)), null);
});

for (const [change, want] of [
  [{}, null],
  [{ protocolMin: 2, protocolMax: 3 }, 'newer-protocol'],
  [{ protocolMin: 1, protocolMax: 9 }, null],
  [{ protocolMin: 0, protocolMax: 0 }, 'older-protocol'],
  [{ clusterId: 'cd'.repeat(16) }, 'other-cluster'],
  [{ clusterId: 'cd'.repeat(16), replica: 1 }, 'other-cluster'],
  [{ timeline: 2 }, 'other-timeline'],
  [{ to: 3 }, 'wrong-replica'],
  [{ replica: 1 }, 'own-identity'],
  [{ replica: 9 }, 'unknown-replica'],
] as const) {
  test(`peer hello: ${JSON.stringify(change)} is ${want ?? 'let in'}`, () => {
    strictEqual(new Acquaintances().judge({ ...HELLO, ...change }, SELF, new Set([2, 3])), want);
  });
}

test('E4 E8 peer hello: of a replica the latest start is let in, and one instance of it', () => {
  const known = new Acquaintances();
  const peers = new Set([2, 3]);
  const judge = (change: Partial<Hello>) => known.judge({ ...HELLO, ...change }, SELF, peers);
  const other = 'ff'.repeat(16);
  strictEqual(judge({}), null);
  strictEqual(judge({}), null); // It connects again.
  strictEqual(judge({ instance: other }), 'same-identity');
  strictEqual(judge({ start: 6, instance: other }), 'older-start');
  strictEqual(judge({ replica: 3, start: 1 }), null);
  strictEqual(judge({ start: 8, instance: other }), null);
  strictEqual(judge({}), 'older-start');
  strictEqual(judge({ incarnation: 2, start: 99 }), 'older-start');
  strictEqual(judge({ incarnation: 4, start: 1 }), null);
  known.keepOnly(new Set([3]));
  strictEqual(judge({}), null);
});
