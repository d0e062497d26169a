/** `tidemark serve`: a node for production, by its configuration file; JSON lines, and no hints. */

import type { ConfigFlags } from './config/flags.ts';
import { requireConfig } from './config/resolve.ts';
import { JsonNarrator } from './json-narrator.ts';
import { runNode } from './run-node.ts';

export async function serve(flags: ConfigFlags & { readonly config: string }): Promise<number> {
  const config = await requireConfig(flags, process.env);
  return runNode(config, new JsonNarrator(config.trace.level));
}
