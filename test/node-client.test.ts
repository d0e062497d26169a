/**
 * What the command line makes of the answers of a node (src/cli/node-client.ts, remote-node.ts). Goal: an
 * error of the node keeps its code, its remedy and the points it names; who says nothing is given up.
 */

import { deepStrictEqual, match, rejects, strictEqual } from 'node:assert';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { TidemarkError } from '../src/base/errors.ts';
import { exitCodeOf } from '../src/cli/exit-code.ts';
import { refusal } from '../src/cli/node-client.ts';
import { RemoteNode } from '../src/cli/remote-node.ts';
import { errorText } from '../src/server/error-text.ts';

const ADDRESS = { host: '127.0.0.1', port: 6401, password: null };

for (const [code, exitCode] of [
  ['TIDEMARK_POINT_NOT_KEPT', 1],
  ['TIDEMARK_BUSY', 2],
  ['TIDEMARK_DISK_FULL', 2],
  ['TIDEMARK_TREE_INVALID', 3],
  ['TIDEMARK_CHECKPOINT_DAMAGED', 4],
] as const) {
  test(`node client: ${code} of a node is that error here, too`, () => {
    const told = refusal(
      ADDRESS,
      errorText(new TidemarkError(code, 'it is so: really', { remedy: 'retry' })),
    );
    deepStrictEqual([told.code, exitCodeOf(told)], [code, exitCode]);
    strictEqual(told.message, 'it is so: really (the node at 127.0.0.1:6401)');
  });
}

test('node client: the nearest points are facts', () => {
  const message =
    '12 cannot be brought back: the nearest point before it is 0 (the empty state), the nearest point ' +
    'after it is 40 (2023-11-14T22:13:20.000Z). Every entry from 40 to 50 is kept';
  const { facts } = refusal(ADDRESS, `ERR TIDEMARK_POINT_NOT_KEPT: ${message}`);
  deepStrictEqual(facts, { host: '127.0.0.1', port: 6401, beforeIndex: 0, afterIndex: 40 });
});

test('node client: what is no error of ours stays a refusal', () => {
  for (const text of ['ERR TIDEMARK_OF_TOMORROW: x', 'ERR unknown command', 'NOAUTH no', 'ERR toString: x']) {
    strictEqual(refusal(ADDRESS, text).code, 'TIDEMARK_REFUSED');
  }
});

test('node client: a server that accepts and says nothing is given up', async (t: TestContext) => {
  const server = createServer((socket) => void socket.on('error', () => undefined).resume());
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const node = new RemoteNode({ ...ADDRESS, port }, 10_000, 50);
  await rejects(node.hold(), (error: Error) => {
    match(error.message, /did not answer for 50 ms/);
    return true;
  });
  await rejects(node.hold(), { code: 'TIDEMARK_REFUSED', remedy: 'retry' });
});
