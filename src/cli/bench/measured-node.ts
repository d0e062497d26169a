/** What `tidemark bench` measures: a node of its own on the disk in question, or one that runs already. */

import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidemarkError } from '../../base/errors.ts';
import { askNode, type NodeAddress } from '../node-client.ts';
import { type BenchKeys, keyAt } from './load.ts';

const WORKER = fileURLToPath(
  new URL(`./server-worker${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`, import.meta.url),
);

/** Keys are few, so that they are written once in no time. */
const KEYS = 10_000;
const KEYS_AT_A_TIME = 1000;

/** What statfs says of a file system in memory (Linux). */
const TMPFS_MAGIC = 0x01021994;

export interface MeasuredNode {
  readonly address: NodeAddress;
  readonly keys: BenchKeys;
  /** Leaves nothing behind. */
  remove(): Promise<void>;
}

/** A directory of its own below `parent`, for the node and for the disk's own figures. */
export function makeBenchDirectory(parent: string): { readonly dir: string; readonly isInMemory: boolean } {
  const dir = mkdtempSync(join(parent, 'tidemark-bench-'));
  return { dir, isInMemory: statfsSync(dir).type === TMPFS_MAGIC };
}

export async function startOwnNode(dir: string): Promise<MeasuredNode> {
  const child = fork(WORKER, [join(dir, 'data')], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  const exited = once(child, 'exit');
  const message = (await Promise.race([once(child, 'message'), exited.then(() => null)])) as
    | [{ readonly port: number }]
    | null;
  if (message === null) {
    throw new TidemarkError('TIDEMARK_REFUSED', 'the node to be measured did not start', {
      remedy: 'repair',
    });
  }
  return {
    address: { host: '127.0.0.1', port: message[0].port, password: null },
    keys: { prefix: 'key:', count: KEYS },
    async remove() {
      child.kill('SIGKILL'); // What it holds is thrown away anyhow.
      await exited;
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

export function useRunningNode(address: NodeAddress): MeasuredNode {
  const keys = { prefix: `tidemark-bench:${randomBytes(6).toString('hex')}:`, count: KEYS };
  return {
    address,
    keys,
    async remove() {
      for (let from = 0; from < keys.count; from += KEYS_AT_A_TIME) {
        const length = Math.min(KEYS_AT_A_TIME, keys.count - from);
        const names = Array.from({ length }, (_, at) => keyAt(keys, from + at));
        await askNode(address, ['DEL', ...names], null);
      }
    },
  };
}
