/**
 * Trees and walks over them (src/base/merkle). Goal: equal content has an equal root; what a walk finds is
 * what the content holds; a store that lies is caught. Method: the example of a textbook, then seeded
 * contents in plain Maps and brute force.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { difference } from '../src/base/merkle/difference.ts';
import { MissingNodes } from '../src/base/merkle/missing.ts';
import { decodeNode, EMPTY_ROOT } from '../src/base/merkle/node.ts';
import { checkProof, proveKey } from '../src/base/merkle/proof.ts';
import { hashName, readValue, rootReference, verifyNode } from '../src/base/merkle/read.ts';
import {
  cutRun,
  defaultShape,
  KeyScale,
  NODE_HEADER_BYTES,
  type TreeShape,
} from '../src/base/merkle/shape.ts';
import { getEntry, walkEntries } from '../src/base/merkle/walk.ts';
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
  valueText,
  whole,
} from './support/stored-trees.ts';

const SHAPES = { default: defaultShape(SALT), small: SMALL_SHAPE, cut: CUT_SHAPE };

function seededRandom(t: TestContext): SeededRandom {
  const seed = seedOf(t);
  return new SeededRandom(seed);
}

function randomContent(random: SeededRandom, keys: number): Map<string, string> {
  const content = new Map<string, string>();
  while (content.size < keys) content.set(randomKey(random, keys), randomValue(random));
  return content;
}

function randomKey(random: SeededRandom, keys: number): string {
  return random.happens(0.01) ? '' : `${random.below(2 * keys)}`.padStart(random.below(8), '\0');
}

/** Some are above the limit of a leaf. */
function randomValue(random: SeededRandom): string {
  return random.happens(0.05) ? `${random.u32()}`.repeat(300) : `${random.u32()}`;
}

/** The same content with some keys set and some deleted, and which keys these are. */
function changed(
  content: Content,
  random: SeededRandom,
  changes: number,
): [Map<string, string>, Set<string>] {
  const result = new Map(content);
  const touched = new Set<string>();
  for (let change = 0; change < changes; change++) {
    const known = [...content.keys()][random.below(content.size)];
    const key = random.happens(0.5) && known !== undefined ? known : randomKey(random, content.size + 10);
    touched.add(key);
    if (random.happens(0.4)) result.delete(key);
    else result.set(key, randomValue(random));
  }
  return [result, touched];
}

test('merkle tree: the example of the hash tree, [1,2,3,4] against [1,2,3]', () => {
  // Levels by hand: 1 and 3 begin leaves. Weights are hashes, so look for a salt that does it.
  const shape = shapeWithLevels({ 1: [1, 9], 2: [0, 0], 3: [1, 1], 4: [0, 0] });
  const four = buildMapTree(
    new Map([
      ['1', 'one'],
      ['2', 'two'],
      ['3', 'three'],
      ['4', 'four'],
    ]),
    shape,
  );
  const three = buildMapTree(
    new Map([
      ['1', 'one'],
      ['2', 'two'],
      ['3', 'three'],
    ]),
    shape,
  );

  // root = H(H(1, 2), H(3, 4)) against H(H(1, 2), H(3)): the left halves are the same node.
  const [leftOfFour, rightOfFour] = childrenOf(four);
  const [leftOfThree, rightOfThree] = childrenOf(three);
  strictEqual(leftOfFour, leftOfThree);
  ok(rightOfFour !== rightOfThree);
  ok(hexOf(four.root) !== hexOf(three.root));

  four.nodes.reads = 0;
  three.nodes.reads = 0;
  deepStrictEqual(differenceOf(four, three), ['deleted 4']);
  deepStrictEqual([four.nodes.reads, three.nodes.reads], [2, 2], 'each root and its right half');
});

test('merkle tree: a first key of a high level makes the tree no higher', () => {
  const shape = shapeWithLevels({ 1: [4, 9], 2: [1, 1] });
  const content = new Map([
    ['1', 'one'],
    ['2', 'two'],
  ]);
  const tree = buildMapTree(content, shape);
  strictEqual(childrenOf(tree).length, 2);
  strictEqual(tree.nodes.nodes.size, 3);
});

test('merkle tree: equal content has an equal root, and another content another', (t) => {
  const random = seededRandom(t);
  const content = randomContent(random, 300);
  for (const shape of Object.values(SHAPES)) {
    const root = hexOf(buildMapTree(content, shape).root);
    strictEqual(hexOf(buildMapTree(new Map(random.shuffle([...content])), shape).root), root);
    const [other] = changed(content, random, 1);
    const isSame =
      [...other].every(([key, value]) => content.get(key) === value) && other.size === content.size;
    strictEqual(hexOf(buildMapTree(other, shape).root) === root, isSame);
  }
});

test('merkle tree: the empty tree has a root of its own', () => {
  for (const shape of Object.values(SHAPES)) {
    const tree = buildMapTree(new Map(), shape);
    strictEqual(hexOf(tree.root), hexOf(EMPTY_ROOT));
    deepStrictEqual([...walkEntries(tree.nodes, tree.root, bytesOf(''))], []);
    deepStrictEqual(getEntry(tree.nodes, tree.root, bytesOf('')), { kind: 'absent' });
  }
});

test('merkle tree: no node is above the limit, and cut nodes hold what whole ones would', (t) => {
  const random = seededRandom(t);
  const content = randomContent(random, 2_000);
  for (const [key, value] of content) if (value.length > 40) content.set(key, value.slice(0, 40));
  const { nodes, root } = buildMapTree(content, CUT_SHAPE);
  const sizes = [...nodes.nodes.values()].map((bytes) => bytes.length);
  ok(Math.max(...sizes) <= CUT_SHAPE.nodeBytesMax, `${Math.max(...sizes)} bytes`);
  deepStrictEqual(contentOf({ nodes, root }), sorted(content));
});

test('merkle tree: a run is cut at its lightest items but the first, until all parts fit', (t) => {
  const random = seededRandom(t);
  for (let run = 0; run < 2_000; run++) {
    const sizes = Array.from({ length: random.between(1, 40) }, () => random.between(1, 10));
    const weights = sizes.map(() => random.below(run % 2 === 0 ? 12 : 2 ** 32));
    const max = random.between(22, 60);
    const cut = cutRun(
      { length: sizes.length, bytesOf: (at) => sizes[at]!, weightOf: (at) => weights[at]! },
      max,
    );
    deepStrictEqual(cut, cutByDefinition(sizes, weights, max));
  }
});

test('merkle tree: cutting takes time in proportion to the run, also for weights that ascend', () => {
  const length = 300_000;
  const cut = cutRun({ length, bytesOf: () => 10, weightOf: (at) => at }, 1_000);
  strictEqual(cut.length, length - 98);
});

for (const [name, shape] of Object.entries(SHAPES)) {
  test(`merkle tree, ${name} shape: every key is found, the others are not; both can be proven`, (t) => {
    const random = seededRandom(t);
    const content = randomContent(random, 400);
    const tree = buildMapTree(content, shape);
    for (const key of [...content.keys(), ...Array.from({ length: 400 }, () => randomKey(random, 800))]) {
      const found = whole(getEntry(tree.nodes, tree.root, bytesOf(key)));
      const value = found.kind === 'present' ? valueText(tree.nodes, found.value) : undefined;
      strictEqual(value, content.get(key));
      const { proof } = whole(proveKey(tree.nodes, tree.root, bytesOf(key)));
      deepStrictEqual(checkProof(tree.root, bytesOf(key), proof), found);
    }
  });

  test(`merkle tree, ${name} shape: iterates in order from any key`, (t) => {
    const random = seededRandom(t);
    const content = randomContent(random, 400);
    const tree = buildMapTree(content, shape);
    deepStrictEqual(contentOf(tree), sorted(content));
    for (let run = 0; run < 50; run++) {
      const from = randomKey(random, 800);
      const want = [...sorted(content)].filter(([key]) => key >= from);
      deepStrictEqual(contentOf(tree, from), new Map(want));
    }
  });

  test(`merkle tree, ${name} shape: the difference is what brute force finds`, (t) => {
    const random = seededRandom(t);
    for (let run = 0; run < 200; run++) {
      const source = randomContent(random, random.below(200));
      const [target] = changed(source, random, random.below(run % 20 === 0 ? 400 : 12));
      const got = differenceOf(buildMapTree(source, shape), buildMapTree(target, shape));
      deepStrictEqual(got, bruteDifference(source, target));
    }
  });

  test(`merkle tree, ${name} shape: whoever lacks nodes gets exactly those`, (t) => {
    const random = seededRandom(t);
    const source = randomContent(random, 500);
    const [target] = changed(source, random, 10);
    const old = buildMapTree(source, shape);
    const next = buildMapTree(target, shape);
    const want = [...next.nodes.nodes.keys()].filter((hash) => !old.nodes.nodes.has(hash));
    const fetched = fetchMissing(next, old.nodes, random);
    deepStrictEqual(fetched.toSorted(), want.toSorted());
    deepStrictEqual(contentOf({ nodes: old.nodes, root: next.root }), sorted(target));
  });
}

test('merkle tree: d changes in N keys are found with O(d log N) reads', (t) => {
  const random = seededRandom(t);
  const content = new Map(
    Array.from({ length: 50_000 }, (_, at) => [String(at).padStart(8, '0'), `value ${at}`]),
  );
  const shape = defaultShape(SALT);
  const source = buildMapTree(content, shape);
  for (const changes of [1, 10, 100]) {
    const target = new Map(content);
    for (let change = 0; change < changes; change++) {
      target.set(String(random.below(50_000)).padStart(8, '0'), `changed ${change}`);
    }
    const other = buildMapTree(target, shape);
    source.nodes.reads = 0;
    const found = differenceOf(source, other).length;
    const levels = 1 + Math.log(50_000) / Math.log(8);
    t.diagnostic(`${found} changes, ${source.nodes.reads} reads of ${source.nodes.nodes.size} nodes`);
    ok(source.nodes.reads <= 2 * found * levels, `${source.nodes.reads} reads for ${found} changes`);
  }
});

test('merkle tree: a damaged node, or another in its place, is noticed before it is used', (t) => {
  const random = seededRandom(t);
  const content = randomContent(random, 300);
  const tree = buildMapTree(content, SMALL_SHAPE);
  const hashes = [...tree.nodes.nodes.keys()];
  for (const name of hashes) {
    const bytes = tree.nodes.nodes.get(name)!;
    const damaged = Uint8Array.from(bytes);
    damaged[random.below(damaged.length)]! ^= 1 << random.below(8);
    for (const lie of [damaged, tree.nodes.nodes.get(hashes.find((other) => other !== name)!)!, null]) {
      const nodes = new NodeMap();
      for (const [hash, whole] of tree.nodes.nodes) if (hash !== name) nodes.nodes.set(hash, whole);
      if (lie !== null) nodes.nodes.set(name, lie);
      strictEqual(readAll({ nodes, root: tree.root }), 'broken');
    }
  }
});

test('merkle tree: no changed proof shows anything', (t) => {
  const random = seededRandom(t);
  const content = randomContent(random, 200);
  const { nodes, root } = buildMapTree(content, SMALL_SHAPE);
  for (const key of [...content.keys()].slice(0, 40)) {
    const { proof } = whole(proveKey(nodes, root, bytesOf(key)));
    const kinds = [
      checkProof(root, bytesOf(key), proof.slice(1)),
      checkProof(root, bytesOf(key), proof.slice(0, -1)),
      checkProof(root, bytesOf(key), [...proof, proof[0]!]),
      checkProof(EMPTY_ROOT, bytesOf(key), proof),
    ];
    for (const at of proof.keys()) {
      const damaged = Uint8Array.from(proof[at]!);
      damaged[random.below(damaged.length)]! ^= 1 << random.below(8);
      kinds.push(checkProof(root, bytesOf(key), proof.with(at, damaged)));
    }
    ok(kinds.every(({ kind }) => kind === 'invalid'));
  }
});

test('merkle tree: a child that is not what its parent says is refused, though its hash is right', () => {
  const { nodes, root } = buildMapTree(new Map('abcdefghij'.split('').map((key) => [key, key])), SMALL_SHAPE);
  const reference = rootReference(root);
  const bytes = nodes.read(root)!;
  const node = verifyNode(reference, bytes);
  ok(node.kind === 'inner' && node.level > 0);
  const expected = { level: node.level, firstKey: bytesOf('a'), count: 10 };
  strictEqual(verifyNode({ hash: root, expected }, bytes).kind, 'inner');
  for (const wrong of [{ level: node.level - 1 }, { firstKey: bytesOf('b') }, { count: 9 }]) {
    strictEqual(verifyNode({ hash: root, expected: { ...expected, ...wrong } }, bytes).kind, 'broken');
  }
});

/** A salt under which the keys have levels in the given ranges. */
function shapeWithLevels(
  wanted: Readonly<Record<string, readonly [first: number, last: number]>>,
): TreeShape {
  for (let salt = 0; ; salt++) {
    const shape = { ...SMALL_SHAPE, leafBits: 1, innerBits: 1, salt: new Uint8Array(16).fill(salt) };
    shape.salt[0] = salt >> 8;
    const scale = new KeyScale(shape);
    const fits = Object.entries(wanted).every(([key, [first, last]]) => {
      const level = scale.levelOf(bytesOf(key));
      return level >= first && level <= last;
    });
    if (fits) return shape;
  }
}

function childrenOf({ nodes, root }: MapTree): string[] {
  const node = decodeNode(nodes.read(root)!);
  ok(node.kind === 'inner');
  return node.entries.map((entry) => hexOf(entry.hash));
}

function differenceOf(source: MapTree, target: MapTree): string[] {
  return [...difference(source, target)].map((found) => {
    const { kind, key } = whole(found);
    return `${kind} ${textOf(key)}`;
  });
}

function bruteDifference(source: Content, target: Content): string[] {
  return [...new Set([...source.keys(), ...target.keys()])].sort().flatMap((key) => {
    const [before, after] = [source.get(key), target.get(key)];
    if (before === after) return [];
    return before === undefined
      ? [`added ${key}`]
      : [`${after === undefined ? 'deleted' : 'changed'} ${key}`];
  });
}

function contentOf({ nodes, root }: MapTree, from = ''): Map<string, string> {
  const content = new Map<string, string>();
  for (const walked of walkEntries(nodes, root, bytesOf(from))) {
    const { key, value } = whole(walked);
    content.set(textOf(key), valueText(nodes, value));
  }
  return content;
}

/** Reads every node and value. */
function readAll({ nodes, root }: MapTree): 'whole' | 'broken' {
  for (const walked of walkEntries(nodes, root, bytesOf(''))) {
    if (walked.kind === 'broken' || readValue(nodes, walked.value).kind === 'broken') return 'broken';
  }
  return 'whole';
}

/** Fetches what `target` lacks from a source that lies, loses and mixes up; returns names of what it got. */
function fetchMissing({ nodes, root }: MapTree, target: NodeMap, random: SeededRandom): string[] {
  const missing = new MissingNodes(root, (hash) => target.has(hash));
  // What came is stored when all is there: until then a node here does not mean that all below it is.
  const staged: [Uint8Array, Uint8Array][] = [];
  const asked: Uint8Array[] = [];
  while (!missing.isComplete) {
    const wanted = missing.next();
    if (wanted !== null) asked.push(wanted.hash);
    if (wanted !== null && random.happens(0.5)) continue;
    const [hash] = asked.splice(random.below(asked.length), 1);
    const bytes = nodes.read(hash!)!;
    strictEqual(missing.deliver(hash!, Buffer.concat([bytes, bytesOf('x')])).kind, 'broken');
    if (random.happens(0.1)) {
      missing.giveUp(hash!);
      continue;
    }
    strictEqual(missing.deliver(hash!, bytes).kind, 'accepted');
    staged.push([hash!, bytes]);
  }
  for (const [hash, bytes] of staged) target.store(hash, bytes);
  return [...new Set(staged.map(([hash]) => hashName(hash)))];
}

function sorted(content: Content): Map<string, string> {
  return new Map([...content].sort(([one], [other]) => (one < other ? -1 : 1)));
}

function cutByDefinition(sizes: readonly number[], weights: readonly number[], max: number): number[] {
  const cut = (from: number, to: number): number[] => {
    const bytes = sizes.slice(from, to).reduce((sum, size) => sum + size, NODE_HEADER_BYTES);
    if (bytes <= max || to - from === 1) return [from];
    let lightest = from + 1;
    for (let at = from + 2; at < to; at++) if (weights[at]! < weights[lightest]!) lightest = at;
    return [...cut(from, lightest), ...cut(lightest, to)];
  };
  return cut(0, sizes.length);
}
