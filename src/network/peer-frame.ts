/**
 * How frames become bytes on a connection between replicas, and back (docs/network.md §2).
 *
 *     offset  0       4       8         9      10      11     12       16
 *             +-------+-------+---------+------+-------+------+--------+-----------------
 *             | magic | crc   | version | kind | flags | zero | length | payload (length)
 *             +-------+-------+---------+------+-------+------+--------+-----------------
 *
 * Integers are little-endian. The checksum covers bytes 8 to the end of the payload.
 *
 * Invariants:
 *  - A reader holds at most the payload that it allows now, and allocates it only when a header with a
 *    permitted length has come whole.
 *  - After an invalid frame nothing more is read: where the next one begins is unknown.
 */

import { assert } from '../base/assert.ts';
import { crc32c } from '../base/crc32c.ts';

export const FRAME_HEADER_BYTES = 16;

/** Longest payload of one frame on the wire; longer messages travel in several. */
export const PAYLOAD_BYTES_MAX = 64 * 1024;

/** `TMPF`, read as a little-endian u32. */
const MAGIC = 0x46504d54;
const VERSION = 1;
const CHECKED_FROM = 8;

/** More of the same message follows in the next frame of this kind. */
const FLAG_MORE = 1;

/** What a frame is, as on the wire. */
export const FRAME_KINDS = {
  hello: 1,
  welcome: 2,
  refusal: 3,
  ping: 4,
  pong: 5,
  taken: 6,
  urgent: 7,
  bulk: 8,
} as const;

export type FrameKind = keyof typeof FRAME_KINDS;

/** By the byte; the first is of no kind. */
const KIND_OF: readonly (FrameKind | undefined)[] = [undefined, ...(Object.keys(FRAME_KINDS) as FrameKind[])];

/** One frame, as read. */
export interface Frame {
  readonly kind: FrameKind;
  readonly hasMore: boolean;
  readonly payload: Uint8Array;
}

/** What is wrong with bytes that claim to be a frame. */
export type FrameFault = 'garbled' | 'oversized' | 'newer-protocol';

/** Completes the frame in `target` from `offset`: its payload of `length` bytes is there already. */
export function sealFrame(
  target: Uint8Array,
  offset: number,
  { kind, hasMore, length }: { kind: FrameKind; hasMore: boolean; length: number },
): void {
  writeHeader(target, offset, { kind, hasMore, length });
  const end = offset + FRAME_HEADER_BYTES + length;
  writeU32(target, offset + 4, crc32c(target.subarray(offset + CHECKED_FROM, end)));
}

/** Writes the header of a frame whose payload is elsewhere, in pieces. */
export function writeHeaderFor(
  target: Uint8Array,
  offset: number,
  { kind, hasMore, pieces }: { kind: FrameKind; hasMore: boolean; pieces: readonly Uint8Array[] },
): void {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  writeHeader(target, offset, { kind, hasMore, length });
  let crc = crc32c(target.subarray(offset + CHECKED_FROM, offset + FRAME_HEADER_BYTES));
  for (const piece of pieces) crc = crc32c(piece, crc);
  writeU32(target, offset + 4, crc);
}

/** A whole frame in memory of its own. */
export function encodeFrame(kind: FrameKind, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  bytes.set(payload, FRAME_HEADER_BYTES);
  sealFrame(bytes, 0, { kind, hasMore: false, length: payload.length });
  return bytes;
}

function writeHeader(
  target: Uint8Array,
  offset: number,
  { kind, hasMore, length }: { kind: FrameKind; hasMore: boolean; length: number },
): void {
  assert(length <= PAYLOAD_BYTES_MAX, `a frame holds at most ${PAYLOAD_BYTES_MAX} bytes, got ${length}`);
  writeU32(target, offset, MAGIC);
  target[offset + 8] = VERSION;
  target[offset + 9] = FRAME_KINDS[kind];
  target[offset + 10] = hasMore ? FLAG_MORE : 0;
  target[offset + 11] = 0;
  writeU32(target, offset + 12, length);
}

/** Byte by byte: a DataView for each frame would cost as much as its checksum. */
function writeU32(target: Uint8Array, offset: number, value: number): void {
  target[offset] = value;
  target[offset + 1] = value >>> 8;
  target[offset + 2] = value >>> 16;
  target[offset + 3] = value >>> 24;
}

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
}

/** Bytes of payload that a header announces; its checksum is still to come. */
type Header = number | FrameFault;

/** Frames out of the bytes of one connection, however they are cut. */
export class FrameReader {
  /** Longest payload that is permitted now: small until the other side is known. */
  payloadBytesMax: number;
  /** A frame that has come in part: header and payload, the first `#filled` bytes of it. */
  #partial: Uint8Array;
  #filled = 0;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);

  constructor(payloadBytesMax: number) {
    this.payloadBytesMax = payloadBytesMax;
    this.#partial = this.#header;
  }

  /**
   * Takes bytes, and hands over every frame that is whole with them, until `onFrame` says `stop`.
   * @returns What is wrong, or null. After a fault, or a `stop`, the reader takes no more.
   */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => 'more' | 'stop'): FrameFault | null {
    let at = 0;
    while (at < chunk.length) {
      if (this.#filled > 0 || chunk.length - at < FRAME_HEADER_BYTES) {
        const taken = this.#fill(chunk, at);
        if (typeof taken === 'string') return taken;
        at += taken;
        if (!this.#isWhole()) continue;
        const whole = this.#partial;
        this.#partial = this.#header;
        this.#filled = 0;
        const frame = frameIn(whole, 0, whole.length);
        if (typeof frame === 'string') return frame;
        if (onFrame(frame) === 'stop') return null;
        continue;
      }
      const header = this.#headerIn(chunk, at);
      if (typeof header === 'string') return header;
      const end = at + FRAME_HEADER_BYTES + header;
      if (end > chunk.length) {
        this.#begin(chunk, at, header);
        return null;
      }
      const frame = frameIn(chunk, at, end);
      if (typeof frame === 'string') return frame;
      if (onFrame(frame) === 'stop') return null;
      at = end;
    }
    return null;
  }

  /** Adds to the frame that has come in part; returns how many bytes it took. */
  #fill(chunk: Uint8Array, at: number): number | FrameFault {
    const wanted = this.#partial.length - this.#filled;
    const taken = Math.min(wanted, chunk.length - at);
    this.#partial.set(chunk.subarray(at, at + taken), this.#filled);
    this.#filled += taken;
    if (this.#partial !== this.#header || taken < wanted) return taken;
    const header = this.#headerIn(this.#header, 0);
    if (typeof header === 'string') return header;
    this.#begin(this.#header, 0, header);
    return taken;
  }

  #isWhole(): boolean {
    return this.#partial !== this.#header && this.#filled === this.#partial.length;
  }

  #begin(chunk: Uint8Array, at: number, length: number): void {
    this.#partial = Buffer.allocUnsafeSlow(FRAME_HEADER_BYTES + length); // Filled before it is read.
    const there = chunk.subarray(at, at + this.#partial.length);
    this.#partial.set(there);
    this.#filled = there.length;
  }

  #headerIn(bytes: Uint8Array, at: number): Header {
    if (readU32(bytes, at) !== MAGIC) return 'garbled';
    if (bytes[at + 8] !== VERSION) return 'newer-protocol';
    const length = readU32(bytes, at + 12);
    return length > this.payloadBytesMax ? 'oversized' : length;
  }
}

/** The frame at `at` to `end`, whose header was looked at. */
function frameIn(bytes: Uint8Array, at: number, end: number): Frame | FrameFault {
  if (crc32c(bytes.subarray(at + CHECKED_FROM, end)) !== readU32(bytes, at + 4)) return 'garbled';
  const kind = KIND_OF[bytes[at + 9]!];
  const flags = bytes[at + 10]!;
  if (kind === undefined || flags > FLAG_MORE || bytes[at + 11] !== 0) return 'garbled';
  const payload = bytes.subarray(at + FRAME_HEADER_BYTES, end);
  return { kind, hasMore: flags === FLAG_MORE, payload };
}
