/**
 * Bringing one key-value state to another by its records (src/keyvalue/patch.ts, patch-plan.ts). Goal: the
 * target becomes equal, to the byte; at every point in between its keys can be used, and a repetition
 * finishes; what came meanwhile is never overwritten. Method: two nodes in memory with random histories of
 * strings, hashes small and large, deadlines and sessions, and interruptions after every command.
 */
import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { sha256 } from '../src/base/digest.ts';
import { diffStates } from '../src/base/merkle/diff-states.ts';
import { compareBytes } from '../src/base/merkle/node.ts';
import { COUNTS_KEY } from '../src/keyvalue/counts.ts';
import { stateKeyOf } from '../src/keyvalue/layout.ts';
import { encodePatch, type RecordChange } from '../src/keyvalue/patch.ts';
import { PatchPlan, type SendPatch } from '../src/keyvalue/patch-plan.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { open } from '../src/node/open.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';

type KeyValueNode = Awaited<ReturnType<typeof open>>;

function run(node: KeyValueNode, words: readonly (string | Uint8Array)[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    node.ordering.enqueue(encodeRequest(words), { settle: resolve, fail: reject });
  });
}

function patch(node: KeyValueNode, changes: readonly RecordChange[]): Promise<unknown> {
  return new Promise((resolve, reject) => {
    node.ordering.enqueue(encodePatch(changes), { settle: resolve, fail: reject });
  });
}

const sendTo =
  (node: KeyValueNode): SendPatch =>
  async (changes) => {
    try {
      await patch(node, changes);
      return 'done';
    } catch (error) {
      match((error as Error).message, /^CONFLICT /);
      return 'conflict';
    }
  };

/** Few keys, so that commands meet; hashes that grow large and shrink; sessions that come and go. */
async function live(node: KeyValueNode, random: SeededRandom, commands: number): Promise<void> {
  const running: Promise<unknown>[] = [];
  for (let command = 0; command < commands; command++) {
    const key = `key${random.below(30)}`;
    const field = `field${random.below(120)}`;
    const words = [
      ['SET', key, 'v'.repeat(random.below(random.happens(0.1) ? 3000 : 50))],
      ['SET', key, 'v', 'PX', String(1000 + random.below(1_000_000))],
      ['DEL', key],
      [
        'HSET',
        `hash${random.below(6)}`,
        ...Array.from({ length: 30 }, (_, at) => [`${field}.${at}`, `${command}`]).flat(),
      ],
      ['HDEL', `hash${random.below(6)}`, field, `${field}.1`, `${field}.2`],
      ['DEL', `hash${random.below(6)}`],
      ['RENAME', `hash${random.below(6)}`, `hash${random.below(6)}`],
      ['PEXPIRE', `hash${random.below(6)}`, '1000000'],
      ['TIDEMARK', 'SESSION', `session${random.below(8)}`, '1', 'INCR', 'counter'],
    ][random.below(9)]!;
    running.push(run(node, words).catch((error: Error) => match(error.message, /WRONGTYPE|no such key/)));
  }
  await Promise.all(running);
}

interface Found {
  readonly key: Uint8Array;
  readonly change: Parameters<PatchPlan['add']>[0];
}

async function differences(target: KeyValueNode, source: KeyValueNode): Promise<Found[]> {
  using before = await target.hold();
  using after = await source.hold();
  const found: Found[] = [];
  for await (const one of diffStates(before, after, { values: 'target' })) {
    const stored = 'target' in one ? one.target : null;
    const bytes = stored?.kind === 'inline' ? stored.bytes : null;
    const change = { key: one.key, before: 'source' in one ? one.source : null, after: bytes };
    found.push({ key: one.key, change });
  }
  return found;
}

/** Returns how many changes were sent. */
async function bring(
  target: KeyValueNode,
  source: KeyValueNode,
  { send = sendTo(target), linkedBytesMax }: { send?: SendPatch; linkedBytesMax?: number | undefined } = {},
): Promise<PatchPlan> {
  const plan = new PatchPlan(send, linkedBytesMax);
  for (const { change } of await differences(target, source)) await plan.add(change);
  await plan.finish();
  if (plan.counts === null) return plan;
  using held = await target.hold();
  const [found] = await held.read([{ kind: 'value', key: COUNTS_KEY }]);
  const { after } = plan.counts;
  const isRight = found != null && after !== null ? compareBytes(found, after) === 0 : found === after;
  if (!isRight) await send([{ key: COUNTS_KEY, before: found == null ? null : sha256(found), after }]);
  return plan;
}

/** Every key answers, as a client would ask. */
async function answers(node: KeyValueNode): Promise<unknown[]> {
  const keys = (await node.query('KEYS', '*')) as Uint8Array[];
  const names = keys.map((key) => Buffer.from(key).toString()).sort();
  const found: unknown[] = [await node.query('DBSIZE')];
  for (const key of names) {
    const type = await node.query('TYPE', key);
    const read = type === 'hash' ? await node.query('HGETALL', key) : await node.query('GET', key);
    const fields = type === 'hash' ? await node.query('HLEN', key) : 0;
    found.push([key, type, fields, await node.query('PEXPIRETIME', key), read]);
  }
  return found;
}

async function withNodes(
  body: (source: KeyValueNode, target: KeyValueNode, clock: ManualClock) => Promise<void>,
  segmentBytes = 256 * 1024,
): Promise<void> {
  const clock = new ManualClock();
  const options = { dir: 'memory:', doors: { clock }, log: { segmentBytes } };
  const source = await open(options);
  const target = await open(options);
  try {
    await body(source, target, clock);
  } finally {
    await source.close();
    await target.close();
  }
}

for (const linkedBytesMax of [undefined, 0, 3000]) {
  const how = linkedBytesMax === undefined ? 'at once' : `in stages above ${linkedBytesMax} bytes`;
  test(`patch, linked records ${how}: any state becomes any other, to the byte, and lives on`, async (t) => {
    const random = new SeededRandom(seedOf(t));
    for (let round = 0; round < 12; round++) {
      await withNodes(async (source, target) => {
        await live(source, random, random.below(250));
        await live(target, random, random.below(250));
        const plan = await bring(target, source, { linkedBytesMax });
        strictEqual(plan.conflicts, 0);
        deepStrictEqual(await differences(target, source), []);
        deepStrictEqual(await answers(target), await answers(source));
        const seed = random.u32();
        for (const node of [source, target]) await live(node, new SeededRandom(seed), 100);
        deepStrictEqual(await answers(target), await answers(source));
        deepStrictEqual(await differences(target, source), []);
      });
    }
  });
}

for (const linkedBytesMax of [undefined, 0]) {
  const how = linkedBytesMax === undefined ? 'at once' : 'in stages';
  test(`patch, linked records ${how}: interrupted anywhere, keys answer; repeated, it is done`, async (t) => {
    const random = new SeededRandom(seedOf(t));
    const seeds = [random.u32(), random.u32()] as const;
    for (let commands = 0; ; commands++) {
      let sent = 0;
      await withNodes(async (source, target) => {
        await live(source, new SeededRandom(seeds[0]), 200);
        await live(target, new SeededRandom(seeds[1]), 200);
        // One change a command, but for what must go together: the most points to be interrupted at.
        const interrupted = new Error('interrupted');
        const send: SendPatch = async (changes) => {
          for (const part of linkedBytesMax === undefined ? [changes] : changes.map((change) => [change])) {
            if (sent++ === commands) throw interrupted;
            if ((await sendTo(target)(part)) === 'conflict') return 'conflict';
          }
          return 'done';
        };
        await bring(target, source, { send, linkedBytesMax }).catch((error) =>
          strictEqual(error, interrupted),
        );
        await answers(target);
        await live(target, new SeededRandom(commands), 20);
        await answers(target);
        await bring(target, source, { linkedBytesMax });
        deepStrictEqual(await differences(target, source), []);
        deepStrictEqual(await answers(target), await answers(source));
      });
      if (sent <= commands) {
        t.diagnostic(`${sent} commands`);
        return;
      }
      // Many points of the same kind: every one of the first, then some.
      if (commands > 8) commands += random.below(60);
    }
  });
}

test('patch: a record that was written meanwhile stays, and the next pass sees it as it is', () =>
  withNodes(async (source, target) => {
    for (const key of ['a', 'b', 'c']) await run(source, ['SET', key, 'new']);
    for (const key of ['a', 'b']) await run(target, ['SET', key, 'old']);
    let isFirst = true;
    const send: SendPatch = async (changes) => {
      if (isFirst) await run(target, ['SET', 'b', 'of a client']);
      isFirst = false;
      return sendTo(target)(changes);
    };
    const plan = await bring(target, source, { send });
    deepStrictEqual([plan.changesDone, plan.conflicts], [0, 3]);
    deepStrictEqual(Buffer.from((await target.query('GET', 'b')) as Uint8Array).toString(), 'of a client');
    strictEqual((await bring(target, source)).conflicts, 0);
    deepStrictEqual(await differences(target, source), []);
  }));

test('patch: deadlines travel, and keys expire where they came to', () =>
  withNodes(async (source, target, clock) => {
    await run(source, ['SET', 'short', 'x', 'PX', '5000']);
    await run(source, ['HSET', 'hash', 'field', 'value']);
    await run(source, ['PEXPIRE', 'hash', '9000']);
    await bring(target, source);
    strictEqual(await target.query('PEXPIRETIME', 'short'), await source.query('PEXPIRETIME', 'short'));
    clock.advance(6000);
    strictEqual(await target.query('EXISTS', 'short', 'hash'), 1);
    clock.advance(6000);
    strictEqual(await target.query('EXISTS', 'short', 'hash'), 0);
  }));

test('patch: a session does at the target what it did at the source', () =>
  withNodes(async (source, target) => {
    const command = ['TIDEMARK', 'SESSION', 'me', '1', 'INCR', 'counter'];
    strictEqual(await run(source, command), 1);
    await bring(target, source);
    strictEqual(await run(target, command), 1, 'the stored answer, not a second increment');
    strictEqual(Buffer.from((await target.query('GET', 'counter')) as Uint8Array).toString(), '1');
  }));

const key = stateKeyOf(Buffer.from('k'));
const digest = sha256(Buffer.from('\nv'));

const MALFORMED: Record<string, readonly (string | Uint8Array)[]> = {
  'no verb': ['put', key, '', '\n', 'v'],
  'a word too few': ['set', key, '', '\n'],
  'a word too many': ['set', key, '', '\n', 'v', 'delete', key],
  'a digest that is none': ['set', key, 'abc', '\n', 'v'],
  'a prefix that no record has': ['set', Buffer.from('\u0007k'), '', '\n', 'v'],
  'an empty key': ['set', '', '', '\n', 'v'],
  'a record without a type': ['set', key, '', '', ''],
  'a type that is none': ['set', key, '', '\u0010', 'v'],
  'a deadline that is cut': ['set', key, '', '\u000b\u0001', ''],
  'a deadline of 0': ['set', key, '', Buffer.from([0x0b, 0, 0, 0, 0, 0, 0, 0, 0]), 'v'],
  'a deadline above 2^53': ['set', key, '', Buffer.from([0x0b, 1, 0, 0, 0, 0, 0, 0x20, 0]), 'v'],
  'a small hash without fields': ['set', key, '', Buffer.from([0x0c, 0]), ''],
  'a small hash that is cut': ['set', key, '', Buffer.from([0x0c, 1, 1, 0, 65, 9, 0]), 'v'],
  'a small hash with more behind it': ['set', key, '', Buffer.from([0x0c, 1, 0, 0, 0, 0]), 'v'],
  'a head of a large hash that is cut': ['set', key, '', Buffer.from([0x0e, 1]), ''],
  'a head without fields': ['set', key, '', Buffer.from([0x0e]), Buffer.alloc(24)],
  'a field that belongs to no hash': ['set', Buffer.from([0x0b, 1]), '', 'abcd', ''],
  'a field of a hash above 2^53': ['set', Buffer.alloc(12, 0xff).fill(0x0b, 0, 1), '', 'abcd', ''],
  'a field without a slot': ['set', Buffer.alloc(12, 0).fill(0x0b, 0, 1), '', 'abc', ''],
  'a slot that is none': ['set', Buffer.from([0x0c, 1]), '', 'abcd', ''],
  'a slot of a session that is none': ['set', Buffer.from([0x01, 1]), '', 'abcd', ''],
  'a session that is cut': ['set', Buffer.from([0x02, 65]), '', 'abcd', ''],
  'counts that are cut': ['set', COUNTS_KEY, '', Buffer.alloc(9), Buffer.alloc(9)],
  'counts of records that are not there': [
    'set',
    COUNTS_KEY,
    '',
    Buffer.alloc(9),
    Buffer.alloc(23).fill(1, 7, 8),
  ],
};

test('patch: what is no change of a record is refused, and nothing of its command takes effect', () =>
  withNodes(async (source, target) => {
    for (const node of [source, target]) await run(node, ['SET', 'other', 'x']);
    const good = ['set', stateKeyOf(Buffer.from('good')), '', '\n', 'v'];
    for (const [what, words] of Object.entries(MALFORMED)) {
      await rejects(run(target, ['TIDEMARK', 'PATCH', ...good, ...words]), (error: Error) => {
        ok(/nothing was changed|wrong number/.test(error.message), `${what}: ${error.message}`);
        return true;
      });
      deepStrictEqual(await differences(target, source), [], what);
    }
  }));

test('patch: a value as long as a key may have arrives whole', () =>
  withNodes(
    async (source, target) => {
      const long = Buffer.alloc(16 * 1024 * 1024 - 9, 'x');
      await run(source, ['SET', 'long', long, 'PX', '1000000']);
      await bring(target, source);
      deepStrictEqual(await differences(target, source), []);
      await run(target, ['TIDEMARK', 'PATCH', 'set', key, '', '\n', 'v', 'delete', key, digest]);
      strictEqual(await target.query('EXISTS', 'k'), 0);
    },
    32 * 1024 * 1024,
  ));
