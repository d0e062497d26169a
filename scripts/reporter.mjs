/**
 * How `npm test` reports: one line per file, whatever tests say (`t.diagnostic`, such as a seed), every
 * failure when it happens and again at the end, and as the closing lines the summary of Node's test runner.
 */

import { relative } from 'node:path';
import { inspect } from 'node:util';

const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

export default async function* report(events) {
  const files = new Map();
  const failures = [];
  const summary = [];
  for await (const { type, data } of events) {
    if (type === 'test:stdout' || type === 'test:stderr') {
      yield data.message;
    } else if (type === 'test:diagnostic') {
      if (SUMMARY.test(data.message)) summary.push(data.message);
      else if (data.message !== '') yield `  ℹ ${data.message} (${nameOf(data.file)})\n`;
    } else if (type === 'test:pass' || type === 'test:fail') {
      count(files, type, data);
      if (type === 'test:fail' && isLeaf(data)) {
        const failure = describeFailure(data);
        failures.push(failure);
        yield failure;
      }
    }
  }
  yield* listFiles(files);
  if (failures.length > 0) yield `\nFailed:\n\n${failures.join('\n')}`;
  yield* closing(summary);
}

/** A parent fails because of its children, which report for themselves. */
function isLeaf({ details }) {
  return details.error?.failureType !== 'subtestsFailed' && details.type !== 'suite';
}

function describeFailure({ name, file, line, details }) {
  const cause = details.error?.cause ?? details.error;
  const text = cause instanceof Error ? (cause.stack ?? cause.message) : inspect(cause);
  const place = `${nameOf(file)}${line === undefined ? '' : `:${line}`}`;
  const indented = text.replaceAll('\n', '\n    ');
  return `✖ ${name} (${place})\n    ${indented}\n`;
}

function count(files, type, data) {
  const name = nameOf(data.file);
  const file = files.get(name) ?? { tests: 0, failed: 0, skipped: 0, ms: 0 };
  files.set(name, file);
  if (data.nesting === 0) file.ms += data.details.duration_ms;
  if (data.details.type === 'suite') return;
  file.tests++;
  if (type === 'test:fail') file.failed++;
  if (data.skip !== undefined && data.skip !== false) file.skipped++;
}

function* listFiles(files) {
  for (const [name, { tests, failed, skipped, ms }] of files) {
    const notes = [`${tests} ${tests === 1 ? 'test' : 'tests'}`, `${Math.round(ms)} ms`];
    if (failed > 0) notes.push(`${failed} failed`);
    if (skipped > 0) notes.push(`${skipped} skipped`);
    yield `${failed > 0 ? '✖' : '✔'} ${name}: ${notes.join(', ')}\n`;
  }
}

function* closing(summary) {
  const failed = process.env.TIDEMARK_TEST_FAILED ?? '';
  if (failed !== '') yield `\n✖ failed before the tests: ${failed} (see above)\n`;
  const startMs = Number(process.env.TIDEMARK_TEST_START_MS);
  if (startMs > 0)
    yield `\nAll of it took ${((Date.now() - startMs) / 1000).toFixed(1)} s on Node ${process.version}.\n`;
  yield `\n${summary.map((line) => `ℹ ${line}\n`).join('')}`;
}

function nameOf(file) {
  return file === undefined ? 'unknown file' : relative(process.cwd(), file).replace(/^dist\//, '');
}
