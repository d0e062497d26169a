/**
 * `sh` blocks, run by bash, statement by statement. A statement is a line, with the indented lines after it.
 * What stands behind it in a comment is compared when it says so: `# prints OK`, `# exits 3`.
 *
 * A server stays in the foreground on a terminal. Here it goes on in the background, once it says that it is
 * ready; what follows it is what one would type in another terminal.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Block } from './blocks.ts';
import { expectOutput } from './expected-output.ts';
import type { Place } from './place.ts';

interface Statement {
  /** From 1, in the document. */
  readonly line: number;
  readonly command: string;
  readonly prints: string | null;
  readonly exitCode: number;
}

/** A block that hangs must not hold up the others for ever. */
const BLOCK_MS_MAX = 240_000;

const CONTINUED = /^(\s|done\b|fi\b|\})/;
const SERVER = /^(npm start|(npx )?tidemark (start|serve))\b(?!.* --help)/;

const PRELUDE = `
set -euo pipefail
# Who runs this may be killed: then nothing of it goes on.
(while kill -0 "$RUNNER" 2>&-; do sleep 1; done; kill -9 -- -$$) >/dev/null 2>&1 &
disown
foreground() {
  local log="$NOTES/server-$RANDOM"
  "$@" >"$log" 2>&1 &
  local server=$!
  until grep -qE 'ready; |"listening"' "$log"; do
    kill -0 $server || { cat "$log"; return 1; }
    sleep 0.05
  done
  cat "$log"
}
`;

/** Runs a block. @throws Error with what was printed, unless every statement did what the document says. */
export async function runShell(block: Block, place: Place): Promise<void> {
  const notes = mkdtempSync(join(place.notes, 'sh-'));
  const statements = statementsOf({ ...block, text: await place.withPorts(block.text) });
  const steps = statements.map((statement, at) => stepOf(statement, join(notes, String(at))));
  const script = join(notes, 'script');
  writeFileSync(script, `${PRELUDE}\n${steps.join('\n')}\npwd >'${join(notes, 'cwd')}'\n`);
  // A server that a document starts without a port has the usual one, which may be a user's here.
  const port = await place.withPorts('6401');
  const own = { NOTES: notes, RUNNER: String(process.pid), TIDEMARK_REDIS_PORT: port };
  const code = await runScript(script, { ...place.env, ...own }, place);
  const printed = statements.map((_statement, at) => outputIn(join(notes, String(at))));
  place.printed = printed.join('');
  if (code !== 0) throw new Error(`${block.path}:${block.line} ended with ${code}:\n\n${place.printed}`);
  place.cwd = readFileSync(join(notes, 'cwd'), 'utf8').trimEnd();
  for (const [at, { line, prints }] of statements.entries()) {
    if (prints !== null) expectOutput(`${block.path}:${line}`, prints, printed[at]!);
  }
}

/** Bash, and what it leaves running, are a process group, which is all that has to be killed. */
function runScript(script: string, env: NodeJS.ProcessEnv, place: Place): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const bash = spawn('bash', [script], {
      cwd: place.cwd,
      env,
      stdio: 'ignore',
      detached: true,
    });
    if (bash.pid !== undefined) place.processGroups.add(bash.pid);
    const tooLong = setTimeout(() => void place.killAll(), BLOCK_MS_MAX);
    bash.on('error', reject).on('exit', (code) => {
      clearTimeout(tooLong);
      resolve(code);
    });
  });
}

/** Exported for its test. */
export function statementsOf({ text, line }: Pick<Block, 'text' | 'line'>): Statement[] {
  const statements: { line: number; lines: string[] }[] = [];
  for (const [at, code] of text.split('\n').entries()) {
    if (code.trim() === '') continue;
    const last = statements.at(-1);
    if (last !== undefined && CONTINUED.test(code)) last.lines.push(code);
    else statements.push({ line: line + 1 + at, lines: [code] });
  }
  return statements.map((statement) => {
    const text = statement.lines.join('\n');
    const [command = '', comment = ''] = text.split(/ +# (?=.*$)/);
    const exits = /^exits (\d+)$/.exec(comment)?.[1];
    return {
      line: statement.line,
      command,
      prints: /^prints (.*)$/.exec(comment)?.[1] ?? null,
      exitCode: Number(exits ?? 0),
    };
  });
}

/** What bash runs for a statement. Its output goes to a file, where no program takes it for a pipe. */
function stepOf({ command, exitCode }: Statement, output: string): string {
  const run = SERVER.test(command) ? `foreground ${command}` : command;
  const checked = exitCode === 0 ? run : `set +e\n${run}\nc=$?\nset -e\n[ $c = ${exitCode} ]`;
  return `exec >'${output}' 2>&1\n${checked}`;
}

/** Without what bash itself says when a program that it started was killed. */
function outputIn(path: string): string {
  if (!existsSync(path)) return '';
  return readFileSync(path, 'utf8').replace(/^.*\/script: line \d+: +\d+ Killed .*\n/gm, '');
}
