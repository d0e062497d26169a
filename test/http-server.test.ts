/**
 * The HTTP port (src/server/http-server.ts, metrics.ts). Goal: it answers from before the recovery until the
 * node has stopped, what it says is what the node is, and what docs/operations.md lists is what it prints.
 * Method: requests over real sockets to a node over a lossy disk; a strict reader of Prometheus's format.
 */

import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { open } from '../src/node/open.ts';
import { HttpServer, startHttpServer } from '../src/server/http-server.ts';
import { nodeInfo } from '../src/server/node-info.ts';
import { startRedisServer } from '../src/server/redis-server.ts';
import { statusOf } from '../src/server/status.ts';
import { LossyFileSystem } from '../src/testing/lossy-file-system.ts';
import { MemoryNetwork } from '../src/testing/memory-network.ts';
import { textOf } from './support/project.ts';
import { type MetricFamily, parseMetrics } from './support/prometheus.ts';

const SEGMENT_BYTES = 64 * 1024;

async function portOf(t: TestContext): Promise<HttpServer> {
  const http = await startHttpServer({ port: 0 });
  t.after(() => http.close());
  return http;
}

function ask(http: HttpServer, path: string, method = 'GET'): Promise<Response> {
  return fetch(`http://${http.host}:${http.port}${path}`, { method });
}

async function readiness(http: HttpServer): Promise<[status: number, body: Record<string, unknown>]> {
  const response = await ask(http, '/health/ready');
  return [response.status, (await response.json()) as Record<string, unknown>];
}

async function metricsOf(http: HttpServer): Promise<ReadonlyMap<string, MetricFamily>> {
  const response = await ask(http, '/metrics');
  deepStrictEqual(
    [response.status, response.headers.get('content-type')],
    [200, 'text/plain; version=0.0.4; charset=utf-8'],
  );
  return new Map(parseMetrics(await response.text()).map((family) => [family.name, family]));
}

function valueOf(metrics: ReadonlyMap<string, MetricFamily>, name: string): number | undefined {
  return metrics.get(name)?.samples.at(-1)?.value;
}

/** A node with its Redis port, watched, on a disk that may be full. */
async function watched(http: HttpServer) {
  const fs = new LossyFileSystem();
  const node = await open({ dir: 'data', log: { segmentBytes: SEGMENT_BYTES }, doors: { fs } });
  const server = await startRedisServer({
    ordering: node.ordering,
    port: 1,
    listen: new MemoryNetwork().listen,
    info: () => nodeInfo(node),
  });
  http.watch(node, server);
  return { fs, node, server };
}

test('http server: before there is a node it lives, and says why it is not ready', async (t) => {
  const http = await portOf(t);
  strictEqual((await ask(http, '/health/live')).status, 200);
  deepStrictEqual(await readiness(http), [503, { ready: false, reason: 'starting' }]);
  http.recovering({ phase: 'log', done: 3, total: 9 });
  const recovering = { ready: false, reason: 'recovering', phase: 'log', done: 3, total: 9 };
  deepStrictEqual(await readiness(http), [503, recovering]);
  const status = await ask(http, '/status');
  deepStrictEqual([status.status, await status.json()], [503, recovering]);
  const metrics = await metricsOf(http);
  strictEqual(valueOf(metrics, 'tidemark_ready'), 0);
  ok(valueOf(metrics, 'process_resident_memory_bytes')! > 1e6);
  strictEqual(metrics.has('tidemark_keys'), false, 'nothing is said of a node that is not there');
});

test('http server: ready, refusing while the disk is full, ready again, stopping', async (t) => {
  const http = await portOf(t);
  const { fs, node, server } = await watched(http);
  deepStrictEqual(await readiness(http), [200, { ready: true }]);
  fs.capacityBytes = fs.usedBytes;
  const large = 'x'.repeat(SEGMENT_BYTES / 4);
  while (node.stats().refusal === null) await node.submit('SET', 'a', large).catch(() => undefined);
  const [status, body] = await readiness(http);
  deepStrictEqual([status, body['reason'], body['message']], [503, 'refusing', node.stats().refusal]);
  strictEqual((await ask(http, '/health/live')).status, 200);
  const full = await metricsOf(http);
  deepStrictEqual([valueOf(full, 'tidemark_ready'), valueOf(full, 'tidemark_refusing')], [0, 1]);
  fs.capacityBytes = Number.POSITIVE_INFINITY;
  while (node.stats().refusal !== null) await turn();
  deepStrictEqual(await readiness(http), [200, { ready: true }]);
  await server.close();
  const closed = node.close();
  deepStrictEqual(await readiness(http), [503, { ready: false, reason: 'stopping' }]);
  await closed;
  strictEqual((await ask(http, '/status')).status, 200, 'the last figures can still be read');
});

test('http server: the metrics are those of the node', async (t) => {
  const http = await portOf(t);
  const { node, server } = await watched(http);
  for (let n = 0; n < 10; n++) await node.submit('SET', `key-${n}`, 'x'.repeat(n));
  const { index, bytes } = await node.checkpoint();
  const metrics = await metricsOf(http);
  const { stats, distributions } = { stats: node.stats(), distributions: node.distributions };
  const wanted = {
    tidemark_ready: 1,
    tidemark_keys: 10,
    tidemark_commands_applied_total: 10,
    tidemark_applied_index: stats.appliedIndex,
    tidemark_log_written_bytes_total: stats.log.bytesWritten,
    tidemark_checkpoint_index: index,
    tidemark_checkpoint_bytes: bytes,
    tidemark_command_seconds: 10,
    tidemark_batch_commands: 10,
    tidemark_log_sync_seconds: distributions.syncMs.count,
    tidemark_checkpoint_seconds: 1,
    tidemark_clients: 0,
  };
  for (const [name, value] of Object.entries(wanted)) strictEqual(valueOf(metrics, name), value, name);
  const { samples } = metrics.get('tidemark_batch_bytes')!;
  strictEqual(samples.find(({ name }) => name.endsWith('_sum'))?.value, distributions.batchBytes.sum);
  const age = Date.now() / 1000 - valueOf(metrics, 'tidemark_checkpoint_timestamp_seconds')!;
  ok(age >= 0 && age < 3600, `taken ${age} s ago`);
  await node.submit('SET', 'one', 'more');
  strictEqual(
    valueOf(await metricsOf(http), 'tidemark_commands_applied_total'),
    11,
    'a counter is not added up',
  );
  await server.close();
  await node.close();
});

test('http server: the status is that of TIDEMARK STATUS', async (t) => {
  const http = await portOf(t);
  const { node, server } = await watched(http);
  await node.submit('SET', 'greeting', 'hello');
  const response = await ask(http, '/status');
  deepStrictEqual([response.status, response.headers.get('content-type')], [200, 'application/json']);
  const found = (await response.json()) as Record<string, unknown>;
  const told = statusOf(server.info());
  deepStrictEqual(Object.keys(found), Object.keys(told));
  // The rest counts on: syncs, times.
  for (const name of ['applied_index', 'refusal', 'db0', 'maxclients', 'recovery_ms']) {
    strictEqual(found[name], told[name], name);
  }
  deepStrictEqual([found['applied_index'], found['refusal']], [1, 'none']);
  await server.close();
  await node.close();
});

test('http server: other paths and methods are refused, HEAD is GET without the body', async (t) => {
  const http = await portOf(t);
  for (const path of ['/', '/metrics/', '/METRICS', '/health', '/etc/passwd', '//']) {
    const response = await ask(http, path);
    strictEqual(response.status, 404, path);
    match(((await response.json()) as { error: string }).error, /no such path/);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const response = await ask(http, '/metrics', method);
    deepStrictEqual([response.status, response.headers.get('allow')], [405, 'GET, HEAD'], method);
    await response.text();
  }
  for (const path of ['/health/live', '/health/ready', '/status']) {
    const [head, get] = [await ask(http, path, 'HEAD'), await ask(http, path)];
    const body = await get.text();
    deepStrictEqual([head.status, await head.text()], [get.status, '']);
    strictEqual(Number(head.headers.get('content-length')), body.length);
  }
  strictEqual((await ask(http, '/health/live?probe=1')).status, 200, 'a query changes nothing');
});

test('documents: docs/operations.md lists the metrics of a node, with their types', async (t) => {
  const http = await portOf(t);
  const { node, server } = await watched(http);
  const printed = [...(await metricsOf(http)).values()].filter(({ name }) => name.startsWith('tidemark_'));
  const rows = textOf('docs/operations.md').matchAll(/^\| `(tidemark_\w+)` \| (\w+) \| (.*) \|$/gm);
  deepStrictEqual(
    [...rows].map(([, name, type, help]) => ({ name, type, help })).sort(byName),
    printed.map(({ name, type, help }) => ({ name, type, help })).sort(byName),
  );
  await server.close();
  await node.close();
});

function byName(
  a: { readonly name?: string | undefined },
  b: { readonly name?: string | undefined },
): number {
  return (a.name ?? '') < (b.name ?? '') ? -1 : 1;
}

test('http server: a pipeline of requests for metrics costs one look at the node', async () => {
  await using node = await open({ dir: 'memory:' });
  let looks = 0;
  const counting = new Proxy(node, {
    get(target, key) {
      if (key === 'stats') looks++;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const http = new HttpServer();
  http.watch(counting);
  const asked = Array.from({ length: 1000 }, () => http.answer({ method: 'GET', path: '/metrics' }));
  const bodies = (await Promise.all(asked)).map(({ body }) => body);
  strictEqual(new Set(bodies).size, 1);
  ok(looks <= 2, `${looks} looks`);
  await http.answer({ method: 'GET', path: '/metrics' });
  ok(looks > 2, 'who asks later gets what is true then');
});
