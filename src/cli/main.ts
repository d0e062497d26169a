/** The command line: verbs, options, exit codes. One file per verb beside this one. */

import { readFileSync } from 'node:fs';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { EXIT_CODES, exitCodeOf } from './exit-code.ts';
import { printError } from './output.ts';

/** Runs one verb; resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  stopOnWhatNobodyCaught();
  let code: number = EXIT_CODES.done;
  const program = buildProgram((result) => {
    code = result;
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.done : EXIT_CODES.usage;
    printError(error, args.includes('--json') ? 'json' : 'text');
    return exitCodeOf(error);
  }
}

function buildProgram(done: (code: number) => void): Command {
  const program = new Command('tidemark')
    .description('Brings state back: a key-value database on a log that survives crashes and damaged disks.')
    .version(packageVersion())
    .exitOverride()
    .showHelpAfterError('(tidemark --help shows the verbs and options)')
    .addHelpText(
      'after',
      '\nExit codes: 0 done, 1 wrong call, 2 try again, 3 repair, 4 restore from a copy, 5 bug.',
    );
  addStart(program, done);
  addCheckpoint(program, done);
  addInspect(program, done);
  addVerify(program, done);
  return program;
}

function addStart(program: Command, done: (code: number) => void): void {
  program
    .command('start')
    .description('start a node with a Redis port; makes the data directory when there is none')
    .option('--dir <path>', 'data directory; memory: keeps everything in memory', './data')
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <number>', 'port of the Redis protocol; 0 takes a free one', parsePort, 6401)
    .option('--segment-bytes <number>', 'size of a log segment; two more are kept in reserve', parseCount)
    .option('--json', 'print one JSON line per event', false)
    .addHelpText(
      'after',
      '\nExample:\n  tidemark start --dir ./data --port 6401\n  redis-cli -p 6401 SET greeting hello',
    )
    .action(
      async (options: { dir: string; host: string; port: number; segmentBytes?: number; json: boolean }) => {
        const { start } = await import('./start.ts');
        done(await start(options));
      },
    );
}

function addCheckpoint(program: Command, done: (code: number) => void): void {
  program
    .command('checkpoint [dir]')
    .description('take a checkpoint: of the running node at --port, or of a stopped one in its directory')
    .option('--host <address>', 'where the node listens', '127.0.0.1')
    .option('--port <number>', 'its port of the Redis protocol', parsePort, 6401)
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', '\nExamples:\n  tidemark checkpoint --port 6401\n  tidemark checkpoint ./data')
    .action(async (dir: string | undefined, options: { host: string; port: number; json: boolean }) => {
      const { checkpoint } = await import('./checkpoint.ts');
      done(await checkpoint(dir ?? null, options));
    });
}

function addInspect(program: Command, done: (code: number) => void): void {
  const inspect = program
    .command('inspect')
    .description('show what is on the disk; reads only, needs no running node');
  inspect
    .command('log <dir>')
    .description('list the entries and segments of the log')
    .option('--first <index>', 'first entry to list', parseCount, 1)
    .option('--last <index>', 'last entry to list', parseCount, Number.MAX_SAFE_INTEGER)
    .option('--commands', 'print every command: whole, or its size where only the machine can read it', false)
    .option('--json', 'print one JSON document, a line per entry', false)
    .addHelpText('after', '\nExample:\n  tidemark inspect log ./data --first 100 --last 110 --commands')
    .action(
      async (dir: string, options: { first: number; last: number; commands: boolean; json: boolean }) => {
        const { inspectLog } = await import('./inspect.ts');
        done(await inspectLog(dir, options));
      },
    );
  inspect
    .command('checkpoint <dir>')
    .description('list the checkpoints: root, bytes, nodes, pauses, the files each needs')
    .option('--json', 'print one JSON document', false)
    .addHelpText('after', '\nExample:\n  tidemark inspect checkpoint ./data')
    .action(async (dir: string, options: { json: boolean }) => {
      const { inspectCheckpoint } = await import('./inspect.ts');
      done(await inspectCheckpoint(dir, options.json));
    });
  inspect
    .command('status <dir>')
    .description('show the hard state of the node and its copies')
    .option('--json', 'print one JSON document', false)
    .action(async (dir: string, options: { json: boolean }) => {
      const { inspectStatus } = await import('./inspect.ts');
      done(await inspectStatus(dir, options.json));
    });
}

function addVerify(program: Command, done: (code: number) => void): void {
  program
    .command('verify <dir>')
    .description('read everything in a data directory and check it; changes nothing')
    .option('--json', 'print one JSON document', false)
    .addHelpText(
      'after',
      '\nExit code 0 when all is whole; 3 when something is damaged and a start still brings back ' +
        'everything acknowledged; 4 when it does not.',
    )
    .action(async (dir: string, options: { json: boolean }) => {
      const { verify } = await import('./verify.ts');
      done(await verify(dir, options.json));
    });
}

function parsePort(text: string): number {
  const port = parseCount(text);
  if (port > 65_535) throw new InvalidArgumentError('a port is at most 65535');
  return port;
}

function parseCount(text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new InvalidArgumentError(`${text} is not a whole number`);
  return Number(text);
}

function packageVersion(): string {
  const url = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(url, 'utf8')) as { version: string }).version;
}

/** A promise nobody waits for is a bug, and a node with a bug stops before it writes (checklist L1, L8). */
function stopOnWhatNobodyCaught(): void {
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => {
      printError(error, 'text');
      process.exit(exitCodeOf(error));
    });
  }
  // `tidemark inspect log d | head` closes the pipe: that ends the listing, and is no failure.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT_CODES.done);
    throw error;
  });
}
