/**
 * Door 3, first half: time. The only file outside `cli/` that touches the clock and timers of the system.
 * `testing/` has a clock that a test moves.
 */

/** Something that is to run later. */
export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

/** Door 3: the time of day, the time that passes, and what is to run later. */
export interface Clock {
  /** Wall-clock time in milliseconds since 1970; may jump either way. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. Fractions are microseconds. */
  monotonic(): number;
  /** Calls `run` once after `ms` milliseconds. Does not keep the process alive unless told to. */
  after(ms: number, run: () => void, process?: 'keep-alive'): Timer;
  /** Calls `run` once, after the input that is waiting now has been taken. */
  soon(run: () => void): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, run, process) {
    const timeout = setTimeout(run, ms);
    if (process !== 'keep-alive') timeout.unref();
    return { cancel: () => clearTimeout(timeout) };
  },
  soon(run) {
    setImmediate(run);
  },
};

/** Milliseconds since 1970 as people and logs write them, in UTC. */
export function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

/**
 * The instant that `2026-11-21`, `2026-11-21T10:00Z` or the like is, in milliseconds since 1970; null for
 * anything else, and without a zone but of a whole day, in UTC.
 */
export function parseIsoTime(text: string): number | null {
  const found = /^(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d{1,3})?)?(Z|[+-]\d\d:\d\d))?$/.exec(text);
  const [time, day] = [Date.parse(text), Date.parse(found?.[1] ?? '')];
  const isDay = !Number.isNaN(day) && isoTime(day).startsWith(found![1]!); // February 30 is March 2.
  return isDay && time >= 0 ? time : null;
}

/** A time as `20261121_101400`, in UTC: for names that people read. */
export function utcStamp(ms: number): string {
  const [date, time] = new Date(ms).toISOString().split('T');
  return `${date!.replaceAll('-', '')}_${time!.slice(0, 8).replaceAll(':', '')}`;
}
