/**
 * The state with the undo of a command (src/state/live-state.ts). Goal: a command that is rolled back never
 * happened; one that is committed left exactly its writes. Method: seeded commands against a `Map` that is
 * copied at each begin.
 */
import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { type TestContext, test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { NO_BYTES } from '../src/base/bytes.ts';
import { isTidemarkError, type TidemarkError } from '../src/base/errors.ts';
import { KEY_BYTES_MAX, VALUE_BYTES_MAX } from '../src/base/limits.ts';
import { SET_KEYS_MAX } from '../src/state/change-set.ts';
import { LiveState } from '../src/state/live-state.ts';
import { RECORD_BYTES } from '../src/state/record-table.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';
import { seedOf } from './support/seed.ts';
import { SMALL_SHAPE } from './support/stored-trees.ts';

const HASH_SEED = Uint8Array.from({ length: 8 }, (_, at) => 5 * at);
const content = new SeededRandom(12).fill(new Uint8Array(200_000));

/** At most, of a key in a change set: its arrays double. */
const CHANGE_BYTES = 64;

function seededRandom(t: TestContext): SeededRandom {
  const seed = seedOf(t);
  return new SeededRandom(seed);
}

function newState(): LiveState {
  return new LiveState({ seed: HASH_SEED, shape: SMALL_SHAPE });
}

function textOf(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : Buffer.from(bytes).toString('latin1');
}

function contentOf(state: LiveState): Map<string, string> {
  const found = new Map<string, string>();
  for (const { key, value } of state.entries()) found.set(textOf(key) ?? '', textOf(value) ?? '');
  return sorted(found);
}

function sorted(content: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...content].sort(([one], [other]) => (one < other ? -1 : 1)));
}

function assertSameContent(state: LiveState, model: ReadonlyMap<string, string>): void {
  deepStrictEqual(contentOf(state), sorted(model));
  strictEqual(state.size, model.size);
  let liveBytes = 0;
  for (const [key, value] of model) liveBytes += key.length + value.length;
  strictEqual(state.liveBytes, liveBytes);
}

/** Sets, overwrites, deletes, copies of other values; the same key often more than once. */
function writeAtRandom(state: LiveState, model: Map<string, string>, random: SeededRandom): void {
  const name = String(random.below(200));
  const key = Buffer.from(name);
  if (random.happens(0.35)) {
    strictEqual(state.delete(key), model.delete(name));
  } else if (random.happens(0.2)) {
    const other = String(random.below(200));
    state.set(key, state.get(Buffer.from(other)) ?? NO_BYTES);
    model.set(name, model.get(other) ?? '');
  } else {
    const bytes = random.happens(0.01) ? random.below(100_000) : random.below(300);
    const value = content.subarray(random.below(100_000)).subarray(0, bytes);
    state.set(key, value);
    model.set(name, textOf(value) ?? '');
  }
  strictEqual(textOf(state.get(key)), model.get(name) ?? null, 'a command sees its own writes');
  strictEqual(state.has(key), model.has(name));
}

test('live state: 100,000 writes in commands, half of them rolled back, leave what a Map holds', (t) => {
  const random = seededRandom(t);
  const state = newState();
  let committed = new Map<string, string>();
  for (let writes = 0, command = 0; writes < 100_000; command++) {
    const running = new Map(committed);
    state.begin();
    for (let left = random.below(40); left > 0; left--, writes++) writeAtRandom(state, running, random);
    if (random.happens(0.5)) {
      state.commit();
      committed = running;
    } else {
      state.rollback();
    }
    strictEqual(state.size, committed.size);
    if (command % 50 === 0) assertSameContent(state, committed);
  }
  assertSameContent(state, committed);
});

test('live state: rolling back again and again takes no more memory', (t) => {
  const random = seededRandom(t);
  const state = newState();
  const running = new Map<string, string>();
  const runCommand = (): void => {
    state.begin();
    const model = new Map(running);
    for (let left = 300; left > 0; left--) writeAtRandom(state, model, random);
    state.rollback();
  };
  state.begin();
  for (let number = 0; number < 200; number++) {
    running.set(String(number), 'x'.repeat(number));
    state.set(Buffer.from(String(number)), Buffer.alloc(number, 'x'));
  }
  state.commit();
  for (let command = 0; command < 200; command++) runCommand();
  assertSameContent(state, running);
  ok(state.allocatedBytes < 2 ** 20, `${state.allocatedBytes} bytes are kept for ${state.liveBytes}`);
});

test('live state: one command may rewrite everything and be rolled back', () => {
  const state = newState();
  state.begin();
  for (let number = 0; number < 20_000; number++)
    state.set(Buffer.from(`key ${number}`), content.subarray(0, number % 300));
  state.commit();
  const before = contentOf(state);
  const { liveBytes } = state;

  state.begin();
  for (let number = 0; number < 40_000; number++) {
    const key = Buffer.from(`key ${number}`);
    if (number % 3 === 0) state.delete(key);
    else state.set(key, content.subarray(0, number % 500));
  }
  state.rollback();

  deepStrictEqual(contentOf(state), before);
  strictEqual(state.liveBytes, liveBytes);
  const numbers = 60_000 * (RECORD_BYTES + CHANGE_BYTES);
  ok(state.allocatedBytes < 4 * liveBytes + numbers, `${state.allocatedBytes} bytes for ${liveBytes}`);
});

test('live state: a view holds until the next command begins, whatever is written meanwhile', () => {
  const state = newState();
  state.begin();
  for (let number = 0; number < 5_000; number++)
    state.set(Buffer.from(`key ${number}`), content.subarray(0, 100));
  state.commit();
  state.begin();
  const views: (Uint8Array | null)[] = [];
  for (let number = 0; number < 5_000; number++) {
    const key = Buffer.from(`key ${number}`);
    views.push(state.get(key));
    if (number % 7 === 0) state.set(key, content.subarray(1_000, 1_100));
    else state.delete(key);
  }
  state.commit();
  for (const view of views) deepStrictEqual(view, content.slice(0, 100));
});

test('live state: a view holds until the next command begins, of what the command replaced too', (t) => {
  const random = seededRandom(t);
  const state = newState();
  const keys = Array.from({ length: 300 }, (_, at) => Buffer.from(String(at).padEnd(random.below(60), '.')));
  const model = new Map<Buffer, string>();
  for (let round = 0; round < 200; round++) {
    state.begin();
    const views: [Uint8Array | null, string | null][] = [];
    for (let left = random.below(20); left > 0; left--) {
      const key = random.pick(keys);
      views.push([state.get(key), model.get(key) ?? null]);
      const value = content
        .subarray(random.below(1_000))
        .subarray(0, random.below(random.pick([8, 64, 600])));
      state.set(key, value);
      model.set(key, textOf(value) ?? '');
    }
    state.commit();
    for (const [view, text] of views) strictEqual(textOf(view), text, `a view of round ${round}`);
    // What is in a frozen set is replaced in another way than what is not.
    if (random.happens(0.2)) state.snapshot().release();
  }
});

test('live state: memory follows deletes', () => {
  const state = newState();
  state.begin();
  for (let number = 0; number < 20_000; number++)
    state.set(Buffer.from(`key ${number}`), content.subarray(0, 200));
  state.commit();
  for (let number = 0; number < 20_000; number++) {
    state.begin();
    if (number % 100 !== 0) state.delete(Buffer.from(`key ${number}`));
    state.commit();
  }
  const bytesMax = 4 * state.liveBytes + 20_000 * RECORD_BYTES + 2 * CHANGE_BYTES * SET_KEYS_MAX;
  ok(state.allocatedBytes < bytesMax, `${state.allocatedBytes} bytes for ${state.liveBytes}`);
});

test('live state: the largest key and value fit, empty ones too', () => {
  const state = newState();
  state.begin();
  state.set(content.subarray(0, KEY_BYTES_MAX), new Uint8Array(VALUE_BYTES_MAX));
  state.set(NO_BYTES, NO_BYTES);
  state.commit();
  strictEqual(state.liveBytes, KEY_BYTES_MAX + VALUE_BYTES_MAX);
  deepStrictEqual(state.get(NO_BYTES), new Uint8Array(0));
});

for (const { what, key, value, bytes, bytesMax } of [
  { what: 'key', key: new Uint8Array(KEY_BYTES_MAX + 1), value: NO_BYTES, bytes: 65_536, bytesMax: 65_535 },
  {
    what: 'value',
    key: NO_BYTES,
    value: new Uint8Array(VALUE_BYTES_MAX + 1),
    bytes: 2 ** 24 + 1,
    bytesMax: 2 ** 24,
  },
]) {
  test(`live state: a ${what} above its bound is refused before any change`, () => {
    const state = newState();
    state.begin();
    state.set(NO_BYTES, Buffer.from('kept'));
    throws(
      () => state.set(key, value),
      (error: TidemarkError) => {
        ok(isTidemarkError(error, 'TIDEMARK_VALUE_UNENCODABLE'));
        deepStrictEqual(error.facts, { what, bytes, bytesMax });
        return true;
      },
    );
    state.commit();
    deepStrictEqual(contentOf(state), new Map([['', 'kept']]));
  });
}

test('live state: a key above the bound is simply not there', () => {
  const state = newState();
  const key = new Uint8Array(KEY_BYTES_MAX + 1);
  strictEqual(state.get(key), null);
  state.begin();
  strictEqual(state.delete(key), false);
  state.rollback();
});

test('live state: writes, commit and rollback belong to a command, and clear does not', () => {
  const state = newState();
  for (const misuse of [
    () => state.set(NO_BYTES, NO_BYTES),
    () => state.delete(NO_BYTES),
    () => state.commit(),
    () => state.rollback(),
  ]) {
    throws(misuse, InvariantViolation);
  }
  state.begin();
  throws(() => state.begin(), InvariantViolation);
  throws(() => state.clear(), InvariantViolation);
  state.set(NO_BYTES, NO_BYTES);
  state.commit();
  state.clear();
  strictEqual(state.size, 0);
});
