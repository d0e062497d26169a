/**
 * One seed run where it is to run: in this thread, or in one of its own. A simulation that throws, and a
 * thread that ends, are violations of the seed like any other: the range goes on, and the seed is known.
 */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Focus, Simulate, SimulationReport } from './simulation-report.ts';

/** Compiled or not, the worker is what this file is. */
const WORKER = new URL(
  `./run-seeds-worker${import.meta.url.slice(import.meta.url.lastIndexOf('.'))}`,
  import.meta.url,
);

/** Runs it in this thread. */
export async function simulateHere(
  simulate: Simulate,
  seed: number,
  focus: Focus | null,
): Promise<SimulationReport> {
  try {
    return await simulate(seed, focus);
  } catch (error) {
    return thrown(seed, error);
  }
}

/** A thread that runs one seed after the other. */
export class SeedThread {
  readonly #url: string;
  readonly #name: string;
  #worker: Worker | null = null;

  /**
   * @param url Of the module that exports the simulation.
   * @param name Under which it does.
   */
  constructor(url: string, name: string) {
    this.#url = url;
    this.#name = name;
  }

  /** Starts the thread if there is none: at first, and after a seed that ended it. */
  async run(seed: number, focus: Focus | null): Promise<SimulationReport> {
    const workerData = { url: this.#url, name: this.#name };
    this.#worker ??= new Worker(WORKER, { workerData });
    const worker = this.#worker;
    const waiting = new AbortController();
    const { signal } = waiting;
    try {
      const report = once(worker, 'message', { signal }) as Promise<[SimulationReport]>;
      const exit = once(worker, 'exit', { signal }) as Promise<[number]>;
      exit.catch(() => undefined); // Nobody waits for it any more, or the thread failed, which `report` says.
      worker.postMessage({ seed, focus });
      return await Promise.race([
        report.then(([message]) => message),
        exit.then(([code]) => Promise.reject(new Error(`the thread ended with code ${code}`))),
      ]);
    } catch (error) {
      this.#worker = null;
      await worker.terminate();
      return thrown(seed, error);
    } finally {
      waiting.abort();
    }
  }

  async stop(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = null;
  }
}

function thrown(seed: number, error: unknown): SimulationReport {
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    seed,
    description: 'it threw before its end',
    simulatedMs: 0,
    traceHash: '',
    faults: {},
    violations: [{ checker: 'thrown', message, facts: {} }],
    lastEvents: [],
    counts: {},
  };
}
