/** What an ordering measures of its batches. Once for each batch, so that a command costs nothing more. */

import { Histogram } from '../base/histogram.ts';

export class BatchFigures {
  /**
   * From taken to answered, in milliseconds: one for each command, all with the time of the first of their
   * batch. So none is understated.
   */
  readonly commandMs = new Histogram(1000);
  /** Commands of an entry. */
  readonly batchCommands = new Histogram();
  /** Bytes of an entry. */
  readonly batchBytes = new Histogram();
  /** Applying an entry and answering its commands, in milliseconds; not in a replay. */
  readonly applyMs = new Histogram(1000);
}
