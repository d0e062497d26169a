/**
 * Chaos: one disk, many lives. A node runs over a disk with faults by chance and on purpose, acknowledges
 * what is durable or what is written, takes checkpoints at any moment, ends in one of several ways, and
 * starts again over what is left; between two lives the disk may be well for a while.
 *
 * Invariants: what was acknowledged is there, as a prefix of what was sent, of a life with `buffered`
 * durability that a power cut ended at least what was durable; errors have the codes that their
 * causes have, and a checkpoint counts as damaged only where reads fail; a node on a disk that is well
 * starts, and takes commands and checkpoints.
 *
 * Faults are those that must not cost anything. A write that the device reports and loses, or rot at rest,
 * can cost the last batch by the nature of one disk, and is shown elsewhere to be noticed
 * (log-damage.test.ts).
 */

import { ok, strictEqual } from 'node:assert';
import { setImmediate as turn } from 'node:timers/promises';
import { type ErrorCode, isTidemarkError } from '../../src/base/errors.ts';
import type { DurabilityChoice } from '../../src/log/durability.ts';
import { SimulatedCrash } from '../../src/testing/lossy-calls.ts';
import { LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { BUFFERED, DurableSteps, type KnownBuffered } from './buffered-history.ts';
import {
  checkPrefix,
  checkRecovered,
  type HistoryNode,
  openHistory,
  SMALL_CHECKPOINTS,
} from './node-history.ts';

const LIVES = 6;
const MEBIBYTE = 1024 * 1024;

/** What a command may be refused with while the disk is not well. */
const REFUSALS: readonly ErrorCode[] = [
  'TIDEMARK_DISK_FULL',
  'TIDEMARK_RESOURCES',
  'TIDEMARK_LOG_POISONED',
  'TIDEMARK_BUSY',
];

/** What a start may be refused with, besides. A read that fails is damage as far as the node can tell. */
const START_REFUSALS: readonly ErrorCode[] = [
  'TIDEMARK_DISK_FULL',
  'TIDEMARK_RESOURCES',
  'TIDEMARK_IO',
  'TIDEMARK_LOG_DAMAGED',
  'TIDEMARK_STATUS_DAMAGED',
];

/** What a checkpoint may be refused with, besides: the node goes on. */
const CHECKPOINT_REFUSALS: readonly ErrorCode[] = [
  ...REFUSALS,
  'TIDEMARK_IO',
  'TIDEMARK_NOT_OPEN',
  'TIDEMARK_NOT_WRITABLE',
];

export interface ChaosTally {
  lives: number;
  acknowledged: number;
  refusedStarts: number;
  refusedCommands: number;
  poisoned: number;
  /** Nodes that stopped, and starts that were refused, because a checkpoint could not be read. */
  damaged: number;
  checkpoints: number;
  refusedCheckpoints: number;
  /** Starts that installed a checkpoint, and those that had to use an older one than the newest. */
  restored: number;
  fellBack: number;
}

export function newTally(): ChaosTally {
  return {
    lives: 0,
    acknowledged: 0,
    refusedStarts: 0,
    refusedCommands: 0,
    poisoned: 0,
    damaged: 0,
    checkpoints: 0,
    refusedCheckpoints: 0,
    restored: 0,
    fellBack: 0,
  };
}

/** Runs the chaos of one seed; throws when an invariant breaks. */
export async function runChaos(seed: number, tally: ChaosTally): Promise<void> {
  const chaos = new Chaos(seed, tally);
  try {
    for (let life = 0; life < LIVES; life++) await chaos.live();
    await chaos.end();
  } catch (error) {
    const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
    const where = `SEED=${seed} life ${chaos.lives}: ${chaos.story.join(', ')}`;
    throw new Error(`${where}\n${reason}`, { cause: error });
  }
}

class Chaos {
  lives = 0;
  /** What happened in this life. */
  story: string[] = [];
  /** Whether reads fail in this life, so that a whole checkpoint may look damaged. */
  #readsFail = false;
  /** What a checkpoint was refused with that it must not be. */
  #violation: unknown = null;
  #files: LossyFileSystem;
  readonly #random: SeededRandom;
  readonly #tally: ChaosTally;
  /** What must be there is what was acknowledged; after a power cut, what was durable. */
  readonly #known: KnownBuffered = { sent: 0, acknowledged: 0, durable: 0 };
  #durability: DurabilityChoice = 'synced';
  #durable = new DurableSteps();
  readonly #seed: number;
  readonly #clock = new ManualClock();

  constructor(seed: number, tally: ChaosTally) {
    this.#seed = seed;
    this.#random = new SeededRandom(seed);
    this.#tally = tally;
    this.#files = new LossyFileSystem({ seed });
  }

  async live(): Promise<void> {
    this.lives++;
    this.story = [];
    this.#tally.lives++;
    this.#trouble();
    const node = await this.#start();
    if (node !== null) await this.#work(node);
    await this.#die(node);
    if (this.#violation !== null) throw this.#violation;
  }

  /** A disk that is well: everything is there. */
  async end(): Promise<void> {
    this.#heal();
    await checkRecovered(this.#files, this.#known, this.#nextSeed());
  }

  /** Decides what is wrong with the disk in this life. */
  #trouble(): void {
    const random = this.#random;
    const files = this.#files;
    const pick = random.below(8);
    if (pick === 0) files.odds = { syncLoss: 0.02 };
    else if (pick === 1) files.odds = { readError: 0.01, shortRead: 0.01 };
    else if (pick === 2) files.odds = { openExhausted: 0.05 };
    else if (pick === 3) files.odds = { syncLoss: 0.005, readError: 0.003, openExhausted: 0.01 };
    else if (pick === 4) files.capacityBytes = files.usedBytes + random.below(MEBIBYTE / 4);
    else if (pick === 5) {
      const on = random.pick(['sync-directory', 'rename', 'write', 'sync', 'sync-data', 'create'] as const);
      const code = random.pick(['EIO', 'ENOSPC', 'EMFILE', 'EDQUOT', 'EROFS']);
      files.inject({ kind: 'error', on, code, after: random.below(120) });
      this.story.push(`${code} on ${on}`);
    }
    this.#readsFail = files.odds.readError !== undefined;
    this.story.push(`trouble ${pick}`);
  }

  #heal(): void {
    this.#files.odds = {};
    this.#files.healFaults();
    this.#files.capacityBytes = Infinity;
    this.story.push('healed');
  }

  async #start(): Promise<HistoryNode | null> {
    for (let tries = 0; tries < 3; tries++) {
      try {
        return await this.#open();
      } catch (error) {
        this.#tally.refusedStarts++;
        this.#expectOrDamaged(error, [...START_REFUSALS, ...REFUSALS, 'TIDEMARK_NOT_WRITABLE']);
        if (tries === 1) this.#heal();
      }
    }
    throw new Error('a disk that is well refuses the start');
  }

  async #open(): Promise<HistoryNode> {
    this.#durability = this.#random.happens(0.4) ? BUFFERED : 'synced';
    const seed = this.#nextSeed();
    const opening = openHistory(this.#files, seed, this.#clock, SMALL_CHECKPOINTS, this.#durability);
    const node = await this.#inTime(opening);
    const { checkpoint, warnings } = node.recovery;
    this.#tally.restored += Number(checkpoint !== null);
    const isOlder = warnings.some((warning) => warning.includes('checkpoint file'));
    this.#tally.fellBack += Number(isOlder);
    ok(this.#readsFail || !isOlder, `no checkpoint is damaged: ${warnings.join('; ')}`);
    try {
      const last = await checkPrefix(node, this.#known);
      Object.assign(this.#known, { sent: last, acknowledged: last, durable: last });
      this.#durable = new DurableSteps();
      if (this.#durability !== 'synced') this.story.push('buffered');
      return node;
    } catch (error) {
      await this.#inTime(node.close()); // The disk failed it at once.
      throw error;
    }
  }

  async #work(node: HistoryNode): Promise<void> {
    const random = this.#random;
    const batches = random.between(1, 12);
    for (let batch = 0; batch < batches; batch++) {
      if (random.happens(0.05)) this.#heal();
      if (random.happens(0.3)) this.#clock.advance(random.pick([10, 300, 1500]));
      if (random.happens(0.15)) {
        const taken = this.#takeCheckpoint(node).catch((error: unknown) => void (this.#violation ??= error));
        if (random.happens(0.5)) await this.#inTime(taken);
      }
      const isWell = await this.#submitBatch(node);
      this.#noteDurable(node);
      if (random.happens(0.1)) await this.#sync(node);
      if (isWell) continue;
      // The answers that did not come may have been of commands that took effect: ask.
      await this.#settle();
      try {
        this.#known.sent = await checkPrefix(node, this.#known);
        this.#known.acknowledged = this.#known.sent;
      } catch (error) {
        this.#expectOrDamaged(error, ['TIDEMARK_LOG_POISONED']);
        this.#tally.poisoned++;
        return;
      }
    }
  }

  /** Takes a checkpoint, or is told why there is none; while the node lives, one or the other comes. */
  async #takeCheckpoint(node: HistoryNode): Promise<void> {
    try {
      await node.checkpoint();
      this.#tally.checkpoints++;
    } catch (error) {
      this.#tally.refusedCheckpoints++;
      if (!(error instanceof SimulatedCrash)) this.#expectOrDamaged(error, CHECKPOINT_REFUSALS);
    }
  }

  /** False when a command was refused: what was sent with it follows nothing. */
  async #submitBatch(node: HistoryNode): Promise<boolean> {
    const random = this.#random;
    const known = this.#known;
    const answers: Promise<void>[] = [];
    const errors: unknown[] = [];
    for (let size = random.between(1, 5); size > 0; size--) {
      const k = known.sent + 1;
      const blob = new Uint8Array(random.pick([0, 10, 700, 9000, 30_000]));
      known.sent = k;
      const answer = node.submit('step', { k, blob }).then((result) => {
        strictEqual(result, k);
        strictEqual(known.acknowledged, k - 1, 'answers come in order');
        known.acknowledged = k;
        this.#tally.acknowledged++;
      });
      answers.push(answer.catch((error: unknown) => void errors.push(error)));
      if (random.happens(0.3)) await turn();
    }
    await this.#inTime(Promise.all(answers));
    this.#tally.refusedCommands += errors.length;
    for (const error of errors) {
      // A command behind a refused one is refused by the machine: it follows nothing.
      if (error instanceof Error && /^step \d+ follows \d+$/.test(error.message)) continue;
      this.#expectOrDamaged(error, REFUSALS);
    }
    return errors.length === 0;
  }

  /** Writes down how far what was acknowledged is durable. */
  #noteDurable(node: HistoryNode): void {
    const known = this.#known;
    this.#durable.note(node, known.acknowledged);
    const last = this.#durability === 'synced' ? known.acknowledged : this.#durable.last(node);
    known.durable = Math.max(known.durable, last);
  }

  /** What was acknowledged before is durable, or the node stops. */
  async #sync(node: HistoryNode): Promise<void> {
    const known = this.#known;
    const { acknowledged } = known;
    try {
      await this.#inTime(node.sync());
      known.durable = Math.max(known.durable, acknowledged);
    } catch (error) {
      this.#expectOrDamaged(error, REFUSALS);
    }
  }

  async #die(node: HistoryNode | null): Promise<void> {
    const way = this.#random.below(4);
    this.story.push(`ends in way ${way}`);
    if (way === 0 && node !== null) {
      await this.#inTime(node.close()).catch((error: unknown) => this.#expect(error, REFUSALS));
      this.#noteDurable(node);
      return;
    }
    if (this.#random.happens(0.3) && node !== null) {
      // Something is on its way when it ends.
      this.#known.sent++;
      const { sent: k } = this.#known;
      node.submit('step', { k, blob: new Uint8Array(5000) }).then(
        () => (this.#known.acknowledged = k),
        () => undefined,
      );
      if (this.#random.happens(0.7)) await turn();
    }
    if (node !== null) this.#noteDurable(node);
    if (way !== 1) this.#known.acknowledged = this.#known.durable;
    const { capacityBytes } = this.#files;
    this.#files = way === 1 ? this.#files.kill() : this.#files.powerCut(this.#random).files;
    this.#files.capacityBytes = this.#random.happens(0.5) ? capacityBytes : Infinity;
  }

  /** Lets time pass until it is done: some failures are waited out. */
  async #inTime<Result>(promise: Promise<Result>): Promise<Result> {
    let isDone = false;
    const done = promise.finally(() => (isDone = true));
    done.catch(() => undefined);
    for (let turns = 0; !isDone && turns < 5000; turns++) {
      await turn();
      if (turns > 30) this.#clock.advance(100);
    }
    ok(isDone, 'it comes to an end');
    return done;
  }

  async #settle(): Promise<void> {
    for (let turns = 0; turns < 20; turns++) await turn();
  }

  /** As `expect`; what reads from a checkpoint may fail where reads do. */
  #expectOrDamaged(error: unknown, codes: readonly ErrorCode[]): void {
    const isDamaged = isTidemarkError(error, 'TIDEMARK_CHECKPOINT_DAMAGED');
    this.#tally.damaged += Number(isDamaged);
    if (!isDamaged || !this.#readsFail) this.#expect(error, codes);
  }

  #expect(error: unknown, codes: readonly ErrorCode[]): void {
    if (isTidemarkError(error) && codes.includes(error.code)) return;
    throw error;
  }

  /** Ids of segments are never drawn twice. */
  #nextSeed(): number {
    return this.#random.u32() ^ this.#seed;
  }
}
