/**
 * A proof that a key has a value under a root, or that it is not there: the nodes on its path. Who knows the
 * root and nothing else can check it. A value that is a node of its own is proven by its hash and length.
 */

import type { StoredValue } from './node.ts';
import { type Broken, type NodeSource, rootReference, verifyNode } from './read.ts';
import { stepTowards } from './walk.ts';

/** Encoded nodes, from the root down. */
export type Proof = readonly Uint8Array[];

/** What a proof shows of a key. */
export type Proven =
  | { readonly kind: 'present'; readonly value: StoredValue }
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid'; readonly reason: string };

/** The nodes on the path of a key: the proof of what it has, or that it is not there. */
export function proveKey(
  nodes: NodeSource,
  root: Uint8Array,
  key: Uint8Array,
): { readonly kind: 'proof'; readonly proof: Proof } | Broken {
  const proof: Uint8Array[] = [];
  for (let reference = rootReference(root); ; ) {
    const bytes = nodes.read(reference.hash);
    if (bytes === null) return { kind: 'broken', hash: reference.hash, reason: 'missing' };
    const node = verifyNode(reference, bytes);
    if (node.kind === 'broken') return node;
    proof.push(bytes);
    const step = stepTowards(node, key);
    if (step.kind !== 'down') return { kind: 'proof', proof };
    reference = step.child;
  }
}

/** What a proof shows of a key under a root. Never throws, whatever the proof is made of. */
export function checkProof(root: Uint8Array, key: Uint8Array, proof: Proof): Proven {
  let reference = rootReference(root);
  for (const [at, bytes] of proof.entries()) {
    const node = verifyNode(reference, bytes);
    if (node.kind === 'broken') return { kind: 'invalid', reason: node.reason };
    const step = stepTowards(node, key);
    if (step.kind === 'down') reference = step.child;
    else return at === proof.length - 1 ? step : { kind: 'invalid', reason: 'too long' };
  }
  return { kind: 'invalid', reason: 'too short' };
}
