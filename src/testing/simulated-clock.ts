/**
 * Door 3 for simulations: time that passes only from one thing to do to the next. Hours take seconds, and the
 * same program does the same things in the same order.
 *
 * Unlike `ManualClock`, what is due runs at its own time, and what it plans is run in its place, too.
 */

import { assert } from '../base/assert.ts';
import type { Clock, Timer } from '../base/time.ts';

/** Something planned. Null once it was cancelled. */
interface Planned {
  readonly at: number;
  /** In the order in which things were planned: of two at one time the earlier one runs first. */
  readonly sequence: number;
  run: (() => void) | null;
}

/** A clock whose time passes from one thing to do to the next. */
export class SimulatedClock implements Clock {
  #now: number;
  #sequence = 0;
  /** A binary heap: each is before the two at twice its place, plus one and plus two. */
  readonly #heap: Planned[] = [];

  /** @param now Wall-clock time to begin with, in milliseconds since 1970. */
  constructor(now = 1_700_000_000_000) {
    this.#now = now;
  }

  now(): number {
    return Math.floor(this.#now);
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): Timer {
    assert(ms >= 0, `what is planned is not in the past, got ${ms} ms`);
    const planned: Planned = { at: this.#now + ms, sequence: this.#sequence++, run };
    this.#insert(planned);
    return {
      cancel() {
        planned.run = null;
      },
    };
  }

  soon(run: () => void): void {
    this.#insert({ at: this.#now, sequence: this.#sequence++, run });
  }

  /** Runs the next thing, at its time. False when nothing is planned. */
  step(): boolean {
    for (let planned = this.#take(); planned !== null; planned = this.#take()) {
      if (planned.run === null) continue;
      this.#now = planned.at;
      planned.run();
      return true;
    }
    return false;
  }

  /** Lets `ms` milliseconds pass, and runs everything that is due in them. */
  advance(ms: number): void {
    const until = this.#now + ms;
    for (let first = this.#heap[0]; first !== undefined && first.at <= until; first = this.#heap[0]) {
      if (first.run === null) this.#take();
      else this.step();
    }
    this.#now = until;
  }

  #insert(planned: Planned): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(planned);
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (!isBefore(planned, heap[above]!)) break;
      heap[at] = heap[above]!;
      at = above;
    }
    heap[at] = planned;
  }

  #take(): Planned | null {
    const heap = this.#heap;
    const [first] = heap;
    const last = heap.pop();
    if (first === undefined || last === undefined) return null;
    if (first !== last) this.#sink(last);
    return first;
  }

  /** Puts `planned` in the place of the first, and then where it belongs. */
  #sink(planned: Planned): void {
    const heap = this.#heap;
    let at = 0;
    for (let below = 1; below < heap.length; below = 2 * at + 1) {
      if (below + 1 < heap.length && isBefore(heap[below + 1]!, heap[below]!)) below++;
      if (!isBefore(heap[below]!, planned)) break;
      heap[at] = heap[below]!;
      at = below;
    }
    heap[at] = planned;
  }
}

function isBefore(one: Planned, other: Planned): boolean {
  return one.at < other.at || (one.at === other.at && one.sequence < other.sequence);
}
