/** What the verbs print: text for people, one JSON document for scripts. */

import { TidemarkError } from '../base/errors.ts';
import { paint } from './paint.ts';

/** Prints to standard output; quietly gives up when nobody reads any more (`| head`). */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Prints a failure: one line with the code, or one JSON document. */
export function printError(error: unknown, format: 'text' | 'json'): void {
  if (format === 'json') {
    print(JSON.stringify({ error: describeError(error) }));
    return;
  }
  const isExpected = error instanceof TidemarkError;
  const text = isExpected ? `${error.code}: ${error.message}` : (error as Error).stack;
  process.stderr.write(`tidemark: ${paint('red', text ?? String(error))}\n`);
}

/** Prints what people should know although all goes on. */
export function printWarning(text: string): void {
  print(`tidemark: ${paint('yellow', `warning: ${text}`, process.stdout)}`);
}

/** A failure for programs. */
export function describeError(error: unknown): Record<string, unknown> {
  if (!(error instanceof TidemarkError)) return { code: 'BUG', message: String(error) };
  const { code, message, remedy, facts } = error;
  return { code, message, remedy, facts };
}

/** Rows as columns of equal width; the first row is the head. Numbers stand right. */
export function table(rows: readonly (readonly (string | number)[])[]): string {
  const widths = (rows[0] ?? []).map((_head, column) =>
    Math.max(...rows.map((row) => String(row[column] ?? '').length)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return typeof cell === 'number' ? String(cell).padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** `1 command`, `1,234 commands`. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString('en')} ${number === 1 ? one : many}`;
}

/** `1536` → `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const step = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * step);
  return `${step === 0 ? value : value.toFixed(1)} ${units[step]}`;
}

/** `4 s`, `3 min`, `2 h`: how long something still takes. */
export function formatDuration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

/** Milliseconds since 1970 as an instant; 0 is before the first entry. */
export function formatTime(ms: number): string {
  return ms === 0 ? '-' : new Date(ms).toISOString();
}
