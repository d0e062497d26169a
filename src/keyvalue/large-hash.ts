/**
 * A large hash: a head in the record of its key, and two records for each field.
 *
 *     head        number of the hash, count of fields, version        8 bytes each, little-endian
 *     0b, number, field                                               slot (4 bytes, little-endian), value
 *     0c, number, slot                                                field
 *
 * In keys the number has 8 bytes and the slot 4, most significant first. Slots are 0 to count - 1 without a
 * gap: a removed field's slot is filled with the last one. So a field is found in O(1), and all of them can
 * be enumerated in the same order everywhere, without an iteration over the state.
 *
 * The number is the hash's own for ever, so renaming its key moves the head alone. The version counts the
 * commands that changed it: WATCH looks at the head only.
 */

import { assert } from '../base/assert.ts';
import { readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../base/limits.ts';
import { Rejection } from '../engine/machine.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { updateCounts } from './counts.ts';
import {
  contentStart,
  deadlineOf,
  PREFIX_FIELD,
  PREFIX_FIELD_SLOT,
  readWord,
  recordOf,
  scratch,
  TYPE_LARGE_HASH,
  writeWord,
} from './layout.ts';
import { valueTooLong } from './refusals.ts';

const NUMBER_BYTES = 8;
const SLOT_BYTES = 4;
const HEAD_CONTENT_BYTES = 3 * NUMBER_BYTES;
const FIELD_KEY_OVERHEAD = 1 + NUMBER_BYTES;

/** Longest field of a hash: it is part of a key of the state. */
export const FIELD_BYTES_MAX = KEY_BYTES_MAX - FIELD_KEY_OVERHEAD;

const FIELDS_MAX = 2 ** 32 - 1;

const TWO_32 = 2 ** 32;

/** Records that one field has in the state. */
const RECORDS_A_FIELD = 2;

/** A large hash while a command works on it. `save` comes after changes. */
export class LargeHash {
  readonly #state: StateReader;
  readonly #number: number;
  readonly #deadline: number;
  #count: number;
  #version: number;
  /** Fields when it was opened: what the counts of the state know. */
  readonly #countBefore: number;

  private constructor(
    state: StateReader,
    head: { number: number; count: number; version: number; deadline: number },
  ) {
    this.#state = state;
    this.#number = head.number;
    this.#count = head.count;
    this.#countBefore = head.count;
    this.#version = head.version;
    this.#deadline = head.deadline;
  }

  static open(state: StateReader, record: Uint8Array): LargeHash {
    const view = viewOf(record.subarray(contentStart(record)));
    assert(view.byteLength === HEAD_CONTENT_BYTES, 'the head of a large hash has three numbers');
    const [number, count, version] = [0, 1, 2].map((field) => readU64(view, field * NUMBER_BYTES));
    assert(number != null && count != null && version != null, 'numbers of a head are at most 2^53-1');
    return new LargeHash(state, { number, count, version, deadline: deadlineOf(record) });
  }

  /** A new one without fields. */
  static make(state: StateWriter, deadline: number): LargeHash {
    let number = 0;
    updateCounts(state, (counts) => {
      number = counts.nextHash++;
      counts.largeHashes++;
    });
    return new LargeHash(state, { number, count: 0, version: 0, deadline });
  }

  get count(): number {
    return this.#count;
  }

  /** A view of the state, or null. */
  get(field: Uint8Array): Uint8Array | null {
    if (field.length > FIELD_BYTES_MAX) return null;
    return this.#state.get(this.#fieldKey(field))?.subarray(SLOT_BYTES) ?? null;
  }

  /** A view of the state. */
  fieldIn(slot: number): Uint8Array {
    const field = this.#state.get(this.#slotKey(slot));
    assert(field !== null, `slot ${slot} of ${this.#count} has a field`);
    return field;
  }

  /** Returns whether the field is new. */
  set(state: StateWriter, field: Uint8Array, value: Uint8Array): boolean {
    if (field.length > FIELD_BYTES_MAX) {
      throw new Rejection(`ERR a field has at most ${FIELD_BYTES_MAX} bytes, got ${field.length}`);
    }
    if (SLOT_BYTES + value.length > VALUE_BYTES_MAX) throw valueTooLong();
    const old = state.get(this.#fieldKey(field));
    const slot = old === null ? this.#count : readWord(old, 0);
    if (old === null) {
      assert(this.#count < FIELDS_MAX, `a hash has at most ${FIELDS_MAX} fields`);
      state.set(this.#slotKey(slot), field);
      this.#count++;
    }
    this.#put(state, field, slot, value);
    return old === null;
  }

  /** Returns whether the field was there. */
  delete(state: StateWriter, field: Uint8Array): boolean {
    if (field.length > FIELD_BYTES_MAX) return false;
    const old = state.get(this.#fieldKey(field));
    if (old === null) return false;
    const slot = readWord(old, 0);
    const last = this.#count - 1;
    state.delete(this.#fieldKey(field));
    if (slot !== last) this.#moveLast(state, slot);
    state.delete(this.#slotKey(last));
    this.#count = last;
    return true;
  }

  /** Brings the counts up to date, and returns the record for its key, in `scratch`; null without fields. */
  save(state: StateWriter): Uint8Array | null {
    const added = this.#count - this.#countBefore;
    if (added !== 0 || this.#count === 0) {
      updateCounts(state, (counts) => {
        counts.auxiliary += added * RECORDS_A_FIELD;
        if (this.#count === 0) counts.largeHashes--;
      });
    }
    if (this.#count === 0) return null;
    const content = new Uint8Array(HEAD_CONTENT_BYTES);
    const view = viewOf(content);
    writeU64(view, 0, this.#number);
    writeU64(view, NUMBER_BYTES, this.#count);
    writeU64(view, 2 * NUMBER_BYTES, this.#version + 1);
    return recordOf(TYPE_LARGE_HASH, this.#deadline, content);
  }

  /** The field of the last slot goes to `slot`. */
  #moveLast(state: StateWriter, slot: number): void {
    const last = Uint8Array.from(this.fieldIn(this.#count - 1));
    const record = state.get(this.#fieldKey(last));
    assert(record !== null, 'a field in a slot is there');
    const value = Uint8Array.from(record.subarray(SLOT_BYTES));
    this.#put(state, last, slot, value);
    state.set(this.#slotKey(slot), last);
  }

  #put(state: StateWriter, field: Uint8Array, slot: number, value: Uint8Array): void {
    const record = scratch(SLOT_BYTES + value.length);
    writeWord(record, 0, slot);
    record.set(value, SLOT_BYTES);
    state.set(this.#fieldKey(field), record.subarray(0, SLOT_BYTES + value.length));
  }

  #fieldKey(field: Uint8Array): Uint8Array {
    const key = prefixed(PREFIX_FIELD, this.#number, field.length);
    key.set(field, FIELD_KEY_OVERHEAD);
    return key;
  }

  #slotKey(slot: number): Uint8Array {
    const key = prefixed(PREFIX_FIELD_SLOT, this.#number, SLOT_BYTES);
    writeBigEndian(key, FIELD_KEY_OVERHEAD, slot);
    return key;
  }
}

/** Removes all fields of the hash whose head `record` is. The caller removes or replaces the record. */
export function dropLargeHash(state: StateWriter, record: Uint8Array): void {
  const hash = LargeHash.open(state, record);
  for (let slot = hash.count - 1; slot >= 0; slot--) {
    hash.delete(state, Uint8Array.from(hash.fieldIn(slot)));
  }
  hash.save(state);
}

/** Copies the hash whose head `record` is; returns the head of the copy, with the same deadline. */
export function copyLargeHash(state: StateWriter, record: Uint8Array): Uint8Array {
  const source = LargeHash.open(state, record);
  const target = LargeHash.make(state, deadlineOf(record));
  for (let slot = 0; slot < source.count; slot++) {
    const field = Uint8Array.from(source.fieldIn(slot));
    const value = source.get(field);
    assert(value !== null, 'a field in a slot has a value');
    target.set(state, field, Uint8Array.from(value));
  }
  const head = target.save(state);
  assert(head !== null, 'a large hash has fields');
  return head;
}

const keyScratch = new Uint8Array(KEY_BYTES_MAX);

/** The start of a key, in memory used again; `restBytes` follow. */
function prefixed(prefix: number, number: number, restBytes: number): Uint8Array {
  keyScratch[0] = prefix;
  writeBigEndian(keyScratch, 1, Math.floor(number / TWO_32));
  writeBigEndian(keyScratch, 1 + SLOT_BYTES, number % TWO_32);
  return keyScratch.subarray(0, FIELD_KEY_OVERHEAD + restBytes);
}

function writeBigEndian(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}
