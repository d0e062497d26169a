/**
 * Which files a new checkpoint goes on using, and when it rather writes everything anew.
 *
 * The files of a checkpoint are a chain: oldest first, and a node in one refers to nodes in the same or in
 * older ones only, because it was written after them. So any number of the newest may be given up together:
 * what is left is still whole, and nodes in those given up are written again. Giving up an older one alone
 * would leave nodes in newer ones that refer to it.
 *
 * A full checkpoint is taken when the log, which is kept back to the beginning of the chain before, has
 * become long; and when the chain with twice the new part would exceed 1.5 times a full one. Then the chain
 * never exceeds 1.5 times, and while a full one is written beside it 2.5 times.
 */

import { type CheckpointInfo, chainBytes, type DataFileInfo, FILES_MAX } from './checkpoint-info.ts';
import { RECORD_HEADER_BYTES } from './node-record.ts';

/** What is to be written. */
export interface Increment {
  readonly leaves: number;
  readonly inner: number;
  /** Large values. */
  readonly values: number;
  /** Of nodes and values, without what a file adds to them. */
  readonly bytes: number;
}

export function isEmpty(increment: Increment): boolean {
  return recordsOf(increment) === 0;
}

/** When the log of one chain takes so many times what a full checkpoint does, the next chain begins. */
const LOG_SHARE_MAX = 8;

/** Rough bytes of a record besides its node: header, places and padding. */
const RECORD_OVERHEAD_BYTES = RECORD_HEADER_BYTES + 16;

/** The files that the next checkpoint may go on using, oldest first. */
export function keptFiles(
  base: CheckpointInfo | null,
  distrusted: ReadonlySet<number>,
): readonly DataFileInfo[] {
  if (base === null) return [];
  const { files } = base;
  const damaged = files.findIndex(({ number }) => distrusted.has(number));
  const trusted = damaged < 0 ? files : files.slice(0, damaged);
  return trusted.length < FILES_MAX ? trusted : trusted.slice(0, FILES_MAX / 2);
}

/** Whether to write what the kept files lack, or everything. */
export function chooseKind(choice: {
  readonly base: CheckpointInfo | null;
  readonly kept: readonly DataFileInfo[];
  readonly increment: Increment;
  readonly stateBytes: number;
  readonly logBytes: number;
}): CheckpointInfo['kind'] {
  const { base, kept, increment, stateBytes, logBytes } = choice;
  if (base === null || kept.length === 0) return 'full';
  const incrementBytes = increment.bytes + recordsOf(increment) * RECORD_OVERHEAD_BYTES;
  const fullBytes = (base.full.bytes * (stateBytes + 1)) / (base.full.stateBytes + 1);
  if (logBytes > LOG_SHARE_MAX * fullBytes) return 'full';
  return chainBytes({ files: kept }) + 2 * incrementBytes > 1.5 * fullBytes ? 'full' : 'incremental';
}

function recordsOf({ leaves, inner, values }: Increment): number {
  return leaves + inner + values;
}
