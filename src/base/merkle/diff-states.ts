/**
 * What differs between two states, wherever they are: a checkpoint in files, a node that runs. Walks their
 * trees (difference.ts), both sides of a round at the same time, and verifies every node and value by its
 * hash: nobody who answers is trusted.
 *
 * Values above INLINE_VALUE_BYTES_MAX are no part of the leaves. They are read where somebody wants them, as
 * many at a time as VALUES_BYTES_MAX allows.
 */

import { assert } from '../assert.ts';
import { bufferOf } from '../bytes.ts';
import { TidemarkError } from '../errors.ts';
import {
  type DecidedDifference,
  type KeyRange,
  type Side,
  TreeDifference,
  type WantedNode,
} from './difference.ts';
import type { StoredValue } from './node.ts';
import { verifyValue } from './read.ts';

/** A large value, by its hash and by the key it stands under. */
export interface WantedValue {
  readonly kind: 'value';
  readonly hash: Uint8Array;
  readonly length: number;
  readonly key: Uint8Array;
}

/** A node or a value by its place alone: for who looks it up there. */
export type TreePosition = Pick<WantedNode, 'kind' | 'level' | 'key'> | Pick<WantedValue, 'kind' | 'key'>;

/** The tree of a state that does not change while it is read. */
export interface TreeReader {
  /** Who it is, for people: errors name it. */
  readonly name: string;
  readonly root: Uint8Array;
  /** Number of keys, by its own account: for progress only. */
  readonly keys: number;
  /**
   * The bytes of what is wanted, in the order of `wanted`; believed by nobody. May answer a part, from the
   * first on: then it is asked for the rest. What it does not have is null, and ends the walk.
   */
  read(wanted: readonly (WantedNode | WantedValue)[]): Promise<readonly (Uint8Array | null)[]>;
}

/** Options of {@link diffStates}. */
export interface DiffOptions {
  /**
   * Of which sides values are read that stand beside the leaves. Others come as hash and length.
   * @default 'both'
   */
  readonly values?: Side | 'both' | 'none';
  /** Which keys to compare. @default all */
  readonly range?: KeyRange;
  /** Called after every round. */
  readonly onRound?: (cost: DiffCost) => void;
}

/** What a walk has cost so far. */
export interface DiffCost {
  /** How often both sides were asked, and the walk waited. */
  rounds: number;
  /** Nodes and large values that were read, and their bytes. */
  readonly nodes: Record<Side, number>;
  readonly bytes: Record<Side, number>;
  /** Keys of both sides that are behind it, and of both sides in all. */
  keysPassed: number;
  readonly keysTotal: number;
}

/** Large values held at a time, unless one alone has more. */
const VALUES_BYTES_MAX = 16 * 1024 * 1024;

/**
 * What turns the state `source` into the state `target`, in the order of keys. Iterate once; `cost` counts
 * meanwhile.
 *
 * @throws TidemarkError TIDEMARK_TREE_INVALID when a side gives something else than its root promises; and
 *   what its reader throws.
 */
export function diffStates(source: TreeReader, target: TreeReader, options: DiffOptions = {}): StateDiff {
  return new StateDiff(source, target, options);
}

/** What {@link diffStates} finds, as it is found. */
export class StateDiff implements AsyncIterable<DecidedDifference> {
  readonly cost: DiffCost;
  readonly #readers: Readonly<Record<Side, TreeReader>>;
  readonly #options: DiffOptions;
  readonly #walk: TreeDifference;

  /** Use `diffStates`. */
  constructor(source: TreeReader, target: TreeReader, options: DiffOptions) {
    this.#readers = { source, target };
    this.#options = options;
    this.#walk = new TreeDifference(source.root, target.root, options.range);
    this.cost = {
      rounds: 0,
      nodes: { source: 0, target: 0 },
      bytes: { source: 0, target: 0 },
      keysPassed: 0,
      keysTotal: source.keys + target.keys,
    };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<DecidedDifference, void, void> {
    for (;;) {
      const wanted = this.#walk.begin();
      this.cost.keysPassed = this.#walk.keysPassed;
      const decided = this.#walk.take();
      for (let from = 0; from < decided.length; ) {
        const to = this.#endOfBatch(decided, from);
        yield* await this.#withValues(decided.slice(from, to));
        from = to;
      }
      if (wanted === null) return;
      await this.#inRound(wanted, (side, node, bytes) => {
        const broken = this.#walk.deliver(side, node, bytes);
        if (broken !== null) throw invalidTree(this.#readers[side], broken.hash, broken.reason);
      });
    }
  }

  /** Where a batch ends whose values may be held together. */
  #endOfBatch(decided: readonly DecidedDifference[], from: number): number {
    let bytes = 0;
    for (let at = from; at < decided.length; at++) {
      const { source, target } = this.#valuesOf(decided[at]!);
      bytes += (source?.length ?? 0) + (target?.length ?? 0);
      if (bytes > VALUES_BYTES_MAX && at > from) return at;
    }
    return decided.length;
  }

  /** The same differences, with the values that are wanted and stand elsewhere. */
  async #withValues(decided: readonly DecidedDifference[]): Promise<readonly DecidedDifference[]> {
    const wanted: Record<Side, WantedValue[]> = { source: [], target: [] };
    for (const found of decided) {
      const { source, target } = this.#valuesOf(found);
      if (source !== null) wanted.source.push(source);
      if (target !== null) wanted.target.push(target);
    }
    if (wanted.source.length + wanted.target.length === 0) return decided;
    const read = { source: new Map<Uint8Array, Uint8Array>(), target: new Map<Uint8Array, Uint8Array>() };
    await this.#inRound(wanted, (side, value, bytes) => {
      const found = bytes === null ? null : verifyValue(value, bytes);
      if (found?.kind !== 'value')
        throw invalidTree(this.#readers[side], value.hash, found?.reason ?? 'missing');
      read[side].set(value.hash, found.bytes);
    });
    const resolve = (side: Side, value: StoredValue): StoredValue => {
      const bytes = value.kind === 'node' ? read[side].get(value.hash) : undefined;
      return bytes === undefined ? value : { kind: 'inline', bytes };
    };
    return decided.map((found) => ({
      ...found,
      ...('source' in found ? { source: resolve('source', found.source) } : {}),
      ...('target' in found ? { target: resolve('target', found.target) } : {}),
    }));
  }

  /** The values of a difference that have to be read. */
  #valuesOf(found: DecidedDifference): Readonly<Record<Side, WantedValue | null>> {
    const { values = 'both' } = this.#options;
    const wantedOf = (side: Side, value: StoredValue | null): WantedValue | null => {
      if (value?.kind !== 'node' || (values !== side && values !== 'both')) return null;
      return { ...value, kind: 'value', key: found.key };
    };
    return {
      source: wantedOf('source', 'source' in found ? found.source : null),
      target: wantedOf('target', 'target' in found ? found.target : null),
    };
  }

  /** Asks both sides at the same time; what a side gave goes to `take`, in order, once both have answered. */
  async #inRound<Wanted extends WantedNode | WantedValue>(
    wanted: Readonly<Record<Side, readonly Wanted[]>>,
    take: (side: Side, wanted: Wanted, bytes: Uint8Array | null) => void,
  ): Promise<void> {
    const sides = ['source', 'target'] as const;
    const answers = await Promise.all(sides.map((side) => this.#readAll(side, wanted[side])));
    this.cost.rounds += Math.max(...answers.map(({ requests }) => requests));
    this.#options.onRound?.(this.cost);
    for (const [at, side] of sides.entries()) {
      for (const [item, bytes] of answers[at]!.bytes.entries()) {
        this.cost.nodes[side]++;
        this.cost.bytes[side] += bytes?.length ?? 0;
        take(side, wanted[side][item]!, bytes);
      }
    }
  }

  async #readAll(
    side: Side,
    wanted: readonly (WantedNode | WantedValue)[],
  ): Promise<{ readonly requests: number; readonly bytes: readonly (Uint8Array | null)[] }> {
    const bytes: (Uint8Array | null)[] = [];
    let requests = 0;
    while (bytes.length < wanted.length) {
      const part = await this.#readers[side].read(wanted.slice(bytes.length));
      assert(
        part.length > 0 && bytes.length + part.length <= wanted.length,
        'a reader answers what it is asked',
      );
      bytes.push(...part);
      requests++;
    }
    return { requests, bytes };
  }
}

function invalidTree({ name }: TreeReader, hash: Uint8Array, reason: string): TidemarkError {
  const hex = bufferOf(hash).toString('hex');
  return new TidemarkError(
    'TIDEMARK_TREE_INVALID',
    `${name} gives something else than its root promises: the node ${hex} is not right (${reason}). ` +
      'Nothing of it was used',
    { remedy: 'repair', facts: { from: name, hash: hex, reason } },
  );
}
