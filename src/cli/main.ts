/** The command line as a process: runs one verb (program.ts), tells failures, and ends with an exit code. */

import { CommanderError } from 'commander';
import { TidemarkError } from '../base/errors.ts';
import { DIFF_EXIT_CODES, EXIT_CODES, exitCodeOf } from './exit-code.ts';
import { printError } from './output.ts';
import { buildProgram } from './program.ts';

/** Runs one verb; resolves with the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  stopOnWhatNobodyCaught();
  const format = args.includes('--json') ? 'json' : 'text';
  let code: number = EXIT_CODES.done;
  const program = buildProgram({
    done(result) {
      code = result;
    },
    // One JSON document instead: see below.
    ...(format === 'json' ? { writeUsageError: () => undefined } : {}),
  });
  try {
    await program.parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    if (!(error instanceof CommanderError)) {
      printError(error, format);
      return exitCodeOf(error);
    }
    if (error.exitCode === 0) return EXIT_CODES.done;
    if (format === 'json') printError(usageError(error), format);
    return args[0] === 'diff' ? DIFF_EXIT_CODES.trouble : EXIT_CODES.usage;
  }
}

function usageError(error: CommanderError): TidemarkError {
  const message = error.message.replace(/^error: /, '').replace(/\n/g, ' ');
  return new TidemarkError('TIDEMARK_OPTION_INVALID', message, { remedy: 'fix-call', cause: error });
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
