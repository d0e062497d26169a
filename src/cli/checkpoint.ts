/** `tidemark checkpoint`: takes one, of a running node over its port or of a stopped one in its directory. */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { readStatus } from '../log/status.ts';
import { open } from '../node/open.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { EXIT_CODES } from './exit-code.ts';
import { formatBytes, print } from './output.ts';
import { askOnce, ErrorReply, type Reply } from './resp-client.ts';

export interface CheckpointOptions {
  readonly host: string;
  readonly port: number;
  readonly json: boolean;
}

type Taken = Readonly<Record<string, string | number>>;

/** @param dir Directory of a stopped node; null asks the running one at `port`. */
export async function checkpoint(dir: string | null, options: CheckpointOptions): Promise<number> {
  const taken = dir === null ? await takeOfRunning(options) : await takeOfStopped(dir);
  if (options.json) print(JSON.stringify(taken));
  else print(describe(taken));
  return EXIT_CODES.done;
}

async function takeOfRunning({ host, port }: CheckpointOptions): Promise<Taken> {
  const reply = await ask(host, port);
  if (reply instanceof ErrorReply) {
    throw new TidemarkError('TIDEMARK_REFUSED', `the node at ${host}:${port} answers: ${reply.text}`, {
      remedy: 'retry',
      facts: { host, port },
    });
  }
  const fields = Array.isArray(reply) ? (reply as readonly Reply[]) : [];
  const taken: Record<string, string | number> = {};
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [name, value] = [fields[at], fields[at + 1]];
    const isPair = typeof name === 'string' && (typeof value === 'number' || typeof value === 'string');
    // The protocol has no fractions.
    if (isPair) taken[name] = name.endsWith('Ms') ? Number(value) : value;
  }
  return taken;
}

async function ask(host: string, port: number): Promise<Reply> {
  try {
    return await askOnce(port, ['TIDEMARK', 'CHECKPOINT'], host);
  } catch (error) {
    throw new TidemarkError(
      'TIDEMARK_REFUSED',
      `nobody answers at ${host}:${port}; start the node, or name the directory of a stopped one`,
      { remedy: 'retry', facts: { host, port }, cause: error },
    );
  }
}

async function takeOfStopped(dir: string): Promise<Taken> {
  await readStatus(new NodeFileSystem(), dir); // `open` would make a directory that is not there.
  try {
    await using node = await open({ dir });
    return { ...(await node.checkpoint()) };
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_LOCKED')) throw error;
    throw new TidemarkError('TIDEMARK_LOCKED', `${error.message}. Ask it over its port: leave ${dir} out`, {
      remedy: error.remedy,
      facts: error.facts,
      cause: error,
    });
  }
}

function describe(taken: Taken): string {
  const { index, root, kind, bytes, file, durationMs } = taken;
  return (
    `checkpoint of entry ${index} in ${file}: ${kind}, ${formatBytes(Number(bytes))} in ` +
    `${Math.round(Number(durationMs))} ms, root ${root}`
  );
}
