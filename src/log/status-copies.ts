/**
 * The copies of the status file: how one becomes bytes, and what four of them together say.
 *
 *     file    0        4096     8192     12288    16384
 *             +--------+--------+--------+--------+
 *             | copy 0 | copy 1 | copy 2 | copy 3 |
 *             +--------+--------+--------+--------+
 *
 *     slot    0        8         10     12       16         24       56        n         4064     4096
 *             +--------+---------+------+--------+----------+--------+---------+---------+--------+
 *             | magic  | version | copy | length | sequence | parent | payload | padding | digest |
 *             | 8 text | u16     | u16  | u32    | u64      | 32     | length  | zeros   | 32     |
 *             +--------+---------+------+--------+----------+--------+---------+---------+--------+
 *                                       |<------ content digest ------------>|
 *             |<------------------------------- digest -------------------------------->|
 *
 * Integers are little-endian. Both digests are SHA-256. `parent` is the content digest of the sequence
 * before, zeros for sequence 1. Magic, version and digest keep their places in every later version.
 *
 * ## What a crash can leave
 *
 * Write O for the content that all four copies held, N for the one that a persist was writing, X for a slot
 * that fails its checks. Copies are written 0 to 3, each durable before the next is touched, so a crash
 * leaves
 *
 *     [O|X|N] O O O      N [O|X|N] O O      N N [O|X|N] O      N N N [O|X|N]
 *
 * and N is acknowledged only when all four hold it. On top of that, one copy may be damaged (X) or stale (S:
 * an older content of any age, because the device lost a write). Every such state has at least two valid
 * copies, and their highest sequence is right:
 *
 *  - N acknowledged: three copies at least hold N.
 *  - N in some copy, not acknowledged: both answers are legal. N wins by its sequence, and is believed when a
 *    second copy holds it or when its parent is the O of another copy. Only one of the two or three O's can
 *    be the damaged or stale copy.
 *  - N in no copy: at least two of three O's are left, and at most one is S.
 *
 * So a start needs two valid copies, the newest connected, and at most one S. Two different contents of one
 * sequence (fork), two S (gap or unconnected), or a newest copy that nothing connects to cannot be explained
 * by one crash and one fault: then the file is damaged, and nothing is written.
 *
 * ## What a crash in the middle of a repair can leave
 *
 * A start rewrites all four copies with the newest before it answers: first X, then misdirected ones, then S,
 * then O, and last those that hold the newest already (the system may show from its cache what a failed sync
 * never wrote). While an X is left only an X is touched, so the valid copies only become more; after that at
 * most one valid copy is torn at a time, and three were valid. Hence every state in the middle of a repair,
 * however often it is cut short, obeys the rule above with the same newest content: repairing is idempotent.
 * Nobody has seen N before all four copies hold it, so losing the only N to a later fault, and starting from
 * O, is legal as well.
 *
 * A write that lands in another copy's slot spoils two: that slot, and the one it was meant for, which is
 * then stale. A copy in the wrong slot is not one of the two valid ones, but it is a witness: it can be the
 * newest, so that a start never falls behind it, and it can be the parent that connects the newest. With
 * that, one misdirected write of a persist is survived together with any crash. One of a repair, cut short a
 * second time, may leave a single valid copy: that stops.
 *
 * test/status-copies.test.ts walks every one of these states. Pure: no I/O, no clock.
 * Source: the copies, parents and repair of TigerBeetle's superblock (superblock_quorums.zig).
 */

import { assert } from '../base/assert.ts';
import { bufferOf, isZero, readU64, viewOf, writeU64 } from '../base/bytes.ts';
import { DIGEST_BYTES, sha256 } from '../base/digest.ts';
import { decodeStatus, encodeStatus, type Status } from './status-content.ts';

export const STATUS_COPIES = 4;
export const STATUS_SLOT_BYTES = 4096;
export const STATUS_FILE_BYTES = STATUS_COPIES * STATUS_SLOT_BYTES;
export const STATUS_FORMAT_VERSION = 1;

const MAGIC = Buffer.from('TMSTATUS', 'latin1');
const VERSION_OFFSET = 8;
const COPY_OFFSET = 10;
const LENGTH_OFFSET = 12;
const SEQUENCE_OFFSET = 16;
const PARENT_OFFSET = 24;
const PAYLOAD_OFFSET = 56;
const DIGEST_OFFSET = STATUS_SLOT_BYTES - DIGEST_BYTES;
const PAYLOAD_BYTES_MAX = DIGEST_OFFSET - PAYLOAD_OFFSET;

/** Parent of sequence 1. */
const NO_PARENT = '00'.repeat(DIGEST_BYTES);

/** A status with its place in the chain of all that were written. Digests are lower-case hexadecimal. */
export interface NumberedStatus {
  /** From 1, one more with every persist. */
  readonly sequence: number;
  /** Content digest of the sequence before. */
  readonly parent: string;
  /** Content digest: equal in all copies of one sequence. */
  readonly digest: string;
  readonly status: Status;
}

/** Why the bytes in a slot are no copy. */
export type CopyFault =
  /** Zeros, or past the end of the file. */
  | 'absent'
  /** The file ends inside the slot. */
  | 'short'
  /** The system reported an error on reading it. */
  | 'unreadable'
  | 'magic'
  | 'digest'
  | 'version'
  /** The digest holds, yet a field is out of range: a program wrote it that should not have. */
  | 'header'
  | 'padding'
  | 'content';

export type DecodedCopy =
  | { readonly kind: 'valid'; readonly content: NumberedStatus }
  /** Whole and genuine, but meant for another slot. */
  | { readonly kind: 'misdirected'; readonly meantFor: number; readonly content: NumberedStatus }
  /** Whole and genuine, but of a later format. */
  | { readonly kind: 'newer'; readonly version: number }
  | { readonly kind: 'invalid'; readonly fault: CopyFault };

/** Why a copy was rewritten. `behind`: the content before the newest, as an interrupted persist leaves it. */
export type RepairReason = CopyFault | 'misdirected' | 'stale' | 'behind';

export interface CopyRepair {
  readonly copy: number;
  readonly reason: RepairReason;
}

export type DamageReason =
  /** Not one copy is valid. */
  | 'lost'
  /** One copy is valid: it may be the stale one. */
  | 'too-few'
  /** Two contents have one sequence. */
  | 'fork'
  /** More copies are behind than one fault explains, or one copy knows of a content that is nowhere. */
  | 'gap'
  /** A parent is not the content that came before. */
  | 'unconnected';

export type CopiesDecision =
  | {
      readonly kind: 'start';
      readonly newest: NumberedStatus;
      /** What was wrong with the copies that do not hold the newest, in the order of rewriting. */
      readonly repairs: readonly CopyRepair[];
      /** All copies, in the only order that is safe to rewrite them. */
      readonly rewriteOrder: readonly number[];
    }
  | { readonly kind: 'newer'; readonly copy: number; readonly version: number }
  | { readonly kind: 'damaged'; readonly reason: DamageReason };

/** Numbers the content that follows `previous`; null for the first of all. */
export function numberStatus(previous: NumberedStatus | null, status: Status): NumberedStatus {
  const sequence = previous === null ? 1 : previous.sequence + 1;
  const parent = previous === null ? NO_PARENT : previous.digest;
  const slot = encodeUnnumberedSlot(sequence, parent, status);
  return { sequence, parent, digest: contentDigestOf(slot), status };
}

/** The bytes of one slot. */
export function encodeCopy(content: NumberedStatus, copy: number): Uint8Array {
  assert(copy >= 0 && copy < STATUS_COPIES, `copies are 0 to ${STATUS_COPIES - 1}, got ${copy}`);
  const slot = encodeUnnumberedSlot(content.sequence, content.parent, content.status);
  assert(contentDigestOf(slot) === content.digest, 'what is written is what was numbered');

  viewOf(slot).setUint16(COPY_OFFSET, copy, true);
  slot.set(sha256(slot.subarray(0, DIGEST_OFFSET)), DIGEST_OFFSET);
  return slot;
}

/**
 * Decodes what slot number `copy` holds. Never throws on bad input: bytes from a disk are data.
 * @param slot The slot; shorter than STATUS_SLOT_BYTES where the file ends in it.
 */
export function decodeCopy(slot: Uint8Array, copy: number): DecodedCopy {
  assert(slot.length <= STATUS_SLOT_BYTES, `a slot has ${STATUS_SLOT_BYTES} bytes, got ${slot.length}`);
  if (isZero(slot)) return invalid('absent');
  if (slot.length < STATUS_SLOT_BYTES) return invalid('short');
  if (!MAGIC.equals(slot.subarray(0, MAGIC.length))) return invalid('magic');

  const digest = bufferOf(slot).subarray(DIGEST_OFFSET);
  if (!digest.equals(sha256(slot.subarray(0, DIGEST_OFFSET)))) return invalid('digest');

  const version = viewOf(slot).getUint16(VERSION_OFFSET, true);
  if (version > STATUS_FORMAT_VERSION) return { kind: 'newer', version };
  if (version < STATUS_FORMAT_VERSION) return invalid('version');
  return decodeFields(slot, copy);
}

/** What the four copies together say; see the head of this file. */
export function decideCopies(copies: readonly DecodedCopy[]): CopiesDecision {
  assert(copies.length === STATUS_COPIES, `there are ${STATUS_COPIES} copies, got ${copies.length}`);
  for (const [copy, decoded] of copies.entries()) {
    if (decoded.kind === 'newer') return { kind: 'newer', copy, version: decoded.version };
  }

  const valid = copies.flatMap((copy) => (copy.kind === 'valid' ? [copy.content] : []));
  if (valid.length === 0) return damaged('lost');
  if (valid.length === 1) return damaged('too-few');

  const misplaced = copies.flatMap((copy) => (copy.kind === 'misdirected' ? [copy.content] : []));
  const witnesses = [...valid, ...misplaced];
  const newest = witnesses.reduce((best, content) => (content.sequence > best.sequence ? content : best));
  const contradiction = findContradiction(newest, valid, witnesses);
  if (contradiction !== null) return damaged(contradiction);

  const repairs = copies
    .flatMap((copy, at) => {
      const reason = repairReasonOf(copy, newest);
      return reason === null ? [] : [{ copy: at, reason }];
    })
    .sort((left, right) => repairRank(left.reason) - repairRank(right.reason) || left.copy - right.copy);
  const sound = copies.flatMap((copy, at) => (repairReasonOf(copy, newest) === null ? [at] : []));
  return { kind: 'start', newest, repairs, rewriteOrder: [...repairs.map(({ copy }) => copy), ...sound] };
}

/** A table for the operator: one line a copy, with its sequence, the start of its digest, and the verdict. */
export function describeCopies(copies: readonly DecodedCopy[]): string {
  const rows = copies.map((copy, at) => {
    const content = copy.kind === 'valid' || copy.kind === 'misdirected' ? copy.content : null;
    return [
      String(at),
      content === null ? '-' : String(content.sequence),
      content === null ? '-' : content.digest.slice(0, 16),
      content === null ? '-' : content.parent.slice(0, 16),
      verdictOf(copy),
    ];
  });
  const widths = [4, 16, 16, 16, 0];
  return [['copy', 'sequence', 'digest', 'parent', 'verdict'], ...rows]
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .join('\n');
}

/** Everything but the copy number and the digest over the slot. */
function encodeUnnumberedSlot(sequence: number, parent: string, status: Status): Uint8Array {
  const payload = encodeStatus(status);
  assert(payload.length <= PAYLOAD_BYTES_MAX, `a status has at most ${PAYLOAD_BYTES_MAX} bytes`);
  assert(sequence >= 1, `a sequence starts at 1, got ${sequence}`);

  const slot = new Uint8Array(STATUS_SLOT_BYTES);
  const view = viewOf(slot);
  slot.set(MAGIC);
  view.setUint16(VERSION_OFFSET, STATUS_FORMAT_VERSION, true);
  view.setUint32(LENGTH_OFFSET, payload.length, true);
  writeU64(view, SEQUENCE_OFFSET, sequence);
  slot.set(Buffer.from(parent, 'hex'), PARENT_OFFSET);
  slot.set(payload, PAYLOAD_OFFSET);
  return slot;
}

/** Digest over length, sequence, parent and payload: what the copies of one sequence share. */
function contentDigestOf(slot: Uint8Array): string {
  const length = viewOf(slot).getUint32(LENGTH_OFFSET, true);
  return toHex(sha256(slot.subarray(LENGTH_OFFSET, PAYLOAD_OFFSET + length)));
}

/**
 * Second half of `decodeCopy`: the slot is genuine and of this version, so a wrong field is a writer's bug.
 */
function decodeFields(slot: Uint8Array, copy: number): DecodedCopy {
  const view = viewOf(slot);
  const meantFor = view.getUint16(COPY_OFFSET, true);
  const length = view.getUint32(LENGTH_OFFSET, true);
  const sequence = readU64(view, SEQUENCE_OFFSET);
  const parent = toHex(slot.subarray(PARENT_OFFSET, PAYLOAD_OFFSET));
  if (meantFor >= STATUS_COPIES || length > PAYLOAD_BYTES_MAX) return invalid('header');
  if (sequence === null || sequence === 0) return invalid('header');
  if ((sequence === 1) !== (parent === NO_PARENT)) return invalid('header');

  const payloadEnd = PAYLOAD_OFFSET + length;
  if (!isZero(slot.subarray(payloadEnd, DIGEST_OFFSET))) return invalid('padding');
  const decoded = decodeStatus(slot.subarray(PAYLOAD_OFFSET, payloadEnd));
  if (decoded.kind === 'invalid') return invalid('content');

  const content = { sequence, parent, digest: contentDigestOf(slot), status: decoded.status };
  return meantFor === copy ? { kind: 'valid', content } : { kind: 'misdirected', meantFor, content };
}

/** Why a start from `newest` is not proven right, or null. */
function findContradiction(
  newest: NumberedStatus,
  valid: readonly NumberedStatus[],
  witnesses: readonly NumberedStatus[],
): DamageReason | null {
  const digests = new Map<number, string>();
  for (const { sequence, digest } of witnesses) {
    if ((digests.get(sequence) ?? digest) !== digest) return 'fork';
    digests.set(sequence, digest);
  }

  // No fork, so all witnesses of the sequence before agree, and so do their verdicts.
  const before = digests.get(newest.sequence - 1);
  const reason = before === undefined || before === newest.parent ? 'gap' : 'unconnected';
  const stale = valid.filter(({ digest }) => digest !== newest.digest && digest !== newest.parent);
  if (stale.length > 1) return reason;

  const isSeenTwice = witnesses.filter(({ digest }) => digest === newest.digest).length > 1;
  return isSeenTwice || before === newest.parent ? null : reason;
}

/** What is wrong with a copy, or null when it holds the newest. */
function repairReasonOf(copy: DecodedCopy, newest: NumberedStatus): RepairReason | null {
  if (copy.kind === 'invalid') return copy.fault;
  if (copy.kind === 'misdirected') return 'misdirected';
  assert(copy.kind === 'valid', 'a newer format is refused before any repair');
  if (copy.content.digest === newest.digest) return null;
  return copy.content.digest === newest.parent ? 'behind' : 'stale';
}

/** Order of rewriting: what helps least goes first. Any other order lets a second crash destroy too much. */
function repairRank(reason: RepairReason): number {
  if (reason === 'behind') return 3;
  if (reason === 'stale') return 2;
  return reason === 'misdirected' ? 1 : 0;
}

function verdictOf(copy: DecodedCopy): string {
  if (copy.kind === 'invalid') return `invalid: ${copy.fault}`;
  if (copy.kind === 'newer') return `format version ${copy.version}`;
  return copy.kind === 'misdirected' ? `misdirected: is copy ${copy.meantFor}` : 'valid';
}

function invalid(fault: CopyFault): DecodedCopy {
  return { kind: 'invalid', fault };
}

function damaged(reason: DamageReason): CopiesDecision {
  return { kind: 'damaged', reason };
}

function toHex(bytes: Uint8Array): string {
  return bufferOf(bytes).toString('hex');
}
