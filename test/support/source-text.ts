/**
 * What the tidy tests read out of TypeScript source, without a compiler: enough for code that the formatter
 * has laid out, and checked on samples in test/source-text.test.ts.
 */

/** A `/` after one of these begins a regular expression; after anything else it divides. */
const BEFORE_PATTERN = /(^|[([{,;=:!&|?+\-*%~^<>]|\b(return|typeof|case|in|of|await|throw|new))\s*$/;

const CONTROL = /^\s*(if|for|while|switch|catch|do|else|return|await|throw|new|super|describe|suite)\b/;
const FUNCTION_START = /\bfunction\b|=> \{$/;
const METHOD_START = /^\s+((static|async|override|get|set) )*\*?\s*[#\w$]+(<.*>)?\(/;

/**
 * The code alone: comments, and what stands between quotes or in patterns, become blanks. Lines and columns
 * stay as they are; quotes and code inside `${}` are kept.
 */
export function codeOnly(text: string): string {
  let code = '';
  let at = 0;
  /** For every open `${`, how many braces are open inside it. */
  const substitutions: number[] = [];
  const blank = (end: number): void => {
    code += text.slice(at, end).replace(/[^\n]/g, ' ');
    at = end;
  };
  while (at < text.length) {
    const char = text[at]!;
    const two = text.slice(at, at + 2);
    if (two === '//') blank(endOf(text, at, /\n|$/g, 0));
    else if (two === '/*') blank(endOf(text, at + 2, /\*\/|$/g, 2));
    else if (char === "'" || char === '"') {
      code += text[at++]!;
      blank(Math.max(at, endOfQuoted(text, at, char) - 1));
      code += text[at++] ?? '';
    } else if (char === '/' && BEFORE_PATTERN.test(code.slice(-200))) blank(endOfPattern(text, at));
    else if (char === '`' || (char === '}' && substitutions.at(-1) === 0)) {
      if (char === '}') substitutions.pop();
      const { end, isSubstitution } = endOfTemplatePart(text, at + 1);
      if (isSubstitution) substitutions.push(0);
      blank(end);
    } else {
      const open = substitutions.length - 1;
      if (open >= 0 && char === '{') substitutions[open]!++;
      if (open >= 0 && char === '}') substitutions[open]!--;
      code += char;
      at++;
    }
  }
  return code;
}

/** Offset behind the first match at or after `from`, or its start when `keep` is 0. */
function endOf(text: string, from: number, pattern: RegExp, keep: number): number {
  pattern.lastIndex = from;
  const found = pattern.exec(text);
  return found === null ? text.length : Math.min(text.length, found.index + keep);
}

/** Offset behind the closing quote of what begins at `start`, inside the quotes. */
function endOfQuoted(text: string, start: number, quote: string): number {
  for (let at = start; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === quote || text[at] === '\n') return at + 1;
  }
  return text.length;
}

function endOfPattern(text: string, start: number): number {
  let isInClass = false;
  for (let at = start + 1; at < text.length; at++) {
    const char = text[at];
    if (char === '\\') at++;
    else if (char === '[') isInClass = true;
    else if (char === ']') isInClass = false;
    else if (char === '\n' || (char === '/' && !isInClass)) return at + 1;
  }
  return text.length;
}

function endOfTemplatePart(text: string, start: number): { end: number; isSubstitution: boolean } {
  for (let at = start; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '`') return { end: at + 1, isSubstitution: false };
    else if (text.startsWith('${', at)) return { end: at + 2, isSubstitution: true };
  }
  return { end: text.length, isSubstitution: false };
}

/** What a file imports or re-exports: `./x.ts`, `node:fs`, `commander`. Types count. */
export function importsOf(text: string): string[] {
  const code = codeOnly(text);
  const statement = /\bfrom\s+'|\bimport\s+'|\bimport\(\s*'/g;
  return [...text.matchAll(statement)]
    .filter((match) => /^(from|import)/.test(code.slice(match.index)))
    .map((match) => text.slice(match.index + match[0].length).split("'")[0]!);
}

export interface FunctionSpan {
  /** The line it begins on, trimmed. */
  readonly header: string;
  /** From 1. */
  readonly firstLine: number;
  readonly lineCount: number;
}

/**
 * Functions, methods and arrow functions with a block. Goes by the indentation the formatter gives: a
 * function ends at the first line with the indentation of its first that starts with a brace.
 */
export function functionsOf(text: string): FunctionSpan[] {
  const original = text.split('\n');
  const lines = codeOnly(text).split('\n');
  return lines.flatMap((line, first) => {
    if (CONTROL.test(line) || !(FUNCTION_START.test(line.trimEnd()) || METHOD_START.test(line))) return [];
    const indentation = indentationOf(line);
    for (let at = first + 1; at < lines.length; at++) {
      const next = lines[at]!;
      if (next.trim() === '' || indentationOf(next) > indentation) continue;
      if (indentationOf(next) === indentation && /^\s*\)/.test(next) && next.trimEnd().endsWith('{'))
        continue;
      if (indentationOf(next) < indentation || !/^\s*\}/.test(next)) return [];
      return [{ header: original[first]!.trim(), firstLine: first + 1, lineCount: at - first + 1 }];
    }
    return [];
  });
}

function indentationOf(line: string): number {
  return line.length - line.trimStart().length;
}
