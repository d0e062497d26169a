/** Points in history as people write them (src/engine/point.ts): what a text means, and what is refused. */

import { deepStrictEqual, strictEqual, throws } from 'node:assert';
import { test } from 'node:test';
import { describePoint, parsePoint, toPoint } from '../src/engine/point.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const TEN = Date.UTC(2026, 10, 21, 10);

const index = (at: number, command: number | null = null) => ({ kind: 'index', index: at, command }) as const;
const time = (at: number) => ({ kind: 'time', time: at }) as const;

for (const [text, point] of [
  ['812', index(812)],
  ['0', index(0)],
  ['  812 ', index(812)],
  ['812.3', index(812, 3)],
  ['2026-11-21T10:00:00Z', time(TEN)],
  ['2026-11-21T10:00Z', time(TEN)],
  ['2026-11-21T11:00:00+01:00', time(TEN)],
  ['2026-11-21T10:00:00.250Z', time(TEN + 250)],
  ['2026-11-21', time(Date.UTC(2026, 10, 21))],
  ['10m ago', time(NOW - 600_000)],
  ['90 s ago', time(NOW - 90_000)],
  ['2h ago', time(NOW - 7_200_000)],
  ['1d ago', time(NOW - 86_400_000)],
  ['1w ago', time(NOW - 7 * 86_400_000)],
  ['tag:before-deploy', { kind: 'tag', tag: 'before-deploy' }],
] as const) {
  test(`point: ${text.trim()}, and right before it`, () => {
    deepStrictEqual(parsePoint(text, NOW), { ...point, side: 'including' });
    if (text === '0') return;
    const before = parsePoint(`before ${text}`, NOW);
    deepStrictEqual(before, { ...point, side: 'before' });
    deepStrictEqual(parsePoint(describePoint(before), NOW), before);
  });
}

for (const text of [
  '',
  'yesterday',
  '-1',
  '812.0',
  '0.1',
  '812.3.1',
  '812.',
  'before 0',
  'before',
  '1e3',
  '99999999999999999',
  '2026-11-21T10:00:00',
  '2026-02-30',
  '2026-13-01',
  '1969-12-31',
  '10 minutes ago',
  '10m',
  '999999999w ago',
  'tag:',
  'tag:a/b',
  'tag:../x',
]) {
  test(`point: "${text}" is refused`, () => {
    throws(() => parsePoint(text, NOW), { code: 'TIDEMARK_POINT_INVALID' });
  });
}

test('point: of "before 0" it is said that nothing is there', () => {
  throws(() => parsePoint('before 0', NOW), { message: /nothing is before 0/ });
  throws(() => toPoint({ index: 0, before: true }, NOW), { message: /nothing is before 0/ });
});

test('point: programs name the same points by fields', () => {
  const parsed = (text: string) => parsePoint(text, NOW);
  deepStrictEqual(toPoint(812, NOW), parsed('812'));
  deepStrictEqual(toPoint({ index: 812, command: 3 }, NOW), parsed('812.3'));
  deepStrictEqual(toPoint({ index: 812, before: true }, NOW), parsed('before 812'));
  deepStrictEqual(toPoint({ time: TEN }, NOW), parsed('2026-11-21T10:00:00Z'));
  deepStrictEqual(toPoint({ time: new Date(TEN), before: true }, NOW), parsed('before 2026-11-21T10:00:00Z'));
  deepStrictEqual(toPoint({ time: '10m ago' }, NOW), parsed('10m ago'));
  deepStrictEqual(toPoint({ tag: 'v1' }, NOW), parsed('tag:v1'));
  strictEqual(describePoint(toPoint({ index: 812, command: 3, before: true }, NOW)), 'before 812.3');
});

for (const fields of [
  {},
  { index: 1, time: 2 },
  { index: 1.5 },
  { index: -1 },
  { command: 2 },
  { index: 0, command: 1 },
  { index: 5, command: 0 },
  { time: Number.NaN },
  { time: new Date(Number.NaN) },
  { tag: 'a b' },
]) {
  test(`point: ${JSON.stringify(fields)} is refused`, () => {
    throws(() => toPoint(fields, NOW), { code: 'TIDEMARK_POINT_INVALID' });
  });
}
