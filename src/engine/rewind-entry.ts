/**
 * Rewind: the entries that turn the state back into an earlier one (docs/format.md §4.2). They carry what has
 * to change, so that they can be replayed when the past they speak of is long compacted away; and the root
 * that must come out.
 *
 *     offset  0      4      8              16            24          28     32     64
 *             +------+------+--------------+-------------+-----------+------+------+----------
 *             | part | last | target index | target time | commands  | zero | root | changes …
 *             +------+------+--------------+-------------+-----------+------+------+----------
 *
 *     change  +-----------+-------------+-----+-------+
 *             | key bytes | value bytes | key | value |     value bytes NO_VALUE: the key goes
 *             +-----------+-------------+-----+-------+
 *
 * A change that is too large for one entry comes in parts, numbered from 1, in entries that follow each
 * other. They take effect with the last one, all at once. Any other entry in between, or a part 1, ends what
 * was begun: then the earlier parts are as if they had never been.
 */

import { assert } from '../base/assert.ts';
import { bufferOf, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { DIGEST_BYTES } from '../base/digest.ts';
import { type Index, toIndex } from '../base/positions.ts';

const ROOT_OFFSET = 32;
const HEADER_BYTES: number = ROOT_OFFSET + DIGEST_BYTES;
const CHANGE_HEADER_BYTES = 8;
const NO_VALUE = 0xffff_ffff;

/** A part is closed when it has reached this, or less; one change may make it larger by itself. */
export const PART_BYTES_MAX: number = 8 * 1024 * 1024;

/** All parts of one rewind: they are held in memory until the last one is there. */
export const REWIND_BYTES_MAX: number = 512 * 1024 * 1024;

const INITIAL_BYTES = 64 * 1024;

/** What every part of a rewind says. */
export interface RewindTarget {
  /** The entry whose state comes back, and its time. */
  readonly index: Index;
  readonly time: number;
  /** How many of its commands are in that state; 0 for all of them. */
  readonly commands: number;
  /** Of the state that results. */
  readonly root: Uint8Array;
}

/** What becomes of one key. */
export interface StateChange {
  readonly key: Uint8Array;
  /** Null when the key goes. */
  readonly value: Uint8Array | null;
}

export interface RewindPart {
  /** From 1. */
  readonly part: number;
  readonly isLast: boolean;
  readonly target: RewindTarget;
  /** Views into the body. */
  readonly changes: Iterable<StateChange>;
}

/** Bytes that a change takes in a part. */
export function changeBytes({ key, value }: StateChange): number {
  return CHANGE_HEADER_BYTES + key.length + (value?.length ?? 0);
}

/** Collects changes into the body of one part. Used again for the next. */
export class RewindPartBuilder {
  readonly #bytesMax: number;
  #bytes: Buffer = Buffer.alloc(INITIAL_BYTES);
  #size = HEADER_BYTES;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get isFull(): boolean {
    return this.#size >= this.#bytesMax;
  }

  add({ key, value }: StateChange): void {
    const end = this.#size + CHANGE_HEADER_BYTES + key.length + (value?.length ?? 0);
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.writeUInt32LE(key.length, this.#size);
    this.#bytes.writeUInt32LE(value?.length ?? NO_VALUE, this.#size + 4);
    this.#bytes.set(key, this.#size + CHANGE_HEADER_BYTES);
    if (value !== null) this.#bytes.set(value, end - value.length);
    this.#size = end;
  }

  /** The body, valid until the next `add`; begins a new part. */
  take(part: number, isLast: boolean, { index, time, commands, root }: RewindTarget): Uint8Array {
    const body = this.#bytes.subarray(0, this.#size);
    const view = viewOf(body);
    view.setUint32(0, part, true);
    view.setUint32(4, isLast ? 1 : 0, true);
    writeU64(view, 8, index);
    writeU64(view, 16, time);
    view.setUint32(24, commands, true);
    body.set(root, ROOT_OFFSET);
    this.#size = HEADER_BYTES;
    return body;
  }

  #grow(bytes: number): void {
    const grown = Buffer.alloc(Math.max(bytes, 2 * this.#bytes.length));
    this.#bytes.copy(grown, 0, 0, this.#size);
    this.#bytes = grown;
  }
}

/** The checksum of the record was checked, so a body that does not parse is a bug, not damage. */
export function decodeRewind(body: Uint8Array): RewindPart {
  assert(body.length >= HEADER_BYTES, `a rewind has at least ${HEADER_BYTES} bytes, got ${body.length}`);
  const view = viewOf(body);
  const [part, last] = [view.getUint32(0, true), view.getUint32(4, true)];
  const [index, time] = [readU64(view, 8), readU64(view, 16)];
  const isSane = part >= 1 && last <= 1 && index !== null && time !== null && view.getUint32(28, true) === 0;
  assert(isSane, `the fields of a rewind are in their ranges, in part ${part}`);
  const root = body.subarray(ROOT_OFFSET, HEADER_BYTES);
  const target = { index: toIndex(index), time, commands: view.getUint32(24, true), root };
  return { part, isLast: last === 1, target, changes: changesIn(body) };
}

function* changesIn(body: Uint8Array): Generator<StateChange, void> {
  const view = viewOf(body);
  let offset = HEADER_BYTES;
  while (offset < body.length) {
    assert(offset + CHANGE_HEADER_BYTES <= body.length, 'a change starts inside its part');
    const keyBytes = view.getUint32(offset, true);
    const valueBytes = view.getUint32(offset + 4, true);
    const keyEnd = offset + CHANGE_HEADER_BYTES + keyBytes;
    const end = valueBytes === NO_VALUE ? keyEnd : keyEnd + valueBytes;
    assert(end <= body.length, 'a change ends inside its part');
    const key = body.subarray(offset + CHANGE_HEADER_BYTES, keyEnd);
    yield { key, value: valueBytes === NO_VALUE ? null : body.subarray(keyEnd, end) };
    offset = end;
  }
}

/** `812`, or `812.3`: the point in history whose state comes back. */
export function describeTarget({ index, commands }: Pick<RewindTarget, 'index' | 'commands'>): string {
  return commands === 0 ? String(index) : `${index}.${commands}`;
}

/** As people read it (`inspect log`). */
export function describeRewind({ part, isLast, target }: RewindPart): string {
  const root = bufferOf(target.root).toString('hex');
  const name = `part ${part}${isLast ? ', the last,' : ''} of what takes the state back to`;
  return `${name} entry ${describeTarget(target)}, root ${root}`;
}
