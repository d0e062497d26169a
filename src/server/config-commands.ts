/** CONFIG. */

import { Rejection } from '../engine/machine.ts';
import { matchesGlob } from '../keyvalue/glob.ts';
import { wrongArity } from '../keyvalue/refusals.ts';
import { OK, type ReplyValue } from '../keyvalue/reply-value.ts';
import type { Request } from '../keyvalue/request.ts';
import { CONFIG_VALUE_BYTES_MAX } from './config.ts';
import { type ConnectionCommand, command, type Session } from './connection-command.ts';

/** Characters of a name that an error repeats. */
const NAME_QUOTED_MAX = 128;

export function configSubcommands(): readonly ConnectionCommand[] {
  return [
    command('config|get', -3, 'Tell parameters', getParameters, 'server'),
    command('config|resetstat', 2, 'Begin to count anew', ({ server }) => {
      server.resetCounts();
      return OK;
    }),
    command('config|set', -4, 'Set parameters', setParameters, 'server'),
  ];
}

function getParameters({ server }: Session, request: Request): ReplyValue {
  const patterns = Array.from({ length: request.count - 2 }, (_, at) =>
    Buffer.from(request.text(at + 2).toLowerCase()),
  );
  const found = server.config
    .entries()
    .filter(([name]) => patterns.some((pattern) => matchesGlob(pattern, Buffer.from(name))));
  return new Map<ReplyValue, ReplyValue>(
    found.map(([name, value]) => [Buffer.from(name), Buffer.from(value)]),
  );
}

/** All of them or none. */
function setParameters({ server }: Session, request: Request): ReplyValue {
  if (request.count % 2 !== 0) throw wrongArity('config|set');
  const wanted: (readonly [name: string, value: string])[] = [];
  for (let at = 2; at < request.count; at += 2) {
    if (request.argumentLength(at + 1) > CONFIG_VALUE_BYTES_MAX)
      throw new Rejection('ERR the value is too long');
    wanted.push([request.text(at).toLowerCase(), request.text(at + 1)]);
  }
  for (const [name, value] of wanted) {
    const outcome = server.config.judge(name, value);
    if (outcome === 'unknown') {
      throw new Rejection(
        `ERR Unknown option or number of arguments for CONFIG SET - '${name.slice(0, NAME_QUOTED_MAX)}'`,
      );
    }
    if (outcome === 'fixed') {
      throw new Rejection(
        `ERR CONFIG SET failed (possibly related to argument '${name}') - can't set immutable config`,
      );
    }
  }
  for (const [name, value] of wanted) server.config.set(name, value);
  return OK;
}
