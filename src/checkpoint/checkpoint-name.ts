/**
 * Names of checkpoint files: `TIMELINE-YYYYMMDD_HHMMSS_INDEX`, in UTC, with `.data` or `.idx` (docs/format.md
 * §7.1). They are for people; what a file is, its content says.
 */

import { utcStamp } from '../base/time.ts';

const STEM = '\\d{1,10}-\\d{8}_\\d{6}_\\d{1,16}';
const INDEX_NAME = new RegExp(`^${STEM}\\.idx$`);
const PART_NAME = new RegExp(`^${STEM}\\.idx\\.part$`);
const DATA_NAME = new RegExp(`^${STEM}\\.data$`);

/** An index file that is being written has this behind its name. */
export const PART_SUFFIX = '.part';

/** Directory of the checkpoints in a data directory. */
export const CHECKPOINTS_DIR = 'checkpoints';

/** @param takenAt Wall-clock time in milliseconds. */
export function checkpointStem(at: { timeline: number; index: number; takenAt: number }): string {
  return `${at.timeline}-${utcStamp(at.takenAt)}_${at.index}`;
}

export function isIndexName(name: string): boolean {
  return INDEX_NAME.test(name);
}

export function isPartName(name: string): boolean {
  return PART_NAME.test(name);
}

export function isDataName(name: string): boolean {
  return DATA_NAME.test(name);
}
