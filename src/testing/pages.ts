/**
 * The bytes of one file as pages that copies share until one of them writes: a file of a megabyte is forked
 * in constant time, so that a test can afford hundreds of thousands of crashed disks.
 *
 * A page that was never written is a hole: it reads as zeros and takes no space.
 */

import { assert } from '../base/assert.ts';

export const PAGE_BYTES = 4096;

interface Page {
  /** Who may write into it; any other holder copies it first. */
  readonly owner: object;
  readonly bytes: Uint8Array;
}

export class Pages {
  #bytes = 0;
  #pages: (Page | undefined)[] = [];
  #owner = {};
  /** The array of pages is shared with a fork. */
  #isShared = false;

  /** Size in bytes. Invariant: everything from here on is zero. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes of the pages that are not holes. */
  get allocatedBytes(): number {
    let count = 0;
    for (const page of this.#pages) if (page !== undefined) count++;
    return count * PAGE_BYTES;
  }

  fork(): Pages {
    const fork = new Pages();
    fork.#bytes = this.#bytes;
    fork.#pages = this.#pages;
    fork.#isShared = true;
    this.#isShared = true;
    return fork;
  }

  /** Reads up to the size; returns the bytes read. */
  read(target: Uint8Array, offset: number): number {
    const end = Math.min(this.#bytes, offset + target.length);
    for (let at = offset; at < end; ) {
      const upTo = Math.min(end, nextPage(at));
      const page = this.#pages[pageOf(at)];
      const part = target.subarray(at - offset, upTo - offset);
      if (page === undefined) part.fill(0);
      else part.set(page.bytes.subarray(at % PAGE_BYTES, (at % PAGE_BYTES) + part.length));
      at = upTo;
    }
    return Math.max(0, end - offset);
  }

  /** Writes without a change of size; the caller resizes, before or after, to what holds these bytes. */
  write(source: Uint8Array, offset: number): void {
    const end = offset + source.length;
    for (let at = offset; at < end; ) {
      const upTo = Math.min(end, nextPage(at));
      this.#writable(pageOf(at)).set(source.subarray(at - offset, upTo - offset), at % PAGE_BYTES);
      at = upTo;
    }
  }

  /** Whether the page that holds this offset takes no space yet. */
  isHole(offset: number): boolean {
    return this.#pages[pageOf(offset)] === undefined;
  }

  /** Sets the size, and makes everything from there on zero, whatever was written beyond. */
  resize(bytes: number): void {
    this.#bytes = bytes;
    const kept = Math.ceil(bytes / PAGE_BYTES);
    if (this.#pages.length > kept) {
      this.#own();
      this.#pages.length = kept;
    }
    const rest = bytes % PAGE_BYTES;
    if (rest > 0 && this.#pages[kept - 1] !== undefined) this.#writable(kept - 1).fill(0, rest);
  }

  #own(): void {
    if (!this.#isShared) return;
    this.#pages = this.#pages.slice();
    this.#owner = {};
    this.#isShared = false;
  }

  #writable(at: number): Uint8Array {
    assert(Number.isSafeInteger(at) && at >= 0, `a page number is an integer from 0, got ${at}`);
    this.#own();
    const page = this.#pages[at];
    if (page !== undefined && page.owner === this.#owner) return page.bytes;
    const bytes = page === undefined ? new Uint8Array(PAGE_BYTES) : page.bytes.slice();
    while (this.#pages.length < at) this.#pages.push(undefined);
    this.#pages[at] = { owner: this.#owner, bytes };
    return bytes;
  }
}

function pageOf(offset: number): number {
  return Math.floor(offset / PAGE_BYTES);
}

function nextPage(offset: number): number {
  return (pageOf(offset) + 1) * PAGE_BYTES;
}
