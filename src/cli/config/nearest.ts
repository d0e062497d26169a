/** The known word that somebody most likely meant. */

/** A word that differs in more than this part of its letters was not a slip. */
const DIFFERENT_PART_MAX = 0.4;

/** Null when none is near. */
export function nearest(word: string, known: Iterable<string>): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance];
  }
  return best !== null && bestDistance <= DIFFERENT_PART_MAX * best.length ? best : null;
}

/** Letters to insert, delete, change or swap with the next. Words are short: long ones are cut. */
export function editDistance(from: string, to: string): number {
  const [left, right] = [from.slice(0, 100), to.slice(0, 100)];
  const rows = [Array.from({ length: right.length + 1 }, (_, at) => at)];
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0;
  for (let row = 1; row <= left.length; row++) {
    const current = [row];
    rows.push(current);
    for (let column = 1; column <= right.length; column++) {
      const isEqual = left[row - 1] === right[column - 1];
      const isSwapped = left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1];
      const swapped = isSwapped ? at(row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY;
      const changed = at(row - 1, column - 1) + (isEqual ? 0 : 1);
      current.push(Math.min(changed, swapped, at(row - 1, column) + 1, at(row, column - 1) + 1));
    }
  }
  return at(left.length, right.length);
}
