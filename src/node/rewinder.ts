/**
 * Rewinds a running node: the state becomes what it was at an earlier point, by entries of the log. Time and
 * index go on, nothing is cut from history, and a rewind can be rewound.
 *
 *  1. The state of the point is brought back beside the one that is served, and both get their roots, while
 *     commands go on.
 *  2. Commands and reads wait from here on. What the machine keeps is put into the state of the point, and
 *     the difference of the two trees is taken.
 *  3. The difference is appended, as entries in which also the root stands that must come out.
 *  4. It is applied, and the root compared. Commands go on.
 *
 * A crash before the last entry of 3 is durable leaves the state as it was: parts that came before it have no
 * effect. A crash behind it leaves what the next start replays.
 */

import { assert } from '../base/assert.ts';
import { type ErrorFacts, TidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import type { Clock } from '../base/time.ts';
import { Slices, steps } from '../checkpoint/slices.ts';
import type { Engine, EngineSnapshot } from '../engine/engine.ts';
import type { PointInput } from '../engine/point.ts';
import { REWIND_BYTES_MAX, RewindPartBuilder } from '../engine/rewind-entry.ts';
import type { LocalOrdering } from '../ordering/local.ts';
import { type ChangeCounts, ChangeTally, countChanges } from './count-changes.ts';
import type { History, OpenPastOptions } from './history.ts';
import type { EntryLog, OwnEntries } from './own-entries.ts';
import { type PastState, type PastSummary, summaryOf } from './past-state.ts';

/** What a rewind did, or would do. */
export interface RewindSummary extends PastSummary, ChangeCounts {
  /** The last entry before the rewind, whose state was left. */
  readonly fromIndex: Index;
  /** The entry that made it: its state is that of `index`. Null in a dry run. */
  readonly madeBy: Index | null;
  /** The root of the state, 64 hexadecimal digits. */
  readonly root: string;
  /** Time in all, and that for which commands waited, in milliseconds. */
  readonly tookMs: number;
  readonly heldMs: number;
}

/** How a node is rewound. */
export interface RewindOptions extends OpenPastOptions {
  /** Whether only to say what would change. @default false */
  readonly dryRun?: boolean;
}

export interface RewinderConfig {
  readonly history: History;
  readonly engine: Engine;
  readonly ordering: LocalOrdering;
  readonly log: EntryLog;
  readonly own: OwnEntries;
  /** A part is closed when it has reached this. */
  readonly partBytesMax: number;
  readonly clock: Clock;
  /** When the whole state is in memory. */
  readonly whenLoaded: () => Promise<void>;
  /** The state became another one: what is derived from it is made anew. */
  readonly onRewound: () => void;
  /** A rewind was begun, and neither made nor left out: the node must stop. */
  readonly onFatal: (error: unknown) => void;
}

/** What is known once the states of now and of the point were compared. */
type Compared = ChangeCounts & Pick<RewindSummary, 'root' | 'fromIndex'>;

/** And what once a rewind is made. */
type Made = Compared & Pick<RewindSummary, 'madeBy' | 'heldMs'>;

/** The state of now and that of the point, with their roots. */
interface Pair {
  readonly now: EngineSnapshot;
  readonly past: EngineSnapshot;
}

export class Rewinder {
  readonly #config: RewinderConfig;
  #running: Promise<unknown> | null = null;
  #isClosed = false;
  readonly #closed: Promise<void>;
  #onClosed: () => void = () => undefined;

  constructor(config: RewinderConfig) {
    this.#config = config;
    this.#closed = new Promise((resolve) => {
      this.#onClosed = resolve;
    });
  }

  /**
   * One at a time.
   * @throws TidemarkError as `History.open`; TIDEMARK_REWIND_REFUSED for another version of the machine, and
   *   above REWIND_BYTES_MAX; TIDEMARK_BUSY while another one runs; what keeps an entry from being written.
   */
  async rewind(input: PointInput, options: RewindOptions = {}): Promise<RewindSummary> {
    if (this.#isClosed) throw notOpen();
    if (this.#running !== null) throw anotherRuns();
    const run = this.#run(input, options);
    this.#running = run.catch(() => undefined);
    try {
      return await run;
    } finally {
      this.#running = null;
    }
  }

  /** Takes no other; waits for one that is being written, and gives up one that is not yet. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#onClosed();
    await this.#running;
  }

  async #run(input: PointInput, options: RewindOptions): Promise<RewindSummary> {
    const { history, whenLoaded, clock } = this.#config;
    const begun = clock.monotonic();
    await Promise.race([whenLoaded(), this.#closed]);
    if (this.#isClosed) throw notOpen();
    const past = await history.open(input, 'before', options);
    try {
      this.#requireSameVersion(past);
      await past.engine.root();
      // Reads what differs into memory, and hashes both: what is left to do while others wait is little.
      const first = await this.#prepare(past);
      const summary = summaryOf(past);
      options.signal?.throwIfAborted();
      if (this.#isClosed) throw notOpen();
      const made = options.dryRun === true ? { ...first, heldMs: 0, madeBy: null } : await this.#make(past);
      return { ...summary, ...made, tookMs: clock.monotonic() - begun };
    } finally {
      await past.close();
    }
  }

  #requireSameVersion({ engine, index }: PastState): void {
    const [versionThen, version] = [engine.activeVersion, this.#config.engine.activeVersion];
    if (versionThen === version) return;
    throw refused(
      `at entry ${index} version ${versionThen} of the machine was active, and now ${version} is, whose ` +
        'commands would not understand that state',
      { index, versionThen, version },
    );
  }

  /** What would change if it were made now. */
  #prepare(past: PastState): Promise<Compared> {
    return this.#compare(past, async (pair) => {
      const tally = await this.#slices('served').run(steps(countChanges(pair.now, pair.past)));
      requireBounded(tally, past);
      return { ...tally.counts, root: rootOf(pair.past), fromIndex: pair.now.index };
    });
  }

  async #make(past: PastState): Promise<Made> {
    const { ordering, clock, onRewound } = this.#config;
    const begun = clock.monotonic();
    await ordering.pause();
    try {
      const made = await this.#compare(past, (pair) => this.#write(pair, past));
      onRewound();
      return { ...made, heldMs: clock.monotonic() - begun };
    } finally {
      ordering.resume();
    }
  }

  async #compare<Result>(past: PastState, use: (pair: Pair) => Promise<Result>): Promise<Result> {
    const { engine } = this.#config;
    const { activeMachine } = past.engine;
    const now = await engine.snapshot();
    try {
      past.engine.amend((then) => activeMachine.keepAtRewind?.(then, engine.state));
      const then = await past.engine.snapshot();
      try {
        return await use({ now, past: then });
      } finally {
        then.snapshot.release();
      }
    } finally {
      now.snapshot.release();
    }
  }

  /** Appends the difference in parts, and applies each; the last one makes the rewind. */
  async #write({ now, past: then }: Pair, past: PastState): Promise<Omit<Made, 'heldMs'>> {
    const { engine, partBytesMax } = this.#config;
    const slices = this.#slices('held');
    const { index, time, commands } = past;
    const root = rootOf(then);
    const target = { index, time, commands: commands ?? 0, root: Buffer.from(root, 'hex') };
    const builder = new RewindPartBuilder(partBytesMax);
    const tally = new ChangeTally();
    let part = 1;
    for (const change of now.snapshot.changesTo(then.snapshot)) {
      if (slices.isOver) await slices.rest();
      if (change === null) continue;
      tally.add(change);
      requireBounded(tally, past); // Commands went on since it was counted first.
      if (builder.isFull) await this.#append(builder.take(part++, false, target));
      builder.add({ key: change.key, value: change.target });
    }
    const madeBy = await this.#append(builder.take(part, true, target));
    assert(engine.position.index === madeBy, `entry ${madeBy} makes the rewind`);
    return { ...tally.counts, root, fromIndex: now.index, madeBy };
  }

  async #append(body: Uint8Array): Promise<Index> {
    const { own, log, engine, clock, onFatal } = this.#config;
    const time = Math.max(log.lastTime, clock.now());
    const index = await own.write(log, { type: 'rewind', time, body });
    try {
      await engine.rewind({ index, time, body }, (work) => this.#slices('held').run(steps(work)));
    } catch (error) {
      onFatal(error);
      throw error;
    }
    return index;
  }

  /** @param others Whether others are served meanwhile. */
  #slices(others: 'served' | 'held'): Slices {
    const { clock, engine } = this.#config;
    return new Slices({ clock, isBusy: () => others === 'served' && engine.isBusy });
  }
}

function rootOf({ snapshot }: EngineSnapshot): string {
  assert(snapshot.root !== null, 'a snapshot of the engine has a root');
  return Buffer.from(snapshot.root).toString('hex');
}

function requireBounded({ bytes }: ChangeTally, { index }: PastState): void {
  if (bytes <= REWIND_BYTES_MAX) return;
  throw refused(`${bytes} bytes of keys and values would change, and at most ${REWIND_BYTES_MAX} may`, {
    index,
    bytes,
    bytesMax: REWIND_BYTES_MAX,
  });
}

function refused(why: string, facts: ErrorFacts): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_REWIND_REFUSED',
    `a running node cannot be rewound there: ${why}. Nothing was changed; bring that state back into ` +
      'another directory (`tidemark rewind --dir D --to POINT --into E`, or restorePoint)',
    { remedy: 'fix-call', facts },
  );
}

function anotherRuns(): TidemarkError {
  return new TidemarkError('TIDEMARK_BUSY', 'a rewind is being made; try again when it is', {
    remedy: 'retry',
  });
}

function notOpen(): TidemarkError {
  return new TidemarkError('TIDEMARK_NOT_OPEN', 'the node is closing: it was not rewound', {
    remedy: 'fix-call',
  });
}
