/**
 * The state as a tree: what an incremental checkpoint would write, how fast changes are folded and nodes
 * hashed, the longest step, the memory.
 *
 *     npm run bench -- tree [bytes | speed]
 *
 * `bytes` tries several fan-outs; `speed` uses those of a node. Goals: at most 20 % of the bytes after 1 % of
 * the keys changed, at most 2.5 % after 0.1 %; folding at least 500,000 changes a second.
 */

import { defaultShape, NODE_BYTES_MAX, SALT_BYTES, type TreeShape } from '../src/base/merkle/shape.ts';
import { systemClock } from '../src/base/time.ts';
import { describeSurroundings, surroundings } from '../src/cli/bench/surroundings.ts';
import { table } from '../src/cli/output.ts';
import { LiveState } from '../src/state/live-state.ts';
import type { Snapshot } from '../src/state/snapshot.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';

const KEYS = 1_000_000;
const KEY_BYTES = 16;
const VALUE_BYTES = 256;
const SET_KEYS = 32 * 1024;

const FAN_OUTS = [
  { leafBits: 2, innerBits: 2 },
  { leafBits: 2, innerBits: 3 },
  { leafBits: 3, innerBits: 2 },
  { leafBits: 3, innerBits: 3 },
  { leafBits: 3, innerBits: 4 },
  { leafBits: 4, innerBits: 3 },
];

const random = new SeededRandom(7);
const seed = random.fill(new Uint8Array(8));
const salt = random.fill(new Uint8Array(SALT_BYTES));
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

interface Worked {
  readonly ms: number;
  /** Longest single step. */
  readonly stepMsMax: number;
}

/** Does what waits, a step at a time. */
function work(state: LiveState): Worked {
  const beganAt = performance.now();
  let stepMsMax = 0;
  for (let isMore = true; isMore; ) {
    const stepAt = performance.now();
    isMore = state.foldSlice(0, systemClock);
    stepMsMax = Math.max(stepMsMax, performance.now() - stepAt);
  }
  return { ms: performance.now() - beganAt, stepMsMax };
}

function load(shape: TreeShape): LiveState {
  const state = new LiveState({ seed, shape });
  const order = random.shuffle(Array.from({ length: KEYS }, (_, at) => at));
  for (const number of order) {
    if (state.backlog >= 1) work(state);
    write(state, number);
  }
  work(state);
  return state;
}

function hashed(state: LiveState): Snapshot {
  const snapshot = state.snapshot();
  snapshot.requestRoot();
  work(state);
  return snapshot;
}

interface Written {
  nodes: number;
  bytes: number;
}

/** Stores what is not stored yet. */
function store(snapshot: Snapshot): Written {
  const written: Written = { nodes: 0, bytes: 0 };
  for (const { bytes, storedAt } of snapshot.unstored(() => true)) {
    storedAt(1, 0);
    written.nodes++;
    written.bytes += bytes.length;
  }
  return written;
}

function measureBytes(): void {
  const head = ['leaf', 'inner', 'nodes', 'MB', '0.1 %: bytes', 'nodes', '1 %: bytes', 'nodes', 'memory'];
  const rows = FAN_OUTS.map(({ leafBits, innerBits }) => {
    const state = load({ salt, leafBits, innerBits, nodeBytesMax: NODE_BYTES_MAX });
    const full = storeOf(state);
    const shares = [0.001, 0.01].flatMap((share) => {
      for (let change = 0; change < KEYS * share; change++) write(state, random.below(KEYS));
      const written = storeOf(state);
      return [percent(written.bytes / full.bytes), written.nodes];
    });
    const memory = state.allocatedBytes / state.liveBytes;
    const cells = [2 ** leafBits, 2 ** innerBits, full.nodes, (full.bytes / 1e6).toFixed(1)];
    return [...cells, ...shares, memory.toFixed(3)];
  });
  console.log(`\n${KEYS.toLocaleString('en')} keys of ${KEY_BYTES} B with values of ${VALUE_BYTES} B;`);
  console.log('bytes of new nodes over those of all after random updates\n');
  console.log(table([head, ...rows]));
}

function storeOf(state: LiveState): Written {
  const snapshot = hashed(state);
  const written = store(snapshot);
  snapshot.release();
  work(state);
  return written;
}

function measureSpeed(): void {
  const rows: (string | number)[][] = [];
  const add = (what: string, count: number, { ms, stepMsMax }: Worked): void => {
    rows.push([what, count, Math.round(count / (ms / 1000)), ms.toFixed(0), stepMsMax.toFixed(2)]);
  };
  const state = new LiveState({ seed, shape: defaultShape(salt) });
  const order = random.shuffle(Array.from({ length: KEYS }, (_, at) => at));
  const loaded = { ms: 0, stepMsMax: 0 };
  for (const number of order) {
    if (state.backlog >= 1) join(loaded, work(state));
    write(state, number);
  }
  join(loaded, work(state));
  add('fold inserts of all keys, at random', state.treeProgress.keysFolded, loaded);
  const all = hashed(state);
  add('(nothing left)', 0, work(state));
  all.release();
  rows.pop();

  const again = new LiveState({ seed, shape: defaultShape(salt) });
  for (let number = 0; number < KEYS; number++) {
    if (again.backlog >= 1) work(again);
    write(again, number);
  }
  const before = again.treeProgress.nodesHashed;
  const snapshot = again.snapshot();
  work(again);
  snapshot.requestRoot();
  const hashing = work(again);
  add('hash all nodes', again.treeProgress.nodesHashed - before, hashing);

  add('fold updates under a snapshot', ...foldUpdates(again, 1));
  add('fold updates under a snapshot', ...foldUpdates(again, 8));
  snapshot.release();
  add('reclaim what the snapshot kept', again.keptRecords, work(again));
  for (let round = 0; round < 3; round++) add('fold updates, 1 set', ...foldUpdates(again, 1));
  add('fold updates, 8 sets', ...foldUpdates(again, 8));
  const hashedBefore = again.treeProgress.nodesHashed;
  const root = again.snapshot();
  root.requestRoot();
  const rehash = work(again);
  add('hash what changed', again.treeProgress.nodesHashed - hashedBefore, rehash);
  root.release();
  work(again);
  console.log(`\n${table([['what', 'count', 'per second', 'ms', 'longest step, ms'], ...rows])}`);
  const memory = again.allocatedBytes / again.liveBytes;
  console.log(`\nmemory: ${memory.toFixed(3)} x the bytes of keys and values`);
}

function foldUpdates(state: LiveState, sets: number): [number, Worked] {
  const before = state.treeProgress.keysFolded;
  for (let change = 0; change < sets * SET_KEYS; change++) write(state, random.below(KEYS));
  state.snapshot().release();
  const worked = work(state);
  return [state.treeProgress.keysFolded - before, worked];
}

function join(sum: { ms: number; stepMsMax: number }, { ms, stepMsMax }: Worked): void {
  sum.ms += ms;
  sum.stepMsMax = Math.max(sum.stepMsMax, stepMsMax);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)} %`;
}

const chosen = process.argv[2];
if (chosen !== 'speed') measureBytes();
if (chosen !== 'bytes') measureSpeed();
console.log(`\nmachine ${describeSurroundings(surroundings())}`);
