/**
 * What a scrub remembers over restarts: how far the cycle has come, and what was found (docs/format.md §10).
 *
 * A file of its own, `scrub` (sealed-line.ts), written now and then. It is a help and no promise: without it,
 * or with one that is damaged, the cycle begins anew.
 */

import { type FieldRules, readSealedLine, writeSealedLine } from '../checkpoint/sealed-line.ts';
import type { VerifiedPart } from '../checkpoint/verify-checkpoints.ts';
import { isIntegerFrom, isObject } from '../log/json-fields.ts';
import type { FileSystem } from '../storage/file-system.ts';

export const SCRUB_NAME = 'scrub';

/** In this order everything is verified. */
export const SCRUB_STAGES = ['status', 'tags', 'log', 'checkpoints'] as const;

/** Something that is not what was written. */
export interface ScrubFinding {
  readonly what: 'status' | 'tag' | 'segment' | 'sparse-index' | 'checkpoint';
  readonly file: string;
  /** In bytes from the start of the file; null when it concerns the whole file. */
  readonly offset: number | null;
  readonly reason: string;
  /** When it was found first, in milliseconds since 1970. */
  readonly foundAt: number;
  /** And last. */
  readonly seenAt: number;
  /**
   * - `open`: the node needs what is damaged, or may; a new checkpoint is to replace it.
   * - `mended`: the file was written again from memory.
   * - `replaced`: a checkpoint was taken since that needs nothing of it.
   * - `harmless`: nothing needs what is damaged.
   */
  readonly outcome: 'open' | 'mended' | 'replaced' | 'harmless';
  /** What it means for a recovery, for people. */
  readonly meaning: string;
  /** Of a segment: the last entry that may be lost in it. Otherwise 0. */
  readonly lastIndex: number;
  /** Names of the index files of checkpoints that cannot be used because of it. */
  readonly checkpoints: readonly string[];
}

/** Findings that are remembered: where there are more, the disk is to be replaced. */
export const FINDINGS_MAX = 64;

/** Where a cycle stands. */
export interface ScrubPlace {
  readonly stage: (typeof SCRUB_STAGES)[number];
  /** What was verified last: first index of a segment, or index and time of taking of a checkpoint. */
  readonly index: number;
  readonly takenAt: number;
  /** Of the checkpoint after it. */
  readonly part: VerifiedPart;
  /** Ids of data files that are verified and whole. */
  readonly files: readonly string[];
}

export const FIRST_PLACE: ScrubPlace = Object.freeze({
  stage: 'status',
  index: 0,
  takenAt: 0,
  part: Object.freeze({ chunks: 0, leaf: Object.freeze([]) }),
  files: Object.freeze([]),
});

export interface ScrubRecord {
  /** When the cycle began, in milliseconds since 1970; 0 before the first. */
  readonly beganAt: number;
  /** The last entry that was durable then: what comes later belongs to the next cycle. */
  readonly lastIndex: number;
  /** Null when it is over. */
  readonly place: ScrubPlace | null;
  /** Bytes that were verified in it. */
  readonly bytes: number;
  /** When the last whole cycle ended, in milliseconds since 1970; 0 before the first. */
  readonly finishedAt: number;
  readonly findings: readonly ScrubFinding[];
}

export const NO_RECORD: ScrubRecord = Object.freeze({
  beganAt: 0,
  lastIndex: 0,
  place: null,
  bytes: 0,
  finishedAt: 0,
  findings: Object.freeze([]),
});

/** 64 findings, each with the names of all checkpoints there may be; a thousand data files. */
const RECORD_BYTES_MAX = 1024 * 1024;

/** What was remembered; nothing when there is none, or it is damaged. */
export async function readScrubRecord(fs: FileSystem, dataDir: string): Promise<ScrubRecord> {
  return (await readSealedLine(fs, `${dataDir}/${SCRUB_NAME}`, RULES, RECORD_BYTES_MAX)) ?? NO_RECORD;
}

/** Durable when it resolves. */
export function writeScrubRecord(fs: FileSystem, dataDir: string, record: ScrubRecord): Promise<void> {
  return writeSealedLine(fs, { dir: dataDir, name: SCRUB_NAME }, record, RULES);
}

const isText = (value: unknown): boolean => typeof value === 'string';
const isCount = isIntegerFrom(0);
const isListOf = (isItem: (value: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && value.every(isItem);
const isOneOf = (words: readonly string[]) => (value: unknown) => words.includes(value as string);

const FINDING_RULES: FieldRules<ScrubFinding> = {
  what: isOneOf(['status', 'tag', 'segment', 'sparse-index', 'checkpoint']),
  file: isText,
  offset: (value) => value === null || isCount(value),
  reason: isText,
  foundAt: isCount,
  seenAt: isCount,
  outcome: isOneOf(['open', 'mended', 'replaced', 'harmless']),
  meaning: isText,
  lastIndex: isCount,
  checkpoints: isListOf(isText),
};

const PLACE_RULES: FieldRules<ScrubPlace> = {
  stage: isOneOf(SCRUB_STAGES),
  index: isCount,
  takenAt: isCount,
  part: (value) => isObject(value) && isCount(value['chunks']) && isListOf(isCount)(value['leaf']),
  files: isListOf(isText),
};

const RULES: FieldRules<ScrubRecord> = {
  beganAt: isCount,
  lastIndex: isCount,
  place: (value) => value === null || obeys(value, PLACE_RULES),
  bytes: isCount,
  finishedAt: isCount,
  findings: isListOf((value) => obeys(value, FINDING_RULES)),
};

function obeys<Content>(value: unknown, rules: FieldRules<Content>): boolean {
  if (!isObject(value)) return false;
  const all = Object.entries<(value: unknown) => boolean>(rules);
  return all.every(([field, isValid]) => isValid(value[field]));
}
