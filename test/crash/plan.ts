/** What happens in one round of a crash test, drawn from the seed. */

import type { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { Pace } from './clients.ts';

/** When a process is ended. */
export type Moment =
  | { readonly kind: 'time'; readonly ms: number }
  /**
   * At the n-th change in a directory. In that of the log: rotation, a new spare, recovery's rename,
   * compaction; in that of the checkpoints: one begun, committed, or removed.
   */
  | {
      readonly kind: 'directory';
      readonly directory: 'log' | 'checkpoints';
      readonly changes: number;
      readonly thenMs: number;
      readonly msMax: number;
    };

/** A checkpoint that is asked for, so long after the answer to the one before. */
export interface Save {
  readonly afterMs: number;
  readonly request: 'SAVE' | 'BGSAVE';
}

export interface Round {
  /** Null takes the default. */
  readonly segmentBytes: number | null;
  /** Starts that are killed before the one that serves. */
  readonly killedStarts: readonly Moment[];
  readonly paces: readonly Pace[];
  /** SIGSTOP and, that much later, SIGCONT. */
  readonly pauses: readonly { readonly afterMs: number; readonly ms: number }[];
  /** Silence of all clients in the middle, long enough that the log marks its end. */
  readonly quietMs: number;
  readonly saves: readonly Save[];
  readonly moment: Moment;
  readonly end: 'SIGKILL' | 'SIGTERM';
}

/** The smallest segments rotate all the time; the largest is the default, and fewer of it suffice. */
const SEGMENT_BYTES = [
  65_536,
  65_536,
  65_536,
  131_072,
  131_072,
  262_144,
  1_048_576,
  1_048_576,
  4_194_304,
  null,
];

const DEPTHS = [1, 1, 4, 16, 64, 128];
const THINK_MS_MAX = [0, 0, 1, 4, 10, 20];

export function drawRound(random: SeededRandom, writers: number): Round {
  return {
    segmentBytes: random.pick(SEGMENT_BYTES),
    killedStarts: random.happens(0.3)
      ? Array.from({ length: random.between(1, 3) }, () => drawStartMoment(random))
      : [],
    paces: Array.from({ length: writers }, () => ({
      depth: random.pick(DEPTHS),
      thinkMsMax: random.pick(THINK_MS_MAX),
    })),
    pauses: random.happens(0.15)
      ? Array.from({ length: random.between(1, 3) }, () => ({
          afterMs: random.between(0, 60),
          ms: random.between(2, 80),
        }))
      : [],
    quietMs: random.happens(0.15) ? random.between(200, 400) : 0,
    saves: random.happens(0.6) ? Array.from({ length: random.between(1, 6) }, () => drawSave(random)) : [],
    moment: drawLoadMoment(random),
    end: random.happens(0.1) ? 'SIGTERM' : 'SIGKILL',
  };
}

function drawLoadMoment(random: SeededRandom): Moment {
  if (random.happens(0.6)) return { kind: 'time', ms: random.between(5, 400) };
  const directory = random.pick(['log', 'checkpoints'] as const);
  return {
    kind: 'directory',
    directory,
    changes: random.between(1, 12),
    thenMs: random.below(4),
    msMax: 400,
  };
}

function drawSave(random: SeededRandom): Save {
  return { afterMs: random.pick([0, 0, 5, 20, 100]), request: random.happens(0.7) ? 'SAVE' : 'BGSAVE' };
}

/** Recovery changes files in its first milliseconds, and then only reads. */
function drawStartMoment(random: SeededRandom): Moment {
  const dice = random.below(4);
  if (dice < 2) {
    const changes = random.between(1, 6);
    return { kind: 'directory', directory: 'log', changes, thenMs: random.below(3), msMax: 500 };
  }
  return { kind: 'time', ms: dice === 2 ? random.below(30) : random.below(500) };
}
