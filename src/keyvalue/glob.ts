/**
 * Patterns of KEYS and SCAN: `*`, `?`, `[a-c]`, `[^x]` and `\` as Redis matches them (util.c,
 * stringmatchlen).
 *
 * Unlike there, at most one `*` is ever gone back to: when the text after a later `*` does not match, no
 * other choice for an earlier one helps. So the time is bounded by the product of the lengths, and nothing
 * recurses.
 */

const STAR = 42;
const QUESTION = 63;
const OPEN = 91;
const CLOSE = 93;
const CARET = 94;
const BACKSLASH = 92;
const DASH = 45;

export function matchesGlob(pattern: Uint8Array, text: Uint8Array): boolean {
  let at = 0;
  let textAt = 0;
  let starAt = -1;
  let starTextAt = 0;
  while (textAt < text.length) {
    if (pattern[at] === STAR) {
      starAt = at++;
      starTextAt = textAt;
      continue;
    }
    const next = at < pattern.length ? afterMatch(pattern, at, text[textAt]!) : NO_MATCH;
    if (next !== NO_MATCH) {
      at = next;
      textAt++;
    } else if (starAt >= 0) {
      at = starAt + 1;
      textAt = ++starTextAt;
    } else {
      return false;
    }
  }
  while (pattern[at] === STAR) at++;
  return at >= pattern.length;
}

/** The only text that the pattern matches, or null when there are others. */
export function literalOf(pattern: Uint8Array): Uint8Array | null {
  return pattern.some((byte) => byte === STAR || byte === QUESTION || byte === OPEN || byte === BACKSLASH)
    ? null
    : pattern;
}

const NO_MATCH = -1;

/** Where the pattern goes on when its element at `at` matches the byte. */
function afterMatch(pattern: Uint8Array, at: number, byte: number): number {
  if (pattern[at] === QUESTION) return at + 1;
  if (pattern[at] === OPEN) return afterClass(pattern, at + 1, byte);
  const literal = pattern[at] === BACKSLASH && at + 1 < pattern.length ? at + 1 : at;
  return pattern[literal] === byte ? literal + 1 : NO_MATCH;
}

function afterClass(pattern: Uint8Array, from: number, byte: number): number {
  let at = from;
  const isNegated = pattern[at] === CARET;
  if (isNegated) at++;
  let isIn = false;
  for (; at < pattern.length && pattern[at] !== CLOSE; at++) {
    if (pattern[at] === BACKSLASH && at + 1 < pattern.length) {
      at++;
      if (pattern[at] === byte) isIn = true;
    } else if (at + 2 < pattern.length && pattern[at + 1] === DASH) {
      const [low, high] = [pattern[at]!, pattern[at + 2]!].sort((left, right) => left - right);
      if (byte >= low! && byte <= high!) isIn = true;
      at += 2;
    } else if (pattern[at] === byte) {
      isIn = true;
    }
  }
  if (isIn === isNegated) return NO_MATCH;
  return Math.min(at + 1, pattern.length); // A class that is not closed ends with the pattern.
}
