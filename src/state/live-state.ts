/**
 * The state of a running machine: the live index with the undo of the command that runs.
 *
 * Records are immutable, so the undo copies nothing: a write keeps the reference of the record it replaced.
 * `commit` frees the replaced records, `rollback` links them again, newest write first.
 *
 * Views that a command gets hold longer than StateReader promises: until the next command begins, whatever is
 * written meanwhile. No slot is used again while a command runs, freeing touches no key or value, and the
 * index is compacted only in `begin`. So a result may be a view, even of a value that the command replaced.
 */

import { assert } from '../base/assert.ts';
import { TidemarkError } from '../base/errors.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../base/limits.ts';
import { type LiveEntry, LiveIndex, type LiveIndexOptions } from './live-index.ts';
import { NO_RECORD } from './record-table.ts';
import type { StateWriter } from './state.ts';

/** The undo list is kept from command to command up to this length: a huge one is not kept for ever. */
const UNDO_KEPT_MAX = 64 * 1024;

export class LiveState implements StateWriter {
  readonly #index: LiveIndex;
  #isInCommand = false;
  /** Writes of the last command, for which the index was not compacted yet. */
  #writesToCompact = 0;

  /** For each write of the running command the record it linked, then the one it unlinked; or NO_RECORD. */
  #undo: number[] = [];
  /** What of `#undo` counts: the array is not emptied between commands. */
  #undoLength = 0;

  constructor(options: LiveIndexOptions) {
    this.#index = new LiveIndex(options);
  }

  get size(): number {
    return this.#index.size;
  }

  /** Bytes of all keys and values. */
  get liveBytes(): number {
    return this.#index.liveBytes;
  }

  /** Bytes of memory for all of it, used or not. */
  get allocatedBytes(): number {
    return this.#index.allocatedBytes;
  }

  get(key: Uint8Array): Uint8Array | null {
    return this.#index.get(key);
  }

  has(key: Uint8Array): boolean {
    return this.#index.has(key);
  }

  /** Every key with its value, in no particular order. The state must not change meanwhile. */
  entries(): Generator<LiveEntry> {
    return this.#index.entries();
  }

  /** Starts a command. Views that were handed out before hold no longer. */
  begin(): void {
    assert(!this.#isInCommand, 'one command runs at a time');
    this.#index.compact(this.#writesToCompact);
    this.#isInCommand = true;
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#assertInCommand();
    requireBytesAtMost('key', key.length, KEY_BYTES_MAX);
    requireBytesAtMost('value', value.length, VALUE_BYTES_MAX);
    const linked = this.#index.store(key, value);
    this.#remember(linked, this.#index.link(linked));
  }

  delete(key: Uint8Array): boolean {
    this.#assertInCommand();
    const unlinked = this.#index.unlink(key);
    if (unlinked === NO_RECORD) return false;
    this.#remember(NO_RECORD, unlinked);
    return true;
  }

  /** Ends the command and keeps its writes. */
  commit(): void {
    this.#assertInCommand();
    for (let at = 0; at < this.#undoLength; at += 2) {
      const unlinked = this.#undo[at + 1]!;
      if (unlinked !== NO_RECORD) this.#index.free(unlinked);
    }
    this.#end();
  }

  /** Ends the command and takes its writes back: content, size and liveBytes are as they were. */
  rollback(): void {
    this.#assertInCommand();
    for (let at = this.#undoLength - 2; at >= 0; at -= 2) {
      const linked = this.#undo[at]!;
      const unlinked = this.#undo[at + 1]!;
      const undone =
        unlinked === NO_RECORD ? this.#index.unlink(this.#index.keyOf(linked)) : this.#index.link(unlinked);
      assert(undone === linked, `undoing the write of record ${linked} takes out that record, not ${undone}`);
      if (linked !== NO_RECORD) this.#index.free(linked);
    }
    this.#end();
  }

  /** Drops all keys, outside of any command: another state is about to be installed. */
  clear(): void {
    assert(!this.#isInCommand, 'the state is cleared between commands');
    this.#index.clear();
  }

  #end(): void {
    this.#writesToCompact = this.#undoLength / 2;
    this.#undoLength = 0;
    if (this.#undo.length > UNDO_KEPT_MAX) this.#undo = [];
    this.#isInCommand = false;
  }

  #remember(linked: number, unlinked: number): void {
    this.#undo[this.#undoLength] = linked;
    this.#undo[this.#undoLength + 1] = unlinked;
    this.#undoLength += 2;
  }

  #assertInCommand(): void {
    assert(this.#isInCommand, 'a command runs while the state is written');
  }
}

function requireBytesAtMost(what: 'key' | 'value', bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new TidemarkError(
    'TIDEMARK_VALUE_UNENCODABLE',
    `a ${what} has at most ${bytesMax} bytes, got ${bytes}`,
    { remedy: 'fix-call', facts: { what, bytes, bytesMax } },
  );
}
