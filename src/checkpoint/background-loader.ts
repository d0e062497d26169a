/**
 * Brings what a state was installed from into memory, while it serves: its leaves in order of keys, read
 * ahead in windows of `bufferBytes`, `loadConcurrency` of them in flight or waiting to be used.
 *
 * Within one file offsets ascend in order of keys, so each file is read from front to back. A leaf that is
 * needed earlier is read by itself, by whoever needs it.
 */

import type { Clock } from '../base/time.ts';
import type { Place } from '../state/stored.ts';
import type { CheckpointFiles } from './checkpoint-files.ts';
import type { ReadingOptions } from './chunk-checks.ts';
import { type SlicedWork, Slices } from './slices.ts';

/** A leaf that is not in memory. */
export interface ColdLeaf {
  readonly node: number;
  readonly place: Place;
}

/** What the loader needs of a state: of `LiveState`. */
export interface ColdState {
  /** In order of keys; goes on being right when the state changes between two steps. */
  coldLeaves(): Iterator<ColdLeaf, unknown, void>;
  /** Brings a leaf into memory, if it is not there yet. @throws TidemarkError TIDEMARK_CHECKPOINT_DAMAGED */
  warm(leaf: ColdLeaf): void;
}

export interface LoaderConfig {
  readonly state: ColdState;
  readonly files: CheckpointFiles;
  readonly clock: Clock;
  readonly options: ReadingOptions;
  readonly isBusy: () => boolean;
  readonly onProgress: (progress: { readonly leavesLoaded: number; readonly bytesRead: number }) => void;
}

/** More than other work: until all is in memory, commands wait for reads of single leaves. */
const WORK_SHARE = 0.6;

/** Leaves known ahead: enough for the windows of all files that they alternate between. */
const LEAVES_AHEAD_MAX = 16 * 1024;

/** Leaves between two looks at the clock: about a tenth of a millisecond, but for large values. */
const LEAVES_PER_STEP = 16;

/** Leaves between two reports. */
const PROGRESS_LEAVES = 4096;

/** A leaf, and what has to be read before it is warmed without waiting. */
interface PlannedLeaf extends ColdLeaf {
  readonly window: Promise<void> | null;
}

export class BackgroundLoader {
  readonly #config: LoaderConfig;
  /** Up to where each file was read ahead, or is being read. */
  readonly #aheadTo = new Map<number, number>();
  #planned: PlannedLeaf[] = [];
  #next = 0;
  /** Windows that planned leaves begin with. */
  #windows = 0;
  #leavesLoaded = 0;
  #isStopped = false;

  constructor(config: LoaderConfig) {
    this.#config = config;
  }

  /** Resolves when all is in memory, or after `stop`. @throws TidemarkError when a leaf cannot be read. */
  async run(): Promise<void> {
    await new Slices({ ...this.#config, workShare: WORK_SHARE }).run(this.#load());
    this.#config.files.forgetAll();
    this.#report();
  }

  stop(): void {
    this.#isStopped = true;
  }

  *#load(): SlicedWork<void> {
    const cold = this.#config.state.coldLeaves();
    for (;;) {
      this.#planAhead(cold);
      const leaf = this.#planned[this.#next];
      if (leaf === undefined || this.#isStopped) return;
      this.#next++;
      if (leaf.window !== null) {
        this.#windows--;
        yield leaf.window;
        // Two windows back nothing is needed any more: leaves come in order, their values right before them.
        const { file, offset } = leaf.place;
        this.#config.files.forgetBefore(file, offset - this.#config.options.bufferBytes);
      }
      this.#config.state.warm(leaf);
      this.#leavesLoaded++;
      if (this.#leavesLoaded % PROGRESS_LEAVES === 0) this.#report();
      if (this.#leavesLoaded % LEAVES_PER_STEP === 0) yield undefined;
    }
  }

  /** Goes on asking for leaves until enough windows are on their way. */
  #planAhead(cold: Iterator<ColdLeaf, unknown, void>): void {
    if (this.#next > LEAVES_AHEAD_MAX) {
      this.#planned = this.#planned.slice(this.#next);
      this.#next = 0;
    }
    const { loadConcurrency } = this.#config.options;
    while (this.#windows < loadConcurrency && this.#planned.length - this.#next < LEAVES_AHEAD_MAX) {
      const step = cold.next();
      if (step.done === true) return;
      const window = this.#windowFor(step.value.place);
      if (window !== null) this.#windows++;
      const { node, place } = step.value;
      this.#planned.push({ node, place, window });
    }
  }

  /** Begins to read the window that a leaf is in; null when it is in one already. */
  #windowFor({ file, offset, bytes }: Place): Promise<void> | null {
    const { bufferBytes } = this.#config.options;
    const aheadTo = this.#aheadTo.get(file) ?? 0;
    if (offset + bytes <= aheadTo) return null;
    // Without a gap when the next window is near: large values stand between leaves.
    const from = offset < aheadTo + bufferBytes && aheadTo > 0 ? Math.min(aheadTo, offset) : offset;
    const to = Math.max(offset + 2 * bytes, from + bufferBytes);
    this.#aheadTo.set(file, to);
    // What cannot be read ahead fails again, with its reason, when the leaf is read.
    return this.#config.files.readAhead(file, from, to).catch(() => undefined);
  }

  #report(): void {
    const { files, onProgress } = this.#config;
    onProgress({ leavesLoaded: this.#leavesLoaded, bytesRead: files.bytesRead });
  }
}
