/** What a running node tells programs: one JSON line for each event, and nothing else. */

import { print, printError } from './output.ts';
import type { Listening, Narrator } from './run-node.ts';

export class JsonNarrator implements Narrator {
  /** Progress is for people: a program sees `keysToLoad` and the like in the status. */
  recovering(): void {}

  listening(listening: Listening): void {
    print(JSON.stringify({ event: 'listening', ...listening, pid: process.pid }));
  }

  checkpointFailed(error: unknown): void {
    printError(error, 'json');
  }

  stopping(): void {
    print(JSON.stringify({ event: 'stopping' }));
  }

  stopped(warning: string | null): void {
    print(JSON.stringify({ event: 'stopped', ...(warning === null ? {} : { warning }) }));
  }

  failed(error: unknown): void {
    printError(error, 'json');
  }
}
