/** `npm run example`: lists the examples, runs them, and tells by its exit code whether all of it held. */

import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT } from './support/project.ts';

function run(...words: readonly string[]): { code: number | null; lines: string[]; errors: string } {
  const program = join(ROOT, 'scripts/example.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], { encoding: 'utf8' });
  return { code: status, lines: stdout.trim().split('\n'), errors: stderr };
}

test('example: without a name they are listed, and every folder with a main program is one', () => {
  const { code, lines } = run();
  strictEqual(code, 0);
  const listed = lines.slice(1).map((line) => line.trim().split(' ')[0]);
  const folders = readdirSync(join(ROOT, 'examples')).filter((name) =>
    existsSync(join(ROOT, 'examples', name, 'main.ts')),
  );
  deepStrictEqual(listed, folders);
});

test('example: a name that there is not is an error, with the list', () => {
  const { code, lines, errors } = run('toString');
  strictEqual(code, 1);
  match(errors, /no example is called toString/);
  ok(lines.some((line) => line.startsWith('  bank')));
});

test('example: the bank loses nothing when its teller is killed', () => {
  const { code, lines, errors } = run('bank');
  const text = `${lines.join('\n')}\n${errors}`;
  strictEqual(code, 0, text);
  match(text, /was ended by SIGKILL/);
  match(text, /checkpoint of entry \d+/);
  strictEqual(lines.filter((line) => line.startsWith('   ok ')).length, 8, text);
  const [before, after, again] = lines.filter((line) => line.startsWith('   ok    root')).map(lastWord);
  ok(before !== undefined && before === after && after === again, text);
  strictEqual(lines.at(-1), 'Nothing was lost, and nothing was made up.');
});

function lastWord(line: string): string | undefined {
  return line.split(' ').at(-1);
}
