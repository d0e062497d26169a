/** What an example says about a start: what the state was brought back from. */

import type { NodeRecovery } from 'tidemark';

export function openedAgain({ checkpoint, entriesReplayed, tookMs }: NodeRecovery): string {
  const from = checkpoint === null ? 'no checkpoint' : `the checkpoint of entry ${checkpoint.index}`;
  return `Opened again in ${Math.round(tookMs)} ms: ${from}, and ${entriesReplayed} entries of the log`;
}
