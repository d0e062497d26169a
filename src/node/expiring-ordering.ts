/**
 * The ordering of a key-value node: before anything else it proposes to remove the keys whose time has come.
 *
 * Whether a key is there is decided by the log alone; the clock of this node only decides when to propose a
 * command that removes some (keyvalue/expire-due.ts). It does so when a deadline passes, and before it takes
 * a command or a read while one has passed: so a client of this node finds no key whose time was over when it
 * asked, unless more than PROPOSALS_MAX × EXPIRE_KEYS_MAX expire at once.
 */

import { isTidemarkError } from '../base/errors.ts';
import type { Clock, Timer } from '../base/time.ts';
import { countKeys } from '../keyvalue/counts.ts';
import type { DeadlineTable, DueKey } from '../keyvalue/deadline-table.ts';
import { EXPIRE_BYTES_MAX, EXPIRE_KEYS_MAX, encodeExpiry } from '../keyvalue/expire-due.ts';
import { deadlineIn, isUserKey, NO_DEADLINE, stateKeyOf } from '../keyvalue/layout.ts';
import type { CommandSink, Ordering, ReadSink } from '../ordering/ordering.ts';
import type { StateReader } from '../state/state.ts';

/** Proposals that may be on their way at once. */
const PROPOSALS_MAX = 16;

/** After a proposal that was refused, because the disk is full for instance. */
const RETRY_MS = 100;

/** A timer takes no more than 2^31 ms. */
const SLEEP_MS_MAX = 60 * 60 * 1000;

/** Records of the state looked at in one go, when the table is made from it; some 0.3 ms. */
const REBUILD_RECORDS = 512;

export interface ExpiringConfig {
  readonly ordering: Ordering;
  readonly deadlines: DeadlineTable;
  readonly state: StateReader;
  readonly clock: Clock;
}

export class ExpiringOrdering implements Ordering {
  readonly #config: ExpiringConfig;
  #proposals = 0;
  #expired = 0;
  #timer: Timer | null = null;
  /** When the timer is due; Infinity without one. */
  #wakesAt = Infinity;
  /** The rebuild that runs; null when none does. */
  #rebuilding: object | null = null;
  #isStopped = false;

  constructor(config: ExpiringConfig) {
    this.#config = config;
    config.deadlines.whenEarlier(() => this.#sleep());
  }

  /** Keys that it has had removed. */
  get keysExpired(): number {
    return this.#expired;
  }

  /** Keys with a deadline, some perhaps counted twice, or gone. */
  get deadlineCount(): number {
    return this.#config.deadlines.count;
  }

  /**
   * Starts proposing.
   * @param loaded When the whole state is in memory. Deadlines that no entry of this run has set are found
   *   then, in slices: until that is done, keys of the checkpoint may outlive their time.
   */
  start(loaded: Promise<void>): void {
    this.#sleep();
    loaded.then(
      () => {
        if (this.#config.state.size > 0) this.#rebuild();
      },
      () => undefined, // The node stops, and tells why.
    );
  }

  /** The state became another one: deadlines are found in it anew. */
  stateReplaced(): void {
    this.#config.deadlines.clear();
    this.#rebuild();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  enqueue(command: Uint8Array, sink: CommandSink): boolean {
    this.#proposeDue();
    return this.#config.ordering.enqueue(command, sink);
  }

  enqueueRead(sink: ReadSink): void {
    this.#proposeDue();
    this.#config.ordering.enqueueRead(sink);
  }

  get isDrained(): boolean {
    return this.#config.ordering.isDrained;
  }

  whenDrained(): Promise<void> {
    return this.#config.ordering.whenDrained();
  }

  #proposeDue(): void {
    const { deadlines, clock, state } = this.#config;
    if (deadlines.next === Infinity || this.#isStopped) return;
    const now = clock.now();
    while (deadlines.next <= now && this.#proposals < PROPOSALS_MAX) {
      const keys = this.#takeDue(now);
      if (keys.length === 0 || !this.#propose(keys)) break;
    }
    if (this.#rebuilding === null && deadlines.isMostlyLeftovers(() => countKeys(state))) {
      deadlines.clear();
      this.#rebuild();
    }
    this.#sleep();
  }

  /** Keys whose time has come, by the state as it is; others are put back, or forgotten. */
  #takeDue(now: number): DueKey[] {
    const { deadlines, state } = this.#config;
    const due: DueKey[] = [];
    let bytes = 0;
    while (deadlines.next <= now && due.length < EXPIRE_KEYS_MAX && bytes < EXPIRE_BYTES_MAX) {
      const { key } = deadlines.take();
      const deadline = deadlineIn(state.get(stateKeyOf(key)));
      if (deadline === NO_DEADLINE) continue;
      if (deadline > now) {
        deadlines.add(key, deadline);
        continue;
      }
      due.push({ key, deadline });
      bytes += key.length;
    }
    return due;
  }

  /** Returns whether it was taken. */
  #propose(keys: readonly DueKey[]): boolean {
    const { ordering, deadlines, clock } = this.#config;
    const putBack = (): void => {
      for (const { key, deadline } of keys) deadlines.add(key, deadline);
      this.#wakeAt(clock.now() + RETRY_MS);
    };
    const sink: CommandSink = {
      settle: (count) => {
        this.#proposals--;
        this.#expired += count as number;
        if (deadlines.next <= clock.now()) this.#wakeAt(clock.now());
      },
      fail: () => {
        this.#proposals--;
        putBack();
      },
    };
    try {
      ordering.enqueue(encodeExpiry(keys.map(({ key }) => key)), sink);
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      putBack();
      return false;
    }
    this.#proposals++;
    return true;
  }

  /** Until the earliest deadline; while proposals are on their way their answers wake it. */
  #sleep(): void {
    if (this.#proposals < PROPOSALS_MAX) this.#wakeAt(this.#config.deadlines.next);
  }

  #wakeAt(time: number): void {
    if (this.#isStopped || time >= this.#wakesAt) return;
    const { clock } = this.#config;
    this.#timer?.cancel();
    this.#wakesAt = time;
    this.#timer = clock.after(Math.min(Math.max(time - clock.now(), 0), SLEEP_MS_MAX), () => {
      this.#wakesAt = Infinity;
      this.#proposeDue();
    });
  }

  /** A key that is changed meanwhile is noted by its command; one that is there all the time is found. */
  #rebuild(): void {
    const { state, deadlines, clock } = this.#config;
    const rebuilding = {};
    this.#rebuilding = rebuilding;
    let cursor = 0;
    const slice = (): void => {
      if (this.#isStopped || this.#rebuilding !== rebuilding) return;
      const { entries, next } = state.scan(cursor, REBUILD_RECORDS);
      for (const { key, value } of entries) {
        const deadline = isUserKey(key) ? deadlineIn(value) : NO_DEADLINE;
        if (deadline !== NO_DEADLINE) deadlines.note(key, deadline);
      }
      cursor = next;
      if (cursor === 0) this.#rebuilding = null;
      else clock.after(0, slice);
    };
    clock.soon(slice);
  }
}
