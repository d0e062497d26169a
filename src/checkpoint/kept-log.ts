/**
 * How far back the log is kept for rewinding, besides what a start may need: any moment of the last
 * `logAgeMs` can be brought back as long as the log behind it takes no more than `logBytesMax`.
 *
 * An entry is of use only behind a state to replay it from. So the log begins at one: the newest state that
 * is older than `logAgeMs`, since one that is younger leaves out the moments before it; or, when that takes
 * too much log, the oldest behind which it does not. A log that has its first entry goes on from the empty
 * state, too.
 *
 * Pure: no I/O, no clock.
 */

import { type Index, toIndex } from '../base/positions.ts';
import type { ResolvedCheckpointOptions } from './checkpoint-options.ts';

/** The log, as far as it matters for what of it may be given back. */
export interface KeptLogBytes {
  readonly firstIndex: Index;
  /** Bytes that come after an index. */
  readonly sealedBytesAfter: (index: Index) => number;
}

/** A state that the log may go on from. */
export interface StartingPoint {
  readonly index: Index;
  /** Milliseconds since 1970. */
  readonly takenAt: number;
}

/**
 * @param kept Checkpoints that stay, newest first.
 * @param now Milliseconds since 1970.
 * @returns The entries after it are wanted; null when none is.
 */
export function indexForRewinding(
  kept: readonly StartingPoint[],
  { firstIndex, sealedBytesAfter }: KeptLogBytes,
  { logAgeMs, logBytesMax }: Pick<ResolvedCheckpointOptions, 'logAgeMs' | 'logBytesMax'>,
  now: number,
): Index | null {
  if (logAgeMs === 0) return null;
  const states = firstIndex === 1 ? [...kept, { index: toIndex(0), takenAt: 0 }] : kept;
  let wanted: Index | null = null;
  for (const { index, takenAt } of states) {
    if (index < firstIndex - 1 || sealedBytesAfter(index) > logBytesMax) break;
    wanted = index;
    if (now - takenAt >= logAgeMs) break;
  }
  return wanted;
}
