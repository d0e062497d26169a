/**
 * Every metric: name, help, where it comes from. Names and units by Prometheus's conventions; listed
 * in docs/operations.md.
 */

import type { Distribution } from '../base/histogram.ts';
import type { NodeDistributions } from '../node/distributions.ts';
import type { NodeRecovery, NodeStats } from '../node/node.ts';
import type { ClientFigures } from './redis-server.ts';

/** A node at one moment. */
export interface NodeFigures {
  readonly stats: NodeStats;
  readonly distributions: NodeDistributions;
  readonly recovery: NodeRecovery;
  /** Milliseconds since 1970. */
  readonly lastCheckpointAt: number;
}

interface Named {
  readonly name: string;
  readonly help: string;
}

export interface NumberDefinition<Source> extends Named {
  readonly kind: 'gauge' | 'counter';
  readonly value: (source: Source) => number;
}

export interface HistogramDefinition<Source> extends Named {
  readonly kind: 'histogram';
  readonly distribution: (source: Source) => Distribution;
  /** Upper bounds of the buckets, in the unit of the distribution. */
  readonly bounds: readonly number[];
  /** How many units of the distribution make one of the metric. */
  readonly perUnit: number;
}

export type MetricDefinition<Source> = NumberDefinition<Source> | HistogramDefinition<Source>;

/** 100 µs to 10 s, in milliseconds: from a sync of a fast disk to what people give up on. */
const TIME_BOUNDS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/** One microsecond more, for what is done in memory. */
const SHORT_BOUNDS_MS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, ...TIME_BOUNDS_MS];

/** 10 ms to 10 minutes. */
const LONG_BOUNDS_MS = [10, 100, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000, 600_000];

const powersOf4 = (first: number, count: number): number[] =>
  Array.from({ length: count }, (_, at) => first * 4 ** at);

function gauge<Source>(
  name: string,
  help: string,
  value: (source: Source) => number,
): NumberDefinition<Source> {
  return { kind: 'gauge', name, help, value };
}

function counter<Source>(
  name: string,
  help: string,
  value: (source: Source) => number,
): NumberDefinition<Source> {
  return { kind: 'counter', name, help, value };
}

function seconds<Source>(
  name: string,
  help: string,
  bounds: readonly number[],
  distribution: (source: Source) => Distribution,
): HistogramDefinition<Source> {
  return { kind: 'histogram', name, help, bounds, distribution, perUnit: 1000 };
}

const COMMANDS: readonly MetricDefinition<NodeFigures>[] = [
  counter(
    'tidemark_commands_applied_total',
    'Commands applied since the start, those replayed at the start included',
    ({ stats }) => stats.commandsApplied,
  ),
  seconds(
    'tidemark_command_seconds',
    'From taken to answered, of each command; those of one batch count with the time of its first',
    TIME_BOUNDS_MS,
    ({ distributions }) => distributions.commandMs,
  ),
  {
    kind: 'histogram',
    name: 'tidemark_batch_commands',
    help: 'Commands of an entry',
    bounds: powersOf4(1, 9),
    perUnit: 1,
    distribution: ({ distributions }) => distributions.batchCommands,
  },
  {
    kind: 'histogram',
    name: 'tidemark_batch_bytes',
    help: 'Bytes of an entry',
    bounds: powersOf4(64, 10),
    perUnit: 1,
    distribution: ({ distributions }) => distributions.batchBytes,
  },
  seconds(
    'tidemark_apply_seconds',
    'Applying an entry and answering its commands',
    SHORT_BOUNDS_MS,
    ({ distributions }) => distributions.applyMs,
  ),
  gauge('tidemark_refusing', '1 while commands are refused: shortage of disk space, files or memory', (f) =>
    f.stats.refusal === null ? 0 : 1,
  ),
];

const LOG: readonly MetricDefinition<NodeFigures>[] = [
  gauge('tidemark_first_index', 'First entry that the log holds', ({ stats }) => stats.firstIndex),
  gauge('tidemark_last_index', 'Last entry appended to the log', ({ stats }) => stats.lastIndex),
  gauge('tidemark_durable_index', 'Last entry that is durable', ({ stats }) => stats.durableIndex),
  gauge(
    'tidemark_commands_unsynced',
    'Commands that are written and not durable',
    ({ stats }) => stats.commandsUnsynced,
  ),
  gauge(
    'tidemark_bytes_unsynced',
    'Bytes of the log that are written and not durable',
    ({ stats }) => stats.bytesUnsynced,
  ),
  gauge('tidemark_applied_index', 'Last entry that was applied', ({ stats }) => stats.appliedIndex),
  counter('tidemark_log_written_bytes_total', 'Bytes written to the log', (f) => f.stats.log.bytesWritten),
  counter('tidemark_log_rotations_total', 'Log segments begun behind another', (f) => f.stats.log.rotations),
  seconds(
    'tidemark_log_sync_seconds',
    'A sync of the log',
    TIME_BOUNDS_MS,
    ({ distributions }) => distributions.syncMs,
  ),
];

const STATE: readonly MetricDefinition<NodeFigures>[] = [
  gauge('tidemark_keys', 'Keys', ({ stats }) => stats.keys),
  gauge('tidemark_keys_to_load', 'Keys that are not in memory yet', ({ stats }) => stats.keysToLoad),
  gauge('tidemark_keys_with_deadline', 'Keys that expire, about', ({ stats }) => stats.keysWithDeadline),
  counter('tidemark_keys_expired_total', 'Keys that have expired', ({ stats }) => stats.keysExpired),
  gauge('tidemark_state_bytes', 'Memory that the state holds', ({ stats }) => stats.stateBytes),
  gauge(
    'tidemark_changes_pending',
    'Changes that the tree of the state does not have yet',
    ({ stats }) => stats.changesPending,
  ),
];

const CHECKPOINTS: readonly MetricDefinition<NodeFigures>[] = [
  gauge('tidemark_checkpoint_running', '1 while a checkpoint is taken', ({ stats }) =>
    stats.checkpoints.isTaking ? 1 : 0,
  ),
  gauge(
    'tidemark_checkpoint_failed',
    '1 when the last attempt failed, or could not remove older ones',
    (f) => (f.stats.checkpoints.failure === null ? 0 : 1),
  ),
  gauge(
    'tidemark_checkpoint_timestamp_seconds',
    'When the newest checkpoint was taken, or the node started when there is none; since 1970',
    ({ lastCheckpointAt }) => lastCheckpointAt / 1000,
  ),
  gauge(
    'tidemark_checkpoint_index',
    'Last entry in the newest checkpoint; 0 when there is none',
    (f) => f.stats.checkpoints.last?.index ?? 0,
  ),
  gauge(
    'tidemark_checkpoint_bytes',
    'Bytes written for the newest checkpoint',
    (f) => f.stats.checkpoints.last?.bytes ?? 0,
  ),
  gauge(
    'tidemark_checkpoint_needed_bytes',
    'Bytes of all files that the newest checkpoint needs',
    (f) => f.stats.checkpoints.last?.bytesNeeded ?? 0,
  ),
  seconds(
    'tidemark_checkpoint_seconds',
    'Writing a checkpoint',
    LONG_BOUNDS_MS,
    ({ distributions }) => distributions.checkpointMs,
  ),
];

const SCRUB: readonly MetricDefinition<NodeFigures>[] = [
  counter(
    'tidemark_scrub_verified_bytes_total',
    'Bytes that were read again from the disk and verified',
    ({ stats }) => stats.scrub.bytesVerified,
  ),
  gauge(
    'tidemark_scrub_progress',
    'Part of the scrub under way that is done, 0 to 1; 1 between two',
    ({ stats }) => stats.scrub.progress ?? 1,
  ),
  gauge(
    'tidemark_scrub_timestamp_seconds',
    'When everything on the disk had been verified last, since 1970; 0 before the first time',
    ({ stats }) => stats.scrub.finishedAt / 1000,
  ),
  gauge(
    'tidemark_scrub_findings',
    'Places on the disk that are not what was written',
    ({ stats }) => stats.scrub.findings.length,
  ),
  gauge(
    'tidemark_scrub_findings_open',
    'Those of them that a start may need',
    ({ stats }) => stats.scrub.findings.filter(({ outcome }) => outcome === 'open').length,
  ),
];

const PROCESS: readonly MetricDefinition<NodeFigures>[] = [
  seconds(
    'tidemark_lateness_seconds',
    'How long due work waited for the event loop; looked at ten times a second',
    TIME_BOUNDS_MS,
    ({ distributions }) => distributions.latenessMs,
  ),
  gauge('tidemark_recovery_seconds', 'Time that the start took', ({ recovery }) => recovery.tookMs / 1000),
  gauge(
    'tidemark_recovered_commands',
    'Commands that the start replayed',
    (f) => f.recovery.commandsReplayed,
  ),
];

const PROCEDURES: readonly MetricDefinition<NodeFigures>[] = [
  gauge(
    'tidemark_procedures_unfinished',
    'Procedures that are not finished',
    ({ stats }) => stats.procedures.unfinished,
  ),
  gauge(
    'tidemark_procedures_stuck',
    'Those of them that wait to be retried or abandoned',
    ({ stats }) => stats.procedures.stuck,
  ),
  gauge(
    'tidemark_procedure_oldest_timestamp_seconds',
    'When the oldest unfinished procedure was begun, since 1970; 0 when there is none',
    ({ stats }) => stats.procedures.oldestBegunAt / 1000,
  ),
];

export const NODE_METRICS: readonly MetricDefinition<NodeFigures>[] = [
  ...COMMANDS,
  ...LOG,
  ...STATE,
  ...CHECKPOINTS,
  ...SCRUB,
  ...PROCEDURES,
  ...PROCESS,
];

/** Of the Redis port. */
export const CLIENT_METRICS: readonly MetricDefinition<ClientFigures>[] = [
  gauge('tidemark_clients', 'Clients connected to the Redis port', (clients) => clients.connected),
  counter('tidemark_clients_accepted_total', 'Clients that connected', (clients) => clients.accepted),
  counter(
    'tidemark_clients_rejected_total',
    'Clients that were turned away: too many, or no file descriptors',
    (clients) => clients.rejected,
  ),
  counter(
    'tidemark_clients_dropped_total',
    'Clients that were dropped for what they sent, or did not take',
    (clients) => clients.dropped,
  ),
  counter('tidemark_requests_total', 'Requests of clients, reads included', (clients) => clients.requests),
  gauge('tidemark_client_input_bytes', 'Unfinished requests in memory', (clients) => clients.inputBytes),
  gauge('tidemark_client_output_bytes', 'Replies not yet taken', (clients) => clients.outputBytes),
];
