/**
 * How long a replica waits for a leader: drawn anew each time, so that two rarely stand at once.
 *
 * Source of the generator: mulberry32 (Tommy Ettinger). Its seed comes from the host, so that a run can be
 * repeated; nothing of safety rests on its numbers.
 */

export class ElectionTimer {
  readonly #ticksMin: number;
  #state: number;
  #ticks: number;

  constructor(ticksMin: number, seed: number) {
    this.#ticksMin = ticksMin;
    this.#state = seed | 0;
    this.#ticks = this.redraw();
  }

  /** From one above the minimum to twice the minimum: whoever heard the leader last still lets go in time. */
  get ticks(): number {
    return this.#ticks;
  }

  redraw(): number {
    this.#ticks = this.#ticksMin + 1 + (this.#next() % this.#ticksMin);
    return this.#ticks;
  }

  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }
}
