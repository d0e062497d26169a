/**
 * Records of procedures, as commands of the log (docs/format.md §11): a byte that begins no command of a
 * machine, then MessagePack. Understood by the engine, whatever machine it runs.
 *
 * Every record but the first names the run it belongs to by the entry that began it, and says where that
 * stands: what was on its way to the log when a rewind took the run back changes nothing.
 */

import { TidemarkError } from '../base/errors.ts';
import type { Index } from '../base/positions.ts';
import { decodeValue, encodeValue } from './codec.ts';
import type { Failure } from './failure.ts';

/** No MessagePack value and no request of the key-value machine begins with it. */
const PROCEDURE_MARK = 0xc1;

/** Largest result of a step or a procedure, and largest argument, once encoded. */
export const PROCEDURE_VALUE_BYTES_MAX = 64 * 1024;

/** Which way a procedure goes when it cannot go on as it was. */
export type Recovery = 'forward' | 'backward';

/** A procedure's own name, and that of one run of it. */
export interface ProcedureId {
  readonly procedure: string;
  readonly id: string;
}

/** One run: `begun` is the entry that began it. */
export interface RunId extends ProcedureId {
  readonly begun: Index;
}

/**
 * Where a run stands, as who writes a record knows it: `steps` are recorded, and it is to be taken back from
 * step `next` down; null while it is not.
 */
export interface RunPosition extends RunId {
  readonly steps: number;
  readonly next: number | null;
}

/** What came of a step: an encoded result, or a refusal. */
export type StepOutcome =
  | { readonly kind: 'done'; readonly result: Uint8Array }
  | { readonly kind: 'refused'; readonly failure: Failure };

/** How a run ended. */
export type Outcome =
  | { readonly kind: 'done'; readonly result: Uint8Array }
  | { readonly kind: 'refused' | 'undone' | 'abandoned'; readonly failure: Failure };

/** Begins a run, or finds the one of that id. */
export interface BeginRecord extends ProcedureId {
  readonly kind: 'begin';
  readonly version: number;
  readonly recovery: Recovery;
  readonly argument: Uint8Array;
}

/** What happens to a run, from where it stands. */
export type RunRecord =
  /** The next step, with an effect outside of the node, has come to its end. */
  | { readonly kind: 'step'; readonly name: string; readonly outcome: StepOutcome }
  /** The next step is a command of the machine: it takes effect together with its record. */
  | { readonly kind: 'command-step'; readonly name: string; readonly command: Uint8Array }
  /** From here on it is taken back: from the last step down, or from the one behind it, which is in doubt. */
  | { readonly kind: 'turn-back'; readonly from: number; readonly failure: Failure }
  /** The step has been taken back; `command` takes it back here. */
  | { readonly kind: 'undone'; readonly number: number; readonly command: Uint8Array | null }
  /** It is over; `kept` ended runs are remembered. Abandoned it is wherever it stands. */
  | { readonly kind: 'end'; readonly outcome: Outcome; readonly kept: number };

export type ProcedureRecord = BeginRecord | (RunPosition & RunRecord);

/** @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE. */
export function encodeBounded(value: unknown, what: string): Uint8Array {
  const bytes = encodeValue(value, what);
  if (bytes.length <= PROCEDURE_VALUE_BYTES_MAX) return bytes;
  throw new TidemarkError(
    'TIDEMARK_VALUE_UNENCODABLE',
    `${what} takes ${bytes.length} bytes, and at most ${PROCEDURE_VALUE_BYTES_MAX} are recorded`,
    { remedy: 'fix-call', facts: { bytes: bytes.length, bytesMax: PROCEDURE_VALUE_BYTES_MAX } },
  );
}

export function isProcedureRecord(command: Uint8Array): boolean {
  return command[0] === PROCEDURE_MARK;
}

/** @throws TidemarkError TIDEMARK_VALUE_UNENCODABLE. */
export function encodeProcedureRecord(record: ProcedureRecord): Uint8Array {
  return Buffer.concat([Buffer.of(PROCEDURE_MARK), encodeValue(record, 'a record of a procedure')]);
}

export function decodeProcedureRecord(command: Uint8Array): ProcedureRecord {
  return decodeValue(command.subarray(1)) as ProcedureRecord;
}

/** The command of the machine that a record makes take effect; null of one that makes none. */
export function commandIn(record: ProcedureRecord): Uint8Array | null {
  return 'command' in record ? record.command : null;
}

/**
 * A record as a person reads it: `checkout order-17: step 2 ship({"item":"tea"})`.
 * @param describe Of a command of the machine.
 */
export function describeProcedureRecord(
  command: Uint8Array,
  describe: (command: Uint8Array) => string,
): string {
  const record = decodeProcedureRecord(command);
  return `${record.procedure} ${record.id}: ${inWords(record, describe)}`;
}

function inWords(record: ProcedureRecord, describe: (command: Uint8Array) => string): string {
  switch (record.kind) {
    case 'begin':
      return `begin, ${record.recovery}`;
    case 'step': {
      const { name, outcome } = record;
      const refused = outcome.kind === 'refused' ? `, refused: ${outcome.failure.message}` : '';
      return `step ${record.steps + 1} ${name}${refused}`;
    }
    case 'command-step':
      return `step ${record.steps + 1} ${describe(record.command)}`;
    case 'turn-back':
      return `back from step ${record.from}: ${record.failure.message}`;
    case 'undone': {
      const by = record.command === null ? '' : ` by ${describe(record.command)}`;
      return `step ${record.number} undone${by}`;
    }
    case 'end':
      return `end, ${record.outcome.kind}`;
    default:
      return 'a record of another version';
  }
}
