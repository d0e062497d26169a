/** `tidemark checkpoint`: takes one, of a running node over its port or of a stopped one in its directory. */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import { readStatus } from '../log/status.ts';
import type { RecoveryProgress } from '../node/assemble.ts';
import { open } from '../node/open.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import type { ConfigFlags } from './config/flags.ts';
import { countingFileSystem } from './counting-file-system.ts';
import { EXIT_CODES } from './exit-code.ts';
import { askNode, fieldsOf, nodeAddress } from './node-client.ts';
import { formatBytes, print } from './output.ts';
import { Progress } from './progress.ts';
import { RecoveryBars } from './recovery-bars.ts';

type Taken = Readonly<Record<string, string | number>>;

/** @param dir Directory of a stopped node; null asks the running one. */
export async function checkpoint(
  dir: string | null,
  options: ConfigFlags & { readonly json: boolean },
): Promise<number> {
  const taken = dir === null ? await takeOfRunning(options) : await takeOfStopped(dir);
  if (options.json) print(JSON.stringify(taken));
  else print(describe(taken));
  return EXIT_CODES.done;
}

/** However long it takes: a large state is minutes of writing. */
async function takeOfRunning(flags: ConfigFlags): Promise<Taken> {
  return fieldsOf(await askNode(await nodeAddress(flags), ['TIDEMARK', 'CHECKPOINT'], null));
}

async function takeOfStopped(dir: string): Promise<Taken> {
  await readStatus(new NodeFileSystem(), dir); // `open` would make a directory that is not there.
  const bar = new StoppedProgress();
  try {
    await using node = await open({ dir, onProgress: bar.recovering, doors: { fs: bar.fs } });
    await node.whenLoaded();
    bar.writing(node.stats().stateBytes);
    return { ...(await node.checkpoint()) };
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_LOCKED')) throw error;
    throw new TidemarkError('TIDEMARK_LOCKED', `${error.message}. Ask it over its port: leave ${dir} out`, {
      remedy: error.remedy,
      facts: error.facts,
      cause: error,
    });
  } finally {
    bar.end();
  }
}

/** Recovery, then the writing: of all of the state at most, so that it may be over early. */
class StoppedProgress {
  readonly #recovery = new RecoveryBars();
  #writing: { readonly bar: Progress; readonly bytes: number } | null = null;
  #writtenBefore = 0;
  #written = 0;

  readonly recovering = (progress: RecoveryProgress): void => this.#recovery.update(progress);

  readonly fs = countingFileSystem(({ writtenBytes }) => {
    this.#written = writtenBytes;
    this.#writing?.bar.update(writtenBytes - this.#writtenBefore, this.#writing.bytes);
  });

  writing(bytes: number): void {
    this.#recovery.end();
    this.#writtenBefore = this.#written;
    this.#writing = { bar: new Progress('writing the checkpoint', 'bytes'), bytes };
  }

  end(): void {
    this.#recovery.end();
    this.#writing?.bar.end();
  }
}

function describe(taken: Taken): string {
  const { index, root, kind, bytes, file, durationMs } = taken;
  return (
    `checkpoint of entry ${index} in ${file}: ${kind}, ${formatBytes(Number(bytes))} in ` +
    `${Math.round(Number(durationMs))} ms, root ${root}`
  );
}
