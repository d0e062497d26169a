/**
 * How records of procedures lie in the state, beside whatever the machine keeps there (docs/format.md §11).
 *
 *     key                                      value, MessagePack
 *     ---------------------------------------  -----------------------------------------------------
 *     03 63                                    counts of all the others
 *     03 66, procedure, 0, id                  a run that is over
 *     03 6f, number (8 bytes)                  key of the run that was the number-th to end
 *     03 75, procedure, 0, id, 0, 0 (4 bytes)  a run that is not over
 *     03 75, procedure, 0, id, 0, n (4 bytes)  its step n, from 1
 *     03 75, procedure, 0, id, 0, ff ff ff ff  how far it is taken back, once it is
 *
 * Numbers are big-endian, so that a run comes before its steps, and those in their order.
 *
 * Invariants:
 *  - Steps of a run have numbers without a gap, at most STEPS_MAX.
 *  - At most UNFINISHED_MAX runs are not over: whoever runs them holds them all in memory.
 */

import { bufferOf } from '../base/bytes.ts';
import { sha256 } from '../base/digest.ts';
import type { Index } from '../base/positions.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { decodeValue, encodeValue } from './codec.ts';
import type { Failure } from './failure.ts';
import type { Outcome, ProcedureId, Recovery, RunId, RunPosition, StepOutcome } from './procedure-record.ts';

/** No table of a machine and nothing of the key-value machine begins with it. */
const PREFIX = 0x03;
const COUNTS = Buffer.of(PREFIX, 0x63);
const FINISHED = Buffer.of(PREFIX, 0x66);
const ORDER = Buffer.of(PREFIX, 0x6f);
const UNFINISHED = Buffer.of(PREFIX, 0x75);
const HEAD = 0;
const TURNED_BACK = 0xffff_ffff;
const NUMBER_BYTES = 4;

/** Steps of one run: they are read, and removed, in one go. */
export const STEPS_MAX = 1000;

/** Runs that are not over. */
export const UNFINISHED_MAX = 10_000;

/** Runs forgotten when one ends: more than one, so that a smaller limit is reached. */
const FORGOTTEN_AT_ONCE = 16;

/** What is written when a run begins. */
export interface RunHead {
  readonly begun: Index;
  /** Time of that entry, in milliseconds since 1970. */
  readonly begunAt: number;
  readonly version: number;
  readonly recovery: Recovery;
  readonly argument: Uint8Array;
}

export interface StoredStep {
  readonly kind: 'effect' | 'command';
  readonly name: string;
  readonly outcome: StepOutcome;
}

/** Steps from `next` down are still to be taken back. */
export interface TurnedBack {
  readonly next: number;
  readonly failure: Failure;
}

/** A run that is not over. */
export interface StoredRun extends ProcedureId {
  readonly head: RunHead;
  readonly steps: readonly StoredStep[];
  readonly turnedBack: TurnedBack | null;
}

/** A run that is over. */
export interface FinishedRun {
  readonly number: number;
  /** SHA-256 of the argument. */
  readonly argument: Uint8Array;
  readonly outcome: Outcome;
}

interface Counts {
  unfinished: number;
  /** Numbers of the runs that are over and remembered: from the oldest to below the next. */
  oldest: number;
  next: number;
  /** Keys of all records, this one included. */
  keys: number;
}

/** Whether a key of the state belongs to procedures. */
export function isProcedureKey(key: Uint8Array): boolean {
  return key[0] === PREFIX;
}

/** How many they are. */
export function procedureKeys(state: StateReader): number {
  return readCounts(state).keys;
}

export function countUnfinished(state: StateReader): number {
  return readCounts(state).unfinished;
}

/** Every run that is not over, in the order of their names. */
export function readUnfinished(state: StateReader): StoredRun[] {
  if (countUnfinished(state) === 0) return [];
  const heads: ProcedureId[] = [];
  for (const { key } of state.orderedEntries(UNFINISHED)) {
    const bytes = bufferOf(key);
    if (!bytes.subarray(0, UNFINISHED.length).equals(UNFINISHED)) break;
    if (bytes.readUInt32BE(bytes.length - NUMBER_BYTES) === HEAD) heads.push(idIn(bytes));
  }
  return heads.map((run) => readRun(state, run)!);
}

/** Null when there is none of that id, or it is over. */
export function readRun(state: StateReader, { procedure, id }: ProcedureId): StoredRun | null {
  const key = unfinishedKey({ procedure, id });
  const head = read<RunHead>(state, key(HEAD));
  if (head === null) return null;
  const steps: StoredStep[] = [];
  for (;;) {
    const step = read<StoredStep>(state, key(steps.length + 1));
    if (step === null) break;
    steps.push(step);
  }
  return { procedure, id, head, steps, turnedBack: read<TurnedBack>(state, key(TURNED_BACK)) };
}

/** How a run ended; null when it has not, or was forgotten. */
export function readFinished(state: StateReader, run: ProcedureId): FinishedRun | null {
  return read<FinishedRun>(state, finishedKey(run));
}

/** Whether exactly this run is there. */
export function isUnfinished(state: StateReader, run: RunId): boolean {
  return read<RunHead>(state, unfinishedKey(run)(HEAD))?.begun === run.begun;
}

/** Whether the run stands there. */
export function standsAt(state: StateReader, { steps, next, ...run }: RunPosition): boolean {
  const key = unfinishedKey(run);
  if (!isUnfinished(state, run) || steps < 0 || steps > STEPS_MAX) return false;
  if (!state.has(key(steps)) || state.has(key(steps + 1))) return false;
  return (read<TurnedBack>(state, key(TURNED_BACK))?.next ?? null) === next;
}

export function writeHead(state: StateWriter, run: ProcedureId, head: RunHead): void {
  const counts = readCounts(state);
  counts.unfinished++;
  add(state, counts, unfinishedKey(run)(HEAD), head);
  writeCounts(state, counts);
}

export function writeStep(state: StateWriter, run: RunId, number: number, step: StoredStep): void {
  const counts = readCounts(state);
  add(state, counts, unfinishedKey(run)(number), step);
  writeCounts(state, counts);
}

export function writeNext(state: StateWriter, run: RunId, next: number): void {
  const key = unfinishedKey(run)(TURNED_BACK);
  const turnedBack = { ...read<TurnedBack>(state, key)!, next };
  state.set(key, encodeValue(turnedBack, 'a record of a procedure')); // The counts stay as they are.
}

export function writeTurnedBack(state: StateWriter, run: RunId, turnedBack: TurnedBack): void {
  const counts = readCounts(state);
  add(state, counts, unfinishedKey(run)(TURNED_BACK), turnedBack);
  writeCounts(state, counts);
}

/** Makes a run one that is over, and forgets the oldest of those beyond `kept`. */
export function finishRun(state: StateWriter, run: RunId, outcome: Outcome, kept: number): void {
  const key = unfinishedKey(run);
  const { argument } = read<RunHead>(state, key(HEAD))!;
  const counts = readCounts(state);
  remove(state, counts, key(HEAD));
  for (let number = 1; remove(state, counts, key(number)); number++) continue;
  remove(state, counts, key(TURNED_BACK));
  const number = counts.next;
  add(state, counts, finishedKey(run), { number, argument: sha256(argument), outcome });
  add(state, counts, orderKey(number), finishedKey(run));
  counts.unfinished--;
  counts.next++;
  forget(state, counts, kept);
  writeCounts(state, counts);
}

function forget(state: StateWriter, counts: Counts, kept: number): void {
  const last = Math.min(counts.next - kept, counts.oldest + FORGOTTEN_AT_ONCE);
  for (; counts.oldest < last; counts.oldest++) {
    const key = orderKey(counts.oldest);
    remove(state, counts, read<Uint8Array>(state, key)!);
    remove(state, counts, key);
  }
}

function readCounts(state: StateReader): Counts {
  return read<Counts>(state, COUNTS) ?? { unfinished: 0, oldest: 0, next: 0, keys: 0 };
}

function writeCounts(state: StateWriter, counts: Counts): void {
  if (!state.has(COUNTS)) counts.keys++;
  state.set(COUNTS, encodeValue(counts, 'the counts of procedures'));
}

function read<Value>(state: StateReader, key: Uint8Array): Value | null {
  const bytes = state.get(key);
  return bytes === null ? null : (decodeValue(bytes) as Value);
}

/** Who calls it writes the counts. */
function add(state: StateWriter, counts: Counts, key: Uint8Array, value: unknown): void {
  if (!state.has(key)) counts.keys++;
  state.set(key, encodeValue(value, 'a record of a procedure'));
}

/** Returns whether it was there. */
function remove(state: StateWriter, counts: Counts, key: Uint8Array): boolean {
  const isThere = state.delete(key);
  if (isThere) counts.keys--;
  return isThere;
}

/** The keys of a run that is not over, by their number. Made once: most of a key is the same. */
function unfinishedKey({ procedure, id }: ProcedureId): (number: number) => Uint8Array {
  const start = Buffer.concat([UNFINISHED, Buffer.from(`${procedure}\0${id}\0`)]);
  return (number) => {
    const key = Buffer.allocUnsafe(start.length + NUMBER_BYTES);
    start.copy(key);
    key.writeUInt32BE(number, start.length);
    return key;
  };
}

function idIn(key: Buffer): ProcedureId {
  const [procedure = '', id = ''] = key
    .toString('utf8', UNFINISHED.length, key.length - NUMBER_BYTES - 1)
    .split('\0');
  return { procedure, id };
}

function finishedKey({ procedure, id }: ProcedureId): Uint8Array {
  return Buffer.concat([FINISHED, Buffer.from(`${procedure}\0${id}`)]);
}

function orderKey(number: number): Uint8Array {
  const key = Buffer.alloc(ORDER.length + 8);
  ORDER.copy(key);
  key.writeBigUInt64BE(BigInt(number), ORDER.length);
  return key;
}
