/**
 * Keeps so many of many positions, evenly spaced: whenever there is one too many, the one goes that leaves
 * the smallest gap. That is the online checkpointing problem (Bringmann et al., arXiv 1302.4216), greedily:
 * applied again whenever one is added, no gap exceeds about twice the even one.
 *
 * Takes n log n steps for n positions: a directory may hold as many as were taken under another policy.
 *
 * Pure: no I/O, no clock.
 */

/**
 * @param indices Positions in the log, descending; the first is the end of history, and stays.
 * @returns Places in `indices` of those that stay.
 */
export function evenlySpaced(indices: readonly number[], count: number): Set<number> {
  const kept = new Set(indices.keys());
  const newer = indices.map((_, at) => at - 1);
  const older = indices.map((_, at) => at + 1);
  // Before the oldest comes the empty state, at 0.
  const gapOf = (at: number): number => indices[newer[at]!]! - (indices[older[at]!] ?? 0);
  const gaps = new GapHeap();
  for (let at = indices.length - 1; at > 0; at--) gaps.add({ at, gap: gapOf(at) });
  while (kept.size > Math.max(1, count)) {
    const { at, gap } = gaps.takeLeast();
    if (!kept.has(at) || gap !== gapOf(at)) continue; // A neighbour went since; its new gap is there, too.
    kept.delete(at);
    newer[older[at]!] = newer[at]!;
    older[newer[at]!] = older[at]!;
    for (const beside of [newer[at]!, older[at]!]) {
      if (beside > 0 && beside < indices.length) gaps.add({ at: beside, gap: gapOf(beside) });
    }
  }
  return count === 0 ? new Set() : kept;
}

interface Gap {
  readonly at: number;
  /** Between its neighbours: what it leaves when it goes. */
  readonly gap: number;
}

/** The least gap first; of equal ones the oldest. */
class GapHeap {
  readonly #gaps: Gap[] = [];

  add(added: Gap): void {
    const gaps = this.#gaps;
    let place = gaps.push(added) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isLess(added, gaps[parent]!)) break;
      gaps[place] = gaps[parent]!;
      place = parent;
    }
    gaps[place] = added;
  }

  /** There is one. */
  takeLeast(): Gap {
    const gaps = this.#gaps;
    const least = gaps[0]!;
    const last = gaps.pop()!;
    let place = 0;
    for (;;) {
      let child = 2 * place + 1;
      if (child >= gaps.length) break;
      if (child + 1 < gaps.length && isLess(gaps[child + 1]!, gaps[child]!)) child++;
      if (!isLess(gaps[child]!, last)) break;
      gaps[place] = gaps[child]!;
      place = child;
    }
    if (gaps.length > 0) gaps[place] = last;
    return least;
  }
}

function isLess(one: Gap, other: Gap): boolean {
  return one.gap < other.gap || (one.gap === other.gap && one.at > other.at);
}
