/** `TIDEMARK AT` and `TIDEMARK REWIND`: the past of the node, for clients of the Redis port. */

import { bufferOf, copyOf } from '../base/bytes.ts';
import { Rejection } from '../engine/machine.ts';
import { fitsArity } from '../keyvalue/command-table.ts';
import { syntaxError, unknownCommand, wrongArity } from '../keyvalue/refusals.ts';
import { PairList, type ReplyValue } from '../keyvalue/reply-value.ts';
import { encodeRequest, type Request, RequestParser } from '../keyvalue/request.ts';
import {
  type ConnectionCommand,
  type ServedHistory,
  type ServerView,
  type Session,
  slowCommand,
} from './connection-command.ts';
import { factsOf } from './served-facts.ts';

export const HISTORY_COMMANDS: readonly ConnectionCommand[] = [
  slowCommand('tidemark|at', -4, 'Run a command that reads on the state of an earlier point', readAt),
  slowCommand('tidemark|rewind', -3, 'Make the state what it was at an earlier point', rewind),
];

/** Where the command begins in TIDEMARK AT point command …. */
const FIRST_WORD = 3;

async function readAt({ server }: Session, request: Request): Promise<ReplyValue> {
  const history = historyOf(server);
  const point = request.text(2);
  const words = Array.from({ length: request.count - FIRST_WORD }, (_, at) =>
    copyOf(request.argument(FIRST_WORD + at)),
  );
  const part = new RequestParser();
  part.parseWhole(encodeRequest(words));
  const found = server.find(part);
  if (found === null) throw unknownCommand(part);
  if (!fitsArity(found, part.count)) throw wrongArity(found.name);
  if (found.kind !== 'read') throw new Rejection('ERR the past takes commands that read the state only');
  return history.at(point, (state, time) => detach(found.run(state, part, { time })));
}

async function rewind({ server }: Session, request: Request): Promise<ReplyValue> {
  const history = historyOf(server);
  const isDryRun = request.count === 4 && request.isWord(3, 'dryrun');
  if (request.count > (isDryRun ? 4 : 3)) throw syntaxError();
  const made = await history.rewind(request.text(2), isDryRun ? 'dry-run' : 'make');
  return factsOf(made);
}

function historyOf({ history }: ServerView): ServedHistory {
  if (history === null) throw new Rejection('ERR this server has no history');
  return history;
}

/** Copies what is a view of the state: it goes before the answer does. */
function detach(value: ReplyValue): ReplyValue {
  if (value instanceof Uint8Array) return bufferOf(copyOf(value));
  if (value instanceof PairList) return new PairList(value.items.map(detach));
  if (value instanceof Map) {
    return new Map([...value].map(([key, item]): [ReplyValue, ReplyValue] => [detach(key), detach(item)]));
  }
  return Array.isArray(value) ? value.map(detach) : value;
}
