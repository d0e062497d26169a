/**
 * The state of a running machine: the live index with the undo of the command that runs, and the tree behind.
 *
 * Records are immutable, so the undo copies nothing: a write keeps the number of the record it replaced.
 * `commit` hands each write on to the change set of the tree (state-tree.ts), which tells whether the
 * replaced record may be freed; `rollback` links the replaced ones again, newest write first, and the tree
 * never hears of the command.
 *
 * Views that a command gets hold longer than StateReader promises: until the next command begins, whatever is
 * written meanwhile. No slot is used again while a command runs, its commit included, freeing touches no key
 * or value, and the index is compacted only in `begin`. So a result may be a view, even of a value that the
 * command replaced; but who rolls back to a savepoint, and writes on, copies what it had read of writes that
 * it took back.
 */

import { assert } from '../base/assert.ts';
import { TidemarkError } from '../base/errors.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../base/limits.ts';
import type { TreeShape } from '../base/merkle/shape.ts';
import type { ColdLeaf } from './cold-leaves.ts';
import { type LiveEntry, LiveIndex, type LiveIndexOptions } from './live-index.ts';
import type { MergedChanges } from './merged-changes.ts';
import { NO_RECORD, UNKNOWN_RECORD } from './record-table.ts';
import type { Snapshot } from './snapshot.ts';
import type { Savepoint, StateScan, StateWriter } from './state.ts';
import { StateTree, type TreeClock, type TreeProgress, type WorkScope } from './state-tree.ts';
import type { StoredFiles, StoredTree } from './stored.ts';

/** The undo list is kept from command to command up to this length: a huge one is not kept for ever. */
const UNDO_KEPT_MAX = 64 * 1024;

/** Before the first write of the running command. */
const FIRST_WRITE: Savepoint = [0, 0];

export interface LiveStateOptions extends LiveIndexOptions {
  /** Which keys begin nodes of the tree. */
  readonly shape: TreeShape;
}

export class LiveState implements StateWriter {
  readonly #index: LiveIndex;
  readonly #shape: TreeShape;
  #tree: StateTree;
  #isInCommand = false;
  /** Commands and slices, ever: an iteration must not see any. */
  #writes = 0;
  /** Writes of the running command, those taken back included. */
  #writesInCommand = 0;
  /** Writes of the last command, for which the index was not compacted yet. */
  #writesToCompact = 0;

  /**
   * For each write of the running command the record it linked, then the one it unlinked; or NO_RECORD, or
   * UNKNOWN_RECORD in place of the latter.
   */
  #undo: number[] = [];
  /** What of `#undo` counts: the array is not emptied between commands. */
  #undoLength = 0;

  constructor(options: LiveStateOptions) {
    this.#index = new LiveIndex(options);
    this.#shape = options.shape;
    this.#tree = new StateTree(this.#index, options.shape);
  }

  /**
   * Number of keys. While part of the state is not in memory this reads what was written without reading: up
   * to 20 microseconds for each such key, once. See `approximateSize`.
   */
  get size(): number {
    if (!this.isLoaded) this.#warmWritten();
    return this.#index.size + this.#tree.cold.keys;
  }

  /**
   * Number of keys at no cost: exact once the state is loaded. Before, a key that was written without reading
   * counts as one that had been there.
   */
  get approximateSize(): number {
    const { cold, unknownCount } = this.#tree;
    return this.#index.size + Math.max(0, cold.keys - unknownCount);
  }

  /** Bytes of all keys and values in memory. */
  get liveBytes(): number {
    return this.#index.liveBytes;
  }

  /** Bytes of memory for all of it, used or not. */
  get allocatedBytes(): number {
    return this.#index.allocatedBytes + this.#tree.allocatedBytes;
  }

  /** Records that are no key's value today, and live for the sake of frozen sets or snapshots. */
  get keptRecords(): number {
    return this.#index.recordCount - this.#index.size;
  }

  /** How far the tree has come. */
  get treeProgress(): TreeProgress {
    return this.#tree.progress;
  }

  /** How many changes wait for the tree: 0 for none; from 1 on, fold before writing on. */
  get backlog(): number {
    return this.#tree.backlog;
  }

  /** Changes written since the last ones began to wait: they pile up while the backlog is full. */
  get liveChanges(): number {
    return this.#tree.liveChanges;
  }

  /** Whether `foldSlice` has anything to do. */
  get hasFoldWork(): boolean {
    return this.#tree.hasWork;
  }

  get(key: Uint8Array): Uint8Array | null {
    const value = this.#index.get(key);
    if (value !== null || this.isLoaded || !this.#tree.warmLeafOf(key)) return value;
    return this.#index.get(key);
  }

  has(key: Uint8Array): boolean {
    if (this.#index.has(key)) return true;
    return !this.isLoaded && this.#tree.warmLeafOf(key) && this.#index.has(key);
  }

  /** Every key with its value, in no particular order. The state must not change meanwhile. */
  entries(): Generator<LiveEntry> {
    for (const leaf of this.coldLeaves()) this.warm(leaf);
    return this.#index.entries();
  }

  /** Until everything is in memory, the first call brings it there: up to a second for a million keys. */
  scan(cursor: number, count: number): StateScan {
    for (const leaf of this.coldLeaves()) this.warm(leaf);
    return this.#index.scan(cursor, count);
  }

  cursorAt(part: number): number {
    return this.#index.cursorAt(part);
  }

  /** Every key with its value, in the order of keys, from the first that is at least `from`; as `entries`. */
  *orderedEntries(from: Uint8Array): Generator<LiveEntry, void> {
    const changes = this.#tree.pendingChanges(from);
    const writes = this.#writes;
    for (const record of mergeChanges(this.#index, this.#tree.folded(from), changes)) {
      yield { key: this.#index.keyOf(record), value: this.#index.valueOf(record) };
      assert(writes === this.#writes, 'the state does not change while it is iterated');
    }
  }

  /** Holds the state as it is now, between two commands. O(1). */
  snapshot(): Snapshot {
    assert(!this.#isInCommand, 'a snapshot is taken between commands');
    return this.#tree.snapshot();
  }

  /**
   * Brings the tree on: folds changes, computes roots that were asked for, reclaims memory. Takes about
   * `budgetMs`, and at least one step; a step takes less than 5 ms.
   * @param scope `begun` begins nothing new.
   * @returns Whether there is more to do.
   */
  foldSlice(budgetMs: number, clock: TreeClock, scope: WorkScope = 'all'): boolean {
    assert(!this.#isInCommand, 'folding happens between commands');
    this.#writes++;
    return this.#tree.work(budgetMs, clock, scope);
  }

  /**
   * Takes a tree from files into this state, which is empty and not used meanwhile; a generator of steps
   * below a millisecond. Then everything can be read and written: what is needed is read from the files,
   * without returning to the event loop.
   * @throws TidemarkError from the files. This state must not be used then.
   */
  *install(tree: StoredTree, files: StoredFiles): Generator<void, void> {
    assert(!this.#isInCommand, 'a tree is installed between commands');
    yield* this.#tree.install(tree, files);
  }

  /** Whether everything is in memory. */
  get isLoaded(): boolean {
    return this.#tree.cold.count === 0;
  }

  /**
   * Why a part of the state could not be read; null when every part could. Then nothing that was read or
   * written since counts, whatever became of the error.
   */
  get readFailure(): unknown {
    return this.#tree.cold.failure;
  }

  /** Keys that are not in memory yet. */
  get keysToLoad(): number {
    return this.#tree.cold.keys;
  }

  /**
   * What is not in memory yet, in the order of keys. Anything may happen between two steps, but a `clear`.
   */
  coldLeaves(): Generator<ColdLeaf, void> {
    return this.#tree.cold.leaves();
  }

  /**
   * Brings a leaf into memory, unless it is there.
   * @throws TidemarkError from the files. Nothing changed then.
   */
  warm(leaf: ColdLeaf): void {
    this.#tree.warm(leaf);
  }

  /** Starts a command. Views that were handed out before hold no longer. */
  begin(): void {
    assert(!this.#isInCommand, 'one command runs at a time');
    this.#index.compact(this.#writesToCompact);
    this.#tree.freezeIfFull();
    if (this.#tree.cold.shadowed.length > 0) this.#tree.cold.shadowed.length = 0;
    this.#isInCommand = true;
    this.#writes++;
  }

  set(key: Uint8Array, value: Uint8Array): void {
    this.#assertInCommand();
    requireBytesAtMost('key', key.length, KEY_BYTES_MAX);
    requireBytesAtMost('value', value.length, VALUE_BYTES_MAX);
    const linked = this.#index.store(key, value);
    const unlinked = this.#index.link(linked);
    // While something is not in memory, a key that is not here may still be there: the fold will find out.
    this.#remember(linked, unlinked === NO_RECORD && !this.isLoaded ? UNKNOWN_RECORD : unlinked);
  }

  delete(key: Uint8Array): boolean {
    this.#assertInCommand();
    // No leaf keeps a key that was deleted before it was read: it would come back.
    if (!this.isLoaded) this.#tree.warmLeafOf(key);
    const unlinked = this.#index.unlink(key);
    if (unlinked === NO_RECORD) return false;
    this.#remember(NO_RECORD, unlinked);
    return true;
  }

  savepoint(): Savepoint {
    this.#assertInCommand();
    return [this.#undoLength, this.#tree.cold.shadowed.length];
  }

  rollbackTo([writes, shadowedBefore]: Savepoint): void {
    this.#assertInCommand();
    assert(writes! <= this.#undoLength && writes! % 2 === 0, 'a savepoint is one of this command');
    for (let at = this.#undoLength - 2; at >= writes!; at -= 2) this.#undoWrite(at);
    this.#undoLength = writes!;
    // A leaf that was read since, when one of its keys had been written since, gives the key back what it
    // had. One that was read before gives nothing: its keys are as they were then, perhaps deleted.
    const { shadowed } = this.#tree.cold;
    if (shadowed.length > shadowedBefore!) this.#index.linkNew(shadowed.splice(shadowedBefore!), shadowed);
  }

  /** Ends the command and keeps its writes. */
  commit(): void {
    this.#assertInCommand();
    const undo = this.#undo;
    for (let at = 0; at < this.#undoLength; at += 2) {
      if (!this.#tree.note(undo[at]!, undo[at + 1]!)) undo[at + 1] = NO_RECORD;
    }
    // Noting may take a slot for what is left of a record; freeing comes after, so that no view loses its.
    for (let at = 1; at < this.#undoLength; at += 2) {
      if (undo[at] !== NO_RECORD) this.#index.free(undo[at]!);
    }
    this.#index.freeDropped();
    this.#end();
  }

  /** Ends the command and takes its writes back: content, size and liveBytes are as they were. */
  rollback(): void {
    this.#assertInCommand();
    this.rollbackTo(FIRST_WRITE);
    this.#end();
  }

  /** Drops all keys, outside of any command: another state is about to be installed. */
  clear(): void {
    assert(!this.#isInCommand, 'the state is cleared between commands');
    assert(this.#tree.progress.snapshots === 0, 'no snapshot outlives a clear');
    this.#index.clear();
    this.#tree = new StateTree(this.#index, this.#shape);
  }

  /** Takes the write back whose records stand at `at`; those after it are taken back already. */
  #undoWrite(at: number): void {
    const linked = this.#undo[at]!;
    const unlinked = this.#undo[at + 1]!;
    const undone =
      unlinked > NO_RECORD ? this.#index.link(unlinked) : this.#index.unlink(this.#index.keyOf(linked));
    assert(undone === linked, `undoing the write of record ${linked} takes out that record, not ${undone}`);
    if (linked !== NO_RECORD) this.#index.free(linked);
  }

  #end(): void {
    this.#writesToCompact = this.#writesInCommand;
    this.#writesInCommand = 0;
    this.#undoLength = 0;
    if (this.#undo.length > UNDO_KEPT_MAX) this.#undo = [];
    this.#isInCommand = false;
  }

  /** Reads the leaves of all keys that were written blindly. */
  #warmWritten(): void {
    this.#tree.warmWritten();
    for (let at = 0; at < this.#undoLength; at += 2) {
      if (this.#undo[at + 1] === UNKNOWN_RECORD) this.#tree.warmLeafOf(this.#index.keyOf(this.#undo[at]!));
    }
  }

  #remember(linked: number, unlinked: number): void {
    this.#undo[this.#undoLength] = linked;
    this.#undo[this.#undoLength + 1] = unlinked;
    this.#undoLength += 2;
    this.#writesInCommand++;
  }

  #assertInCommand(): void {
    assert(this.#isInCommand, 'a command runs while the state is written');
  }
}

/** The records of the tree with the changes that it does not have yet, both from the same key on. */
function* mergeChanges(
  index: LiveIndex,
  folded: Iterator<number, void>,
  changes: MergedChanges,
): Generator<number, void> {
  let next = folded.next();
  while (changes.next()) {
    const { keys, keyOffsets, keyLengths, records, count } = changes;
    for (let at = 0; at < count; at++) {
      const offset = keyOffsets[at]!;
      const length = keyLengths[at]!;
      let order = -1;
      for (; next.done !== true; next = folded.next()) {
        order = index.compareKey(next.value, keys, offset, length);
        if (order >= 0) break;
        yield next.value;
      }
      if (next.done !== true && order === 0) next = folded.next();
      if (records[at] !== NO_RECORD) yield records[at]!;
    }
  }
  for (; next.done !== true; next = folded.next()) yield next.value;
}

function requireBytesAtMost(what: 'key' | 'value', bytes: number, bytesMax: number): void {
  if (bytes <= bytesMax) return;
  throw new TidemarkError(
    'TIDEMARK_VALUE_UNENCODABLE',
    `a ${what} has at most ${bytesMax} bytes, got ${bytes}`,
    { remedy: 'fix-call', facts: { what, bytes, bytesMax } },
  );
}
