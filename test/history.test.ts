/**
 * Recorded histories (src/testing/history). Goal: what clients saw is what is judged, in memory and from
 * files. Method: events one by one; files cut at every byte and changed in every line.
 */

import { deepStrictEqual, ok, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { InvariantViolation } from '../src/base/assert.ts';
import { isTidemarkError } from '../src/base/errors.ts';
import { assembleHistory, mergeHistories } from '../src/testing/history/assemble-history.ts';
import { decodeHistory } from '../src/testing/history/history-lines.ts';
import { HistoryRecorder } from '../src/testing/history/history-recorder.ts';
import { isSameJson, type Json, shownCall } from '../src/testing/history/operation.ts';

function record(): { recorder: HistoryRecorder; lines: string[] } {
  let ms = 0;
  const lines: string[] = [];
  const recorder = new HistoryRecorder({
    now: () => (ms += 1.5),
    source: 'one',
    onLine: (line) => lines.push(line),
  });
  const set = recorder.invoke('a', ['SET', 'x', '1'], { session: 's', number: 1 });
  const get = recorder.invoke('b', ['GET', 'x']);
  recorder.answer(get, null);
  recorder.answer(set, 'OK');
  recorder.unknown(recorder.invoke('a', ['INCR', 'n'], { session: 's', number: 2 }));
  recorder.refuse(recorder.invoke('b', ['DEL', 'x']), 'TIDEMARK_BUSY');
  recorder.invoke('a', ['GET', 'y']);
  return { recorder, lines };
}

test('history: invocations meet their returns, in the order of events', () => {
  const operations = record().recorder.operations();
  deepStrictEqual(
    operations.map(({ client, call, outcome, invokedAt, returnedAt }) => [
      client,
      shownCall(call),
      outcome.kind,
      invokedAt,
      returnedAt,
    ]),
    [
      ['a', 'SET x 1', 'answered', 0, 3],
      ['b', 'GET x', 'answered', 1, 2],
      ['a', 'INCR n', 'unknown', 4, Infinity],
      ['b', 'DEL x', 'refused', 6, 7],
      ['a', 'GET y', 'unknown', 8, Infinity],
    ],
  );
  deepStrictEqual(operations[0]!.command, { session: 's', number: 1 });
  deepStrictEqual([operations[2]!.invokedMs, operations[2]!.returnedMs], [7.5, 9]);
});

test('history: an operation returns once', () => {
  const { recorder } = record();
  throws(() => recorder.answer(1, 'OK'), InvariantViolation);
  throws(() => recorder.unknown(99), InvariantViolation);
});

test('history: the lines do not change (format 1)', () => {
  deepStrictEqual(record().lines, [
    '{"tidemarkHistory":1,"source":"one"}',
    '["i",1,1.5,"a",["SET","x","1"],"s",1]',
    '["i",2,3,"b",["GET","x"]]',
    '["a",2,4.5,null]',
    '["a",1,6,"OK"]',
    '["i",3,7.5,"a",["INCR","n"],"s",2]',
    '["u",3,9]',
    '["i",4,10.5,"b",["DEL","x"]]',
    '["r",4,12,"TIDEMARK_BUSY"]',
    '["i",5,13.5,"a",["GET","y"]]',
  ]);
});

test('history: what is written is read, cut at any byte to a prefix of it', () => {
  const { recorder, lines } = record();
  const text = lines.map((line) => `${line}\n`).join('');
  deepStrictEqual(assembleHistory(decodeHistory(text).events), recorder.operations());
  for (let bytes = lines[0]!.length; bytes < text.length; bytes++) {
    const whole = text.slice(0, bytes + 1).split('\n').length - 2;
    const { source, events } = decodeHistory(text.slice(0, bytes));
    strictEqual(source, 'one');
    ok(events.length >= whole - 1 && events.length <= whole, `${events.length} events in ${bytes} bytes`);
  }
});

test('history: a file that is none, or lacks a line, is refused', () => {
  const { lines } = record();
  const damaged = [
    '',
    '{}',
    '{"tidemarkHistory":2,"source":"one"}',
    '["i",1,0,"a",["GET","x"]]',
    ...lines.slice(1).map((line) => [lines[0], line.slice(2), ...lines].join('\n')),
    ...[
      '["x",1,0]',
      '["i",1,0,"a"]',
      '["i",-1,0,"a",1]',
      '["i",1,0,"a",1,"s"]',
      '["a",1,0]',
      '["u",1]',
      '["r",1,0]',
    ].map((line) => `${lines[0]}\n${line}\n`),
  ];
  for (const text of damaged) {
    throws(
      () => decodeHistory(text),
      (error) => isTidemarkError(error, 'TIDEMARK_HISTORY_INVALID'),
      text,
    );
  }
  const { events } = decodeHistory(lines.join('\n'));
  for (const wrong of [events.slice(1), [...events, ...events]]) {
    throws(
      () => assembleHistory(wrong),
      (error) => isTidemarkError(error, 'TIDEMARK_HISTORY_INVALID'),
    );
  }
});

test('history: several are merged by their clock, and what has one time overlaps', () => {
  const text = (source: string, ...lines: readonly string[]): string =>
    [`{"tidemarkHistory":1,"source":"${source}"}`, ...lines].join('\n');
  const merged = mergeHistories([
    decodeHistory(text('p', '["i",1,10,"a",["read","x"]]', '["a",1,20,1]')),
    decodeHistory(text('q', '["i",1,20,"a",["read","x"]]', '["a",1,30,1]', '["i",2,30.5,"a",["read","x"]]')),
  ]);
  deepStrictEqual(
    merged.map(({ client }) => client),
    ['p/a', 'q/a', 'q/a'],
  );
  const [first, second, third] = merged;
  ok(first!.returnedAt > second!.invokedAt, 'they may have overlapped');
  ok(second!.returnedAt < third!.invokedAt, 'one after the other');
});

test('history: JSON is compared by content', () => {
  const values: readonly Json[] = [
    1,
    '1',
    null,
    true,
    [],
    [1],
    [1, 2],
    {},
    { a: 1 },
    { a: 1, b: [2] },
    { a: [1] },
  ];
  for (const one of values) {
    for (const other of values) {
      strictEqual(isSameJson(one, structuredClone(other)), JSON.stringify(one) === JSON.stringify(other));
    }
  }
  ok(isSameJson({ a: 1, b: 2 }, { b: 2, a: 1 }));
});
