/**
 * What cannot be ordered, as a drawing for people: one line per operation, with who, when, what and what was
 * answered, and the state before all of them.
 *
 *     key-value: no order of these 3 operations gives these answers
 *     before: x = "a"
 *       c1  10.0–12.0 ms  ├────┤        SET x b → "OK"
 *       c2  13.0–15.0 ms        ├────┤  GET x → "a"    ✗ could be "b"
 *
 * Lines overlap in the drawing exactly where the operations overlap in the order of events; lengths say
 * nothing.
 */

import { type Operation, shownCall, shownOutcome } from '../history/operation.ts';
import type { Unorderable } from './explain.ts';

/** Lines of one drawing; a window that could not be made smaller is shown by its end. */
const LINES_MAX = 40;

/** Widest drawing of the events, in columns; above it, several events share a column. */
const COLUMNS_MAX = 60;

const CALL_LENGTH_MAX = 60;

interface Row {
  readonly who: string;
  readonly when: string;
  readonly bar: string;
  readonly what: string;
  readonly note: string;
}

/** Draws it, in several lines without a newline at the end. */
export function drawUnorderable(name: string, { operations, ...found }: Unorderable): string {
  const shown = operations.slice(-LINES_MAX);
  const left = operations.length - shown.length;
  const columns = columnsOf(shown);
  const rows: readonly Row[] = shown.map((operation) => ({
    who: operation.client,
    when: shownTimes(operation),
    bar: bar(operation, columns),
    what: `${shortened(shownCall(operation.call))} → ${shortened(shownOutcome(operation.outcome))}`,
    note: operation === found.stuckAt ? `  ✗ ${couldBe(found.possible)}` : '',
  }));
  const [who, when, barWidth, what] = [
    width(rows, 'who'),
    width(rows, 'when'),
    width(rows, 'bar'),
    width(rows, 'what'),
  ];
  return [
    `${name}: no order of these ${operations.length} operations gives these answers`,
    `before: ${found.before.join(', or ')}`,
    ...(left === 0 ? [] : [`  ${left} more operations came first`]),
    ...rows.map((row) => {
      const columns = [
        row.who.padEnd(who),
        row.when.padEnd(when),
        row.bar.padEnd(barWidth),
        row.what.padEnd(what),
      ];
      return `  ${columns.join('  ')}${row.note}`.trimEnd();
    }),
  ].join('\n');
}

function width(rows: readonly Row[], column: keyof Row): number {
  return Math.max(...rows.map((row) => row[column].length));
}

/** Which column each event is in, events in their order from left to right. */
function columnsOf(operations: readonly Operation[]): ReadonlyMap<number, number> {
  const events = operations
    .flatMap(({ invokedAt, returnedAt }) => [invokedAt, returnedAt])
    .filter((at) => at < Infinity)
    .sort((one, other) => one - other);
  const width = Math.min(COLUMNS_MAX, 3 * events.length);
  return new Map(events.map((event, at) => [event, Math.floor((at * width) / events.length)]));
}

function bar({ invokedAt, returnedAt }: Operation, columns: ReadonlyMap<number, number>): string {
  const from = columns.get(invokedAt)!;
  const to = columns.get(returnedAt);
  if (to === undefined) return `${' '.repeat(from)}├${'─'.repeat(Math.max(...columns.values()) - from)}…`;
  return `${' '.repeat(from)}├${'─'.repeat(Math.max(0, to - from - 1))}┤`;
}

function shownTimes({ invokedMs, returnedMs }: Operation): string {
  return `${invokedMs.toFixed(1)}–${returnedMs === null ? '' : returnedMs.toFixed(1)} ms`;
}

function couldBe(possible: readonly string[]): string {
  return possible.length === 0 ? 'nothing comes before it' : `could be ${possible.join(' or ')}`;
}

function shortened(text: string): string {
  return text.length > CALL_LENGTH_MAX ? `${text.slice(0, CALL_LENGTH_MAX)}…` : text;
}
