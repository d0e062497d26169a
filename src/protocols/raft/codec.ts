/**
 * Messages as bytes, version 1.
 *
 *     offset  0         1      2       4      8    12     16            24
 *             +---------+------+-------+------+----+------+-------------+------+--------------
 *             | version | kind | flags | from | to | zero | incarnation | term | fields of the kind
 *             +---------+------+-------+------+----+------+-------------+------+--------------
 *
 * Integers are little-endian; indices, terms, incarnations and rounds are u64, replicas u32. The fields of
 * each kind, and the bits of `flags`, are in docs/raft.md. The bodies of an append follow its fields, one
 * after the other: an encoder hands them on as they are, a decoder hands out views.
 *
 * Framing, checksums and who may speak at all are the transport's. What arrives whole and is still not a
 * message that a replica of this version sends decodes to `invalid`, never to an exception; nothing is
 * allocated on the word of a count.
 *
 * Pure: no I/O, no clock.
 */

import { assert } from '../../base/assert.ts';
import { bufferOf } from '../../base/bytes.ts';
import { type Index, type Term, toIndex, toTerm } from '../../base/positions.ts';
import { FieldReader, FieldWriter } from './byte-cursor.ts';
import { isSound, type Membership } from './membership.ts';
import type { Append, MembershipEntry, Message, OfferState, StatePoint, TermRun } from './messages.ts';

/** First byte of every message. */
export const MESSAGE_VERSION = 1;

/** What every message begins with, whatever its kind. */
export const MESSAGE_HEADER_BYTES = 32;

/** Numbers on the wire; never given to another kind. */
const KINDS = [
  'pre-vote',
  'pre-vote-reply',
  'vote',
  'vote-reply',
  'append',
  'append-reply',
  'append-reject',
  'heartbeat',
  'heartbeat-reply',
  'read-index',
  'read-index-reply',
  'timeout-now',
  'offer-state',
  'readmit',
  'contradict',
] as const satisfies readonly Message['kind'][];

/** `isGranted`, `isRecovering`, `cause: 'transfer'`, and an index that is there. */
const FLAG = 1;

const APPEND_FIELDS_BYTES = 40;
const RUN_BYTES = 16;
const ROOT_BYTES = 32;

/** What bytes turn out to be. */
export type DecodedMessage =
  /** `bodies` are views into the bytes, one for each entry of an append. */
  | { readonly kind: 'message'; readonly message: Message; readonly bodies: readonly Uint8Array[] }
  | {
      readonly kind: 'invalid';
      readonly reason: 'short' | 'long' | 'number' | 'version' | 'kind' | 'content';
    };

/** The bytes before the bodies, then the bodies themselves: `bodies` are not copied. */
export function encodeMessage(message: Message, bodies: readonly Uint8Array[]): Uint8Array[] {
  const sizes = message.kind === 'append' ? message.sizes : [];
  assert(
    bodies.length === sizes.length && bodies.every(({ length }, at) => length === sizes[at]),
    `an append of ${sizes.length} entries carries their bodies, got ${bodies.length}`,
  );
  const writer = new FieldWriter(MESSAGE_HEADER_BYTES + fieldsBytes(message));
  writer.u8(MESSAGE_VERSION);
  writer.u8(KINDS.indexOf(message.kind) + 1);
  writer.u16(isFlagged(message) ? FLAG : 0);
  writer.u32(message.from);
  writer.u32(message.to);
  writer.u32(0);
  writer.u64(message.incarnation);
  writer.u64(message.term);
  writeFields(writer, message);
  return [writer.bytes, ...bodies];
}

/** Never throws on bad input: bytes from a peer are data. */
export function decodeMessage(bytes: Uint8Array): DecodedMessage {
  const reader = new FieldReader(bytes);
  const version = reader.u8();
  const kind = KINDS[reader.u8() - 1];
  const flags = reader.u16();
  const from = reader.u32();
  const to = reader.u32();
  const zero = reader.u32();
  const incarnation = reader.u64();
  const term = toTerm(reader.u64());
  if (reader.fault !== null) return invalid(reader.fault);
  if (version !== MESSAGE_VERSION) return invalid('version');
  if (kind === undefined) return invalid('kind');
  if (flags > FLAG || zero !== 0 || from === 0 || to === 0 || incarnation === 0) return invalid('content');
  const head = { from, to, incarnation, term };
  const message = readFields(reader, { kind, head, isFlag: flags === FLAG });
  if (message === null || reader.fault !== null) return invalid(reader.fault ?? 'content');
  const bodies = message.kind === 'append' ? message.sizes.map((size) => reader.raw(size)) : [];
  if (reader.fault !== null) return invalid(reader.fault);
  if (reader.left > 0) return invalid('long');
  return isFlagged(message) === (flags === FLAG) ? { kind: 'message', message, bodies } : invalid('content');
}

/** A membership, as it stands in messages, and as a host may store it. */
export function encodeMembership(membership: Membership): Uint8Array {
  const writer = new FieldWriter(membershipBytes(membership));
  writeMembership(writer, membership);
  return writer.bytes;
}

/** Null for what is not exactly one membership. */
export function decodeMembership(bytes: Uint8Array): Membership | null {
  const reader = new FieldReader(bytes);
  const membership = readMembership(reader);
  return reader.fault === null && reader.left === 0 ? membership : null;
}

function invalid(reason: Extract<DecodedMessage, { kind: 'invalid' }>['reason']): DecodedMessage {
  return { kind: 'invalid', reason };
}

function isFlagged(message: Message): boolean {
  switch (message.kind) {
    case 'pre-vote-reply':
    case 'vote-reply':
      return message.isGranted;
    case 'vote':
      return message.cause === 'transfer';
    case 'append-reply':
    case 'append-reject':
    case 'heartbeat-reply':
      return message.isRecovering;
    case 'read-index-reply':
      return message.index !== null;
    default:
      return false;
  }
}

/** The u64 fields of each kind that has nothing else, in their order. */
function numbersOf(message: Message): readonly number[] {
  switch (message.kind) {
    case 'pre-vote':
    case 'vote':
      return [message.lastIndex, message.lastTerm];
    case 'append-reply':
      return [message.match, message.received];
    case 'append-reject':
      return [message.rejected, message.hintIndex, message.hintTerm, message.lastIndex];
    case 'heartbeat':
      return [message.committed, message.round];
    case 'heartbeat-reply':
      return [message.round, message.match, message.received];
    case 'read-index':
      return [message.ask];
    case 'read-index-reply':
      return [message.ask, message.forIncarnation, message.index ?? 0];
    case 'readmit':
      return [message.forIncarnation, message.index];
    case 'contradict':
      return [message.knownIncarnation, message.acknowledged];
    default:
      return [];
  }
}

function fieldsBytes(message: Message): number {
  if (message.kind === 'append') return appendBytes(message);
  if (message.kind === 'offer-state') return 24 + ROOT_BYTES + membershipBytes(message.membership.membership);
  return numbersOf(message).length * 8;
}

function appendBytes({ runs, sizes, memberships }: Append): number {
  let bytes = APPEND_FIELDS_BYTES + runs.length * RUN_BYTES + sizes.length * 4;
  for (const { membership } of memberships) bytes += 8 + membershipBytes(membership);
  return bytes;
}

function membershipBytes({ voters, outgoing, learners, promoting }: Membership): number {
  return 8 + (voters.length + outgoing.length + learners.length + promoting.length) * 4;
}

function writeFields(writer: FieldWriter, message: Message): void {
  if (message.kind === 'append') writeAppend(writer, message);
  else if (message.kind === 'offer-state') writeOffer(writer, message);
  else for (const value of numbersOf(message)) writer.u64(value);
}

function writeAppend(writer: FieldWriter, message: Append): void {
  const { runs, sizes, memberships } = message;
  writer.u64(message.previousIndex);
  writer.u64(message.previousTerm);
  writer.u64(message.committed);
  writer.u32(runs.length);
  writer.u32(sizes.length);
  writer.u32(memberships.length);
  writer.u32(0);
  for (const { first, term } of runs) {
    writer.u64(first);
    writer.u64(term);
  }
  for (const size of sizes) writer.u32(size);
  for (const { index, membership } of memberships) {
    writer.u64(index);
    writeMembership(writer, membership);
  }
}

function writeOffer(writer: FieldWriter, { state, membership }: OfferState): void {
  writer.u64(state.index);
  writer.u64(state.term);
  writer.raw(Buffer.from(state.root, 'hex'));
  writer.u64(membership.index);
  writeMembership(writer, membership.membership);
}

function writeMembership(writer: FieldWriter, { voters, outgoing, learners, promoting }: Membership): void {
  const lists = [voters, outgoing, learners, promoting];
  for (const list of lists) writer.u16(list.length);
  for (const list of lists) for (const id of list) writer.u32(id);
}

interface Head {
  readonly from: number;
  readonly to: number;
  readonly incarnation: number;
  readonly term: Term;
}

/** Null for what no replica sends. */
function readFields(
  reader: FieldReader,
  { kind, head, isFlag }: { readonly kind: Message['kind']; readonly head: Head; readonly isFlag: boolean },
): Message | null {
  const index = (): Index => toIndex(reader.u64());
  switch (kind) {
    case 'pre-vote':
      return { ...head, kind, lastIndex: index(), lastTerm: toTerm(reader.u64()) };
    case 'pre-vote-reply':
    case 'vote-reply':
      return { ...head, kind, isGranted: isFlag };
    case 'vote': {
      const cause = isFlag ? 'transfer' : 'timeout';
      return { ...head, kind, cause, lastIndex: index(), lastTerm: toTerm(reader.u64()) };
    }
    case 'append':
      return readAppend(reader, head);
    case 'append-reply':
      return { ...head, kind, isRecovering: isFlag, match: index(), received: index() };
    case 'append-reject': {
      const rejected = index();
      const hint = { hintIndex: index(), hintTerm: toTerm(reader.u64()) };
      return { ...head, kind, isRecovering: isFlag, rejected, ...hint, lastIndex: index() };
    }
    case 'heartbeat':
      return { ...head, kind, committed: index(), round: reader.u64() };
    case 'heartbeat-reply':
      return { ...head, kind, isRecovering: isFlag, round: reader.u64(), match: index(), received: index() };
    case 'read-index':
      return { ...head, kind, ask: reader.u64() };
    case 'read-index-reply': {
      const asked = { ask: reader.u64(), forIncarnation: reader.u64() };
      const found = index();
      return isFlag || found === 0 ? { ...head, kind, ...asked, index: isFlag ? found : null } : null;
    }
    case 'timeout-now':
      return { ...head, kind };
    case 'offer-state':
      return readOffer(reader, head);
    case 'readmit':
      return { ...head, kind, forIncarnation: reader.u64(), index: index() };
    case 'contradict':
      return { ...head, kind, knownIncarnation: reader.u64(), acknowledged: index() };
    default:
      return null;
  }
}

function readAppend(reader: FieldReader, head: Head): Append | null {
  const previousIndex = toIndex(reader.u64());
  const previousTerm = toTerm(reader.u64());
  const committed = toIndex(reader.u64());
  const [runCount, count, membershipCount, zero] = [reader.u32(), reader.u32(), reader.u32(), reader.u32()];
  // What cannot fit in the bytes that are left is not read.
  if (zero !== 0 || runCount * RUN_BYTES + count * 4 + membershipCount * 16 > reader.left) return null;
  const last = previousIndex + count;
  if (!Number.isSafeInteger(last)) return null;
  const runs: TermRun[] = [];
  for (let at = 0; at < runCount; at++) {
    runs.push({ first: toIndex(reader.u64()), term: toTerm(reader.u64()) });
  }
  const sizes: number[] = [];
  for (let at = 0; at < count; at++) sizes.push(reader.u32());
  const memberships: MembershipEntry[] = [];
  for (let at = 0; at < membershipCount; at++) {
    const index = toIndex(reader.u64());
    const membership = readMembership(reader);
    if (membership === null || index <= (memberships.at(-1)?.index ?? previousIndex) || index > last)
      return null;
    memberships.push({ index, membership });
  }
  const message = { ...head, kind: 'append', previousIndex, previousTerm, committed } as const;
  return areRuns(runs, message, last) ? { ...message, runs, sizes, memberships } : null;
}

/** Whether the runs cover the entries, with terms that a log can have. */
function areRuns(
  runs: readonly TermRun[],
  { previousIndex, previousTerm, term: messageTerm }: Pick<Append, 'previousIndex' | 'previousTerm' | 'term'>,
  last: number,
): boolean {
  if (previousTerm > messageTerm || last > previousIndex !== runs.length > 0) return false;
  return runs.every(({ first, term }, at) => {
    const before = runs[at - 1];
    const isPlaced = before === undefined ? first === previousIndex + 1 : first > before.first;
    const isLater = before === undefined ? term >= previousTerm : term > before.term;
    return isPlaced && isLater && first <= last && term <= messageTerm;
  });
}

function readOffer(reader: FieldReader, head: Head): OfferState | null {
  const index = toIndex(reader.u64());
  const term = toTerm(reader.u64());
  const root = bufferOf(reader.raw(ROOT_BYTES)).toString('hex');
  const membershipIndex = toIndex(reader.u64());
  const membership = readMembership(reader);
  if (membership === null || membershipIndex > index || term > head.term) return null;
  const state: StatePoint = { index, term, root };
  return { ...head, kind: 'offer-state', state, membership: { index: membershipIndex, membership } };
}

function readMembership(reader: FieldReader): Membership | null {
  const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()];
  const sum = counts[0]! + counts[1]! + counts[2]! + counts[3]!;
  if (sum * 4 > reader.left) return null;
  const [voters, outgoing, learners, promoting] = counts.map((count) =>
    Array.from({ length: count }, () => reader.u32()),
  );
  const membership = { voters: voters!, outgoing: outgoing!, learners: learners!, promoting: promoting! };
  return isSound(membership) ? membership : null;
}
