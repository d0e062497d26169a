/**
 * What is wrong in the files of a state (src/state/cold-leaves.ts, tree-install.ts). Goal: it is found before
 * it is used, and leaves nothing behind. Method: every byte of small trees damaged in turn; trees whose
 * hashes are right and that lie.
 */
import { strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { sha256 } from '../src/base/digest.ts';
import { TidemarkError } from '../src/base/errors.ts';
import { encodeNode, type TreeNode } from '../src/base/merkle/node.ts';
import { defaultShape, type TreeShape } from '../src/base/merkle/shape.ts';
import type { Place, StoredTree } from '../src/state/stored.ts';
import {
  foldAll,
  get,
  install,
  listOf,
  numbered,
  rootNow,
  set,
  storedContent,
} from './support/live-states.ts';
import { MemoryFiles } from './support/memory-files.ts';
import { bytesOf, CUT_SHAPE, SALT, SMALL_SHAPE } from './support/stored-trees.ts';

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
  test(`state damage: a damaged byte anywhere is found before it is used: ${name}`, () => {
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
  test(`state damage: a tree whose hashes are right is refused when it lies about ${what}`, () => {
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

test('state damage: a fold that cannot read what it needs ends the use of the tree, not of its files', () => {
  const content = numbered(500);
  const { files, tree } = storedContent(content, SMALL_SHAPE);
  const state = install(SMALL_SHAPE, tree, files);
  set(
    state,
    [...content.keys()].map((key) => [key, 'another']),
  );
  const bytes = files.files.get(1)!;
  bytes[12]! ^= 1;
  throws(() => rootNow(state), TidemarkError);
  throws(() => foldAll(state), InvariantViolation);
  throws(() => listOf(state.orderedEntries(bytesOf(''))), InvariantViolation);
  bytes[12]! ^= 1;
  strictEqual(readsAll(SMALL_SHAPE, tree, files, content), true);
});
