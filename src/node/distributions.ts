/** What a node measures of itself. */

import { type Distribution, type DistributionSummary, summarize } from '../base/histogram.ts';

/** What a node measures, since its start. The unit is in the name. */
export interface NodeDistributions {
  /**
   * From taken to answered, in milliseconds: one for each command, all with the time of the first of their
   * batch, so that none is understated.
   */
  readonly commandMs: Distribution;
  /** A sync of the log, in milliseconds. */
  readonly syncMs: Distribution;
  /** Commands of an entry. */
  readonly batchCommands: Distribution;
  /** Bytes of an entry. */
  readonly batchBytes: Distribution;
  /** Applying an entry and answering its commands, in milliseconds; not in the replay at a start. */
  readonly applyMs: Distribution;
  /** How long due work waited for the event loop, in milliseconds; looked at ten times a second. */
  readonly latenessMs: Distribution;
  /** Writing a checkpoint, in milliseconds. */
  readonly checkpointMs: Distribution;
}

export function summarizeAll(
  all: NodeDistributions,
): Readonly<Record<keyof NodeDistributions, DistributionSummary>> {
  return {
    commandMs: summarize(all.commandMs),
    syncMs: summarize(all.syncMs),
    batchCommands: summarize(all.batchCommands),
    batchBytes: summarize(all.batchBytes),
    applyMs: summarize(all.applyMs),
    latenessMs: summarize(all.latenessMs),
    checkpointMs: summarize(all.checkpointMs),
  };
}
