/**
 * A process that writes to a node until it ends in the way it was told: `WAY DIRECTORY`. Prints the number of
 * each command that was acknowledged, at once.
 */

import { writeSync } from 'node:fs';
import { open } from '../../src/node/open.ts';
import { history } from './node-history.ts';

/** Commands that are on their way at any time. */
const CONCURRENCY = 8;

/** Commands acknowledged before the process ends itself. */
const ENOUGH = 60;

const WAYS: Readonly<Record<string, () => void>> = {
  exit: () => process.exit(3),
  throw: () =>
    queueMicrotask(() => {
      throw new Error('planted');
    }),
  reject: () => void Promise.reject(new Error('planted')),
  close: () => void node.close().then(() => process.exit(0)),
  wait: () => undefined,
};

const [way, dir] = process.argv.slice(2);
const node = await open({ machine: history, dir: dir!, log: { segmentBytes: 64 * 1024 } });
let sent = await node.query('last');
let acknowledged = 0;
writeSync(1, `open ${sent}\n`);

function send(): void {
  const k = ++sent;
  node.submit('step', { k, blob: new Uint8Array(3000) }).then(
    () => {
      writeSync(1, `${k}\n`);
      send(); // The next write begins before the end comes.
      if (++acknowledged === ENOUGH) WAYS[way!]!();
    },
    () => undefined, // Refused: the node is closing.
  );
}

for (let count = 0; count < CONCURRENCY; count++) send();
