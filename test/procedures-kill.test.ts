/**
 * Procedures of a process that gets SIGKILL (src/procedures/). Goal: over real files and real deaths, what
 * was answered is whole, and everything that was begun is whole or taken back. Method: effects are lines of a
 * file, with their key; after each kill the next process goes on in the same directory.
 */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { open } from '../src/node/open.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { tally } from './support/outside-world.ts';
import { writersTo } from './support/procedure-child.ts';
import { seedOf } from './support/seed.ts';

const LIVES = 5;
const IDS_A_LIFE = 1000;
const CHILD = fileURLToPath(
  new URL(
    `./support/procedure-child${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
    import.meta.url,
  ),
);

/** Ids that a process was answered for before it was killed. */
async function liveAndDie(dir: string, first: number, answersMax: number): Promise<string[]> {
  const child = spawn(process.execPath, [CHILD, dir, String(first)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const answers: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    answers.push(line);
    if (answers.length === answersMax) child.kill('SIGKILL');
  }
  deepStrictEqual((await exited)[1], 'SIGKILL');
  return answers;
}

test('procedure kill: what was answered is whole, and the rest is whole or taken back', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-procedures-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const dir = join(folder, 'data');
  const answered = new Set<string>();
  for (let life = 0; life < LIVES; life++) {
    const answers = await liveAndDie(dir, life * IDS_A_LIFE, 20 + random.below(100));
    for (const id of answers) answered.add(id);
  }
  const node = await open({ machine: tally, dir, procedures: writersTo(`${dir}.effects`) });
  await node.whenLoaded();
  while (node.procedures().length > 0) await new Promise((resolve) => setImmediate(resolve));

  const lines = (await readFile(`${dir}.effects`, 'utf8')).trim().split('\n');
  const done = new Set(lines.filter((line) => line.startsWith('do ')).map((line) => line.slice(3)));
  const undone = new Set(lines.filter((line) => line.startsWith('undo ')).map((line) => line.slice(5)));
  const begun = new Set([...done, ...undone].map((key) => key.split('/').slice(0, 2).join('/')));
  let takenBack = 0;
  for (const run of begun) {
    const id = run.split('/')[1]!;
    const holds = ['1/first', '3/last'].map(
      (step) => done.has(`${run}/${step}`) && !undone.has(`${run}/${step}`),
    );
    strictEqual(holds[0], holds[1], `${run} is whole or taken back`);
    strictEqual(await node.query('count', id), holds[0] ? 1 : 0, run);
    if (run.startsWith('write_forward')) ok(holds[0], `${run} goes forward`);
    if (answered.has(id)) ok(holds[0], `${run} was answered`);
    if (!holds[0]) takenBack++;
  }
  for (const id of answered)
    ok(begun.has(`write_${Number(id) % 2 === 0 ? 'forward' : 'backward'}/${id}`), id);
  t.diagnostic(`${begun.size} runs, ${answered.size} answered, ${takenBack} taken back`);
  await node.close();
});
