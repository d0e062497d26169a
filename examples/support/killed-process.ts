/**
 * A process that is killed in the middle of its work. What it was answered it prints, a line for each answer:
 * what is in those lines was acknowledged, and must be there afterwards.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Report } from './report.js';

export interface KilledProcess {
  /** Path of the program without its extension, as in `new URL('./teller', import.meta.url)`. */
  readonly program: URL;
  readonly args: readonly string[];
  /** It gets SIGKILL after so many lines. */
  readonly lines: number;
}

/** Runs a program until it has printed enough, kills it, and returns the words of each whole line. */
export async function runAndKill(
  { program, args, lines }: KilledProcess,
  report: Report,
): Promise<string[][]> {
  const extension = import.meta.url.slice(import.meta.url.lastIndexOf('.'));
  const child = spawn(process.execPath, [fileURLToPath(program) + extension, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const answers: string[][] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    answers.push(line.split(' '));
    if (answers.length === lines) child.kill('SIGKILL');
  }
  const [code, signal] = (await exited) as [number | null, string | null];
  report.check('killed', `by ${signal ?? `nobody: exit code ${code}`}`, signal === 'SIGKILL');
  return answers;
}

/** The second words of the answers whose first word is `kind`. */
export function answered(answers: readonly (readonly string[])[], kind: string): Set<string> {
  return new Set(answers.filter(([first]) => first === kind).map(([, second]) => second ?? ''));
}
