/**
 * The API reference (`npm run docs -- api`) has something to say about every public name, and its links lead
 * somewhere. TypeDoc finds out the same and more; it is no part of `npm test`.
 */

import { deepStrictEqual } from 'node:assert';
import { posix } from 'node:path';
import { test } from 'node:test';
import { publicEntries } from './support/entries.ts';
import { textOf } from './support/project.ts';

const REEXPORT = /export (?:type )?\{([^}]*)\} from '([^']+)'/g;

interface PublicName {
  readonly name: string;
  /** Of the file that declares it. */
  readonly path: string;
}

const names = new Map(publicEntries().map(({ name, source }) => [name, namesOf(source)]));
const known = new Set([...names.values()].flat().map(({ name }) => name));

for (const [entry, exported] of names) {
  test(`api: every name of ${entry} has a comment that says what it is`, () => {
    const wrong = exported.filter(({ name, path }) => !isDocumented(textOf(path), name));
    deepStrictEqual(wrong, []);
  });

  test(`api: comments of ${entry} link to public names`, () => {
    const wrong = exported.flatMap(({ name, path }) =>
      linksOf(textOf(path), name).filter((link) => !known.has(link.split('.')[0]!)),
    );
    deepStrictEqual(wrong, []);
  });
}

test('api: a name without a comment is noticed', () => {
  deepStrictEqual(isDocumented('/** What it is. */\nexport function* one(): void {}', 'one'), true);
  deepStrictEqual(isDocumented('/** Of something else. */\n\nexport type One = 1;', 'One'), false);
  deepStrictEqual(isDocumented('const one = 1;\nexport class One {}', 'One'), false);
  deepStrictEqual(isDocumented('/** Another one. */\nexport const oneMore = 1;', 'one'), false);
});

test('api: links in the comment of a name, and of what is in it, are found', () => {
  const text =
    '/** See {@link a}. */\nexport class One {\n  b = 1;\n\n  /** {@link c.d} */\n  e = 1;\n}\n' +
    '/** {@link f} */\nexport type Two = 1;\n\n/** {@link g} */\n';
  deepStrictEqual(linksOf(text, 'One'), ['a', 'c.d']);
  deepStrictEqual(linksOf(text, 'Two'), ['f']);
});

function namesOf(source: string): PublicName[] {
  return [...textOf(source).matchAll(REEXPORT)].flatMap(([, list = '', file = '']) =>
    list
      .split(',')
      .map((name) => name.trim().replace(/^type /, ''))
      .filter((name) => name !== '')
      .map((name) => ({ name, path: posix.join(posix.dirname(source), file) })),
  );
}

function declarationOf(name: string): string {
  return `export (?:async )?(?:interface|type|class|function\\*?|const) ${name}\\b`;
}

function isDocumented(text: string, name: string): boolean {
  return new RegExp(`\\*/\\n${declarationOf(name)}`).test(text);
}

/** Targets of the links in the comment above a name and, up to its end, below. */
function linksOf(text: string, name: string): string[] {
  const end = new RegExp(`^export (?:type|const) ${name}\\b`, 'm').test(text) ? '^$' : '^\\}';
  const declaration = new RegExp(`^${declarationOf(name)}.*?(?:${end})`, 'ms').exec(text);
  if (declaration === null) return [];
  const start = text.lastIndexOf('/**', declaration.index);
  const whole = text.slice(Math.max(0, start), declaration.index + declaration[0].length);
  return [...whole.matchAll(/\{@link ([\w.]+)\}/g)].map((match) => match[1]!);
}
