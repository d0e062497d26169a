/**
 * How long the node served and how often it failed, over all its starts, as the status remembers it. A start
 * that finds the last one without its end counts a failure.
 *
 * An estimate: it rides along with what the status writes anyway, and a crash loses what came since.
 */

import type { FailureHistory } from '../checkpoint/schedule/failure-rate.ts';
import type { StatusFile } from '../log/status.ts';

/** What was seen before this start, the end of the last one included. */
export function failuresBefore({ current: { service } }: StatusFile): FailureHistory {
  return { failures: service.failuresMilli / 1000 + (service.isRunning ? 1 : 0), servedMs: service.servedMs };
}

/** Notes how it stands now. */
export function noteService(
  status: StatusFile,
  { failures, servedMs }: FailureHistory,
  life: 'running' | 'ended',
): void {
  const isRunning = life === 'running';
  const service = { isRunning, failuresMilli: Math.round(failures * 1000), servedMs: Math.round(servedMs) };
  status.update({ service });
}
