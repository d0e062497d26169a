/**
 * What keeps a process alive (src/node/process-hold.ts): programs that wait for a node, in processes of their
 * own, and programs that do not.
 */

import { deepStrictEqual } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const INDEX = new URL('../src/index.js', import.meta.url).href;

/** Runs a program until it says something or ends; then it is killed. */
async function run(body: string): Promise<{ said: string; code: number | null }> {
  const program = `import { buffered, open } from ${JSON.stringify(INDEX)};
    const node = await open({ dir: 'memory:', durability: buffered({ intervalMs: 300 }) });
    ${body}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('.', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const [code] = (await once(child, 'exit')) as [number | null];
  return { said: said.trim(), code };
}

for (const { what, body, said } of [
  {
    what: 'an iteration that follows the log',
    body: `setTimeout(() => node.submit('SET', 'a', 'b'), 500).unref();
      for await (const { index } of node.entries({ from: 1, follow: true })) { console.log(index); break; }`,
    said: '1',
  },
  {
    what: 'an iteration over events',
    body: `setTimeout(() => node.checkpoint(), 500).unref(); await node.submit('SET', 'a', 'b');
      for await (const { kind } of node.events()) { console.log(kind); break; }`,
    said: 'checkpoint-started',
  },
  {
    what: 'whoever waits for its end',
    body: `setTimeout(() => node.close(), 500).unref(); console.log(await node.whenStopped());`,
    said: 'null',
  },
  {
    what: 'what is not synced yet',
    body: `process.on('exit', () => console.log(node.stats().commandsUnsynced));
      await node.submit('SET', 'a', 'b');`,
    said: '0',
  },
  { what: 'nothing else', body: `console.log('open');`, said: 'open' },
]) {
  test(`process: ${what} ${what === 'nothing else' ? 'lets it end' : 'keeps it alive'}`, async () => {
    deepStrictEqual(await run(body), { said, code: 0 });
  });
}
