/**
 * Which checkpoints are kept, and why. Policies compose: what any of them wants stays. Only the limit of
 * bytes takes away, oldest first, and never what is kept because it is among the newest, tagged, or needed.
 *
 *  - *newest*: the newest so many.
 *  - *age*: everything younger; of more than `agedKept` so many, evenly spaced (spacing.ts): a checkpoint a
 *    second would be 86,400 files a day, each read at every start. The log has the points between. And the
 *    newest that is older: without it, the moments up to the first younger one could not be brought back.
 *  - *generations*: the newest of each of the last so many hours, days, weeks and months that have any
 *    (grandfather-father-son; UTC, weeks begin on Monday).
 *  - *spaced*: so many over the whole of history, so that rewinding to any moment costs at most about twice
 *    what it would with so many evenly spaced ones (spacing.ts).
 *  - *tag*: whoever tagged it takes the tag off again.
 *  - *needed*: what another one needs to be restored when files are damaged (checkpoint-store.ts).
 *
 * What a kept checkpoint needs is never removed, whatever the policy: that is the business of the store.
 *
 * Clocks jump. Order is that of the log, and only age and generations look at times. A time after now is
 * taken for wrong: such a checkpoint counts as taken when the next newer one was whose time can be right, or
 * else now; so it ages from then on, and does not stay until the clock gets there.
 *
 * Pure: no I/O, no clock.
 */

import type { Index } from '../base/positions.ts';
import { evenlySpaced } from './spacing.ts';

/** How many of each are kept, 0 for none. */
export interface Generations {
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
}

export interface RetentionPolicy {
  /** The newest so many stay: at least 1. */
  readonly checkpointsKept: number;
  /** Everything younger stays, in milliseconds, and the newest older one; 0: nothing because of its age. */
  readonly checkpointAgeMs: number;
  /** Of these at most so many: at least 2. */
  readonly agedKept: number;
  readonly generations: Generations;
  /** So many, spaced over the whole of history; 0: none. */
  readonly spacedKept: number;
  /** Bytes that all kept files may take together; 0: any. */
  readonly checkpointBytesMax: number;
}

/** A checkpoint as this policy sees it. */
export interface RetainedPoint {
  readonly index: Index;
  /** Milliseconds since 1970. */
  readonly takenAt: number;
  /** Every file that it needs. */
  readonly files: readonly { readonly id: string; readonly bytes: number }[];
  readonly tags: readonly string[];
  /** Why another one needs it; null when none does. */
  readonly neededAs: string | null;
}

/** One checkpoint, and what keeps it alive; nothing does when `reasons` is empty. */
export interface Retained<Point> {
  readonly point: Point;
  /** For people: `among the newest 3`, `younger than 24 h`, `daily`, `tag before-deploy`. */
  readonly reasons: readonly string[];
}

/** @param points Newest first. @param now Milliseconds since 1970. */
export function retain<Point extends RetainedPoint>(
  points: readonly Point[],
  policy: RetentionPolicy,
  now: number,
): Retained<Point>[] {
  const firm = points.map((point, at) => firmReasons(point, at, policy));
  const wished = wishes(points, policy, now);
  const kept = points.map((point, at) => ({ point, reasons: [...firm[at]!, ...wished[at]!] }));
  if (policy.checkpointBytesMax === 0) return kept;
  return withinBytes(kept, (at) => firm[at]!.length > 0, policy.checkpointBytesMax);
}

/** A policy in words, for people. */
export function describePolicy(policy: RetentionPolicy): string {
  const { checkpointsKept, checkpointAgeMs, agedKept, generations, spacedKept } = policy;
  const parts = [`the newest ${checkpointsKept}`];
  if (checkpointAgeMs > 0) parts.push(`what is younger than ${hours(checkpointAgeMs)}, at most ${agedKept}`);
  for (const [name, count] of Object.entries(generations)) if (count > 0) parts.push(`${count} ${name}`);
  if (spacedKept > 0) parts.push(`${spacedKept} spaced`);
  parts.push('what is tagged');
  const limit = policy.checkpointBytesMax;
  return parts.join(', ') + (limit > 0 ? `; of these at most ${limit.toLocaleString('en')} bytes` : '');
}

/** Bytes of all files that so many checkpoints need together. */
export function bytesOf(points: readonly Pick<RetainedPoint, 'files'>[]): number {
  return new HeldFiles(points).bytes;
}

/** What no limit overrules. */
function firmReasons(
  { tags, neededAs }: RetainedPoint,
  at: number,
  { checkpointsKept }: RetentionPolicy,
): string[] {
  const newest = at < checkpointsKept ? [`among the newest ${checkpointsKept}`] : [];
  const needed = neededAs === null ? [] : [neededAs];
  return [...newest, ...tags.map((tag) => `tag ${tag}`), ...needed];
}

function wishes(points: readonly RetainedPoint[], policy: RetentionPolicy, now: number): string[][] {
  const { checkpointAgeMs, agedKept, generations, spacedKept } = policy;
  const reasons: string[][] = points.map(() => []);
  const times = credibleTimes(points, now);
  const aged = [...points.keys()].filter((at) => now - times[at]! < checkpointAgeMs);
  for (const place of evenlySpaced(indicesOf(aged, points), agedKept)) {
    reasons[aged[place]!]!.push(`younger than ${hours(checkpointAgeMs)}`);
  }
  const older = times.findIndex((time) => now - time >= checkpointAgeMs);
  if (checkpointAgeMs > 0 && older >= 0) {
    reasons[older]!.push(`the newest older than ${hours(checkpointAgeMs)}`);
  }
  for (const [name, bucketOf] of Object.entries(BUCKETS) as [keyof Generations, BucketOf][]) {
    for (const at of newestOfBuckets(times, bucketOf, generations[name])) reasons[at]!.push(name);
  }
  for (const at of evenlySpaced(indicesOf([...points.keys()], points), spacedKept)) {
    reasons[at]!.push('spaced');
  }
  return reasons;
}

function indicesOf(places: readonly number[], points: readonly RetainedPoint[]): number[] {
  return places.map((at) => points[at]!.index);
}

/** When each was taken, as far as a clock that jumps can say; never after now. */
function credibleTimes(points: readonly RetainedPoint[], now: number): number[] {
  let newer = now;
  return points.map(({ takenAt }) => {
    if (takenAt <= now) newer = takenAt;
    return newer;
  });
}

type BucketOf = (ms: number) => number;

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** 1970 began on a Thursday. */
const MONDAY_DAYS = 3;

const BUCKETS: Readonly<Record<keyof Generations, BucketOf>> = {
  hourly: (ms) => Math.floor(ms / HOUR_MS),
  daily: (ms) => Math.floor(ms / DAY_MS),
  weekly: (ms) => Math.floor((ms / DAY_MS + MONDAY_DAYS) / 7),
  monthly: monthOf,
};

/** Months since 1970, by the civil calendar (Hinnant, "chrono-compatible low-level date algorithms"). */
function monthOf(ms: number): number {
  const days = Math.floor(ms / DAY_MS) + 719_468;
  const era = Math.floor(days / 146_097);
  const dayOfEra = days - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  return (era * 400 + yearOfEra - 1970) * 12 + monthFromMarch + 2;
}

function newestOfBuckets(times: readonly number[], bucketOf: BucketOf, count: number): number[] {
  const seen = new Set<number>();
  const kept: number[] = [];
  times.forEach((time, at) => {
    const bucket = bucketOf(time);
    if (seen.has(bucket) || seen.size >= count) return;
    seen.add(bucket);
    kept.push(at);
  });
  return kept;
}

/**
 * Gives up the oldest that nothing firm keeps, where that frees bytes, until the rest is small enough. Of a
 * chain only the end frees any; once that is given up, what stands before it is the next end.
 */
function withinBytes<Point extends RetainedPoint>(
  all: readonly Retained<Point>[],
  isFirm: (at: number) => boolean,
  bytesMax: number,
): Retained<Point>[] {
  const result = [...all];
  const held = new HeldFiles(result.filter(({ reasons }) => reasons.length > 0).map(({ point }) => point));
  for (let at = result.length - 1; at >= 0 && held.bytes > bytesMax; ) {
    const { point, reasons } = result[at]!;
    if (isFirm(at) || reasons.length === 0 || !held.isAnyOnlyOf(point)) {
      at--;
      continue;
    }
    held.giveUp(point);
    result[at] = { point, reasons: [] };
    while (at < result.length - 1 && result[at]!.reasons.length === 0) at++;
  }
  return result;
}

/** The files of some checkpoints, and how many need each: asked for once per checkpoint, not per pair. */
class HeldFiles {
  readonly #needers = new Map<string, number>();
  #bytes = 0;

  constructor(points: readonly Pick<RetainedPoint, 'files'>[]) {
    for (const { id, bytes } of points.flatMap(({ files }) => files)) {
      const needers = this.#needers.get(id) ?? 0;
      if (needers === 0) this.#bytes += bytes;
      this.#needers.set(id, needers + 1);
    }
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether giving it up frees bytes. */
  isAnyOnlyOf({ files }: RetainedPoint): boolean {
    return files.some(({ id, bytes }) => bytes > 0 && this.#needers.get(id) === 1);
  }

  giveUp({ files }: RetainedPoint): void {
    for (const { id, bytes } of files) {
      const needers = this.#needers.get(id)! - 1;
      if (needers === 0) this.#bytes -= bytes;
      this.#needers.set(id, needers);
    }
  }
}

function hours(ms: number): string {
  return ms % HOUR_MS === 0 ? `${ms / HOUR_MS} h` : `${Math.round(ms / 1000)} s`;
}
