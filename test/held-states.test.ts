/**
 * States that clients hold over the Redis port (src/server/held-states.ts, src/node/held-state.ts). Goal:
 * what is read is the state as it was when it was held, node by node, whatever is written since; leases end,
 * and nothing a client sends breaks the node. Method: a node and its port in memory, a clock that the test
 * moves.
 */
import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import type { TreePosition } from '../src/base/merkle/diff-states.ts';
import { diffStates } from '../src/base/merkle/diff-states.ts';
import { rootReference, verifyNode } from '../src/base/merkle/read.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { open } from '../src/node/open.ts';
import { HELD_MAX, LEASE_MS } from '../src/server/held-states.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { type Client, withPort } from './support/port.ts';
import { seedOf } from './support/seed.ts';

interface Held {
  readonly id: string;
  readonly root: Buffer;
  readonly keys: number;
}

async function hold(client: Client): Promise<Held> {
  const reply = await client.ask(encodeRequest(['TIDEMARK', 'HOLD']));
  ok(reply.startsWith('*'), reply);
  const words = reply.split('\r\n').filter((line) => line !== '' && !/^[*$]\d/.test(line));
  const field = (name: string): string => words[words.indexOf(name) + 1]!.replace(/^:/, '');
  return { id: field('id'), root: Buffer.from(field('root'), 'hex'), keys: Number(field('keys')) };
}

/** What the server answers for positions: at most as many as were asked for. */
async function nodes(
  client: Client,
  id: string,
  wanted: readonly TreePosition[],
): Promise<(Buffer | null)[]> {
  const words = wanted.flatMap((one) => [one.kind === 'node' ? String(one.level) : '-1', one.key]);
  const reply = Buffer.from(await client.ask(encodeRequest(['TIDEMARK', 'NODES', id, ...words])), 'latin1');
  const found: (Buffer | null)[] = [];
  let at = reply.indexOf('\r\n') + 2;
  strictEqual(reply[0], '*'.charCodeAt(0), reply.toString('latin1'));
  while (at < reply.length) {
    const end = reply.indexOf('\r\n', at);
    const length = Number(reply.toString('latin1', at + 1, end));
    found.push(length < 0 ? null : reply.subarray(end + 2, end + 2 + length));
    at = length < 0 ? end + 2 : end + 4 + length;
  }
  return found;
}

test('held states: what a client reads is the state when it was held, whatever was written since', (t) =>
  withPort(async (port) => {
    const random = new SeededRandom(seedOf(t));
    const client = port.connect();
    for (let key = 0; key < 3000; key++) {
      await port.node.submit(
        'SET',
        `key ${key}`,
        'x'.repeat(random.happens(0.02) ? 3000 : random.below(200)),
      );
    }
    const before = await hold(client);
    using model = await port.node.hold();
    deepStrictEqual([before.root, before.keys], [Buffer.from(model.root), model.keys]);
    for (let write = 0; write < 2000; write++) {
      await port.node.submit(random.happens(0.3) ? 'DEL' : 'SET', `key ${random.below(3000)}`, `${write}`);
    }
    const after = await hold(client);
    ok(!before.root.equals(after.root));
    const reader = ({ id, root, keys }: Held) => ({
      name: `lease ${id}`,
      root,
      keys,
      read: (wanted: readonly TreePosition[]) => nodes(client, id, wanted),
    });
    const found: string[] = [];
    for await (const { kind, key } of diffStates(reader(before), reader(after))) {
      found.push(`${kind} ${Buffer.from(key).toString()}`);
    }
    const wanted: string[] = [];
    using now = await port.node.hold();
    for await (const { kind, key } of diffStates(model, now))
      wanted.push(`${kind} ${Buffer.from(key).toString()}`);
    ok(found.length > 500, `${found.length} differences`);
    deepStrictEqual(found, wanted);
  }));

test('held states: a root is read at any level above it, and a value that is not there is null', () =>
  withPort(async (port) => {
    const client = port.connect();
    const empty = await hold(client);
    const key = Buffer.from('');
    const [none] = await nodes(client, empty.id, [{ kind: 'node', level: 64, key }]);
    strictEqual(verifyNode(rootReference(empty.root), none!).kind, 'leaf');
    await port.node.submit('SET', 'a', '1');
    const { id, root } = await hold(client);
    const [top, same, value, missing] = await nodes(client, id, [
      { kind: 'node', level: 64, key },
      { kind: 'node', level: 0, key: Buffer.from('zzz') },
      { kind: 'value', key: Buffer.from('\na') },
      { kind: 'value', key: Buffer.from('\nb') },
    ]);
    strictEqual(verifyNode(rootReference(root), top!).kind, 'leaf');
    deepStrictEqual(same, top);
    deepStrictEqual([value?.toString(), missing], ['\n1', null]);
  }));

test('held states: a lease that nobody uses ends, and one that is used goes on', async () => {
  const clock = new ManualClock();
  await withPort(
    async (port) => {
      const client = port.connect();
      const [used, idle] = [await hold(client), await hold(client)];
      const root: TreePosition = { kind: 'node', level: 64, key: Buffer.from('') };
      clock.advance(LEASE_MS - 1);
      strictEqual((await nodes(client, used.id, [root])).length, 1);
      clock.advance(LEASE_MS - 1);
      strictEqual((await nodes(client, used.id, [root])).length, 1);
      const gone = await client.ask(encodeRequest(['TIDEMARK', 'NODES', idle.id, '64', '']));
      match(gone, /^-ERR no state \d+ is held/);
      strictEqual(await client.ask(encodeRequest(['TIDEMARK', 'RELEASE', used.id])), '+OK\r\n');
      match(await client.ask(encodeRequest(['TIDEMARK', 'NODES', used.id, '64', ''])), /^-ERR no state/);
    },
    { clock },
  );
});

test(`held states: ${HELD_MAX} at a time, and requests that are none are refused`, () =>
  withPort(async (port) => {
    const client = port.connect();
    const held = [];
    for (let count = 0; count < HELD_MAX; count++) held.push(await hold(client));
    match(await client.ask(encodeRequest(['TIDEMARK', 'HOLD'])), /^-ERR 8 states are held already/);
    await client.ask(encodeRequest(['TIDEMARK', 'RELEASE', held[3]!.id]));
    const { id } = await hold(client);
    for (const words of [
      ['NODES', id, '0'],
      ['NODES', id, 'x', 'key'],
      ['NODES', 'x', '0', 'key'],
      ['NODES', '999', '0', 'key'],
      ['NODES', id, ...Array.from({ length: 2050 }, () => '0')],
      ['RELEASE', 'x'],
      ['RELEASE'],
    ]) {
      match(await client.ask(encodeRequest(['TIDEMARK', ...words])), /^-ERR /, words.slice(0, 4).join(' '));
    }
    for (const level of ['-1', '-2', '-9999999', '7', '99999999999999']) {
      const found = await client.ask(encodeRequest(['TIDEMARK', 'NODES', id, level, 'some key']));
      ok(found.startsWith('*1\r\n$'), found);
    }
    await client.ask(encodeRequest(['MULTI']));
    match(await client.ask(encodeRequest(['TIDEMARK', 'HOLD'])), /^-ERR /);
  }));

test('held states: closing a node that holds some is clean, and nothing is held afterwards', async () => {
  const node = await open({ dir: 'memory:' });
  await node.submit('SET', 'a', '1');
  const held = await node.hold();
  held.release();
  held.release();
  await node.hold();
  await node.close();
});
