/**
 * The state and its files (src/state/stored.ts): storing, installing, reading what is needed, writing without
 * reading. Goal: wherever a part of the state is, it is the state: equal content has an equal root,
 * everything can be read, nothing is kept for ever, and nothing damaged is ever returned. Method: seeded
 * commands against plain Maps, over files with real bytes; every byte of a small tree damaged in turn.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { sha256 } from '../src/base/digest.ts';
import { TidemarkError } from '../src/base/errors.ts';
import { encodeNode, type TreeNode } from '../src/base/merkle/node.ts';
import { defaultShape, type TreeShape } from '../src/base/merkle/shape.ts';
import type { ColdLeaf } from '../src/state/cold-leaves.ts';
import { LiveState } from '../src/state/live-state.ts';
import type { Snapshot } from '../src/state/snapshot.ts';
import type { Place, StoredFiles, StoredTree, Unstored } from '../src/state/stored.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { MemoryFiles } from './support/memory-files.ts';
import {
  buildMapTree,
  bytesOf,
  CUT_SHAPE,
  hexOf,
  SALT,
  SMALL_SHAPE,
  textOf,
} from './support/stored-trees.ts';

const HASH_SEED = Uint8Array.from({ length: 8 }, (_, at) => 3 * at);

/** Every look at it costs a millisecond: a budget of n is n steps. */
class StepClock {
  #now = 0;

  monotonic(): number {
    return this.#now++;
  }
}

const clock = new StepClock();

function seededRandom(t: TestContext): SeededRandom {
  const seed = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);
  t.diagnostic(`reproduce with SEED=${seed}`);
  return new SeededRandom(seed);
}

function newState(shape: TreeShape): LiveState {
  return new LiveState({ seed: HASH_SEED, shape });
}

function install(shape: TreeShape, tree: StoredTree, files: StoredFiles): LiveState {
  const state = newState(shape);
  for (const _ of state.install(tree, files)) continue;
  return state;
}

function foldAll(state: LiveState): void {
  while (state.foldSlice(1_000, clock));
}

function rooted(state: LiveState): Snapshot {
  const snapshot = state.snapshot();
  snapshot.requestRoot();
  foldAll(state);
  return snapshot;
}

function rootNow(state: LiveState): string {
  const snapshot = rooted(state);
  const root = hexOf(snapshot.root ?? new Uint8Array(0));
  snapshot.release();
  return root;
}

function set(state: LiveState, content: Iterable<readonly [string, string]>): void {
  state.begin();
  for (const [key, value] of content) state.set(bytesOf(key), bytesOf(value));
  state.commit();
}

function get(state: LiveState, key: string): string | undefined {
  const value = state.get(bytesOf(key));
  return value === null ? undefined : textOf(value);
}

function warmAll(state: LiveState): void {
  for (const leaf of state.coldLeaves()) state.warm(leaf);
}

type Entries = Iterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;

function listOf(entries: Entries): [string, string][] {
  return Array.from(entries, ({ key, value }) => [textOf(key), textOf(value)]);
}

function sorted(content: Iterable<readonly [string, string]>, from = ''): [string, string][] {
  return Array.from(content, ([key, value]): [string, string] => [key, value])
    .filter(([key]) => key >= from)
    .sort(([one], [other]) => (one < other ? -1 : 1));
}

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
    const { snapshot, steps, file } = this.#writing;
    if (snapshot.root === null) return;
    for (let left = this.#random.below(200); left > 0; left--) {
      const step = steps.next();
      if (step.done === true) {
        this.#endWriting(this.#writing);
        return;
      }
      strictEqual(hexOf(sha256(step.value.bytes)), hexOf(step.value.hash));
      step.value.storedAt(file, this.#files.append(file, step.value));
    }
    if (this.#random.happens(0.02)) this.#giveUpWriting();
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
    return { snapshot, content: new Map(this.#content), isFull, file: this.#files.newFile(), steps };
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

/** A state with a content, and where its tree is. */
function storedContent(
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

function numbered(count: number): Map<string, string> {
  return new Map(Array.from({ length: count }, (_, at) => [`key ${at}`, `value ${at}`]));
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

for (const { name, shape, content } of [
  { name: 'leaves and nodes above', shape: SMALL_SHAPE, content: numbered(25) },
  { name: 'cut runs', shape: CUT_SHAPE, content: numbered(40) },
  {
    name: 'large values',
    shape: SMALL_SHAPE,
    content: new Map([...numbered(4), ['large', 'x'.repeat(1_030)], ['larger', 'y'.repeat(1_100)]]),
  },
  { name: 'one leaf', shape: defaultShape(SALT), content: new Map([['a', 'b']]) },
]) {
  test(`state files: a damaged byte anywhere is found before it is used: ${name}`, () => {
    const { files, tree } = storedContent(content, shape);
    const bytes = files.files.get(1)!;
    let unnoticed = 0;
    for (let offset = 0; offset < bytes.length; offset++) {
      bytes[offset]! ^= 1 << (offset & 7);
      if (readsAll(shape, tree, files, content)) unnoticed++;
      bytes[offset]! ^= 1 << (offset & 7);
    }
    strictEqual(unnoticed, files.paddingBytes, 'only bytes that mean nothing may change unnoticed');
    strictEqual(readsAll(shape, tree, files, content), true);
  });
}

/** Whether nothing was refused. What is answered must be right, whatever else is refused. */
function readsAll(
  shape: TreeShape,
  tree: StoredTree,
  files: MemoryFiles,
  content: ReadonlyMap<string, string>,
): boolean {
  let refused = 0;
  const attempt = (run: () => void): void => {
    try {
      run();
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error;
      refused++;
    }
  };
  attempt(() => {
    const state = install(shape, tree, files);
    for (const [key, value] of content) attempt(() => strictEqual(get(state, key), value));
    strictEqual(state.keptRecords, 0, 'a leaf that is refused leaves nothing behind');
  });
  return refused === 0;
}

const LEAF: TreeNode = {
  kind: 'leaf',
  entries: [
    { key: bytesOf('a'), value: { kind: 'inline', bytes: bytesOf('1') } },
    { key: bytesOf('b'), value: { kind: 'inline', bytes: bytesOf('2') } },
  ],
};

for (const { what, key, count, level, keys, refusedBy } of [
  { what: 'nothing', key: 'a', count: 2, level: 1, keys: 2, refusedBy: null },
  { what: 'the first key of a leaf', key: 'A', count: 2, level: 1, keys: 2, refusedBy: 'reading' },
  { what: 'the keys of a leaf', key: 'a', count: 1, level: 1, keys: 1, refusedBy: 'reading' },
  { what: 'more keys than fit', key: 'a', count: 1_000, level: 1, keys: 1_000, refusedBy: 'installing' },
  { what: 'the keys of the root', key: 'a', count: 2, level: 1, keys: 3, refusedBy: 'installing' },
  { what: 'the level of the root', key: 'a', count: 2, level: 2, keys: 2, refusedBy: 'installing' },
  { what: 'that the root is a leaf', key: 'a', count: 2, level: 0, keys: 2, refusedBy: 'installing' },
]) {
  test(`state files: a tree whose hashes are right is refused when it lies about ${what}`, () => {
    const files = new MemoryFiles();
    const file = files.newFile();
    const leaf = putNode(files, file, LEAF, []);
    const hash = sha256(encodeNode(LEAF));
    const top: TreeNode = { kind: 'inner', level: 1, entries: [{ key: bytesOf(key), count, hash }] };
    const place = putNode(files, file, top, [leaf]);
    const tree: StoredTree = { root: sha256(encodeNode(top)), place, level, keys };
    if (refusedBy === 'installing') {
      throws(() => install(SMALL_SHAPE, tree, files), TidemarkError);
      return;
    }
    const state = install(SMALL_SHAPE, tree, files);
    if (refusedBy === 'reading') throws(() => state.get(bytesOf('b')), TidemarkError);
    else strictEqual(get(state, 'b'), '2');
  });
}

function putNode(files: MemoryFiles, file: number, node: TreeNode, places: readonly Place[]): Place {
  const bytes = encodeNode(node);
  const storedAt = (): void => undefined;
  const offset = files.append(file, { kind: node.kind, hash: sha256(bytes), bytes, places, storedAt });
  return { file, offset, bytes: bytes.length };
}
