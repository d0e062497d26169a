/** How a process that is about to be killed says what it was answered. */

import { writeSync } from 'node:fs';

/**
 * Prints a line, and returns when it has left the process. `console.log` may keep lines back while the reader
 * is slow, and SIGKILL takes those along.
 */
export function say(line: string): void {
  writeSync(1, `${line}\n`);
}
