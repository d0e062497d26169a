/** States for what stands above the state: one in a plain Map with undo, one that forgets everything. */

import type { StateWriter } from '../../src/state/state.ts';

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

  commit(): void {
    this.#undo = [];
  }

  rollback(): void {
    for (const { key, value } of this.#undo.reverse()) {
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
    }
    this.#undo = [];
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

function nameOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
