/**
 * Scans of the state in slices, and savepoints (src/state/live-state.ts). Goal: a scan returns every key that
 * is there all the time, whatever is written meanwhile; a command that takes back a part of its writes leaves
 * what it had at the savepoint. Method: seeded runs beside a plain map.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { test } from 'node:test';
import { defaultShape } from '../src/base/merkle/shape.ts';
import { LiveState } from '../src/state/live-state.ts';
import { SeededRandom } from '../src/testing/seeded-random.ts';

const bytes = (text: string) => Buffer.from(text);

function newState(seed: number): LiveState {
  return new LiveState({
    seed: new SeededRandom(seed).fill(new Uint8Array(8)),
    shape: defaultShape(new Uint8Array(16)),
  });
}

function write(state: LiveState, change: () => void): void {
  state.begin();
  change();
  state.commit();
}

function contentOf(state: LiveState): ReadonlyMap<string, string> {
  return new Map(
    [...state.orderedEntries(new Uint8Array(0))].map(({ key, value }) => [
      Buffer.from(key).toString(),
      Buffer.from(value).toString(),
    ]),
  );
}

test('state scan: every key that stays is returned, while the table grows and shrinks', () => {
  for (const { before, during } of [
    { before: 0, during: 0 },
    { before: 1, during: 1 },
    { before: 3_000, during: 60_000 },
    { before: 60_000, during: -59_000 },
  ]) {
    const state = newState(before);
    const random = new SeededRandom(before);
    const steadyCount = Math.min(before, before + during);
    write(state, () => {
      for (let at = 0; at < before; at++) state.set(bytes(`k${at}`), bytes('v'));
    });
    const found = new Set<string>();
    let cursor = 0;
    let next = before;
    do {
      const count = random.between(1, 300);
      const slice = state.scan(cursor, count);
      ok(slice.entries.length <= 8 * count + 100, `${slice.entries.length} entries for ${count}`);
      for (const { key } of slice.entries) found.add(Buffer.from(key).toString());
      cursor = slice.next;
      write(state, () => {
        for (let at = 0; at < 500 && next !== before + during; at++) {
          if (during > 0) state.set(bytes(`k${next++}`), bytes('v'));
          else state.delete(bytes(`k${--next}`));
        }
      });
    } while (cursor !== 0);
    for (let at = 0; at < steadyCount; at++) ok(found.has(`k${at}`), `k${at} of ${before}`);
  }
});

test('state scan: a cursor of another index begins anew, and one part of the way begins there', () => {
  const [one, two] = [newState(1), newState(2)];
  for (const state of [one, two]) {
    write(state, () => {
      for (let at = 0; at < 1_000; at++) state.set(bytes(`k${at}`), bytes('v'));
    });
  }
  const { next } = one.scan(0, 100);
  deepStrictEqual(two.scan(next, 10), two.scan(0, 10));
  let left = 0;
  for (let cursor = one.cursorAt(0.5); cursor !== 0; ) {
    const slice = one.scan(cursor, 100);
    left += slice.entries.length;
    cursor = slice.next;
  }
  ok(left > 400 && left < 600, `${left} of 1000 keys in the second half`);
});

test('state scan: what is taken back to a savepoint leaves no trace, and the rest stays', () => {
  const state = newState(9);
  const random = new SeededRandom(9);
  let model = new Map<string, string>();
  for (let run = 0; run < 500; run++) {
    state.begin();
    const begun = new Map(model);
    for (let part = 0; part < 4; part++) {
      const savepoint = state.savepoint();
      const kept = new Map(model);
      for (let at = random.below(6); at > 0; at--) {
        const key = `k${random.below(20)}`;
        if (random.happens(0.3)) strictEqual(state.delete(bytes(key)), model.delete(key));
        else {
          state.set(bytes(key), bytes(`v${run}`));
          model.set(key, `v${run}`);
        }
      }
      if (random.happens(0.5)) continue;
      state.rollbackTo(savepoint);
      model = kept;
      for (let at = 0; at < 20; at++) {
        const value = state.get(bytes(`k${at}`));
        strictEqual(value === null ? undefined : Buffer.from(value).toString(), model.get(`k${at}`));
      }
    }
    if (random.happens(0.2)) {
      state.rollback();
      model = begun;
    } else {
      state.commit();
    }
    strictEqual(state.size, model.size);
  }
  deepStrictEqual(contentOf(state), new Map([...model].sort(([left], [right]) => (left < right ? -1 : 1))));
});
