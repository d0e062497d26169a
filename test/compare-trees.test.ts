/**
 * The difference of two trees in memory (src/state/compare-trees.ts). Goal: it names exactly the keys whose
 * values differ, in order, and leaves what is equal unread. Method: seeded contents against plain Maps, whole
 * in memory and partly in files, with trees of many cut runs.
 */

import { deepStrictEqual, ok } from 'node:assert';
import { test } from 'node:test';
import type { TreeShape } from '../src/base/merkle/shape.ts';
import type { LiveState } from '../src/state/live-state.ts';
import type { SeededRandom } from '../src/testing/seeded-random.ts';
import {
  install,
  newState,
  numbered,
  rooted,
  seededRandom,
  set,
  storedContent,
} from './support/live-states.ts';
import { bytesOf, CUT_SHAPE, SMALL_SHAPE, textOf } from './support/stored-trees.ts';

type Content = Map<string, string>;
type Change = readonly [key: string, source: string | null, target: string | null];

function changesBetween(source: LiveState, target: LiveState): Change[] {
  const [one, other] = [rooted(source), rooted(target)];
  const changes: Change[] = [];
  for (const change of one.changesTo(other)) {
    if (change === null) continue;
    const [from, to] = [change.source, change.target].map((value) => (value === null ? null : textOf(value)));
    changes.push([textOf(change.key), from!, to!]);
  }
  one.release();
  other.release();
  return changes;
}

function expected(source: Content, target: Content): Change[] {
  const keys = [...new Set([...source.keys(), ...target.keys()])].sort();
  return keys
    .map((key): Change => [key, source.get(key) ?? null, target.get(key) ?? null])
    .filter(([, from, to]) => from !== to);
}

function randomContent(random: SeededRandom, keys: number): Content {
  const content: Content = new Map();
  for (let at = 0; at < keys; at++) {
    const length = random.happens(0.05) ? 1500 : random.below(20);
    content.set(`key ${random.below(3 * keys)}`, String(random.below(1000)).repeat(1 + length / 3));
  }
  return content;
}

function changed(content: Content, random: SeededRandom, changes: number): Content {
  const other = new Map(content);
  const keys = [...content.keys()];
  for (let at = 0; at < changes; at++) {
    if (random.happens(0.3)) other.delete(random.pick(keys));
    else if (random.happens(0.5)) other.set(random.pick(keys), `changed ${random.below(100)}`);
    else other.set(`new ${random.below(1000)}`, 'value');
  }
  return other;
}

function stateOf(content: Content, shape: TreeShape): LiveState {
  const state = newState(shape);
  set(state, content);
  return state;
}

test('compare trees: the changes are those between two Maps', (t) => {
  const random = seededRandom(t);
  for (let run = 0; run < 60; run++) {
    const shape = random.pick([SMALL_SHAPE, CUT_SHAPE]);
    const source = randomContent(random, random.pick([1, 20, 400]));
    const target = random.happens(0.2)
      ? randomContent(random, 100)
      : changed(source, random, random.pick([0, 1, 5, 60]));
    deepStrictEqual(
      changesBetween(stateOf(source, shape), stateOf(target, shape)),
      expected(source, target),
      `run ${run}`,
    );
  }
});

test('compare trees: to and from nothing', () => {
  const content = numbered(100);
  const [full, empty] = [stateOf(content, SMALL_SHAPE), newState(SMALL_SHAPE)];
  deepStrictEqual(changesBetween(full, empty), expected(content, new Map()));
  deepStrictEqual(changesBetween(empty, full), expected(new Map(), content));
  deepStrictEqual(changesBetween(empty, newState(SMALL_SHAPE)), []);
});

test('compare trees: of leaves in files only those that differ are read', (t) => {
  const random = seededRandom(t);
  const content = numbered(3000);
  const { files, tree } = storedContent(content, SMALL_SHAPE);
  const then = install(SMALL_SHAPE, tree, files);
  const other = changed(content, random, 5);
  const keysToLoad = then.keysToLoad;
  deepStrictEqual(changesBetween(stateOf(other, SMALL_SHAPE), then), expected(other, content));
  const read = keysToLoad - then.keysToLoad;
  ok(read < 300, `${read} of 3000 keys were read for 5 changes`);
});

test('compare trees: writes may go on while two snapshots are compared', (t) => {
  const random = seededRandom(t);
  const source = randomContent(random, 500);
  const target = changed(source, random, 200);
  const [one, other] = [stateOf(source, SMALL_SHAPE), stateOf(target, SMALL_SHAPE)];
  const [held, heldToo] = [rooted(one), rooted(other)];
  const found: Change[] = [];
  for (const change of held.changesTo(heldToo)) {
    if (change !== null) {
      const texts = [change.source, change.target].map((value) => (value === null ? null : textOf(value)));
      found.push([textOf(change.key), texts[0]!, texts[1]!]);
    }
    for (const state of [one, other]) {
      state.begin();
      state.set(bytesOf(`key ${random.below(1500)}`), bytesOf('later'));
      state.delete(bytesOf(`key ${random.below(1500)}`));
      state.commit();
    }
  }
  deepStrictEqual(found, expected(source, target));
  held.release();
  heldToo.release();
});
