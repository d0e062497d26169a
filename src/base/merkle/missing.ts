/**
 * The nodes under a root that are not here yet: what a laggard fetches, a backup copies and an incremental
 * checkpoint writes. Sans-IO: it names what it wants, in any number at a time, and takes what comes, in any
 * order, from anybody. A node that is not what was asked for is refused at once, and wanted again.
 *
 * Goes down depth first, so that what waits is bounded by the height of the tree and the children of a node.
 */

import { assert } from '../assert.ts';
import {
  type Broken,
  childReference,
  hashName,
  type NodeReference,
  rootReference,
  verifyNode,
  verifyValue,
} from './read.ts';

/** A node, or a large value, to be fetched by its hash. */
export type Wanted =
  | { readonly kind: 'node'; readonly hash: Uint8Array }
  | { readonly kind: 'value'; readonly hash: Uint8Array; readonly length: number };

type Awaited =
  | { readonly kind: 'node'; readonly reference: NodeReference }
  | (Wanted & { readonly kind: 'value' });

/** What is still missing of a tree, while it is fetched node by node. */
export class MissingNodes {
  readonly #isHere: (hash: Uint8Array) => boolean;
  /** Not yet asked for, the next one last. */
  readonly #pending: Awaited[] = [];
  /** Asked for and not yet here, by hash. */
  readonly #awaited = new Map<string, Awaited>();

  /**
   * @param isHere Whether a node, with everything below it, or a value is here already. It must say yes to
   *   what was delivered meanwhile only once all below that is here too.
   */
  constructor(root: Uint8Array, isHere: (hash: Uint8Array) => boolean) {
    this.#isHere = isHere;
    this.#pending.push({ kind: 'node', reference: rootReference(root) });
  }

  /** Whether everything under the root is here. */
  get isComplete(): boolean {
    return this.#awaited.size === 0 && this.#nextPending() === null;
  }

  /** The next node to ask for, or null while all that is known to be missing has been asked for. */
  next(): Wanted | null {
    const pending = this.#nextPending();
    if (pending === null) return null;
    this.#pending.pop();
    const hash = hashOf(pending);
    this.#awaited.set(hashName(hash), pending);
    return pending.kind === 'node' ? { kind: 'node', hash } : pending;
  }

  /**
   * Takes what was asked for.
   * @returns `accepted`: store it. `broken`: somebody sent something else; the node is still awaited.
   */
  deliver(hash: Uint8Array, bytes: Uint8Array): { readonly kind: 'accepted' } | Broken {
    const name = hashName(hash);
    const awaited = this.#awaited.get(name);
    assert(awaited !== undefined, 'only what was asked for is delivered');
    if (awaited.kind === 'value') {
      const value = verifyValue(awaited, bytes);
      if (value.kind === 'broken') return value;
    } else {
      const broken = this.#expand(awaited.reference, bytes);
      if (broken !== null) return broken;
    }
    this.#awaited.delete(name);
    return { kind: 'accepted' };
  }

  /** Wants again what was asked for in vain: a peer went away. */
  giveUp(hash: Uint8Array): void {
    const name = hashName(hash);
    const awaited = this.#awaited.get(name);
    if (awaited === undefined) return;
    this.#awaited.delete(name);
    this.#pending.push(awaited);
  }

  #nextPending(): Awaited | null {
    for (;;) {
      const pending = this.#pending[this.#pending.length - 1];
      if (pending === undefined) return null;
      const hash = hashOf(pending);
      // Two keys may have the same large value: asking once is enough.
      if (!this.#awaited.has(hashName(hash)) && !this.#isHere(hash)) return pending;
      this.#pending.pop();
    }
  }

  #expand(reference: NodeReference, bytes: Uint8Array): Broken | null {
    const node = verifyNode(reference, bytes);
    if (node.kind === 'broken') return node;
    if (node.kind === 'inner') {
      for (const entry of node.entries.toReversed()) {
        this.#pending.push({ kind: 'node', reference: childReference(node, entry) });
      }
    } else {
      for (const { value } of node.entries.toReversed())
        if (value.kind === 'node') this.#pending.push({ ...value, kind: 'value' });
    }
    return null;
  }
}

function hashOf(awaited: Awaited): Uint8Array {
  return awaited.kind === 'node' ? awaited.reference.hash : awaited.hash;
}
