/** The package and its documents, as a test: what is promised in one place is there in the other. */

import { deepStrictEqual, strictEqual } from 'node:assert';
import { writeFileSync } from 'node:fs';
import { posix } from 'node:path';
import { test } from 'node:test';
import { ERROR_CODES } from '../src/base/errors.ts';
import { manifest, publicEntries } from './support/entries.ts';
import { exists, isRewriting, projectFiles, ROOT, textOf } from './support/project.ts';
import { codeOnly } from './support/source-text.ts';

const PUBLIC_NAMES = 'test/public-api.txt';
const COLUMNS_MAX = 110;

const documents = projectFiles(/\.md$/).map((file) => ({ ...file, prose: withoutCode(file.text) }));

test('package: what exports and bin point to exists after the build', () => {
  const { bin, exports } = manifest();
  const targets = Object.values(exports).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  );
  deepStrictEqual(
    [...targets, ...Object.values(bin)].filter((path) => !exists(path)),
    [],
  );
});

test('package: what is published exists', () => {
  deepStrictEqual(
    manifest().files.filter((path) => !exists(path)),
    [],
  );
});

test('package: types come first in every export', () => {
  const wrong = Object.entries(manifest().exports)
    .filter(([, target]) => typeof target !== 'string' && Object.keys(target)[0] !== 'types')
    .map(([subpath]) => subpath);
  deepStrictEqual(wrong, []);
});

test('package: every dependency has its reason in docs/decisions/', () => {
  const reasons = projectFiles(/^docs\/decisions\/.*\.md$/)
    .map(({ text }) => text)
    .join('\n');
  const { dependencies, devDependencies, optionalDependencies, peerDependencies } = manifest();
  const all = { ...dependencies, ...devDependencies, ...optionalDependencies, ...peerDependencies };
  deepStrictEqual(
    Object.keys(all).filter((name) => !reasons.includes(`\`${name}\``)),
    [],
  );
});

test(`package: the public names are those of ${PUBLIC_NAMES}`, () => {
  const listed = publicEntries()
    .map(({ name, source }) =>
      [name, ...exportedNames(textOf(source)).map((line) => `  ${line}`), ''].join('\n'),
    )
    .join('\n');
  if (isRewriting) writeFileSync(ROOT + PUBLIC_NAMES, listed);
  else
    strictEqual(listed, textOf(PUBLIC_NAMES), 'REWRITE=1 npm test writes the list anew; read the difference');
});

test('package: an entry point holds named re-exports and nothing else', () => {
  const wrong = publicEntries().filter(({ source }) => {
    const code = codeOnly(textOf(source)).replace(/export (type )?\{[^}]*\} from '\s*';/g, '');
    return code.trim() !== '';
  });
  deepStrictEqual(wrong, []);
});

test('documents: error codes and the headings of docs/errors.md agree, in order', () => {
  const headings = [...textOf('docs/errors.md').matchAll(/^## (TIDEMARK_\w+)$/gm)].map((match) => match[1]);
  deepStrictEqual(headings, Object.keys(ERROR_CODES));
});

test('documents: one title each, on the first line', () => {
  const wrong = documents.filter(({ prose }) => {
    const titles = prose.split('\n').flatMap((line, at) => (/^# \S/.test(line) ? [at] : []));
    return titles.length !== 1 || titles[0] !== 0;
  });
  deepStrictEqual(
    wrong.map(({ path }) => path),
    [],
  );
});

test('documents: relative links lead somewhere', () => {
  const wrong = documents.flatMap(({ path, prose }) =>
    [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
      .map((match) => match[1]!)
      .filter((link) => !/^[a-z]+:/.test(link) && !leadsSomewhere(path, link))
      .map((link) => `${path}: ${link}`),
  );
  deepStrictEqual(wrong, []);
});

test(`documents: prose wraps at ${COLUMNS_MAX} columns`, () => {
  // A table, and a link too long for a line, cannot be wrapped.
  const wrong = documents.flatMap(({ path, prose }) =>
    prose.split('\n').flatMap((line, at) => {
      const isWrappable = !line.startsWith('|') && !/https?:\/\/\S{60}/.test(line);
      return isWrappable && line.length > COLUMNS_MAX ? [`${path}:${at + 1}`] : [];
    }),
  );
  deepStrictEqual(wrong, []);
});

/** Fenced code becomes empty lines, so that nothing in it counts as a heading or a link. */
function withoutCode(text: string): string {
  return text.replace(/^( *)```[^]*?^\1```$/gm, (block) => block.replace(/[^\n]/g, ''));
}

function leadsSomewhere(from: string, link: string): boolean {
  const [file = '', anchor] = link.split('#');
  const path = file === '' ? from : posix.join(posix.dirname(from), decodeURI(file));
  if (!exists(path)) return false;
  return anchor === undefined || !path.endsWith('.md') || anchorsOf(path).includes(anchor);
}

/** The anchors that GitHub gives the headings of a document. */
function anchorsOf(path: string): string[] {
  return [...withoutCode(textOf(path)).matchAll(/^#+ (.+)$/gm)].map((match) =>
    match[1]!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Names as users see them, types marked, in the order of the alphabet. */
function exportedNames(source: string): string[] {
  return [...source.matchAll(/export (type )?\{([^}]*)\} from '/g)]
    .flatMap(([, type, list]) =>
      list!
        .split(',')
        .map((name) => name.trim())
        .filter((name) => name !== '')
        .map((name) => (type === undefined || name.startsWith('type ') ? name : `type ${name}`)),
    )
    .map((name) => name.replace(/\b[\w$]+ as /, ''))
    .sort((a, b) => (bare(a) < bare(b) ? -1 : 1));
}

function bare(name: string): string {
  return name.replace(/^type /, '');
}
