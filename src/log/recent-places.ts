/**
 * The last places between two batches of the tail: who follows the log begins to read at one of them. The
 * sparse index has places too far apart for that; to find the newest entry through it takes up to 128 KiB of
 * reading and verifying.
 */

import type { Index } from '../base/positions.ts';
import type { ReaderPosition } from './segment-reader.ts';

/** Batches that a follower may be behind, and still read nothing twice. */
const PLACES_MAX = 64;

export class RecentPlaces {
  readonly #places: ReaderPosition[] = [];

  /** Takes a place behind all those before. */
  add(position: ReaderPosition): void {
    if (this.#places.length === PLACES_MAX) this.#places.shift();
    this.#places.push(position);
  }

  /** The last place from which a reader meets the entry at `index`; null when it lies too far back. */
  before(index: Index): ReaderPosition | null {
    return this.#places.findLast(({ previousIndex }) => previousIndex < index) ?? null;
  }
}
