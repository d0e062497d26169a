/**
 * The gate that every call to a lossy file system passes: it counts and records, crashes on time, strikes
 * with faults, and completes asynchronous calls in an order drawn from the seed. No clock and no timer: a
 * call completes in a microtask, after as many others as chance wants.
 */

import { assert } from '../base/assert.ts';
import { simulatedSystemError } from '../storage/system-error.ts';
import {
  type Faults,
  type IoCall,
  type IoOperation,
  type Strike,
  WRITING_OPERATIONS,
} from './lossy-faults.ts';
import type { SeededRandom } from './seeded-random.ts';

/** Calls kept in the record; the older half is dropped above it. */
const CALLS_KEPT_MAX = 1_000_000;

/** Thrown by every call from the crash on. Not an operating error: nobody is left to handle it. */
export class SimulatedCrash extends Error {
  override readonly name = 'SimulatedCrash';
}

/** Whether the call at which the crash comes has still had its effect. */
export type CrashEffect = 'none' | 'done';

/** Order in which asynchronous calls complete. */
export type CompletionOrder = 'issued' | 'seeded';

/** A sync that waits for the test to settle it. */
export interface HeldSync {
  readonly path: string;
  readonly op: 'sync' | 'sync-data';
  /** Lets it take effect, and complete. */
  release(): void;
  /** Lets it fail with a system code, without effect. */
  fail(code: string): void;
}

/** What `enter` is told of a call. */
export interface CallDescription {
  readonly op: IoOperation;
  readonly path: string;
  readonly offset?: number;
  readonly bytes?: number;
  /** An open that asks for permission to write. */
  readonly isForWriting?: boolean;
}

const WORDS: Readonly<Record<IoOperation, string>> = {
  'make-directory': 'create the directory',
  list: 'list',
  stat: 'look at',
  open: 'open',
  create: 'create',
  rename: 'rename',
  remove: 'remove',
  'sync-directory': 'sync the directory',
  lock: 'lock',
  unlock: 'unlock',
  size: 'look at',
  read: 'read',
  write: 'write',
  sync: 'sync',
  'sync-data': 'sync',
  truncate: 'truncate',
  close: 'close',
};

/** Operations on an open file: permissions were checked when it was opened. */
const HANDLE_OPERATIONS: ReadonlySet<IoOperation> = new Set<IoOperation>([
  'size',
  'read',
  'write',
  'sync',
  'sync-data',
  'truncate',
  'close',
  'unlock',
]);

export class CallGate {
  readonly faults: Faults;
  readonly #random: SeededRandom;
  readonly #order: CompletionOrder;
  #calls: IoCall[] = [];
  #callCount = 0;
  #crashAt: { readonly call: number; readonly effect: CrashEffect } | null = null;
  #crash: SimulatedCrash | null = null;
  #denied: 'EROFS' | 'EACCES' | null = null;
  #held: HeldSync[] | null = null;
  readonly #waiting: (() => void)[] = [];
  #isScheduled = false;

  constructor(init: { faults: Faults; random: SeededRandom; order: CompletionOrder }) {
    this.faults = init.faults;
    this.#random = init.random;
    this.#order = init.order;
  }

  get calls(): readonly IoCall[] {
    return this.#calls;
  }

  get callCount(): number {
    return this.#callCount;
  }

  get hasCrashed(): boolean {
    return this.#crash !== null;
  }

  get held(): readonly HeldSync[] {
    return this.#held ?? [];
  }

  crashAt(call: number, effect: CrashEffect): void {
    assert(call > this.#callCount, `call ${call} is still to come, ${this.#callCount} have been`);
    this.#crashAt = { call, effect };
  }

  crash(reason: string): SimulatedCrash {
    this.#crash ??= new SimulatedCrash(reason);
    return this.#crash;
  }

  deny(code: 'EROFS' | 'EACCES' | null): void {
    this.#denied = code;
  }

  holdSyncs(): void {
    this.#held ??= [];
  }

  releaseSyncs(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const sync of held.slice()) sync.release(); // Each takes itself off the list.
  }

  /** One call, taking effect now. `run` is told which fault strikes it, if one does. */
  enter<Result>(description: CallDescription, run: (strike: Strike | null) => Result): Result {
    if (this.#crash !== null) throw this.#crash;
    const call = this.#record(description);
    const isLast = this.#crashAt?.call === call.at;
    if (isLast && this.#crashAt?.effect === 'none') throw this.#crashNow(call);
    let result: Result;
    try {
      this.#refuse(call, description);
      const strike = call.op === 'close' || call.op === 'unlock' ? null : this.faults.strike(call);
      if (strike?.kind === 'error') throw refusal(call, strike.code);
      result = run(strike);
    } catch (error) {
      throw isLast ? this.#crashNow(call) : error;
    }
    if (isLast) throw this.#crashNow(call);
    return result;
  }

  /** Lets `task` take effect later, in an order drawn from the seed. */
  later<Result>(task: () => Result): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(() => {
        try {
          resolve(task());
        } catch (error) {
          reject(error);
        }
      });
      this.#schedule();
    });
  }

  /** As `later`, for a sync, which the test may hold back. */
  laterSync(call: { op: 'sync' | 'sync-data'; path: string }, task: () => void): Promise<void> {
    const held = this.#held;
    if (held === null) return this.later(task);
    return new Promise((resolve, reject) => {
      const settle = (run: () => void): void => {
        const at = held.indexOf(sync);
        if (at >= 0) held.splice(at, 1);
        this.later(run).then(resolve, reject);
      };
      const sync: HeldSync = {
        ...call,
        release: () => settle(task),
        fail: (code) =>
          settle(() =>
            this.enter(call, () => {
              throw refusal(call, code);
            }),
          ),
      };
      held.push(sync);
    });
  }

  #record({ op, path, offset = 0, bytes = 0 }: CallDescription): IoCall {
    const call = { at: ++this.#callCount, op, path, offset, bytes };
    if (this.#calls.length >= CALLS_KEPT_MAX) this.#calls = this.#calls.slice(CALLS_KEPT_MAX / 2);
    this.#calls.push(call);
    return call;
  }

  #refuse(call: IoCall, description: CallDescription): void {
    if (this.#denied === null) return;
    const isWriting = WRITING_OPERATIONS.has(call.op) || description.isForWriting === true;
    const isDenied = this.#denied === 'EROFS' ? isWriting : !HANDLE_OPERATIONS.has(call.op);
    if (isDenied) throw refusal(call, this.#denied);
  }

  #crashNow({ at, op, path }: IoCall): SimulatedCrash {
    return this.crash(`crashed at call ${at}: ${op} ${path}`);
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    queueMicrotask(() => this.#completeOne());
  }

  #completeOne(): void {
    this.#isScheduled = false;
    const isSeeded = this.#order === 'seeded';
    // An idle turn lets calls that are still to be issued overtake those that wait.
    if (!isSeeded || this.#random.happens(0.5)) {
      const at = isSeeded ? this.#random.below(this.#waiting.length) : 0;
      const [task] = this.#waiting.splice(at, 1);
      task?.();
    }
    if (this.#waiting.length > 0) this.#schedule();
  }
}

/** What the operating system would have answered. */
export function refusal(call: CallDescription, code: string): Error {
  const { op, path, offset } = call;
  const hasOffset = (op === 'read' || op === 'write') && offset !== undefined;
  return simulatedSystemError({ operation: WORDS[op], path, ...(hasOffset ? { offset } : {}) }, code);
}

/** The words of an operation in an error message. */
export function wordsOf(op: IoOperation): string {
  return WORDS[op];
}
