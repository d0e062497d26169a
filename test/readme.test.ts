/** The README's program is examples/bank.ts to the letter, and does what the README says. */

import { strictEqual } from 'node:assert';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const root = new URL(import.meta.url.includes('/dist/') ? '../../' : '../', import.meta.url);

test('readme: the program is examples/bank.ts', async () => {
  const readme = await readFile(new URL('README.md', root), 'utf8');
  const program = /```ts\n(.*?)```/s.exec(readme)?.[1];
  strictEqual(program, await readFile(new URL('examples/bank.ts', root), 'utf8'));
});

test('readme: the program prints the balance, and the next run finds what the first left', async (t) => {
  const cwd = await mkdtemp(join(tmpdir(), 'tidemark-readme-'));
  t.after(() => rm(cwd, { recursive: true, force: true }));
  const program = fileURLToPath(new URL('dist/examples/bank.js', root));
  for (const want of ['30\n', '60\n']) {
    const { stdout } = await promisify(execFile)(process.execPath, [program], { cwd });
    strictEqual(stdout, want);
  }
});
