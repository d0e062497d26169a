/**
 * Whether a text could exhaust the stack of a parser, found out before one reads it: a parser that runs out
 * of stack inside of a regular expression takes the whole process with it.
 *
 * Counts what opens and is not closed, and how far lines are indented, by blanks or by the dashes of lists;
 * wherever it stands, also in texts and comments, where nobody needs so much.
 */

/** More than any configuration has, and far less than any stack takes. */
const OPEN_MAX = 64;
const INDENT_MAX = 512;

export function isTooDeep(text: string): boolean {
  let open = 0;
  for (const character of text) {
    if (character === '[' || character === '{') open++;
    else if ((character === ']' || character === '}') && open > 0) open--;
    if (open > OPEN_MAX) return true;
  }
  return text.split('\n').some((line) => (/^[\s?:-]+/.exec(line)?.[0].length ?? 0) > INDENT_MAX);
}
