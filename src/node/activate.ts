/**
 * Brings a directory to the machine version of the program, at the end of the recovery: one version after the
 * other, each in an entry of its own, before anybody is served.
 *
 * Steps for each version:
 *  1. A checkpoint: a start after the activation need not go back before it.
 *  2. The migration is tried on the state, and taken back. When it throws, nothing was written.
 *  3. The activation is appended to the log. It counts once it is durable.
 *  4. It is applied, like any entry.
 *  5. The status learns of it.
 *
 * A crash before 3 is durable leaves the old version active, and the next start begins again. After a crash
 * behind it, the next start replays the activation and does 5. Both end in the same state.
 */

import { assert } from '../base/assert.ts';
import { TidemarkError } from '../base/errors.ts';
import { type Index, nextIndex } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import { encodeActivation } from '../engine/activation.ts';
import type { Engine } from '../engine/engine.ts';
import type { Machine } from '../engine/machine.ts';
import type { StatusFile } from '../log/status.ts';
import { EARLIER_VERSIONS_MAX, type EarlierVersion } from '../log/status-content.ts';
import type { EntryLog, OwnEntries } from './own-entries.ts';

export interface ActivationParts {
  readonly engine: Engine;
  readonly log: EntryLog;
  readonly own: OwnEntries;
  readonly status: StatusFile;
  readonly clock: Clock;
  /** Resolves when a checkpoint of the state as it is now is durable, if it has any entry. */
  readonly takeCheckpoint: () => Promise<void>;
}

/**
 * Activates every version up to the program's own.
 * @throws TidemarkError TIDEMARK_MIGRATION_FAILED, TIDEMARK_OPTION_INVALID when the log needs too many
 *   versions; and what keeps a checkpoint, an entry or the status from being written.
 */
export async function activateVersions(parts: ActivationParts): Promise<void> {
  const { engine } = parts;
  await recordVersions(parts);
  for (let next = engine.nextVersion; next !== null; next = engine.nextVersion) {
    await activateOne(next, parts);
    await recordVersions(parts);
  }
}

async function activateOne(
  next: Machine,
  { engine, log, own, clock, status, takeCheckpoint }: ActivationParts,
): Promise<void> {
  await takeCheckpoint();
  requireRoom(status.current.earlierVersions, next);
  const time = Math.max(log.lastTime, clock.now());
  engine.tryActivation(next, { index: nextIndex(log.lastIndex), time });
  const body = encodeActivation({ name: next.name, from: engine.activeVersion, to: next.version });
  const index = await own.write(log, { type: 'activation', time, body });
  engine.activate({ index, time, body });
}

/** Puts the activations that are in the log, and were applied since the start, into the status. */
async function recordVersions({ engine, status }: ActivationParts): Promise<void> {
  const { machine, earlierVersions } = status.current;
  const left = engine.versionsLeft;
  const isKnown = (version: EarlierVersion): boolean =>
    earlierVersions.some(({ lastIndex }) => lastIndex === version.lastIndex);
  const news = left.filter((version) => !isKnown(version));
  if (news.length === 0) {
    assert(machine.version === engine.activeVersion, `version ${engine.activeVersion} is active and known`);
    return;
  }
  status.update({
    machine: { name: machine.name, version: engine.activeVersion },
    earlierVersions: [...earlierVersions, ...news].slice(-EARLIER_VERSIONS_MAX),
  });
  await status.whenPersisted();
}

/** Entries of a version that the status cannot name could not be replayed. */
function requireRoom(earlier: readonly EarlierVersion[], next: Machine): void {
  if (earlier.length < EARLIER_VERSIONS_MAX) return;
  const lastIndex: Index = earlier[0]!.lastIndex;
  throw new TidemarkError(
    'TIDEMARK_OPTION_INVALID',
    `version ${next.version} of the machine ${next.name} would be one too many: the log holds entries of ` +
      `${earlier.length} earlier versions. Open it with the active one and checkpoint: { logAgeMs: 0 }; ` +
      `take checkpoints until stats().firstIndex is above ${lastIndex}, and try again`,
    { remedy: 'fix-call', facts: { option: 'machine.version', lastIndex } },
  );
}
