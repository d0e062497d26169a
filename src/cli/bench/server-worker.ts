/**
 * The node that `tidemark bench` measures, as a process of its own. It says its port over the channel to its
 * parent; when the parent is gone without having stopped it, it removes its directory and ends.
 */

import { rmSync } from 'node:fs';
import { assert } from '../../base/assert.ts';
import { requireConfig } from '../config/resolve.ts';
import { printError } from '../output.ts';
import { type Listening, type Narrator, runNode } from '../run-node.ts';

const dir = process.argv[2];
assert(dir !== undefined, 'the worker is started with a directory');

process.on('disconnect', () => {
  rmSync(dir, { recursive: true, force: true });
  process.exit();
});

const nothing = (): void => undefined;
const narrator: Narrator = {
  opening: nothing,
  recovering: nothing,
  listening: ({ port }: Listening) => process.send?.({ port }),
  happened: nothing,
  stopping: nothing,
  stopped: nothing,
  failed: (error) => printError(error, 'text'),
};
process.exitCode = await runNode(await requireConfig({ dir, port: '0' }, {}), narrator);
