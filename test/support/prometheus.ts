/**
 * A strict reader of Prometheus's text format 0.0.4, for tests: what a real one would refuse, or take for
 * something else, is an error. `promtool check metrics` asks for the same, naming included.
 */

import { ok, strictEqual } from 'node:assert';

export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: readonly Sample[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const HELP = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\S.*)$/;
const TYPE = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram|summary|untyped)$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const LABELS = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)/y;

/** Every family, in order; throws at the first line that is not right. */
export function parseMetrics(text: string): MetricFamily[] {
  ok(text.endsWith('\n'), 'the last line ends');
  const families: (MetricFamily & { samples: Sample[] })[] = [];
  let help: RegExpExecArray | null = null;
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const type = TYPE.exec(line);
    if (HELP.test(line)) help = HELP.exec(line);
    else if (type !== null) {
      const [, name = '', kind = ''] = type;
      strictEqual(help?.[1], name, `HELP comes right before TYPE: ${line}`);
      ok(!families.some((family) => family.name === name), `${name} comes once`);
      families.push({ name, help: help?.[2] ?? '', type: kind, samples: [] });
    } else {
      const family = families.at(-1);
      ok(family !== undefined && !line.startsWith('#'), `a sample of a family: ${line}`);
      family.samples.push(parseSample(line, family));
    }
  }
  for (const family of families) checkFamily(family);
  return families;
}

function parseSample(line: string, family: MetricFamily): Sample {
  const [, name = '', labelText = '', number = ''] = SAMPLE.exec(line) ?? [];
  const suffixes = family.type === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
  ok(
    suffixes.some((suffix) => name === family.name + suffix),
    `a sample of ${family.name}: ${line}`,
  );
  const labels: Record<string, string> = {};
  LABELS.lastIndex = 0;
  for (let at = 0; at < labelText.length; at = LABELS.lastIndex) {
    const [, label, value] = LABELS.exec(labelText) ?? [];
    ok(label !== undefined && value !== undefined && !(label in labels), `labels: ${line}`);
    labels[label] = value;
  }
  const value = number === '+Inf' ? Number.POSITIVE_INFINITY : Number(number);
  // Of any case: Prometheus reads numbers by Go's ParseFloat.
  ok(!Number.isNaN(value) || number.toLowerCase() === 'nan', `a number: ${line}`);
  return { name, labels, value };
}

function checkFamily({ name, type, samples }: MetricFamily): void {
  const seen = new Set(samples.map((sample) => sample.name + JSON.stringify(sample.labels)));
  strictEqual(seen.size, samples.length, `${name} has no sample twice`);
  if (!name.startsWith('tidemark_')) return;
  strictEqual(
    name.endsWith('_total'),
    type === 'counter',
    `counters, and they alone, end in _total: ${name}`,
  );
  ok(!/_(ms|milliseconds|kib|percent|count|sum|bucket)(_|$)/.test(name), `base units only: ${name}`);
  if (type === 'histogram') checkHistogram(name, samples);
  else strictEqual(samples.length, 1, `one sample of ${name}`);
}

function checkHistogram(name: string, samples: readonly Sample[]): void {
  const buckets = samples.filter((sample) => sample.name.endsWith('_bucket'));
  const bounds = buckets.map(({ labels }) => (labels['le'] === '+Inf' ? Infinity : Number(labels['le'])));
  const rest = samples.slice(buckets.length).map((sample) => sample.name);
  strictEqual(rest.join(), `${name}_sum,${name}_count`);
  strictEqual(bounds.at(-1), Infinity, `${name} ends with +Inf`);
  for (let at = 1; at < buckets.length; at++) {
    ok(bounds[at]! > bounds[at - 1]!, `${name}: bounds ascend`);
    ok(buckets[at]!.value >= buckets[at - 1]!.value, `${name}: counts are cumulative`);
  }
  strictEqual(buckets.at(-1)!.value, samples.at(-1)!.value, `${name}: +Inf counts all`);
}
