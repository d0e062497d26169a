/**
 * State: key → value, both bytes, with the undo of the command that is running.
 *
 * Backward recovery: every write of a command passes through here, and a command that fails takes all of its
 * writes back (design: a command that fails half-way leaves nothing behind).
 */

/** What a query may do with the state. */
export interface StateReader {
  /** Number of keys. */
  readonly size: number;

  /** The value, as a view that holds until the next write of any key; null when there is no such key. */
  get(key: Uint8Array): Uint8Array | null;

  has(key: Uint8Array): boolean;
}

/** What a command may do with the state. Key and value are copied. */
export interface StateWriter extends StateReader {
  /** @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE above KEY_BYTES_MAX or VALUE_BYTES_MAX. */
  set(key: Uint8Array, value: Uint8Array): void;

  /** Returns whether the key was there. */
  delete(key: Uint8Array): boolean;
}
