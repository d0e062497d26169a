/**
 * The versions of a machine: which one applies which entry, and whether this program has all that a replay
 * needs.
 *
 * A program has the newest version and, through `previous`, the chain of those before it. The log says where
 * each became active. An entry is applied by the version that was active there, today as then: replayed
 * commands mean what they meant. The entry of an activation needs both versions, for the migration between
 * them was written for exactly these two.
 */

import { TidemarkError } from '../base/errors.ts';
import { type Index, nextIndex, previousIndex, toIndex } from '../base/positions.ts';
import type { EarlierVersion } from '../log/status-content.ts';
import type { Activation } from './activation.ts';
import type { Machine } from './machine.ts';

/** Which versions were active where, as the status tells it. */
export interface VersionHistory {
  /** The active version. */
  readonly active: number;
  readonly earlier: readonly EarlierVersion[];
}

/** The version that is active when `index` is applied and the entry after it is not. */
export function versionAfter({ active, earlier }: VersionHistory, index: Index): number {
  return earlier.find(({ lastIndex }) => lastIndex >= index)?.version ?? active;
}

/** The version `version` in the chain of `newest`, or null. */
export function findVersion(newest: Machine, version: number): Machine | null {
  for (let machine: Machine | undefined = newest; machine !== undefined; machine = machine.previous) {
    if (machine.version === version) return machine;
  }
  return null;
}

/** The machine in the chain of `newest` whose `previous` is `version`, or null. */
export function successorOf(newest: Machine, version: number): Machine | null {
  for (let machine = newest; machine.previous !== undefined; machine = machine.previous) {
    if (machine.previous.version === version) return machine;
  }
  return null;
}

/**
 * Checks, before anything is replayed, that a program has every version that it takes: those active after
 * `replayAfter`, and the active one, which the program's own is activated after.
 * @param checkpoints Indices of the checkpoints that could be started from instead.
 * @throws TidemarkError TIDEMARK_VERSION_MISSING.
 */
export function requireVersions(
  newest: Machine,
  history: VersionHistory,
  replayAfter: Index,
  checkpoints: readonly Index[],
): void {
  const { active, earlier } = history;
  if (findVersion(newest, active) === null) throw missingActive(newest, active);
  const missing = earlier.filter(({ version, lastIndex }, at) => {
    const isNeeded = lastIndex >= replayAfter;
    return isNeeded && !follows(newest, version, earlier[at + 1]?.version ?? active);
  });
  const [first] = missing;
  if (first === undefined) return;
  const at = earlier.indexOf(first);
  const start = at === 0 ? 0 : earlier[at - 1]!.lastIndex;
  const firstIndex = nextIndex(start > replayAfter ? toIndex(start) : replayAfter);
  // Behind the last activation that it cannot repeat.
  const from = nextIndex(missing.at(-1)!.lastIndex);
  throw missingEarlier(newest, { ...first, firstIndex, from, checkpoints });
}

/** Whether the program's version `to` is the one that comes after `from`. */
export function follows(newest: Machine, from: number, to: number): boolean {
  return successorOf(newest, from)?.version === to;
}

/** What an activation asks for and the program lacks; null when it has it. */
export function activationFault(newest: Machine, { name, from, to }: Activation, index: Index): Error | null {
  if (name !== newest.name || to > newest.version) {
    return new TidemarkError(
      'TIDEMARK_MACHINE_MISMATCH',
      `entry ${index} activated the machine ${name} version ${to}, and this program has ${newest.name} ` +
        `version ${newest.version}. Nothing was changed; open it with that machine`,
      { remedy: 'fix-call', facts: { index, found: `${name} ${to}`, wanted: labelOf(newest) } },
    );
  }
  if (follows(newest, from, to)) return null;
  const only = { version: from, firstIndex: index, lastIndex: previousIndex(index), from: index };
  return missingEarlier(newest, { ...only, checkpoints: [] });
}

/** For a command whose version the program lacks. */
export function missingAt(newest: Machine, version: number, index: Index): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_VERSION_MISSING',
    `entry ${index} was applied by version ${version} of the machine ${newest.name}, which this program ` +
      `lacks. Nothing was changed; ${HOW_TO_ADD}`,
    { remedy: 'fix-call', facts: { version, firstIndex: index } },
  );
}

const HOW_TO_ADD = 'give it the machine of that version as `previous` of the one after it';

function missingActive(newest: Machine, active: number): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_VERSION_MISSING',
    `version ${active} of the machine ${newest.name} is active, and this program, with version ` +
      `${newest.version}, lacks it: no later one can be activated. Nothing was changed; ${HOW_TO_ADD}`,
    { remedy: 'fix-call', facts: { version: active } },
  );
}

interface MissingEarlier extends EarlierVersion {
  /** First entry that needs the version. */
  readonly firstIndex: Index;
  /** A start from here on does without every version that is missing. */
  readonly from: Index;
  readonly checkpoints: readonly Index[];
}

function missingEarlier(newest: Machine, missing: MissingEarlier): TidemarkError {
  const { version, firstIndex, lastIndex, from, checkpoints } = missing;
  const usable = checkpoints.filter((index) => index >= from);
  const where = usable.length === 0 ? 'there is none' : `there are those at ${usable.join(', ')}`;
  return new TidemarkError(
    'TIDEMARK_VERSION_MISSING',
    `this program lacks version ${version} of the machine ${newest.name}, ${needOf(newest, missing)}. ` +
      `Nothing was changed; ${HOW_TO_ADD}, or start from a checkpoint at entry ${from} or later: ${where}`,
    { remedy: 'fix-call', facts: { version, firstIndex, lastIndex, from, checkpoints: usable.join(' ') } },
  );
}

function needOf(newest: Machine, { version, firstIndex, lastIndex }: MissingEarlier): string {
  const activation = nextIndex(lastIndex);
  if (findVersion(newest, version) !== null) return `right before the one that entry ${activation} activated`;
  if (firstIndex > lastIndex) return `which the activation at ${activation} needs`;
  return `which entries ${firstIndex} to ${lastIndex}, and the activation at ${activation}, need`;
}

function labelOf({ name, version }: Machine): string {
  return `${name} ${version}`;
}
