/**
 * The state as a Merkle tree, kept up behind the live index: change sets, versions, snapshots.
 *
 *     writes ──→ live set ──freeze──→ frozen sets ──fold, in slices──→ tree ──hash──→ root
 *                                          │                            │
 *                                          └── snapshot: a version ─────┴─→ its tree
 *
 * Freezing a set takes O(1) and makes a *version*: what the state is when this set and all before it have
 * taken effect. The oldest sets are folded into the tree, together as far as no snapshot stands between them;
 * when their last change is in, the tree is that of the last one's version, and its snapshots take it.
 *
 * Who keeps a record (a value that was overwritten must live as long as anybody reads it):
 *  - while it is the value of its key, the live index;
 *  - replaced in the set it was written in: nobody, it is freed at once;
 *  - replaced later: the set that replaced it, until that is folded; then the snapshots that need it
 *    (retained.ts). Nobody will need its value when there is no snapshot at the time, and no hash under way,
 *    whose snapshot may be gone. It goes at once then: the fold needs the key and the number.
 *  - replaced blindly (cold-leaves.ts): the leaf; the fold of that write finds it there, and retires it.
 * So a folded tree, and every tree that a snapshot holds, has all its records, and a folded set names no
 * record that could be gone.
 *
 * Marks of records: position in the change set at first; when a set is folded, its version.
 *
 * A record whose value went counts for less when a run is cut. The change that replaced it is still to be
 * folded and adds its bytes; and no snapshot has a tree with such a record, for it was taken behind that
 * change.
 *
 * Bounds: at a `backlog` of 1, FROZEN_SETS_MAX sets wait, or they keep KEPT_BYTES_MAX bytes of replaced
 * records. The live set then grows; who goes on writing must fold first.
 */

import { assert } from '../base/assert.ts';
import { copyOf } from '../base/bytes.ts';
import { equalBytes } from '../base/merkle/node.ts';
import { KeyScale, type TreeShape } from '../base/merkle/shape.ts';
import type { Clock } from '../base/time.ts';
import { findBases } from './blind-writes.ts';
import { ChangeSet, SET_KEYS_MAX } from './change-set.ts';
import { type ColdLeaf, ColdLeaves } from './cold-leaves.ts';
import type { LiveIndex } from './live-index.ts';
import { MergedChanges } from './merged-changes.ts';
import { NO_RECORD } from './record-table.ts';
import { Retained } from './retained.ts';
import type { TreeParts } from './run-builder.ts';
import { type Held, Snapshot } from './snapshot.ts';
import { SortedPlaces } from './sorted-places.ts';
import type { StoredFiles, StoredTree } from './stored.ts';
import { TreeEditor } from './tree-editor.ts';
import { TreeHasher } from './tree-hash.ts';
import { TreeInstaller } from './tree-install.ts';
import { NO_NODE, TreeNodes } from './tree-nodes.ts';
import { leafFor, recordsFrom } from './tree-records.ts';

/** Frozen sets that may wait to be folded: one and a half million changes, the burst that costs nothing. */
const FROZEN_SETS_MAX = 48;

/** The same in bytes of the replaced records that they keep. */
const KEPT_BYTES_MAX = 128 * 1024 * 1024;

/** Sets folded together at most: what they keep is let go when all of them are folded. */
const SETS_PER_FOLD = 2;

/** Replaced records let go between two looks at the clock. */
const RETIRE_STEP_KEYS = 1024;

/** What a slice of work may do: begin what waits, or only go on with what was begun. */
export type WorkScope = 'all' | 'begun';

export type TreeClock = Pick<Clock, 'monotonic'>;

interface FrozenSet {
  readonly set: ChangeSet;
  readonly version: number;
  /** Its parts, once somebody asked for them: whoever sorts them first does it for all. */
  runs: readonly SortedPlaces[] | null;
}

/** Work done so far, and what waits. */
export interface TreeProgress {
  readonly keysFolded: number;
  readonly nodesHashed: number;
  /** Changes in the live set and in frozen ones. */
  readonly changesPending: number;
  readonly frozenSets: number;
  /** Whether a fold, a hash or a reclaim has begun and not ended. */
  readonly isWorking: boolean;
  readonly snapshots: number;
}

export class StateTree {
  readonly #index: LiveIndex;
  readonly #nodes = new TreeNodes();
  readonly #cold: ColdLeaves;
  readonly #parts: TreeParts;
  readonly #retained: Retained;
  readonly #editor: TreeEditor;
  readonly #hasher: TreeHasher;
  readonly #held = new Set<Held>();

  #live: ChangeSet;
  /**
   * A key whose leaf was read, if there was one: machines ask for one that is not there again and again. What
   * was read stays in memory, so it holds until another tree is installed.
   */
  #warmKey: Uint8Array | null = null;
  /** The parts of the live set as they were at that count; what is written over changes no key of it. */
  #liveRuns: { readonly count: number; readonly runs: readonly SortedPlaces[] } = { count: 0, runs: [] };
  readonly #frozen: FrozenSet[] = [];
  readonly #spareSets: ChangeSet[] = [];
  /** Version of the newest frozen set, and of the newest that is folded. */
  #frozenVersion = 0;
  #foldedVersion = 0;
  /** Top of the tree of the folded version; in the middle of a fold, of something between two versions. */
  #top = NO_NODE;
  /** Work begun and not ended. */
  #job: Generator<void, void> | null = null;
  /** Whether that is a hash: it reads values between its steps. */
  #isHashing = false;
  #keysFolded = 0;
  /** Bytes that the frozen sets keep. */
  #keptBytes = 0;
  /** False after a step that threw: then the tree may be half changed. */
  #isSound = true;

  constructor(index: LiveIndex, shape: TreeShape) {
    this.#index = index;
    this.#cold = new ColdLeaves(this.#nodes, index);
    const scale = new KeyScale(shape);
    this.#parts = { shape, scale, nodes: this.#nodes, index, cold: this.#cold };
    this.#live = new ChangeSet(index);
    this.#retained = new Retained(this.#nodes, index);
    this.#editor = new TreeEditor(this.#parts, this.#retained);
    this.#hasher = new TreeHasher(this.#nodes, index);
  }

  get allocatedBytes(): number {
    let bytes = this.#nodes.allocatedBytes + this.#live.allocatedBytes;
    for (const { set } of this.#frozen) bytes += set.allocatedBytes;
    for (const set of this.#spareSets) bytes += set.allocatedBytes;
    return bytes;
  }

  get progress(): TreeProgress {
    return {
      keysFolded: this.#keysFolded,
      nodesHashed: this.#hasher.hashed,
      changesPending: this.#frozen.reduce((sum, { set }) => sum + set.count, this.#live.count),
      frozenSets: this.#frozen.length,
      isWorking: this.#job !== null || this.#retained.isReclaiming,
      snapshots: this.#retained.pinCount,
    };
  }

  /** How much waits to be folded: 0 for nothing; from 1 on writers must wait too. */
  get backlog(): number {
    return Math.max(this.#frozen.length / FROZEN_SETS_MAX, this.#keptBytes / KEPT_BYTES_MAX);
  }

  /** Changes in the live set: more than SET_KEYS_MAX only when the backlog is full. */
  get liveChanges(): number {
    return this.#live.count;
  }

  /** Whether `work` has anything to do. */
  get hasWork(): boolean {
    return (
      this.#job !== null || this.#frozen.length > 0 || this.#retained.isReclaiming || this.#wanted() !== null
    );
  }

  /** Notes a committed write; see ChangeSet.note. */
  note(linked: number, unlinked: number): boolean {
    return this.#live.note(linked, unlinked, this.#isHashing || this.#retained.pinCount > 0);
  }

  /** Freezes the live set when it is full and there is room for it. */
  freezeIfFull(): void {
    if (this.#live.isFull && this.backlog < 1) this.#freeze();
  }

  /** Holds the state as it is now. O(1). */
  snapshot(): Snapshot {
    if (this.#live.count > 0) this.#freeze();
    const isFolded = this.#frozenVersion === this.#foldedVersion;
    const pin = this.#retained.pin(this.#frozenVersion);
    const held: Held = { pin, node: isFolded ? this.#top : null, isRootWanted: false };
    this.#held.add(held);
    return new Snapshot(held, {
      tree: this.#parts,
      release: () => {
        this.#held.delete(held);
        this.#retained.release(pin);
      },
    });
  }

  /**
   * Folds, hashes and reclaims for about `budgetMs`, at least one step.
   * @param scope `all`, or only what was begun: a fold of a few sets, and what released snapshots left.
   * @returns Whether there is more to do.
   */
  work(budgetMs: number, clock: TreeClock, scope: WorkScope): boolean {
    const until = clock.monotonic() + budgetMs;
    do {
      this.#assertSound();
      if (scope === 'all') this.#job ??= this.#nextJob();
      else if (this.#retained.isReclaiming) this.#job ??= this.#reclaim();
      if (this.#job === null) return this.hasWork;
      this.#isSound = false;
      if (this.#job.next().done === true) this.#job = null;
      this.#isSound = true;
    } while (clock.monotonic() < until);
    return this.hasWork;
  }

  // ---- What is only in files.

  /** Takes a tree from files into an empty one, in steps; its leaves are cold then. */
  *install(stored: StoredTree, files: StoredFiles): Generator<void, void> {
    this.#assertEmpty();
    const { top, leaves } = yield* new TreeInstaller(this.#parts, files).install(stored);
    yield* this.#index.reserve(stored.keys);
    this.#assertEmpty();
    this.#cold.install(files, leaves, stored.keys);
    this.#warmKey = null;
    this.#top = top;
  }

  get cold(): ColdLeaves {
    return this.#cold;
  }

  /** Reads the leaf in which a key is or would be. @returns Whether that was still to be done. */
  warmLeafOf(key: Uint8Array): boolean {
    if (this.#warmKey !== null && equalBytes(key, this.#warmKey)) return false;
    const wasCold = this.#warmLeafOf(key, 0, key.length);
    this.#warmKey = copyOf(key);
    return wasCold;
  }

  /** Reads a leaf that `cold.leaves` told of. */
  warm({ node }: ColdLeaf): void {
    this.#assertSound();
    this.#cold.warm(node);
  }

  /** Keys that were written blindly, and whose leaf may still be cold. */
  get unknownCount(): number {
    return this.#frozen.reduce((sum, { set }) => sum + set.unknownCount, this.#live.unknownCount);
  }

  /** Reads the leaves of all keys that were written blindly. */
  warmWritten(): void {
    for (const set of [...this.#frozen.map((frozen) => frozen.set), this.#live]) {
      set.visitUnknown((offset, length) => this.#warmLeafOf(set.keys, offset, length));
    }
  }

  // ---- Reading.

  /**
   * Changes that the tree does not have yet, in the order of keys, from the first that is at least `from`;
   * until the next write or slice. Sorts what nobody has sorted yet: up to 10 ms for each set that waits.
   */
  pendingChanges(from: Uint8Array): MergedChanges {
    const { count } = this.#live;
    if (this.#liveRuns.count !== count) this.#liveRuns = { count, runs: partsOf(this.#live) };
    const runs = [...this.#frozen.flatMap(runsOf), ...this.#liveRuns.runs];
    for (const run of runs) for (const _ of run.sort()) continue;
    return new MergedChanges(runs, 'all', from); // A fold may be half done.
  }

  /** Records of the tree as far as it is folded, in the order of keys. */
  folded(from: Uint8Array): Generator<number, void> {
    this.#assertSound();
    return recordsFrom(this.#parts, this.#top, from);
  }

  #warmLeafOf(bytes: Uint8Array, offset: number, length: number): boolean {
    this.#assertSound();
    if (this.#top === NO_NODE) return false;
    const leaf = leafFor(this.#nodes, this.#top, bytes, offset, length);
    if (!this.#nodes.isCold(leaf)) return false;
    this.#cold.warm(leaf);
    return true;
  }

  #assertSound(): void {
    assert(this.#isSound, 'a tree is not used any more once a step of its work failed');
  }

  #assertEmpty(): void {
    const isEmpty = this.#top === NO_NODE && this.#frozenVersion === 0 && this.#live.count === 0;
    assert(isEmpty && this.#index.recordCount === 0, 'a tree is installed into an empty state');
  }

  #freeze(): void {
    this.#frozenVersion++;
    this.#keptBytes += this.#live.keptBytes;
    this.#frozen.push({ set: this.#live, version: this.#frozenVersion, runs: null });
    this.#liveRuns = { count: 0, runs: [] };
    this.#live = this.#spareSets.pop() ?? new ChangeSet(this.#index);
  }

  /** Folding comes first: what waits keeps records alive. */
  #nextJob(): Generator<void, void> | null {
    const wanted = this.#wanted();
    if (wanted?.node != null) return this.#hash(wanted.node);
    if (this.#frozen.length > 0) return this.#fold();
    return this.#retained.isReclaiming ? this.#reclaim() : null;
  }

  /** The oldest snapshot whose root somebody waits for. */
  #wanted(): Held | null {
    for (const held of this.#held) {
      if (!held.isRootWanted) continue;
      if (held.node === null || (held.node !== NO_NODE && !this.#nodes.isHashed(held.node))) return held;
    }
    return null;
  }

  *#hash(top: number): Generator<void, void> {
    this.#isHashing = true;
    yield* this.#hasher.hash(top);
    this.#isHashing = false;
  }

  *#reclaim(): Generator<void, void> {
    while (this.#retained.isReclaiming) {
      this.#retained.reclaim();
      yield;
    }
  }

  /** Folds the oldest frozen sets, up to the first that a snapshot wants. */
  *#fold(): Generator<void, void> {
    const sets = this.#frozen.slice(0, Math.min(this.#foldableCount(), SETS_PER_FOLD));
    const version = sets[sets.length - 1]!.version;
    this.#retained.beginFold(version);
    const runs: SortedPlaces[] = [];
    for (const run of sets.flatMap(runsOf)) {
      yield* run.sort();
      runs.push(run);
    }
    const changes = new MergedChanges(runs, 'net');
    const found: number[] = [];
    while (changes.next()) {
      yield* findBases(this.#parts, this.#top, changes, found);
      this.#top = this.#editor.edit(this.#top, changes, version);
      this.#keysFolded += changes.count;
      // Under load folding may never end: what released snapshots kept goes faster than more can come.
      this.#retained.reclaim();
      yield;
    }
    // Now the tree is of this version. Until here the tree could still name records that were replaced, and
    // the sets were still read: only now may either go.
    this.#frozen.splice(0, sets.length);
    for (const { set } of sets) this.#keptBytes -= set.keptBytes;
    this.#foldedVersion = version;
    for (const held of this.#held) if (held.pin.version === version) held.node = this.#top;
    for (const [at, record] of found.entries()) {
      this.#retained.retireRecord(record);
      if ((at + 1) % RETIRE_STEP_KEYS === 0) yield;
    }
    for (const { set } of sets) yield* this.#retire(set, version);
  }

  #foldableCount(): number {
    for (const [at, { version }] of this.#frozen.entries()) {
      for (const { pin } of this.#held) if (pin.version === version) return at + 1;
    }
    return this.#frozen.length;
  }

  /** Of sets folded together the oldest first: what one wrote, a later one may have replaced. */
  *#retire(set: ChangeSet, version: number): Generator<void, void> {
    for (let place = 0; place < set.count; place++) {
      const record = set.recordAt(place);
      const base = set.baseAt(place);
      if (record !== NO_RECORD) this.#index.mark(record, version);
      if (base > NO_RECORD) this.#retained.retireRecord(base);
      if ((place + 1) % RETIRE_STEP_KEYS === 0) yield;
    }
    set.clear();
    if (this.#spareSets.length < 2) this.#spareSets.push(set);
  }
}

function runsOf(frozen: FrozenSet): readonly SortedPlaces[] {
  frozen.runs ??= partsOf(frozen.set);
  return frozen.runs;
}

/** A set in parts that are sorted one by one: a long one, of a huge command, in several. */
function partsOf(set: ChangeSet): SortedPlaces[] {
  const parts: SortedPlaces[] = [];
  for (let from = 0; from < set.count; from += SET_KEYS_MAX) {
    parts.push(new SortedPlaces(set, from, Math.min(from + SET_KEYS_MAX, set.count)));
  }
  return parts;
}
