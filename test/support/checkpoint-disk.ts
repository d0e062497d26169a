/**
 * Checkpoints of small contents: a state as a plain map with the tree of the definition
 * (base/merkle/build.ts) and the places of its nodes, which is what a real state keeps of them.
 */

import { strictEqual } from 'node:assert';
import { sha256 } from '../../src/base/digest.ts';
import { decodeNode, EMPTY_ROOT, type TreeNode } from '../../src/base/merkle/node.ts';
import { hashName } from '../../src/base/merkle/read.ts';
import { type Index, toIndex, toTerm, toTimeline } from '../../src/base/positions.ts';
import type { Increment } from '../../src/checkpoint/chain.ts';
import type { CheckpointInfo } from '../../src/checkpoint/checkpoint-info.ts';
import { type CheckpointOptions, resolveCheckpointOptions } from '../../src/checkpoint/checkpoint-options.ts';
import { CheckpointStore } from '../../src/checkpoint/checkpoint-store.ts';
import type { OpenCheckpoint } from '../../src/checkpoint/open-checkpoint.ts';
import type { CheckpointFacts, TreeSource } from '../../src/checkpoint/write-checkpoint.ts';
import type { Place, StoredFiles, StoredTree, Unstored } from '../../src/state/stored.ts';
import type { FileSystem } from '../../src/storage/file-system.ts';
import { MemoryFileSystem } from '../../src/storage/memory-file-system.ts';
import { ManualClock } from '../../src/testing/manual-clock.ts';
import { SeededRandom } from '../../src/testing/seeded-random.ts';
import { buildMapTree, bytesOf, type MapTree, SMALL_SHAPE, textOf } from './stored-trees.ts';
import { NEWEST_ONLY } from './test-log.ts';

export const DATA_DIR = 'data';
export const CHECKPOINTS = `${DATA_DIR}/checkpoints`;
export const CLUSTER_ID = '00112233445566778899aabbccddeeff';

/** A content, and where its nodes are stored. */
export class MapState {
  content = new Map<string, string>();
  index: Index = toIndex(0);
  /** By hash. */
  places = new Map<string, Place>();

  /** One entry of the log: changes under the next index. */
  write(changes: Readonly<Record<string, string | null>>): void {
    for (const [key, value] of Object.entries(changes)) {
      if (value === null) this.content.delete(key);
      else this.content.set(key, value);
    }
    this.index = toIndex(this.index + 1);
  }

  get source(): MapTreeSource {
    return new MapTreeSource(buildMapTree(this.content, SMALL_SHAPE), this.places, this.content.size);
  }

  get facts(): CheckpointFacts {
    let stateBytes = 0;
    for (const [key, value] of this.content) stateBytes += key.length + value.length;
    return {
      timeline: toTimeline(1),
      index: this.index,
      term: toTerm(0),
      view: 0,
      time: 1_700_000_000_000 + this.index,
      machine: { name: 'test', version: 1 },
      members: [{ id: 1, role: 'voter' }],
      membersIndex: toIndex(0),
      stateBytes,
    };
  }

  /** Reads all of a checkpoint, verifies every node by its hash, and takes content and places from it. */
  install({ info, tree, files }: OpenCheckpoint): void {
    this.content = new Map();
    this.places = new Map();
    this.index = info.index;
    if (tree.place === null) strictEqual(Buffer.compare(tree.root, EMPTY_ROOT), 0);
    else this.#take(files, { hash: tree.root, place: tree.place, level: tree.level });
    strictEqual(this.content.size, info.keys);
  }

  #take(files: StoredFiles, at: { hash: Uint8Array; place: Place; level: number }): void {
    const stored = files.read(at.level === 0 ? 'leaf' : 'inner', at.place);
    if (Buffer.compare(sha256(stored.bytes), at.hash) !== 0) throw files.damaged(at.place, 'hash');
    const node = decodeNode(Uint8Array.from(stored.bytes));
    if (node.kind === 'invalid') throw files.damaged(at.place, node.reason);
    this.places.set(hashName(at.hash), at.place);
    let next = 0;
    if (node.kind === 'inner') {
      for (const { hash } of node.entries) {
        this.#take(files, { hash, place: stored.places[next++]!, level: at.level - 1 });
      }
      return;
    }
    for (const { key, value } of node.entries) {
      if (value.kind === 'inline') this.content.set(textOf(key), textOf(value.bytes));
      else {
        const place = stored.places[next++]!;
        const { bytes } = files.read('value', place);
        if (Buffer.compare(sha256(bytes), value.hash) !== 0) throw files.damaged(place, 'hash');
        this.places.set(hashName(value.hash), place);
        this.content.set(textOf(key), textOf(bytes));
      }
    }
  }
}

type Named = Unstored & { readonly place: Place | undefined };

/** What a `Snapshot` gives to a checkpoint, of a tree in a map. */
export class MapTreeSource implements TreeSource {
  readonly #tree: MapTree;
  readonly #places: Map<string, Place>;
  readonly #keys: number;

  constructor(tree: MapTree, places: Map<string, Place>, keys: number) {
    this.#tree = tree;
    this.#places = places;
    this.#keys = keys;
  }

  get size(): number {
    return this.#keys;
  }

  get storedTree(): StoredTree {
    const { root } = this.#tree;
    const level = this.#node(root).kind === 'leaf' ? 0 : (this.#node(root) as { level: number }).level;
    const place = this.#keys === 0 ? null : (this.#places.get(hashName(root)) ?? null);
    return { root, place, level, keys: this.#keys };
  }

  *measureUnstored(isKept: (file: number) => boolean): Generator<void, Increment, void> {
    const increment = { leaves: 0, inner: 0, values: 0, bytes: 0 };
    for (const pass of ['leaves', 'inner'] as const) {
      for (const { kind, bytes } of this.#below(this.#tree.root, isKept, pass)) {
        increment[kind === 'leaf' ? 'leaves' : kind === 'inner' ? 'inner' : 'values']++;
        increment.bytes += bytes.length;
        yield;
      }
    }
    return increment;
  }

  *unstored(isKept: (file: number) => boolean): Generator<Unstored, void, void> {
    yield* this.#below(this.#tree.root, isKept, 'leaves');
    yield* this.#below(this.#tree.root, isKept, 'inner');
  }

  *#below(
    hash: Uint8Array,
    isKept: (file: number) => boolean,
    pass: 'leaves' | 'inner',
  ): Generator<Unstored, void, void> {
    if (this.#keys === 0 || isKept(this.#places.get(hashName(hash))?.file ?? 0)) return;
    const node = this.#node(hash);
    if (node.kind === 'inner') {
      for (const entry of node.entries) yield* this.#below(entry.hash, isKept, pass);
      if (pass === 'inner')
        yield this.#named(
          'inner',
          hash,
          node.entries.map((entry) => entry.hash),
        );
      return;
    }
    if (pass === 'inner') return;
    const large = node.entries.flatMap(({ value }) => (value.kind === 'node' ? [value.hash] : []));
    for (const value of large) {
      if (!isKept(this.#places.get(hashName(value))?.file ?? 0)) yield this.#named('value', value, []);
    }
    yield this.#named('leaf', hash, large);
  }

  #named(kind: Unstored['kind'], hash: Uint8Array, below: readonly Uint8Array[]): Named {
    const bytes = this.#tree.nodes.nodes.get(hashName(hash))!;
    return {
      kind,
      hash,
      bytes,
      places: below.map((child) => this.#places.get(hashName(child))!),
      place: this.#places.get(hashName(hash)),
      storedAt: (file, offset) => {
        this.#places.set(hashName(hash), { file, offset, bytes: bytes.length });
      },
    };
  }

  #node(hash: Uint8Array): TreeNode {
    const node = decodeNode(this.#tree.nodes.nodes.get(hashName(hash))!);
    if (node.kind === 'invalid') throw new Error(node.reason);
    return node;
  }
}

/** Ids of files are never drawn twice. */
let seedsUsed = 0;

export interface StateDiskOptions {
  readonly fs?: FileSystem;
  readonly seed?: number;
  readonly clusterId?: string;
  readonly options?: CheckpointOptions;
}

/** A state with its checkpoints on a disk. */
export class StateDisk {
  readonly fs: FileSystem;
  readonly state = new MapState();
  readonly clock = new ManualClock();
  readonly store: CheckpointStore;

  private constructor(fs: FileSystem, store: CheckpointStore, clock: ManualClock) {
    this.fs = fs;
    this.store = store;
    this.clock = clock;
  }

  /** Finds what is there; nothing is changed yet. */
  static async find(options: StateDiskOptions = {}): Promise<StateDisk> {
    const fs = options.fs ?? new MemoryFileSystem();
    const clock = new ManualClock();
    const store = await CheckpointStore.find({
      fs,
      dataDir: DATA_DIR,
      clusterId: options.clusterId ?? CLUSTER_ID,
      nodeId: 1,
      clock,
      chance: new SeededRandom(options.seed ?? ++seedsUsed),
      options: resolveCheckpointOptions({ bufferBytes: 4096, ...NEWEST_ONLY, ...options.options }),
      isBusy: () => false,
    });
    return new StateDisk(fs, store, clock);
  }

  /** As a start does: installs the newest checkpoint that is whole, then cleans up. */
  static async open(options: StateDiskOptions = {}): Promise<StateDisk> {
    const fs = options.fs ?? new MemoryFileSystem();
    await fs.makeDirectory(DATA_DIR);
    await fs.syncDirectory('.');
    const disk = await StateDisk.find({ ...options, fs });
    await disk.recover();
    await disk.store.cleanUp();
    return disk;
  }

  /** Installs the newest checkpoint that is whole. Returns it, or null. */
  async recover(): Promise<CheckpointInfo | null> {
    const open = await this.store.installNewest(async (checkpoint) => this.state.install(checkpoint));
    await open?.files.close();
    return open?.info ?? null;
  }

  /** Takes a checkpoint of the state as it is, and removes old ones. */
  async take(): Promise<CheckpointInfo> {
    const { info } = await this.store.take(this.state.source, this.state.facts);
    await this.store.removeOld();
    return info;
  }

  /** Names in the directory of checkpoints. */
  names(): Promise<string[]> {
    return this.fs.list(CHECKPOINTS);
  }
}

/** A content with small and large values. */
export function someContent(keys: number, seed = 1): Record<string, string> {
  const random = new SeededRandom(seed);
  const content: Record<string, string> = {};
  for (let at = 0; at < keys; at++) {
    const length = at % 17 === 3 ? random.between(1025, 3000) : random.below(60);
    content[`key-${String(at).padStart(5, '0')}`] = textOf(random.fill(bytesOf('x'.repeat(length))));
  }
  return content;
}
