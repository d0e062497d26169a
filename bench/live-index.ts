/**
 * The live index beside a plain `Map<string, Buffer>`: rates, the longest stall and the memory.
 *
 * `node dist/bench/live-index.js [case]`: one of the cases below, or all, each in a process of its own so
 * that no case pays for the garbage of another.
 */

import { spawnSync } from 'node:child_process';
import { defaultShape, SALT_BYTES } from '../src/base/merkle/shape.ts';
import { LiveIndex } from '../src/state/live-index.ts';
import { LiveState } from '../src/state/live-state.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';

const VALUE_BYTES = 256;
const KEY_BYTES = 16;
const KEYS = 1_000_000;
const GROWN_KEYS = 4_000_000;

/** Operations between two looks at the clock: a stall is what one such turn took. */
const OPERATIONS_PER_TURN = 16;

interface Store {
  set(key: Buffer, value: Buffer): void;
  get(key: Buffer): Uint8Array | null | undefined;
}

interface Sized {
  readonly allocatedBytes: number;
  readonly liveBytes: number;
}

const value = Buffer.alloc(VALUE_BYTES, 7);
const key = Buffer.alloc(KEY_BYTES, '0');
const seed = new SeededRandom(2).fill(new Uint8Array(8));

function keyOf(number: number): Buffer {
  for (let at = KEY_BYTES - 1, rest = number; at >= KEY_BYTES - 8; at--) {
    key[at] = 48 + (rest % 10);
    rest = Math.floor(rest / 10);
  }
  return key;
}

function measure(name: string, count: number, run: (at: number) => void): void {
  let longestMs = 0;
  const beganAt = performance.now();
  for (let at = 0; at < count; ) {
    const turnAt = performance.now();
    for (const end = Math.min(at + OPERATIONS_PER_TURN, count); at < end; at++) run(at);
    longestMs = Math.max(longestMs, performance.now() - turnAt);
  }
  const perSecond = Math.round(count / ((performance.now() - beganAt) / 1000)).toLocaleString('en');
  console.log(`  ${name.padEnd(16)}${perSecond.padStart(10)}/s   longest stall ${longestMs.toFixed(1)} ms`);
}

function measureStore(name: string, store: Store): void {
  const random = new SeededRandom(1);
  const residentBefore = process.memoryUsage().rss;
  console.log(`${name}, ${KEYS.toLocaleString('en')} keys of ${KEY_BYTES} B + ${VALUE_BYTES} B`);
  measure('inserts', KEYS, (at) => store.set(keyOf(at), value));
  measure('random updates', KEYS, () => store.set(keyOf(random.below(KEYS)), value));
  measure('random updates', KEYS, () => store.set(keyOf(random.below(KEYS)), value));
  measure('random gets', KEYS, () => store.get(keyOf(random.below(KEYS))));
  const resident = process.memoryUsage().rss - residentBefore;
  const live = KEYS * (KEY_BYTES + VALUE_BYTES);
  console.log(`  resident        ${(resident / live).toFixed(2)} x the bytes of keys and values`);
}

function printAllocated(state: Sized): void {
  const ratio = state.allocatedBytes / state.liveBytes;
  console.log(`  allocated       ${ratio.toFixed(2)} x the bytes of keys and values`);
}

function measureIndex(): void {
  const index = new LiveIndex({ seed });
  measureStore('LiveIndex', index);
  printAllocated(index);
  const random = new SeededRandom(4);
  measure('random deletes', 3 * KEYS, () => index.delete(keyOf(random.below(KEYS))));
  printAllocated(index);
}

function measureState(): void {
  const state = new LiveState({ seed, shape: defaultShape(new Uint8Array(SALT_BYTES)) });
  measureStore('LiveState, a command for each write', {
    get: (wanted) => state.get(wanted),
    set(written, content) {
      state.begin();
      state.set(written, content);
      state.commit();
    },
  });
  printAllocated(state);
}

function measureMap(): void {
  const map = new Map<string, Buffer>();
  measureStore('Map<string, Buffer>', {
    get: (wanted) => map.get(wanted.toString('latin1')),
    set: (written, content) => map.set(written.toString('latin1'), Buffer.from(content)),
  });
}

function measureGrowth(): void {
  const index = new LiveIndex({ seed });
  console.log(`LiveIndex, growing to ${GROWN_KEYS.toLocaleString('en')} keys`);
  measure('inserts', GROWN_KEYS, (at) => index.set(keyOf(at), value));
  printAllocated(index);
}

const CASES: Readonly<Record<string, () => void>> = {
  index: measureIndex,
  state: measureState,
  map: measureMap,
  grow: measureGrowth,
};

const chosen = CASES[process.argv[2] ?? ''];
if (chosen !== undefined) {
  chosen();
} else {
  console.log(`Node ${process.version}`);
  for (const name of Object.keys(CASES)) {
    spawnSync(process.execPath, [import.meta.filename, name], { stdio: 'inherit' });
  }
}
