/**
 * Which points in history a directory can bring back, and where a point that somebody names is.
 *
 * Kept are the checkpoints, each by itself, and every index from the oldest one that the log goes on from to
 * the end of the log; while the log is whole, from 0. Inside of that range a point may fall into a batch.
 */

import { assert } from '../base/assert.ts';
import { TidemarkError } from '../base/errors.ts';
import { type Index, previousIndex, toIndex } from '../base/positions.ts';
import { isoTime } from '../base/time.ts';
import type { SegmentStart } from '../log/log-files.ts';
import type { LogRecord } from '../log/segment-reader.ts';
import { EntryCommands } from './entry.ts';
import { describePoint, type Point } from './point.ts';

/** The log as history needs it: an open one, or that of a directory nobody has open. */
export interface KeptLog {
  readonly firstIndex: Index;
  /** The last entry that is certain to stay. */
  readonly durableIndex: Index;
  readonly segmentStarts: readonly SegmentStart[];
  /** Entries `first` to `last`, both included; the body of each is valid until the next is asked for. */
  read(first: Index, last: Index): AsyncGenerator<LogRecord, void, void>;
}

/** A state that can be brought back without reading the log before it. */
export interface KeptState {
  readonly index: Index;
  readonly time: number;
}

/** What somebody named, found: the state behind `index`, or behind the first `commands` of its commands. */
export interface FoundPoint extends KeptState {
  /** Null for all of them. */
  readonly commands: number | null;
}

export interface KeptHistory {
  readonly log: KeptLog;
  readonly checkpoints: readonly KeptState[];
  /** Index at which a tag stands, or null. */
  readonly indexOfTag: (tag: string) => Index | null;
}

const NOTHING: KeptState = { index: toIndex(0), time: 0 };

/** The oldest state that every later one can be replayed from; null when there is none. */
export function oldestReplayable({ log, checkpoints }: Omit<KeptHistory, 'indexOfTag'>): KeptState | null {
  if (log.firstIndex === 1) return NOTHING;
  const before = previousIndex(log.firstIndex);
  const usable = checkpoints.filter(({ index }) => index >= before && index <= log.durableIndex);
  return usable.sort((one, other) => one.index - other.index)[0] ?? null;
}

/** All that can be brought back. */
export interface KeptRange {
  /** Every state from `first` to `last` can be; null when no log leads from one to now. */
  readonly first: KeptState | null;
  readonly last: KeptState | null;
  /** Each older one by itself, descending. */
  readonly alone: readonly KeptState[];
}

export async function keptRange(history: Omit<KeptHistory, 'indexOfTag'>): Promise<KeptRange> {
  const first = oldestReplayable(history);
  const alone = history.checkpoints.filter(({ index }) => first === null || index < first.index);
  return {
    first: first && stateOf(first),
    last: first && (await newestState(history)),
    alone: alone.map(stateOf).sort((one, other) => other.index - one.index),
  };
}

function stateOf({ index, time }: KeptState): KeptState {
  return { index, time };
}

/**
 * Finds a point, by reading the log where it must.
 * @param now Points after it are not known yet, whatever the log has.
 * @throws TidemarkError TIDEMARK_POINT_NOT_KEPT with the nearest points that are; TIDEMARK_POINT_INVALID for
 *   a command that its entry does not have.
 */
export async function findPoint(history: KeptHistory, point: Point, now: number): Promise<FoundPoint> {
  if (point.kind === 'time') return findTime(history, point, now);
  if (point.kind === 'index' && point.command !== null) {
    return findCommand(history, { ...point, command: point.command });
  }
  let index: number | null = point.kind === 'index' ? point.index : history.indexOfTag(point.tag);
  if (index === null) throw unknownTag(point);
  if (point.side === 'before') index--;
  const time = index < 0 ? null : await timeOf(history, toIndex(index));
  if (time === null) throw await notKept(history, point, (kept) => kept.index - index);
  return { index: toIndex(index), time, commands: null };
}

/** The time of an entry whose state is kept; null when it is not. */
async function timeOf(history: Omit<KeptHistory, 'indexOfTag'>, index: Index): Promise<number | null> {
  const { log, checkpoints } = history;
  const oldest = oldestReplayable(history);
  const known = [oldest, ...checkpoints].find((kept) => kept?.index === index);
  if (known != null) return known.time;
  if (oldest === null || index < oldest.index || index > log.durableIndex) return null;
  return (await entryAt(log, index)).time;
}

async function entryAt(log: KeptLog, index: Index): Promise<Pick<LogRecord, 'time' | 'type' | 'body'>> {
  for await (const entry of log.read(index, index)) return entry;
  assert(false, `entry ${index} is in the log, which holds it`);
}

async function findCommand(
  history: KeptHistory,
  point: Extract<Point, { kind: 'index' }> & { readonly command: number },
): Promise<FoundPoint> {
  const { log } = history;
  const oldest = oldestReplayable(history);
  const commands = point.side === 'before' ? point.command - 1 : point.command;
  const isInside = oldest !== null && point.index > oldest.index && point.index <= log.durableIndex;
  if (!isInside) throw await notKept(history, point, (kept) => kept.index - point.index || -1);
  const index = toIndex(point.index);
  const { time, type, body } = await entryAt(log, index);
  const count = type === 'commands' ? new EntryCommands(body).count : 0;
  if (point.command > count) throw noSuchCommand(point, count);
  if (commands > 0) return { index, time, commands };
  const before = previousIndex(index);
  return { index: before, time: (await timeOf(history, before)) ?? 0, commands: null };
}

async function findTime(
  history: KeptHistory,
  point: Extract<Point, { kind: 'time' }>,
  now: number,
): Promise<FoundPoint> {
  const { log } = history;
  const isIn = (time: number): boolean => (point.side === 'before' ? time < point.time : time <= point.time);
  const oldest = oldestReplayable(history);
  const newest = await newestState(history);
  const isKept = oldest !== null && isIn(oldest.time) && point.time <= Math.max(now, newest?.time ?? 0);
  if (!isKept) throw await notKept(history, point, (kept) => (isIn(kept.time) ? -1 : 1));
  // The entry before a segment that begins behind it is too early: only one segment has to be read.
  const start = log.segmentStarts.findLast(({ previousTime }) => isIn(previousTime));
  const from = Math.max(start?.firstIndex ?? 1, oldest.index + 1);
  let found = oldest;
  if (from > log.durableIndex) return { ...(newest ?? oldest), commands: null };
  if (from > oldest.index + 1) found = { index: toIndex(from - 1), time: start?.previousTime ?? 0 };
  for await (const { index, time } of log.read(toIndex(from), log.durableIndex)) {
    if (!isIn(time)) break;
    found = { index, time };
  }
  return { ...found, commands: null };
}

/** The state of now; null when there is none to begin with. */
async function newestState(history: Omit<KeptHistory, 'indexOfTag'>): Promise<KeptState | null> {
  const { log } = history;
  const time = await timeOf(history, log.durableIndex);
  return time === null ? null : { index: log.durableIndex, time };
}

/**
 * @param order Below 0 for a kept state that is before the point, above 0 for one behind it.
 */
async function notKept(
  history: KeptHistory,
  point: Point,
  order: (kept: KeptState) => number,
): Promise<TidemarkError> {
  const oldest = oldestReplayable(history);
  const newest = await newestState(history);
  const kept = [...history.checkpoints, oldest, newest].filter((state) => state !== null);
  kept.sort((one, other) => one.index - other.index);
  const before = kept.findLast((state) => order(state) < 0) ?? null;
  const behind = kept.find((state) => order(state) > 0) ?? null;
  const range =
    oldest === null
      ? 'No log leads from a checkpoint to the state of now'
      : `Every entry from ${oldest.index} to ${history.log.durableIndex} is kept`;
  return new TidemarkError(
    'TIDEMARK_POINT_NOT_KEPT',
    `${describePoint(point)} cannot be brought back: ${nearest('before', before)}, ` +
      `${nearest('after', behind)}. ${range}`,
    {
      remedy: 'fix-call',
      facts: {
        point: describePoint(point),
        ...(before === null ? {} : { beforeIndex: before.index, beforeTime: isoTime(before.time) }),
        ...(behind === null ? {} : { afterIndex: behind.index, afterTime: isoTime(behind.time) }),
      },
    },
  );
}

function nearest(side: 'before' | 'after', state: KeptState | null): string {
  if (state === null) return `nothing is kept ${side} it`;
  const when = state.index === 0 ? 'the empty state' : isoTime(state.time);
  return `the nearest point ${side} it is ${state.index} (${when})`;
}

function unknownTag(point: Point): TidemarkError {
  return new TidemarkError('TIDEMARK_POINT_NOT_KEPT', `there is no tag ${describePoint(point)}`, {
    remedy: 'fix-call',
    facts: { point: describePoint(point) },
  });
}

function noSuchCommand(point: Point, count: number): TidemarkError {
  const has = count === 0 ? 'no commands' : count === 1 ? 'one command' : `${count} commands, from 1`;
  return new TidemarkError('TIDEMARK_POINT_INVALID', `${describePoint(point)}: the entry has ${has}`, {
    remedy: 'fix-call',
    facts: { point: describePoint(point), commands: count },
  });
}

/** The last entry that must be applied whole before a point is reached. */
export function lastWholeIndex({ index, commands }: FoundPoint): Index {
  return commands === null ? index : previousIndex(index);
}
