/**
 * A machine that was changed without a new version (src/engine/typed-machine.ts, replay-faults.ts): what the
 * log shows to be impossible stops the start, what is only suspicious is said.
 */

import { match, ok, rejects, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { Rejection } from '../src/engine/machine.ts';
import { table } from '../src/engine/table.ts';
import { machine } from '../src/engine/typed-machine.ts';
import { open } from '../src/node/open.ts';
import type { FileSystem } from '../src/storage/file-system.ts';
import { MemoryFileSystem } from '../src/storage/memory-file-system.ts';
import { ManualClock } from '../src/testing/manual-clock.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { assertUnchanged, diskFrom, readDisk } from './support/disk-bytes.ts';
import { DATA_DIR } from './support/test-log.ts';

const tables = { counts: table<number>() };

const adding = machine({
  name: 'counter',
  tables,
  commands: {
    add({ counts }, by: number) {
      if (by < 0) throw new Rejection('only upwards');
      counts.set('n', (counts.get('n') ?? 0) + by);
    },
  },
  queries: { n: ({ counts }) => counts.get('n') ?? 0 },
});

let seeds = 0;

function doors(fs: FileSystem) {
  return { fs, clock: new ManualClock(), chance: new SeededRandom(++seeds) };
}

/** A directory with three additions and a rejection, as a killed process leaves it. */
async function killed(): Promise<MemoryFileSystem> {
  const fs = new MemoryFileSystem();
  const node = await open({ machine: adding, dir: DATA_DIR, doors: doors(fs) });
  for (const by of [5, 5, 5]) await node.submit('add', by);
  await rejects(node.submit('add', -1), Rejection);
  const files = await readDisk(fs, DATA_DIR);
  await node.close();
  return diskFrom(files);
}

test('changed machine: a command of the log that it lacks stops the start, and nothing changes', async () => {
  const fs = await killed();
  const before = await readDisk(fs, DATA_DIR);
  const renamed = machine({
    name: 'counter',
    tables,
    commands: { plus: ({ counts }, by: number) => counts.set('n', by) },
  });
  await rejects(open({ machine: renamed, dir: DATA_DIR, doors: doors(fs) }), (error: Error) => {
    match(
      error.message,
      /^entry 1 has the command add, which version 1 of the machine counter .* `previous`$/,
    );
    strictEqual((error as Error & { code: string }).code, 'TIDEMARK_VERSION_MISSING');
    return true;
  });
  await assertUnchanged(fs, DATA_DIR, before);
  await using again = await open({ machine: adding, dir: DATA_DIR, doors: doors(fs) });
  strictEqual(await again.query('n'), 15);
});

test('changed machine: errors of a replay that are no rejections are told, rejections are not', async () => {
  await using same = await open({ machine: adding, dir: DATA_DIR, doors: doors(await killed()) });
  ok(!same.recovery.warnings.some((warning) => /no Rejection/.test(warning)));
  const throwing = machine({
    name: 'counter',
    tables: { counts: table<{ n: number }>() },
    commands: {
      add: ({ counts }, by: number) => counts.set('n', { n: counts.get('n')!.n + by }),
    },
  });
  await using other = await open({ machine: throwing, dir: DATA_DIR, doors: doors(await killed()) });
  const told = other.recovery.warnings.filter((warning) => /no Rejection/.test(warning));
  strictEqual(told.length, 1);
  match(
    told[0]!,
    /^4 commands of the log threw .* \(command 1 of entry 1: TypeError: .*without a new version/,
  );
});
