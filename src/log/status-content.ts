/**
 * What the status file holds, checked field by field, and how it may change.
 *
 * On disk it is canonical JSON: UTF-8, no white space, the fields in the order of {@link Status}, integers in
 * decimal. A text that is not exactly what `encodeStatus` makes of its own content is refused, so unknown,
 * missing, repeated and reordered fields are all found by one comparison. Format: docs/format.md §5.
 *
 * Pure: no I/O, no clock.
 */

import { assert } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import type { Index, Term, Timeline } from '../base/positions.ts';
import { isHex, isIntegerFrom, isMachine, isMembership, isObject, parseJson } from './json-fields.ts';

/** Bound of `Status.earlierVersions`: versions that one log needs to be replayed, besides the active one. */
export const EARLIER_VERSIONS_MAX = 8;

/** The hard state of a node: what must be known before the first byte of the log can be judged. */
export interface Status {
  /** 32 lower-case hexadecimal digits. Never changes. */
  readonly clusterId: string;
  /** From 1. Never changes. */
  readonly nodeId: number;
  /** From 1; raised when a node that lost its data joins again under its old id. Never goes back. */
  readonly incarnation: number;
  /** The machine that applies what comes; its version is the active one. */
  readonly machine: StatusMachine;
  /**
   * Versions that were active before, for entries from `firstIndex` on: 0 to {@link EARLIER_VERSIONS_MAX}, in
   * the order in which they were. Says which version applies the first entry of the log.
   */
  readonly earlierVersions: readonly EarlierVersion[];
  /** Never goes back. */
  readonly timeline: Timeline;
  /** Raft's term; 0 under other orderings. Never goes back. */
  readonly term: Term;
  /** PBFT's view; 0 under other orderings. Never goes back. */
  readonly view: number;
  /** Node that got this node's vote in `term`, or 0. Once given it changes only with the term. */
  readonly vote: number;
  /** Never goes back. */
  readonly commitIndex: Index;
  /** First valid index of the log, from 1. Never goes back. */
  readonly firstIndex: Index;
  /**
   * Sequence number of the newest segment that may hold acknowledged entries; 0 for none. Never goes back.
   */
  readonly segmentSequence: number;
  /** 1 to {@link MEMBERS_MAX} members, by ascending id. */
  readonly membership: readonly Member[];
  /** The state being installed from a peer, or null. While it is set, the state on disk is not whole. */
  readonly installing: InstallingState | null;
  /** How long the node served and how often it failed, for estimates. */
  readonly service: Service;
}

export interface StatusMachine {
  /** 1 to {@link MACHINE_NAME_MAX} characters. */
  readonly name: string;
  /** From 1. */
  readonly version: number;
}

export interface EarlierVersion {
  /** From 1; lower than that of the next one, and than the active one. */
  readonly version: number;
  /** Last entry that it applied; the one after it activated the next version. Grows. */
  readonly lastIndex: Index;
}

export interface Member {
  /** From 1. */
  readonly id: number;
  readonly role: 'voter' | 'learner';
}

/** What was seen of all runs of a node; what is long past has faded. */
export interface Service {
  /** Whether it runs, or ended without a clean stop: a start then counts a failure. */
  readonly isRunning: boolean;
  /** Thousandths of failures, from 0. */
  readonly failuresMilli: number;
  /** Milliseconds, from 0. */
  readonly servedMs: number;
}

/** Of a node that never ran. */
export const NO_SERVICE: Service = Object.freeze({ isRunning: false, failuresMilli: 0, servedMs: 0 });

export interface InstallingState {
  /** From 1. */
  readonly index: Index;
  /** 64 lower-case hexadecimal digits. */
  readonly root: string;
}

/** What may change in a running node. */
export type StatusUpdate = Partial<Omit<Status, 'clusterId' | 'nodeId'>>;

/** The fields that never go back. */
const MONOTONIC = [
  'incarnation',
  'timeline',
  'term',
  'view',
  'commitIndex',
  'firstIndex',
  'segmentSequence',
] as const;

export type DecodedStatus =
  | { readonly kind: 'status'; readonly status: Status }
  /** `fault` names the field that is wrong, or `text` when it is not canonical JSON. */
  | { readonly kind: 'invalid'; readonly fault: string };

export function encodeStatus(status: Status): Uint8Array {
  const fault = findStatusFault(status);
  assert(fault === null, `a status is valid before it is written, but its ${fault} is not`);
  return Buffer.from(JSON.stringify(copyStatus(status)), 'utf8');
}

/** Never throws on bad input: bytes from a disk are data. */
export function decodeStatus(bytes: Uint8Array): DecodedStatus {
  const value = parseJson(bufferOf(bytes).toString('utf8'));
  const fault = findStatusFault(value);
  if (fault !== null) return { kind: 'invalid', fault };

  const status = copyStatus(value as Status);
  const isCanonical = bufferOf(encodeStatus(status)).equals(bytes);
  return isCanonical ? { kind: 'status', status } : { kind: 'invalid', fault: 'text' };
}

/**
 * The status after a change, checked against the rules of each field: breaking one is a bug of the caller.
 * A vote belongs to its term: a higher term without a `vote` starts with none.
 */
export function updateStatus(before: Status, fields: StatusUpdate): Status {
  const isNewTerm = fields.term !== undefined && fields.term !== before.term;
  const after = copyStatus({ ...before, ...(isNewTerm ? { vote: 0 } : {}), ...fields });

  const fault = findStatusFault(after);
  assert(fault === null, `an update leaves a valid status, but its ${fault} is not`);
  assert(after.clusterId === before.clusterId, 'a cluster id never changes');
  assert(after.nodeId === before.nodeId, 'a node id never changes');
  for (const field of MONOTONIC) {
    assert(
      after[field] >= before[field],
      `${field} never goes back, from ${before[field]} to ${after[field]}`,
    );
  }
  assert(
    after.vote === before.vote || before.vote === 0 || after.term > before.term,
    `the vote for ${before.vote} in term ${before.term} cannot become one for ${after.vote}`,
  );
  return after;
}

/** The first field that is wrong, or null. */
function findStatusFault(value: unknown): string | null {
  if (!isObject(value)) return 'text';
  for (const [field, isValid] of Object.entries(FIELD_RULES)) if (!isValid(value[field])) return field;
  const { machine, earlierVersions } = value as unknown as Status;
  const newest = earlierVersions.at(-1);
  return newest === undefined || newest.version < machine.version ? null : 'earlierVersions';
}

const FIELD_RULES: Readonly<Record<keyof Status, (value: unknown) => boolean>> = {
  clusterId: isHex(32),
  nodeId: isIntegerFrom(1),
  incarnation: isIntegerFrom(1),
  machine: isMachine,
  earlierVersions: isListOfVersions,
  timeline: isIntegerFrom(1),
  term: isIntegerFrom(0),
  view: isIntegerFrom(0),
  vote: isIntegerFrom(0),
  commitIndex: isIntegerFrom(0),
  firstIndex: isIntegerFrom(1),
  segmentSequence: isIntegerFrom(0),
  membership: isMembership,
  installing: (value) => value === null || isInstalling(value),
  service: isService,
};

function isListOfVersions(value: unknown): boolean {
  if (!Array.isArray(value) || value.length > EARLIER_VERSIONS_MAX) return false;
  let previous = { version: 0, lastIndex: -1 };
  for (const item of value as unknown[]) {
    if (!isObject(item)) return false;
    const { version, lastIndex } = item;
    const isLater = isIntegerFrom(previous.version + 1)(version);
    if (!isLater || !isIntegerFrom(previous.lastIndex + 1)(lastIndex)) return false;
    previous = { version: version as number, lastIndex: lastIndex as number };
  }
  return true;
}

function isService(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { isRunning, failuresMilli, servedMs } = value;
  return typeof isRunning === 'boolean' && isIntegerFrom(0)(failuresMilli) && isIntegerFrom(0)(servedMs);
}

function isInstalling(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { index, root } = value;
  return isIntegerFrom(1)(index) && isHex(64)(root);
}

/** A frozen copy of exactly the known fields, in the order they are written. */
function copyStatus(status: Status): Status {
  const { machine, installing, service } = status;
  return Object.freeze({
    clusterId: status.clusterId,
    nodeId: status.nodeId,
    incarnation: status.incarnation,
    machine: Object.freeze({ name: machine.name, version: machine.version }),
    earlierVersions: Object.freeze(
      status.earlierVersions.map(({ version, lastIndex }) => Object.freeze({ version, lastIndex })),
    ),
    timeline: status.timeline,
    term: status.term,
    view: status.view,
    vote: status.vote,
    commitIndex: status.commitIndex,
    firstIndex: status.firstIndex,
    segmentSequence: status.segmentSequence,
    membership: Object.freeze(status.membership.map(({ id, role }) => Object.freeze({ id, role }))),
    installing: installing && Object.freeze({ index: installing.index, root: installing.root }),
    service: Object.freeze({
      isRunning: service.isRunning,
      failuresMilli: service.failuresMilli,
      servedMs: service.servedMs,
    }),
  });
}
