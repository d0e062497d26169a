/** Tables: typed values under string keys, each table in a key range of its own. */

import { bufferOf } from '../base/bytes.ts';
import { TidemarkError } from '../base/errors.ts';
import { compareBytes } from '../base/merkle/node.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { decodeValue, encodeValue } from './codec.ts';
import { keepRange } from './keep-range.ts';
import type { MigrationState } from './machine.ts';

/** What `table<T>()` declares. It holds no data: the type is all there is. */
export interface TableDefinition<Value> {
  readonly kind: 'table';
  /** Never set; it carries the type of the values. */
  readonly value?: Value;
}

/**
 * Declares a table of values of type `Value`: anything MessagePack holds (numbers, strings, arrays, objects,
 * bytes, dates).
 */
export function table<Value>(): TableDefinition<Value> {
  return { kind: 'table' };
}

/**
 * A table that is only read. Every method throws TIDEMARK_VALUE_UNENCODABLE for a key with a lone surrogate.
 */
export interface ReadTable<Value> {
  /** The value, a fresh copy each time; undefined when there is none. */
  get(key: string): Value | undefined;
  has(key: string): boolean;
}

/** Keys of a table: all of what is given must hold. */
export interface TableRange {
  /** What they begin with. */
  readonly prefix?: string;
  /** The first, if it is there. */
  readonly from?: string;
  /** Where they end: this one is not among them. */
  readonly to?: string;
}

/** A table as a query sees it. */
export interface QueryTable<Value> extends ReadTable<Value> {
  /**
   * Keys with their values, in the order of the keys in UTF-8. For use inside the query: it ends with an
   * error once a command has changed anything. What changed lately is sorted first: of a million changes that
   * takes up to a second.
   */
  entries(range?: TableRange): Generator<[key: string, value: Value], void>;
}

/** A table as a command sees it. */
export interface Table<Value> extends ReadTable<Value> {
  /**
   * @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE, also above 65,535 bytes for the stored key (see
   *   `openTable`) or 16 MiB for the encoded value.
   */
  set(key: string, value: Value): void;
  /** Returns whether the key was there. */
  delete(key: string): boolean;
}

/** A table of the version before, as a migration sees it. */
export interface MigratedTable<Value> extends Table<Value> {
  /**
   * Every key with its value as they were before the migration, in the order of the keys in UTF-8; the table
   * may be changed meanwhile.
   */
  entries(): Generator<[key: string, value: Value], void>;
}

/** The table `name` of a state. A key is stored as the name, a zero byte and the key, all in UTF-8. */
export function openTable<Value>(state: StateWriter, name: string): Table<Value> {
  return {
    ...openReadTable<Value>(state, name),
    set: (key, value) => state.set(storedKey(name, key), encodeValue(value, `a value of table ${name}`)),
    delete: (key) => state.delete(storedKey(name, key)),
  };
}

/** The same for a migration. */
export function openMigratedTable<Value>(state: MigrationState, name: string): MigratedTable<Value> {
  return { ...openTable<Value>(state, name), entries: () => entriesOf(state, name, {}) };
}

function* entriesOf<Value>(
  state: MigrationState | StateReader,
  name: string,
  { prefix = '', from = '', to }: TableRange,
): Generator<[key: string, value: Value], void> {
  const [begin, first] = [storedKey(name, prefix), storedKey(name, from)];
  const end = to === undefined ? null : storedKey(name, to);
  for (const { key, value } of state.orderedEntries(compareBytes(begin, first) > 0 ? begin : first)) {
    const bytes = bufferOf(key);
    const isIn =
      bytes.subarray(0, begin.length).equals(begin) && (end === null || compareBytes(bytes, end) < 0);
    if (!isIn) return;
    yield [bytes.toString('utf8', name.length + 1), decodeValue(value) as Value];
  }
}

/** Makes a table of `then` what it is in `now`. */
export function keepTable(name: string, then: MigrationState, now: StateReader): void {
  keepRange(storedKey(name, ''), then, now);
}

/** The same for a query. */
export function openQueryTable<Value>(state: StateReader, name: string): QueryTable<Value> {
  return { ...openReadTable<Value>(state, name), entries: (range = {}) => entriesOf(state, name, range) };
}

function openReadTable<Value>(state: StateReader, name: string): ReadTable<Value> {
  return {
    get: (key) => {
      const bytes = state.get(storedKey(name, key));
      return bytes === null ? undefined : (decodeValue(bytes) as Value);
    },
    has: (key) => state.has(storedKey(name, key)),
  };
}

function isTableName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]{0,63}$/.test(name);
}

/**
 * @throws TidemarkError TIDEMARK_OPTION_INVALID for a name that is no identifier of at most 64 characters.
 */
export function requireTableName(name: string): void {
  if (isTableName(name)) return;
  throw new TidemarkError('TIDEMARK_OPTION_INVALID', `a table's name is a short identifier, not ${name}`, {
    remedy: 'fix-call',
    facts: { table: name },
  });
}

/** The inverse of `storedKey`; null for a key of no table. */
export function tableKeyOf(stored: Uint8Array): { readonly table: string; readonly key: string } | null {
  const bytes = bufferOf(stored);
  const end = bytes.indexOf(0);
  const name = bytes.toString('utf8', 0, Math.max(end, 0));
  return isTableName(name) ? { table: name, key: bytes.toString('utf8', end + 1) } : null;
}

/** Refuses half a character: in UTF-8 all of them are alike, and two keys would be one. */
function storedKey(name: string, key: string): Uint8Array {
  if (!key.isWellFormed()) {
    throw new TidemarkError(
      'TIDEMARK_VALUE_UNENCODABLE',
      `a key of table ${name} contains half a character (a lone surrogate)`,
      { remedy: 'fix-call', facts: { table: name } },
    );
  }
  return Buffer.from(`${name}\0${key}`, 'utf8');
}
