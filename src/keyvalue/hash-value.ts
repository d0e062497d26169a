/** A hash, packed or large: what commands on hashes read and change. */

import type { StateReader, StateWriter } from '../state/state.ts';
import { LargeHash } from './large-hash.ts';
import { deadlineOf, NO_DEADLINE, TYPE_LARGE_HASH, TYPE_STRING, typeOf } from './layout.ts';
import {
  emptyPacked,
  fieldOfPacked,
  findPacked,
  packedCount,
  packedEntries,
  valueOfPacked,
  withField,
  withoutField,
} from './packed-hash.ts';
import { wrongType } from './refusals.ts';

/** Views that hold until the next write. */
export interface HashEntry {
  readonly field: Uint8Array;
  readonly value: Uint8Array;
}

/** A hash as a command reads it. */
export interface HashReader {
  /** At least 1: a hash without fields is no key. */
  readonly count: number;
  readonly encoding: 'packed' | 'large';
  get(field: Uint8Array): Uint8Array | null;
  /** In the order of slots, from `from` on. */
  entry(slot: number): HashEntry;
}

/** The hash of a key; null when there is no such key. @throws Rejection WRONGTYPE. */
export function readHash(state: StateReader, key: Uint8Array): HashReader | null {
  const record = state.get(key);
  return record === null ? null : readerOf(state, record);
}

/** The hash whose record this is. @throws Rejection WRONGTYPE. */
export function readerOf(state: StateReader, record: Uint8Array): HashReader {
  const type = typeOf(record);
  if (type === TYPE_STRING) throw wrongType();
  return type === TYPE_LARGE_HASH ? new LargeReader(LargeHash.open(state, record)) : new PackedReader(record);
}

class PackedReader implements HashReader {
  readonly encoding = 'packed';
  readonly #record: Uint8Array;
  #entries: readonly ReturnType<typeof packedEntries>[number][] | null = null;

  constructor(record: Uint8Array) {
    this.#record = record;
  }

  get count(): number {
    return packedCount(this.#record);
  }

  get(field: Uint8Array): Uint8Array | null {
    const entry = findPacked(this.#record, field);
    return entry === null ? null : valueOfPacked(this.#record, entry);
  }

  entry(slot: number): HashEntry {
    this.#entries ??= packedEntries(this.#record);
    const entry = this.#entries[slot]!;
    return { field: fieldOfPacked(this.#record, entry), value: valueOfPacked(this.#record, entry) };
  }
}

class LargeReader implements HashReader {
  readonly encoding = 'large';
  readonly #hash: LargeHash;

  constructor(hash: LargeHash) {
    this.#hash = hash;
  }

  get count(): number {
    return this.#hash.count;
  }

  get(field: Uint8Array): Uint8Array | null {
    return this.#hash.get(field);
  }

  entry(slot: number): HashEntry {
    const field = this.#hash.fieldIn(slot);
    return { field, value: this.#hash.get(field)! };
  }
}

/**
 * A hash while a command changes it: made with its first field, removed with its last. Nothing may write the
 * key between opening it and `save`.
 */
export class HashEditor {
  readonly #state: StateWriter;
  readonly #key: Uint8Array;
  /** The record while it is packed; a copy once it was changed. */
  #packed: Uint8Array | null = null;
  #large: LargeHash | null = null;

  /** @throws Rejection WRONGTYPE. */
  constructor(state: StateWriter, key: Uint8Array) {
    this.#state = state;
    this.#key = key;
    const record = state.get(key);
    if (record === null) this.#packed = emptyPacked(NO_DEADLINE);
    else if (typeOf(record) === TYPE_STRING) throw wrongType();
    else if (typeOf(record) === TYPE_LARGE_HASH) this.#large = LargeHash.open(state, record);
    else this.#packed = record;
  }

  /** A view that holds until the next change. */
  get(field: Uint8Array): Uint8Array | null {
    if (this.#packed === null) return this.#large!.get(field);
    const entry = findPacked(this.#packed, field);
    return entry === null ? null : valueOfPacked(this.#packed, entry);
  }

  /** Returns whether the field is new. Neither may be a view of the state. */
  set(field: Uint8Array, value: Uint8Array): boolean {
    if (this.#packed === null) return this.#large!.set(this.#state, field, value);
    const entry = findPacked(this.#packed, field);
    const made = withField(this.#packed, entry, field, value);
    if (made === null) {
      this.#unpack(this.#packed);
      return this.set(field, value);
    }
    this.#packed = Uint8Array.from(made);
    return entry === null;
  }

  /** Returns whether the field was there. */
  delete(field: Uint8Array): boolean {
    if (this.#packed === null) return this.#large!.delete(this.#state, field);
    const entry = findPacked(this.#packed, field);
    if (entry === null) return false;
    this.#packed = Uint8Array.from(withoutField(this.#packed, entry));
    return true;
  }

  /** Writes what was changed. */
  save(): void {
    const record = this.#packed === null ? this.#large!.save(this.#state) : this.#packed;
    if (record === null || (this.#packed !== null && packedCount(record) === 0)) {
      this.#state.delete(this.#key);
    } else {
      this.#state.set(this.#key, record);
    }
  }

  /** It stays large until it is gone: one that grows and shrinks around the bound is not moved each time. */
  #unpack(packed: Uint8Array): void {
    const record = Uint8Array.from(packed);
    const large = LargeHash.make(this.#state, deadlineOf(record));
    for (const entry of packedEntries(record)) {
      large.set(this.#state, fieldOfPacked(record, entry), valueOfPacked(record, entry));
    }
    this.#packed = null;
    this.#large = large;
  }
}
