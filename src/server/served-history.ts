/** The past of a node, as its servers ask for it. */

import type { Node } from '../node/node.ts';
import type { PastView } from '../node/past-view.ts';
import type { ServedHistory } from './connection-command.ts';

/** A node of any machine. */
interface NodeWithPast extends Pick<Node<never, never>, 'rewind'> {
  at(point: string): Promise<Pick<PastView<never>, 'read' | 'time' | typeof Symbol.asyncDispose>>;
}

export function servedHistory(node: NodeWithPast): ServedHistory {
  return {
    async at(point, read) {
      await using view = await node.at(point);
      return view.read((state) => read(state, view.time));
    },
    async rewind(point, how) {
      return { ...(await node.rewind(point, { dryRun: how === 'dry-run' })) };
    },
  };
}
