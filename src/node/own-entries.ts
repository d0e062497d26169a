/**
 * Entries that the node itself appends, while the ordering appends none: an activation, a rewind. The log
 * tells of them what became of them; one at a time.
 */

import { assert } from '../base/assert.ts';
import type { Index } from '../base/positions.ts';
import type { Log } from '../log/log.ts';
import type { EntryType } from '../log/record.ts';

export type EntryLog = Pick<Log, 'append' | 'sync' | 'lastIndex' | 'lastTerm' | 'lastTime'>;

export interface OwnEntry {
  readonly type: EntryType;
  readonly time: number;
  /** Copied before `write` returns. */
  readonly body: Uint8Array;
}

interface Waiting {
  readonly index: Index;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class OwnEntries {
  #waiting: Waiting | null = null;
  #failure: unknown = null;

  /** Appends an entry; resolves with its index once it is durable. Rejects when it is not, or may not be. */
  async write(log: EntryLog, { type, time, body }: OwnEntry): Promise<Index> {
    assert(this.#waiting === null, 'the node appends one entry at a time');
    if (this.#failure !== null) throw this.#failure;
    const index = log.append(log.lastTerm, time, body, 1, type);
    const durable = new Promise<void>((resolve, reject) => {
      this.#waiting = { index, resolve, reject };
    });
    log.sync().catch(() => undefined); // What becomes of it is told to the methods below.
    await durable;
    return index;
  }

  /** Of the log: entries up to `index` are durable. */
  onDurable(index: Index): void {
    if (this.#waiting === null || index < this.#waiting.index) return;
    this.#waiting.resolve();
    this.#waiting = null;
  }

  /** Of the log: what comes was not written, and the log goes on. Returns whether it was the ordering's. */
  onRefused(error: unknown): boolean {
    if (this.#waiting === null) return true;
    this.#waiting.reject(error);
    this.#waiting = null;
    return false;
  }

  /** Nobody knows what became of what was written; nothing more is. */
  fail(error: unknown): void {
    this.#failure ??= error;
    this.onRefused(error);
  }
}
