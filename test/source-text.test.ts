/**
 * The readers behind the tidy tests (test/support/source-text.ts). Goal: a tidy test that passes because it
 * sees nothing would be worse than none. Method: samples of what each must notice, and of what it must not.
 */

import { deepStrictEqual, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { codeOnly, functionsOf, importsOf } from './support/source-text.ts';

for (const { name, text, want } of [
  { name: 'line comment', text: 'a; // Date\nb;', want: 'a;        \nb;' },
  { name: 'block comment', text: 'a /* Date\n * x */ b', want: 'a        \n        b' },
  { name: 'strings', text: `f('it\\'s', "// no")`, want: `f('     ', "     ")` },
  { name: 'template', text: 'f(`Date ${Date.now({})} }`)', want: 'f(        Date.now({})    )' },
  { name: 'pattern', text: "x = /'[/]\\/Date/g; b", want: 'x =             g; b' },
  { name: 'division', text: "a / b; 'x' / 2", want: "a / b; ' ' / 2" },
]) {
  test(`source text: ${name}`, () => strictEqual(codeOnly(text), want));
}

test('source text: imports of every form, and none from comments', () => {
  const text = [
    "import { a } from './a.ts';",
    "import type { B } from '../b/b.ts';",
    "import 'c';",
    "export { d } from 'node:d';",
    "const e = await import('./e.ts');",
    "// import { f } from './f.ts';",
    'const g = "import { f } from \'./f.ts\'";',
  ].join('\n');
  deepStrictEqual(importsOf(text), ['./a.ts', '../b/b.ts', 'c', 'node:d', './e.ts']);
});

test('source text: functions, methods and arrow functions have a length', () => {
  const text = [
    'export function f(',
    '  a: number,',
    '): Promise<{ b: number }> {',
    '  if (a) {',
    '    g(',
    '      a,',
    '    );',
    '  }',
    '}',
    'class C {',
    '  async #m(a: number): Promise<void> {',
    '    await a;',
    '  }',
    '  get(): void;',
    '}',
    'const h = (a: number) => {',
    "  throw new Error('}');",
    '};',
  ].join('\n');
  deepStrictEqual(
    functionsOf(text).map(({ firstLine, lineCount }) => [firstLine, lineCount]),
    [
      [1, 9],
      [11, 3],
      [16, 3],
    ],
  );
});
