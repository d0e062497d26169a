/**
 * What a misbehaving network does, by name: which kinds there are, how often each is to happen, and how often
 * each happened in fact.
 *
 * A fault counts when something was struck by it: a partition counts by the frames and greetings it
 * swallowed, not by having been there.
 */

import type { SeededRandom } from './seeded-random.ts';

/** Faults that strike a frame by itself. */
export const FRAME_FAULTS = [
  /** It does not arrive. */
  'drop',
  /** It arrives twice, the second time later. */
  'duplicate',
  /** It does not wait for those that were sent before it. */
  'reorder',
  /** It arrives up to seconds later, and what follows it waits. */
  'delay',
  /** One bit of it changes on the way; the receiver notices, and ends the connection. */
  'garble',
  /** The connection breaks, and what is on its way is lost. */
  'reset',
] as const;

/** Faults that begin, last and end. */
export const EPISODE_FAULTS = [
  /** Replicas in two groups; between them nothing arrives. */
  'partition',
  /** Nothing arrives from one replica at another, but the other way it does. */
  'one-way-partition',
  /** A path has little bandwidth, so that lanes fill. */
  'slow-link',
  /** A path takes nothing for a while, and then everything at once. */
  'congestion',
] as const;

/** One of {@link FRAME_FAULTS}, with a probability for each frame. */
export type FrameFault = (typeof FRAME_FAULTS)[number];

/** One of {@link EPISODE_FAULTS}, with how often one begins. */
export type EpisodeFault = (typeof EPISODE_FAULTS)[number];

/**
 * Everything that is counted. `same-identity` is what peers noticed of replicas that have one number: it is
 * made by opening one twice, or by `lead`.
 */
export type NetworkFault = FrameFault | EpisodeFault | 'same-identity';

/** Which faults happen, and how often. What is left out never does. */
export interface NetworkFaultMix {
  /** Probability for each frame, from 0 to 1. */
  readonly frames?: Partial<Readonly<Record<FrameFault, number>>>;
  /** Mean time from one episode to the next, in milliseconds. */
  readonly episodesMs?: Partial<Readonly<Record<EpisodeFault, number>>>;
  /** Mean length of an episode, in milliseconds. @default 2000 */
  readonly episodeMs?: number;
}

const EPISODE_MS = 2_000;

/** Highest odds that are drawn: above them little gets through, and little is learned. */
const ODDS_MAX: Readonly<Record<FrameFault, number>> = {
  drop: 0.2,
  duplicate: 0.1,
  reorder: 0.2,
  delay: 0.05,
  garble: 0.01,
  reset: 0.01,
};

/** A mix for one seed: each kind is in it or not, rare or often. */
export function drawNetworkFaults(random: SeededRandom): NetworkFaultMix {
  const frames: Partial<Record<FrameFault, number>> = {};
  const episodesMs: Partial<Record<EpisodeFault, number>> = {};
  for (const kind of FRAME_FAULTS) {
    const odds = ODDS_MAX[kind] / 2 ** random.below(8);
    if (random.happens(0.5)) frames[kind] = odds;
  }
  for (const kind of EPISODE_FAULTS) {
    const everyMs = 500 * 2 ** random.below(6);
    if (random.happens(0.5)) episodesMs[kind] = everyMs;
  }
  return { frames, episodesMs, episodeMs: 50 * 2 ** random.below(8) };
}

export class NetworkFaults {
  readonly #random: SeededRandom;
  readonly #counts: Record<NetworkFault, number>;
  #mix: NetworkFaultMix = {};

  constructor(random: SeededRandom) {
    this.#random = random;
    const kinds: NetworkFault[] = [...FRAME_FAULTS, ...EPISODE_FAULTS, 'same-identity'];
    this.#counts = Object.fromEntries(kinds.map((kind) => [kind, 0])) as Record<NetworkFault, number>;
  }

  set mix(mix: NetworkFaultMix) {
    this.#mix = mix;
  }

  get counts(): Readonly<Record<NetworkFault, number>> {
    return { ...this.#counts };
  }

  /** It happened. */
  count(kind: NetworkFault, times = 1): void {
    this.#counts[kind] += times;
  }

  /** Whether it happens to a frame now; draws nothing for a kind without odds, so that seeds keep. */
  strikes(kind: FrameFault): boolean {
    const odds = this.#mix.frames?.[kind];
    if (odds === undefined || odds === 0 || !this.#random.happens(odds)) return false;
    this.#counts[kind]++;
    return true;
  }

  /** Time until the next episode, in milliseconds; null when there is to be none. */
  untilNext(kind: EpisodeFault): number | null {
    const meanMs = this.#mix.episodesMs?.[kind];
    return meanMs === undefined ? null : exponential(this.#random, meanMs);
  }

  episodeMs(): number {
    return exponential(this.#random, this.#mix.episodeMs ?? EPISODE_MS);
  }
}

/** A wait whose end is as likely at any time, with this mean. */
export function exponential(random: SeededRandom, mean: number): number {
  return -mean * Math.log(1 - random.u32() / 2 ** 32);
}
