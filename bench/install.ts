/**
 * A state from its files, which are in memory here: so this is what it takes beside the disk.
 *
 *     npm run bench -- install
 *
 * Goals, for a million keys of 256 bytes: it serves after 150 ms; all of it is in memory after a second;
 * 100,000 commands of the log, at random keys, are applied in 150 ms before that; and memory is at most twice
 * the bytes of keys and values.
 */

import { defaultShape, SALT_BYTES } from '../src/base/merkle/shape.ts';
import { systemClock } from '../src/base/time.ts';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import { LiveState } from '../src/state/live-state.ts';
import type { Snapshot } from '../src/state/snapshot.ts';
import type { StoredTree } from '../src/state/stored.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { MemoryFiles } from '../test/support/memory-files.ts';

const KEYS = 1_000_000;
const KEY_BYTES = 16;
const VALUE_BYTES = 256;
const BLIND_WRITES = 100_000;
const ROUNDS = 3;

const random = new SeededRandom(7);
const seed = random.fill(new Uint8Array(8));
const shape = defaultShape(random.fill(new Uint8Array(SALT_BYTES)));
const key = Buffer.alloc(KEY_BYTES, '0');
const value = random.fill(Buffer.alloc(VALUE_BYTES));

function keyOf(number: number): Buffer {
  for (let at = KEY_BYTES - 1, rest = number; at >= KEY_BYTES - 8; at--) {
    key[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return key;
}

function write(state: LiveState, number: number): void {
  value.writeUInt32LE(random.u32(), random.below(60) * 4);
  state.begin();
  state.set(keyOf(number), value);
  state.commit();
}

function fold(state: LiveState): void {
  while (state.foldSlice(1_000, systemClock));
}

function rooted(state: LiveState): Snapshot {
  const snapshot = state.snapshot();
  snapshot.requestRoot();
  fold(state);
  return snapshot;
}

const rows: (string | number)[][] = [];

/** Runs it a step at a time. */
function measure(what: string, count: number, run: () => Iterable<unknown>): void {
  const beganAt = performance.now();
  let stepMsMax = 0;
  let stepAt = beganAt;
  for (const _ of run()) {
    const now = performance.now();
    stepMsMax = Math.max(stepMsMax, now - stepAt);
    stepAt = now;
  }
  const ms = performance.now() - beganAt;
  rows.push([what, count, ms.toFixed(0), ((1000 * ms) / count).toFixed(2), stepMsMax.toFixed(2)]);
}

function* steps(state: LiveState): Generator<void, void> {
  while (state.foldSlice(0, systemClock)) yield;
}

function* warm(state: LiveState): Generator<void, void> {
  for (const leaf of state.coldLeaves()) {
    state.warm(leaf);
    yield;
  }
}

function* writes(state: LiveState): Generator<void, void> {
  for (let left = BLIND_WRITES; left > 0; left--) {
    write(state, random.below(KEYS));
    yield;
  }
}

function* gets(state: LiveState): Generator<void, void> {
  for (let left = BLIND_WRITES; left > 0; left--) {
    state.get(keyOf(random.below(2 * KEYS)));
    yield;
  }
}

function stored(files: MemoryFiles): StoredTree {
  const state = new LiveState({ seed, shape });
  for (let number = 0; number < KEYS; number++) {
    if (state.backlog >= 1) fold(state);
    write(state, number);
  }
  const snapshot = rooted(state);
  const file = files.newFile();
  measure('write all nodes', KEYS, function* () {
    for (const unstored of snapshot.unstored(() => false)) {
      unstored.storedAt(file, files.append(file, unstored));
      yield;
    }
  });
  return snapshot.storedTree;
}

const files = new MemoryFiles();
const tree = stored(files);
let state = new LiveState({ seed, shape });
for (let round = 0; round < ROUNDS; round++) {
  state = new LiveState({ seed, shape });
  measure('install', KEYS, () => state.install(tree, files));
  measure('read all leaves', KEYS, () => warm(state));
  measure('get, half of the keys absent', BLIND_WRITES, () => gets(state));
  const share = state.allocatedBytes / state.liveBytes;
  rows.push(['memory over keys and values', share.toFixed(3), '', '', '']);

  state = new LiveState({ seed, shape });
  measure('install', KEYS, () => state.install(tree, files));
  measure('write blindly', BLIND_WRITES, () => writes(state));
  measure('read all leaves after that', KEYS, () => warm(state));
  measure('fold', BLIND_WRITES, () => steps(state));

  state = new LiveState({ seed, shape });
  measure('install', KEYS, () => state.install(tree, files));
  measure('write blindly', BLIND_WRITES, () => writes(state));
  measure('fold, which reads leaves', BLIND_WRITES, () => steps(state));
}

console.log(`\n${table([['what', 'count', 'ms', 'microseconds each', 'longest step, ms'], ...rows])}`);
console.log(`\nmachine ${describeSurroundings(surroundings())}`);
