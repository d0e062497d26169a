/** The public surface of `tidemark`. */

export { InvariantViolation } from './base/assert.ts';
export type { Chance } from './base/chance.ts';
export {
  ERROR_CODES,
  type ErrorCode,
  type ErrorFacts,
  type ErrorRemedy,
  isTidemarkError,
  TidemarkError,
} from './base/errors.ts';
export type { Distribution, DistributionSummary } from './base/histogram.ts';
export {
  type DiffCost,
  type DiffOptions,
  diffStates,
  type StateDiff,
  type TreePosition,
  type TreeReader,
  type WantedValue,
} from './base/merkle/diff-states.ts';
export type { DecidedDifference, KeyRange, Side, WantedNode } from './base/merkle/difference.ts';
export type { StoredValue } from './base/merkle/node.ts';
export type { Index, Term, Timeline } from './base/positions.ts';
export type { Clock, Timer } from './base/time.ts';
export type { CheckpointOptions } from './checkpoint/checkpoint-options.ts';
export type { Generations } from './checkpoint/retention.ts';
export type { AdaptiveSchedule, Schedule } from './checkpoint/schedule/schedule-options.ts';
export type { ScheduleStats } from './checkpoint/schedule/scheduler.ts';
export type { StateRoot } from './engine/engine.ts';
export {
  type Call,
  type CallableMachine,
  type CommandContext,
  type Machine,
  type MigrationState,
  Rejection,
} from './engine/machine.ts';
export type { MachineContext, QueryContext } from './engine/machine-context.ts';
export type { PointFields, PointInput } from './engine/point.ts';
export type { ProcedureId, Recovery } from './engine/procedure-record.ts';
export {
  type DeclaredRejection,
  type PlainRejection,
  type RefusalDefinition,
  type Reject,
  type RejectionOf,
  refusal,
} from './engine/refusal.ts';
export {
  type MigratedTable,
  type QueryTable,
  type ReadTable,
  type Table,
  type TableDefinition,
  type TableRange,
  table,
} from './engine/table.ts';
export { type MachineDefinition, machine, type TypedMachine } from './engine/typed-machine.ts';
export type {
  KeyValueCommands,
  KeyValueQueries,
  KeyValueResult,
  LoggedRequest,
  Word,
} from './keyvalue/callable.ts';
export {
  type BufferedDurability,
  type BufferedOptions,
  buffered,
  type DurabilityChoice,
} from './log/durability.ts';
export type { LogEvent } from './log/log-events.ts';
export type { LogOptions } from './log/log-options.ts';
export type { RecoveryReport } from './log/recover.ts';
export type { Doors, RecoveryProgress } from './node/assemble.ts';
export type { ChangeCounts } from './node/count-changes.ts';
export type { NodeDistributions } from './node/distributions.ts';
export type { EntriesOptions, LogEntry, LoggedCommand, LoggedProcedure } from './node/entry-feed.ts';
export type {
  DamageFound,
  EventFailure,
  EventsOptions,
  NodeEvent,
  NodeHappening,
} from './node/events.ts';
export type { HeldState, StateFacts } from './node/held-state.ts';
export type { OpenPastOptions } from './node/history.ts';
export type {
  Attempt,
  CallOptions,
  CheckpointStats,
  Node,
  NodeCalls,
  NodeRecovery,
  NodeStats,
  RestoredCheckpoint,
} from './node/node.ts';
export type {
  CheckpointSummary,
  CheckpointTag,
  KeptCheckpoint,
  PrunedCheckpoints,
  PruneOptions,
  TakeOptions,
} from './node/node-checkpoints.ts';
export { local, type MachineOptions, type OpenOptions, type OrderingChoice, open } from './node/open.ts';
export type { PastView } from './node/past-view.ts';
export { type RestoredPoint, type RestorePointOptions, restorePoint } from './node/restore-point.ts';
export type { RewindOptions, RewindSummary } from './node/rewinder.ts';
export type { ScrubOptions } from './node/scrub-options.ts';
export type { ScrubFinding } from './node/scrub-record.ts';
export type { ScrubReport, ScrubStats } from './node/scrubber.ts';
export { type ReadStateOptions, readState, type StoredState } from './node/stored-state.ts';
export type { LocalOptions } from './ordering/local-options.ts';
export type { CommandSink, Ordering, ReadSink } from './ordering/ordering.ts';
export {
  type AnyProcedure,
  type CommandCall,
  type CommandStepOptions,
  type EffectCall,
  type Procedure,
  type ProcedureFunction,
  type ProcedureOptions,
  procedure,
  type Step,
  type StepOptions,
} from './procedures/procedure.ts';
export type { UnfinishedProcedure } from './procedures/procedure-run.ts';
export type { ProcedureEvent, ProcedureStats, RunOptions } from './procedures/procedure-runner.ts';
export type { RetryPolicy } from './procedures/retry-policy.ts';
export type { ServedState } from './server/held-states.ts';
export type { InfoSections } from './server/info.ts';
export { type RedisServer, type RedisServerOptions, startRedisServer } from './server/redis-server.ts';
export type { StateReader, StateWriter } from './state/state.ts';
export type { File, FileLock, FileStat, FileSystem, OpenMode } from './storage/file-system.ts';
