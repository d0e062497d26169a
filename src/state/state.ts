/**
 * State: key → value, both bytes, with the undo of the command that is running.
 *
 * Backward recovery: every write of a command passes through here, and a command that fails takes all of its
 * writes back (design: a command that fails half-way leaves nothing behind).
 */

/** Key and value as views: in what hands them out is said how long they hold. */
export interface StateEntry {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/** A part of all entries, in the order of the index. */
export interface StateScan {
  /** Views that hold until the next write of any key. */
  readonly entries: readonly StateEntry[];
  /** Where to go on; 0 at the end. */
  readonly next: number;
}

/** A mark among the writes of the running command: what is in it, only the state knows that gave it. */
export type Savepoint = readonly number[];

/** What a query may do with the state. */
export interface StateReader {
  /** Number of keys. */
  readonly size: number;

  /** The value, as a view that holds until the next write of any key; null when there is no such key. */
  get(key: Uint8Array): Uint8Array | null;

  has(key: Uint8Array): boolean;

  /**
   * About `count` entries, from where an earlier call ended. Who begins with 0 and goes on until `next` is 0
   * gets every key that was there all the time, some perhaps twice, whatever is written meanwhile. The order
   * is this process's own: no command may depend on it. From a cursor of another run it begins anew.
   */
  scan(cursor: number, count: number): StateScan;

  /** A cursor for `scan` that leaves out `part` of the entries, 0 to 1. */
  cursorAt(part: number): number;

  /**
   * Every entry in the order of keys, from the first that is at least `from`. No write may come meanwhile.
   */
  orderedEntries(from: Uint8Array): Iterable<StateEntry>;
}

/** What a command may do with the state. Key and value are copied. */
export interface StateWriter extends StateReader {
  /** @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE above KEY_BYTES_MAX or VALUE_BYTES_MAX. */
  set(key: Uint8Array, value: Uint8Array): void;

  /** Returns whether the key was there. */
  delete(key: Uint8Array): boolean;

  savepoint(): Savepoint;

  /** Takes back what the running command has written since `savepoint`. */
  rollbackTo(savepoint: Savepoint): void;
}
