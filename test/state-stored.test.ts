/**
 * The state and its files (src/state/stored.ts): storing, installing, reading what is needed, writing without
 * reading. Goal: wherever a part of the state is, it is the state: equal content has an equal root,
 * everything can be read, and nothing is kept for ever. Method: seeded commands against plain Maps, over
 * files with real bytes.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { sha256 } from '../src/base/digest.ts';
import { defaultShape, type TreeShape } from '../src/base/merkle/shape.ts';
import type { ColdLeaf } from '../src/state/cold-leaves.ts';
import type { LiveState } from '../src/state/live-state.ts';
import type { Snapshot } from '../src/state/snapshot.ts';
import type { StoredTree, Unstored } from '../src/state/stored.ts';
import type { SeededRandom } from '../src/testing/seeded-random.ts';
import {
  clock,
  foldAll,
  get,
  install,
  listOf,
  newState,
  numbered,
  rooted,
  rootNow,
  seededRandom,
  set,
  sorted,
  storedContent,
  warmAll,
} from './support/live-states.ts';
import { MemoryFiles } from './support/memory-files.ts';
import { buildMapTree, bytesOf, CUT_SHAPE, hexOf, SALT, SMALL_SHAPE } from './support/stored-trees.ts';

function randomKey(random: SeededRandom, keys: number): string {
  const number = random.below(keys);
  if (number % 50 === 0) return '\0'.repeat(number / 50);
  return number % 3 === 0 ? `t${number}` : `accounts\0${String(number).padStart(6, '0')}`;
}

interface Config {
  readonly shape: TreeShape;
  readonly keys: number;
  readonly valueBytesMax: number;
}

/** A checkpoint being written, a few nodes at a time. */
interface Writing {
  readonly snapshot: Snapshot;
  readonly content: ReadonlyMap<string, string>;
  readonly isFull: boolean;
  readonly file: number;
  readonly steps: Iterator<Unstored, void>;
  /** Asked for, and not written yet: what is handed out holds until the next is asked for. */
  pending: Unstored | null;
}

/** Drives a state over files and a plain Map side by side. */
class Churn {
  state: LiveState;
  readonly #config: Config;
  readonly #random: SeededRandom;
  readonly #files = new MemoryFiles();
  #content = new Map<string, string>();
  #writing: Writing | null = null;
  #loading: Iterator<ColdLeaf, void> | null = null;
  #newest: { readonly tree: StoredTree; readonly content: ReadonlyMap<string, string> } | null = null;
  operations = 0;
  restarts = 0;

  constructor(config: Config, random: SeededRandom) {
    this.#config = config;
    this.#random = random;
    this.state = newState(config.shape);
  }

  get content(): ReadonlyMap<string, string> {
    return this.#content;
  }

  command(): void {
    const random = this.#random;
    const running = new Map(this.#content);
    const deleting = (this.operations >> 12) & 1 ? 0.6 : 0.2;
    this.state.begin();
    for (let left = random.below(random.happens(0.02) ? 200 : 8); left > 0; left--, this.operations++) {
      const key = randomKey(random, this.#config.keys);
      if (random.happens(0.1)) strictEqual(get(this.state, key), running.get(key));
      if (random.happens(0.1)) strictEqual(this.state.has(bytesOf(key)), running.has(key));
      if (random.happens(deleting)) {
        strictEqual(this.state.delete(bytesOf(key)), running.delete(key));
      } else {
        const value = `${random.u32()}`.padEnd(random.below(this.#config.valueBytesMax), '.');
        this.state.set(bytesOf(key), bytesOf(value));
        running.set(key, value);
      }
      if (random.happens(0.001)) strictEqual(this.state.size, running.size);
    }
    if (random.happens(0.25)) {
      this.state.rollback();
    } else {
      this.state.commit();
      this.#content = running;
    }
  }

  /** Begins a checkpoint, or brings the one that is being written on. */
  write(): void {
    this.#writing ??= this.#beginWriting();
    const { snapshot, steps, file, pending } = this.#writing;
    if (snapshot.root === null) return;
    if (pending !== null) this.#append(file, pending);
    this.#writing.pending = null;
    for (let left = this.#random.below(200); left >= 0; left--) {
      const step = steps.next();
      if (step.done === true) {
        this.#endWriting(this.#writing);
        return;
      }
      if (left === 0) this.#writing.pending = step.value;
      else this.#append(file, step.value);
    }
    if (this.#random.happens(0.02)) this.#giveUpWriting();
  }

  #append(file: number, unstored: Unstored): void {
    strictEqual(hexOf(sha256(unstored.bytes)), hexOf(unstored.hash));
    unstored.storedAt(file, this.#files.append(file, unstored));
  }

  /** Comes up again from the newest checkpoint, with what was there then. */
  restart(): void {
    if (this.#newest === null) return;
    this.#writing = null;
    const { tree, content } = this.#newest;
    this.state = install(this.#config.shape, tree, this.#files);
    this.#loading = this.state.coldLeaves();
    this.#content = new Map(content);
    this.restarts++;
  }

  /** Loads a few leaves. */
  load(): void {
    if (this.#loading === null || this.#random.happens(0.05)) this.#loading = this.state.coldLeaves();
    for (let left = this.#random.below(10); left > 0; left--) {
      const next = this.#loading.next();
      if (next.done === true) return;
      this.state.warm(next.value);
    }
  }

  check(): void {
    const random = this.#random;
    const from = random.happens(0.3) ? '' : randomKey(random, this.#config.keys);
    if (random.happens(0.3)) {
      deepStrictEqual(listOf(this.state.orderedEntries(bytesOf(from))), sorted(this.#content, from));
    }
    if (random.happens(0.1)) deepStrictEqual(sorted(listOf(this.state.entries())), sorted(this.#content));
    if (random.happens(0.3)) strictEqual(this.state.size, this.#content.size);
    if (this.state.isLoaded) strictEqual(this.state.approximateSize, this.#content.size);
    for (let left = 20; left > 0; left--) {
      const key = randomKey(random, this.#config.keys);
      strictEqual(get(this.state, key), this.#content.get(key));
    }
  }

  /** Checks a snapshot while writes go on. */
  compare(): void {
    const content = new Map(this.#content);
    const snapshot = this.state.snapshot();
    snapshot.requestRoot();
    for (let left = this.#random.below(10); left > 0; left--) this.command();
    foldAll(this.state);
    strictEqual(hexOf(snapshot.root!), hexOf(buildMapTree(content, this.#config.shape).root));
    strictEqual(snapshot.size, content.size);
    if (this.#random.happens(0.3)) {
      deepStrictEqual(listOf(snapshot.entries(bytesOf(''))), sorted(content));
    }
    snapshot.release();
  }

  #beginWriting(): Writing {
    const snapshot = this.state.snapshot();
    snapshot.requestRoot();
    const isFull = this.#random.happens(0.2);
    const steps = this.#stepsOf(snapshot, isFull);
    const file = this.#files.newFile();
    return { snapshot, content: new Map(this.#content), isFull, file, steps, pending: null };
  }

  /** Measures first, which needs the root, and then holds what comes against it. */
  *#stepsOf(snapshot: Snapshot, isFull: boolean): Generator<Unstored, void> {
    const isKept = (file: number): boolean => !isFull && this.#files.kept.has(file);
    const wasLoaded = this.state.isLoaded;
    const measuring = snapshot.measureUnstored(isKept);
    let step = measuring.next();
    while (step.done !== true) step = measuring.next();
    const written = { leaves: 0, inner: 0, values: 0, bytes: 0 };
    for (const unstored of snapshot.unstored(isKept)) {
      if (unstored.kind === 'leaf') written.leaves++;
      else if (unstored.kind === 'inner') written.inner++;
      else written.values++;
      written.bytes += unstored.bytes.length;
      yield unstored;
    }
    if (wasLoaded || !isFull) deepStrictEqual(written, step.value);
  }

  #endWriting({ snapshot, content, isFull, file }: Writing): void {
    if (isFull) this.#files.kept.clear();
    this.#files.kept.add(file);
    strictEqual(hexOf(snapshot.storedTree.root), hexOf(buildMapTree(content, this.#config.shape).root));
    this.#newest = { tree: snapshot.storedTree, content };
    snapshot.release();
    this.#writing = null;
  }

  #giveUpWriting(): void {
    this.#writing?.snapshot.release();
    this.#writing = null;
  }

  settle(): void {
    this.#giveUpWriting();
    foldAll(this.state);
  }
}

for (const { name, shape, keys, valueBytesMax } of [
  { name: 'the shape of a node', shape: defaultShape(SALT), keys: 2_000, valueBytesMax: 200 },
  { name: 'a high tree, large values', shape: SMALL_SHAPE, keys: 500, valueBytesMax: 3_000 },
  { name: 'a limit that cuts most runs', shape: CUT_SHAPE, keys: 500, valueBytesMax: 40 },
]) {
  test(`state files: 40,000 random writes with folds, checkpoints and restarts; ${name}`, (t) => {
    const random = seededRandom(t);
    const churn = new Churn({ shape, keys, valueBytesMax }, random);
    while (churn.operations < 40_000) {
      churn.command();
      if (random.happens(0.3)) churn.write();
      if (random.happens(0.2)) churn.state.foldSlice(random.below(20), clock);
      if (random.happens(0.02)) churn.load();
      if (random.happens(0.02)) churn.check();
      if (random.happens(0.005)) churn.compare();
      if (random.happens(0.01)) churn.restart();
    }
    ok(churn.restarts > 10, `${churn.restarts} restarts`);
    churn.settle();
    strictEqual(rootNow(churn.state), hexOf(buildMapTree(churn.content, shape).root));
    deepStrictEqual(listOf(churn.state.orderedEntries(bytesOf(''))), sorted(churn.content));
    strictEqual(churn.state.isLoaded, true);
    foldAll(churn.state);
    strictEqual(churn.state.keptRecords, 0);
    strictEqual(churn.state.size, churn.content.size);
  });
}

test('state files: an incremental checkpoint is what changed, and the way to it', () => {
  const state = newState(defaultShape(SALT));
  set(state, numbered(5_000));
  const files = new MemoryFiles();
  const first = rooted(state);
  const all = files.store(first, () => false);
  first.release();
  const unchanged = rooted(state);
  strictEqual(
    files.store(unchanged, () => true),
    0,
  );
  strictEqual(unchanged.storedTree.place?.file, 1);
  unchanged.release();
  set(state, [['key 77', 'another']]);
  const changed = rooted(state);
  const written = files.store(changed, (file) => file === 1);
  ok(all > 500 && written >= 3 && written <= 12, `${written} of ${all} nodes for one key`);
  const again = install(defaultShape(SALT), changed.storedTree, files);
  strictEqual(get(again, 'key 77'), 'another');
  strictEqual(get(again, 'key 78'), 'value 78');
});

test('state files: the empty tree is in no file', () => {
  const state = newState(SMALL_SHAPE);
  const snapshot = rooted(state);
  const files = new MemoryFiles();
  strictEqual(
    files.store(snapshot, () => false),
    0,
  );
  const again = install(SMALL_SHAPE, snapshot.storedTree, files);
  strictEqual(again.isLoaded, true);
  strictEqual(rootNow(again), rootNow(state));
});

test('state files: after an installation a read reads one leaf, and a write none', () => {
  const content = numbered(2_000);
  const { files, tree } = storedContent(content, defaultShape(SALT));
  const state = install(defaultShape(SALT), tree, files);
  strictEqual(state.keysToLoad, 2_000);
  strictEqual(state.approximateSize, 2_000);
  files.reads = 0;
  strictEqual(get(state, 'key 5'), 'value 5');
  strictEqual(get(state, 'key 5'), 'value 5');
  strictEqual(get(state, 'no such key'), undefined);
  ok(files.reads <= 2, `${files.reads} reads for two keys`);
  files.reads = 0;
  set(
    state,
    [...content.keys()].slice(0, 100).map((key) => [key, 'written blindly']),
  );
  set(state, [['a new key', 'written blindly']]);
  strictEqual(files.reads, 0);
  strictEqual(state.approximateSize, 2_000, 'what is new is not known');
  strictEqual(get(state, 'key 6'), 'written blindly');
  strictEqual(files.reads, 0);
  strictEqual(state.size, 2_001);
  strictEqual(state.isLoaded, false, 'a leaf that was not written is not read for the size');
  strictEqual(state.size, 2_001);
});

test('state files: a blind write that is taken back leaves the key what it had', () => {
  const { files, tree } = storedContent(numbered(500), defaultShape(SALT));
  for (const meanwhile of [
    (): void => undefined,
    (state: LiveState): void => void state.size,
    (state: LiveState): void => void state.delete(bytesOf('key 7')),
    (state: LiveState): void => {
      state.delete(bytesOf('key 7'));
      state.set(bytesOf('key 7'), bytesOf('yet another'));
    },
    (state: LiveState): void => void [...state.orderedEntries(bytesOf(''))],
  ]) {
    const state = install(defaultShape(SALT), tree, files);
    state.begin();
    state.set(bytesOf('key 7'), bytesOf('another'));
    state.set(bytesOf('key 7x'), bytesOf('new'));
    meanwhile(state);
    state.rollback();
    strictEqual(get(state, 'key 7'), 'value 7');
    strictEqual(get(state, 'key 7x'), undefined);
    strictEqual(state.size, 500);
    strictEqual(rootNow(state), hexOf(tree.root));
    strictEqual(state.keptRecords, 0);
  }
});

test('state files: the size is right however often it is asked for', () => {
  const { files, tree } = storedContent(numbered(500), defaultShape(SALT));
  const state = install(defaultShape(SALT), tree, files);
  for (let number = 0; number < 500; number += 9) {
    set(state, [
      [`key ${number}`, 'another'],
      [`new ${number}`, 'another'],
    ]);
    strictEqual(state.size, 501 + number / 9);
    strictEqual(state.size, 501 + number / 9);
    if (number % 4 === 0) rootNow(state);
  }
});

test('state files: what an installation tells of a tree is what its shape needs', () => {
  for (const shape of [SMALL_SHAPE, CUT_SHAPE, defaultShape(SALT)]) {
    for (const keys of [1, 2, 3, 5, 8, 60]) {
      const first = numbered(keys);
      const { files, tree } = storedContent(first, shape);
      for (const [key, value] of [
        ['', 'before all others'],
        ['key 0', ''],
        [`key ${keys >>> 1}`, ''],
        [`key ${keys - 1}`, 'a longer value than before'],
        ['key \x7f', 'behind all others'],
      ] as const) {
        const state = install(shape, tree, files);
        set(state, [[key, value]]);
        const content = new Map(first).set(key, value);
        strictEqual(rootNow(state), hexOf(buildMapTree(content, shape).root), `${keys} keys and ${key}`);
      }
    }
  }
});

test('state files: parts of a run that was cut are known as such', (t) => {
  const random = seededRandom(t);
  const content = new Map(Array.from({ length: 200 }, (_, at) => [`key ${at}`, 'x'.repeat(40)]));
  const { files, tree } = storedContent(content, CUT_SHAPE);
  const state = install(CUT_SHAPE, tree, files);
  for (const key of random.shuffle([...content.keys()])) {
    content.set(key, '');
    set(state, [[key, '']]);
    strictEqual(rootNow(state), hexOf(buildMapTree(content, CUT_SHAPE).root));
  }
});

test('state files: a key that was written blindly and deleted is gone', () => {
  const { files, tree } = storedContent(numbered(500), defaultShape(SALT));
  const state = install(defaultShape(SALT), tree, files);
  set(state, [
    ['key 7', 'another'],
    ['key 7x', 'new'],
  ]);
  state.begin();
  strictEqual(state.delete(bytesOf('key 7')), true);
  strictEqual(state.delete(bytesOf('key 7x')), true);
  strictEqual(state.delete(bytesOf('key 7x')), false);
  strictEqual(state.delete(bytesOf('key 8')), true);
  state.commit();
  strictEqual(state.size, 498);
  const content = numbered(500);
  content.delete('key 7');
  content.delete('key 8');
  strictEqual(rootNow(state), hexOf(buildMapTree(content, defaultShape(SALT)).root));
  warmAll(state);
  strictEqual(get(state, 'key 7'), undefined);
  deepStrictEqual(sorted(listOf(state.entries())), sorted(content));
  strictEqual(state.keptRecords, 0);
});
