/** The checkpoints of a node, as its servers ask for them. */

import { TidemarkError } from '../base/errors.ts';
import { toIndex } from '../base/positions.ts';
import type { Node } from '../node/node.ts';
import type { ServedCheckpoints } from './connection-command.ts';

/** A node of any machine. */
type NodeWithCheckpoints = Pick<
  Node<never, never>,
  'checkpoint' | 'checkpoints' | 'lastCheckpointAt' | 'prune' | 'stats' | 'tag' | 'tags' | 'untag'
>;

export function servedCheckpoints(node: NodeWithCheckpoints): ServedCheckpoints {
  return {
    get isTaking() {
      return node.stats().checkpoints.isTaking;
    },
    get lastTakenAt() {
      return node.lastCheckpointAt;
    },
    take: async (tag) => ({ ...(await node.checkpoint(tag === null ? {} : { tag })) }),
    list: () => node.checkpoints().map((checkpoint) => ({ ...checkpoint })),
    tags: () => node.tags().map((tag) => ({ ...tag })),
    async tag(name, index) {
      const tagged = index ?? node.checkpoints()[0]?.index ?? null;
      if (tagged === null) throw nothingToTag(name);
      await node.tag(name, toIndex(tagged));
      return tagged;
    },
    untag: (name) => node.untag(name),
    async prune(how) {
      const { removed, ...rest } = await node.prune({ dryRun: how === 'dry-run' });
      return { ...rest, removed: removed.map((checkpoint) => ({ ...checkpoint })) };
    },
  };
}

function nothingToTag(name: string): TidemarkError {
  return new TidemarkError('TIDEMARK_OPTION_INVALID', `there is no checkpoint yet to tag ${name}`, {
    remedy: 'fix-call',
  });
}
