/**
 * Points in history, as people and programs name them.
 *
 *     812                      behind entry 812: all of its commands are in
 *     812.3                    behind the third command of entry 812, counted from 1
 *     2026-11-21T10:00:00Z     behind the last entry of that time or earlier; also 2026-11-21, at 0:00 UTC
 *     10m ago                  the same, so long before now: s, m, h, d, w
 *     tag:before-deploy        where the tag stands
 *     before …                 right in front of it: `before 812` is 811, `before 812.3` is 812.2
 */

import { TidemarkError } from '../base/errors.ts';
import { isoTime, parseIsoTime } from '../base/time.ts';

/** A point as a program gives it: one of the four, and perhaps `before`. Text is parsed by `parsePoint`. */
export type PointInput = string | number | PointFields;

/** A point in fields: `index`, `time` or `tag`, and perhaps where beside it. */
export interface PointFields {
  /** Of an entry; 0 is the empty state before the first. */
  readonly index?: number;
  /** With `index`: so many commands of the entry, from 1. */
  readonly command?: number;
  /** Milliseconds since 1970, a `Date`, or text as in `parsePoint`. */
  readonly time?: number | Date | string;
  readonly tag?: string;
  /** Whether to stop right in front of it. @default false */
  readonly before?: boolean;
}

/** A point, read: what it says, not yet where that is. */
export type Point =
  | { readonly kind: 'index'; readonly index: number; readonly command: number | null; readonly side: Side }
  | { readonly kind: 'time'; readonly time: number; readonly side: Side }
  | { readonly kind: 'tag'; readonly tag: string; readonly side: Side };

/** Up to and including it, or right in front of it. */
export type Side = 'including' | 'before';

const UNIT_MS: Readonly<Record<string, number>> = {
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
};

/** As tags are named. */
const TAG = /^tag:([a-z0-9][a-z0-9._-]{0,63})$/;

/**
 * @param now For what is so long ago, in milliseconds since 1970.
 * @throws TidemarkError TIDEMARK_POINT_INVALID.
 */
export function toPoint(input: PointInput, now: number): Point {
  if (typeof input === 'string') return parsePoint(input, now);
  if (typeof input === 'number') return indexPoint(input, null, 'including', input);
  if (typeof input !== 'object' || input === null) throw invalidPoint(input);
  return pointOf(input, now);
}

/** @throws TidemarkError TIDEMARK_POINT_INVALID. */
export function parsePoint(text: string, now: number): Point {
  const found = /^\s*(before\s+)?(\S.*?)\s*$/s.exec(text);
  if (found === null) throw invalidPoint(text);
  const side = found[1] === undefined ? 'including' : 'before';
  const words = found[2]!;
  const index = /^(\d{1,16})(?:\.(\d{1,10}))?$/.exec(words);
  if (index !== null) {
    return indexPoint(Number(index[1]), index[2] === undefined ? null : Number(index[2]), side, text);
  }
  const tag = TAG.exec(words);
  if (tag !== null) return { kind: 'tag', tag: tag[1]!, side };
  const time = parseTime(words, now);
  if (time === null) throw invalidPoint(text);
  return { kind: 'time', time, side };
}

/** As people write it; what `parsePoint` reads. */
export function describePoint(point: Point): string {
  const prefix = point.side === 'before' ? 'before ' : '';
  if (point.kind === 'tag') return `${prefix}tag:${point.tag}`;
  if (point.kind === 'time') return prefix + isoTime(point.time);
  return `${prefix}${point.index}${point.command === null ? '' : `.${point.command}`}`;
}

function pointOf(fields: PointFields, now: number): Point {
  const { index, command, time, tag, before } = fields;
  const side = before === true ? 'before' : 'including';
  const given = [index, time, tag].filter((field) => field !== undefined);
  if (given.length !== 1 || (command !== undefined && index === undefined)) throw invalidPoint(fields);
  if (index !== undefined) return indexPoint(index, command ?? null, side, fields);
  if (tag !== undefined) {
    if (typeof tag !== 'string' || !TAG.test(`tag:${tag}`)) throw invalidPoint(fields);
    return { kind: 'tag', tag, side };
  }
  const instant = time instanceof Date ? time.valueOf() : time;
  const ms = typeof instant === 'string' ? parseTime(instant, now) : instant;
  if (ms == null || !isTime(ms)) throw invalidPoint(fields);
  return { kind: 'time', time: ms, side };
}

function indexPoint(index: number, command: number | null, side: Side, given: unknown): Point {
  const isIndex = Number.isSafeInteger(index) && index >= (side === 'before' ? 1 : 0);
  const isCommand = command === null || (Number.isSafeInteger(command) && command >= 1 && index >= 1);
  if (index === 0 && command === null && side === 'before') throw nothingBefore();
  if (!isIndex || !isCommand) throw invalidPoint(given);
  return { kind: 'index', index, command, side };
}

function parseTime(text: string, now: number): number | null {
  const ago = /^(\d{1,9})\s*([smhdw])\s+ago$/.exec(text);
  const time = ago === null ? parseIsoTime(text) : now - Number(ago[1]) * UNIT_MS[ago[2]!]!;
  return time !== null && isTime(time) ? time : null;
}

/** What a Date can hold, from 1970 on. */
function isTime(ms: number): boolean {
  return Number.isInteger(ms) && ms >= 0 && ms <= 8.64e15;
}

function nothingBefore(): TidemarkError {
  const message = 'nothing is before 0, the empty state: the first entry is 1';
  return new TidemarkError('TIDEMARK_POINT_INVALID', message, {
    remedy: 'fix-call',
    facts: { point: 'before 0' },
  });
}

function invalidPoint(given: unknown): TidemarkError {
  const shown = typeof given === 'string' ? given : (JSON.stringify(given) ?? String(given));
  return new TidemarkError(
    'TIDEMARK_POINT_INVALID',
    `${shown.slice(0, 200)} is no point in history. Write an entry (812), a command of one (812.3), a time ` +
      '(2026-11-21T10:00:00Z, 2026-11-21, "10m ago") or a tag (tag:before-deploy), with "before" in front ' +
      'to stop right before it',
    { remedy: 'fix-call', facts: { point: shown.slice(0, 200) } },
  );
}
