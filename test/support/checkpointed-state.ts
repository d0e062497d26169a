/** A real state with its checkpoints on a disk: installed, loaded in the background, taken again. */

import { deepStrictEqual, strictEqual } from 'node:assert';
import { toIndex, toTerm, toTimeline } from '../../src/base/positions.ts';
import { systemClock } from '../../src/base/time.ts';
import { BackgroundLoader } from '../../src/checkpoint/background-loader.ts';
import type { CheckpointInfo } from '../../src/checkpoint/checkpoint-info.ts';
import {
  type CheckpointOptions,
  type ResolvedCheckpointOptions,
  resolveCheckpointOptions,
} from '../../src/checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../../src/checkpoint/checkpoint-store.ts';
import type { HeldState } from '../../src/checkpoint/checkpointer.ts';
import type { OpenCheckpoint } from '../../src/checkpoint/open-checkpoint.ts';
import { LiveState } from '../../src/state/live-state.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { CLUSTER_ID, DATA_DIR } from './checkpoint-disk.ts';
import { bytesOf, SMALL_SHAPE, textOf } from './stored-trees.ts';
import { NEWEST_ONLY } from './test-log.ts';

const HASH_SEED = new Uint8Array(8).fill(7);

/** Ids of files are never drawn twice. */
let seedsUsed = 1000;

export class CheckpointedState {
  readonly store: CheckpointStore;
  readonly options: ResolvedCheckpointOptions;
  state: LiveState = newState();
  index = 0;
  open: OpenCheckpoint | null = null;

  private constructor(store: CheckpointStore, options: ResolvedCheckpointOptions) {
    this.store = store;
    this.options = options;
  }

  /** As a start does: installs the newest checkpoint that is whole; nothing but the tree is read. */
  static async start(fs: FileSystem, given: CheckpointOptions = {}): Promise<CheckpointedState> {
    const options = resolveCheckpointOptions({ bufferBytes: 4096, ...NEWEST_ONLY, ...given });
    await fs.makeDirectory(DATA_DIR);
    const store = await CheckpointStore.find({
      fs,
      dataDir: DATA_DIR,
      clusterId: CLUSTER_ID,
      nodeId: 1,
      clock: systemClock,
      chance: new SeededRandom(++seedsUsed),
      options,
      isBusy: () => false,
    });
    const made = new CheckpointedState(store, options);
    made.open = await store.installNewest((open) => made.install(open));
    await store.cleanUp();
    return made;
  }

  async install(open: OpenCheckpoint): Promise<void> {
    this.state = newState();
    await open.files.readInnerAhead(this.options);
    for (const step of this.state.install(open.tree, open.files)) strictEqual(step, undefined);
    open.files.forgetAll();
    this.index = open.info.index;
  }

  write(changes: Readonly<Record<string, string | null>>): void {
    this.state.begin();
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) this.state.delete(bytesOf(key));
      else this.state.set(bytesOf(key), bytesOf(value));
    }
    this.state.commit();
    this.index++;
  }

  /** Brings everything into memory. */
  async load(): Promise<void> {
    await this.loader().run();
    strictEqual(this.state.isLoaded, true);
    await this.open?.files.close();
  }

  loader(onProgress: () => void = () => undefined): BackgroundLoader {
    const { state, open, options } = this;
    if (open === null) throw new Error('nothing to load');
    return new BackgroundLoader({
      state,
      files: open.files,
      clock: systemClock,
      options,
      isBusy: () => false,
      onProgress,
    });
  }

  async take(): Promise<CheckpointInfo> {
    const held = this.hold();
    const { info } = await this.store.take(held.source, held.facts);
    held.release();
    await this.store.removeOld();
    return info;
  }

  hold(): HeldState {
    const { state } = this;
    const snapshot = state.snapshot();
    snapshot.requestRoot();
    while (snapshot.root === null) state.foldSlice(4, systemClock);
    return {
      source: snapshot,
      logBytesAfter: () => 0,
      facts: {
        timeline: toTimeline(1),
        index: toIndex(this.index),
        term: toTerm(0),
        view: 0,
        time: this.index,
        machine: { name: 'test', version: 1 },
        members: [{ id: 1, role: 'voter' }],
        membersIndex: toIndex(0),
        stateBytes: state.liveBytes,
      },
      release: () => snapshot.release(),
    };
  }

  /** Everything that the state holds is what it should hold. */
  check(content: ReadonlyMap<string, string>): void {
    const found = new Map<string, string>();
    for (const { key, value } of this.state.orderedEntries(new Uint8Array(0))) {
      found.set(textOf(key), textOf(value));
    }
    deepStrictEqual(found, new Map([...content].sort(([one], [other]) => (one < other ? -1 : 1))));
    strictEqual(this.state.size, content.size);
  }
}

function newState(): LiveState {
  return new LiveState({ seed: HASH_SEED, shape: SMALL_SHAPE });
}
