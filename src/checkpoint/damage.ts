/** How damage of a checkpoint is reported: which file, where, why, and what to do next. */

import { isTidemarkError, TidemarkError } from '../base/errors.ts';

/** Something of a checkpoint that cannot be used. */
export interface CheckpointDamage {
  /** Path of the file. */
  readonly file: string;
  /** Where in it, in bytes. */
  readonly offset: number;
  readonly reason: string;
}

export function damagedCheckpoint(
  { file, offset, reason }: CheckpointDamage,
  cause?: unknown,
): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_CHECKPOINT_DAMAGED',
    `the checkpoint file ${file} is damaged at offset ${offset}: ${reason}. Start again to use an older ` +
      'checkpoint, or bring the file back from a copy or a backup',
    { remedy: 'restore', facts: { file, offset, reason }, ...(cause === undefined ? {} : { cause }) },
  );
}

/** Where the damage is that an error tells of which makes a checkpoint unusable. */
export function damageOf(error: TidemarkError): CheckpointDamage {
  const { file, path, offset, reason } = error.facts;
  return { file: String(file ?? path), offset: Number(offset ?? 0), reason: String(reason ?? error.message) };
}

/** Whether an error says that a checkpoint cannot be read: an older one may be. */
export function isUnreadable(error: unknown): error is TidemarkError {
  return isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED') || isTidemarkError(error, 'TIDEMARK_IO');
}

/** The entries that a log still holds. */
export interface LogRange {
  readonly firstIndex: number;
  readonly lastIndex: number;
}

/** No checkpoint can be used, and the log does not reach back to entry 1: the node cannot start. */
export function noCheckpointLeft(damages: readonly CheckpointDamage[], log: LogRange): TidemarkError {
  // Checkpoints share files: one damage may be that of several.
  const lines = new Set(damages.map(({ file, offset, reason }) => `${file} at offset ${offset}: ${reason}`));
  const list = [...lines].join('; ');
  const filesBack = damages.length === 0 ? 'the files of one' : 'one of these files';
  const [first] = damages;
  return new TidemarkError(
    'TIDEMARK_CHECKPOINT_DAMAGED',
    `no checkpoint can be used (${list === '' ? 'there is none' : list}), and the log begins at entry ` +
      `${log.firstIndex}. Nothing was changed. Copy the data directory before anything else; then bring ` +
      `back ${filesBack}, or a backup of any index from ${log.firstIndex - 1} to ${log.lastIndex}, ` +
      `or the entries 1 to ${log.firstIndex - 1} of the log`,
    {
      remedy: 'restore',
      facts: {
        ...(first === undefined ? {} : { file: first.file, offset: first.offset, reason: first.reason }),
        checkpoints: damages.length,
        missingFirstIndex: 1,
        missingLastIndex: log.firstIndex - 1,
      },
    },
  );
}
