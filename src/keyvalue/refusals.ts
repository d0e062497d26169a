/** The errors of the key-value machine, in Redis's words: clients tell errors apart by their text. */

import { Rejection } from '../engine/machine.ts';
import type { Request } from './request.ts';

/** Bytes of a request that an error repeats: enough to recognize it. As Redis. */
const QUOTED_BYTES_MAX = 128;

export function syntaxError(): Rejection {
  return new Rejection('ERR syntax error');
}

export function notAnInteger(): Rejection {
  return new Rejection('ERR value is not an integer or out of range');
}

export function notAFloat(): Rejection {
  return new Rejection('ERR value is not a valid float');
}

export function wrongType(): Rejection {
  return new Rejection('WRONGTYPE Operation against a key holding the wrong kind of value');
}

export function valueTooLong(): Rejection {
  return new Rejection('ERR string exceeds maximum allowed size (proto-max-bulk-len)');
}

export function invalidExpiry(command: string): Rejection {
  return new Rejection(`ERR invalid expire time in '${command}' command`);
}

export function noSuchKey(): Rejection {
  return new Rejection('ERR no such key');
}

/** A request that names a large value many times must not fill the memory. */
export function replyTooLarge(bytesMax: number): Rejection {
  return new Rejection(`ERR the reply would exceed ${bytesMax} bytes: ask for less at a time`);
}

export function wrongArity(name: string): Rejection {
  return new Rejection(`ERR wrong number of arguments for '${name}' command`);
}

export function unknownCommand(request: Request): Rejection {
  let quoted = '';
  for (let at = 1; at < request.count && quoted.length < QUOTED_BYTES_MAX; at++) {
    quoted += `'${startOf(request, at, QUOTED_BYTES_MAX - quoted.length)}' `;
  }
  const name = startOf(request, 0, QUOTED_BYTES_MAX);
  return new Rejection(`ERR unknown command '${name}', with args beginning with: ${quoted}`);
}

export function unknownSubcommand(container: string, request: Request): Rejection {
  const name = startOf(request, 1, QUOTED_BYTES_MAX);
  return new Rejection(`ERR unknown subcommand '${name}'. Try ${container.toUpperCase()} HELP.`);
}

/** The first bytes of an argument, as text: an error repeats no more of a request. */
export function startOf(request: Request, at: number, bytesMax: number): string {
  return Buffer.from(request.argument(at).subarray(0, bytesMax)).toString();
}
