/**
 * Crash at every I/O call of a workload, with every bounded legal outcome of the power cut, recovery of each,
 * and crashes inside recovery. What runs, and which invariants must hold in every one of these states, is the
 * subject's: a whole node (node-history.ts), or the log alone (log-explorer.ts).
 */

import { setImmediate as turn } from 'node:timers/promises';
import type { CrashImageOptions } from '../../src/testing/crash-choices.ts';
import type { IoCall } from '../../src/testing/lossy-faults.ts';
import { type CrashImage, LossyFileSystem } from '../../src/testing/lossy-file-system.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';

export interface Workload {
  readonly seed: number;
  readonly steps: number;
}

/** What is crashed. `Known` is what the outside world was promised. */
export interface CrashSubject<Known> {
  readonly name: string;
  /** Length of its workloads. */
  readonly steps: { readonly first: number; readonly last: number };
  newKnown(): Known;
  copyKnown(known: Known): Known;
  /** Runs the workload until it ends or the disk crashes; `known` says what was promised by then. */
  run(files: LossyFileSystem, workload: Workload, known: Known): Promise<void>;
  /** Recovers and stops. */
  restart(files: LossyFileSystem, seed: number): Promise<void>;
  /** Recovers, and throws when the state breaks an invariant. */
  check(files: LossyFileSystem, known: Known, seed: number): Promise<void>;
  /** Recovers, checks, and does more; `known` follows, until the disk crashes. */
  goOn(files: LossyFileSystem, known: Known, random: SeededRandom): Promise<void>;
}

export interface Explored {
  /** Post-crash states recovered and checked. */
  states: number;
  /** Of these, states after a crash inside recovery. */
  nested: number;
}

export interface Soak {
  readonly seed: number;
  /** Where workloads are crashed: at every I/O call, before and after it took effect, or at so many. */
  readonly crashesPerWorkload: number | 'every';
  /** No more crashes are begun once so many states were checked. */
  readonly states: number;
  readonly images: CrashImageOptions;
  /** Share of the images that are tried, 0 to 1. */
  readonly imageShare: number;
  readonly onProgress?: (explored: Explored, crashes: number) => void;
}

/** Explores crashes of random workloads. The same seed, the same states. */
export async function exploreCrashes<Known>(
  subject: CrashSubject<Known>,
  soak: Soak,
): Promise<Explored & { crashes: number; calls: number }> {
  const random = new SeededRandom(soak.seed);
  const explored = { states: 0, nested: 0 };
  const explorer = new CrashExplorer(subject, random, explored, soak.imageShare);
  let crashes = 0;
  let calls = 0;
  while (explored.states < soak.states) {
    const { first, last } = subject.steps;
    const workload = { seed: random.u32(), steps: random.between(first, last) };
    const callCount = await explorer.countCalls(workload);
    const points = Array.from({ length: 2 * callCount }, (_, at) => at);
    random.shuffle(points);
    const tried = soak.crashesPerWorkload === 'every' ? points : points.slice(0, soak.crashesPerWorkload);
    calls += callCount;
    for (const point of tried) {
      if (explored.states >= soak.states) break;
      const call = 1 + (point >> 1);
      const effect = point % 2 === 0 ? 'none' : 'done';
      const crashed = await explorer.crashWorkload(workload, call, effect);
      if (crashed === null) continue;
      crashes++;
      const path = [
        `SEED=${soak.seed} ${subject.name} ${JSON.stringify(workload)}, crash at call ${call} (${effect})`,
      ];
      const state = { ...crashed, path, depth: 3, images: { ...soak.images, seed: random.u32() } };
      await explorer.powerCut(state);
      await explorer.kill(state);
      soak.onProgress?.(explored, crashes);
    }
  }
  return { ...explored, crashes, calls };
}

/** A few steps whose every call is worth a kill. */
export interface Scenario<Known> {
  readonly seed: number;
  /** Brings the disk to where the steps start. */
  prepare(files: LossyFileSystem, known: Known): Promise<void>;
  steps(files: LossyFileSystem, known: Known): Promise<void>;
  readonly images: CrashImageOptions;
  /** Share of the power cuts (of `exploreSteps`: kills) that are tried, and of the images of each, 0 to 1. */
  readonly cutShare: number;
  readonly imageShare: number;
}

/**
 * The process is killed at every call of the scenario's steps, starts again over the same cache, and the
 * power goes at every call of that start.
 */
export async function exploreKills<Known>(
  subject: CrashSubject<Known>,
  scenario: Scenario<Known>,
): Promise<Explored> {
  const random = new SeededRandom(scenario.seed);
  const explored = { states: 0, nested: 0 };
  const explorer = new CrashExplorer(subject, random, explored, scenario.imageShare);
  for (let steps = 1; ; steps++) {
    const files = new LossyFileSystem({ seed: scenario.seed });
    const known = subject.newKnown();
    await scenario.prepare(files, known);
    files.crashAt(files.callCount + steps, 'done');
    await runToCrash(files, () => scenario.steps(files, known));
    if (!files.hasCrashed) return explored;
    for (let calls = 1; ; calls++) {
      if (!random.happens(scenario.cutShare)) continue;
      const killed = files.kill();
      killed.crashAt(killed.callCount + calls, 'done');
      await runToCrash(killed, () => subject.restart(killed, random.u32()));
      if (!killed.hasCrashed) break;
      const path = [`SEED=${scenario.seed} killed at call ${steps}, power cut at call ${calls} of the start`];
      await explorer.powerCut({ files: killed, known, path, depth: 0, images: scenario.images });
    }
  }
}

/**
 * Every call of the scenario's steps is crashed, before and after it took effect: by a power cut, and by a
 * kill whose successor goes on for a while before the power goes.
 */
export async function exploreSteps<Known>(
  subject: CrashSubject<Known>,
  scenario: Scenario<Known>,
): Promise<Explored & { calls: readonly IoCall[] }> {
  const random = new SeededRandom(scenario.seed);
  const explored = { states: 0, nested: 0 };
  const explorer = new CrashExplorer(subject, random, explored, scenario.imageShare);
  const prepared = new LossyFileSystem({ seed: scenario.seed });
  const knownThen = subject.newKnown();
  await scenario.prepare(prepared, knownThen);
  for (let steps = 1; ; steps++) {
    for (const effect of ['none', 'done'] as const) {
      const files = prepared.kill();
      const known = subject.copyKnown(knownThen);
      const { callCount } = files;
      files.crashAt(callCount + steps, effect);
      await runToCrash(files, () => scenario.steps(files, known));
      if (!files.hasCrashed) return { ...explored, calls: files.calls.filter(({ at }) => at > callCount) };
      const path = [`SEED=${scenario.seed} crash at call ${steps} of the steps (${effect})`];
      const images = { ...scenario.images, seed: random.u32() };
      const state = { files, known, path, depth: 2, images };
      await explorer.powerCut(state);
      if (random.happens(scenario.cutShare)) await explorer.kill(state);
    }
  }
}

/** Runs until the end or the crash, whichever is first; any other failure is one. */
async function runToCrash(files: LossyFileSystem, run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!files.hasCrashed) throw error;
  }
  await turn();
}

/** Share of the states whose recovery is crashed too. */
const NESTED_SHARE = 0.1;

/** A disk on which everything has stopped. */
interface Crashed<Known> {
  readonly files: LossyFileSystem;
  readonly known: Known;
  /** Where the state came from, to print when it fails. */
  readonly path: readonly string[];
  /** How deep recovery itself is crashed. */
  readonly depth: number;
  readonly images: CrashImageOptions;
}

class CrashExplorer<Known> {
  readonly #subject: CrashSubject<Known>;
  readonly #random: SeededRandom;
  readonly #explored: Explored;
  readonly #imageShare: number;

  constructor(subject: CrashSubject<Known>, random: SeededRandom, explored: Explored, imageShare: number) {
    this.#subject = subject;
    this.#random = random;
    this.#explored = explored;
    this.#imageShare = imageShare;
  }

  /** How many I/O calls the workload makes when nothing crashes. */
  async countCalls(workload: Workload): Promise<number> {
    const files = new LossyFileSystem({ seed: workload.seed });
    await this.#subject.run(files, workload, this.#subject.newKnown());
    return files.callCount;
  }

  /** Runs the workload up to a crash at `call`. Returns null when it ended before. */
  async crashWorkload(
    workload: Workload,
    call: number,
    effect: 'none' | 'done',
  ): Promise<{ files: LossyFileSystem; known: Known } | null> {
    const files = new LossyFileSystem({ seed: workload.seed });
    const known = this.#subject.newKnown();
    files.crashAt(call, effect);
    await runToCrash(files, () => this.#subject.run(files, workload, known));
    return files.hasCrashed ? { files, known } : null;
  }

  /** Recovers and checks every image of a crashed disk. */
  async powerCut(crashed: Crashed<Known>): Promise<void> {
    for (const image of crashed.files.crashImages(crashed.images)) {
      if (this.#random.happens(this.#imageShare)) await this.#exploreImage(image, crashed);
    }
  }

  /**
   * The process is killed, the cache survives, it starts again and does more; then the power goes. What the
   * second process only read from the cache must not count as durable (checklist B7, F2).
   */
  async kill(crashed: Crashed<Known>): Promise<void> {
    const files = crashed.files.kill();
    const known = this.#subject.copyKnown(crashed.known);
    const call = this.#random.happens(0.5) ? files.callCount + this.#random.between(1, 80) : null;
    if (call !== null) files.crashAt(call);
    const path = [
      ...crashed.path,
      `killed, started again, crashed at call ${call ?? 'none, when it was done'}`,
    ];
    try {
      await this.#subject.goOn(files, known, this.#random);
    } catch (error) {
      if (!files.hasCrashed) throw new CrashStateFailure(path, '', error);
    }
    await turn();
    if (!files.hasCrashed) files.crash();
    await this.powerCut({ ...crashed, files, known, path, depth: 0 });
  }

  async #exploreImage(image: CrashImage, crashed: Crashed<Known>): Promise<void> {
    const path = [...crashed.path, image.choice];
    const seed = this.#random.u32();
    try {
      this.#explored.states++;
      if (crashed.depth > 0 && this.#random.happens(NESTED_SHARE)) {
        await this.#crashRecovery({ ...crashed, files: image.files, path }, seed);
      } else {
        await this.#subject.check(image.files, crashed.known, seed);
      }
    } catch (error) {
      if (error instanceof CrashStateFailure) throw error;
      throw new CrashStateFailure(path, image.describe(), error);
    }
  }

  /** Starts recovery, crashes it at a random call, and explores a few of the outcomes. */
  async #crashRecovery(crashed: Crashed<Known>, seed: number): Promise<void> {
    const { files } = crashed;
    const call = files.callCount + this.#random.between(1, 40);
    files.crashAt(call, this.#random.pick(['none', 'done'] as const));
    await runToCrash(files, () => this.#subject.restart(files, seed));
    if (!files.hasCrashed) files.crash();
    const path = [...crashed.path, `recovery crashed at call ${call}`];
    const images = { ...crashed.images, subsetUnitsMax: 2, randomSubsets: 2, byteTearsMax: 1 };
    for (const image of files.crashImages(images)) {
      if (!this.#random.happens(0.2)) continue;
      this.#explored.nested++;
      await this.#exploreImage(image, { ...crashed, path, images, depth: crashed.depth - 1 });
    }
  }
}

/** A state in which an invariant does not hold, with all that is needed to see it again. */
export class CrashStateFailure extends Error {
  override readonly name = 'CrashStateFailure';

  constructor(path: readonly string[], description: string, cause: unknown) {
    const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
    super(`${path.join('\n  then ')}\n${description}\n${reason}`, { cause });
  }
}
