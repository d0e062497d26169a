/** The API reference (`npm run docs -- api`) has something to say about every public name. */

import { deepStrictEqual } from 'node:assert';
import { posix } from 'node:path';
import { test } from 'node:test';
import { publicEntries } from './support/entries.ts';
import { textOf } from './support/project.ts';

const REEXPORT = /export (?:type )?\{([^}]*)\} from '([^']+)'/g;

for (const { name, source } of publicEntries()) {
  test(`api: every name of ${name} has a comment that says what it is`, () => {
    const wrong = [...textOf(source).matchAll(REEXPORT)].flatMap(([, list = '', file = '']) => {
      const path = posix.join(posix.dirname(source), file);
      return namesIn(list)
        .filter((exported) => !isDocumented(textOf(path), exported))
        .map((exported) => `${path}: ${exported}`);
    });
    deepStrictEqual(wrong, []);
  });
}

test('api: a name without a comment is noticed', () => {
  deepStrictEqual(isDocumented('/** What it is. */\nexport function* one(): void {}', 'one'), true);
  deepStrictEqual(isDocumented('/** Of something else. */\n\nexport type One = 1;', 'One'), false);
  deepStrictEqual(isDocumented('const one = 1;\nexport class One {}', 'One'), false);
  deepStrictEqual(isDocumented('/** Another one. */\nexport const oneMore = 1;', 'one'), false);
});

function namesIn(list: string): string[] {
  return list
    .split(',')
    .map((name) => name.trim().replace(/^type /, ''))
    .filter((name) => name !== '');
}

function isDocumented(text: string, name: string): boolean {
  const kinds = '(async )?(interface|type|class|function\\*?|const)';
  return new RegExp(`\\*/\\nexport ${kinds} ${name}\\b`).test(text);
}
