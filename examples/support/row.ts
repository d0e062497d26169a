/**
 * A row, first in, first out, in two tables: a command finds what it has the key of, and nothing else. The
 * items have numbers, from `first` on and below `next`, which a table of ends holds by the name of the row.
 */

import type { Table } from 'tidemark';

export interface Ends {
  readonly first: number;
  readonly next: number;
}

export class Row<Item> {
  readonly #name: string;
  readonly #items: Table<Item>;
  readonly #ends: Table<Ends>;

  constructor(name: string, items: Table<Item>, ends: Table<Ends>) {
    this.#name = name;
    this.#items = items;
    this.#ends = ends;
  }

  get #place(): Ends {
    return this.#ends.get(this.#name) ?? { first: 0, next: 0 };
  }

  /** Puts an item at the end. */
  add(item: Item): void {
    const { first, next } = this.#place;
    this.#items.set(String(next), item);
    this.#ends.set(this.#name, { first, next: next + 1 });
  }

  first(): Item | undefined {
    return this.#items.get(String(this.#place.first));
  }

  /** Takes the first item out of the row; undefined when there is none. */
  removeFirst(): Item | undefined {
    const { first, next } = this.#place;
    const item = this.#items.get(String(first));
    if (item === undefined) return undefined;
    this.#items.delete(String(first));
    this.#ends.set(this.#name, { first: first + 1, next });
    return item;
  }
}
