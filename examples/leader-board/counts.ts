/**
 * How many players have which score: a Fenwick tree in a table, which counts up to any score in a dozen
 * steps, however many players there are. The count at `at` covers the scores from `at` down to `at` without
 * its lowest bit, exclusive.
 */

import type { ReadTable, Table } from 'tidemark';

export const SCORE_MAX = 2 ** 16;

/** One player more, or one less, with a score from 1 to `SCORE_MAX`. */
export function count(counts: Table<number>, season: number, score: number, change: 1 | -1): void {
  for (let at = score; at <= SCORE_MAX; at += at & -at) {
    counts.set(`${season} ${at}`, (counts.get(`${season} ${at}`) ?? 0) + change);
  }
}

/** How many players have a score above `score`. */
export function countAbove(counts: ReadTable<number>, season: number, score: number): number {
  return countUpTo(counts, season, SCORE_MAX) - countUpTo(counts, season, score);
}

function countUpTo(counts: ReadTable<number>, season: number, score: number): number {
  let found = 0;
  for (let at = score; at > 0; at -= at & -at) found += counts.get(`${season} ${at}`) ?? 0;
  return found;
}
