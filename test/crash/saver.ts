/** Asks for checkpoints while others write, and counts what became of them. */

import { setTimeout as sleep } from 'node:timers/promises';
import { askOnce, ErrorReply } from '../../src/cli/resp-client.ts';
import { Violation } from './model.ts';
import type { Save } from './plan.ts';

export class Saver {
  /** SAVE that was answered: the checkpoint is durable. */
  taken = 0;
  /** SAVE that a crash cut short. */
  cutShort = 0;

  /** Resolves after the last one, or when the server is gone. */
  async run(port: number, saves: readonly Save[]): Promise<void> {
    for (const { afterMs, request } of saves) {
      await sleep(afterMs);
      const reply = await askOnce(port, [request]).catch(() => null);
      if (reply === null) {
        this.cutShort += Number(request === 'SAVE');
        return;
      }
      if (request === 'SAVE' && reply === 'OK') this.taken++;
      else if (!isFine(reply)) throw new Violation('answer', `${request} was answered ${describe(reply)}`);
    }
  }
}

/** BGSAVE begins one or finds one; a server that stops refuses. */
function isFine(reply: unknown): boolean {
  const text = reply instanceof ErrorReply ? reply.text : String(reply);
  return /^Background saving started|already in progress|TIDEMARK_NOT_OPEN/.test(text);
}

function describe(reply: unknown): string {
  return reply instanceof ErrorReply ? reply.text : JSON.stringify(reply);
}
