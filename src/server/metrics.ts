/**
 * The text of `/metrics`, in Prometheus's format 0.0.4: of the node, of its Redis port, and of the process.
 *
 * Nothing is counted here. What the node counts and measures anyway is copied when somebody asks, so that
 * being asked is all that it costs.
 */

import { Counter, collectDefaultMetrics, Gauge, type Metric, Registry } from 'prom-client';
import { unreachable } from '../base/assert.ts';
import type { Distribution } from '../base/histogram.ts';
import {
  CLIENT_METRICS,
  type HistogramDefinition,
  type MetricDefinition,
  NODE_METRICS,
  type NodeFigures,
} from './metric-definitions.ts';
import type { ClientFigures } from './redis-server.ts';

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

export interface MetricSources {
  readonly isReady: boolean;
  /** Null while there is no node yet. */
  readonly node: NodeFigures | null;
  /** Null without a Redis port. */
  readonly clients: ClientFigures | null;
}

export class Metrics {
  readonly #process = new Registry();
  readonly #ready: Gauge;
  readonly #node = new MetricGroup(NODE_METRICS);
  readonly #clients = new MetricGroup(CLIENT_METRICS);

  constructor() {
    collectDefaultMetrics({ register: this.#process });
    this.#ready = new Gauge({
      name: 'tidemark_ready',
      help: '1 while commands are taken, else 0',
      registers: [this.#process],
    });
  }

  async text({ isReady, node, clients }: MetricSources): Promise<string> {
    this.#ready.set(isReady ? 1 : 0);
    const texts = [this.#node.text(node), this.#clients.text(clients), this.#process.metrics()];
    return (await Promise.all(texts)).join('');
  }
}

/** Metrics that have their values from one source. */
class MetricGroup<Source> {
  readonly #registry = new Registry();
  readonly #copies: readonly ((source: Source) => void)[];

  constructor(definitions: readonly MetricDefinition<Source>[]) {
    this.#copies = definitions.map((definition) => this.#register(definition));
  }

  /** Nothing without a source. */
  async text(source: Source | null): Promise<string> {
    if (source === null) return '';
    for (const copy of this.#copies) copy(source);
    return this.#registry.metrics();
  }

  #register(definition: MetricDefinition<Source>): (source: Source) => void {
    const { name, help } = definition;
    const registers = [this.#registry];
    switch (definition.kind) {
      case 'gauge': {
        const gauge = new Gauge({ name, help, registers });
        return (source) => gauge.set(definition.value(source));
      }
      case 'counter': {
        const counter = new Counter({ name, help, registers });
        return (source) => {
          counter.reset();
          counter.inc(definition.value(source));
        };
      }
      case 'histogram': {
        const histogram = new CopiedHistogram(definition);
        // prom-client knows its own four classes only; all that it calls is `name` and `get`.
        this.#registry.registerMetric(histogram as unknown as Metric);
        return (source) => {
          histogram.distribution = definition.distribution(source);
        };
      }
      default:
        return unreachable(definition);
    }
  }
}

interface Sample {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
}

/** A histogram of the node's, as prom-client reads one. */
class CopiedHistogram {
  readonly name: string;
  distribution: Distribution | null = null;
  readonly #definition: Omit<HistogramDefinition<never>, 'distribution'>;

  constructor(definition: Omit<HistogramDefinition<never>, 'distribution'>) {
    this.name = definition.name;
    this.#definition = definition;
  }

  get(): Promise<{ name: string; help: string; type: string; values: Sample[] }> {
    const { name, help } = this.#definition;
    return Promise.resolve({ name, help, type: 'histogram', values: this.#samples() });
  }

  #samples(): Sample[] {
    const { name, bounds, perUnit } = this.#definition;
    const { distribution } = this;
    if (distribution === null) return [];
    const { count, sum } = distribution;
    const bucket = `${name}_bucket`;
    return [
      ...distribution
        .countsUpTo(bounds)
        .map((value, at) => ({ metricName: bucket, labels: { le: bounds[at]! / perUnit }, value })),
      { metricName: bucket, labels: { le: '+Inf' }, value: count },
      { metricName: `${name}_sum`, labels: {}, value: sum / perUnit },
      { metricName: `${name}_count`, labels: {}, value: count },
    ];
  }
}
