/**
 * The difference of two trees in rounds (src/base/merkle/difference.ts, diff-states.ts). Goal: what is found
 * is what brute force finds, of trees of one shape and of two, in few rounds and few bytes; whoever lies is
 * named. Method: seeded contents in plain Maps, readers that answer in parts, and every kind of lie.
 */
import { deepStrictEqual, ok, rejects, strictEqual } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { sha256 } from '../src/base/digest.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { type DiffOptions, diffStates, type TreeReader } from '../src/base/merkle/diff-states.ts';
import {
  type DecidedDifference,
  type KeyRange,
  ROUND_NODES_MAX,
  TreeDifference,
} from '../src/base/merkle/difference.ts';
import { decodeNode, encodeNode, type InnerEntry, type LeafEntry } from '../src/base/merkle/node.ts';
import { defaultShape, type TreeShape } from '../src/base/merkle/shape.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';
import {
  buildMapTree,
  bytesOf,
  type Content,
  CUT_SHAPE,
  hexOf,
  type MapTree,
  NodeMap,
  SALT,
  SMALL_SHAPE,
  textOf,
} from './support/stored-trees.ts';

const OTHER_SALT = new Uint8Array(SALT.length).fill(77);

/** Reads a tree in a Map, at most `partMax` nodes at a time. */
function readerOf(tree: MapTree, partMax = Infinity, name = 'a map'): TreeReader {
  return {
    name,
    root: tree.root,
    keys: 0,
    read: async (wanted) => wanted.slice(0, partMax).map(({ hash }) => tree.nodes.read(hash)),
  };
}

function contentOf(random: SeededRandom, keys: number): Map<string, string> {
  const content = new Map<string, string>();
  for (let key = 0; key < keys; key++) {
    const value = random.happens(0.05) ? `${random.u32()}`.repeat(300) : `${random.u32()}`;
    content.set(`${random.below(3 * keys)}`.padStart(random.below(6), '\0'), value);
  }
  return content;
}

function changedContent(content: Content, random: SeededRandom, changes: number): Map<string, string> {
  const changed = new Map(content);
  for (let change = 0; change < changes; change++) {
    const key = [...changed.keys()][random.below(changed.size)];
    const what = random.below(3);
    if (key !== undefined && what === 0) changed.delete(key);
    else if (key !== undefined && what === 1)
      changed.set(key, `${random.u32()}`.repeat(1 + random.below(200)));
    else changed.set(`new${random.below(1000)}`, `${change}`);
  }
  return changed;
}

/** What there is to find, with the values. */
function wantedDifference(
  source: Content,
  target: Content,
  isWanted: (key: string) => boolean = () => true,
): string[] {
  return [...new Set([...source.keys(), ...target.keys()])]
    .filter(isWanted)
    .sort()
    .flatMap((key) => {
      const [before, after] = [source.get(key), target.get(key)];
      return before === after ? [] : [`${key}: ${before ?? ''} > ${after ?? ''}`];
    });
}

function shown(found: DecidedDifference): string {
  const valueOf = (value: { kind: string; bytes?: Uint8Array } | null): string => {
    if (value === null) return '';
    return value.bytes === undefined ? '(not read)' : textOf(value.bytes);
  };
  const source = valueOf('source' in found ? found.source : null);
  return `${textOf(found.key)}: ${source} > ${valueOf('target' in found ? found.target : null)}`;
}

async function foundBy(source: TreeReader, target: TreeReader, options: DiffOptions = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const one of diffStates(source, target, options)) found.push(shown(one));
  return found;
}

for (const [name, shapes] of Object.entries({
  'one shape': [defaultShape(SALT), defaultShape(SALT)],
  'small nodes': [SMALL_SHAPE, SMALL_SHAPE],
  'cut nodes': [CUT_SHAPE, CUT_SHAPE],
  'two salts': [SMALL_SHAPE, { ...SMALL_SHAPE, salt: OTHER_SALT }],
  'two shapes': [CUT_SHAPE, defaultShape(OTHER_SALT)],
} satisfies Record<string, [TreeShape, TreeShape]>)) {
  test(`merkle difference, ${name}: what is found is what brute force finds, values and all`, async (t) => {
    const random = new SeededRandom(seedOf(t));
    const [one, other] = shapes as [TreeShape, TreeShape];
    for (let run = 0; run < 60; run++) {
      const source = contentOf(random, random.below(run % 10 === 0 ? 800 : 150));
      const target =
        run % 7 === 0 ? contentOf(random, 100) : changedContent(source, random, random.below(30));
      if (shapes.includes(CUT_SHAPE)) for (const content of [source, target]) shorten(content);
      const trees = [buildMapTree(source, one), buildMapTree(target, other)] as const;
      const readers = [readerOf(trees[0], 1 + random.below(9)), readerOf(trees[1])] as const;
      deepStrictEqual(await foundBy(...readers), wantedDifference(source, target));
    }
  });
}

/** Entries of a cut shape have at most half of its limit. */
function shorten(content: Map<string, string>): void {
  for (const [key, value] of content) if (value.length > 40) content.set(key, value.slice(0, 40));
}

test('merkle difference: a range has the differences in it, and reads nothing beside it', async (t) => {
  const random = new SeededRandom(seedOf(t));
  for (let run = 0; run < 60; run++) {
    const source = contentOf(random, 300);
    const target = changedContent(source, random, 40);
    const [from, to] = [`${random.below(900)}`, `${random.below(900)}`].sort() as [string, string];
    const range: KeyRange = { from: bytesOf(from), to: run % 5 === 0 ? null : bytesOf(to) };
    const isWithin = (key: string): boolean => key >= from && (range.to === null || key < to);
    const trees = [buildMapTree(source, SMALL_SHAPE), buildMapTree(target, SMALL_SHAPE)] as const;
    const found = await foundBy(readerOf(trees[0]), readerOf(trees[1]), { range });
    deepStrictEqual(found, wantedDifference(source, target, isWithin));
  }
  const tree = buildMapTree(contentOf(random, 2000), SMALL_SHAPE);
  const empty = buildMapTree(new Map(), SMALL_SHAPE);
  await foundBy(readerOf(tree), readerOf(empty), { range: { from: bytesOf('5'), to: bytesOf('51') } });
  ok(tree.nodes.reads < tree.nodes.nodes.size / 2, `${tree.nodes.reads} of ${tree.nodes.nodes.size} nodes`);
});

test('merkle difference: large values are read where they are wanted, and only there', async () => {
  const [before, after] = ['a'.repeat(5000), 'b'.repeat(6000)];
  const same = buildMapTree(
    new Map([
      ['k', before],
      ['l', before],
    ]),
    SMALL_SHAPE,
  );
  const other = buildMapTree(
    new Map([
      ['k', after],
      ['l', before],
    ]),
    SMALL_SHAPE,
  );
  const read = (values: NonNullable<DiffOptions['values']>): Promise<string[]> =>
    foundBy(readerOf(same), readerOf(other), { values });
  deepStrictEqual(await read('both'), [`k: ${before} > ${after}`]);
  deepStrictEqual(await read('source'), [`k: ${before} > (not read)`]);
  deepStrictEqual(await read('target'), [`k: (not read) > ${after}`]);
  deepStrictEqual(await read('none'), ['k: (not read) > (not read)']);
});

test('merkle difference: ten changes among 100,000 keys cost 1 % of a copy at most', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const content = new Map(
    Array.from({ length: 100_000 }, (_, at) => [`key:${String(at).padStart(8, '0')}`, valueOf(random)]),
  );
  const shape = defaultShape(SALT);
  const source = buildMapTree(content, shape);
  const target = new Map(content);
  for (let change = 0; change < 10; change++) {
    const key = `key:${String(random.below(100_000)).padStart(8, '0')}`;
    if (random.happens(0.3)) target.delete(key);
    else target.set(random.happens(0.3) ? `${key}.new` : key, valueOf(random));
  }
  const other = buildMapTree(target, shape);
  const diff = diffStates(readerOf(source), readerOf(other));
  let found = 0;
  for await (const _ of diff) found++;
  strictEqual(found, wantedDifference(content, target).length);
  const { rounds, bytes, nodes } = diff.cost;
  const share = (bytes.source + bytes.target) / source.nodes.bytes;
  const levels = Math.max(levelsOf(source), levelsOf(other));
  t.diagnostic(
    `${found} differences: ${nodes.source + nodes.target} nodes, ${(100 * share).toFixed(2)} % of the ` +
      `bytes, ${rounds} rounds for ${levels} levels`,
  );
  ok(share <= 0.01, `${(100 * share).toFixed(2)} % of the bytes of a copy`);
  ok(rounds <= levels + 2, `${rounds} rounds for ${levels} levels`);
});

function valueOf(random: SeededRandom): string {
  return `${random.u32()}`.padEnd(256, 'x');
}

function levelsOf({ nodes, root }: MapTree): number {
  const node = decodeNode(nodes.read(root)!);
  ok(node.kind !== 'invalid');
  return node.kind === 'leaf' ? 1 : node.level + 1;
}

test('merkle difference: what has nothing in common is walked in bounded rounds', () => {
  const content = new Map(Array.from({ length: 60_000 }, (_, at) => [`${at}`.padStart(6, '0'), `${at}`]));
  const tree = buildMapTree(content, SMALL_SHAPE);
  const empty = buildMapTree(new Map(), SMALL_SHAPE);
  const walk = new TreeDifference(empty.root, tree.root);
  let found = 0;
  for (let wanted = walk.begin(); wanted !== null; wanted = walk.begin()) {
    deepStrictEqual(wanted.source, []);
    ok(wanted.target.length <= ROUND_NODES_MAX);
    found += walk.take().length;
    for (const node of wanted.target) {
      strictEqual(walk.deliver('target', node, tree.nodes.read(node.hash)), null);
    }
  }
  strictEqual(found + walk.take().length, 60_000);
  strictEqual(walk.keysPassed, 60_000);
});

test('merkle difference: whoever gives other bytes for a hash, or none, is named', async (t) => {
  const random = new SeededRandom(seedOf(t));
  const source = contentOf(random, 400);
  const target = changedContent(source, random, 60);
  const honest = buildMapTree(source, SMALL_SHAPE);
  const whole = buildMapTree(target, SMALL_SHAPE);
  for (let run = 0; run < 150; run++) {
    const liar = new NodeMap();
    for (const [hash, bytes] of whole.nodes.nodes) liar.nodes.set(hash, bytes);
    const victims = [...liar.nodes.keys()];
    const victim = victims[random.below(victims.length)]!;
    const bytes = Uint8Array.from(liar.nodes.get(victim)!);
    const lie = random.below(4);
    if (lie === 0) liar.nodes.delete(victim);
    else if (lie === 1) liar.nodes.set(victim, bytes.subarray(0, random.below(bytes.length)));
    else if (lie === 2) liar.nodes.set(victim, liar.nodes.get(victims[random.below(victims.length)]!)!);
    else {
      bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      liar.nodes.set(victim, bytes);
    }
    const reader = readerOf({ nodes: liar, root: whole.root }, Infinity, 'the liar');
    try {
      deepStrictEqual(await foundBy(readerOf(honest), reader), wantedDifference(source, target));
    } catch (error) {
      ok(isTidemarkError(error, 'TIDEMARK_TREE_INVALID'), String(error));
      strictEqual(error.facts['from'], 'the liar');
    }
  }
});

/** Trees whose hashes are right, and which are none. */
const LIES: Record<string, (store: (bytes: Uint8Array) => Uint8Array) => Uint8Array> = {
  'level|a child of the same level': (store) => {
    const below = inner(store, 1, [leaf(store, ['a'])]);
    return store(encodeNode({ kind: 'inner', level: 1, entries: [{ ...below, key: bytesOf('a') }] }));
  },
  'first key|a child that begins with another key': (store) =>
    store(encodeNode({ kind: 'inner', level: 1, entries: [{ ...leaf(store, ['b']), key: bytesOf('a') }] })),
  'count|a count that does not add up': (store) =>
    store(encodeNode({ kind: 'inner', level: 1, entries: [{ ...leaf(store, ['a']), count: 2 ** 40 }] })),
  'last key|children that overlap': (store) =>
    store(encodeNode({ kind: 'inner', level: 1, entries: [leaf(store, ['a', 'z']), leaf(store, ['b'])] })),
  'level|a level that no tree has': (store) => {
    const bytes = Uint8Array.from(encodeNode({ kind: 'leaf', entries: [] }));
    bytes[0] = 64;
    return store(bytes);
  },
};

function leaf(store: (bytes: Uint8Array) => Uint8Array, keys: readonly string[]): InnerEntry {
  const entries: LeafEntry[] = keys.map((key) => ({
    key: bytesOf(key),
    value: { kind: 'inline', bytes: bytesOf('v') },
  }));
  return { key: entries[0]!.key, count: keys.length, hash: store(encodeNode({ kind: 'leaf', entries })) };
}

function inner(store: (bytes: Uint8Array) => Uint8Array, level: number, entries: InnerEntry[]): InnerEntry {
  const count = entries.reduce((sum, entry) => sum + entry.count, 0);
  return { key: entries[0]!.key, count, hash: store(encodeNode({ kind: 'inner', level, entries })) };
}

for (const [lie, build] of Object.entries(LIES)) {
  const [reason, what] = lie.split('|') as [string, string];
  test(`merkle difference: ${what} is refused, although its hashes are right`, async (t: TestContext) => {
    const nodes = new NodeMap();
    const root = build((bytes) => {
      const hash = sha256(bytes);
      nodes.store(hash, bytes);
      return hash;
    });
    const honest = buildMapTree(new Map([['a', '1']]), SMALL_SHAPE);
    t.diagnostic(hexOf(root));
    await rejects(foundBy(readerOf(honest), readerOf({ nodes, root }, Infinity, 'the liar')), (error) => {
      ok(isTidemarkError(error, 'TIDEMARK_TREE_INVALID'));
      deepStrictEqual([error.facts['from'], error.facts['reason']], ['the liar', reason]);
      return true;
    });
  });
}
