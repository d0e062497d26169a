/**
 * Windows for a walk over a whole tree: what a step needs is read before it, and the event loop never waits
 * for the disk. In order of keys the leaves of one file come with ascending offsets, and so do its large
 * values and its inner nodes: one window for each, moved on when the walk leaves it, is all that is held.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { Place } from '../state/stored.ts';
import type { CheckpointFiles } from './checkpoint-files.ts';
import type { NodeKind } from './node-record.ts';

/** Bytes of one window: a few dozen nodes. */
const WINDOW_BYTES = 128 * 1024;

interface WindowRange {
  readonly from: number;
  readonly to: number;
}

export class ReadAhead {
  readonly #files: CheckpointFiles;
  readonly #windows = new Map<string, WindowRange>();

  constructor(files: CheckpointFiles) {
    this.#files = files;
  }

  /** Resolves when the record is in memory; null when it is there already. */
  readonly before = (kind: NodeKind, { file, offset, bytes }: Place): Promise<void> | null => {
    const key = `${kind} ${file}`;
    const window = this.#windows.get(key);
    // What stands before a node in its record takes no more than the node.
    const end = offset + 2 * bytes;
    if (window !== undefined && window.from <= offset && end <= window.to) return null;
    if (window !== undefined) this.#files.forgetWindow(file, window.from);
    const to = Math.max(end, offset + WINDOW_BYTES);
    this.#windows.set(key, { from: offset, to });
    return this.#files.readAhead(file, offset, to).catch(whatTheDiskRefuses);
  };
}

/** A window may be wider than what is needed: whether that can be read, its own read tells. */
function whatTheDiskRefuses(error: unknown): void {
  if (!isTidemarkError(error, 'TIDEMARK_IO')) throw error;
}
