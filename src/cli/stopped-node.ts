/** A node that does not run, opened for one verb: its machine must be the key-value database. */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';
import type { CheckpointOptions } from '../checkpoint/checkpoint-options.ts';
import { readStatus } from '../log/status.ts';
import type { RecoveryProgress } from '../node/assemble.ts';
import { open } from '../node/open.ts';
import { NodeFileSystem } from '../storage/node-file-system.ts';
import { countingFileSystem } from './counting-file-system.ts';
import { Progress } from './progress.ts';
import { RecoveryBars } from './recovery-bars.ts';

type KeyValueNode = Awaited<ReturnType<typeof open>>;

/** @param work Begins once everything is in memory. `writing` shows a bar for so many bytes at most. */
export async function withStoppedNode<Result>(
  dir: string,
  checkpoint: CheckpointOptions,
  work: (node: KeyValueNode, writing: (bytes: number) => void) => Promise<Result>,
): Promise<Result> {
  await readStatus(new NodeFileSystem(), dir); // `open` would make a directory that is not there.
  const bar = new StoppedProgress();
  try {
    const doors = { fs: bar.fs };
    await using node = await open({ dir, checkpoint, onProgress: bar.recovering, doors });
    await node.whenLoaded();
    return await work(node, (bytes) => bar.writing(bytes));
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
