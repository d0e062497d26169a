/**
 * Which checkpoints a start may need beside the newest: those of one chain share files, and a damaged byte in
 * the first takes all of them.
 */

import type { CheckpointInfo } from './checkpoint-info.ts';
import type { FoundCheckpoint } from './survey-checkpoints.ts';

/**
 * The newest that shares no file with the newest of all, a full one if there is; null when there is none.
 * @param usable Newest first.
 */
export function fallbackOf(usable: readonly FoundCheckpoint[]): FoundCheckpoint | null {
  const [newest, ...others] = usable;
  if (newest === undefined) return null;
  const ids = new Set(newest.info.files.map(({ id }) => id));
  const apart = others.filter(({ info }) => !info.files.some(({ id }) => ids.has(id)));
  return apart.find(({ info }) => info.files.length <= 1) ?? apart[0] ?? null;
}

/** The full one that the chain of the newest began with. */
export function headOf(usable: readonly FoundCheckpoint[]): FoundCheckpoint | null {
  const first = usable[0]?.info.files[0];
  if (first === undefined) return null;
  const isHead = ({ files }: CheckpointInfo): boolean => files.length === 1 && files[0]!.id === first.id;
  return usable.find(({ info }) => isHead(info)) ?? null;
}
