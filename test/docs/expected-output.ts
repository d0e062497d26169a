/**
 * What a document says that a program prints, against what it printed. In a line, `…` stands for anything; a
 * line that is `…` and nothing else stands for any number of lines.
 */

export class UnexpectedOutput extends Error {
  override readonly name = 'UnexpectedOutput';
}

/** @throws UnexpectedOutput with both. */
export function expectOutput(where: string, expected: string, printed: string): void {
  const lines = trimmed(expected).split('\n');
  const pattern = lines.map((line) => (line === '…' ? '(.*\n)*' : `${linePattern(line)}\n`)).join('');
  const text = `${trimmed(printed)}\n`;
  if (!new RegExp(`^${pattern}$`).test(text)) {
    throw new UnexpectedOutput(
      `${where} says that this is printed:\n\n${expected}\n\nand it was:\n\n${text}`,
    );
  }
}

function linePattern(line: string): string {
  return line
    .split('…')
    .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
    .join('.*');
}

/** Without empty lines before and behind, blanks at the ends of lines, and colours. */
function trimmed(text: string): string {
  const ESCAPES = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g');
  return text
    .replace(ESCAPES, '')
    .replace(/[ \t\r]+$/gm, '')
    .replace(/^\n+|\n+$/g, '');
}
