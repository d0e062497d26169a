/**
 * The scrub as an operator meets it: the real program over real files, asked over its port. What it finds is
 * in the answer, in `tidemark status`, in the trace, and in the report of `verify`.
 */

import { deepStrictEqual, match, strictEqual } from 'node:assert';
import { mkdtemp, open as openFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askNode } from '../src/cli/node-client.ts';
import type { Reply } from '../src/cli/resp-client.ts';
import { startTidemark, tidemark } from './support/tidemark.ts';

const WAIT_MS = 120_000;

test('cli: a bit that flips in a checkpoint is told by scrub, status and trace', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const dir = join(folder, 'data');
  const serving = startTidemark(t, {}, 'start', '--dir', dir, '--port', '0', '--json');
  const { port } = JSON.parse((await serving.nextLine()) ?? '') as { port: number };
  const ask = (...words: string[]): Promise<Reply> =>
    askNode({ host: '127.0.0.1', port, password: null }, words, WAIT_MS);
  for (let at = 0; at < 50; at++) await ask('SET', `key ${at}`, 'x'.repeat(500));
  await ask('TIDEMARK', 'CHECKPOINT');
  const well = await ask('TIDEMARK', 'SCRUB');
  deepStrictEqual((well as readonly Reply[])[5], []);

  const [name] = (await readdir(join(dir, 'checkpoints'))).filter((file) => file.endsWith('.data'));
  const file = await openFile(join(dir, 'checkpoints', name!), 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, 1000);
  byte[0]! ^= 4;
  await file.write(byte, 0, 1, 1000);
  await file.close();
  strictEqual((await tidemark('verify', dir)).code, 3);

  const [finding] = ((await ask('TIDEMARK', 'SCRUB')) as readonly Reply[])[5] as string[];
  match(
    finding ?? '',
    /\.data at offset \d+, found 20.*; replaced: the checkpoint of entry 50 was taken instead/,
  );
  const status = await tidemark('status', '--port', String(port), '--json');
  const fields = JSON.parse(status.out) as Record<string, unknown>;
  deepStrictEqual(
    [
      fields['scrub_findings'],
      fields['scrub_findings_open'],
      fields['scrub_finding'],
      fields['scrub_failure'],
    ],
    [1, 0, finding, 'none'],
  );
  match((await tidemark('status', '--port', String(port))).out, /has not kept what it was given: .*replaced/);
  strictEqual((await tidemark('verify', dir)).code, 0, 'what was damaged is in quarantine');

  serving.child.kill('SIGTERM');
  const { out } = await serving.ended();
  const told = out.split('\n').map((line) => JSON.parse(line) as { event: string; level: string });
  deepStrictEqual(
    told.filter(({ event }) => event.startsWith('scrub-')).map(({ event, level }) => `${level} ${event}`),
    ['info scrub-finished', 'warn scrub-finding', 'info scrub-outcome', 'info scrub-finished'],
  );
  match(out, /"finding":\{"what":"checkpoint","file":/);
});
