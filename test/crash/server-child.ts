/**
 * The server as a process to kill: the real command line, which says when its modules are loaded, so that a
 * kill can aim at recovery itself and not at Node's own start.
 */

import { writeSync } from 'node:fs';
import '../../src/cli/json-narrator.ts';
import '../../src/cli/start.ts';
import { main } from '../../src/cli/main.ts';

writeSync(1, `${JSON.stringify({ event: 'loaded' })}\n`);
process.exitCode = await main(process.argv.slice(2));
