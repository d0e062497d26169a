/**
 * `tidemark bench` (src/cli/bench). Goal: figures of every run that was asked for, and nothing left behind:
 * no file, no process, no key; also when it is interrupted, killed, or the node goes away. Method: the real
 * program for a second at a time; no figure is judged.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError } from '../src/base/errors.ts';
import { Latencies } from '../src/cli/bench/latencies.ts';
import { runLoad } from '../src/cli/bench/load.ts';
import { askOnce } from '../src/cli/resp-client.ts';
import { open } from '../src/node/open.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { startTidemark, tidemark } from './support/tidemark.ts';

const DEADLINE_MS = 60_000;
const POLL_MS = 20;

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'tidemark-bench-test-'));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function until(isDone: () => Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + DEADLINE_MS;
  while (!(await isDone())) {
    ok(performance.now() < endsAt, 'it happens before the deadline');
    await sleep(POLL_MS);
  }
}

test('bench: measures the disk, then SET and GET, and leaves nothing', async (t) => {
  const dir = await folder(t);
  const options = [
    '--dir',
    dir,
    '--seconds',
    '1',
    '--clients',
    '3',
    '--pipeline',
    '1,8',
    '--value-bytes',
    '64',
  ];
  const { code, out, err } = await tidemark('bench', ...options, '--json');
  deepStrictEqual([code, err], [0, '']);
  const { disk, clients, runs } = JSON.parse(out) as {
    disk: { perSecond: number };
    clients: number;
    runs: Record<string, number | string | null>[];
  };
  strictEqual(clients, 3);
  ok(disk.perSecond > 0);
  deepStrictEqual(
    runs.map(({ command, pipeline }) => [command, pipeline]),
    [
      ['SET', 1],
      ['GET', 1],
      ['SET', 8],
      ['GET', 8],
    ],
  );
  for (const { command, requests, perSecond, perSync, p50Ms, p99Ms, p999Ms, maxMs } of runs) {
    ok(Number(requests) > 0 && Number(perSecond) > 0);
    strictEqual(perSync, command === 'GET' ? null : Number(perSecond) / disk.perSecond);
    ok(p50Ms! <= p99Ms! && p99Ms! <= p999Ms! && p999Ms! <= maxMs!);
  }
  deepStrictEqual(await readdir(dir), []);
});

test('bench: a running node is measured with keys of its own, which are gone afterwards', async (t) => {
  await using node = await open({ dir: 'memory:' });
  const server = await startRedisServer({ ordering: node.ordering, port: 0 });
  t.after(() => server.close());
  await askOnce(server.port, ['SET', 'mine', 'stays']);
  const { code, out } = await tidemark(
    'bench',
    '--port',
    String(server.port),
    '--seconds',
    '1',
    '--pipeline',
    '4',
  );
  strictEqual(code, 0);
  match(out, /^SET +4 +[\d,]+ +[\d.]+/m);
  deepStrictEqual(await askOnce(server.port, ['KEYS', '*']), ['mine']);
});

test('bench: interrupted, it ends at once and leaves nothing', async (t) => {
  const dir = await folder(t);
  const bench = startTidemark(t, {}, 'bench', '--dir', dir, '--seconds', '3600');
  await until(async () => (await readdir(dir)).length > 0);
  await bench.nextLine(); // The surroundings: the disk is measured by then.
  bench.child.kill('SIGINT');
  const { code, err } = await bench.ended();
  deepStrictEqual([code, await readdir(dir)], [2, []]);
  match(err, /interrupted; nothing stays behind/);
});

test('bench: killed, its node goes with it and takes its data along', async (t) => {
  const dir = await folder(t);
  const bench = startTidemark(t, {}, 'bench', '--dir', dir, '--seconds', '3600');
  const isServing = async (): Promise<boolean> => {
    const [made = ''] = await readdir(dir);
    return (await readdir(join(dir, made)).catch((): string[] => [])).includes('data');
  };
  await until(isServing);
  bench.child.kill('SIGKILL');
  await bench.ended();
  await until(async () => !(await isServing()));
});

test('bench: a node that refuses, or lost a key, ends the load with what it said', async (t) => {
  await using node = await open({ dir: 'memory:' });
  const server = await startRedisServer({ ordering: node.ordering, port: 0, password: 'secret' });
  t.after(() => server.close());
  const load = {
    address: { host: '127.0.0.1', port: server.port, password: null as string | null },
    clients: 2,
    depth: 2,
    valueBytes: 10,
    keys: { prefix: 'k:', count: 100 },
    until: { seconds: 3600 },
    signal: new AbortController().signal,
  };
  await rejects(runLoad({ ...load, command: 'SET' }), (error) => {
    ok(isTidemarkError(error, 'TIDEMARK_REFUSED'));
    match(error.message, /NOAUTH/);
    return true;
  });
  const address = { ...load.address, password: 'secret' };
  await rejects(runLoad({ ...load, address, command: 'GET' }), /a key is gone/);
  const { requests } = await runLoad({ ...load, address, command: 'SET', until: 'every-key' });
  strictEqual(requests, 100);
  strictEqual(node.stats().keys, 100);
});

test('bench: latencies are told to the right rank', () => {
  const latencies = new Latencies();
  deepStrictEqual(latencies.summary(), { p50Ms: 0, p99Ms: 0, p999Ms: 0, maxMs: 0 });
  for (let ms = 1; ms <= 1000; ms++) latencies.record(ms);
  const { p50Ms, p99Ms, p999Ms, maxMs } = latencies.summary();
  const near = (value: number, wanted: number): boolean => Math.abs(value - wanted) / wanted < 0.002;
  ok(
    near(p50Ms, 500) && near(p99Ms, 990) && near(p999Ms, 999) && near(maxMs, 1000),
    `${p50Ms} ${p99Ms} ${p999Ms}`,
  );
});
