/**
 * The one error class this package throws for operating errors, and every code it can carry.
 *
 * Codes are API: documented one-to-one in docs/errors.md, never renamed, never reused.
 */

/** Every code with what it means. The order is that of docs/errors.md. */
export const ERROR_CODES = {
  TIDEMARK_OPTION_INVALID: 'an option is out of range or of the wrong type',
  TIDEMARK_CONFIG_INVALID: 'the configuration of the command line has faults; the message names each',
  TIDEMARK_NOT_OPEN: 'the node is closed, or closing',
  TIDEMARK_OUTCOME_UNKNOWN: 'nobody knows yet whether a command that was taken takes effect',
  TIDEMARK_BUSY: 'too many bytes wait for the disk; the command was not accepted',
  TIDEMARK_COMMAND_UNKNOWN: 'the machine has no command or query of that name',
  TIDEMARK_COMMAND_TOO_LARGE: 'a command is larger than commandBytesMax',
  TIDEMARK_COMMAND_ASYNC: 'a command or query returned a promise; both are synchronous',
  TIDEMARK_COMMAND_ENDED: 'a table or context was used after its command or query had ended',
  TIDEMARK_NOT_DETERMINISTIC: 'a command came to two outcomes, or did what would make it',
  TIDEMARK_REJECTION_UNDECLARED: 'a machine rejected with a code that it does not declare',
  TIDEMARK_VALUE_UNENCODABLE: 'an argument or stored value cannot be encoded, or is not within the limits',
  TIDEMARK_SESSION_EXPIRED: 'the session was forgotten, or has gone past the command',
  TIDEMARK_PROCEDURE_UNKNOWN: 'the node was opened without the procedure, or without that version of it',
  TIDEMARK_PROCEDURE_ID_TAKEN: 'the id of a procedure belongs to a run with another argument',
  TIDEMARK_PROCEDURE_CHANGED: 'a procedure asks for other steps than those that were recorded',
  TIDEMARK_PROCEDURE_MISUSED: 'a procedure ran steps at once, too many of them, or one after its end',
  TIDEMARK_PROCEDURE_STUCK: 'a procedure was given up for now: it waits to be retried or abandoned',
  TIDEMARK_PROCEDURE_UNDONE: 'a procedure failed, and the steps it had taken were taken back',
  TIDEMARK_PROCEDURE_ABANDONED: 'a procedure was abandoned by call, in the middle',
  TIDEMARK_PROCEDURE_GONE: 'there is no unfinished procedure of that id, or a rewind took it back',
  TIDEMARK_LOCKED: 'another process owns the data directory',
  TIDEMARK_FILE_MISSING: 'a file or directory does not exist',
  TIDEMARK_FILE_EXISTS: 'a file that must be new exists already',
  TIDEMARK_NOT_WRITABLE: 'a file or directory cannot be read or written: permissions or a read-only mount',
  TIDEMARK_DISK_FULL: 'the disk, or its quota, is full; nothing was written',
  TIDEMARK_RESOURCES: 'the system is out of file descriptors or memory',
  TIDEMARK_IO: 'the operating system reported an error on a file',
  TIDEMARK_LOG_POISONED: 'a write or sync of the log failed; what it held is unknown until restart',
  TIDEMARK_LOG_DAMAGED: 'a durable part of the log is missing or fails its checks',
  TIDEMARK_STATUS_DAMAGED: 'the copies of the status file are lost, too few or contradict each other',
  TIDEMARK_CHECKPOINT_DAMAGED: 'a checkpoint is not whole: a file of it is missing or fails its checks',
  TIDEMARK_FOREIGN_FILE: 'a file belongs to another cluster, node or incarnation',
  TIDEMARK_FORMAT_NEWER: 'a file was written by a newer version of Tidemark',
  TIDEMARK_NOT_A_DATA_DIRECTORY: 'the directory holds other files and no Tidemark data',
  TIDEMARK_MACHINE_MISMATCH: 'the data was written by another machine, or by a later version of it',
  TIDEMARK_VERSION_MISSING: 'the program lacks an earlier version of the machine, which the data needs',
  TIDEMARK_MIGRATION_FAILED: 'the migration to a new version of the machine failed',
  TIDEMARK_INDEX_NOT_RETAINED: 'the requested index was compacted away, or is not written yet',
  TIDEMARK_POINT_INVALID: 'what was given is no point in history',
  TIDEMARK_POINT_NOT_KEPT: 'no checkpoint and no log lead to the point in history',
  TIDEMARK_REWIND_REFUSED: 'a running node cannot be rewound to the point; a copy can be made of it',
  TIDEMARK_TREE_INVALID: 'what was read of a tree is not what its root promises',
  TIDEMARK_STATE_DIFFERS: 'the state is not the one that the change was made for',
  TIDEMARK_DELTA_INVALID: 'a delta is cut, changed or not one, or it lacks values',
  TIDEMARK_HISTORY_INVALID: 'a recorded history of clients is cut, changed or not one',
  TIDEMARK_REFUSED: 'a running node does not answer, or refuses what was asked of it',
  TIDEMARK_ADDRESS_UNAVAILABLE: 'the address to listen on is in use or not of this machine',
  TIDEMARK_PEER_REFUSED: 'two replicas do not fit: cluster, identity, protocol or certificate',
} as const;

/** A code of {@link ERROR_CODES}, each explained in docs/errors.md. */
export type ErrorCode = keyof typeof ERROR_CODES;

/** What the caller can do about it. `retry` is the only value that promises a repeat may succeed. */
export type ErrorRemedy = 'retry' | 'repair' | 'restore' | 'fix-call';

/** Facts for the operator: file, offset, index. Plain JSON, no secrets. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean>>;

export interface TidemarkErrorInit {
  readonly remedy: ErrorRemedy;
  /** Facts for the operator: file, offset, index. Plain JSON, no secrets. */
  readonly facts?: ErrorFacts;
  readonly cause?: unknown;
}

/** An operating error: expected, documented, and for the caller to handle. Bugs use `assert` instead. */
export class TidemarkError extends Error {
  override readonly name = 'TidemarkError';
  readonly code: ErrorCode;
  readonly remedy: ErrorRemedy;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, init: TidemarkErrorInit) {
    super(message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = code;
    this.remedy = init.remedy;
    this.facts = init.facts ?? {};
  }
}

/** Whether `error` is an operating error of ours; with `code`, whether it is that one. */
export function isTidemarkError(error: unknown, code?: ErrorCode): error is TidemarkError {
  return error instanceof TidemarkError && (code === undefined || error.code === code);
}
