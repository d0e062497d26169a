/**
 * The longest common subsequence of two strings, and the ranges it consists of, last first: which of several
 * is found is what Redis finds (t_string.c, lcsCommand), by going back through the same table the same way.
 */

export interface Match {
  /** Where the range begins in either string, in bytes. */
  readonly left: number;
  readonly right: number;
  readonly length: number;
}

export interface LongestCommon {
  readonly common: Uint8Array;
  readonly matches: readonly Match[];
}

/** Takes time and memory in proportion to the product of the lengths: the caller bounds it. */
export function longestCommon(left: Uint8Array, right: Uint8Array): LongestCommon {
  const lengths = tableOf(left, right);
  const width = right.length + 1;
  const common = new Uint8Array(lengths.at(-1)!);
  const matches: { left: number; right: number; length: number }[] = [];
  let rest = common.length;
  let at = left.length;
  let other = right.length;
  while (at > 0 && other > 0) {
    if (left[at - 1] === right[other - 1]) {
      at--;
      other--;
      common[--rest] = left[at]!;
      const match = matches.at(-1);
      if (match !== undefined && match.left === at + 1 && match.right === other + 1) {
        match.left = at;
        match.right = other;
        match.length++;
      } else {
        matches.push({ left: at, right: other, length: 1 });
      }
    } else if (lengths[(at - 1) * width + other]! > lengths[at * width + other - 1]!) {
      at--;
    } else {
      other--;
    }
  }
  return { common, matches };
}

/** For each pair of prefixes the length of what they have in common. */
function tableOf(left: Uint8Array, right: Uint8Array): Uint32Array {
  const width = right.length + 1;
  const lengths = new Uint32Array((left.length + 1) * width);
  for (let at = 1; at <= left.length; at++) {
    const row = at * width;
    for (let other = 1; other <= right.length; other++) {
      if (left[at - 1] === right[other - 1]) {
        lengths[row + other] = lengths[row - width + other - 1]! + 1;
      } else {
        const above = lengths[row - width + other]!;
        const before = lengths[row + other - 1]!;
        lengths[row + other] = above > before ? above : before;
      }
    }
  }
  return lengths;
}
