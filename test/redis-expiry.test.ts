/**
 * Keys that expire (src/node/expiring-ordering.ts, src/keyvalue/). Goal: a key goes when its time has come
 * and through an entry of the log alone, so that every replay has the same keys. Method: a node with a clock
 * that the test moves; the same log on two engines.
 */
import { deepStrictEqual, fail, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { toIndex } from '../src/base/positions.ts';
import { systemClock } from '../src/base/time.ts';
import { Engine } from '../src/engine/engine.ts';
import { EntryBuilder } from '../src/engine/entry.ts';
import { DeadlineTable } from '../src/keyvalue/deadline-table.ts';
import { encodeExpiry } from '../src/keyvalue/expire-due.ts';
import { splitInline } from '../src/keyvalue/inline.ts';
import { stateKeyOf } from '../src/keyvalue/layout.ts';
import { createKeyValueMachine, keyValueMachine } from '../src/keyvalue/machine.ts';
import { encodeRequest } from '../src/keyvalue/request.ts';
import { ExpiringOrdering } from '../src/node/expiring-ordering.ts';
import { open } from '../src/node/open.ts';
import type { Ordering } from '../src/ordering/ordering.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { MapState } from './support/map-state.ts';
import { type Client, withPort } from './support/port.ts';
import { randomCommand } from './support/redis-stream.ts';
import { seedOf } from './support/seed.ts';

async function say(client: Client, ...lines: string[]): Promise<string[]> {
  const replies: string[] = [];
  for (const line of lines) {
    const reply = await client.ask(encodeRequest(splitInline(Buffer.from(line, 'latin1')) ?? []));
    replies.push(reply.trimEnd().replaceAll('\r\n', ' '));
  }
  return replies;
}

test('expiry: a key is gone for whoever asks when its time has come, and one that was put off is not', () => {
  const clock = new ManualClock();
  return withPort(
    async (port) => {
      const client = port.connect();
      await say(
        client,
        'SET a 1 PX 1000',
        'SET b 1 PX 1000',
        'SET c 1 PX 1000',
        'SET d 1 PX 1000',
        'SET e 1',
      );
      clock.advance(600);
      deepStrictEqual(await say(client, 'PTTL a', 'TTL a', 'EXPIRE b 10', 'PERSIST c', 'SET d 2', 'PTTL e'), [
        ':400',
        ':0',
        ':1',
        ':1',
        '+OK',
        ':-1',
      ]);
      clock.advance(400);
      deepStrictEqual(await say(client, 'GET a', 'GET b', 'GET c', 'GET d', 'DBSIZE'), [
        '$-1',
        '$1 1',
        '$1 1',
        '$1 2',
        ':4',
      ]);
      clock.advance(9_600);
      deepStrictEqual(await say(client, 'EXISTS b', 'TTL b', 'DBSIZE'), [':0', ':-2', ':3']);
      strictEqual(port.node.stats().keysExpired, 2);
    },
    { clock },
  );
});

test('expiry: a deadline that is brought forward holds, however it is set', () => {
  const clock = new ManualClock();
  return withPort(
    async (port) => {
      const client = port.connect();
      await say(client, 'MSET a 1 b 1 c 1 d 1', 'SET long 1 PX 90000');
      await say(client, 'EXPIRE a 90', 'EXPIRE b 90', 'EXPIRE c 90', 'EXPIRE d 90', 'SET soon 1 PX 1000');
      await say(client, 'PEXPIRE a 1000', 'SET b 2 PX 1000', 'GETEX c PX 1000', 'RENAME soon d');
      clock.advance(1_000);
      deepStrictEqual(await say(client, 'GET a', 'GET b', 'GET c', 'GET d', 'DBSIZE'), [
        '$-1',
        '$-1',
        '$-1',
        '$-1',
        ':1',
      ]);
    },
    { clock },
  );
});

test('expiry: an idle node removes keys by itself; a watched one that expires ends the transaction', () => {
  const clock = new ManualClock();
  return withPort(
    async (port) => {
      const client = port.connect();
      await say(client, 'SET a 1 PX 50', 'WATCH a', 'MULTI', 'GET a');
      const before = port.node.stats().lastIndex;
      clock.advance(50);
      while (port.node.stats().keys > 0) await new Promise((resolve) => setImmediate(resolve));
      ok(port.node.stats().lastIndex > before, 'it went through an entry');
      deepStrictEqual(await say(client, 'EXEC'), ['*-1']);
    },
    { clock },
  );
});

test('expiry: a key of a checkpoint is found after a restart, and goes when its time has come', async () => {
  const doors = { fs: new MemoryFileSystem(), clock: { ...systemClock, now: () => now } };
  let now = 1_000_000;
  const first = await open({ dir: 'data', doors });
  await first.submit('SET', 'a', '1', 'PX', 1000);
  await first.submit('SET', 'b', '1');
  await first.close();
  now += 2_000;
  await using node = await open({ dir: 'data', doors });
  strictEqual(node.recovery.commandsReplayed, 0);
  await node.whenLoaded();
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let turns = 0; turns < 10_000 && node.stats().keys > 1; turns++) await turn();
  strictEqual(node.stats().keys, 1);
});

test('expiry: thousands of keys at once take several entries', () => {
  const clock = new ManualClock();
  return withPort(
    async (port) => {
      const client = port.connect();
      for (let at = 0; at < 3_000; at++) {
        client.send(encodeRequest(['SET', `k${at}`, 'v', 'PX', String(1000 + (at % 7))]));
      }
      for (let at = 0; at < 3_000; at++) strictEqual(await client.reply(), '+OK\r\n');
      clock.advance(2_000);
      deepStrictEqual(await say(client, 'DBSIZE', 'GET k0'), [':0', '$-1']);
      strictEqual(port.node.stats().keysExpired, 3_000);
      strictEqual(port.node.stats().keysWithDeadline, 0);
    },
    { clock },
  );
});

test('expiry: the command removes only keys whose time has come by the time of its entry', () => {
  const noted: string[] = [];
  const machine = createKeyValueMachine({
    note: (key, deadline) => noted.push(`${String(key.at(-1))} ${deadline}`),
  });
  const engine = engineOf(machine, 1);
  applyAt(engine, 1, 1_000, [
    encodeRequest(['SET', 'a', '1', 'PX', '500']),
    encodeRequest(['SET', 'b', '1']),
  ]);
  applyAt(engine, 2, 1_499, [encodeExpiry(['a', 'b', 'c'].map((key) => Buffer.from(key)))]);
  ok(engine.state.has(stateKeyOf(Buffer.from('a'))), 'an entry of a clock that is behind does not reach it');
  deepStrictEqual(noted, ['97 1500', '97 1500'], 'and the node is told again');
  applyAt(engine, 3, 1_500, [encodeExpiry(['a', 'b'].map((key) => Buffer.from(key)))]);
  ok(!engine.state.has(stateKeyOf(Buffer.from('a'))));
  ok(engine.state.has(stateKeyOf(Buffer.from('b'))));
});

test('expiry: the same log gives the same root, whatever the seeds of the index', async (t) => {
  const seed = seedOf(t);
  const random = new SeededRandom(seed);
  const engines = [engineOf(keyValueMachine, 1), engineOf(keyValueMachine, 2)];
  let time = 1_000;
  for (let index = 1; index <= 300; index++) {
    time += random.below(50);
    const commands = Array.from({ length: random.between(1, 15) }, () => randomWrite(random));
    for (const engine of engines) applyAt(engine, index, time, commands);
  }
  const [first, second] = await Promise.all(engines.map((engine) => engine.root()));
  deepStrictEqual(first, second);
});

test('expiry: the table gives keys in the order of deadlines, and its memory back', () => {
  const random = new SeededRandom(7);
  const table = new DeadlineTable();
  const empty = table.allocatedBytes;
  const wanted: number[] = [];
  for (let at = 0; at < 100_000; at++) {
    const deadline = 1 + random.below(1_000_000);
    wanted.push(deadline);
    table.add(Buffer.from(`key ${deadline} ${'x'.repeat(random.below(40))}`), deadline);
  }
  wanted.sort((left, right) => left - right);
  strictEqual(table.count, wanted.length);
  for (const deadline of wanted) {
    strictEqual(table.next, deadline);
    const taken = table.take();
    strictEqual(taken.deadline, deadline);
    ok(Buffer.from(taken.key).toString().startsWith(`key ${deadline} `));
  }
  strictEqual(table.next, Infinity);
  ok(table.isMostlyLeftovers(() => 0) === false);
  ok(table.allocatedBytes - empty < 4 * 1024 * 1024, `${table.allocatedBytes} bytes when it is empty`);
});

test('expiry: a key that stays does not keep the memory of those that went', () => {
  const table = new DeadlineTable();
  const late = 2 ** 50;
  let time = 0;
  for (let round = 0; round < 60; round++) {
    table.add(Buffer.from(`stays ${round}`), late + round);
    for (let at = 0; at < 20_000; at++)
      table.add(Buffer.from(`goes ${round} ${at} ${'x'.repeat(20)}`), ++time);
    while (table.next < late) table.take();
  }
  ok(table.allocatedBytes < 4 * 1024 * 1024, `${table.allocatedBytes} bytes for 60 keys`);
  for (let round = 0; round < 60; round++) {
    deepStrictEqual(table.take(), {
      key: Uint8Array.from(Buffer.from(`stays ${round}`)),
      deadline: late + round,
    });
  }
  strictEqual(table.next, Infinity);
});

test('expiry: a command that comes in does not have the state counted', () => {
  const deadlines = new DeadlineTable();
  deadlines.add(Buffer.from('key'), 2 ** 50);
  const state = new MapState();
  Object.defineProperty(state, 'size', {
    get: () => fail('the size of a state that is being loaded is read'),
  });
  const ordering: Ordering = {
    enqueue: () => true,
    enqueueRead: () => undefined,
    isDrained: true,
    whenDrained: () => Promise.resolve(),
  };
  const expiring = new ExpiringOrdering({ ordering, deadlines, state, clock: new ManualClock() });
  ok(expiring.enqueue(encodeRequest(['SET', 'a', '1']), { settle: () => undefined, fail: () => undefined }));
});

function engineOf(machine: typeof keyValueMachine, seed: number): Engine {
  return new Engine({
    machine,
    history: { active: machine.version, earlier: [] },
    hashSeed: new SeededRandom(seed).fill(new Uint8Array(8)),
    salt: new Uint8Array(16),
    clock: new ManualClock(),
    onFatal: (error) => {
      throw error;
    },
  });
}

function applyAt(engine: Engine, index: number, time: number, commands: readonly Uint8Array[]): void {
  const builder = new EntryBuilder();
  for (const command of commands) builder.add(command);
  engine.apply({ index: toIndex(index), time, body: Uint8Array.from(builder.body()) }, null);
}

function randomWrite(random: SeededRandom): Uint8Array {
  const key = () => `k${random.below(6)}`;
  return random.pick([
    () => encodeRequest(randomCommand(random)),
    () => encodeRequest(randomCommand(random)),
    () => encodeRequest(['SET', key(), 'v', 'PX', String(random.between(1, 500))]),
    () => encodeRequest(['PEXPIRE', key(), String(random.between(1, 500))]),
    () => encodeExpiry([Buffer.from(key()), Buffer.from(key())]),
    () =>
      encodeRequest([
        'HSET',
        key(),
        ...Array.from({ length: 200 }, (_, at) => String(at + random.below(100))),
      ]),
    () =>
      encodeRequest(['TIDEMARK', 'SESSION', `s${random.below(4)}`, String(random.below(200)), 'INCR', key()]),
    () => encodeRequest(['tidemark.exec', 'each', '0', '3', 'SET', key(), 'x', '2', 'INCR', key()]),
    () => encodeRequest(['tidemark.exec', 'all', '0', '3', 'SET', key(), 'x', '2', 'INCR', key()]),
  ])();
}
