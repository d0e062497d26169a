/** A damaged log, as recovery and `verify` must both take it: refused, explained, and not touched. */

import { ok, strictEqual } from 'node:assert';
import { type ErrorFacts, isTidemarkError, TidemarkError } from '../../src/base/errors.ts';
import { toTerm, toTimeline } from '../../src/base/positions.ts';
import { readLog } from '../../src/log/read-log.ts';
import type { Status } from '../../src/log/status-content.ts';
import { NO_SERVICE } from '../../src/log/status-content.ts';
import type { LogFinding } from '../../src/log/verify-segment.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { assertUnchanged, type DiskBytes, diskFrom, readDisk } from './disk-bytes.ts';
import { DATA_DIR, IDENTITY, type StatusFields, TestLog } from './test-log.ts';

/** Opens a copy of `disk`, which must be refused; returns the error. */
export async function refused(disk: DiskBytes, status: StatusFields): Promise<TidemarkError> {
  const fs = await diskFrom(disk);
  return refusedOn(fs, fs, status);
}

/** Opens through `fs` what `inner` holds. */
export async function refusedOn(
  fs: FileSystem,
  inner: FileSystem,
  status: StatusFields,
): Promise<TidemarkError> {
  const before = await readDisk(inner, DATA_DIR);
  const made = new TestLog({ fs, status: { ...status } });
  const error = await made.open().then(
    () => new Error('it was opened'),
    (thrown: Error) => thrown,
  );
  ok(error instanceof TidemarkError, `it is refused: ${error.stack}`);
  await assertUnchanged(inner, DATA_DIR, before);
  return error;
}

/** Refused as damage, with the given facts; and `verify` finds damage too. */
export async function refusedAsDamage(
  disk: DiskBytes,
  status: StatusFields,
  facts: ErrorFacts = {},
): Promise<TidemarkError> {
  const error = await refused(disk, status);
  strictEqual(error.code, 'TIDEMARK_LOG_DAMAGED', error.message);
  strictEqual(error.remedy, 'restore', 'the exit code of `tidemark start` is 4');
  for (const [name, value] of Object.entries(facts))
    strictEqual(error.facts[name], value, `${name}: ${error}`);
  ok(error.message.includes('Nothing was changed'));
  strictEqual((await verdictOf(disk, status)).verdict, 'damage', 'verify agrees');
  return error;
}

/** What `verify` makes of a log: `damage` is exit code 4, whether found or thrown. */
export async function verdictOf(
  disk: DiskBytes,
  status: StatusFields,
): Promise<{ verdict: 'whole' | 'damage' | 'refused'; findings: LogFinding[] }> {
  const fs = await diskFrom(disk);
  const findings: LogFinding[] = [];
  try {
    await readLog(fs, DATA_DIR, fullStatus(status), { finding: (finding) => findings.push(finding) });
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return { verdict: error.remedy === 'restore' ? 'damage' : 'refused', findings };
  } finally {
    await assertUnchanged(fs, DATA_DIR, disk);
  }
  return { verdict: findings.some(({ kind }) => kind === 'damage') ? 'damage' : 'whole', findings };
}

export function fullStatus(status: StatusFields): Status {
  return {
    ...IDENTITY,
    ...status,
    machine: { name: 'test', version: 1 },
    earlierVersions: [],
    timeline: toTimeline(1),
    term: toTerm(0),
    view: 0,
    vote: 0,
    membership: [{ id: 1, role: 'voter' }],
    installing: null,
    service: NO_SERVICE,
  };
}
