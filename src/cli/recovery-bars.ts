/** The progress of a recovery, for people: a bar for each phase. */

import type { RecoveryProgress } from '../node/assemble.ts';
import { Progress } from './progress.ts';

export class RecoveryBars {
  #current: { readonly phase: RecoveryProgress['phase']; readonly bar: Progress } | null = null;

  update({ phase, done, total }: RecoveryProgress): void {
    if (this.#current?.phase !== phase) {
      this.end();
      this.#current = { phase, bar: barOf(phase) };
    }
    this.#current.bar.update(done, total);
  }

  end(): void {
    this.#current?.bar.end();
  }
}

function barOf(phase: RecoveryProgress['phase']): Progress {
  switch (phase) {
    case 'log':
      return new Progress('replaying the log', { one: 'entry', many: 'entries' });
    case 'state':
      return new Progress('loading the state', { one: 'key', many: 'keys' });
  }
}
