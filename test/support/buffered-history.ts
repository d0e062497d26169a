/**
 * A node with `buffered` durability as a subject of crash exploration: the history of node-history.ts, of
 * which a power cut may take the end, back to what was durable. Durable is what the node says it has synced,
 * what `sync` was awaited for, and what a checkpoint holds; a kill takes nothing that was acknowledged.
 */

import { ok } from 'node:assert';
import { buffered } from '../../src/log/durability.ts';
import type { LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import type { CrashSubject, Workload } from './crash-explorer.ts';
import {
  checkPrefix,
  checkRecovered,
  type HistoryNode,
  type Known,
  openHistory,
  SMALL_CHECKPOINTS,
  submitBatch,
} from './node-history.ts';

/** Small bounds, so that they are met now and then. */
export const BUFFERED = buffered({ intervalMs: 1000, commandsMax: 16, bytesMax: 64 * 1024 });

/** What the outside world knows of a buffered node. */
export interface KnownBuffered extends Known {
  /** After a power cut, commands up to here must be there. */
  durable: number;
}

/** Knows which commands are durable: which entry had them, and how far the node has synced. */
export class DurableSteps {
  #steps: { readonly k: number; readonly index: number }[] = [];

  /** Commands up to `k` were acknowledged by now. */
  note(node: HistoryNode, k: number): void {
    this.#steps.push({ k, index: node.stats().appliedIndex });
  }

  /** The last command noted that is durable; 0 when there is none. */
  last(node: HistoryNode): number {
    const { durableIndex } = node.stats();
    return this.#steps.findLast(({ index }) => index <= durableIndex)?.k ?? 0;
  }
}

/** One life of a buffered node. */
class Life {
  readonly node: HistoryNode;
  readonly #known: KnownBuffered;
  readonly #clock: ManualClock;
  readonly #durable = new DurableSteps();

  private constructor(node: HistoryNode, known: KnownBuffered, clock: ManualClock) {
    this.node = node;
    this.#known = known;
    this.#clock = clock;
  }

  /** @param floor How many commands must be there. */
  static async begin(
    files: LossyFileSystem,
    seed: number,
    known: KnownBuffered,
    floor: number,
  ): Promise<Life> {
    const clock = new ManualClock();
    const node = await openHistory(files, seed, clock, SMALL_CHECKPOINTS, BUFFERED);
    const last = await checkPrefix(node, { ...known, acknowledged: floor });
    // A start makes durable what it found, before it serves.
    Object.assign(known, { sent: last, acknowledged: last, durable: last });
    return new Life(node, known, clock);
  }

  async step(random: SeededRandom): Promise<void> {
    const known = this.#known;
    await submitBatch(this.node, random, known);
    this.#durable.note(this.node, known.acknowledged);
    const { commandsUnsynced, bytesUnsynced } = this.node.stats();
    const isBound = commandsUnsynced <= BUFFERED.commandsMax! && bytesUnsynced <= BUFFERED.bytesMax!;
    ok(isBound, `${commandsUnsynced} commands, ${bytesUnsynced} bytes are at stake`);
    const dice = random.below(20);
    if (dice < 3) await this.#makeDurable(this.node.sync());
    else if (dice < 6) await this.#makeDurable(this.node.checkpoint());
    // Half of it is when a node records how far it is durable.
    else if (dice < 10) this.#clock.advance(random.pick([BUFFERED.intervalMs! / 2, BUFFERED.intervalMs!]));
    this.note();
  }

  async #makeDurable(done: Promise<unknown>): Promise<void> {
    const { acknowledged } = this.#known;
    await done;
    this.#known.durable = Math.max(this.#known.durable, acknowledged);
  }

  /** Writes down what the node has synced by itself. */
  note(): void {
    this.#known.durable = Math.max(this.#known.durable, this.#durable.last(this.node));
  }
}

async function run(files: LossyFileSystem, workload: Workload, known: KnownBuffered): Promise<void> {
  const random = new SeededRandom(workload.seed);
  let life = await Life.begin(files, workload.seed, known, 0);
  try {
    for (let step = 0; step < workload.steps; step++) {
      await life.step(random);
      if (!random.happens(0.1)) continue;
      await life.node.close();
      known.durable = known.acknowledged;
      // Ids of segments are never drawn twice.
      life = await Life.begin(files, workload.seed + 1 + step, known, known.durable);
    }
  } finally {
    life.note();
  }
  await life.node.close();
}

export const bufferedNodeSubject: CrashSubject<KnownBuffered> = {
  name: 'buffered node',
  steps: { first: 6, last: 20 },
  newKnown: () => ({ sent: 0, acknowledged: 0, durable: 0 }),
  copyKnown: (known) => ({ ...known }),
  run,
  async restart(files, seed) {
    const node = await openHistory(files, seed);
    await node.close();
  },
  check: (files, known, seed) => checkRecovered(files, { ...known, acknowledged: known.durable }, seed),
  async goOn(files, known, random) {
    const life = await Life.begin(files, random.u32(), known, known.acknowledged);
    try {
      const steps = random.between(0, 3);
      for (let step = 0; step < steps; step++) await life.step(random);
    } finally {
      life.note();
    }
  },
};
