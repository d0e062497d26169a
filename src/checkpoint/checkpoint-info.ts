/**
 * What an index file says of its checkpoint, checked field by field (docs/format.md §7.3).
 *
 * On disk it is canonical JSON: UTF-8, no white space, the fields in the order of {@link CheckpointInfo}. A
 * text that is not exactly what `encodeInfo` makes of its own content is refused.
 *
 * It names every file that the checkpoint needs, also those of earlier ones: removing an older index file
 * never makes a newer checkpoint unreadable.
 *
 * Pure: no I/O, no clock.
 */

import { assert } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import { EMPTY_ROOT, LEVEL_MAX } from '../base/merkle/node.ts';
import type { Index, Term, Timeline } from '../base/positions.ts';
import { isHex, isIntegerFrom, isMachine, isMembership, isObject, parseJson } from '../log/json-fields.ts';
import type { Member } from '../log/status-content.ts';
import { PLACE_ALIGN_BYTES, type Place } from '../state/stored.ts';
import { isDataName } from './checkpoint-name.ts';
import { DATA_HEADER_BYTES, FILE_NUMBER_MAX } from './data-header.ts';

/** Files that one checkpoint may need: each is open while the state is loaded. */
export const FILES_MAX = 64;

/** Bytes that one checksum of a file covers; the last covers less. */
export const CHUNK_BYTES = 1024 * 1024;

/** Largest data file: places have 31 bits for an offset / 16. */
export const FILE_BYTES_MAX: number = 2 ** 31 * PLACE_ALIGN_BYTES;

const EMPTY_ROOT_HEX: string = Buffer.from(EMPTY_ROOT).toString('hex');

export interface CheckpointInfo {
  /** 32 lower-case hexadecimal digits. */
  readonly clusterId: string;
  readonly nodeId: number;
  readonly timeline: Timeline;
  /** The last entry that is in the state; recovery goes on after it. */
  readonly index: Index;
  /** Term and view of that entry; 0 under orderings that have none. */
  readonly term: Term;
  readonly view: number;
  /** Time of that entry, and of the taking, in milliseconds. */
  readonly time: number;
  readonly takenAt: number;
  readonly machine: { readonly name: string; readonly version: number };
  /** By ascending id. */
  readonly members: readonly Member[];
  /** Index of the last change of membership; 0 for none. */
  readonly membersIndex: Index;
  /** 64 lower-case hexadecimal digits. */
  readonly root: string;
  /** Of the root; null of the empty tree. */
  readonly rootPlace: Place | null;
  /** Level of the root. */
  readonly level: number;
  readonly keys: number;
  /** Bytes of all keys and values. */
  readonly stateBytes: number;
  readonly kind: 'full' | 'incremental';
  /** Every file that is needed, oldest first. Older ones never refer to newer ones. */
  readonly files: readonly DataFileInfo[];
  /** The full checkpoint that the files begin with: bytes of its file, and `stateBytes` then. */
  readonly full: { readonly bytes: number; readonly stateBytes: number };
  readonly cost: CheckpointCost;
  /** Signatures of the replicas that hold the same root. None yet. */
  readonly certificate: null;
}

/** One file of nodes. */
export interface DataFileInfo {
  readonly number: number;
  /** As in its header. */
  readonly id: string;
  /** As it was called when the checkpoint was taken: a hint. */
  readonly name: string;
  readonly bytes: number;
  /** Where the inner nodes begin; leaves and values are before. */
  readonly innerOffset: number;
  /** CRC32C of each CHUNK_BYTES, 8 hexadecimal digits each. */
  readonly chunks: string;
}

/** What taking it cost. */
export interface CheckpointCost {
  /** Nodes and large values written. */
  readonly nodes: number;
  /** Bytes of the file that was written; 0 when nothing had changed. */
  readonly bytes: number;
  readonly durationMs: number;
  /** Times that the event loop was held, and the longest of them. */
  readonly slices: number;
  readonly longestPauseMs: number;
}

export type DecodedInfo =
  | { readonly kind: 'info'; readonly info: CheckpointInfo }
  /** `fault` names the field that is wrong, or `text` when it is not canonical JSON. */
  | { readonly kind: 'invalid'; readonly fault: string };

export function encodeInfo(info: CheckpointInfo): Uint8Array {
  const fault = findInfoFault(info);
  assert(fault === null, `a checkpoint is valid before it is written, but its ${fault} is not`);
  return Buffer.from(JSON.stringify(copyInfo(info)), 'utf8');
}

/** Never throws on bad input: bytes from a disk are data. */
export function decodeInfo(bytes: Uint8Array): DecodedInfo {
  const value = parseJson(bufferOf(bytes).toString('utf8'));
  const fault = findInfoFault(value);
  if (fault !== null) return { kind: 'invalid', fault };
  const info = copyInfo(value as CheckpointInfo);
  const isCanonical = bufferOf(encodeInfo(info)).equals(bytes);
  return isCanonical ? { kind: 'info', info } : { kind: 'invalid', fault: 'text' };
}

/** Bytes of all files that a checkpoint needs. */
export function chainBytes(info: Pick<CheckpointInfo, 'files'>): number {
  return info.files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** How many checksums a file has. */
export function chunkCount(bytes: number): number {
  return Math.ceil(bytes / CHUNK_BYTES);
}

/** The newer of two checkpoints comes first. */
export function compareInfos(one: CheckpointInfo, other: CheckpointInfo): number {
  return other.timeline - one.timeline || other.index - one.index || other.takenAt - one.takenAt;
}

/** The first field that is wrong, or null. */
function findInfoFault(value: unknown): string | null {
  if (!isObject(value)) return 'text';
  for (const [field, isValid] of Object.entries(FIELD_RULES)) if (!isValid(value[field])) return field;
  const info = value as unknown as CheckpointInfo;
  const { rootPlace, files, keys } = info;
  if ((rootPlace === null) !== (keys === 0)) return 'rootPlace';
  if (keys === 0 && (info.root !== EMPTY_ROOT_HEX || info.level !== 0)) return 'root';
  if (rootPlace !== null && !files.some((file) => holds(file, rootPlace))) return 'rootPlace';
  return null;
}

function holds({ number, bytes }: DataFileInfo, place: Place): boolean {
  return number === place.file && place.offset >= DATA_HEADER_BYTES && place.offset + place.bytes <= bytes;
}

const FIELD_RULES: Readonly<Record<keyof CheckpointInfo, (value: unknown) => boolean>> = {
  clusterId: isHex(32),
  nodeId: isIntegerFrom(1),
  timeline: isIntegerFrom(1, 2 ** 32 - 1),
  index: isIntegerFrom(0),
  term: isIntegerFrom(0),
  view: isIntegerFrom(0),
  time: isIntegerFrom(0),
  takenAt: isIntegerFrom(0),
  machine: isMachine,
  members: isMembership,
  membersIndex: isIntegerFrom(0),
  root: isHex(64),
  rootPlace: (value) => value === null || isPlace(value),
  level: isIntegerFrom(0, LEVEL_MAX),
  keys: isIntegerFrom(0),
  stateBytes: isIntegerFrom(0),
  kind: (value) => value === 'full' || value === 'incremental',
  files: isFiles,
  full: (value) =>
    isObject(value) && isIntegerFrom(0)(value['bytes']) && isIntegerFrom(0)(value['stateBytes']),
  cost: isCost,
  certificate: (value) => value === null,
};

function isPlace(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { file, offset, bytes } = value;
  return (
    isIntegerFrom(1, FILE_NUMBER_MAX)(file) && isOffset(offset) && isIntegerFrom(1, FILE_BYTES_MAX)(bytes)
  );
}

function isFiles(value: unknown): boolean {
  if (!Array.isArray(value) || value.length > FILES_MAX) return false;
  let previous = 0;
  for (const file of value as unknown[]) {
    if (!isObject(file) || !isIntegerFrom(previous + 1, FILE_NUMBER_MAX)(file['number'])) return false;
    const { id, name, bytes, innerOffset, chunks } = file;
    if (!isHex(16)(id) || typeof name !== 'string' || !isDataName(name)) return false;
    if (!isOffset(bytes) || !isOffset(innerOffset) || (innerOffset as number) > (bytes as number))
      return false;
    if (!isHex(8 * chunkCount(bytes as number))(chunks)) return false;
    previous = file['number'] as number;
  }
  return true;
}

/** A multiple of 16 behind the header of a file, and not behind its largest size. */
function isOffset(value: unknown): boolean {
  const isInFile = isIntegerFrom(DATA_HEADER_BYTES, FILE_BYTES_MAX)(value);
  return isInFile && (value as number) % PLACE_ALIGN_BYTES === 0;
}

function isCost(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { nodes, bytes, durationMs, slices, longestPauseMs } = value;
  const isPause = typeof longestPauseMs === 'number' && longestPauseMs >= 0 && !Object.is(longestPauseMs, -0);
  return (
    isPause && Number.isFinite(longestPauseMs) && [nodes, bytes, durationMs, slices].every(isIntegerFrom(0))
  );
}

/** A frozen copy of exactly the known fields, in the order they are written. */
function copyInfo(info: CheckpointInfo): CheckpointInfo {
  const { machine, rootPlace, full, cost } = info;
  return Object.freeze({
    clusterId: info.clusterId,
    nodeId: info.nodeId,
    timeline: info.timeline,
    index: info.index,
    term: info.term,
    view: info.view,
    time: info.time,
    takenAt: info.takenAt,
    machine: Object.freeze({ name: machine.name, version: machine.version }),
    members: Object.freeze(info.members.map(({ id, role }) => Object.freeze({ id, role }))),
    membersIndex: info.membersIndex,
    root: info.root,
    rootPlace:
      rootPlace && Object.freeze({ file: rootPlace.file, offset: rootPlace.offset, bytes: rootPlace.bytes }),
    level: info.level,
    keys: info.keys,
    stateBytes: info.stateBytes,
    kind: info.kind,
    files: Object.freeze(info.files.map(copyFile)),
    full: Object.freeze({ bytes: full.bytes, stateBytes: full.stateBytes }),
    cost: Object.freeze({
      nodes: cost.nodes,
      bytes: cost.bytes,
      durationMs: cost.durationMs,
      slices: cost.slices,
      longestPauseMs: cost.longestPauseMs,
    }),
    certificate: info.certificate,
  });
}

function copyFile({ number, id, name, bytes, innerOffset, chunks }: DataFileInfo): DataFileInfo {
  return Object.freeze({ number, id, name, bytes, innerOffset, chunks });
}
