/**
 * How long the command line takes to start, beside a Node process that does nothing: from a checkout, where
 * it looks whether anything must be compiled, and from the package as users get it.
 *
 *     npm run bench cli-start                  20 rounds
 *     npm run bench cli-start -- --json
 *
 * The runs of a round alternate, so that whatever else the machine does hits all of them. The goal is 1.5
 * times the empty process and 60 ms.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import { median } from './percentile.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ROUNDS = 20;

/** Port 1 is reserved, and nobody listens there: what is measured is the way to the first byte. */
const VERBS = [['--version'], ['--help'], ['status', '--port', '1']];

interface Measured {
  readonly name: string;
  readonly args: readonly string[];
  readonly times: number[];
}

const { values: options } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const folder = mkdtempSync(join(tmpdir(), 'tidemark-cli-start-'));
try {
  report(measure(unpackPackage()));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** The launcher of the package, beside the dependencies of the checkout. */
function unpackPackage(): string {
  const pack = ['pack', '--ignore-scripts', '--silent', '--pack-destination', folder];
  const archive = execFileSync('npm', pack, { cwd: ROOT, encoding: 'utf8' }).trim();
  execFileSync('tar', ['-xzf', archive], { cwd: folder });
  symlinkSync(join(ROOT, 'node_modules'), join(folder, 'package/node_modules'));
  return join(folder, 'package/bin/tidemark.mjs');
}

function measure(packaged: string): Measured[] {
  const places = { checkout: join(ROOT, 'bin/tidemark.mjs'), package: packaged };
  const all: Measured[] = [{ name: 'node -e 0', args: ['-e', '0'], times: [] }];
  for (const [place, launcher] of Object.entries(places)) {
    for (const verb of VERBS)
      all.push({ name: `${verb[0]} (${place})`, args: [launcher, ...verb], times: [] });
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const { args, times } of all) {
      const began = performance.now();
      spawnSync(process.execPath, args, { stdio: 'ignore' });
      times.push(performance.now() - began);
    }
  }
  return all;
}

function report(all: readonly Measured[]): void {
  const medians = all.map(({ name, times }) => ({ name, ms: median(times) }));
  const goalMs = 1.5 * (medians[0]?.ms ?? 0) + 60;
  if (options.json) {
    console.log(JSON.stringify({ surroundings: surroundings(), rounds: ROUNDS, goalMs, medians }));
    return;
  }
  console.log(describeSurroundings(surroundings()));
  const rows = medians.map(({ name, ms }) => [name, ms.toFixed(1).padStart(6)]);
  console.log(table([['start of', 'ms, median'], ...rows]));
  console.log(`the goal: at most ${goalMs.toFixed(1)} ms`);
}
