/**
 * Swarm testing (Groce et al. 2012): each run draws for itself which kinds of faults there are, how frequent,
 * and how large everything is. A run with all faults at once hides what a run with two of them shows.
 *
 * Everything that is drawn has a name, and a stream of random numbers of its own that follows from the seed
 * and the name. So the same seed gives the same mix, and a new kind of fault leaves old seeds what they were
 * for all others.
 */

import { requireInteger } from '../base/options.ts';
import { SeededRandom } from './seeded-random.ts';

/** A kind of fault, and how it may be drawn. */
export interface FaultKind {
  /** Area and fault, as `network.drop`. Never renamed: its draws follow from it. */
  readonly name: string;
  /** Share of the runs that have it, from 0 to 1. @default 0.5 */
  readonly share?: number;
  /** Its rate where it is on, lowest and highest; of what, the kind decides. Drawn evenly over magnitudes. */
  readonly rate: readonly [min: number, max: number];
}

const SHARE_DEFAULT = 0.5;

/** What one seed draws. */
export class Swarm {
  readonly seed: number;
  readonly #drawn = new Map<string, string>();

  /** @param seed From 0 to 2^32-1. */
  constructor(seed: number) {
    requireInteger('seed', seed, 0, 2 ** 32 - 1);
    this.seed = seed;
  }

  /**
   * Random numbers for what has this name, the same for every call. Names are never changed: seeds depend on
   * them.
   */
  stream(name: string): SeededRandom {
    let mixed = this.seed ^ 0x811c9dc5;
    for (let at = 0; at < name.length; at++) mixed = Math.imul(mixed ^ name.charCodeAt(at), 0x01000193);
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return new SeededRandom(mixed ^ (mixed >>> 16));
  }

  /** The rate of a fault in this run; 0 where it is off. */
  rateOf({ name, share = SHARE_DEFAULT, rate: [min, max] }: FaultKind): number {
    const random = this.stream(`fault ${name}`);
    const isOn = random.happens(share);
    const rate = isOn ? min * (max / min) ** (random.u32() / 2 ** 32) : 0;
    if (isOn) this.#drawn.set(name, String(Number(rate.toPrecision(2))));
    return rate;
  }

  /** The rates of faults in this run, by name; 0 for those that are off. */
  ratesOf(kinds: readonly FaultKind[]): Readonly<Record<string, number>> {
    return Object.fromEntries(kinds.map((kind) => [kind.name, this.rateOf(kind)]));
  }

  /** One of some choices, for a size or an option of this run. */
  choose<Choice extends string | number | boolean>(name: string, choices: readonly Choice[]): Choice {
    const choice = this.stream(`choice ${name}`).pick(choices);
    this.#drawn.set(name, String(choice));
    return choice;
  }

  /** An integer from `first` to `last`, for a size of this run. */
  size(name: string, first: number, last: number): number {
    const size = this.stream(`size ${name}`).between(first, last);
    this.#drawn.set(name, String(size));
    return size;
  }

  /** What was drawn so far, in one line; faults that are off are left out. */
  describe(): string {
    return [`seed=${this.seed}`, ...[...this.#drawn].map(([name, value]) => `${name}=${value}`)].join(' ');
  }
}
