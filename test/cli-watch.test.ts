/**
 * Watching a node from the shell (src/cli/{run-node,trace,json-narrator}.ts). Goal: each thing that happens
 * is one line that programs can read, and the HTTP port is there when it was asked for, and only then.
 * Method: the real program, its lines, and requests to its ports.
 */

import { deepStrictEqual, match, ok, rejects, strictEqual } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { Redis } from 'ioredis';
import { open } from '../src/node/open.ts';
import { ROOT } from './support/project.ts';
import { parseMetrics } from './support/prometheus.ts';

interface Line {
  readonly level: string;
  readonly time: string;
  readonly event: string;
  readonly [field: string]: unknown;
}

class Server {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  readonly code: Promise<number | null>;
  #onLine: () => void = () => undefined;

  constructor(t: TestContext, ...args: readonly string[]) {
    const launcher = join(ROOT, 'bin/tidemark.mjs');
    const child = spawn(process.execPath, [launcher, 'start', '--port', '0', '--json', ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => child.kill('SIGKILL'));
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.lines.push(JSON.parse(line) as Line);
      this.#onLine();
    });
    this.code = new Promise((resolve) => child.on('close', (code) => resolve(code)));
    this.child = child;
  }

  /** The first line of an event; never resolves when the process ends without it. */
  async line(event: string): Promise<Line> {
    for (;;) {
      const found = this.lines.find((line) => line.event === event);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#onLine = resolve;
      });
    }
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return this.code;
  }
}

async function directory(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return join(dir, 'data');
}

interface Address {
  readonly host: string;
  readonly port: number;
}

test('cli: every event of a life is a line, and monitors are answered', async (t) => {
  const dir = await directory(t);
  const server = new Server(t, '--dir', dir, '--http', '0', '--set', 'trace.level=debug');
  const { host, port, http, pid, recovery } = await server.line('listening');
  deepStrictEqual([host, pid], ['127.0.0.1', server.child.pid]);
  ok(Number(port) > 0 && (recovery as { isNew: boolean }).isNew);
  const client = new Redis(Number(port), String(host));
  await client.set('greeting', 'hello');
  await client.save();
  client.disconnect();

  const address = http as Address;
  const at = `http://${address.host}:${address.port}`;
  deepStrictEqual(await (await fetch(`${at}/health/ready`)).json(), { ready: true });
  const families = parseMetrics(await (await fetch(`${at}/metrics`)).text());
  const applied = families.find(({ name }) => name === 'tidemark_commands_applied_total');
  deepStrictEqual(
    applied?.samples.map(({ value }) => value),
    [1],
  );

  strictEqual(await server.stop(), 0);
  // What is late or slow is warned of, and depends on the machine.
  deepStrictEqual(
    server.lines.filter(({ level }) => level !== 'warn').map(({ level, event }) => `${level} ${event}`),
    [
      'debug opening',
      'info listening',
      'debug checkpoint-started',
      'info checkpoint-taken',
      'info stopping',
      'info stopped',
    ],
  );
  for (const { time } of server.lines) match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  const taken = server.lines.find(({ event }) => event === 'checkpoint-taken')?.['checkpoint'];
  strictEqual((taken as { index: number }).index, 1);
});

test('cli: a start that fails is a line with the code, whatever the level leaves out', async (t) => {
  const dir = await directory(t);
  await using node = await open({ dir });
  const server = new Server(t, '--dir', dir, '--set', 'trace.level=error');
  strictEqual(await server.code, 1);
  const [{ level, event, error }, ...others] = server.lines as [Line, ...Line[]];
  deepStrictEqual([level, event, others], ['fatal', 'failed', []]);
  const { code, remedy } = error as { code: string; remedy: string };
  deepStrictEqual([code, remedy], ['TIDEMARK_LOCKED', 'fix-call']);
  strictEqual(await node.submit('SET', 'a', '1'), 'OK', 'the other one goes on');
});

test('cli: an HTTP port that is taken is found out before there is a directory', async (t) => {
  const dir = await directory(t);
  const first = new Server(t, '--dir', 'memory:', '--http', '0');
  const { http } = await first.line('listening');
  const second = new Server(t, '--dir', dir, '--http', String((http as Address).port));
  strictEqual(await second.code, 1);
  deepStrictEqual(
    second.lines.map(({ event }) => event),
    ['failed'],
  );
  strictEqual((second.lines[0]!['error'] as { code: string }).code, 'TIDEMARK_ADDRESS_UNAVAILABLE');
  await rejects(stat(dir), { code: 'ENOENT' });
  strictEqual(await first.stop(), 0);
});

test('cli: without --http there is no such port', async (t) => {
  const server = new Server(t, '--dir', 'memory:');
  strictEqual((await server.line('listening'))['http'], null);
  strictEqual(await server.stop(), 0);
});
