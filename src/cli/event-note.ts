/** The events of a node that somebody at a terminal should know of, in a line. */

import type { NodeEvent } from '../node/events.ts';
import { describeFinding } from '../server/node-info.ts';

/** Less is common on a machine that does other work, and nothing that somebody can change at once. */
const LATE_NOTED_MS = 2_000;

/** Null for what is well, or is told in another way. */
export function noteOf(event: NodeEvent): string | null {
  switch (event.kind) {
    case 'shortage-began':
      return `commands are refused: ${event.message}`;
    case 'shortage-ended':
      return `commands are taken again, after ${inSeconds(event.tookMs)}`;
    case 'checkpoint-failed':
      return `no checkpoint was taken: ${event.message}`;
    case 'cleanup-failed':
      return `old checkpoints or entries are still there: ${event.message}`;
    case 'damage-found':
      return `${event.file} is damaged at offset ${event.offset}: ${event.reason}`;
    case 'scrub-finding':
      return describeFinding(event.finding);
    case 'scrub-outcome':
      return `${event.finding.file}: ${event.finding.meaning}`;
    case 'slow-sync':
      return `the disk took ${inSeconds(event.tookMs)} for a sync`;
    case 'late':
      return event.lateMs < LATE_NOTED_MS ? null : `the process was held up for ${inSeconds(event.lateMs)}`;
    case 'procedure-stuck':
      return `the procedure ${event.procedure} ${event.id} is stuck: ${event.message}`;
    case 'missed':
      return `${event.count} events were not told`;
    default:
      return null;
  }
}

function inSeconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
