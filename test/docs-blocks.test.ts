/**
 * What runs the documents (test/docs/). Goal: a block that does not do what its document says fails, and no
 * block is overlooked. Method: small documents, run by the same code.
 */

import { deepStrictEqual, rejects, strictEqual, throws } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, suite, test } from 'node:test';
import { blocksOf, groupsOf } from './docs/blocks.ts';
import { expectOutput } from './docs/expected-output.ts';
import { printReply } from './docs/redis-reply.ts';
import { runGroup } from './docs/run-group.ts';
import { statementsOf } from './docs/shell.ts';
import { ownRedisCli, Surroundings } from './docs/surroundings.ts';

function documentOf(...parts: readonly string[]): { path: string; text: string } {
  return { path: 'a.md', text: parts.join('\n') };
}

for (const { name, text, message } of [
  { name: 'a block without a language', text: '```\nx\n```', message: /a block is one of ts, sh/ },
  { name: 'a language that nobody runs', text: '```js\nx\n```', message: /a block is one of ts, sh/ },
  { name: 'a block without an end', text: '```ts\nx', message: /the block has no end/ },
  { name: 'a block in a list', text: '- x\n  ```ts\n  x\n  ```', message: /a fence is three backquotes/ },
  { name: 'a mark above nothing', text: '<!-- run: continues -->\n\n```ts\n```', message: /nothing to run/ },
  {
    name: 'a mark that nobody knows',
    text: '<!-- run: maybe -->\n```ts\n```',
    message: /run a block "maybe"/,
  },
]) {
  test(`docs: ${name} is an error`, () => {
    throws(() => blocksOf(documentOf(text)), message);
  });
}

test('docs: blocks that continue run in the place of the one before', () => {
  const text =
    '```sh\na\n```\n```console\nb\n```\n```text\na drawing\n```\n' +
    '<!-- run: continues, file c.ts -->\n```ts\n```\n```ts\n```\n' +
    '<!-- run: never, it would end the world -->\n```sh\n```\n';
  const groups = groupsOf(documentOf(text));
  deepStrictEqual(
    groups.map(({ name, blocks }) => [name, blocks.map(({ language }) => language)]),
    [
      ['a.md:1', ['sh', 'console', 'ts']],
      ['a.md:13', ['ts']],
    ],
  );
  throws(() => groupsOf(documentOf('<!-- run: continues -->', '```ts', '```')), /nothing runs before it/);
});

test('docs: a statement is a line with what is indented below, and says what it prints', () => {
  const text = 'tidemark verify x   # exits 4\nuntil a; do\n  b\ndone\n\necho "#1"  # prints #1\nc # why\n';
  deepStrictEqual(
    statementsOf({ text, line: 7 }).map(({ line, command, prints, exitCode }) => [
      line,
      command,
      prints,
      exitCode,
    ]),
    [
      [8, 'tidemark verify x', null, 4],
      [9, 'until a; do\n  b\ndone', null, 0],
      [13, 'echo "#1"', '#1', 0],
      [14, 'c', null, 0],
    ],
  );
});

for (const { expected, printed, holds } of [
  { expected: 'a\nb', printed: '\na  \nb\n\n', holds: true },
  { expected: 'a', printed: 'a\nb', holds: false },
  { expected: 'a … c.', printed: 'a b c.', holds: true },
  { expected: 'a … c.', printed: 'a b\nc.', holds: false },
  { expected: 'a\n…', printed: 'a\nb\nc', holds: true },
  { expected: '…\nc', printed: 'a\nb', holds: false },
  { expected: 'a.c', printed: 'abc', holds: false },
]) {
  test(`docs: ${JSON.stringify(printed)} is ${holds ? '' : 'not '}${JSON.stringify(expected)}`, () => {
    if (holds) expectOutput('here', expected, printed);
    else throws(() => expectOutput('here', expected, printed), /here says that this is printed/);
  });
}

for (const { reply, terminal, raw } of [
  { reply: '+OK\r\n', terminal: 'OK', raw: 'OK' },
  { reply: '-ERR no\r\n', terminal: '(error) ERR no', raw: 'ERR no\n' },
  { reply: ':7\r\n', terminal: '(integer) 7', raw: '7' },
  { reply: '$3\r\n"\r\n\r\n', terminal: '"\\"\\r\\n"', raw: '"\r\n' },
  { reply: '$-1\r\n', terminal: '(nil)', raw: '' },
  { reply: '*0\r\n', terminal: '(empty array)', raw: '' },
  {
    reply: '*3\r\n$1\r\na\r\n*2\r\n:1\r\n:2\r\n+x\r\n',
    terminal: '1) "a"\n2) 1) (integer) 1\n   2) (integer) 2\n3) x',
    raw: 'a\n1\n2\nx',
  },
]) {
  test(`docs: a reply is printed as ${JSON.stringify(terminal)}`, () => {
    strictEqual(printReply(reply, 'terminal'), terminal);
    strictEqual(printReply(reply, 'raw'), raw);
  });
}

suite('docs: what is wrong is noticed', () => {
  let surroundings: Surroundings;
  before(async () => {
    surroundings = await Surroundings.make();
  });
  after(() => surroundings.remove());

  for (const { name, lines, message } of [
    { name: 'a type', lines: ['```ts', 'const a: string = 1;', '```'], message: /not assignable to type/ },
    { name: 'a name', lines: ['```ts', "import { opne } from 'tidemark';", '```'], message: /opne/ },
    { name: 'a program', lines: ['```ts', "throw new Error('no');", '```'], message: /Error: no/ },
    {
      name: 'what is printed',
      lines: ['```ts', 'console.log(1); // prints 2', '```'],
      message: /a\.md:1 says/,
    },
    { name: 'a command', lines: ['```sh', 'true', 'tidemark verify ./none', '```'], message: /ended with 1/ },
    {
      name: 'what it prints',
      lines: ['```sh', 'echo 1', 'echo 1  # prints 2', '```'],
      message: /a\.md:3 says/,
    },
    { name: 'an exit code', lines: ['```sh', 'true  # exits 3', '```'], message: /ended with 1/ },
    { name: 'a server', lines: ['```sh', 'tidemark start --dir /dev/null', '```'], message: /ended with 1/ },
    {
      name: 'a file',
      lines: ['<!-- run: file a.ts -->', '```ts', '```'],
      message: /nothing runs the file a/,
    },
    { name: 'data', lines: ['```json', '{ a: 1 }', '```'], message: /JSON/ },
  ]) {
    test(`docs: ${name}`, async () => {
      const [group] = groupsOf(documentOf(...lines));
      await rejects(runGroup(group!, surroundings), message);
    });
  }

  test('docs: a server that a block leaves behind is gone after the group', async () => {
    const file = join(surroundings.scratch, 'pid');
    const [group] = groupsOf(documentOf('```sh', 'tidemark start', `echo $! >${file}`, '```'));
    await runGroup(group!, surroundings);
    const pid = Number(readFileSync(file, 'utf8'));
    throws(() => process.kill(pid, 0), /ESRCH/);
  });

  test('docs: a machine without redis-cli has one that prints as it does', async () => {
    const words = ['SET a 1', 'GET a', 'STRLEN a', 'MGET a b', 'TYPE a', 'KEYS b', 'LPUSH a', 'GET b'];
    const run = (program: string, file: string): string[] =>
      ['--raw', '--no-raw'].flatMap((flag) =>
        words.map((command) => `${program} ${flag} -p 6401 ${command} >>${file}`),
      );
    const lines = [...run('redis-cli', 'theirs'), ...run(ownRedisCli().join(' '), 'own')];
    const [group] = groupsOf(documentOf('```sh', 'tidemark start', ...lines, 'diff theirs own', '```'));
    await runGroup(group!, surroundings);
  });
});
