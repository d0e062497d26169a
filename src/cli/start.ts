/** `tidemark start`: a node for newcomers, with defaults, hints, and lines that people read. */

import type { RecoveryProgress } from '../node/assemble.ts';
import type { NodeEvent } from '../node/events.ts';
import type { NodeRecovery } from '../node/node.ts';
import { MEMORY_DIR } from '../storage/memory-file-system.ts';
import type { ConfigFlags } from './config/flags.ts';
import { requireConfig } from './config/resolve.ts';
import type { Config } from './config/schema.ts';
import { noteOf } from './event-note.ts';
import { count, formatBytes, print, printError, printWarning, table } from './output.ts';
import { RecoveryBars } from './recovery-bars.ts';
import { type Listening, type Narrator, runNode } from './run-node.ts';

export async function start(flags: ConfigFlags & { readonly json: boolean }): Promise<number> {
  const config = await requireConfig(flags, process.env);
  if (!flags.json) return runNode(config, new HumanNarrator(config));
  const { JsonNarrator } = await import('./json-narrator.ts');
  return runNode(config, new JsonNarrator(config.trace.level));
}

const OK_MEANS = {
  synced: 'every OK is on disk before you see it',
  buffered: 'an OK is on disk a moment later, and safe from kill -9 at once',
} as const;

class HumanNarrator implements Narrator {
  readonly #isKept: boolean;
  readonly #bars = new RecoveryBars();
  readonly #durability: Config['durability']['kind'];
  #isListening = false;

  constructor({ dir, durability }: Config) {
    this.#isKept = dir !== MEMORY_DIR;
    this.#durability = durability.kind;
  }

  opening(): void {}

  /** Only what one waits for has a bar: the rest is loaded behind the service. */
  recovering(progress: RecoveryProgress): void {
    if (!this.#isListening) this.#bars.update(progress);
  }

  listening({ host, port, http, dir, recovery }: Listening): void {
    this.#isListening = true;
    this.#bars.end();
    print(`tidemark: ${this.#isKept ? describeRecovery(dir, recovery) : 'everything stays in memory'}`);
    if (recovery.bytesDiscarded > 0) {
      print(`tidemark: discarded ${formatBytes(recovery.bytesDiscarded)} of a write that never finished`);
    }
    for (const warning of recovery.warnings) printWarning(warning);
    print(`tidemark: ready; Redis protocol on ${host}:${port}, process ${process.pid}`);
    if (http !== null) print(`tidemark: metrics, health and status on http://${http.host}:${http.port}`);
    const hints = [
      [`redis-cli -p ${port} SET greeting hello`, this.#isKept ? OK_MEANS[this.#durability] : ''],
      [
        `kill -9 ${process.pid}`,
        this.#isKept ? 'and start again: it is still there' : 'and everything is gone',
      ],
      ['Ctrl-C', 'stops cleanly'],
    ];
    print(`\n${table(hints).replace(/^/gm, '  ')}\n`);
  }

  happened(event: NodeEvent): void {
    const note = noteOf(event);
    if (note !== null) printWarning(note);
  }

  stopping(): void {
    if (this.#isKept) print('stopping; a last checkpoint is taken');
  }

  stopped(): void {
    print(this.#isKept ? 'stopped; everything acknowledged is on disk' : 'stopped');
  }

  failed(error: unknown): void {
    printError(error, 'text');
  }
}

function describeRecovery(dir: string, recovery: NodeRecovery): string {
  const { isNew, checkpoint, entriesReplayed, commandsReplayed, tookMs } = recovery;
  if (isNew) return `made ${dir}`;
  const commands = count(commandsReplayed, 'command');
  const entries = count(entriesReplayed, 'entry', 'entries');
  const state = checkpoint === null ? '' : `the checkpoint of entry ${checkpoint.index} and `;
  return `recovered ${state}${commands} in ${entries} from ${dir} in ${Math.round(tookMs)} ms`;
}
