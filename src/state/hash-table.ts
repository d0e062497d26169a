/**
 * The hash table of the live index, grown a shard at a time: extendible hashing.
 *
 * A directory of 2^depth entries maps the highest bits of a hash to a shard; several entries may name the
 * same one. A shard doubles in place up to SHARD_SLOTS_MAX slots; then it splits in two, and only when it
 * used up the bits of the directory does that double, which copies pointers. So no write moves more than
 * SHARD_SLOTS_MAX entries however large the table is, where a plain `Map` moves all of them.
 *
 * Source: Fagin et al., "Extendible hashing", TODS 4(3), 1979.
 */

import { assert } from '../base/assert.ts';
import { HashShard, LOAD_MAX } from './hash-shard.ts';

/** A split moves at most 0.7 of this many entries: 0.1 to 0.3 ms. */
export const SHARD_SLOTS_MAX = 16_384;

const SHARD_SLOTS_MIN = 16;

/**
 * Bound of the directory: 2^16 shards hold 750 million keys. Only a hash that does not spread gets here
 * earlier; then shards double in place again, without bound on the entries moved.
 */
const DEPTH_MAX = 16;

/** A shard halves when fewer than one slot in so many is used. */
const SHRINK_BELOW = 8;

/** Shards made in one step of `reserve`: 128 KiB each, half a millisecond. */
const SHARDS_PER_STEP = 8;

/** How many hashes there are. */
const HASHES = 2 ** 32;

/** What one entry of the directory takes. */
const POINTER_BYTES = 8;

export class HashTable {
  /** Entry `hash >>> (32 - depth)` is the shard of the hash; a shard of depth d has 2^(depth - d) entries. */
  #directory: HashShard[] = [new HashShard(SHARD_SLOTS_MIN, 0)];
  #depth = 0;
  #shardBytes = this.#directory[0]!.allocatedBytes;
  #slotsMoved = 0;

  get allocatedBytes(): number {
    return this.#shardBytes + this.#directory.length * POINTER_BYTES;
  }

  /** Entries moved by growing and shrinking, ever: what bounds a stall, counted instead of timed. */
  get slotsMoved(): number {
    return this.#slotsMoved;
  }

  /** Holds until the next insert or remove. */
  shardOf(hash: number): HashShard {
    // A shift by 32 shifts by 0 in JavaScript, hence in two steps.
    return this.#directory[(hash >>> 1) >>> (31 - this.#depth)]!;
  }

  insert(hash: number, record: number): void {
    let shard = this.shardOf(hash);
    while (shard.isFull) {
      this.#makeRoom(shard, hash);
      shard = this.shardOf(hash);
    }
    shard.insert(hash, record);
  }

  removeAt(shard: HashShard, slot: number): void {
    shard.removeAt(slot);
    if (shard.slotCount > SHARD_SLOTS_MIN && shard.count * SHRINK_BELOW < shard.slotCount) {
      this.#resize(shard, shard.slotCount / 2);
    }
  }

  /** Makes an empty table as large as it will be with so many entries. */
  *reserve(count: number): Generator<void, void> {
    const shardCount = count / (SHARD_SLOTS_MAX * LOAD_MAX);
    const depth = Math.min(Math.ceil(Math.log2(Math.max(1, shardCount))), DEPTH_MAX);
    if (depth === 0) return;
    const shards: HashShard[] = [];
    for (let left = 2 ** depth; left > 0; left--) {
      shards.push(new HashShard(SHARD_SLOTS_MAX, depth));
      if (left % SHARDS_PER_STEP === 0) yield;
    }
    assert(this.#shardBytes === this.#directory[0]!.allocatedBytes, 'room is made in an empty table');
    assert(this.#directory[0]!.count === 0, 'room is made in an empty table');
    this.#directory = shards;
    this.#depth = depth;
    this.#shardBytes = shards.length * shards[0]!.allocatedBytes;
  }

  *records(): Generator<number> {
    for (let at = 0; at < this.#directory.length; ) {
      const shard = this.#directory[at]!;
      yield* shard.records();
      at += 1 << (this.#depth - shard.depth);
    }
  }

  /**
   * Some `count` records with the lowest hashes, as unsigned integers, from `from` on, and the hash to go on
   * from; null at the end.
   */
  recordsFrom(from: number, count: number): { readonly records: number[]; readonly nextHash: number | null } {
    const records: number[] = [];
    let next: number = from;
    while (records.length < count && next < HASHES) {
      const shard = this.shardOf(next | 0);
      const shardHashes = HASHES / 2 ** shard.depth;
      const shardEnd = (Math.floor(next / shardHashes) + 1) * shardHashes;
      // Hashes are spread evenly: so wide a part of them has about as many records as are still wanted.
      const width = Math.ceil((shardHashes * (count - records.length)) / Math.max(shard.count, 1));
      const to = Math.min(next + width, shardEnd);
      shard.collect(next, to, records);
      next = to;
    }
    return { records, nextHash: next < HASHES ? next : null };
  }

  #makeRoom(shard: HashShard, hash: number): void {
    if (shard.slotCount < SHARD_SLOTS_MAX || shard.depth === DEPTH_MAX) {
      this.#resize(shard, shard.slotCount * 2);
    } else {
      this.#split(shard, hash);
    }
  }

  #resize(shard: HashShard, slotCount: number): void {
    this.#shardBytes -= shard.allocatedBytes;
    shard.resize(slotCount);
    this.#shardBytes += shard.allocatedBytes;
    this.#slotsMoved += shard.count;
  }

  #split(shard: HashShard, hash: number): void {
    if (shard.depth === this.#depth) {
      this.#directory = this.#directory.flatMap((entry) => [entry, entry]);
      this.#depth++;
    }
    const [zero, one] = shard.split();
    const entries = 1 << (this.#depth - shard.depth);
    const at = (hash >>> 1) >>> (31 - this.#depth);
    const first = at - (at % entries);
    this.#directory.fill(zero, first, first + entries / 2);
    this.#directory.fill(one, first + entries / 2, first + entries);
    this.#shardBytes += zero.allocatedBytes + one.allocatedBytes - shard.allocatedBytes;
    this.#slotsMoved += shard.count;
  }
}
