/** The frame around every example: a directory of its own, the verdict, the exit code. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Report } from './report.js';

/**
 * Runs an example in a data directory that is removed afterwards. The exit code is 0 only if every check
 * held.
 */
export async function runExample(
  name: string,
  run: (dir: string, report: Report) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), `tidemark-${name}-`));
  const report = new Report();
  try {
    await run(join(folder, 'data'), report);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const { failures } = report;
  console.log(
    failures === 0 ? '\nNothing was lost, and nothing was made up.' : `\n${failures} checks FAILED.`,
  );
  process.exitCode = failures === 0 ? 0 : 1;
}
