/**
 * What a simulation of one seed says when it is over: plain data, so that it crosses threads and is saved as
 * it is.
 */

import type { Violation } from './checkers/violation.ts';
import type { FaultTotals } from './fault-counts.ts';
import type { Json } from './history/operation.ts';

/** The outcome of one seed. */
export interface SimulationReport {
  readonly seed: number;
  /** What the seed drew, in one line. */
  readonly description: string;
  readonly simulatedMs: number;
  /** The same in every run of the seed: {@link EventTrace.end}. */
  readonly traceHash: string;
  readonly faults: FaultTotals;
  /** What was broken; empty when all is well. */
  readonly violations: readonly Violation[];
  /** The last events before the end, for a violation. */
  readonly lastEvents: readonly string[];
  /** Other things worth adding up over seeds: commands, elections, checkpoints. */
  readonly counts: Readonly<Record<string, number>>;
  /** Anything else that is worth keeping of a failure. */
  readonly details?: Json;
}

/** What a seed is run again for: the events before the violation, which may be known only at the end. */
export interface Focus {
  readonly untilMs: number;
}

/**
 * A simulation. The same seed gives the same report, always, but for `lastEvents`: with a focus they are
 * those before its time, which `EventTrace` takes care of.
 */
export type Simulate = (seed: number, focus: Focus | null) => SimulationReport | Promise<SimulationReport>;
