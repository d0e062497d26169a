/** States over files in memory, and what tests do with them. Keys and values are latin1. */

import { type TestContext } from 'node:test';
import type { TreeShape } from '../../src/base/merkle/shape.ts';
import { LiveState } from '../../src/state/live-state.ts';
import type { Snapshot } from '../../src/state/snapshot.ts';
import type { StoredFiles, StoredTree } from '../../src/state/stored.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { MemoryFiles } from './memory-files.ts';
import { seedOf } from './seed.ts';
import { bytesOf, hexOf, textOf } from './stored-trees.ts';

const HASH_SEED = Uint8Array.from({ length: 8 }, (_, at) => 3 * at);

/** Every look at it costs a millisecond: a budget of n is n steps. */
class StepClock {
  #now = 0;

  monotonic(): number {
    return this.#now++;
  }
}

export const clock = new StepClock();

export function seededRandom(t: TestContext): SeededRandom {
  const seed = seedOf(t);
  return new SeededRandom(seed);
}

export function newState(shape: TreeShape): LiveState {
  return new LiveState({ seed: HASH_SEED, shape });
}

export function install(shape: TreeShape, tree: StoredTree, files: StoredFiles): LiveState {
  const state = newState(shape);
  for (const _ of state.install(tree, files)) continue;
  return state;
}

export function foldAll(state: LiveState): void {
  while (state.foldSlice(1_000, clock));
}

export function rooted(state: LiveState): Snapshot {
  const snapshot = state.snapshot();
  snapshot.requestRoot();
  foldAll(state);
  return snapshot;
}

export function rootNow(state: LiveState): string {
  const snapshot = rooted(state);
  const root = hexOf(snapshot.root ?? new Uint8Array(0));
  snapshot.release();
  return root;
}

export function set(state: LiveState, content: Iterable<readonly [string, string]>): void {
  state.begin();
  for (const [key, value] of content) state.set(bytesOf(key), bytesOf(value));
  state.commit();
}

export function get(state: LiveState, key: string): string | undefined {
  const value = state.get(bytesOf(key));
  return value === null ? undefined : textOf(value);
}

export function warmAll(state: LiveState): void {
  for (const leaf of state.coldLeaves()) state.warm(leaf);
}

type Entries = Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;

export function listOf(entries: Entries): [string, string][] {
  return Array.from(entries, ({ key, value }) => [textOf(key), textOf(value)]);
}

export function sorted(content: Iterable<readonly [string, string]>, from = ''): [string, string][] {
  return Array.from(content, ([key, value]): [string, string] => [key, value])
    .filter(([key]) => key >= from)
    .sort(([one], [other]) => (one < other ? -1 : 1));
}

/** A state with a content, and where its tree is. */
export function storedContent(
  content: ReadonlyMap<string, string>,
  shape: TreeShape,
): { readonly files: MemoryFiles; readonly tree: StoredTree } {
  const state = newState(shape);
  set(state, content);
  const snapshot = rooted(state);
  const files = new MemoryFiles();
  files.store(snapshot, () => false);
  return { files, tree: snapshot.storedTree };
}

export function numbered(count: number): Map<string, string> {
  return new Map(Array.from({ length: count }, (_, at) => [`key ${at}`, `value ${at}`]));
}
