/** States for what stands above the state: one in a plain Map with undo, one that forgets everything. */

import type { Savepoint, StateEntry, StateScan, StateWriter } from '../../src/state/state.ts';

type Undo = { readonly key: string; readonly value: Uint8Array | undefined };

/** A state with the ends of a command. */
export interface CommandState extends StateWriter {
  commit(): void;
  rollback(): void;
}

/** Holds nothing: what is measured over it is everything but the state. */
export class NullState implements CommandState {
  readonly size = 0;

  get(): Uint8Array | null {
    return null;
  }

  has(): boolean {
    return false;
  }

  set(): void {}

  delete(): boolean {
    return false;
  }

  scan(): StateScan {
    return { entries: [], next: 0 };
  }

  cursorAt(): number {
    return 0;
  }

  orderedEntries(): Iterable<StateEntry> {
    return [];
  }

  savepoint(): Savepoint {
    return [];
  }

  rollbackTo(): void {}

  commit(): void {}

  rollback(): void {}
}

export class MapState implements CommandState {
  readonly #values = new Map<string, Uint8Array>();
  #undo: Undo[] = [];

  get size(): number {
    return this.#values.size;
  }

  get(key: Uint8Array): Uint8Array | null {
    return this.#values.get(nameOf(key)) ?? null;
  }

  has(key: Uint8Array): boolean {
    return this.#values.has(nameOf(key));
  }

  set(key: Uint8Array, value: Uint8Array): void {
    const name = nameOf(key);
    this.#undo.push({ key: name, value: this.#values.get(name) });
    this.#values.set(name, Uint8Array.prototype.slice.call(value));
  }

  delete(key: Uint8Array): boolean {
    const name = nameOf(key);
    const value = this.#values.get(name);
    if (value === undefined) return false;
    this.#undo.push({ key: name, value });
    return this.#values.delete(name);
  }

  /** In an order that no write changes: that of a hash of the keys. The cursor is the next hash, plus one. */
  scan(cursor: number, count: number): StateScan {
    const hashed = [...this.#values].map(([key, value]) => ({ key, value, hash: 1 + hashOf(key) }));
    const rest = hashed.filter(({ hash }) => hash >= cursor).sort((left, right) => left.hash - right.hash);
    const end = rest[count - 1]?.hash;
    const taken = end === undefined ? rest : rest.filter(({ hash }) => hash <= end);
    return {
      entries: taken.map(({ key, value }) => ({ key: Buffer.from(key, 'latin1'), value })),
      next: taken.length === rest.length ? 0 : end! + 1,
    };
  }

  cursorAt(part: number): number {
    return 1 + Math.floor(part * 2 ** 32);
  }

  orderedEntries(from: Uint8Array): Iterable<StateEntry> {
    return [...this.#values]
      .map(([key, value]) => ({ key: Buffer.from(key, 'latin1'), value }))
      .filter(({ key }) => key.compare(from) >= 0)
      .sort((left, right) => left.key.compare(right.key));
  }

  savepoint(): Savepoint {
    return [this.#undo.length];
  }

  rollbackTo([writes]: Savepoint): void {
    for (const { key, value } of this.#undo.splice(writes!).reverse()) {
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
    }
  }

  commit(): void {
    this.#undo = [];
  }

  rollback(): void {
    this.rollbackTo([0]);
  }

  /** The content in the order of the keys, to compare two states. */
  entries(): [string, string][] {
    const content = [...this.#values].map(([key, value]): [string, string] => [
      key,
      Buffer.from(value).toString('latin1'),
    ]);
    return content.sort(([left], [right]) => (left < right ? -1 : 1));
  }
}

function hashOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < key.length; at++) hash = Math.imul(hash ^ key.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
