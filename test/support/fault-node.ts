/** A node of the history machine over a lossy disk, and the shapes of its failures. */

import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { setImmediate as turn } from 'node:timers/promises';
import { type ErrorCode, isTidemarkError } from '../../src/base/errors.ts';
import type { DurabilityChoice } from '../../src/log/durability.ts';
import { LossyFileSystem, type LossyOptions } from '../../src/testing/lossy-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { DurableSteps } from './buffered-history.ts';
import { checkPrefix, type HistoryNode, type Known, openHistory, SMALL_CHECKPOINTS } from './node-history.ts';

/** Bytes of a command that leave room for four in a segment. */
export const LARGE_BYTES = 9000;

export class FaultNode {
  readonly files: LossyFileSystem;
  readonly clock = new ManualClock();
  readonly known: Known = { sent: 0, acknowledged: 0 };
  /** Errors that commands were rejected with, in order. */
  readonly failures: unknown[] = [];
  /** Errors that checkpoints were rejected with, in order. */
  readonly checkpointFailures: unknown[] = [];
  readonly durability: DurabilityChoice;
  node!: HistoryNode;
  /** Why the node stopped by itself; null while it runs. */
  stopped: Error | null = null;
  #opened = 0;
  #durable = new DurableSteps();

  constructor(options: LossyOptions | LossyFileSystem = {}, durability: DurabilityChoice = 'synced') {
    this.files = options instanceof LossyFileSystem ? options : new LossyFileSystem(options);
    this.durability = durability;
  }

  /** A node that is open, its reserve filled. */
  static async start(options: LossyOptions = {}, durability?: DurabilityChoice): Promise<FaultNode> {
    const made = new FaultNode(options, durability);
    await made.open();
    await made.settle();
    return made;
  }

  async open(): Promise<void> {
    // Ids of segments are never drawn twice on one disk, and a run can be repeated.
    const seed = ++this.#opened;
    this.node = await openHistory(this.files, seed, this.clock, SMALL_CHECKPOINTS, this.durability);
    void this.node.whenStopped().then((reason) => (this.stopped = reason));
  }

  /** Sends the next command; resolves when its fate is known, with whether it was acknowledged. */
  async step(bytes = 10): Promise<boolean> {
    const k = this.known.sent + 1;
    try {
      const answer = this.node.submit('step', { k, blob: new Uint8Array(bytes).fill(k) });
      this.known.sent = k;
      strictEqual(await answer, k);
      this.known.acknowledged = k;
      this.#durable.note(this.node, k);
      return true;
    } catch (error) {
      this.failures.push(error);
      return false;
    }
  }

  /** Takes a checkpoint; resolves with whether there is one. */
  async checkpoint(): Promise<boolean> {
    try {
      await this.node.checkpoint();
      return true;
    } catch (error) {
      this.checkpointFailures.push(error);
      return false;
    }
  }

  /** Sends command after command until one is refused; resolves with its error. */
  async stepUntilRefused(bytes = 10, countMax = 200): Promise<unknown> {
    for (let count = 0; count < countMax; count++) {
      if (!(await this.step(bytes))) return this.failures.at(-1);
    }
    throw new Error(`${countMax} commands were taken`);
  }

  /** As `step`, while time passes. */
  async stepInTime(bytes = 10): Promise<boolean> {
    let isDone = false;
    const outcome = this.step(bytes).finally(() => (isDone = true));
    for (let turns = 0; !isDone && turns < 1000; turns++) {
      await turn();
      if (turns > 20) this.clock.advance(100);
    }
    ok(isDone, 'its fate is known in 100 seconds');
    return outcome;
  }

  /** Lets everything that needs no more time come to its end. */
  async settle(): Promise<void> {
    for (let calls = -1; calls !== this.files.callCount; ) {
      calls = this.files.callCount;
      for (let turns = 0; turns < 5; turns++) await turn();
    }
  }

  /** The process is killed and the machine lives: a node over the same cache. */
  killed(): FaultNode {
    return this.#successor(this.files.kill());
  }

  /**
   * The process and the machine die, and nothing reached the disk that was not synced. A node with `buffered`
   * durability must have what it says is durable.
   */
  cut(): FaultNode {
    this.files.crash();
    const [barest] = this.files.crashImages();
    const next = this.#successor(barest!.files);
    if (this.durability !== 'synced') next.known.acknowledged = this.#durable.last(this.node);
    return next;
  }

  /** Everything acknowledged is there, and nothing that was not sent; the node takes commands. */
  async check(): Promise<void> {
    await this.open();
    this.known.sent = await checkPrefix(this.node, this.known);
    this.known.acknowledged = this.known.sent;
    this.#durable = new DurableSteps();
    this.#durable.note(this.node, this.known.sent);
    ok(await this.step(), `takes commands: ${String(this.failures.at(-1))}`);
  }

  /** The next process, after this one has closed. */
  successor(): FaultNode {
    return this.#successor(this.files);
  }

  #successor(files: LossyFileSystem): FaultNode {
    const next = new FaultNode(files, this.durability);
    Object.assign(next.known, this.known);
    next.#opened = this.#opened;
    return next;
  }
}

/**
 * After a failure of the disk: everything acknowledged is there after a kill, and after a power cut too; with
 * `buffered` durability, after the power cut everything that was durable.
 */
export async function checkNothingLost(failed: FaultNode): Promise<void> {
  await failed.settle();
  const images = [failed.killed(), failed.cut()];
  for (const image of images) {
    await image.check();
    await image.settle();
    const after = image.cut();
    await after.check();
  }
}

/** The node is poisoned for good: whatever the disk says now. */
export async function checkPoisoned(failed: FaultNode): Promise<void> {
  const { node, files } = failed;
  const reason = await node.whenStopped();
  ok(isTidemarkError(reason, 'TIDEMARK_LOG_POISONED'), `stopped by ${String(reason)}`);
  await failed.settle();
  const acknowledged = failed.known.acknowledged;
  const { callCount } = files;
  for (const call of [() => node.submit('refuse'), () => node.query('last'), () => node.drained()]) {
    deepStrictEqual(await codeOf(call()), 'TIDEMARK_LOG_POISONED');
  }
  failed.clock.advance(60_000);
  await failed.settle();
  strictEqual(failed.known.acknowledged, acknowledged);
  const later = files.calls.filter(({ at }) => at > callCount).map(({ op, path }) => `${op} ${path}`);
  deepStrictEqual(later, [], 'nothing is written any more');
}

/** The code that a promise rejects with; null when it resolves. */
export async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | null> {
  try {
    await promise;
    return null;
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return error.code;
  }
}
