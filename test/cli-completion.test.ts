/**
 * Shell completion (src/cli/completion). Goal: what the shell offers is what the program knows, at every
 * place of it. Method: bash itself loads the script and completes; the other shells' scripts are held against
 * the same list of places.
 */

import { deepStrictEqual, match, ok, strictEqual } from 'node:assert';
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { bashScript } from '../src/cli/completion/bash.ts';
import { completionsOf } from '../src/cli/completion/completions.ts';
import { fishScript } from '../src/cli/completion/fish.ts';
import { zshScript } from '../src/cli/completion/zsh.ts';
import { CONFIG_KEYS } from '../src/cli/config/keys.ts';
import { buildProgram } from '../src/cli/program.ts';
import { tidemark } from './support/tidemark.ts';

const places = completionsOf(buildProgram({ done: () => undefined }));
const keys = [...CONFIG_KEYS.keys()];

/** Completes the last word, which may be empty, as TAB would. */
const COMPLETE = `
source "$1"; shift
COMP_WORDS=(tidemark "$@"); COMP_CWORD=$#
_tidemark
printf '%s\\n' "\${COMPREPLY[@]}"
`;

async function completing(): Promise<{
  readonly folder: string;
  readonly complete: (...words: readonly string[]) => string[];
  readonly end: () => Promise<void>;
}> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-completion-'));
  const script = join(folder, 'tidemark.bash');
  await writeFile(script, bashScript(places, keys));
  return {
    folder,
    complete: (...words) =>
      execFileSync('bash', ['--norc', '-c', COMPLETE, 'bash', script, ...words], { encoding: 'utf8' })
        .split('\n')
        .filter((word) => word !== ''),
    end: () => rm(folder, { recursive: true, force: true }),
  };
}

test('completion: bash completes verbs, options and values', async (t) => {
  const { folder, complete, end } = await completing();
  t.after(end);
  deepStrictEqual(complete('st'), ['start', 'status']);
  deepStrictEqual(complete('inspect', ''), ['log', 'checkpoint', 'status', '--help']);
  deepStrictEqual(complete('inspect', 'log', '--'), ['--first', '--last', '--commands', '--json', '--help']);
  deepStrictEqual(complete('start', '--dir', './data', '--po'), ['--port']);
  deepStrictEqual(complete('completion', ''), ['bash', 'zsh', 'fish', '--json', '--help']);
  deepStrictEqual(complete('serve', '--set', 'redis.pa'), ['redis.password=', 'redis.passwordFile=']);
  deepStrictEqual(complete('status', '--port', ''), []);
  await writeFile(join(folder, 'with space.yaml'), '');
  const paths = [join(folder, 'tidemark.bash'), join(folder, 'with space.yaml')];
  deepStrictEqual(complete('serve', '--config', `${folder}/`).sort(), paths);
  deepStrictEqual(complete('verify', `${folder}/with`), [join(folder, 'with space.yaml')]);
});

test('completion: bash offers everything there is, at every place', async (t) => {
  const { complete, end } = await completing();
  t.after(end);
  for (const { place, words, options } of places) {
    const typed = place.split('/').slice(1);
    const offered = new Set([...complete(...typed, ''), ...complete(...typed, '-')]);
    const missing = [...words, ...options].filter(({ word }) => !offered.has(word));
    // Where a path may stand, the empty word completes to paths.
    deepStrictEqual(
      missing.map(({ word }) => word),
      [],
      place,
    );
  }
});

test('completion: the scripts for zsh and fish name every verb and option', () => {
  const [zsh, fish] = [zshScript(places, keys), fishScript(places, keys)];
  for (const { place, words, options } of places) {
    const ofPlace = zsh.split('\n').find((line) => line.includes(`'${place}') verbs=`)) ?? '';
    for (const { word } of [...words, ...options]) ok(ofPlace.includes(`'${word}:`), `${place} ${word}`);
    for (const { word } of words) ok(fish.includes(`at "${place}"' -a ${word} -d`), `${place} ${word}`);
    for (const { word } of options)
      ok(fish.includes(`at "${place}"' -l ${word.slice(2)} `), `${place} ${word}`);
  }
});

test('completion: the verb prints the script', async () => {
  const { code, out } = await tidemark('completion', 'bash');
  deepStrictEqual([code, out], [0, bashScript(places, keys)]);
  const asJson = await tidemark('completion', 'fish', '--json');
  const { shell, script } = JSON.parse(asJson.out) as { shell: string; script: string };
  strictEqual(shell, 'fish');
  match(script, /^# fish completion of tidemark\n/);
});
