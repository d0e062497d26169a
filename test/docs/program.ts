/**
 * `ts` blocks: type-checked against the package, then run. Blocks that continue one another are one program.
 * When a line says `// prints 30`, the program prints what its lines say, in that order, and nothing else.
 */

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../support/project.ts';
import { expectOutput } from './expected-output.ts';
import type { Place } from './place.ts';

const TSC = join(ROOT, 'node_modules/typescript/bin/tsc');
const FLAGS = [
  ['--ignoreConfig', '--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes'],
  ['--module', 'nodenext', '--target', 'es2023', '--lib', 'esnext', '--types', 'node'],
  ['--moduleDetection', 'force', '--rewriteRelativeImportExtensions', '--noEmitOnError'],
].flat();

/** @param where As in `README.md:18`; the program is named after it. */
export async function runProgram(where: string, source: string, place: Place): Promise<void> {
  const name = basename(where).replace(/\W/g, '-');
  writeFileSync(join(place.cwd, `${name}.ts`), await place.withPorts(source));
  await run(where, [TSC, ...FLAGS, `${name}.ts`], place);
  place.printed = await run(where, ['--enable-source-maps', `${name}.js`], place);
  const expected = [...source.matchAll(/\/\/ prints (.*)$/gm)].map((match) => match[1]!);
  if (expected.length > 0) expectOutput(where, expected.join('\n'), place.printed);
}

async function run(where: string, args: readonly string[], { cwd, env }: Place): Promise<string> {
  try {
    return (await promisify(execFile)(process.execPath, [...args], { cwd, env: { ...env } })).stdout;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${where}:\n\n${stdout}${stderr}`, { cause: error });
  }
}
