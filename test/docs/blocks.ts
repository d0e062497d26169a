/**
 * The fenced code blocks of a document, in groups that run in one place. What a block is follows from its
 * language, and from a comment on the line above its fence:
 *
 *     <!-- run: in the checkout -->           in a copy of this checkout, not in a project of its own
 *     <!-- run: continues -->                 in the place of the block before
 *     <!-- run: continues after kill -9 -->   the same, once all that runs there was killed
 *     <!-- run: file NAME -->                 is a file; `continues, file NAME` is one in that place
 *     <!-- run: never, REASON -->             does not run; such blocks are counted
 */

export const LANGUAGES = ['ts', 'sh', 'json', 'yaml', 'toml', 'console', 'text'] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Block {
  readonly path: string;
  /** Line of its fence, from 1. */
  readonly line: number;
  readonly language: Language;
  readonly text: string;
  readonly marks: Marks;
}

export interface Marks {
  /** In which place it runs. */
  readonly place: 'project' | 'checkout' | 'before' | 'before, killed';
  /** Name of the file that it becomes. */
  readonly file: string | null;
  /** Why it does not run. */
  readonly never: string | null;
}

/** Blocks that run one after the other in one place. */
export interface Group {
  /** As in `README.md:18`. */
  readonly name: string;
  readonly blocks: readonly Block[];
}

interface Document {
  readonly path: string;
  readonly text: string;
}

const FENCE = /^( *)(`{3,}|~{3,})(.*)$/;
const MARK = /^<!-- run: (.*) -->$/;

/** @throws Error for a block that is neither run nor exempt by any rule. */
export function blocksOf({ path, text }: Document): Block[] {
  const blocks: Block[] = [];
  const lines = text.split('\n');
  for (let at = 0; at < lines.length; at++) {
    const fence = FENCE.exec(lines[at]!);
    if (fence === null) {
      if (MARK.test(lines[at]!) && !FENCE.test(lines[at + 1] ?? ''))
        throw new Error(`${path}:${at + 1}: nothing to run follows`);
      continue;
    }
    const [, indentation = '', ticks = '', language = ''] = fence;
    const where = `${path}:${at + 1}`;
    if (indentation !== '' || ticks !== '```') throw new Error(`${where}: a fence is three backquotes`);
    const end = lines.indexOf('```', at + 1);
    if (end < 0) throw new Error(`${where}: the block has no end`);
    blocks.push({
      path,
      line: at + 1,
      language: languageOf(where, language),
      text: `${lines.slice(at + 1, end).join('\n')}\n`,
      marks: marksOf(where, MARK.exec(lines[at - 1] ?? '')?.[1] ?? ''),
    });
    at = end;
  }
  return blocks;
}

/** What runs in one place. Drawings, and blocks that never run, are in no group. */
export function groupsOf(document: Document): Group[] {
  const groups: { name: string; blocks: Block[] }[] = [];
  for (const block of blocksOf(document)) {
    const { place, never } = block.marks;
    if (block.language === 'text' || never !== null) continue;
    const where = `${block.path}:${block.line}`;
    const isFirst = !place.startsWith('before') && block.language !== 'console';
    if (isFirst) groups.push({ name: where, blocks: [] });
    if (groups.length === 0) throw new Error(`${where}: nothing runs before it`);
    groups.at(-1)!.blocks.push(block);
  }
  return groups;
}

function languageOf(where: string, language: string): Language {
  const known = LANGUAGES.find((name) => name === language);
  if (known === undefined) throw new Error(`${where}: a block is one of ${LANGUAGES.join(', ')}`);
  return known;
}

function marksOf(where: string, text: string): Marks {
  const never = /^never, (.+)$/.exec(text)?.[1] ?? null;
  const marks = { place: 'project' as Marks['place'], file: null as string | null, never };
  for (const word of never === null && text !== '' ? text.split(', ') : []) {
    const file = /^file (\S+)$/.exec(word)?.[1];
    if (file !== undefined) marks.file = file;
    else if (word === 'in the checkout') marks.place = 'checkout';
    else if (word === 'continues') marks.place = 'before';
    else if (word === 'continues after kill -9') marks.place = 'before, killed';
    else throw new Error(`${where}: nobody knows how to run a block "${word}"`);
  }
  return marks;
}
