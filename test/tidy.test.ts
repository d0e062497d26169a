/**
 * The architecture, as a test: who may import whom, and a few limits. Explained in ARCHITECTURE.md and
 * STYLE.md.
 */

import { deepStrictEqual } from 'node:assert';
import { posix } from 'node:path';
import { test } from 'node:test';
import { isInternalEntry, publicEntries } from './support/entries.ts';
import { type ProjectFile, projectFiles } from './support/project.ts';
import { codeOnly, functionsOf, importsOf } from './support/source-text.ts';

/** What a folder of src/ stands on. It may import these, and what these may import. */
const STANDS_ON: Record<string, readonly string[]> = {
  base: [],
  protocols: ['base'],
  storage: ['base'],
  network: ['base'],
  log: ['storage'],
  state: ['storage'],
  checkpoint: ['log', 'state'],
  engine: ['checkpoint'],
  keyvalue: ['engine'],
  backup: ['engine'],
  ordering: ['engine', 'protocols', 'network'],
  processes: ['engine', 'protocols', 'network'],
  procedures: ['ordering', 'keyvalue'],
  node: ['ordering', 'backup', 'keyvalue', 'procedures'],
  server: ['node', 'processes'],
  dashboard: [],
  cli: ['server', 'dashboard'],
  testing: ['cli'],
};

/** The doors, and what else may touch the system. Everything else is handed its doors. */
const SYSTEM_FOLDERS = ['storage', 'network', 'cli'];
const SYSTEM_FILES: Record<string, RegExp> = {
  'base/time.ts': /\b(Date|performance|setTimeout|clearTimeout|setImmediate)\b/g,
  'base/chance.ts': /'node:crypto'/g,
  'base/crc32c.ts': /'node:module'/g,
  'base/compare.ts': /'node:util'/g,
  'base/forbidden-globals.ts': /\b(Date|performance|process|Math\.random|crypto)\b/g, // To forbid them.
  'base/digest.ts': /'node:crypto'/g,
  'base/process.ts': /\bprocess\.pid\b/g,
  'engine/codec.ts': /instanceof Date|=== Date\b/g, // Dates that users hand in.
  'engine/point.ts': /\| Date\b|instanceof Date\b/g, // The same.
};

const SYSTEM_USE = new RegExp(
  [
    'Date\\b',
    'performance\\b',
    'set(Timeout|Interval|Immediate)\\b',
    'process\\s*\\.',
    'Math\\.random',
    'crypto\\s*\\.',
    'fetch\\s*\\(',
  ]
    .map((use) => `(?<![.#$\\w])${use}`)
    .join('|'),
);
const CONCURRENCY = /\b(async|await|Promise|queueMicrotask)\b/;

const COLUMNS_MAX = 110;
const FILE_LINES_MAX = 600;
const FUNCTION_LINES_MAX = 70;

/** Functions above the limit, as `path: first line`. May only get shorter. */
const LONG_FUNCTIONS: readonly string[] = [];

const sources = projectFiles(/^src\/.*\.ts$/);
const layered = sources
  .filter(({ path }) => path.split('/').length > 2)
  .map((file) => ({ ...file, layer: file.path.split('/')[1]! }));
const code = projectFiles(/^(src|test|bench|examples|scripts|bin)\/.*\.(ts|mjs)$/);

test('tidy: every folder of src/ has a place in the house', () => {
  deepStrictEqual(
    unique(layered.map(({ layer }) => layer)).filter((layer) => !(layer in STANDS_ON)),
    [],
  );
});

test('tidy: imports point down the layers', () => {
  const wrong = layered.flatMap(({ path, layer, text }) =>
    filesImportedBy({ path, text })
      .filter((target) => !mayImport(layer, target))
      .map((target) => `${path} imports ${target}`),
  );
  deepStrictEqual(wrong, []);
});

test('tidy: nothing imports testing', () => {
  const wrong = sources
    .filter(({ path }) => !path.startsWith('src/testing/'))
    .flatMap((file) => filesImportedBy(file).map((target) => ({ path: file.path, target })))
    .filter(({ target }) => target.startsWith('src/testing/'))
    .map(({ path, target }) => `${path} imports ${target}`);
  deepStrictEqual(wrong, []);
});

test('tidy: packages are imported by name, from those that users get too', () => {
  const [manifest] = projectFiles(/^package\.json$/);
  const { dependencies = {}, optionalDependencies = {}, peerDependencies = {} } = JSON.parse(manifest!.text);
  const known = Object.keys({ ...dependencies, ...optionalDependencies, ...peerDependencies });
  const wrong = layered.flatMap(({ path, layer, text }) =>
    importsOf(text)
      .filter((name) => !name.startsWith('.') && !name.startsWith('node:'))
      .filter((name) => !known.some((root) => name === root || name.startsWith(`${root}/`)))
      .filter(() => layer !== 'testing')
      .map((name) => `${path} imports ${name}`),
  );
  deepStrictEqual(wrong, []);
});

test('tidy L9: the system is touched behind the three doors only', () => {
  const wrong = layered
    .filter(({ layer }) => !SYSTEM_FOLDERS.includes(layer))
    .flatMap(({ path, layer, text }) => {
      const allowed = SYSTEM_FILES[path.slice('src/'.length)] ?? /$^/g;
      const lines = codeOnly(text).split('\n');
      return text.split('\n').flatMap((line, at) => {
        const isImport =
          layer !== 'testing' && /\b(from|import)\b[^']*'node:/.test(line.replace(allowed, ''));
        const isUse = SYSTEM_USE.test(lines[at]!.replace(allowed, ''));
        const isInCode = /\S/.test(lines[at]!);
        return isInCode && (isImport || isUse) ? [`${path}:${at + 1}: ${line.trim()}`] : [];
      });
    });
  deepStrictEqual(wrong, []);
});

test('tidy L9: protocols are deterministic', () => {
  const wrong = layered
    .filter(({ layer }) => layer === 'protocols')
    .flatMap(({ path, text }) => linesMatching(path, codeOnly(text), CONCURRENCY));
  deepStrictEqual(wrong, []);
});

test(`tidy: lines fit ${COLUMNS_MAX} columns`, () => {
  const wrong = code.flatMap(({ path, text }) =>
    text.split('\n').flatMap((line, at) => (line.length > COLUMNS_MAX ? [`${path}:${at + 1}`] : [])),
  );
  deepStrictEqual(wrong, []);
});

test(`tidy: files have at most ${FILE_LINES_MAX} lines`, () => {
  const wrong = code
    .map(({ path, text }) => ({ path, count: text.trimEnd().split('\n').length }))
    .filter(({ count }) => count > FILE_LINES_MAX)
    .map(({ path, count }) => `${path}: ${count}`);
  deepStrictEqual(wrong, []);
});

test(`tidy: functions have at most ${FUNCTION_LINES_MAX} lines`, () => {
  const wrong = code.flatMap(({ path, text }) =>
    functionsOf(text)
      .filter(({ lineCount }) => lineCount > FUNCTION_LINES_MAX)
      .map(({ header }) => `${path}: ${header}`),
  );
  deepStrictEqual(wrong, LONG_FUNCTIONS);
});

test('tidy: exports have names', () => {
  const wrong = projectFiles(/^(src|test|bench|examples)\/.*\.ts$/).flatMap(({ path, text }) =>
    linesMatching(path, codeOnly(text), /\bexport\s+default\b|\bexport\s+\*/),
  );
  deepStrictEqual(wrong, []);
});

test('tidy: only entry points re-export', () => {
  const wrong = sources
    .filter(({ path }) => !path.endsWith('/index.ts'))
    .flatMap(({ path, text }) => linesMatching(path, codeOnly(text), /^export\b.*\bfrom '/));
  deepStrictEqual(wrong, []);
});

test('tidy: every file is imported by another', () => {
  // A test alone keeps nothing alive in src/, except what exists for tests.
  const users = (path: string): RegExp => (path.startsWith('src/testing/') ? /./ : /^src\/(?!testing\/)/);
  const wrong = sources
    .map(({ path }) => path)
    .filter((path) => !isEntryPoint(path) && !path.endsWith('.d.ts'))
    .filter(
      (path) => !code.some((file) => users(path).test(file.path) && filesImportedBy(file).includes(path)),
    );
  deepStrictEqual(wrong, []);
});

test('tidy: no test runs alone, and one that is skipped says why', () => {
  const wrong = projectFiles(/^test\/.*\.ts$/).flatMap(({ path, text }) =>
    linesMatching(
      path,
      codeOnly(text),
      /\.only\(|\bonly: true|\b(test|it|describe|suite)\.(skip|todo)\(|\.(skip|todo)\(\)|\b(skip|todo): true/,
    ),
  );
  deepStrictEqual(wrong, []);
});

test('tidy: no file of the project holds a path of one machine', () => {
  const homes = ['work', 'farm', 'root', 'home/\\w+', 'Users/\\w+'].join('|');
  const path = new RegExp(`(^|[^A-Za-z0-9_.$}\\])])/(${homes})/`);
  const wrong = projectFiles(
    /(\.(ts|mjs|js|json|md|txt|sh|yaml|yml)|^[^.]+|(^|\/)\.[^/]+|\.ci\/run)$/,
  ).flatMap((file) => linesMatching(file.path, file.text, path));
  deepStrictEqual(wrong, []);
});

function mayImport(layer: string, target: string): boolean {
  const folder = target.split('/')[1]!;
  return folder === layer || below(layer).has(folder);
}

/** Every folder that `layer` stands on, directly or not. */
function below(layer: string): Set<string> {
  const found = new Set<string>();
  const visit = (folder: string): void => {
    for (const next of STANDS_ON[folder] ?? []) {
      if (!found.has(next)) {
        found.add(next);
        visit(next);
      }
    }
  };
  visit(layer);
  return found;
}

/** Paths from the root. A compiled `.js` and its source are the same file. */
function filesImportedBy({ path, text }: ProjectFile): string[] {
  return importsOf(text)
    .filter((name) => name.startsWith('.'))
    .map((name) =>
      posix
        .join(posix.dirname(path), name)
        .replace(/^dist\//, '')
        .replace(/\.js$/, '.ts'),
    );
}

function isEntryPoint(path: string): boolean {
  return isInternalEntry(path) || publicEntries().some(({ source }) => source === path);
}

function linesMatching(path: string, text: string, pattern: RegExp): string[] {
  return text
    .split('\n')
    .flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1}: ${line.trim()}`] : []));
}

function unique(items: readonly string[]): string[] {
  return [...new Set(items)].sort();
}
