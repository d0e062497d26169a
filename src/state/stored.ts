/**
 * Between the tree in memory and those who keep it in files (checkpoint/): what a checkpoint has to write,
 * and how nodes that are only in files are read.
 *
 * The state knows of each node where it is stored, so that the next checkpoint writes what is new and refers
 * to the rest. A place is no proof: whatever is read from one is verified by the hash that led there.
 */

import type { TidemarkError } from '../base/errors.ts';

/** Places are multiples of this. */
export const PLACE_ALIGN_BYTES = 16;

/** Files and units of PLACE_ALIGN_BYTES are below this. */
const PLACE_MAX = 2 ** 31;

/** Where a node or a large value is. */
export interface Place {
  /** A number above 0, given by the keeper and never to another file: 1 to 2^31 - 1. */
  readonly file: number;
  /** Of its record, from the start of the file: a multiple of PLACE_ALIGN_BYTES, below 2^31 times it. */
  readonly offset: number;
  /** Length of the node or value itself. */
  readonly bytes: number;
}

/** Whether a place that was read somewhere can be one. */
export function isPlace({ file, offset }: Place): boolean {
  const isAligned = offset % PLACE_ALIGN_BYTES === 0;
  return file > 0 && file < PLACE_MAX && isAligned && offset < PLACE_MAX * PLACE_ALIGN_BYTES;
}

/** A node, or a large value, that a checkpoint has to write. Views hold until the next one is asked for. */
export interface Unstored {
  readonly kind: 'leaf' | 'inner' | 'value';
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
  /** Of the children of an inner node, or of the large values of a leaf, in their order; all are stored. */
  readonly places: readonly Place[];
  /** Called before the next one is asked for: it is written there. */
  readonly storedAt: (file: number, offset: number) => void;
}

/**
 * A stored node or value as it was read: its bytes not yet verified by anyone but the file's own checksums.
 */
export interface StoredBytes {
  /** A view that holds until the next read. */
  readonly bytes: Uint8Array;
  /** As in `Unstored`. */
  readonly places: readonly Place[];
}

/** The files that a state was installed from, and may still read. */
export interface StoredFiles {
  /**
   * Reads a record without returning to the event loop.
   * @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED when it is not there or fails its checksum;
   * TIDEMARK_IO.
   */
  read(kind: Unstored['kind'], place: Place): StoredBytes;
  /** The error for a record that is not what the tree says: wrong hash, wrong level, wrong key. */
  damaged(place: Place, reason: string): TidemarkError;
}

/** A tree in files. */
export interface StoredTree {
  readonly root: Uint8Array;
  /** Of the root; null of the empty tree, which is in no file, and of one that is not stored yet. */
  readonly place: Place | null;
  /** Level of the root. */
  readonly level: number;
  /** Number of keys. */
  readonly keys: number;
}
