/**
 * A simulation over a range of seeds: in this thread, or in several, one seed at a time in each. What a seed
 * gives does not depend on where and when it runs; that a failing one does so again, identically, is tried at
 * once.
 */

import { availableParallelism } from 'node:os';
import { requireInteger, requireKnownOptions } from '../base/options.ts';
import { type Clock, systemClock } from '../base/time.ts';
import { type FaultSummary, FaultTable, shownFaults } from './fault-counts.ts';
import { SeedThread, simulateHere } from './seed-thread.ts';
import type { Focus, Simulate, SimulationReport } from './simulation-report.ts';

/** Where a simulation is, for threads that cannot be handed a function. */
export interface SimulationModule {
  /** URL of the module. */
  readonly url: string;
  /** Name under which it exports a {@link Simulate}. */
  readonly name: string;
}

/** Options of {@link runSeeds}. */
export interface RunSeedsOptions {
  readonly first: number;
  readonly last: number;
  /** A function runs in this thread; a module in several. */
  readonly simulate: Simulate | SimulationModule;
  /** Threads for a module. @default one for each core */
  readonly threads?: number;
  /** What a violation does to the seeds that have not begun. @default 'stop' */
  readonly onViolation?: 'stop' | 'go-on';
  /** Called after every seed. */
  readonly onProgress?: (progress: SeedsProgress) => void;
  /** Door 3, for how long it took. @default the system's */
  readonly clock?: Clock;
}

/** How far it has come. */
export interface SeedsProgress {
  readonly done: number;
  readonly seeds: number;
  readonly failed: number;
  readonly simulatedMs: number;
  readonly realMs: number;
}

/** A seed that broke a promise. */
export interface SeedFailure {
  /** Its last events are those before the first violation, as the second run gave them. */
  readonly report: SimulationReport;
  /** Whether a second run of the seed gave the same events and the same violations. */
  readonly replay: 'identical' | 'different';
}

/** What all seeds gave together. Plain data. */
export interface SeedsSummary {
  readonly first: number;
  readonly last: number;
  /** Seeds that were run: fewer than asked for when a violation stopped it. */
  readonly seeds: number;
  readonly simulatedHours: number;
  readonly realSeconds: number;
  readonly faults: readonly FaultSummary[];
  readonly counts: Readonly<Record<string, number>>;
  readonly violations: number;
  /** In the order of their seeds. */
  readonly failures: readonly SeedFailure[];
}

const KNOWN_OPTIONS = {
  first: 0,
  last: 0,
  simulate: 0,
  threads: 0,
  onViolation: 0,
  onProgress: 0,
  clock: 0,
};

const SEED_MAX = 2 ** 32 - 1;
const THREADS_MAX = 256;

/** Runs every seed from `first` to `last`, both included. */
export async function runSeeds(options: RunSeedsOptions): Promise<SeedsSummary> {
  requireKnownOptions('runSeeds', options, KNOWN_OPTIONS);
  requireInteger('first', options.first, 0, SEED_MAX);
  requireInteger('last', options.last, options.first, SEED_MAX);
  const threads = options.threads ?? availableParallelism();
  requireInteger('threads', threads, 1, THREADS_MAX);
  return new SeedRun(options).run(threads);
}

/** The summary for people, with every failure. */
export function shownSummary(summary: SeedsSummary): string {
  const { first, last, seeds, simulatedHours, realSeconds, violations, failures } = summary;
  const speed = (simulatedHours * 3600) / Math.max(realSeconds, 0.001);
  return [
    ...failures.map(shownFailure),
    ...(summary.faults.length === 0 ? [] : [shownFaults(summary.faults), '']),
    `seeds ${first} to ${last}: ${seeds} run, ${simulatedHours.toFixed(1)} simulated hours in ` +
      `${realSeconds.toFixed(1)} s (${speed.toFixed(0)} × real time): ${violations} violations`,
  ].join('\n');
}

/** A failing seed for people: what it drew, its last events, what was broken. */
export function shownFailure({ report, replay }: SeedFailure): string {
  const { seed, description, lastEvents, violations, traceHash } = report;
  return [
    `seed ${seed} failed: ${description}`,
    ...lastEvents.map((event) => `  ${event}`),
    ...violations.map(({ checker, message }) => `${checker}: ${message}`),
    replay === 'identical'
      ? `it replays identically: ${traceHash.slice(0, 16)}`
      : 'ITS REPLAY IS DIFFERENT: the simulation draws on something else than its seed',
    '',
  ].join('\n');
}

class SeedRun {
  readonly #options: RunSeedsOptions;
  readonly #clock: Clock;
  readonly #startedMs: number;
  readonly #faults = new FaultTable();
  readonly #counts = new Map<string, number>();
  readonly #failures: SeedFailure[] = [];
  #next: number;
  #done = 0;
  #simulatedMs = 0;

  constructor(options: RunSeedsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#startedMs = this.#clock.monotonic();
    this.#next = options.first;
  }

  async run(threads: number): Promise<SeedsSummary> {
    const { first, last, simulate } = this.#options;
    if (typeof simulate === 'function')
      await this.#work((seed, focus) => simulateHere(simulate, seed, focus));
    else {
      const count = Math.min(threads, last - first + 1);
      await Promise.all(Array.from({ length: count }, () => this.#workInThread(simulate)));
    }
    return this.#summary();
  }

  async #workInThread({ url, name }: SimulationModule): Promise<void> {
    const thread = new SeedThread(url, name);
    try {
      await this.#work((seed, focus) => thread.run(seed, focus));
    } finally {
      await thread.stop();
    }
  }

  /** Takes seeds until there are none left, or one failed. */
  async #work(run: (seed: number, focus: Focus | null) => Promise<SimulationReport>): Promise<void> {
    const { last, onViolation = 'stop' } = this.#options;
    while (this.#next <= last && (onViolation === 'go-on' || this.#failures.length === 0)) {
      const seed = this.#next++;
      const report = await run(seed, null);
      if (report.violations.length > 0) {
        const again = await run(seed, focusOf(report));
        const replay = isSameRun(report, again) ? 'identical' : 'different';
        this.#failures.push({ report: { ...report, lastEvents: again.lastEvents }, replay });
      }
      this.#add(report);
    }
  }

  #add({ simulatedMs, faults, counts }: SimulationReport): void {
    this.#done++;
    this.#simulatedMs += simulatedMs;
    this.#faults.add(faults);
    for (const [name, count] of Object.entries(counts)) {
      this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
    }
    const { first, last, onProgress } = this.#options;
    onProgress?.({
      done: this.#done,
      seeds: last - first + 1,
      failed: this.#failures.length,
      simulatedMs: this.#simulatedMs,
      realMs: this.#clock.monotonic() - this.#startedMs,
    });
  }

  #summary(): SeedsSummary {
    const { first, last } = this.#options;
    const failures = this.#failures.sort((one, other) => one.report.seed - other.report.seed);
    return {
      first,
      last,
      seeds: this.#done,
      simulatedHours: this.#simulatedMs / 3_600_000,
      realSeconds: (this.#clock.monotonic() - this.#startedMs) / 1000,
      faults: this.#faults.rows(),
      counts: Object.fromEntries([...this.#counts].sort(([one], [other]) => (one < other ? -1 : 1))),
      violations: failures.reduce((count, { report }) => count + report.violations.length, 0),
      failures,
    };
  }
}

/** The first violation whose time is known. */
function focusOf({ violations }: SimulationReport): Focus | null {
  const times = violations.map(({ facts }) => facts['ms']).filter((ms) => typeof ms === 'number');
  return times.length === 0 ? null : { untilMs: Math.min(...times) };
}

function isSameRun(one: SimulationReport, other: SimulationReport): boolean {
  return (
    one.traceHash === other.traceHash && JSON.stringify(one.violations) === JSON.stringify(other.violations)
  );
}
