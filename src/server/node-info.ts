/** What a node contributes to INFO. */

import { isoTime } from '../base/time.ts';
import type { NodeRecovery, NodeStats } from '../node/node.ts';
import type { ScrubFinding } from '../node/scrub-record.ts';
import type { ScrubStats } from '../node/scrubber.ts';
import type { ProcedureStats } from '../procedures/procedure-runner.ts';
import type { InfoSections } from './info.ts';

/** A node, as far as INFO needs it. */
export interface InformedNode {
  readonly recovery: NodeRecovery;
  readonly lastCheckpointAt: number;
  readonly durability: 'synced' | 'buffered';
  stats(): NodeStats;
}

export function nodeInfo(node: InformedNode): InfoSections {
  const stats = node.stats();
  const { log, checkpoints, scrub, distributions } = stats;
  const { last } = checkpoints;
  const { syncMs, commandMs, latenessMs } = distributions;
  return {
    memory: { state_bytes: stats.stateBytes },
    persistence: {
      loading: 0,
      rdb_bgsave_in_progress: checkpoints.isTaking ? 1 : 0,
      rdb_last_save_time: Math.floor(node.lastCheckpointAt / 1000),
      rdb_last_bgsave_status: checkpoints.failure === null ? 'ok' : 'err',
      rdb_last_bgsave_time_sec: last === null ? -1 : Math.round(last.durationMs / 1000),
      tidemark_checkpoint_index: last?.index ?? 0,
      tidemark_checkpoint_kind: last?.kind ?? 'none',
      tidemark_checkpoint_bytes: last?.bytes ?? 0,
      tidemark_checkpoint_bytes_needed: last?.bytesNeeded ?? 0,
      tidemark_checkpoint_ms: last?.durationMs ?? 0,
      tidemark_checkpoint_pause_ms_max: last?.longestPauseMs ?? 0,
      tidemark_checkpoint_failure: checkpoints.failure ?? 'none',
      ...scrubLines(scrub),
      ...procedureLines(stats.procedures),
      tidemark_keys_to_load: stats.keysToLoad,
      tidemark_first_index: stats.firstIndex,
      tidemark_durable_index: stats.durableIndex,
      tidemark_durability: node.durability,
      tidemark_commands_unsynced: stats.commandsUnsynced,
      tidemark_bytes_unsynced: stats.bytesUnsynced,
      tidemark_applied_index: stats.appliedIndex,
      tidemark_last_index: stats.lastIndex,
      tidemark_tree_changes_pending: stats.changesPending,
      tidemark_refusal: stats.refusal ?? 'none',
      tidemark_log_syncs: log.syncs,
      tidemark_log_bytes_written: log.bytesWritten,
      tidemark_log_rotations: log.rotations,
      tidemark_log_sync_ms_p50: thousandths(syncMs.p50),
      tidemark_log_sync_ms_p99: thousandths(syncMs.p99),
      tidemark_log_sync_ms_max: thousandths(syncMs.max),
      tidemark_recovered_commands: node.recovery.commandsReplayed,
      tidemark_recovery_ms: Math.round(node.recovery.tookMs),
    },
    stats: {
      commands_applied: stats.commandsApplied,
      expired_keys: stats.keysExpired,
      tidemark_command_ms_p50: thousandths(commandMs.p50),
      tidemark_command_ms_p99: thousandths(commandMs.p99),
      tidemark_command_ms_max: thousandths(commandMs.max),
      tidemark_lateness_ms_max: thousandths(latenessMs.max),
    },
    keyspace:
      stats.keys === 0
        ? {}
        : { db0: `keys=${stats.keys},expires=${Math.min(stats.keysWithDeadline, stats.keys)},avg_ttl=0` },
  };
}

function scrubLines({
  progress,
  finishedAt,
  findings,
  failure,
}: ScrubStats): Record<string, string | number> {
  const open = findings.filter(({ outcome }) => outcome === 'open');
  const shown = open[0] ?? findings.at(-1);
  return {
    tidemark_scrub_progress: progress === null ? 'none' : `${Math.floor(progress * 100)} %`,
    tidemark_scrub_finished: finishedAt === 0 ? 'never' : isoTime(finishedAt),
    tidemark_scrub_findings: findings.length,
    tidemark_scrub_findings_open: open.length,
    tidemark_scrub_finding: shown === undefined ? 'none' : describeFinding(shown),
    tidemark_scrub_failure: failure ?? 'none',
  };
}

function procedureLines({
  unfinished,
  stuck,
  oldestBegunAt,
}: ProcedureStats): Record<string, string | number> {
  return {
    tidemark_procedures_unfinished: unfinished,
    tidemark_procedures_stuck: stuck,
    tidemark_procedure_oldest: oldestBegunAt === 0 ? 'none' : isoTime(oldestBegunAt),
  };
}

/** A finding of a scrub, in a line. */
export function describeFinding({ file, offset, reason, foundAt, outcome, meaning }: ScrubFinding): string {
  const place = offset === null ? file : `${file} at offset ${offset}`;
  return `${place}, found ${isoTime(foundAt)}: ${reason}; ${outcome}: ${meaning}`;
}

function thousandths(number: number): number {
  return Math.round(number * 1000) / 1000;
}
