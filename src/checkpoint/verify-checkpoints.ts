/**
 * Reads every byte of every checkpoint of a directory and says what is wrong, for `verify`: index files,
 * chunk checksums, records, and each tree from its root, every node held against its hash. Changes nothing.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { Clock } from '../base/time.ts';
import type { FileSystem } from '../storage/file-system.ts';
import { CHECKPOINTS_DIR } from './checkpoint-name.ts';
import { CHECKPOINT_DEFAULTS } from './checkpoint-options.ts';
import type { CheckpointDamage } from './damage.ts';
import { damageOf } from './damage.ts';
import { OpenCheckpoint } from './open-checkpoint.ts';
import { Slices } from './slices.ts';
import { type FoundCheckpoint, surveyCheckpoints } from './survey-checkpoints.ts';
import { type Walked, walkStored } from './walk-stored.ts';

/** What was found of one checkpoint. */
export type CheckpointVerdict =
  | {
      readonly kind: 'whole';
      readonly found: FoundCheckpoint;
      readonly walked: Walked;
      readonly warnings: readonly CheckpointDamage[];
    }
  /** `found` is null when its index file is not whole. */
  | { readonly kind: 'damaged'; readonly found: FoundCheckpoint | null; readonly damage: CheckpointDamage };

/**
 * Newest first, those without a whole index file last.
 * @param clusterId Null takes files of any cluster.
 * @throws TidemarkError TIDEMARK_FORMAT_NEWER, TIDEMARK_FOREIGN_FILE.
 */
export async function* verifyCheckpoints(
  doors: { readonly fs: FileSystem; readonly clock: Clock },
  dataDir: string,
  clusterId: string | null,
): AsyncGenerator<CheckpointVerdict, void> {
  const survey = await surveyCheckpoints(doors.fs, dataDir, clusterId);
  const pathOf = (id: string): string | null =>
    [...survey.dataFiles].find(([, found]) => found === id)?.[0] ?? null;
  const context = {
    ...doors,
    dir: `${dataDir}/${CHECKPOINTS_DIR}`,
    options: { ...CHECKPOINT_DEFAULTS, verifyBytesMax: Number.MAX_SAFE_INTEGER },
    isBusy: () => false,
    pathOf,
  };
  for (const found of survey.checkpoints) {
    yield await verifyOne(found, () => OpenCheckpoint.open(context, found), doors.clock);
  }
  for (const damage of survey.damages) yield { kind: 'damaged', found: null, damage };
}

async function verifyOne(
  found: FoundCheckpoint,
  open: () => Promise<OpenCheckpoint>,
  clock: Clock,
): Promise<CheckpointVerdict> {
  try {
    const checkpoint = await open();
    try {
      await checkpoint.verifyFirst();
      const walk = walkStored(checkpoint.tree, checkpoint.files);
      const walked = await new Slices({ clock, isBusy: () => false }).run(walk);
      return { kind: 'whole', found, walked, warnings: checkpoint.warnings };
    } finally {
      await checkpoint.files.close();
    }
  } catch (error) {
    if (!isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED')) throw error;
    return { kind: 'damaged', found, damage: damageOf(error) };
  }
}
