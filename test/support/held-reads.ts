/**
 * A disk on which a checkpoint loads only as fast as a test lets it: reads ahead of its leaves wait, and what
 * is needed at once is read all the same.
 */

import { setImmediate as turn } from 'node:timers/promises';
import { surveyCheckpoints } from '../../src/checkpoint/survey-checkpoints.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { type Call, InterposedFileSystem } from './interposed-file-system.ts';

/** Bytes before the first record of a data file. */
const HEADER_BYTES = 64;

export class HeldReads {
  readonly fs: InterposedFileSystem;
  /** Where the inner nodes of each data file begin: these are read before a node is ready. */
  readonly #innerOffsets: ReadonlyMap<string, number>;
  #waiting: (() => void)[] = [];
  #isHolding = true;

  private constructor(fs: FileSystem, innerOffsets: ReadonlyMap<string, number>) {
    this.fs = new InterposedFileSystem(fs);
    this.#innerOffsets = innerOffsets;
    this.fs.whenReady = (call) => (this.#isHeld(call) ? this.#wait() : null);
  }

  /** With the checkpoints that `fs` has now. Open with `verifyBytesMax: 0`: verifying would wait too. */
  static async on(fs: FileSystem, dataDir: string): Promise<HeldReads> {
    const { checkpoints } = await surveyCheckpoints(fs, dataDir, null);
    const files = checkpoints.flatMap(({ info }) => info.files);
    const offsets = files.map(
      ({ name, innerOffset }) => [`${dataDir}/checkpoints/${name}`, innerOffset] as const,
    );
    return new HeldReads(fs, new Map(offsets));
  }

  /** Lets so many reads go on, as soon as they are there. */
  async allow(count: number): Promise<void> {
    for (let at = 0; at < count; at++) {
      for (let turns = 0; this.#waiting.length === 0 && turns < 10; turns++) await turn();
      this.#waiting.shift()?.();
    }
  }

  /** Nothing is held any more. */
  release(): void {
    this.#isHolding = false;
    for (const go of this.#waiting.splice(0)) go();
  }

  #isHeld({ op, path, offset }: Call): boolean {
    const innerOffset = this.#innerOffsets.get(path);
    return (
      this.#isHolding &&
      op === 'read' &&
      innerOffset !== undefined &&
      offset >= HEADER_BYTES &&
      offset < innerOffset
    );
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
