/**
 * What waits for one connection to a peer: two lanes of frames, and how they become writes.
 *
 * Invariants:
 *  - Each lane is bounded by bytes and by frames. A frame longer than the lane is taken when nothing waits.
 *  - Every write carries all urgent frames that wait, before any bulk; and of bulk at most WRITE_BYTES,
 *    within the window of bytes that the peer has not confirmed. So an urgent frame waits behind the window
 *   at most.
 *  - Small frames are copied together, large ones are written from where they are: a copy costs less than one
 *    more piece of a write, up to COPY_BYTES_MAX.
 */

import { assert } from '../base/assert.ts';
import { Fifo } from '../base/fifo.ts';
import {
  FRAME_HEADER_BYTES,
  type FrameKind,
  PAYLOAD_BYTES_MAX,
  sealFrame,
  writeHeaderFor,
} from './peer-frame.ts';
import type { Lane } from './peer-network.ts';

/** Bulk bytes of one write. More would only wait in our own memory instead of the lane. */
const WRITE_BYTES = 256 * 1024;

const COPY_BYTES_MAX = 16 * 1024;

const SLAB_BYTES = 128 * 1024;

/** The limits of the lanes; see PeerOptions. */
export interface OutboxLimits {
  readonly framesMax: number;
  readonly bulkBytesMax: number;
  readonly urgentBytesMax: number;
  readonly windowBytes: number;
}

/** What is written at once. */
export interface Write {
  readonly pieces: readonly Uint8Array[];
  /** Frames whose last byte is in it, and the bytes of frames. */
  readonly framesEnded: number;
  readonly byteCount: number;
}

interface Waiting {
  readonly parts: readonly Uint8Array[];
  readonly byteCount: number;
}

export class Outbox {
  readonly #limits: OutboxLimits;
  readonly #urgent = new Fifo<Waiting>();
  readonly #bulk = new Fifo<Waiting>();
  #urgentBytes = 0;
  #bulkBytes = 0;
  /** How much of the first bulk frame has been taken: its part, and the bytes of that part. */
  #partAt = 0;
  #partOffset = 0;
  #takenOfFirst = 0;
  /** Bulk bytes written on this connection, and those of them that the peer has confirmed. */
  #written = 0;
  #confirmed = 0;
  #control: { readonly kind: FrameKind; readonly payload: Uint8Array }[] = [];
  readonly #composer = new Composer();

  constructor(limits: OutboxLimits) {
    this.#limits = limits;
  }

  /** Bytes of bulk that are taken now. */
  get room(): number {
    if (this.#bulk.length >= this.#limits.framesMax) return 0;
    return Math.max(0, this.#limits.bulkBytesMax - this.#bulkBytes);
  }

  /** Whether there is something that may be written now. */
  get isReady(): boolean {
    return this.#control.length > 0 || this.#urgent.length > 0 || this.#mayWriteBulk();
  }

  /** Frames not written to their end. */
  get frameCount(): number {
    return this.#urgent.length + this.#bulk.length;
  }

  /** False when the lane has no room. */
  push(parts: readonly Uint8Array[], byteCount: number, lane: Lane): boolean {
    const isUrgent = lane === 'urgent';
    const waiting = isUrgent ? this.#urgent : this.#bulk;
    const waitingBytes = isUrgent ? this.#urgentBytes : this.#bulkBytes;
    const bytesMax = isUrgent ? this.#limits.urgentBytesMax : this.#limits.bulkBytesMax;
    if (waiting.length >= this.#limits.framesMax) return false;
    if (waiting.length > 0 && waitingBytes + byteCount > bytesMax) return false;
    waiting.push({ parts, byteCount });
    if (isUrgent) this.#urgentBytes += byteCount;
    else this.#bulkBytes += byteCount;
    return true;
  }

  /** A frame of the connection's own, before all others. */
  pushControl(kind: FrameKind, payload: Uint8Array): void {
    this.#control.push({ kind, payload });
  }

  /** The peer has taken `total` bulk bytes so far. False when it claims more than it was sent. */
  confirm(total: number): boolean {
    if (total < this.#confirmed || total > this.#written) return false;
    this.#confirmed = total;
    return true;
  }

  /** The pieces of the next write; none when nothing may be written. */
  take(): Write {
    let framesEnded = 0;
    let byteCount = 0;
    for (const { kind, payload } of this.#control) this.#composer.add(kind, [payload], payload.length);
    this.#control = [];
    for (let frame = this.#urgent.shift(); frame !== undefined; frame = this.#urgent.shift()) {
      this.#urgentBytes -= frame.byteCount;
      this.#composer.add('urgent', frame.parts, frame.byteCount);
      byteCount += frame.byteCount;
      framesEnded++;
    }
    for (let left = WRITE_BYTES; left > 0 && this.#mayWriteBulk(); ) {
      const { length, isLast } = this.#takeBulk();
      left -= length + FRAME_HEADER_BYTES;
      byteCount += length;
      if (isLast) framesEnded++;
    }
    return { pieces: this.#composer.end(), framesEnded, byteCount };
  }

  /** The operating system has taken all of the last write: its memory may be used again. */
  reuse(): void {
    this.#composer.reuse();
  }

  #mayWriteBulk(): boolean {
    return this.#bulk.length > 0 && this.#written - this.#confirmed < this.#limits.windowBytes;
  }

  /** The next piece of the first bulk frame. */
  #takeBulk(): { length: number; isLast: boolean } {
    const frame = this.#bulk.first;
    assert(frame !== undefined, 'a bulk frame waits');
    const length = Math.min(PAYLOAD_BYTES_MAX, frame.byteCount - this.#takenOfFirst);
    this.#takenOfFirst += length;
    const isLast = this.#takenOfFirst === frame.byteCount;
    if (isLast && length === frame.byteCount) this.#composer.add('bulk', frame.parts, length);
    else this.#composer.addCut('bulk', this.#cut(frame.parts, length), isLast ? 'last' : 'more');
    this.#written += length;
    this.#bulkBytes -= length;
    if (isLast) {
      this.#bulk.shift();
      this.#takenOfFirst = 0;
      this.#partAt = 0;
      this.#partOffset = 0;
    }
    return { length, isLast };
  }

  /** The next `length` bytes of the first bulk frame, where they are. */
  #cut(parts: readonly Uint8Array[], length: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    for (let left = length; left > 0; ) {
      const part = parts[this.#partAt]!;
      const piece = part.subarray(this.#partOffset, this.#partOffset + left);
      if (piece.length > 0) pieces.push(piece);
      left -= piece.length;
      this.#partOffset += piece.length;
      if (this.#partOffset < part.length) continue;
      this.#partAt++;
      this.#partOffset = 0;
    }
    return pieces;
  }
}

/** Puts the pieces of one write together. */
class Composer {
  #pieces: Uint8Array[] = [];
  #slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
  /** What of the slab is in `#pieces`, and what is filled. */
  #from = 0;
  #to = 0;

  /** A whole frame. */
  add(kind: FrameKind, parts: readonly Uint8Array[], byteCount: number): void {
    if (byteCount > COPY_BYTES_MAX) {
      this.addCut(kind, parts, 'last');
      return;
    }
    this.#makeRoom(FRAME_HEADER_BYTES + byteCount);
    let at = this.#to + FRAME_HEADER_BYTES;
    for (const part of parts) {
      this.#slab.set(part, at);
      at += part.length;
    }
    sealFrame(this.#slab, this.#to, { kind, hasMore: false, length: byteCount });
    this.#to = at;
  }

  /** A frame whose payload stays where it is. */
  addCut(kind: FrameKind, pieces: readonly Uint8Array[], which: 'more' | 'last'): void {
    this.#makeRoom(FRAME_HEADER_BYTES);
    writeHeaderFor(this.#slab, this.#to, { kind, hasMore: which === 'more', pieces });
    this.#to += FRAME_HEADER_BYTES;
    this.#endSlabPiece();
    for (const piece of pieces) this.#pieces.push(piece);
  }

  /** The write is whole. What it holds of the slab stays as it is until `reuse`. */
  end(): readonly Uint8Array[] {
    this.#endSlabPiece();
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }

  reuse(): void {
    this.#from = 0;
    this.#to = 0;
  }

  #makeRoom(byteCount: number): void {
    if (this.#to + byteCount <= SLAB_BYTES) return;
    this.#endSlabPiece();
    this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES);
    this.reuse();
  }

  #endSlabPiece(): void {
    if (this.#to > this.#from) this.#pieces.push(this.#slab.subarray(this.#from, this.#to));
    this.#from = this.#to;
  }
}
