/** Where a group of blocks runs: its directory, its ports, and what it leaves running. */

import { mkdirSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Surroundings } from './surroundings.ts';

/** Ports of documents. Each becomes a free one, so that documents run beside each other and beside a user. */
const PORT = /\b(64|94)\d\d\b/g;

const POLL_MS = 20;

export class Place {
  /** Where the next block begins; a `cd` in one holds for those that follow. */
  cwd: string;
  readonly env: Readonly<NodeJS.ProcessEnv>;
  /** What the block before has printed. */
  printed = '';
  /** Script, output of each step, processes: beside the directory, not in it. */
  readonly notes: string;
  /** Of the blocks that ran here: what is left of them goes on running. */
  readonly processGroups = new Set<number>();
  readonly #ports = new Map<string, number>();

  constructor(surroundings: Surroundings, kind: 'project' | 'checkout') {
    this.cwd = kind === 'project' ? surroundings.makeProject() : surroundings.makeCheckout();
    this.env = surroundings.env;
    this.notes = `${kind === 'project' ? this.cwd : join(this.cwd, '..')}-notes`;
    mkdirSync(this.notes);
  }

  /** A text with the ports that stand for those of the document. */
  async withPorts(text: string): Promise<string> {
    for (const [port] of text.matchAll(PORT)) {
      if (!this.#ports.has(port)) this.#ports.set(port, await freePort());
    }
    return text.replace(PORT, (port) => String(this.#ports.get(port)));
  }

  /** Ends everything that was left running as `kill -9` does, and waits until it is gone. */
  async killAll(): Promise<void> {
    for (const group of this.processGroups) {
      while (isKilled(group)) await sleep(POLL_MS);
    }
    this.processGroups.clear();
  }
}

/** Kills a process group; whether there was anything to kill. */
function isKilled(group: number): boolean {
  try {
    return process.kill(-group, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    return false;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
