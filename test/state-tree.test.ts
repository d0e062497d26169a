/**
 * The tree behind the live state (src/state/state-tree.ts). Goal: whatever the order of writes, rollbacks,
 * freezes, folds and snapshots, a root is that of the content, a snapshot reads what was there when it was
 * taken, and nothing is kept for ever. Method: seeded commands against plain Maps; roots and nodes against
 * base/merkle/build.ts.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { defaultShape, type TreeShape } from '../src/base/merkle/shape.ts';
import { LiveState } from '../src/state/live-state.ts';
import type { Snapshot } from '../src/state/snapshot.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';
import {
  buildMapTree,
  bytesOf,
  CUT_SHAPE,
  hexOf,
  NodeMap,
  SALT,
  SMALL_SHAPE,
  textOf,
} from './support/stored-trees.ts';

const HASH_SEED = Uint8Array.from({ length: 8 }, (_, at) => 7 * at);

/** Every look at it costs a millisecond: a budget of n is n steps. */
class StepClock {
  #now = 0;

  monotonic(): number {
    return this.#now++;
  }
}

const clock = new StepClock();

function seededRandom(t: TestContext): SeededRandom {
  const seed = seedOf(t);
  return new SeededRandom(seed);
}

function newState(shape: TreeShape): LiveState {
  return new LiveState({ seed: HASH_SEED, shape });
}

function foldAll(state: LiveState): void {
  while (state.foldSlice(1_000, clock));
}

function rootOf(state: LiveState, snapshot: Snapshot): string {
  snapshot.requestRoot();
  foldAll(state);
  return hexOf(snapshot.root ?? new Uint8Array(0));
}

/** The root of the state as it is. */
function rootNow(state: LiveState): string {
  const snapshot = state.snapshot();
  const root = rootOf(state, snapshot);
  snapshot.release();
  return root;
}

function set(state: LiveState, content: Iterable<readonly [string, string]>): void {
  state.begin();
  for (const [key, value] of content) state.set(bytesOf(key), bytesOf(value));
  state.commit();
}

function remove(state: LiveState, keys: Iterable<string>): void {
  state.begin();
  for (const key of keys) state.delete(bytesOf(key));
  state.commit();
}

/** Every node of a snapshot, by its name. */
function storeAll(snapshot: Snapshot): NodeMap {
  const written = new NodeMap();
  for (const { hash, bytes, storedAt } of snapshot.unstored(() => false)) {
    written.store(hash, Uint8Array.from(bytes));
    storedAt(1, 0);
  }
  return written;
}

type Entries = Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;

function listOf(entries: Entries): [string, string][] {
  return Array.from(entries, ({ key, value }) => [textOf(key), textOf(value)]);
}

function sorted(content: ReadonlyMap<string, string>, from = ''): [string, string][] {
  return [...content].filter(([key]) => key >= from).sort(([one], [other]) => (one < other ? -1 : 1));
}

/** Keys of one table, of another, and odd ones. */
function randomKey(random: SeededRandom, keys: number): string {
  const number = random.below(keys);
  if (number % 50 === 0) return '\0'.repeat(number / 50);
  return number % 3 === 0 ? `t${number}` : `accounts\0${String(number).padStart(6, '0')}`;
}

interface Taken {
  readonly snapshot: Snapshot;
  readonly content: ReadonlyMap<string, string>;
}

/** Drives a state and plain Maps side by side. */
class Churn {
  readonly state: LiveState;
  readonly #shape: TreeShape;
  readonly #random: SeededRandom;
  readonly #keys: number;
  readonly #valueBytesMax: number;
  #content = new Map<string, string>();
  readonly #taken: Taken[] = [];
  operations = 0;

  constructor(shape: TreeShape, random: SeededRandom, keys: number, valueBytesMax: number) {
    this.state = newState(shape);
    this.#shape = shape;
    this.#random = random;
    this.#keys = keys;
    this.#valueBytesMax = valueBytesMax;
  }

  get content(): ReadonlyMap<string, string> {
    return this.#content;
  }

  get takenCount(): number {
    return this.#taken.length;
  }

  command(): void {
    const random = this.#random;
    const running = new Map(this.#content);
    // Deletes win and sets win in turn.
    const deleting = (this.operations >> 13) & 1 ? 0.7 : 0.3;
    this.state.begin();
    for (let left = random.below(random.happens(0.02) ? 400 : 12); left > 0; left--, this.operations++) {
      const key = randomKey(random, this.#keys);
      if (random.happens(deleting)) {
        strictEqual(this.state.delete(bytesOf(key)), running.delete(key));
      } else {
        const value = `${random.u32()}`.padEnd(random.below(this.#valueBytesMax), '.');
        this.state.set(bytesOf(key), bytesOf(value));
        running.set(key, value);
      }
    }
    if (random.happens(0.25)) {
      this.state.rollback();
    } else {
      this.state.commit();
      this.#content = running;
    }
  }

  take(): void {
    const snapshot = this.state.snapshot();
    if (this.#random.happens(0.5)) snapshot.requestRoot();
    this.#taken.push({ snapshot, content: new Map(this.#content) });
  }

  /** Checks any of the snapshots, and lets it go. */
  settle(): void {
    const [taken] = this.#taken.splice(this.#random.below(this.#taken.length), 1);
    if (taken === undefined) return;
    const { snapshot, content } = taken;
    if (this.#random.happens(0.2)) {
      snapshot.release();
      return;
    }
    const { nodes, root } = buildMapTree(content, this.#shape);
    strictEqual(rootOf(this.state, snapshot), hexOf(root));
    deepStrictEqual(listOf(snapshot.entries(bytesOf(''))), sorted(content));
    strictEqual(snapshot.size, content.size);
    if (content.size > 0)
      deepStrictEqual([...storeAll(snapshot).nodes.keys()].sort(), [...nodes.nodes.keys()].sort());
    snapshot.release();
  }

  iterate(): void {
    const from = this.#random.happens(0.5) ? '' : randomKey(this.#random, this.#keys);
    deepStrictEqual(listOf(this.state.orderedEntries(bytesOf(from))), sorted(this.#content, from));
  }
}

for (const { name, shape, keys, valueBytesMax } of [
  { name: 'the shape of a node', shape: defaultShape(SALT), keys: 3_000, valueBytesMax: 200 },
  { name: 'a high tree', shape: SMALL_SHAPE, keys: 800, valueBytesMax: 3_000 },
  { name: 'a limit that cuts most runs', shape: CUT_SHAPE, keys: 500, valueBytesMax: 40 },
]) {
  test(`state tree: 100,000 random writes with rollbacks, freezes, folds and snapshots; ${name}`, (t) => {
    const random = seededRandom(t);
    const churn = new Churn(shape, random, keys, valueBytesMax);
    while (churn.operations < 100_000) {
      churn.command();
      if (random.happens(0.02)) churn.take();
      if (random.happens(0.2)) churn.state.foldSlice(random.below(20), clock);
      if (random.happens(0.01)) churn.iterate();
      if (random.happens(0.01) || churn.takenCount > 6) churn.settle();
    }
    while (churn.takenCount > 0) churn.settle();
    strictEqual(rootNow(churn.state), hexOf(buildMapTree(churn.content, shape).root));
    remove(churn.state, churn.content.keys());
    foldAll(churn.state);
    rootNow(churn.state);
    ok(churn.state.keptRecords === 0, `${churn.state.keptRecords} records are kept for nothing`);
  });
}

test('state tree: equal content has an equal root, however it came about', (t) => {
  const random = seededRandom(t);
  const content = new Map(Array.from({ length: 2_000 }, (_, at) => [`key ${at}`, `value ${at}`]));
  const want = hexOf(buildMapTree(content, defaultShape(SALT)).root);

  const inOrder = newState(defaultShape(SALT));
  set(inOrder, content);
  strictEqual(rootNow(inOrder), want);

  const shuffled = newState(defaultShape(SALT));
  for (const entry of random.shuffle([...content])) {
    set(shuffled, [entry]);
    if (random.happens(0.02)) rootNow(shuffled);
  }
  strictEqual(rootNow(shuffled), want);

  const detour = newState(defaultShape(SALT));
  set(
    detour,
    [...content].map(([key]) => [key, 'another value']),
  );
  set(
    detour,
    [...content].map(([key]) => [`other ${key}`, 'gone soon']),
  );
  rootNow(detour);
  remove(
    detour,
    [...content.keys()].map((key) => `other ${key}`),
  );
  remove(
    detour,
    [...content.keys()].filter((_, at) => at % 2 === 0),
  );
  rootNow(detour);
  set(detour, content);
  strictEqual(rootNow(detour), want);
  remove(detour, ['key 7']);
  ok(rootNow(detour) !== want);
  set(detour, [['key 7', 'value 7']]);
  strictEqual(rootNow(detour), want);
});

test('state tree: a command that was rolled back left no change behind', () => {
  const state = newState(SMALL_SHAPE);
  set(state, [
    ['a', '1'],
    ['b', '2'],
  ]);
  foldAll(state);
  const { changesPending } = state.treeProgress;
  state.begin();
  state.set(bytesOf('a'), bytesOf('3'));
  state.set(bytesOf('c'), bytesOf('4'));
  state.delete(bytesOf('b'));
  state.rollback();
  strictEqual(state.treeProgress.changesPending, changesPending);
});

test('state tree: writing one key again and again is one change', () => {
  const state = newState(SMALL_SHAPE);
  for (let round = 0; round < 100_000; round++) set(state, [['counter', String(round)]]);
  strictEqual(state.treeProgress.changesPending, 1);
  strictEqual(state.keptRecords, 0);
});

test('state tree: a snapshot is what was there, and costs only what was overwritten', () => {
  const state = newState(defaultShape(SALT));
  const content = new Map(
    Array.from({ length: 5_000 }, (_, at) => [String(at).padStart(5, '0'), `value ${at}`]),
  );
  set(state, content);
  const snapshot = state.snapshot();
  for (let round = 0; round < 5; round++) {
    set(
      state,
      Array.from({ length: 100 }, (_, at) => [String(at).padStart(5, '0'), `round ${round}`]),
    );
    state.snapshot().release();
    foldAll(state);
  }
  remove(state, ['04000']);
  deepStrictEqual(listOf(snapshot.entries(bytesOf('')))[50], ['00050', 'value 50']);
  deepStrictEqual(listOf(snapshot.entries(bytesOf('03999')))[1], ['04000', 'value 4000']);
  // Only the first overwrite of each key matters to the snapshot.
  ok(state.keptRecords <= 200, `${state.keptRecords} records are kept`);
  snapshot.release();
  foldAll(state);
  ok(state.keptRecords <= 1, `${state.keptRecords} records are kept`);
});

test('state tree: the backlog is bounded, and says when it is full', () => {
  const state = newState(defaultShape(SALT));
  let written = 0;
  while (state.backlog < 1) set(state, [[`key ${written++}`, 'value']]);
  const { changesPending, frozenSets } = state.treeProgress;
  ok(changesPending <= frozenSets * 32 * 1024 + 1, `${changesPending} changes wait`);
  foldAll(state);
  ok(state.backlog < 1);
  strictEqual(state.treeProgress.frozenSets, 0);
});

test('state tree: no step does more than its share of a long set', () => {
  const state = newState(defaultShape(SALT));
  set(
    state,
    Array.from({ length: 100_000 }, (_, at) => [`key ${at}`, 'value']),
  );
  const snapshot = state.snapshot();
  let steps = 0;
  while (state.foldSlice(0, clock)) steps++;
  ok(steps > 800, `${steps} steps for 100,000 keys`);
  snapshot.release();
});

test('state tree: memory of nodes follows deletes and snapshots that were released', () => {
  const state = newState(defaultShape(SALT));
  const keys = Array.from({ length: 20_000 }, (_, at) => `key ${at}`);
  for (let round = 0; round < 4; round++) {
    const snapshot = state.snapshot();
    set(
      state,
      keys.map((key) => [key, `round ${round}`]),
    );
    rootNow(state);
    snapshot.release();
    remove(state, keys);
    rootNow(state);
  }
  ok(state.allocatedBytes < 2 ** 22, `${state.allocatedBytes} bytes for nothing`);
});

test('state tree: what snapshots left is reclaimed although changes wait all the time', () => {
  const state = newState(defaultShape(SALT));
  const kept: number[] = [];
  for (let round = 0; round < 10; round++) {
    const snapshot = state.snapshot();
    for (let at = 0; at < 140_000; at++) set(state, [[`key ${at % 33_000}`, 'value']]);
    while (state.treeProgress.frozenSets > 2) state.foldSlice(10, clock);
    snapshot.release();
    kept.push(state.keptRecords);
    ok(state.treeProgress.frozenSets > 0, 'the tree never catches up');
  }
  ok(kept[9]! < kept[2]! + 10_000, `records kept at the end of each round: ${kept.join(' ')}`);
});

test('state tree: while nothing new is begun, what a snapshot left is reclaimed', () => {
  const state = newState(SMALL_SHAPE);
  set(state, [['a', '1']]);
  const snapshot = state.snapshot();
  set(state, [['a', '2']]);
  state.snapshot().release();
  foldAll(state);
  strictEqual(state.keptRecords, 1);
  snapshot.release();
  for (let slices = 0; slices < 10; slices++) state.foldSlice(10, clock, 'begun');
  strictEqual(state.keptRecords, 0);
});

test('state tree: a large value is a node of its own', () => {
  const state = newState(SMALL_SHAPE);
  const large = 'x'.repeat(3_000_000);
  const content = new Map([
    ['a', large],
    ['b', large],
    ['c', 'small'],
  ]);
  set(state, content);
  const snapshot = state.snapshot();
  const { nodes, root } = buildMapTree(content, SMALL_SHAPE);
  strictEqual(rootOf(state, snapshot), hexOf(root));
  deepStrictEqual([...storeAll(snapshot).nodes.keys()].sort(), [...nodes.nodes.keys()].sort());
  snapshot.release();
});

test('state tree: a snapshot may be let go at any step of its hashing, and values be replaced then', () => {
  const neighbours = Array.from({ length: 30 }, (_, at): [string, string] => [`z${at}`, '']);
  for (let steps = 0, isHashing = true; isHashing; steps++) {
    const state = newState(SMALL_SHAPE);
    set(state, [['huge', 'x'.repeat(3_000_000)], ...neighbours]);
    const snapshot = state.snapshot();
    snapshot.requestRoot();
    while (!snapshot.isFolded) state.foldSlice(0, clock);
    for (let step = 0; step < steps; step++) state.foldSlice(0, clock);
    isHashing = snapshot.root === null;
    snapshot.release();
    // What is left of the large value stands beside the keys that come next.
    set(state, [['huge', 'small now']]);
    const added = neighbours.map(([key]): [string, string] => [`a${key}`, '']);
    for (const entry of added) set(state, [entry]);
    const content = new Map([['huge', 'small now'], ...neighbours, ...added]);
    strictEqual(rootNow(state), hexOf(buildMapTree(content, SMALL_SHAPE).root), `after ${steps} steps`);
    deepStrictEqual(listOf(state.orderedEntries(bytesOf(''))), sorted(content));
  }
});

test('state tree: a snapshot is taken between commands, released once, and not read after', () => {
  const state = newState(SMALL_SHAPE);
  const snapshot = state.snapshot();
  strictEqual(rootOf(state, snapshot), '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d');
  throws(() => state.clear(), InvariantViolation);
  snapshot.release();
  throws(() => snapshot.release(), InvariantViolation);
  throws(() => snapshot.root, InvariantViolation);
  state.begin();
  throws(() => state.snapshot(), InvariantViolation);
  throws(() => state.foldSlice(1, clock), InvariantViolation);
  state.rollback();
  state.clear();
});
