/**
 * Positions in a log and in a protocol. Branded, so that the compiler keeps them apart; every one is an
 * integer from 0 to 2^53-1, which at a million entries a second lasts 285 years.
 */

import { assert } from './assert.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** Position of an entry in a log, from 1; 0 means before the first. */
export type Index = Branded<'Index'>;

/** Raft's term, from 0; a log that one process orders has term 0 throughout. */
export type Term = Branded<'Term'>;

/** Fork of history, from 1. */
export type Timeline = Branded<'Timeline'>;

export function toIndex(value: number): Index {
  assert(Number.isSafeInteger(value) && value >= 0, `an index is an integer from 0, got ${value}`);
  return value as Index;
}

export function nextIndex(index: Index): Index {
  return toIndex(index + 1);
}

export function previousIndex(index: Index): Index {
  return toIndex(index - 1);
}

/** The later of two. */
export function laterOf(one: Index, other: Index): Index {
  return one > other ? one : other;
}

export function toTerm(value: number): Term {
  assert(Number.isSafeInteger(value) && value >= 0, `a term is an integer from 0, got ${value}`);
  return value as Term;
}

export function nextTerm(term: Term): Term {
  return toTerm(term + 1);
}

export function toTimeline(value: number): Timeline {
  assert(Number.isSafeInteger(value) && value >= 1, `a timeline is an integer from 1, got ${value}`);
  return value as Timeline;
}
