/** `npm run example`: runs the examples, lists them, and tells by its exit code whether all of it held. */

import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { projectFiles, ROOT } from './support/project.ts';

const CONCLUSION = 'Nothing was lost, and nothing was made up.';
const MACHINE_LINES_MAX = 80;

function run(...words: readonly string[]): { code: number | null; lines: string[]; errors: string } {
  const program = join(ROOT, 'scripts/example.mjs');
  const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...words], { encoding: 'utf8' });
  return { code: status, lines: stdout.trim().split('\n'), errors: stderr };
}

test('example: without a name the bank runs, and the others are listed', () => {
  const { code, lines, errors } = run();
  strictEqual(code, 0, `${lines.join('\n')}\n${errors}`);
  ok(lines.includes(CONCLUSION));
  deepStrictEqual(
    lines.flatMap((line) => /^  ([\w-]+)  /.exec(line)?.[1] ?? []),
    folders().filter((name) => name !== 'bank'),
  );
});

test('example: a name that there is not is an error, with the list', () => {
  const { code, lines, errors } = run('toString');
  strictEqual(code, 1);
  match(errors, /no example is called toString/);
  deepStrictEqual(
    lines.flatMap((line) => /^  ([\w-]+)  /.exec(line)?.[1] ?? []),
    folders(),
  );
});

test('example: the bank loses nothing when its teller is killed', () => {
  const { code, lines, errors } = run('bank');
  const text = `${lines.join('\n')}\n${errors}`;
  strictEqual(code, 0, text);
  match(text, /checkpoint of entry \d+/);
  strictEqual(lines.filter((line) => line.startsWith('   ok ')).length, 9, text);
  const [before, after, again] = lines.filter((line) => line.startsWith('   ok    root')).map(lastWord);
  ok(before !== undefined && before === after && after === again, text);
  strictEqual(lines.at(-1), CONCLUSION);
});

test('example: what a bad deploy deleted is back, and nothing else is lost', () => {
  const { code, lines, errors } = run('rewind');
  const text = `${lines.join('\n')}\n${errors}`;
  strictEqual(code, 0, text);
  strictEqual(lines.filter((line) => line.startsWith('   ok ')).length, 7, text);
  strictEqual(lines.at(-1), 'Nothing else was lost.');
});

for (const { name, checks } of [
  { name: 'job-queue', checks: 7 },
  { name: 'leader-board', checks: 9 },
  { name: 'rate-limiter', checks: 9 },
  { name: 'transfer', checks: 12 },
]) {
  test(`example: ${name} loses nothing when its process is killed`, () => {
    const { code, lines, errors } = run(name);
    const text = `${lines.join('\n')}\n${errors}`;
    strictEqual(code, 0, text);
    strictEqual(lines.filter((line) => line.startsWith('   ok ')).length, checks, text);
    strictEqual(lines.at(-1), CONCLUSION);
  });
}

test('example: machines are short enough to read', () => {
  const long = projectFiles(/^examples\/[\w-]+\/machine\.ts$/)
    .filter(({ text }) => text.trimEnd().split('\n').length > MACHINE_LINES_MAX)
    .map(({ path }) => path);
  deepStrictEqual(long, []);
});

/** Every folder with a main program is an example. */
function folders(): string[] {
  return readdirSync(join(ROOT, 'examples')).filter((name) =>
    existsSync(join(ROOT, 'examples', name, 'main.ts')),
  );
}

function lastWord(line: string): string | undefined {
  return line.split(' ').at(-1);
}
