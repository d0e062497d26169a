/** The command line as a shell runs it: the real launcher in a process of its own. */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { TestContext } from 'node:test';
import { ROOT } from './project.ts';

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const LAUNCHER = join(ROOT, 'bin/tidemark.mjs');

type Variables = Readonly<Record<string, string>>;

/** Ours without what asks for colours: the test runner does, when its own output is a terminal. */
function environment(variables: Variables): NodeJS.ProcessEnv {
  const { FORCE_COLOR: _, ...plain } = process.env;
  return { ...plain, ...variables };
}

/** Runs a verb to its end. */
export function tidemark(...args: readonly string[]): Promise<Ran> {
  return tidemarkWith({}, ...args);
}

/** With variables besides those of the test. */
export function tidemarkWith(variables: Variables, ...args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(process.execPath, [LAUNCHER, ...args], { env: environment(variables) }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

export interface Running {
  readonly child: ChildProcess;
  /** The next line of standard output; null at its end. */
  nextLine(): Promise<string | null>;
  /** Its exit code, and all that it printed besides the lines that were taken. */
  ended(): Promise<Ran>;
}

/** Starts a verb that runs until it is stopped; it is killed with the test at the latest. */
export function startTidemark(t: TestContext, variables: Variables, ...args: readonly string[]): Running {
  const child = spawn(process.execPath, [LAUNCHER, ...args], {
    env: environment(variables),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  t.after(() => child.kill('SIGKILL'));
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string | null> => {
    const line = await lines.next();
    return line.done === true ? null : line.value;
  };
  const exit = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
  return {
    child,
    nextLine,
    async ended() {
      const rest: string[] = [];
      for (let line = await nextLine(); line !== null; line = await nextLine()) rest.push(line);
      return { code: await exit, out: rest.join('\n'), err };
    },
  };
}
