/**
 * Applies a command of the log: one of the machine, or a record of a procedure.
 *
 * A record changes the state only if it goes on where the run stands; else it fails, and changes nothing. A
 * command of the machine that is a step takes effect here, together with its record. When the machine refuses
 * it, what it wrote is taken back, and the refusal is the record.
 */

import { assert } from '../base/assert.ts';
import { bufferOf } from '../base/bytes.ts';
import { sha256 } from '../base/digest.ts';
import { TidemarkError } from '../base/errors.ts';
import type { StateReader, StateWriter } from '../state/state.ts';
import { failureOf } from './failure.ts';
import { type CommandContext, type Machine, Rejection } from './machine.ts';
import {
  type BeginRecord,
  decodeProcedureRecord,
  encodeBounded,
  isProcedureRecord,
  type Outcome,
  type ProcedureId,
  type RunPosition,
  type RunRecord,
  type StepOutcome,
} from './procedure-record.ts';
import {
  countUnfinished,
  finishRun,
  isUnfinished,
  readFinished,
  readRun,
  type StoredRun,
  type StoredStep,
  standsAt,
  UNFINISHED_MAX,
  writeHead,
  writeNext,
  writeStep,
  writeTurnedBack,
} from './procedure-store.ts';

/** What `begin` found: a run that goes on, perhaps a new one, or how it ended. */
export type Begun =
  | { readonly kind: 'unfinished'; readonly run: StoredRun; readonly isNew: boolean }
  | { readonly kind: 'finished'; readonly outcome: Outcome };

/** What `Engine` runs for each command. */
export function applyCommand(
  machine: Machine,
  state: StateWriter,
  command: Uint8Array,
  context: CommandContext,
): unknown {
  if (!isProcedureRecord(command)) return machine.apply(state, command, context);
  const record = decodeProcedureRecord(command);
  if (record.kind === 'begin') return begin(state, record, context);
  if (!isInPlace(state, record)) throw gone(record);
  const { steps } = record;
  switch (record.kind) {
    case 'step':
      return addStep(state, record, { kind: 'effect', name: record.name, outcome: record.outcome });
    case 'command-step': {
      const outcome = runStep(machine, state, record.command, context);
      return addStep(state, record, { kind: 'command', name: record.name, outcome });
    }
    case 'turn-back':
      assert(record.from >= steps && record.from <= steps + 1, 'at most one step is in doubt');
      return writeTurnedBack(state, record, { next: record.from, failure: record.failure });
    case 'undone':
      if (record.command !== null) machine.apply(state, record.command, context);
      return writeNext(state, record, record.number - 1);
    case 'end':
      return finishRun(state, record, record.outcome, record.kept);
    default:
      throw gone(record);
  }
}

/** Whether a record goes on where the run stands; a run is abandoned wherever that is. */
function isInPlace(state: StateReader, record: RunPosition & RunRecord): boolean {
  const isAbandoned = record.kind === 'end' && record.outcome.kind === 'abandoned';
  return isAbandoned ? isUnfinished(state, record) : standsAt(state, record);
}

function begin(state: StateWriter, record: BeginRecord, { index, time }: CommandContext): Begun {
  const { version, recovery, argument } = record;
  const finished = readFinished(state, record);
  if (finished !== null) {
    if (!bufferOf(finished.argument).equals(sha256(argument))) throw idTaken(record);
    return { kind: 'finished', outcome: finished.outcome };
  }
  const known = readRun(state, record);
  if (known !== null) {
    if (!bufferOf(known.head.argument).equals(argument)) throw idTaken(record);
    return { kind: 'unfinished', run: known, isNew: false };
  }
  if (countUnfinished(state) >= UNFINISHED_MAX) throw tooMany();
  writeHead(state, record, { begun: index, begunAt: time, version, recovery, argument });
  return { kind: 'unfinished', run: readRun(state, record)!, isNew: true };
}

function addStep(state: StateWriter, run: RunPosition, step: StoredStep): StepOutcome {
  writeStep(state, run, run.steps + 1, step);
  return step.outcome;
}

function runStep(
  machine: Machine,
  state: StateWriter,
  command: Uint8Array,
  context: CommandContext,
): StepOutcome {
  const savepoint = state.savepoint();
  try {
    const result = machine.apply(state, command, context);
    return { kind: 'done', result: encodeResult(machine, result) };
  } catch (error) {
    if (!(error instanceof Rejection)) throw error; // An accident is no decision: nothing is recorded.
    state.rollbackTo(savepoint);
    return { kind: 'refused', failure: failureOf(error) };
  }
}

/** Once detached: what a machine hands out may be views, until it writes again. */
function encodeResult(machine: Machine, result: unknown): Uint8Array {
  return encodeBounded(machine.detach?.(result) ?? result, 'the result of a step');
}

/** A run that was ended, or that a rewind took back: who goes on with it must stop. */
export function gone({ procedure, id }: ProcedureId): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_GONE',
    `there is no unfinished run ${id} of the procedure ${procedure}, or it is not where it was: it came to ` +
      'its end, or the state was taken back to before it',
    { remedy: 'fix-call', facts: { procedure, id } },
  );
}

export function idTaken({ procedure, id }: ProcedureId): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_PROCEDURE_ID_TAKEN',
    `the id ${id} of the procedure ${procedure} belongs to a run with another argument; an id names one ` +
      'operation for ever',
    { remedy: 'fix-call', facts: { procedure, id } },
  );
}

function tooMany(): TidemarkError {
  return new TidemarkError(
    'TIDEMARK_BUSY',
    `${UNFINISHED_MAX} procedures are not finished; this one was not begun`,
    { remedy: 'retry', facts: { unfinishedMax: UNFINISHED_MAX } },
  );
}
